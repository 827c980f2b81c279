package throttle

import (
	"time"

	"golang.org/x/time/rate"
)

// The rules of design "Errors", slow_down. They are the provider's interest,
// not a measurement of ours: at 10 % per 10 s a halved rate is whole again after
// 80 s.
const (
	cutFactor      = 0.5
	slowest        = rate.Limit(1)
	cutEvery       = 10 * time.Second
	recoveryEvery  = 10 * time.Second
	recoveryFactor = 1.1

	// liftFactor ends a slow-down of a channel without a limit: at twice the
	// rate that was refused. The provider then has carried everything between
	// that rate and its double for more than a minute.
	liftFactor = 2
)

// slowdown is what remains of the provider's wish that we send slower. The zero
// slowdown allows everything.
type slowdown struct {
	rate    rate.Limit // 0: not slowed
	refused rate.Limit // the rate before the last cut
	cutAt   time.Time  // of the last cut, also after recovery
	quiet   time.Time  // since when there was neither such an answer nor a recovery
}

// note takes an answer to a POST begun at the given time, and says whether it
// cut the rate: from base, and only below what is allowed. The two differ where
// nothing is limited, and base is what was sent.
func (s *slowdown) note(now, begun time.Time, allowed, base rate.Limit) bool {
	if !s.cutAt.IsZero() && !begun.After(s.cutAt) {
		return false // an echo of what the cut already answered
	}
	s.quiet = now
	if !s.cutAt.IsZero() && now.Sub(s.cutAt) < cutEvery {
		return false
	}
	cut := max(base*cutFactor, slowest)
	if cut >= allowed {
		return false // a limit or share below 1/s stays as it is
	}
	s.rate = cut
	s.refused = max(base, slowest)
	s.cutAt = now
	return true
}

// allow returns what is allowed of a limit, after the recovery due by now.
func (s *slowdown) allow(now time.Time, limit rate.Limit) rate.Limit {
	for s.rate > 0 && now.Sub(s.quiet) >= recoveryEvery {
		s.rate *= recoveryFactor
		s.quiet = s.quiet.Add(recoveryEvery)
		if s.rate >= limit || limit == rate.Inf && s.rate >= s.refused*liftFactor {
			s.rate = 0
		}
	}
	if s.rate == 0 {
		return limit
	}
	return min(s.rate, limit)
}
