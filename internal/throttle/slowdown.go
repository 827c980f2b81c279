package throttle

import (
	"time"

	"golang.org/x/time/rate"
)

// The rules of design "Errors", slow_down, as far as one node carries them out
// by itself: what all nodes may send together, and its recovery, are decided
// where the shares are divided.
const (
	cutFactor = 0.5
	slowest   = rate.Limit(1)
	cutEvery  = 10 * time.Second
)

// slowdown bridges the time between the provider's wish that we send slower and
// the share that obeys it. The zero slowdown allows everything.
type slowdown struct {
	rate  rate.Limit // 0: not slowed
	cutAt time.Time  // of the last cut that is known, by whichever node
}

// note takes an answer to a POST begun at the given time, and says whether it
// cut the rate: from base, and only below what is allowed. The two differ where
// nothing is limited, and base is what was sent.
func (s *slowdown) note(now, begun time.Time, allowed, base rate.Limit) bool {
	if !s.cutAt.IsZero() && (!begun.After(s.cutAt) || now.Sub(s.cutAt) < cutEvery) {
		return false
	}
	cut := max(base*cutFactor, slowest)
	if cut >= allowed {
		return false // a limit or share below 1/s stays as it is
	}
	s.rate, s.cutAt = cut, now
	return true
}

// settle takes over what was decided for all nodes. A cut of ours that was made
// after the decision was asked for is not part of it, and stands.
func (s *slowdown) settle(share Share) {
	if s.rate > 0 && s.cutAt.Before(share.Asked) {
		s.rate = 0
	}
	if share.CutAt.After(s.cutAt) {
		s.cutAt = share.CutAt
	}
}

func (s *slowdown) allow(limit rate.Limit) rate.Limit {
	if s.rate == 0 {
		return limit
	}
	return min(s.rate, limit)
}
