// Package simulator is a 360dialog that fails on request: the provider's HTTP
// contract with its strict request checks, templates, media, health and webhook
// registration, status webhooks that come late, twice, out of order and in
// batches, rate limits, and faults of the wire, all decided by a seed. Users
// rehearse a campaign on their real list with it; the tests of the client run
// against it.
//
// It imports nothing of this module and has wire types of its own, so that a
// mistake in the client is not mirrored here. What it must not know: messages,
// campaigns and states of ours. The rules come from whatsapp-facts.md; comments
// name its sections.
//
// Besides the provider's paths there are some of its own, answered to loopback
// callers only and without a key:
//
//	GET  /simulator/stats                                counters
//	GET  /simulator/ledger                               every POST seen, JSON lines
//	POST /simulator/templates/{name}/{language}/status   {"status":"PAUSED","reason":"…"}
//	POST /simulator/account                              {"event":"ACCOUNT_RESTRICTION","restriction_type":"…"}
//	POST /simulator/inbound                              {"from":"+49…","text":"…"} or {"from":"+49…","button":"…","context_id":"wamid…"}
//	POST /simulator/behaviours                           phone,behaviour rows; they add to or replace those there are
//
// Where there are several numbers, ?phone=+… picks the one whose webhook is used.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Simulator is a simulated provider.
type Simulator struct {
	config    Config
	logger    *slog.Logger
	profile   *profile
	latency   time.Duration
	rate      float64
	ledger    *Ledger
	scheduler *scheduler
	media     mediaStore
	stats     stats
	numbers   []*number
	byKey     map[string]*number // key "" stands for any
	assigned  atomic.Pointer[map[string]assigned]
	assigning sync.Mutex
	salt      uint64 // makes ids differ between runs
	serial    atomic.Uint64

	ready   chan struct{}
	started time.Time
	addr    net.Addr
	ctx     context.Context // ends when Run ends; answers that wait watch it
	stop    context.CancelFunc
	running atomic.Bool
	tasks   sync.WaitGroup // reviews of created templates
	warned  sync.Once
}

// number is a WhatsApp number and everything that belongs to it.
type number struct {
	key, phone, phoneID string
	metadata            wireMetadata
	code                string // calling code
	catalog             *catalog
	webhooks            *dispatcher
	limiter             *rate.Limiter // nil: no limit
	people              people
}

// New reads the files and makes a simulator; Run starts it.
func New(config Config) (*Simulator, error) {
	config = config.WithDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	p, err := newProfile(config.Profile)
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		config: config, logger: config.Logger, profile: p, latency: config.Latency, rate: config.Rate,
		byKey: map[string]*number{}, ready: make(chan struct{}), salt: uint64(time.Now().UnixNano()),
	}
	if s.latency == 0 {
		s.latency = p.latency
	}
	if s.rate == 0 {
		s.rate = p.rate
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.scheduler = newScheduler(s.paced)
	list, err := loadBehaviours(config.BehavioursFile)
	if err != nil {
		return nil, err
	}
	s.assigned.Store(&list)
	if err := s.addNumbers(); err != nil {
		return nil, err
	}
	if s.ledger, err = openLedger(config.LedgerFile, s.logger); err != nil {
		return nil, err
	}
	return s, nil
}

func loadBehaviours(path string) (map[string]assigned, error) {
	if path == "" {
		return map[string]assigned{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("behaviours: %w", err)
	}
	defer f.Close()
	list, err := readBehaviours(f)
	if err != nil {
		return nil, fmt.Errorf("behaviours %s: %w", path, err)
	}
	return list, nil
}

func loadTemplates(path string) ([]*template, error) {
	raw := builtin
	if path != "" {
		var err error
		if raw, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
	}
	list, err := readTemplates(raw)
	if err != nil {
		return nil, fmt.Errorf("templates %s: %w", path, err)
	}
	return list, nil
}

func (s *Simulator) addNumbers() error {
	c := &s.config
	list := c.Numbers
	if c.Key != "" || len(list) == 0 {
		first := Number{Key: c.Key, Phone: c.Phone, WebhookURL: c.WebhookURL, WebhookSecret: c.WebhookSecret}
		list = append([]Number{first}, list...)
	}
	templates, err := loadTemplates(c.TemplatesFile)
	if err != nil {
		return err
	}
	shared := newCatalog("102290129340398", templates, c.AcceptUnknownTemplates || c.TemplatesFile == "")
	for i, one := range list {
		if s.byKey[one.Key] != nil || (one.Key == "" && len(list) > 1) {
			return fmt.Errorf("number %d: each number needs a key of its own", i+1)
		}
		n := &number{key: one.Key, phone: digitsOf(one.Phone), catalog: shared}
		n.code = callingCode(n.phone)
		if one.TemplatesFile != "" {
			if templates, err = loadTemplates(one.TemplatesFile); err != nil {
				return err
			}
			n.catalog = newCatalog(fmt.Sprint(102290129340399+i), templates, c.AcceptUnknownTemplates)
		}
		n.phoneID = fmt.Sprint(106540352242922 + i)
		display := n.phone
		if display == "" {
			display = fmt.Sprint(15550783881 + i)
		}
		n.metadata = wireMetadata{DisplayPhoneNumber: display, PhoneNumberID: n.phoneID}
		if s.rate > 0 {
			n.limiter = rate.NewLimiter(rate.Limit(s.rate), max(1, int(s.rate)))
		}
		n.webhooks = newDispatcher(s, n, c.WebhookConcurrency)
		if one.WebhookURL == "" {
			one.WebhookURL, one.WebhookSecret = c.WebhookURL, c.WebhookSecret
		}
		if one.WebhookURL != "" {
			// Not the rules of the API: a rehearsal may well have its
			// daemon in the next container.
			if u, err := url.Parse(one.WebhookURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return fmt.Errorf("webhook URL of number %d: must be an http or https URL", i+1)
			}
			target := &destination{URL: one.WebhookURL}
			if one.WebhookSecret != "" {
				target.Headers = map[string]string{"Authorization": "Bearer " + one.WebhookSecret}
			}
			n.webhooks.target.Store(target)
		}
		s.numbers = append(s.numbers, n)
		s.byKey[one.Key] = n
	}
	return nil
}

// Ready is closed once the simulator listens; Addr and URL are good from then on.
func (s *Simulator) Ready() <-chan struct{} { return s.ready }

// Addr is the address listened on; nil before Ready.
func (s *Simulator) Addr() net.Addr {
	select {
	case <-s.ready:
		return s.addr
	default:
		return nil
	}
}

// URL is the base URL of the simulated provider; empty before Ready.
func (s *Simulator) URL() string {
	if a := s.Addr(); a != nil {
		return "http://" + a.String()
	}
	return ""
}

// Ledger gives access to the record of every POST seen.
func (s *Simulator) Ledger() *Ledger { return s.ledger }

// Run listens and answers until ctx ends. It returns nil on a clean stop, the
// reason why it could not listen, or that of an incomplete ledger. Webhooks not
// delivered by then are lost, and logged as a number. Run can be called once.
func (s *Simulator) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("the simulator ran already")
	}
	listener, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", s.config.Listen, err), s.ledger.close())
	}
	s.addr, s.started = listener.Addr(), time.Now()
	close(s.ready)

	var background sync.WaitGroup
	background.Go(func() { s.scheduler.run(s.ctx) })
	background.Go(func() { s.ledger.run(s.ctx) })
	for _, n := range s.numbers {
		background.Go(func() { n.webhooks.run(s.ctx) })
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	s.logger.Info("simulator is listening", "address", s.addr.String(), "profile", s.profile.name, "seed", s.config.Seed)

	select {
	case <-ctx.Done():
	case err = <-served:
	}
	s.stop() // answers that wait give up, so that the server can stop at once
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // somebody does not read his answer
	}
	s.tasks.Wait()
	background.Wait()
	if left := s.backlog(); left > 0 {
		s.logger.Warn("webhooks were not delivered before the simulator stopped", "events", left)
	}
	s.logger.Info("simulator stopped", "posts", s.ledger.Count(), "accepted", s.stats.accepted.Load())
	return errors.Join(err, s.ledger.close())
}

// backlog is the number of events and messages that have something to report.
func (s *Simulator) backlog() int {
	left := s.scheduler.backlog()
	for _, n := range s.numbers {
		left += n.webhooks.backlog()
	}
	return left
}

func (s *Simulator) paced(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.config.Pace)
}

// dropped counts events that will never be reported, and says so once.
func (s *Simulator) dropped(events int, why string) {
	s.stats.webhooksDropped.Add(int64(events))
	s.warned.Do(func() { s.logger.Error("webhooks are being dropped", "reason", why, "events", events) })
}
