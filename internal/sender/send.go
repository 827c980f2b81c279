package sender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
	"github.com/campaignd/campaignd/internal/throttle"
)

const (
	// turnWait is how long a worker waits for the limiter before it gives its
	// turn back (design §4.2).
	turnWait = 5 * time.Second
	// claimLife is how long a claim is good for, from before its first request
	// was sent (design §4.4).
	claimLife = 10 * time.Second
	// postTimeout bounds a POST, answer included.
	postTimeout = 20 * time.Second
)

// Priorities in the line of a channel: what services enqueue as high overtakes
// campaigns.
const (
	priorityHigh   = 1
	priorityNormal = 2
	priorityLow    = 3
)

// Worker works send jobs. A send job always ends done: what becomes of the
// message is written by claim, outcome or release, and a retry gets a job of its
// own, so nothing River does can repeat a POST.
type Worker struct {
	river.WorkerDefaults[queue.Send]
	Sender *Sender
}

// NextRetry is only asked after a rescue or a panic: at once.
func (w *Worker) NextRetry(*river.Job[queue.Send]) time.Time { return w.Sender.Now() }

// Work carries out one turn: limiter, claim, POST, outcome.
//
// What can still go wrong: the provider may take the message and our process may
// end before its answer is committed. Then the claim is all there is; it turns
// the message into unknown, and a webhook or a person decides, never a second
// POST.
func (w *Worker) Work(ctx context.Context, job *river.Job[queue.Send]) error {
	id, ok := queue.ChannelOf(job.Queue)
	if !ok {
		return river.JobCancel(fmt.Errorf("queue %q belongs to no channel", job.Queue))
	}
	turn := campaign.Turn{Message: job.Args.Message, Attempt: job.Args.Attempt, Campaign: job.Args.Campaign, Channel: id}
	priority := priorityNormal
	switch {
	case job.Queue == queue.Name(id, true):
		priority = priorityHigh
	case job.Priority == priorityLow:
		priority = priorityLow
	}
	return w.Sender.turn(ctx, turn, priority)
}

// turn returns an error only when nothing was claimed and the turn could not be
// given back either: River then offers the job once more.
func (s *Sender) turn(ctx context.Context, turn campaign.Turn, priority int) error {
	// From here on a cancelled job must not interrupt: what was begun is ended.
	// The wait for the limiter is the only thing that a stop cuts short.
	detached := context.WithoutCancel(ctx)

	ch := s.channel(turn.Channel)
	if ch == nil {
		return s.giveBack(detached, turn)
	}
	came := s.Now()
	wait, cancel := context.WithTimeout(ctx, turnWait)
	ticket, err := ch.throttle.Wait(wait, throttle.Turn{Priority: priority, Campaign: int64(turn.Campaign)})
	cancel()
	ch.observer.Stage(StageLimiter, s.Now().Sub(came))
	if err != nil {
		ch.observer.GaveBack()
		return s.giveBack(detached, turn)
	}
	defer ticket.Cancel()

	turn.Claim = newClaimID()
	started := s.Now()
	validity := campaign.NewValidity(started, claimLife, s.Now)
	var claimed campaign.Claimed
	for {
		// Not bounded in time: once asked for, a claim may be committed although its
		// reply is late, and then it must be used or released by us.
		claimed, err = s.claims.Do(detached, turn)
		if err != nil {
			return fmt.Errorf("claim message %d: %w", turn.Message, err)
		}
		if claimed.Err != nil {
			return fmt.Errorf("claim message %d: %w", turn.Message, claimed.Err)
		}
		if !claimed.Again {
			break
		}
		// Another message to the same person is in the batch: let it go first.
		time.Sleep(time.Millisecond)
	}
	ch.observer.Stage(StageClaim, s.Now().Sub(started))
	if !claimed.OK {
		ch.observer.Refused()
		return nil
	}
	answer := s.post(detached, ch, turn, claimed, validity, &ticket)
	ch.observer.Answered(answer)
	known := s.Now()
	if _, err := s.outcomes.Do(detached, campaign.Outcome{Turn: turn, Answer: answer}); err != nil {
		// Only the end of the process ends the attempts to write it: the claim stands
		// and becomes unknown.
		return fmt.Errorf("record the outcome of message %d: %w", turn.Message, err)
	}
	ch.observer.Stage(StageOutcome, s.Now().Sub(known))
	return nil
}

func (s *Sender) giveBack(ctx context.Context, turn campaign.Turn) error {
	if _, err := s.releases.Do(ctx, turn); err != nil {
		return fmt.Errorf("give back the turn of message %d: %w", turn.Message, err)
	}
	return nil
}

// post builds the request, paces it, posts it and looks at the answer's class.
func (s *Sender) post(ctx context.Context, ch *channel, turn campaign.Turn, claimed campaign.Claimed, v *campaign.Validity, ticket *throttle.Ticket) campaign.Answer {
	claimedAt := s.Now()
	request, err := s.request(ctx, turn, claimed)
	if err != nil {
		if errors.Is(err, errUnbuildable) {
			return campaign.Answer{Kind: campaign.AnswerFailed, Failure: unbuildable, Err: err}
		}
		return campaign.Answer{Kind: campaign.AnswerAbandoned, Err: err}
	}
	request.Validity = v
	pace, cancel := context.WithTimeout(ctx, claimLife/2)
	err = ticket.Pace(pace)
	cancel()
	if err != nil {
		v.Abandon()
		return campaign.Answer{Kind: campaign.AnswerAbandoned, Err: err}
	}
	s.countPost(turn.Campaign)
	begun := s.Now()
	ch.observer.Stage(StagePace, begun.Sub(claimedAt))
	post, cancel := context.WithTimeout(ctx, postTimeout)
	answer := ch.provider.Send(post, request)
	cancel()
	took := s.Now().Sub(begun)
	ch.throttle.Observe(took)
	ch.observer.Stage(StagePost, took)
	s.react(ctx, ch, turn, claimed.Template, answer, begun)
	return answer
}

var errUnbuildable = errors.New("the message cannot be built")

// unbuildable is the failure of a message whose stored parameters do not make a
// request. The plan checks them all, so this is a message that something else
// than a plan wrote, or a template that changed between the two.
var unbuildable = campaign.Failure{
	Code: "unbuildable", Title: "the message cannot be built from its parameters", Class: campaign.Final,
	Scope: campaign.ScopeRequest, Operator: true,
	Advice: "Look at the parameters with campaignctl message show, and plan again.",
}

func (s *Sender) request(ctx context.Context, turn campaign.Turn, claimed campaign.Claimed) (*campaign.Request, error) {
	template, err := s.template(ctx, claimed.Template)
	if err != nil {
		return nil, fmt.Errorf("read the template of message %d: %w", turn.Message, err)
	}
	constants, err := s.constantsOf(ctx, turn.Campaign)
	if err != nil {
		return nil, err
	}
	parameters := campaign.Parameters{}
	if err := parameters.UnmarshalJSON(claimed.Parameters); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnbuildable, err)
	}
	if len(constants) > 0 {
		own := parameters
		parameters = maps.Clone(constants)
		maps.Copy(parameters, own)
	}
	return &campaign.Request{
		To: claimed.Phone, Template: template, Parameters: parameters,
		Opaque: s.Store.Opaque(turn.Message, turn.Attempt),
	}, nil
}
