package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Store is what a Runner needs of the database.
type Store interface {
	// DueSchedules lists the timetables with a moment up to now that is not decided.
	DueSchedules(ctx context.Context, now time.Time) ([]campaign.Timetable, error)
	// AdvanceSchedule stores a decision in one transaction, or not when somebody
	// else was first.
	AdvanceSchedule(ctx context.Context, a campaign.Advance) (launched campaign.ID, advanced bool, err error)
}

// Runner decides about the moments of timetables when they come. Any number may
// run at a time.
type Runner struct {
	Store Store
	Log   *slog.Logger
}

// Pass decides about everything that has come up to now.
func (r *Runner) Pass(ctx context.Context, now time.Time) error {
	for {
		due, err := r.Store.DueSchedules(ctx, now)
		if err != nil || len(due) == 0 {
			return err
		}
		advanced := false
		for _, t := range due {
			a, err := Decide(t, now)
			if err != nil {
				// It was checked when it was made: this program lost what it knew of its zone.
				r.Log.Error("a schedule cannot be read", "schedule_id", t.ID, "error", err)
				continue
			}
			id, ok, err := r.Store.AdvanceSchedule(ctx, a)
			if err != nil {
				return err
			}
			advanced = advanced || ok
			if ok {
				r.tell(a, id)
			}
		}
		if !advanced {
			return nil // another daemon is at it, or nothing can be read
		}
	}
}

func (r *Runner) tell(a campaign.Advance, id campaign.ID) {
	for _, o := range a.Skipped {
		r.Log.Warn("an occurrence of a schedule was skipped", "schedule_id", a.Timetable.ID, "at", o.At, "reason", o.Reason)
	}
	if id != 0 {
		r.Log.Info("a schedule asked for its campaign", "schedule_id", a.Timetable.ID, "campaign_id", id, "at", *a.Launch)
	}
}

const (
	// atOnce bounds what one transaction decides about: a year of minutes is many.
	atOnce = 500
	// leastGrace is how long planning may be tried whatever the limit.
	leastGrace = 5 * time.Minute
)

// Decide says what becomes of a timetable's moments up to now: of those that
// came, the last one is launched if it is late by no more than Late. Everything
// else is skipped, with its reason: two campaigns of one schedule at the same time
// are never wanted.
func Decide(t campaign.Timetable, now time.Time) (campaign.Advance, error) {
	a := campaign.Advance{Timetable: t, Now: now}
	cron, err := Of(t)
	if err != nil {
		return a, fmt.Errorf("read schedule %d: %w", t.ID, err)
	}
	at := *t.NextAt
	for range atOnce {
		next := cron.Next(at)
		late := now.Sub(at)
		reason := ""
		switch {
		case t.PausedAt != nil:
			reason = "the schedule was paused"
			if t.PauseReason != "" {
				reason += ": " + t.PauseReason
			}
		case late > t.Late:
			reason = fmt.Sprintf("no daemon launched it within %s", t.Late)
		case !next.IsZero() && !next.After(now):
			reason = "the next one had come before a daemon launched it"
		}
		if reason == "" {
			a.Launch, a.Key = &at, cron.Key(at)
			a.ExpiresAt = at.Add(t.Late)
			if least := now.Add(leastGrace); a.ExpiresAt.Before(least) {
				a.ExpiresAt = least
			}
		} else {
			a.Skipped = append(a.Skipped, campaign.Occurrence{At: at, Outcome: campaign.OccurrenceSkipped, Reason: reason})
		}
		if next.IsZero() {
			return a, nil
		}
		a.Next = &next
		if next.After(now) {
			return a, nil
		}
		at = next
	}
	return a, nil
}
