package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/localpg"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/queue"
	"github.com/campaignd/campaignd/internal/sender"
	"github.com/campaignd/campaignd/internal/webhook"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run the daemon",
		Description: "Takes up the channels, campaigns and stored webhooks of the database and goes on where the last\n" +
			"daemon stopped, however it stopped. The keys of channels are read here: whatever env:NAME or\n" +
			"file:PATH a channel refers to must be there for this program.",
		Flags:        runFlags(),
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("run takes no argument: %q", c.Args().First())}
			}
			config, err := configOf(c)
			if err != nil {
				return err
			}
			log, err := logger(c, stderr())
			if err != nil {
				return err
			}
			guard := newGuard(config, log)
			pool, stop, err := database(c.Context, config, guard, log)
			if err != nil {
				return err
			}
			defer stop()
			d, err := newDaemon(c.Context, pool, guard, config, log)
			if err != nil {
				return err
			}
			return d.Run(c.Context)
		},
	}
}

// database gives the configured database, or starts a server of our own under
// the home and migrates it.
func database(ctx context.Context, config config, guard *postgres.Guard, log *slog.Logger) (*pgxpool.Pool, func(), error) {
	url, stop := config.DatabaseURL, func() {}
	if url == "" {
		server, err := localpg.Start(ctx, localpg.Config{Home: config.Home, Logger: log})
		if err != nil {
			return nil, nil, err
		}
		url = server.URL()
		stop = func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := server.Stop(ctx); err != nil {
				log.Error("cannot stop PostgreSQL", "error", err)
			}
		}
	}
	pool, err := postgres.Connect(ctx, url, postgres.Options{MaxConns: int32(config.MaxConns), Name: "campaignd", Guard: guard})
	if err != nil {
		stop()
		return nil, nil, err
	}
	if config.DatabaseURL == "" {
		if _, err := postgres.Migrate(ctx, pool, false); err != nil {
			pool.Close()
			stop()
			return nil, nil, err
		}
	}
	return pool, func() { pool.Close(); stop() }, nil
}

// newGuard gives the guard of the database, with its witness in the home where
// that can be written.
func newGuard(config config, log *slog.Logger) *postgres.Guard {
	home := config.Home
	if home == "" {
		home, _ = localpg.DefaultHome()
	}
	if home != "" {
		if err := os.MkdirAll(home, 0o755); err != nil { //nolint:gosec // PostgreSQL's user must reach its data below it
			log.Warn("there is no home to keep a witness of the database in: a restored snapshot would not be noticed", "error", err)
			home = ""
		}
	}
	return postgres.NewGuard(home, func(reason string) {
		log.Error("every channel is held: "+reason, "go_on", "look at what was sent since, then: campaignctl channel resume NAME")
	})
}

// daemon is a running campaignd: the components of its roles, started in order
// and stopped in reverse.
type daemon struct {
	config   config
	log      *slog.Logger
	store    *postgres.Store
	sender   *sender.Sender
	client   *river.Client[pgx.Tx]
	channels *directory
	handler  *webhook.Handler
	applier  *webhook.Applier
	janitor  *janitor
	listener net.Listener
	server   *http.Server
	ready    atomic.Bool
	// writes is the context of last writes: it outlives the stop.
	writes    context.Context
	endWrites context.CancelFunc
}

func newDaemon(ctx context.Context, pool *pgxpool.Pool, guard *postgres.Guard, config config, log *slog.Logger) (*daemon, error) {
	store, err := postgres.Open(ctx, pool)
	if err != nil {
		return nil, err
	}
	if err := store.MakePartitions(ctx, 0); err != nil {
		return nil, err
	}
	d := &daemon{config: config, log: log, store: store}
	d.writes, d.endWrites = context.WithCancel(context.Background())

	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	node := fmt.Sprintf("%s_%d_%d", host, os.Getpid(), time.Now().UnixNano())
	d.sender = sender.New(d.writes, sender.Config{Node: node, Store: store, Connect: connect(config.MaxWorkers), Fingerprint: fingerprint, Logger: log, MaxWorkers: config.MaxWorkers})
	workers := river.NewWorkers()
	river.AddWorker(workers, &sender.Worker{Sender: d.sender})
	river.AddWorker(workers, &partitionWorker{store: store, log: log, retention: config.Retention})
	d.client, err = queue.Worker(pool, queue.Config{
		ID:      node,
		Logger:  slog.New(levelled{log.Handler(), slog.LevelWarn}),
		Workers: workers,
		Periodic: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
			func() (river.JobArgs, *river.InsertOpts) {
				return queue.Partitions{}, &river.InsertOpts{Queue: queue.Maintenance, MaxAttempts: 3}
			}, &river.PeriodicJobOpts{RunOnStart: true})},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the queue: %w", err)
	}
	d.sender.Use(queue.QueuesOf(d.client))

	d.channels = &directory{list: store.Channels, log: log}
	d.handler = webhook.NewHandler(store, d.channels.lookup, log)
	d.applier = &webhook.Applier{Store: store, Parse: parseWebhook, Explain: dialog360.Explain, Stored: d.handler.Stored(),
		Dropped: d.lookAtTemplate, Logger: log}
	d.janitor = &janitor{store: store, log: log, guard: guard, schedule: config.Roles.schedule}

	mux := http.NewServeMux()
	if config.Roles.webhook {
		mux.Handle("POST /webhooks/{channel}", d.handler)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", d.readyz)
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	if d.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return nil, campaign.ErrInvalid.With(fmt.Sprintf("cannot listen at %s: %s", config.Listen, errors.Unwrap(err)), "give another address with --listen")
	}
	return d, nil
}

// parseWebhook reads a webhook and gives the numbers in it the form by which we
// know a person.
func parseWebhook(body []byte) ([]campaign.Event, error) {
	events, err := dialog360.ParseWebhook(body)
	for i, e := range events {
		if e164, ok := phone.FromWaID(e.User); ok {
			events[i].MatchKey = phone.MatchKey(e164)
		}
	}
	return events, err
}

// sample tells the database every second what this node posted, for "messages a
// second now".
func (d *daemon) sample(ctx context.Context) error {
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
func (d *daemon) readyz(w http.ResponseWriter, r *http.Request) {
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

// The budget of a clean stop is 45 s in all (design §4.9): turns that wait are
// given back at once; POSTs take at most 20 s and outcomes are written as they
// come, for stopJobs in all; the rest is for webhooks under way.
const (
	stopJobs   = 38 * time.Second
	stopServer = 5 * time.Second
)

// Run works until ctx ends, then stops in reverse order.
func (d *daemon) Run(ctx context.Context) error {
	if err := d.channels.refresh(ctx); err != nil {
		return fmt.Errorf("read the channels: %w", err)
	}
	// Everything below stops by a step of its own, not with ctx.
	stopped, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	sending, stopSending := context.WithCancel(stopped)
	defer stopSending()
	if d.config.Roles.webhook {
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
	if d.config.Roles.send {
		component(&senders, sending, "sender", d.sender.Run)
	}
	component(&others, stopped, "channels", d.channels.Run)
	component(&others, stopped, "janitor", d.janitor.Run)
	component(&others, stopped, "samples", d.sample)
	if d.config.Roles.webhook {
		component(&others, stopped, "webhooks", d.applier.Run)
	}
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(d.listener) }()
	d.ready.Store(true)
	d.log.Info("campaignd runs", "listen", d.listener.Addr().String(), "deployment", d.store.Deployment(), "version", versionText())

	var failed error
	select {
	case <-ctx.Done():
	case err := <-served:
		failed = fmt.Errorf("serve HTTP: %w", err)
	}
	d.ready.Store(false)
	d.log.Info("campaignd stops")

	// 1. No new turns: fan-out ends and whoever waits for the limiter gives its turn back.
	stopSending()
	senders.Wait()
	// 2. What is on the wire ends, and its outcome is written.
	jobs, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopJobs)
	if err := d.client.Stop(jobs); err != nil {
		d.log.Error("some messages were still under way at the stop; the next start finds them", "error", err)
		d.endWrites()
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

// lookAtTemplate decides what to hold after the provider dropped a message it had
// held (132015 by webhook): a paused template, or else the account, because then
// the whole portfolio is paced (design §5).
func (d *daemon) lookAtTemplate(ctx context.Context, dropped campaign.Dropped) {
	log := d.log.With("channel_id", dropped.Channel, "template_id", dropped.Template)
	template, err := d.store.TemplateByID(ctx, dropped.Template)
	if err != nil {
		log.Error("cannot look at a template whose messages were dropped", "error", err)
		return
	}
	channel, err := d.store.ChannelByID(ctx, dropped.Channel)
	if err != nil {
		log.Error("cannot look at the channel of a dropped message", "error", err)
		return
	}
	status := template.Status
	if c, err := client(channel, 1); err == nil {
		defer c.Close()
		if list, err := c.Templates(ctx); err == nil {
			for _, t := range list {
				if t.Name == template.Name && t.Language == template.Language {
					status = t.Status
				}
			}
			if _, err := d.store.SyncTemplates(ctx, channel.ID, list); err != nil {
				log.Error("cannot store the templates", "error", err)
			}
		} else {
			log.Warn("cannot ask the provider for the template", "error", err)
		}
	}
	hold := campaign.Hold{Scope: campaign.HoldAccount, ScopeID: channel.AccountID, Source: campaign.SourceCode,
		Reason: "132015: the provider dropped messages it had held although the template is not paused: the portfolio is paced"}
	if status == campaign.TemplatePaused || status == campaign.TemplateDisabled {
		hold = campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(dropped.Template), Source: campaign.SourceTemplate,
			Reason: "132015: the template is " + status + "; the provider dropped messages it had held"}
	}
	if err := d.store.PutHold(ctx, hold); err != nil {
		log.Error("cannot put a hold", "error", err)
		return
	}
	log.Warn("held", "scope", hold.Scope, "reason", hold.Reason)
}

// levelled passes records of at least a level: River's info lines tell of its
// own housekeeping.
type levelled struct {
	slog.Handler
	least slog.Level
}

func (l levelled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.least && l.Handler.Enabled(ctx, level)
}
func (l levelled) WithAttrs(a []slog.Attr) slog.Handler {
	return levelled{l.Handler.WithAttrs(a), l.least}
}
func (l levelled) WithGroup(g string) slog.Handler { return levelled{l.Handler.WithGroup(g), l.least} }
