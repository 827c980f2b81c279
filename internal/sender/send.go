package sender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/throttle"
)

// claimLife is how long a claim is good for, from before its first request was
// sent (design §4.4).
const claimLife = 10 * time.Second

// keptPatience is how long a turn asks for messages that others keep: then it gives
// its worker and its ticket back, also because a stop waits for it.
const keptPatience = time.Second

// turn is one turn: claim, POST, outcome, after the limiter let it go. From here on
// a stop interrupts nothing: what was begun is ended.
//
// What can still go wrong: the provider may take the message and our process may
// end before its answer is committed. Then the claim is all there is; it turns
// the message into unknown, and a webhook or a person decides, never a second
// POST.
func (s *Sender) turn(ctx context.Context, ch *channel, p *pump, ticket *throttle.Ticket) {
	defer ticket.Cancel()
	begun := s.Now()
	started := begun
	news := p.news()
	takes := s.takes[0]
	if p.high {
		takes = s.takes[1]
	}
	var taken campaign.Taken
	for {
		var err error
		// Not bounded in time: once asked for, a claim may be committed although its
		// reply is late, and then it must be used or released by us.
		taken, err = takes.Do(ctx, campaign.Want{Channel: ch.ID, High: p.high, Claim: newClaimID()})
		if err == nil {
			err = taken.Err
		}
		if err != nil {
			s.Logger.Error("cannot claim a message", "channel_id", ch.ID, "message_id", taken.Message, "error", err)
			p.heard(taken.Message != 0, news) // where no message is to blame, not again at once
			return
		}
		if !taken.Again {
			break
		}
		// Another message to the same person is in the batch: let it go first. Or
		// somebody else keeps the message: then the next one may be free.
		time.Sleep(time.Millisecond)
		if started = s.Now(); started.Sub(begun) > keptPatience {
			p.heard(true, news) // there are messages: others may ask beside us
			return
		}
	}
	validity := campaign.NewValidity(started, claimLife, s.Now)
	p.heard(taken.Message != 0, news)
	if taken.Message == 0 {
		return
	}
	ch.observer.Stage(StageClaim, s.Now().Sub(started))
	if !taken.OK {
		ch.observer.Refused()
		return
	}
	answer := s.post(ctx, ch, taken.Turn, taken.Claimed, validity, ticket)
	ch.observer.Answered(answer)
	known := s.Now()
	if _, err := s.outcomes.Do(ctx, campaign.Outcome{Turn: taken.Turn, Answer: answer}); err != nil {
		// Only the end of the process ends the attempts to write it: the claim stands
		// and becomes unknown.
		s.Logger.Error("cannot record an outcome", "channel_id", ch.ID, "message_id", taken.Message, "error", err)
		return
	}
	ch.observer.Stage(StageOutcome, s.Now().Sub(known))
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
	answer := ch.provider.Send(ctx, request)
	ch.observer.Stage(StagePost, s.Now().Sub(begun))
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
	template, err := s.templates.get(ctx, claimed.Template)
	if err != nil {
		return nil, fmt.Errorf("read the template of message %d: %w", turn.Message, err)
	}
	constants, err := s.constants.get(ctx, turn.Campaign)
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
