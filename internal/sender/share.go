package sender

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/throttle"
)

// renewEvery is how often a share is renewed: a dead node's is free again within
// campaign.ShareLease, and one lost reply costs nothing.
const renewEvery = 2 * time.Second

// lease is this node's share of a channel's rate.
type lease struct {
	mu    sync.Mutex // one renewal at a time
	share float64
	until time.Time // counted from before the share was asked for

	seen atomic.Pointer[throttle.Share] // the last of them, for who must not wait for a renewal
}

// leaseShare begins the lease of a limited channel, so that its first message
// need not wait for the next renewal, and ends that of one without a limit.
func (s *Sender) leaseShare(ctx context.Context, next, former *channel) {
	if next.Rate == 0 {
		next.throttle.SetShare(throttle.Share{})
		return
	}
	if next.share = former.share; next.share == nil {
		next.share = &lease{}
		next.throttle.SetShare(throttle.Share{Until: s.Now()}) // nothing until there is one
	}
	s.renew(ctx, next)
}

// renewShares keeps the leases of limited channels until ctx ends. Then they are
// left to end, or to Close: what is on the wire still uses them.
func (s *Sender) renewShares(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, ch := range s.sending() {
			if ch.share != nil {
				s.renew(ctx, ch)
			}
		}
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
	confirmed := 0.0
	if asked.Before(ch.share.until) {
		confirmed = ch.share.share
	}
	// Whoever has more messages waiting gets more, and everybody something.
	weight := 1 + float64(ch.throttle.Waiting())
	share, err := s.Store.RenewShare(ctx, ch.ID, s.Node, ch.Rate, weight, confirmed)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Warn("cannot renew the share of a channel's rate", "channel_id", ch.ID, "error", err)
		}
		return
	}
	ch.share.share, ch.share.until = share, asked.Add(campaign.ShareLease)
	leased := throttle.Share{Rate: share, Until: ch.share.until}
	ch.throttle.SetShare(leased)
	ch.share.seen.Store(&leased)
}
