package sender

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

const (
	// doubtLimit unreachable or doubtful POSTs in a row hold the channel, for
	// doubtFirst and then twice as long each time (design §4.6).
	doubtLimit = 5
	doubtFirst = 30 * time.Second
	doubtCap   = 30 * time.Minute
	// repeatLimit identical operator failures in a row on one template of a channel
	// hold that pair before the list is burned (design §5).
	repeatLimit = 20
)

// streaks counts what happened in a row on a channel.
type streaks struct {
	mu       sync.Mutex
	doubts   int
	pause    time.Duration // of the last hold; doubled by the next
	until    time.Time     // of the last hold
	failures map[campaign.TemplateID]streak
}

type streak struct {
	code string
	n    int
}

// doubt notes an unreachable or doubtful POST and says for how long the channel
// is to be held, zero for not at all. The count starts again when a hold ends.
func (s *streaks) doubt(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) {
		return 0 // a POST that was under way when the hold came
	}
	if s.doubts++; s.doubts < doubtLimit {
		return 0
	}
	s.doubts = 0
	s.pause = min(max(2*s.pause, doubtFirst), doubtCap)
	s.until = now.Add(s.pause)
	return s.pause
}

// answered notes that the provider answered, whatever it said.
func (s *streaks) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubts, s.pause = 0, 0
}

// failed notes an operator failure and reports whether it is the one too many,
// and once more after as many again: somebody may have lifted the hold.
func (s *streaks) failed(t campaign.TemplateID, code string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == nil {
		s.failures = map[campaign.TemplateID]streak{}
	}
	k := s.failures[t]
	if k.code != code {
		k = streak{code: code}
	}
	k.n++
	s.failures[t] = k
	return k.n%repeatLimit == 0
}

func (s *streaks) succeeded(t campaign.TemplateID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failures, t)
}

// react does what an answer means beyond its message: the channel's speed, and
// holds that need more than one answer to be sure.
func (s *Sender) react(ctx context.Context, ch *channel, turn campaign.Turn, template campaign.TemplateID, a campaign.Answer, begun time.Time) {
	if s.Logger.Enabled(ctx, slog.LevelDebug) { // the arguments of a line that nobody reads cost 2 % of a message
		s.Logger.Debug("posted", "channel_id", ch.ID, "campaign_id", turn.Campaign, "message_id", turn.Message, "attempt", turn.Attempt,
			"answer", a.Kind, "code", a.Failure.Code, "error", a.Err)
	}
	switch a.Kind {
	case campaign.AnswerAccepted, campaign.AnswerHeld:
		ch.streaks.answered()
		ch.streaks.succeeded(template)
	case campaign.AnswerFailed:
		ch.streaks.answered()
		if a.Failure.Class == campaign.SlowDown {
			s.slowDown(ch, begun)
		}
		if a.Failure.Operator && ch.streaks.failed(template, a.Failure.Code) {
			s.hold(ctx, campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(template), Source: campaign.SourceRepeated,
				Reason: fmt.Sprintf("%d messages in a row failed with %s: %s", repeatLimit, a.Failure.Code, a.Failure.Title)})
		}
	case campaign.AnswerUnreachable, campaign.AnswerInDoubt:
		if pause := ch.streaks.doubt(s.Now()); pause > 0 {
			until := s.Now().Add(pause)
			s.hold(ctx, campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(ch.ID), Source: campaign.SourceInDoubt, Until: &until,
				Reason: fmt.Sprintf("%d POSTs in a row were not answered", doubtLimit)})
		}
	}
}

// hold puts a hold; where the database is away the next answer asks again.
func (s *Sender) hold(ctx context.Context, h campaign.Hold) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.Store.PutHold(ctx, h); err != nil {
		s.Logger.Error("cannot put a hold", "scope", h.Scope, "source", h.Source, "error", err)
		return
	}
	s.Logger.Warn("held", "scope", h.Scope, "scope_id", h.ScopeID, "source", h.Source, "reason", h.Reason)
}
