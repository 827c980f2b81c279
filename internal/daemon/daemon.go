// Package daemon is a running campaignd: it composes the sending half, the
// webhooks and the housekeeping over one database, starts them in order and
// stops them in reverse. cmd/campaignd runs it, and so do the benchmarks, which
// must measure the very thing that ships. It must not know flags, terminals or
// where its database comes from.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/keyword"
	"github.com/campaignd/campaignd/internal/metrics"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/queue"
	"github.com/campaignd/campaignd/internal/sender"
	"github.com/campaignd/campaignd/internal/webhook"
)

// Config of a Daemon.
type Config struct {
	Store *postgres.Store // of a migrated database; its pool has 8 connections or more
	Guard *postgres.Guard // of that pool; see postgres.NewGuard
	Roles Roles
	// Listen is where webhooks and health checks are taken, host:port; port 0
	// takes a free one.
	Listen string
	// Metrics is where /metrics and /debug/pprof/ are served until the daemon has
	// stopped, a private address; nil serves them nowhere.
	Metrics net.Listener
	// MaxWorkers bounds the messages of a channel that are on the wire at a time;
	// 0 means sender.DefaultMaxWorkers.
	MaxWorkers int
	// Retention is the age at which partitions of messages are dropped; 0 keeps
	// them for ever.
	Retention time.Duration
	Logger    *slog.Logger
	Version   string // of the program, for its log
	// Connect gives a channel's provider. Nil: 360dialog at the channel's base URL,
	// with the key that the channel refers to.
	Connect func(campaign.Channel) (sender.Provider, error)
}

// Daemon is a running campaignd: the components of its roles, started in order
// and stopped in reverse.
type Daemon struct {
	config   Config
	log      *slog.Logger
	store    *postgres.Store
	sender   *sender.Sender
	client   client
	channels *directory
	handler  *webhook.Handler
	applier  *webhook.Applier
	janitor  *janitor
	lookouts *lookouts
	planner  *planner
	beat     *heartbeat
	listener net.Listener
	server   *http.Server
	metrics  *metrics.Metrics
	ready    atomic.Bool
	// writes is the context of last writes: it outlives the stop.
	writes    context.Context
	endWrites context.CancelFunc
}

// client is the part of River's client that starts and stops it.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// New makes a daemon ready to run: partitions are made and the address is taken,
// so that Addr can be told to others. It sends nothing before Run.
func New(ctx context.Context, config Config) (*Daemon, error) {
	measured := metrics.New()
	config.Logger = slog.New(measured.Logs(config.Logger.Handler()))
	store, log := measured.Store(config.Store), config.Logger
	if err := store.MakePartitions(ctx, 0); err != nil {
		return nil, err
	}
	if config.Connect == nil {
		config.Connect = connect(config.MaxWorkers)
	}
	d := &Daemon{config: config, log: log, store: config.Store, metrics: measured}
	d.writes, d.endWrites = context.WithCancel(context.Background())

	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	node := fmt.Sprintf("%s_%d_%d", host, os.Getpid(), time.Now().UnixNano())
	d.sender = sender.New(d.writes, sender.Config{Node: node, Store: store, Connect: config.Connect, Fingerprint: fingerprint, Logger: log, MaxWorkers: config.MaxWorkers,
		Observe: measured.Channel, Confirmations: store})
	workers := river.NewWorkers()
	river.AddWorker(workers, &enqueueWorker{store: config.Store, log: log})
	river.AddWorker(workers, &partitionWorker{store: config.Store, log: log, retention: config.Retention})
	jobs, err := queue.Worker(store.Pool(), queue.Config{
		ID:      node,
		Logger:  slog.New(levelled{log.Handler(), slog.LevelWarn}),
		Workers: workers,
		Enqueue: config.Roles.Send,
		Periodic: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
			func() (river.JobArgs, *river.InsertOpts) {
				return queue.Partitions{}, &river.InsertOpts{Queue: queue.Maintenance, MaxAttempts: 3}
			}, &river.PeriodicJobOpts{RunOnStart: true})},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the queue: %w", err)
	}
	d.client = jobs

	d.channels = &directory{list: store.Channels, log: log}
	d.handler = webhook.NewHandler(store, d.channels.lookup, log)
	d.lookouts = newLookouts(d.lookAtTemplate)
	d.planner = newPlanner(config.Store, log)
	d.handler.Heed = func(ctx context.Context, delivery campaign.Delivery) error {
		events, err := parseWebhook(delivery.Body)
		if err != nil {
			return nil //nolint:nilerr // stored all the same; the applier notes why it cannot be read
		}
		return store.Heed(ctx, delivery.Channel, events)
	}
	d.applier = &webhook.Applier{Store: store, Parse: parseWebhook, Explain: dialog360.Explain, Erase: erase, Stored: d.handler.Stored(),
		Dropped: d.lookouts.add, Logger: log}
	d.janitor = &janitor{store: config.Store, log: log, guard: config.Guard, schedule: config.Roles.Schedule}

	mux := http.NewServeMux()
	if config.Roles.Webhook {
		mux.Handle("POST /webhooks/{channel}", measured.Webhooks(d.handler, d.channels.known))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", d.readyz)
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	if d.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return nil, campaign.ErrInvalid.With(fmt.Sprintf("cannot listen at %s: %s", config.Listen, errors.Unwrap(err)), "give another address with --listen")
	}
	measured.Watch(metrics.Sources{Overview: store.Overview, Pool: store.PoolStats, Flows: d.sender.Flows, Ready: d.ready.Load,
		Version: config.Version, Roles: config.Roles.names()})
	d.beat = &heartbeat{store: config.Store, log: log, working: d.sender.Working, node: campaign.Node{Name: node, Host: host, PID: os.Getpid(),
		Version: config.Version, Roles: config.Roles.names(), Listen: d.listener.Addr().String()}}
	return d, nil
}

// Addr is where webhooks and health checks are taken.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// The budget of a clean stop is 45 s in all (design §4.9): no turn
// is begun any more; POSTs take at most 20 s and outcomes are written as they
// come, for stopJobs in all; the rest is for webhooks under way.
const (
	stopJobs   = 38 * time.Second
	stopServer = 5 * time.Second
)

// Run works until ctx ends, then stops in reverse order.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.channels.refresh(ctx); err != nil {
		return fmt.Errorf("read the channels: %w", err)
	}
	// Everything below stops by a step of its own, not with ctx.
	stopped, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	sending, stopSending := context.WithCancel(stopped)
	defer stopSending()
	if d.config.Roles.Webhook {
		if err := d.store.WebhooksUnknown(ctx); err != nil {
			return err
		}
	}
	if err := d.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	var senders, others sync.WaitGroup
	component := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := run(ctx); err != nil {
				d.log.Error("a component ended", "component", name, "error", err)
			}
		}()
	}
	if d.config.Roles.Send {
		component(&senders, sending, "sender", d.sender.Run)
		component(&senders, sending, "listener", d.listen)
	}
	component(&others, stopped, "channels", d.channels.Run)
	component(&others, stopped, "janitor", d.janitor.Run)
	component(&others, stopped, "samples", d.sample)
	component(&others, stopped, "heartbeat", d.beat.Run)
	if d.config.Roles.Webhook {
		component(&others, stopped, "webhooks", d.applier.Run)
		component(&others, stopped, "templates", d.lookouts.Run)
	}
	stopMetrics := d.serveMetrics()
	defer stopMetrics()
	if d.config.Roles.Schedule {
		component(&others, stopped, "schedules", d.planner.watchSchedules)
		component(&others, stopped, "requests", d.planner.planRequests)
		component(&others, stopped, "request notices", d.planner.listen)
		component(&others, stopped, "media", d.planner.keepMedia)
	}
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(d.listener) }()
	d.ready.Store(true)
	d.log.Info("campaignd runs", "listen", d.listener.Addr().String(), "deployment", d.store.Deployment(), "version", d.config.Version)

	var failed error
	select {
	case <-ctx.Done():
	case err := <-served:
		failed = fmt.Errorf("serve HTTP: %w", err)
	}
	d.ready.Store(false)
	d.log.Info("campaignd stops")

	// 1. No new turns: fan-out ends, and nobody waits for the limiter any more.
	stopSending()
	senders.Wait()
	// 2. What is on the wire ends, and its outcome is written.
	jobs, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
	if err := d.sender.Drain(jobs); err != nil {
		d.log.Error("some messages were still under way at the stop; the next start finds them", "error", err)
		d.endWrites()
	}
	if err := d.client.Stop(jobs); err != nil {
		d.log.Warn("some of the queue's own jobs were still under way at the stop; they run again", "error", err)
	}
	cancel()
	// 3. Webhooks under way are stored and answered.
	requests, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopServer)
	if err := d.server.Shutdown(requests); err != nil {
		d.log.Warn("some webhooks were not answered; the provider sends them again", "error", err)
		_ = d.server.Close()
	}
	cancel()
	d.handler.Close()
	// 4. The books.
	stop()
	others.Wait()
	d.sender.Close()
	d.endWrites()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := d.store.FoldCounts(last); err != nil {
		d.log.Warn("the counters were not folded; the next start does it", "error", err)
	}
	d.log.Info("campaignd stopped")
	return failed
}

// listen tells the sender which channels were given jobs, or have a share to give.
func (d *Daemon) listen(ctx context.Context) error {
	d.store.Listen(ctx, d.sender.Wake, d.sender.Freed, func(err error) {
		d.log.Warn("new jobs are found a second late until the database answers", "error", err)
	})
	return nil
}

// parseWebhook reads a webhook and gives the numbers in it the form by which we
// know a person.
func parseWebhook(body []byte) ([]campaign.Event, error) {
	events, err := dialog360.ParseWebhook(body)
	for i := range events {
		know(&events[i])
	}
	return events, err
}

// erase takes people out of a stored body.
func erase(body []byte, people []string) ([]byte, bool) {
	var numbers, userIDs []string
	for _, who := range people {
		if strings.HasPrefix(who, "+") {
			numbers = append(numbers, phone.Forms(who)...)
		} else {
			userIDs = append(userIDs, who)
		}
	}
	return dialog360.NewTraces(numbers, userIDs).Erase(body)
}

// know fills in what only those know who know numbers and words.
func know(e *campaign.Event) {
	number := e.User
	switch e.Kind {
	case campaign.EventStatus:
		number = e.Recipient
	case campaign.EventMessage:
		number = e.From
		for _, text := range []string{e.Payload, e.Text} {
			word := keyword.Normalise(text)
			if word == "" {
				continue
			}
			e.Words = append(e.Words, word)
			if e.Wish == campaign.WishNone {
				e.Wish = campaign.Wish(keyword.Meaning(word))
			}
		}
	}
	e164, ok := phone.FromWaID(number)
	if !ok {
		return // a business-scoped id, or nobody
	}
	e.MatchKey = phone.MatchKey(e164)
	if e.Kind == campaign.EventStatus {
		return // of somebody whom we wrote to
	}
	e.Person = campaign.ContactRow{Phone: e164, MatchKey: e.MatchKey}
	if n, err := phone.Parse(e164, ""); err == nil {
		e.Person.Country, e.Person.NANP = n.Country, n.NANP
	}
}

// sample tells the database every second what this node posted, for "messages a
// second now".
func (d *Daemon) sample(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if posts := d.sender.Posts(); len(posts) > 0 {
			if err := d.store.Sample(ctx, posts); err != nil && ctx.Err() == nil {
				d.log.Error("cannot store how fast messages go", "error", err)
			}
		}
	}
}

// readyz answers 200 while the daemon takes work and the database answers.
func (d *Daemon) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	switch {
	case !d.ready.Load():
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
	case d.store.Ping(ctx) != nil:
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}
