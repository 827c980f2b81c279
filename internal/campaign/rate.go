package campaign

import "time"

// ShareLease is how long a node may use its share of a channel's rate without
// renewing it: three times the period of renewal. Nodes count it from before
// they ask, the database from after.
const ShareLease = 6 * time.Second

// Demand is what a node says when it renews its share of a channel's rate.
type Demand struct {
	Weight  float64   // what it could use, beside what the others say
	Using   float64   // the share that it is using at most, in messages per second; 0 when its lease has ended
	Sent    float64   // messages per second that it posted in the last second
	Refused time.Time // when the newest POST was begun whose answer asked us to slow down; zero: none since the last renewal
}

// Share is what a node is given of a channel's rate.
type Share struct {
	Rate    float64       // of this node, in messages per second; +Inf without a limit
	Allowed float64       // of all nodes together; +Inf without a limit
	Cut     bool          // this demand cut what is allowed
	CutAge  time.Duration // since what is allowed was last cut; negative: never
}

// The rules of design §5, slow_down. They are the provider's interest, not a
// measurement of ours: at 10 % per 10 s a halved rate is whole again after 80 s.
const (
	cutFactor      = 0.5
	slowestRate    = 1.0
	cutEvery       = 10 * time.Second
	recoveryEvery  = 10 * time.Second
	recoveryFactor = 1.1

	// liftFactor ends a slow-down of a channel without a limit: at twice the rate
	// that was refused. The provider then has carried everything between that rate
	// and its double for more than a minute.
	liftFactor = 2
)

// Slowdown is what remains of the provider's wish that a channel sends slower,
// for all nodes together. The zero Slowdown allows everything. Limits are in
// messages per second, 0 is none.
type Slowdown struct {
	Rate    float64   // 0: not slowed
	Refused float64   // the rate before the last cut
	CutAt   time.Time // of the last cut, also after recovery; zero: never
	QuietAt time.Time // since when there was neither such an answer nor a recovery
}

// At gives the slow-down after the recovery that is due at a moment.
func (s Slowdown) At(now time.Time, limit float64) Slowdown {
	for s.Rate > 0 && now.Sub(s.QuietAt) >= recoveryEvery {
		s.Rate *= recoveryFactor
		s.QuietAt = s.QuietAt.Add(recoveryEvery)
		if limit > 0 && s.Rate >= limit || limit == 0 && s.Rate >= s.Refused*liftFactor {
			s.Rate = 0
		}
	}
	return s
}

// Allowed gives what is left of a limit; 0 is no limit.
func (s Slowdown) Allowed(limit float64) float64 {
	switch {
	case s.Rate == 0:
		return limit
	case limit == 0:
		return s.Rate
	}
	return min(s.Rate, limit)
}

// Note takes an answer that asked us to slow down, to a POST begun at a moment,
// and says whether it cut what is allowed: at most once in 10 s, and only by a
// POST begun after the last cut; others are its echo. Without a limit the cut
// starts from sent, what all nodes posted in the last second. All times are of
// one clock.
func (s Slowdown) Note(now, begun time.Time, limit, sent float64) (Slowdown, bool) {
	s = s.At(now, limit)
	if !s.CutAt.IsZero() && !begun.After(s.CutAt) {
		return s, false
	}
	s.QuietAt = now
	if !s.CutAt.IsZero() && now.Sub(s.CutAt) < cutEvery {
		return s, false
	}
	allowed := s.Allowed(limit)
	base := allowed
	if base == 0 {
		base = sent
	}
	cut := max(base*cutFactor, slowestRate)
	if allowed > 0 && cut >= allowed {
		return s, false // a limit below 1/s stays as it is
	}
	s.Rate, s.Refused, s.CutAt = cut, max(base, slowestRate), now
	return s, true
}
