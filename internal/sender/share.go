package sender

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/throttle"
)

// renewEvery is how often a share is renewed: a dead node's is free again within
// campaign.ShareLease, and one lost reply costs nothing. A node that has nothing
// yet asks again sooner: whoever begins has its part as soon as the others have
// made room with their next renewal.
const (
	renewEvery = 2 * time.Second
	askAgain   = renewEvery / 8
)

// lease is this node's share of a channel's rate.
type lease struct {
	mu      sync.Mutex // one renewal at a time
	refused refusals
	seen    atomic.Pointer[throttle.Share] // the last of them, for who must not wait for a renewal
}

// refusals remembers the newest POST whose answer asked us to slow down, until
// all nodes know.
type refusals struct {
	mu    sync.Mutex
	begun time.Time
}

func (r *refusals) note(begun time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begun.After(r.begun) {
		r.begun = begun
	}
}

func (r *refusals) newest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

// told forgets what was told; what came meanwhile stays.
func (r *refusals) told(begun time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun.Equal(begun) {
		r.begun = time.Time{}
	}
}

// leaseShare begins or goes on with the lease of a channel, so that its first
// message need not wait for the next renewal. A channel without a limit has one
// too: the provider may ask all nodes to slow down.
func (s *Sender) leaseShare(ctx context.Context, next, former *channel) {
	if next.share = former.share; next.share == nil {
		next.share = &lease{}
		next.throttle.SetShare(throttle.Share{Until: s.Now()}) // nothing until there is one
	}
	s.renew(ctx, next)
}

// renewShares keeps the leases of the channels until ctx ends. Then they are left
// to end, or to Close: what is on the wire still uses them. Channels do not wait
// for one another.
func (s *Sender) renewShares(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		var now []*channel
		select {
		case <-ctx.Done():
			return
		case ch := <-s.renewNow:
			now = []*channel{ch}
		case <-tick.C:
			now = s.sending()
		}
		var wg sync.WaitGroup
		for _, ch := range now {
			wg.Go(func() { s.renew(ctx, ch) })
		}
		wg.Wait()
	}
}

// slowDown takes note of an answer that asked us to slow down, to a POST begun at
// a moment. This node goes slower at once; the others are told at once where that
// is news, otherwise with the next renewal.
func (s *Sender) slowDown(ch *channel, begun time.Time) {
	ch.share.refused.note(begun)
	if ch.throttle.SlowDown(begun) {
		s.hurry(ch)
	}
}

// hurry has a share renewed at once. Where too many ask for that, the renewal
// that is due anyway does it.
func (s *Sender) hurry(ch *channel) {
	select {
	case s.renewNow <- ch:
	default:
	}
}

// Freed tells that another node gave its share of a channel's rate back. Without
// the word it would be used by nobody until this node renews its own.
func (s *Sender) Freed(id campaign.ChannelID) {
	if ch := s.channel(id); ch != nil {
		s.hurry(ch)
	}
}

// dropShares gives the shares back.
func (s *Sender) dropShares() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Store.DropShares(ctx, s.Node); err != nil {
		s.Logger.Warn("the shares were not given back; the others have them when the leases end", "error", err)
	}
}

// renew renews one lease. Where the database does not answer, the share stands
// until its lease ends; then nothing is sent.
func (s *Sender) renew(ctx context.Context, ch *channel) {
	ch.share.mu.Lock()
	defer ch.share.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, campaign.ShareLease)
	defer cancel()
	asked := s.Now()
	refused := ch.share.refused.newest()
	demand := s.demand(ch, asked, refused)
	given, err := s.Store.RenewShare(ctx, ch.ID, s.Node, demand)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Warn("cannot renew the share of a channel's rate", "channel_id", ch.ID, "error", err)
		}
		return
	}
	ch.share.refused.told(refused)
	s.use(ch, given, asked)
	switch {
	case given.Rate == 0:
		time.AfterFunc(askAgain, func() { s.hurry(ch) })
	case given.Rate < demand.Using:
		s.hurry(ch) // says that this node goes slower now, so that the others may go faster
	}
	if given.Cut {
		s.Logger.Warn("the provider asks us to slow down", "channel_id", ch.ID, "rate", given.Allowed, "share", given.Rate)
	}
}

// use takes over a share that was asked for at a moment.
func (s *Sender) use(ch *channel, given campaign.Share, asked time.Time) {
	share := throttle.Share{Rate: given.Rate, Asked: asked, Until: asked.Add(campaign.ShareLease)}
	if math.IsInf(given.Rate, 1) {
		// Without a limit nothing is divided, so nothing has to end.
		share.Rate, share.Until = 0, time.Time{}
	}
	if given.CutAge >= 0 {
		share.CutAt = s.Now().Add(-given.CutAge)
	}
	ch.throttle.SetShare(share)
	ch.share.seen.Store(&share)
}

// Nodes that use their share get equal parts, however long their lines are: any
// of them takes the next job of the channel. Lengths change with every renewal,
// and a share that moves is used by nobody for 2-4 s: divided by them, four busy
// nodes had 0.9-0.97 of the rate. Idle ones keep a small part each, so that a first
// message need not wait for a renewal: of eight nodes 0.1-0.9 % of the rate.
const (
	idleWeight = 1
	busyWeight = 100
	busyFrom   = 0.8 // of its share is in use
)

// demand is what this node says of itself.
func (s *Sender) demand(ch *channel, now, refused time.Time) campaign.Demand {
	d := campaign.Demand{Weight: idleWeight, Sent: ch.throttle.Sent(), Refused: refused}
	switch last := ch.share.seen.Load(); {
	case last == nil:
	case last.Until.IsZero():
		d.Using = d.Sent
	case now.Before(last.Until):
		d.Using = last.Rate
	}
	if ch.pumps[0].demand() > 1 || ch.pumps[1].demand() > 1 || d.Sent > busyFrom*d.Using {
		d.Weight = busyWeight
	}
	return d
}

// Working lists the channels that this node can send for.
func (s *Sender) Working() []campaign.ChannelID {
	ids := []campaign.ChannelID{}
	for _, ch := range s.sending() {
		ids = append(ids, ch.ID)
	}
	return ids
}
