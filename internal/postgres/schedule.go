package postgres

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/schedule_select.sql
	scheduleSelectSQL string
	//go:embed sql/schedule_insert.sql
	scheduleInsertSQL string
	//go:embed sql/schedule_launch.sql
	scheduleLaunchSQL string
	//go:embed sql/schedule_occurrences.sql
	scheduleOccurrencesSQL string
)

// CreateSchedule stores a timetable under its name; NextAt must be set. One of
// the same name and content is returned with created false and nothing changed;
// other content is ErrConflict, or with replace takes its place and keeps its
// occurrences and its pause.
func (s *Store) CreateSchedule(ctx context.Context, t campaign.Timetable, replace bool) (stored campaign.Timetable, created bool, err error) {
	if t.Files == nil {
		t.Files = map[string]string{}
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		args := pgx.StrictNamedArgs{
			"name": t.Name, "channel": t.Channel, "document": string(t.Document), "hash": t.Hash, "files": t.Files, "cron": t.Cron, "time_zone": t.TimeZone,
			"late": int64(t.Late / time.Second), "expect_least": t.Expect.Least, "expect_most": t.Expect.Most, "ends_at": t.EndsAt, "next_at": t.NextAt, "replace": false,
		}
		var id int64
		err := tx.QueryRow(ctx, scheduleInsertSQL, args).Scan(&id)
		if created = err == nil; created {
			return s.audit(ctx, tx, act{action: "add", object: "schedule", id: id, name: t.Name})
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		former, err := schedules(ctx, tx, t.Name, nil)
		switch {
		case err != nil:
			return err
		case len(former) == 0:
			return campaign.ErrNotFound.With(fmt.Sprintf("no channel %q", t.Channel), "campaignctl channel list shows them")
		case former[0].Hash == t.Hash && former[0].State() != "ended":
			return nil
		case !replace:
			return campaign.ErrConflict.With(fmt.Sprintf("schedule %q exists with other content, or has ended", t.Name), "give --replace to put this one in its place, or another name")
		}
		args["replace"] = true
		created = true
		if err := tx.QueryRow(ctx, scheduleInsertSQL, args).Scan(&id); err != nil {
			return err
		}
		return s.audit(ctx, tx, act{action: "replace", object: "schedule", id: id, name: t.Name})
	})
	if err != nil {
		return campaign.Timetable{}, false, fmt.Errorf("store schedule %q: %w", t.Name, translate(err))
	}
	stored, err = s.Schedule(ctx, t.Name)
	return stored, created, err
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func schedules(ctx context.Context, q querier, name string, due *time.Time) ([]campaign.Timetable, error) {
	rows, err := q.Query(ctx, scheduleSelectSQL, pgx.StrictNamedArgs{"name": name, "due": due})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Timetable, error) {
		var t campaign.Timetable
		var late int64
		err := row.Scan(&t.ID, &t.Name, &t.Channel, &t.Document, &t.Hash, &t.Files, &t.Cron, &t.TimeZone, &late,
			&t.Expect.Least, &t.Expect.Most, &t.EndsAt, &t.NextAt, &t.PausedAt, &t.PauseReason, &t.CreatedAt, &t.UpdatedAt)
		t.Late = time.Duration(late) * time.Second
		return t, err
	})
}

// Schedules lists the timetables by name.
func (s *Store) Schedules(ctx context.Context) ([]campaign.Timetable, error) {
	found, err := schedules(ctx, s.pool, "", nil)
	return found, wrap("list the schedules", err)
}

// DueSchedules lists the timetables of which a moment has come that nobody has
// decided about.
func (s *Store) DueSchedules(ctx context.Context, now time.Time) ([]campaign.Timetable, error) {
	found, err := schedules(ctx, s.pool, "", &now)
	return found, wrap("look for due schedules", err)
}

// Schedule finds a timetable by its name. ErrNotFound says which name is close.
func (s *Store) Schedule(ctx context.Context, name string) (campaign.Timetable, error) {
	name = plainText(name)
	if name != "" {
		found, err := schedules(ctx, s.pool, name, nil)
		if err != nil {
			return campaign.Timetable{}, fmt.Errorf("look for schedule %q: %w", name, translate(err))
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	names, err := collect[string](s.pool.Query(ctx, `SELECT name FROM campaign.schedules ORDER BY name LIMIT 200`))
	if err != nil {
		return campaign.Timetable{}, fmt.Errorf("list the schedules: %w", translate(err))
	}
	return campaign.Timetable{}, noneOf(fmt.Sprintf("no schedule %q", name), names, campaign.Closest(name, names),
		"campaignctl campaign launch -f FILE makes one when the file has schedule.cron")
}

// Occurrences lists what became of a timetable's moments, the newest first.
func (s *Store) Occurrences(ctx context.Context, schedule int64, limit int) ([]campaign.Occurrence, error) {
	found, err := collectStructs[campaign.Occurrence](s.pool.Query(ctx, scheduleOccurrencesSQL, pgx.StrictNamedArgs{"schedule": schedule, "limit": limit}))
	return found, wrap("list the occurrences of a schedule", err)
}

// PauseSchedule has the moments of a timetable skipped until it is resumed.
func (s *Store) PauseSchedule(ctx context.Context, name, reason string) (campaign.Timetable, error) {
	return s.changeSchedule(ctx, act{action: "pause", object: "schedule", reason: reason}, name, `UPDATE campaign.schedules SET paused_at = COALESCE(paused_at, clock_timestamp()), pause_reason = $2, updated_at = clock_timestamp() WHERE name = $1`, plainText(reason))
}

// ResumeSchedule goes on with the moments from next on, and notes those that were
// skipped before. A timetable that changed since it was read is returned as it is
// now, perhaps still paused.
func (s *Store) ResumeSchedule(ctx context.Context, t campaign.Timetable, next *time.Time, skipped []campaign.Occurrence) (campaign.Timetable, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		ok, err := stillDue(ctx, tx, t)
		if err != nil {
			return err
		}
		if !ok {
			return nil // decided anew by the caller
		}
		if err := noteOccurrences(ctx, tx, t.ID, skipped); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE campaign.schedules SET paused_at = NULL, pause_reason = '', next_at = $2, updated_at = clock_timestamp() WHERE id = $1`, t.ID, next)
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, act{action: "resume", object: "schedule", id: t.ID, name: t.Name})
	})
	if err != nil {
		return campaign.Timetable{}, fmt.Errorf("resume schedule %q: %w", t.Name, translate(err))
	}
	return s.Schedule(ctx, t.Name)
}

// DeleteSchedule forgets a timetable and its occurrences. The campaigns that it
// launched stay.
func (s *Store) DeleteSchedule(ctx context.Context, name string) (campaign.Timetable, error) {
	t, err := s.Schedule(ctx, name)
	if err != nil {
		return t, err
	}
	_, err = s.execNoted(ctx, act{action: "delete", object: "schedule", id: t.ID, name: t.Name}, `DELETE FROM campaign.schedules WHERE id = $1`, t.ID)
	return t, wrap("delete a schedule", err)
}

func (s *Store) changeSchedule(ctx context.Context, what act, name, statement string, args ...any) (campaign.Timetable, error) {
	t, err := s.Schedule(ctx, name)
	if err != nil {
		return t, err
	}
	what.id, what.name = t.ID, t.Name
	if _, err := s.execNoted(ctx, what, statement, append([]any{t.Name}, args...)...); err != nil {
		return t, fmt.Errorf("change schedule %q: %w", name, translate(err))
	}
	return s.Schedule(ctx, name)
}

// AdvanceSchedule stores what was decided, and asks for the campaign, in one
// transaction: whoever dies or comes second, each moment is decided about once.
// False: somebody else was first, or the timetable was changed meanwhile.
func (s *Store) AdvanceSchedule(ctx context.Context, a campaign.Advance) (launched campaign.ID, advanced bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		if advanced, err = stillDue(ctx, tx, a.Timetable); err != nil || !advanced {
			return err
		}
		decided := a.Skipped
		if a.Launch != nil {
			o := campaign.Occurrence{At: *a.Launch, Outcome: campaign.OccurrenceLaunched}
			spec, err := json.Marshal(campaign.Spec{Name: a.Timetable.Name, Key: a.Key, Channel: a.Timetable.Channel})
			if err != nil {
				return err
			}
			err = tx.QueryRow(ctx, scheduleLaunchSQL, pgx.StrictNamedArgs{
				"schedule": a.Timetable.ID, "key": a.Key, "spec": json.RawMessage(spec), "at": *a.Launch, "expires_at": a.ExpiresAt, "now": a.Now, "channel": launchChannel,
			}).Scan(&o.CampaignID, nil)
			if errors.Is(err, pgx.ErrNoRows) {
				o.Outcome, o.Reason = campaign.OccurrenceSkipped, "a campaign of this name and key exists"
			} else if err != nil {
				return err
			}
			launched = o.CampaignID
			decided = append(decided[:len(decided):len(decided)], o)
		}
		if err := noteOccurrences(ctx, tx, a.Timetable.ID, decided); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE campaign.schedules SET next_at = $2 WHERE id = $1`, a.Timetable.ID, a.Next)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("advance schedule %q: %w", a.Timetable.Name, translate(err))
	}
	return launched, advanced, nil
}

// stillDue locks a timetable and reports whether it is as it was read.
func stillDue(ctx context.Context, tx pgx.Tx, t campaign.Timetable) (bool, error) {
	var same bool
	err := tx.QueryRow(ctx, `SELECT next_at IS NOT DISTINCT FROM $2 AND updated_at = $3 FROM campaign.schedules WHERE id = $1 FOR UPDATE`, t.ID, t.NextAt, t.UpdatedAt).Scan(&same)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return same, err
}

func noteOccurrences(ctx context.Context, tx pgx.Tx, schedule int64, decided []campaign.Occurrence) error {
	b := &pgx.Batch{}
	for _, o := range decided {
		b.Queue(`INSERT INTO campaign.schedule_occurrences (schedule_id, at, outcome, reason, campaign_id) VALUES ($1, $2, $3, $4, NULLIF($5, 0))`,
			schedule, o.At, o.Outcome, plainText(o.Reason), int64(o.CampaignID))
	}
	return tx.SendBatch(ctx, b).Close()
}
