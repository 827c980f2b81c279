// Package sender is the outgoing half: the fan-out ticker, the send worker and
// its outcome. A turn goes limiter → claim → POST → outcome (design §4). It
// must not know SQL, nor the provider's codes: it looks at classes.
package sender

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/batch"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/throttle"
)

// Store is what the sender needs of the database.
type Store interface {
	Channels(ctx context.Context) ([]campaign.Channel, error)
	TemplateByID(ctx context.Context, id campaign.TemplateID) (campaign.Template, error)
	CampaignConstants(ctx context.Context, id campaign.ID) ([]byte, error)
	Opaque(message campaign.MessageID, attempt int) string

	FanOut(ctx context.Context, channel campaign.ChannelID, jobs, slice int) (int, error)
	Take(ctx context.Context, wants []campaign.Want) ([]campaign.Taken, error)
	Record(ctx context.Context, outcomes []campaign.Outcome) error

	RenewShare(ctx context.Context, channel campaign.ChannelID, node string, demand campaign.Demand) (campaign.Share, error)
	DropShares(ctx context.Context, node string) error

	PutHold(ctx context.Context, h campaign.Hold) error
	LiftHold(ctx context.Context, scope campaign.HoldScope, id int64, source string) (bool, error)
}

// Provider posts messages of one channel. Each POST ends by itself, within 20 s
// (design §4.4).
type Provider interface {
	Send(ctx context.Context, r *campaign.Request) campaign.Answer
	Close()
}

// Config of a Sender.
type Config struct {
	Store Store
	// Connect gives a channel's provider. Its error is shown to people as the
	// reason why the channel is held: it must hold no key.
	Connect func(campaign.Channel) (Provider, error)
	Logger  *slog.Logger
	Node    string // names this process among all that send; unique
	// Fingerprint tells one key of a channel from the next, without being one: a
	// channel whose key file was replaced is connected anew. Nil: keys never change.
	Fingerprint func(campaign.Channel) string
	// MaxWorkers bounds the messages of a channel that are on the wire at a time,
	// and so the messages of unknown fate after a crash.
	MaxWorkers int
	// Observe gives the observer of a channel, also of one that was taken up before;
	// nil when nobody measures.
	Observe func(campaign.Channel) Observer
	// Confirmations are sent beside the messages; nil when nobody is told that a
	// stop was heard.
	Confirmations Confirmations
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// DefaultMaxWorkers bounds the workers of a channel without a limit, or with a
// very high one. On two cores, messages a second: with 500 workers 8,500-9,500, with
// 1,000 10,800-11,500, with 2,000 11,700; the batches grow with them. More of them
// leave more messages of unknown fate after a crash.
const DefaultMaxWorkers = 1000

// Sender sends the messages of every channel. Run keeps it going.
type Sender struct {
	Config

	takes    [2]*batch.Gatherer[campaign.Want, campaign.Taken] // any, and those of high priority only
	outcomes *batch.Gatherer[campaign.Outcome, struct{}]
	turns    sync.WaitGroup // under way

	templates *cache[campaign.TemplateID, *campaign.Template]
	constants *cache[campaign.ID, campaign.Parameters]

	mu       sync.RWMutex
	channels map[campaign.ChannelID]*channel

	postsMu sync.Mutex
	posts   map[campaign.ID]int64 // since Posts was asked last

	renewNow chan *channel // whose share cannot wait for the next renewal
}

// channel is one sending number on this node.
type channel struct {
	campaign.Channel
	provider Provider
	throttle *throttle.Channel
	workers  int
	pumps    pumps    // kept like the throttle, whatever changes of the channel
	streaks  *streaks // kept while the channel is known, whatever changes of it
	key      string   // the fingerprint of its key
	problem  string   // why it cannot be used, when it cannot
	heldAt   time.Time
	share    *lease // of the channel's rate
	observer Observer
}

// One batch of claims and one of outcomes are under way at a time, so that the next
// one fills meanwhile: what a batch costs beside its rows (its locks, its commit) is
// shared by twice as many as with two of each. The turns of a batch go on all at
// once, and whoever comes then stands behind them; with 1,000 workers, the speed to
// a bare HTTP client's and enqueue's p50 from commit to POST:
//
//	at most 500   0.292          18.1 ms
//	at most 250   0.322  0.322   14.4 ms  14.3 ms
//	at most 150   0.300          13.0 ms
const (
	flights   = 1
	batchSize = 250
)

// apart is how long after one batch the next one begins at the earliest: what a
// batch costs beside its rows is most of it where they are few. CPU of 1,000
// messages of a channel at 1,000/s, campaignd and Postgres, two runs each:
//
//	at once   0.59 + 0.80   0.54 + 0.74
//	5 ms      0.30 + 0.34   0.31 + 0.35
//	10 ms     0.25 + 0.27   0.23 + 0.25
//	20 ms     0.22 + 0.21   0.22 + 0.21
//
// Messages of high priority do not wait for company.
const apart = 10 * time.Millisecond

// New gives a sender. Its batches are written on ctx, which a stop must not
// cancel before every worker is gone.
func New(ctx context.Context, c Config) *Sender {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxWorkers == 0 {
		c.MaxWorkers = DefaultMaxWorkers
	}
	s := &Sender{Config: c,
		channels: map[campaign.ChannelID]*channel{},
		posts:    map[campaign.ID]int64{},
		renewNow: make(chan *channel, 16),
	}
	s.templates = newCache(templateFor, c.Now, s.loadTemplate)
	s.constants = newCache(constantsFor, c.Now, s.loadConstants)
	s.takes[0] = batch.New(ctx, flights, batchSize, apart, c.Store.Take)
	s.takes[1] = batch.New(ctx, flights, batchSize, 0, c.Store.Take)
	s.outcomes = batch.New(ctx, flights, batchSize, apart, func(ctx context.Context, o []campaign.Outcome) ([]struct{}, error) {
		return make([]struct{}, len(o)), c.Store.Record(ctx, o)
	})
	return s
}

// channelsEvery is how often added and changed channels are taken up: within 2 s
// (design §10).
const channelsEvery = time.Second

// Run fans out, begins turns and keeps the channels current until ctx ends. Turns
// that were begun go on: see Drain.
func (s *Sender) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	pumped := map[campaign.ChannelID]bool{}
	refresh := func() {
		if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("cannot read the channels", "error", err)
		}
		for _, ch := range s.sending() {
			if !pumped[ch.ID] {
				pumped[ch.ID] = true
				for _, p := range ch.pumps {
					wg.Go(func() { s.pump(ctx, ch.ID, p) })
				}
			}
		}
	}
	refresh()
	wg.Go(func() { s.fanOut(ctx) })
	wg.Go(func() { s.renewShares(ctx) })
	if s.Confirmations != nil {
		wg.Go(func() { s.confirm(ctx) })
	}
	tick := time.NewTicker(channelsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-tick.C:
			refresh()
		}
	}
}

// Wake tells that a channel was given jobs, perhaps of high priority.
func (s *Sender) Wake(id campaign.ChannelID, high bool) {
	s.mu.RLock()
	ch := s.channels[id]
	s.mu.RUnlock()
	if ch != nil {
		ch.pumps[0].wake()
		if high {
			ch.pumps[1].wake()
		}
	}
}

// Drain waits after Run for the turns under way, for as long as ctx allows. Those
// that were claimed and not posted yet are given back at once, and so are this
// node's shares.
func (s *Sender) Drain(ctx context.Context) error {
	s.mu.RLock()
	for _, ch := range s.channels {
		if ch.throttle != nil {
			ch.throttle.Close()
		}
	}
	s.mu.RUnlock()
	s.dropShares() // nothing is posted any more: the others need not wait for what is on the wire
	done := make(chan struct{})
	go func() {
		s.turns.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the batches and connections after the last worker is gone.
func (s *Sender) Close() {
	for _, t := range s.takes {
		t.Close()
	}
	s.outcomes.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.channels {
		if ch.provider != nil {
			ch.provider.Close()
		}
	}
}

// sourceKey is the source of the hold on a channel whose key cannot be resolved
// on the node that should send.
const sourceKey = "key"

// refresh takes up channels that were added or changed.
func (s *Sender) refresh(ctx context.Context) error {
	list, err := s.Store.Channels(ctx)
	if err != nil {
		return err
	}
	var failed error // of one channel, which does not keep the others waiting
	for _, c := range list {
		s.mu.RLock()
		known := s.channels[c.ID]
		s.mu.RUnlock()
		if known != nil && known.provider != nil && known.UpdatedAt.Equal(c.UpdatedAt) &&
			known.key == s.fingerprint(c) {
			continue
		}
		if err := s.takeUp(ctx, c, known); err != nil {
			failed = errors.Join(failed, fmt.Errorf("take up channel %d: %w", c.ID, err))
		}
	}
	return failed
}

func (s *Sender) takeUp(ctx context.Context, c campaign.Channel, known *channel) error {
	if known == nil {
		known = &channel{streaks: &streaks{}, pumps: newPumps()}
	}
	next := &channel{Channel: c, throttle: known.throttle, workers: known.workers, pumps: known.pumps, key: s.fingerprint(c), heldAt: known.heldAt,
		streaks: known.streaks}
	provider, err := s.Connect(c)
	if err != nil {
		next.problem = "campaignd cannot use the channel: " + err.Error()
		if known.problem != next.problem {
			s.Logger.Error("a channel cannot be used", "channel_id", c.ID, "error", err)
		}
		if known.problem != next.problem || s.Now().Sub(known.heldAt) > holdAgainEvery {
			next.heldAt = s.Now()
			if err := s.Store.PutHold(ctx, campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(c.ID), Source: sourceKey, Reason: next.problem}); err != nil {
				return err
			}
		}
		s.set(next, known)
		return nil
	}
	if _, err := s.Store.LiftHold(ctx, campaign.HoldChannel, int64(c.ID), sourceKey); err != nil {
		return err
	}
	next.provider = provider
	next.observer = s.observer(c)
	if next.throttle == nil {
		next.throttle = throttle.New(throttle.Config{Rate: c.Rate})
	} else {
		next.throttle.SetRate(c.Rate)
	}
	next.workers = s.workersFor(c.Rate)
	s.leaseShare(ctx, next, known)
	s.set(next, known)
	s.Logger.Info("channel taken up", "channel_id", next.ID, "channel", next.Name, "rate", next.Rate, "workers", next.workers)
	return nil
}

// holdAgainEvery puts the hold on an unusable channel back that somebody lifted:
// without its key nothing can go.
const holdAgainEvery = 10 * time.Second

func (s *Sender) fingerprint(c campaign.Channel) string {
	if s.Fingerprint == nil {
		return ""
	}
	return s.Fingerprint(c)
}

// set puts a channel in its place; connections of the former one that idle are
// closed, those under way end by themselves.
func (s *Sender) set(next, former *channel) {
	s.mu.Lock()
	s.channels[next.ID] = next
	s.mu.Unlock()
	if former.provider != nil {
		former.provider.Close()
	}
}

// workersFor gives the number of messages of a channel that may be under way.
// Workers wait for the limiter inside their slot, at most 5 s: with one worker
// for each message a second nobody waits longer than that, and an answer may
// take a second at the full rate.
func (s *Sender) workersFor(rate float64) int {
	if rate == 0 {
		return s.MaxWorkers
	}
	return max(2, min(int(rate+0.5), s.MaxWorkers))
}

func (s *Sender) channel(id campaign.ChannelID) *channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ch := s.channels[id]
	if ch == nil || ch.provider == nil {
		return nil
	}
	return ch
}

func (s *Sender) countPost(id campaign.ID) {
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	s.posts[id]++
}

// Posts gives the POSTs by campaign since it was asked last.
func (s *Sender) Posts() map[campaign.ID]int64 {
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	posts := s.posts
	s.posts = map[campaign.ID]int64{}
	return posts
}

// templateFor is how long a template is kept; a sync or an event that changes it
// is seen after little more than that. What must act at once is a hold, read by
// every claim.
const templateFor = 2 * time.Second

func (s *Sender) loadTemplate(ctx context.Context, id campaign.TemplateID) (*campaign.Template, error) {
	t, err := s.Store.TemplateByID(ctx, id)
	return &t, err
}

// constantsFor is how long a campaign's constants are kept: they change only when
// a header file is uploaded again, days before the provider forgets the former
// upload.
const constantsFor = time.Minute

// loadConstants reads a campaign's constant parameters.
func (s *Sender) loadConstants(ctx context.Context, id campaign.ID) (campaign.Parameters, error) {
	data, err := s.Store.CampaignConstants(ctx, id)
	if err != nil {
		return nil, err
	}
	var p campaign.Parameters
	if err := p.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("read the constants of campaign %d: %w", id, err)
	}
	return p, nil
}

func newClaimID() campaign.ClaimID {
	var id campaign.ClaimID
	rand.Read(id[:])
	return id
}
