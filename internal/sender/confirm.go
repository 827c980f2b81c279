package sender

import (
	"context"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Confirmations keeps the texts that are owed to people who stopped marketing. A
// claim is committed when TakeConfirmation returns, and never given twice, except
// after EndConfirmation said that it waits again.
type Confirmations interface {
	ConfirmationsDue(ctx context.Context) ([]campaign.ChannelID, error)
	TakeConfirmation(ctx context.Context, channel campaign.ChannelID) (c campaign.Confirmation, ok bool, err error)
	EndConfirmation(ctx context.Context, c campaign.Confirmation, state campaign.ConfirmationState, reason string, wait time.Duration) error
	TidyConfirmations(ctx context.Context) (lost int64, err error)
	ConfirmationOpaque(id int64) string
}

const (
	confirmEvery = time.Second
	tidyEvery    = 10 * time.Second
	// endConfirmationFor is how long the database is tried for an outcome: less than
	// a stop waits for turns. A claim without one is given up as unknown.
	endConfirmationFor = 15 * time.Second
)

// confirm sends confirmations until ctx ends: one at a time on each channel, in
// line with its messages. What was begun is ended, see Drain.
func (s *Sender) confirm(ctx context.Context) {
	var mu sync.Mutex
	busy := map[campaign.ChannelID]bool{}
	begin := func(id campaign.ChannelID) bool {
		mu.Lock()
		defer mu.Unlock()
		if busy[id] {
			return false
		}
		busy[id] = true
		return true
	}
	end := func(id campaign.ChannelID) {
		mu.Lock()
		defer mu.Unlock()
		delete(busy, id)
	}
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	var tidied time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := s.Now(); now.Sub(tidied) >= tidyEvery {
			tidied = now
			lost, err := s.Confirmations.TidyConfirmations(ctx)
			if err != nil && ctx.Err() == nil {
				s.Logger.Error("cannot tidy confirmations", "error", err)
			}
			if lost > 0 {
				s.Logger.Warn("confirmations were lost with their process; whether they were sent is unknown, and they are not sent again", "confirmations", lost)
			}
		}
		due, err := s.Confirmations.ConfirmationsDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("cannot look for confirmations", "error", err)
		}
		for _, id := range due {
			if !begin(id) {
				continue
			}
			s.turns.Go(func() {
				defer end(id)
				for ctx.Err() == nil && s.confirmOne(ctx, id) {
				}
			})
		}
	}
}

// confirmOne sends the next confirmation of a channel and reports whether there
// may be more. It goes the way of a turn: after the limiter let it go the claim,
// then the POST, then the outcome.
func (s *Sender) confirmOne(ctx context.Context, id campaign.ChannelID) bool {
	ch := s.channel(id)
	if ch == nil {
		return false // held: its key cannot be resolved here
	}
	ticket, err := ch.throttle.Wait(ctx)
	if err != nil {
		return false
	}
	defer ticket.Cancel()
	ctx = context.WithoutCancel(ctx) // what is begun is ended
	validity := campaign.NewValidity(s.Now(), claimLife, s.Now)
	c, ok, err := s.Confirmations.TakeConfirmation(ctx, id)
	if err != nil {
		s.Logger.Error("cannot claim a confirmation", "channel_id", id, "error", err)
		return false
	}
	if !ok {
		return false
	}
	pace, cancel := context.WithTimeout(ctx, claimLife/2)
	err = ticket.Pace(pace)
	cancel()
	answer := campaign.Answer{Kind: campaign.AnswerAbandoned, Err: err}
	if err == nil {
		begun := s.Now()
		answer = ch.provider.Send(ctx, &campaign.Request{To: c.Phone, Text: c.Text, Opaque: s.Confirmations.ConfirmationOpaque(c.ID), Validity: validity})
		if answer.Kind == campaign.AnswerFailed && answer.Failure.Class == campaign.SlowDown {
			s.slowDown(ch, begun)
		}
	}
	state, wait := c.After(answer)
	reason := ""
	switch {
	case answer.Kind == campaign.AnswerFailed:
		reason = answer.Failure.Code
	case state != campaign.ConfirmationSent:
		reason = string(answer.Kind)
	}
	if state == campaign.ConfirmationFailed || state == campaign.ConfirmationUnknown {
		s.Logger.Warn("a confirmation did not go out for certain; it is not sent again", "channel_id", id, "confirmation_id", c.ID, "state", state,
			"reason", reason, "error", answer.Err)
	}
	s.endConfirmation(ctx, c, state, reason, wait)
	return wait == 0
}

// endConfirmation writes an outcome, as long as the database gives hope.
func (s *Sender) endConfirmation(ctx context.Context, c campaign.Confirmation, state campaign.ConfirmationState, reason string, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, endConfirmationFor)
	defer cancel()
	for {
		err := s.Confirmations.EndConfirmation(ctx, c, state, reason, wait)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.Logger.Error("cannot record what became of a confirmation; it counts as unknown", "confirmation_id", c.ID, "error", err)
			return
		case <-time.After(time.Second):
		}
	}
}
