package sender

import (
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Observer is told how the turns of one channel go, for whoever measures them.
// Its methods are called by every worker on the way of every message: they must
// neither block nor allocate.
type Observer interface {
	// Stage tells how long a stage of a turn took, waiting included.
	Stage(stage Stage, took time.Duration)
	// Refused tells that the claim was refused: paused, cancelled, opted out, or
	// another turn's by now.
	Refused()
	// Answered tells what is known after the POST of a claimed turn.
	Answered(answer campaign.Answer)
}

// Stage is a part of a turn.
type Stage int

// The stages, in their order.
const (
	StageLimiter Stage  = iota // until the channel's limiter lets the turn go
	StageClaim                 // until the claim is committed, the wait for its batch included
	StagePace                  // from the claim to the POST: building the request and the pacer
	StagePost                  // the POST with its answer
	StageOutcome               // until the outcome is committed, the wait for its batch included
	Stages       = iota        // how many there are
)

// String gives the stage's name, for labels.
func (s Stage) String() string {
	return [Stages]string{"limiter", "claim", "pace", "post", "outcome"}[s]
}

// unobserved is the Observer of nobody.
type unobserved struct{}

func (unobserved) Stage(Stage, time.Duration) {}
func (unobserved) Refused()                   {}
func (unobserved) Answered(campaign.Answer)   {}

func (s *Sender) observer(c campaign.Channel) Observer {
	if s.Observe == nil {
		return unobserved{}
	}
	return s.Observe(c)
}

// Flow is how a channel goes on this node at a moment.
type Flow struct {
	Channel string
	Limit   float64       // messages per second over all nodes; 0 is no limit
	Now     float64       // what this node may send now, a slow-down included; 0 without a limit that binds it
	Leased  bool          // whether Share and Lease mean anything: only a limit is divided
	Share   float64       // what this node leased of the limit
	Lease   time.Duration // how long that lease is still good; below 0 when it ended
	Busy    int           // turns under way
	Workers int           // turns that may be under way at a time
}

// Flows gives every channel that this node can send for, in the order of their
// numbers.
func (s *Sender) Flows() []Flow {
	var flows []Flow
	for _, ch := range s.sending() {
		f := Flow{Channel: ch.Name, Busy: ch.pumps[0].underway() + ch.pumps[1].underway(), Workers: ch.workers}
		f.Limit, f.Now = ch.throttle.Rate()
		if seen := ch.share.seen.Load(); seen != nil && !seen.Until.IsZero() {
			f.Leased, f.Share, f.Lease = true, seen.Rate, seen.Until.Sub(s.Now())
		}
		flows = append(flows, f)
	}
	return flows
}
