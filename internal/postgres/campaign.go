package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Launch starts a planned campaign: now, or at its time. It is one row whatever
// the size of the audience. Launching what is launched already changes nothing
// and reports false; a cancelled campaign is refused with ErrState.
func (s *Store) Launch(ctx context.Context, id campaign.ID) (campaign.State, bool, error) {
	var state campaign.State
	started := false
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		started = false
		if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
			return err
		}
		var planned bool
		var eligible int64
		if err := tx.QueryRow(ctx, `SELECT state, plan_hash <> '', eligible FROM campaign.campaigns WHERE id = $1`, id).Scan(&state, &planned, &eligible); err != nil {
			return err
		}
		switch state {
		case campaign.Cancelled:
			return campaign.ErrState.With("it is cancelled", "plan it anew under another key")
		case campaign.Draft:
			if !planned {
				return errAwaitsPlan(id)
			}
		default:
			return nil
		}
		started = true
		asked, err := askedBy(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.audit(ctx, tx, act{action: "launch", object: "campaign", id: int64(id), detail: asked, count: eligible}); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			UPDATE campaign.campaigns
			   SET state = CASE WHEN starts_at > clock_timestamp() THEN 'scheduled' ELSE 'running' END,
			       started_at = CASE WHEN starts_at > clock_timestamp() THEN NULL ELSE clock_timestamp() END
			 WHERE id = $1
			RETURNING state`, id).Scan(&state)
	})
	if err != nil {
		return "", false, fmt.Errorf("launch campaign %d: %w", id, translate(err))
	}
	return state, started, nil
}

// StartDue starts scheduled campaigns whose time has come and returns them. One
// that is later than its file's schedule.late is held: nobody wants Friday's sale
// on Monday, unless a person says so with "campaign resume".
func (s *Store) StartDue(ctx context.Context) ([]campaign.ID, error) {
	due, err := collect[campaign.ID](s.pool.Query(ctx, `SELECT id FROM campaign.campaigns WHERE state = 'scheduled' AND starts_at <= clock_timestamp() ORDER BY id`))
	if err != nil {
		return nil, fmt.Errorf("look for scheduled campaigns: %w", translate(err))
	}
	var begun []campaign.ID
	for _, id := range due {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
				return err
			}
			var late *string
			err := tx.QueryRow(ctx, campaignStartSQL, pgx.StrictNamedArgs{"campaign": id, "late": campaign.DefaultLate.Nanoseconds()}).Scan(&late)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // somebody else started or cancelled it
			}
			if err != nil {
				return err
			}
			if late != nil {
				err = putHold(ctx, tx, campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(id), Source: campaign.SourceLate, Reason: *late})
			}
			begun = append(begun, id)
			return err
		})
		if err != nil {
			return begun, fmt.Errorf("start campaign %d: %w", id, translate(err))
		}
	}
	return begun, nil
}

// Pause puts a person's hold on a campaign. When it returns, nothing more of the
// campaign is claimed: it waits for claims under way and binds every later one.
func (s *Store) Pause(ctx context.Context, id campaign.ID, reason string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
			return err
		}
		var state campaign.State
		if err := tx.QueryRow(ctx, `SELECT state FROM campaign.campaigns WHERE id = $1`, id).Scan(&state); err != nil {
			return err
		}
		if !state.Open() {
			return campaign.ErrState.With("it is "+string(state), "only a campaign that is not over can be paused")
		}
		if err := s.audit(ctx, tx, act{action: "pause", object: "campaign", id: int64(id), reason: reason}); err != nil {
			return err
		}
		return putHold(ctx, tx, campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(id), Source: campaign.SourcePerson, Reason: reason})
	})
	if err != nil {
		return fmt.Errorf("pause campaign %d: %w", id, translate(err))
	}
	return nil
}

// Resume lifts what holds a campaign itself and, of its template, what does not
// stem from the template being unapproved: a person can lift any hold, but not
// make the provider approve. It returns the holds that remain: those of the
// channel and the account are lifted there.
func (s *Store) Resume(ctx context.Context, id campaign.ID) ([]campaign.Hold, error) {
	var remaining []campaign.Hold
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
			return err
		}
		var state campaign.State
		if err := tx.QueryRow(ctx, `SELECT state FROM campaign.campaigns WHERE id = $1`, id).Scan(&state); err != nil {
			return err
		}
		if !state.Open() {
			return campaign.ErrState.With("it is "+string(state), "")
		}
		if _, err := tx.Exec(ctx, campaignResumeSQL, pgx.StrictNamedArgs{"campaign": id}); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, act{action: "resume", object: "campaign", id: int64(id)}); err != nil {
			return err
		}
		var err error
		remaining, err = campaignHolds(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("resume campaign %d: %w", id, translate(err))
	}
	return remaining, nil
}

// Cancel ends a campaign. When it returns, nothing more of it is claimed; what
// waits is swept by Sweep, what is on the wire ends with its answer.
func (s *Store) Cancel(ctx context.Context, id campaign.ID) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
			return err
		}
		var state campaign.State
		if err := tx.QueryRow(ctx, `SELECT state FROM campaign.campaigns WHERE id = $1`, id).Scan(&state); err != nil {
			return err
		}
		switch state {
		case campaign.Cancelled:
			return nil
		case campaign.Completed:
			return campaign.ErrState.With("it is completed", "there is nothing left to cancel")
		}
		if err := s.audit(ctx, tx, act{action: "cancel", object: "campaign", id: int64(id)}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE campaign.campaigns SET state = 'cancelled', finished_at = clock_timestamp() WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("cancel campaign %d: %w", id, translate(err))
	}
	return nil
}

var (
	//go:embed sql/campaign_resume.sql
	campaignResumeSQL string
	//go:embed sql/campaign_start.sql
	campaignStartSQL string
	//go:embed sql/campaign_holds.sql
	campaignHoldsSQL string
	//go:embed sql/campaign_sweep.sql
	campaignSweepSQL string
	//go:embed sql/campaign_sweep_jobs.sql
	campaignSweepJobsSQL string
)

// sweepBatch is how many messages one step of a sweep ends: small enough that
// claims of other campaigns on the channel never wait for it.
const sweepBatch = 2000

// Sweep ends a part of what still waits in a cancelled campaign or in one whose
// deadline has passed, and removes its jobs. It returns how many it ended; zero
// means that nothing was left.
func (s *Store) Sweep(ctx context.Context, id campaign.ID) (int, error) {
	ids, err := collectIDs(s.pool.Query(ctx, campaignSweepSQL, pgx.StrictNamedArgs{"campaign": id, "limit": sweepBatch}))
	if err != nil {
		return 0, fmt.Errorf("sweep campaign %d: %w", id, translate(err))
	}
	if len(ids) == 0 {
		return 0, nil
	}
	ended := 0
	waits := make(map[campaign.MessageID]bool, len(ids))
	t := transition{ids: ids, decide: func(m *lockedMessage, c campaign.Circumstances) {
		if m.CampaignID == id {
			m.Message.Cancel(c)
		}
		waits[m.ID] = m.State == campaign.Queued
	}}
	t.after = func(b *pgx.Batch) {
		// Who still waits keeps its job: then the campaign is not over after all.
		jobless := slices.DeleteFunc(slices.Clone(ids), func(m campaign.MessageID) bool { return waits[m] })
		b.Queue(campaignSweepJobsSQL, pgx.StrictNamedArgs{"messages": jobless, "campaign": id})
	}
	if err := s.routes(ctx, &t); err != nil {
		return 0, fmt.Errorf("sweep campaign %d: %w", id, err)
	}
	rows, err := s.run(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("sweep campaign %d: %w", id, err)
	}
	for _, m := range rows {
		if m.State != m.before.State {
			ended++
		}
	}
	return ended, nil
}

// Ending lists the campaigns that are cancelled or past their deadline and still
// have something waiting, by their counters.
func (s *Store) Ending(ctx context.Context) ([]campaign.ID, error) {
	ids, err := collect[campaign.ID](s.pool.Query(ctx, `
		SELECT c.id
		  FROM campaign.message_totals AS n
		  JOIN campaign.campaigns AS c ON c.id = n.campaign_id
		 WHERE n.state IN ('pending', 'queued', 'deferred')
		   AND (c.state = 'cancelled' OR c.state = 'running' AND c.not_after <= clock_timestamp())
		 GROUP BY c.id HAVING sum(n.n) > 0 ORDER BY c.id`))
	if err != nil {
		return nil, fmt.Errorf("look for ending campaigns: %w", translate(err))
	}
	return ids, nil
}

// Complete completes the running campaigns of which nothing is pending, queued,
// sending or deferred, and returns them. The state is set under the exclusive
// lock and the counters are read after it, so nothing can be deferred meanwhile.
func (s *Store) Complete(ctx context.Context) ([]campaign.ID, error) {
	const open = `SELECT COALESCE(sum(n), 0) FROM campaign.message_totals WHERE campaign_id = $1 AND state IN ('pending', 'queued', 'sending', 'deferred')`
	running, err := collect[campaign.ID](s.pool.Query(ctx, `
		SELECT c.id FROM campaign.campaigns AS c
		 WHERE c.state = 'running'
		   AND NOT EXISTS (SELECT FROM campaign.message_totals AS n
		                    WHERE n.campaign_id = c.id AND n.state IN ('pending', 'queued', 'sending', 'deferred') AND n.n > 0)`))
	if err != nil {
		return nil, fmt.Errorf("look for completed campaigns: %w", translate(err))
	}
	var done []campaign.ID
	for _, id := range running {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			if err := lockExclusively(ctx, tx, campaignKey(id)); err != nil {
				return err
			}
			var left int64
			if err := tx.QueryRow(ctx, open, id).Scan(&left); err != nil || left > 0 {
				return err
			}
			tag, err := tx.Exec(ctx, `UPDATE campaign.campaigns SET state = 'completed', finished_at = clock_timestamp() WHERE id = $1 AND state = 'running'`, id)
			if err == nil && tag.RowsAffected() == 1 {
				done = append(done, id)
			}
			return err
		})
		if err != nil {
			return done, fmt.Errorf("complete campaign %d: %w", id, translate(err))
		}
	}
	return done, nil
}

// CampaignConstants gives the parameters that are the same for every recipient.
// They never change once planned.
func (s *Store) CampaignConstants(ctx context.Context, id campaign.ID) ([]byte, error) {
	if id == 0 {
		return []byte(`{}`), nil
	}
	var constants []byte
	err := s.pool.QueryRow(ctx, `SELECT constants FROM campaign.campaigns WHERE id = $1`, id).Scan(&constants)
	if err != nil {
		return nil, fmt.Errorf("read the constants of campaign %d: %w", id, translate(err))
	}
	return constants, nil
}

// Direct stores one message that is sent at once by whoever asks for it, outside
// any campaign, and returns its turn. It expires in a minute: if the caller dies
// before it claims, the message is not sent hours later.
func (s *Store) Direct(ctx context.Context, channel campaign.ChannelID, template campaign.TemplateID, contact campaign.ContactID, phone string, parameters []byte) (campaign.Turn, error) {
	turn := campaign.Turn{Attempt: 1, Channel: channel}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO campaign.messages (channel_id, template_id, contact_id, phone, parameters, state, attempt, expires_at)
			VALUES ($1, $2, $3, $4, $5, 'queued', 1, clock_timestamp() + interval '1 minute')
			RETURNING id`, channel, template, contact, phone, parameters).Scan(&turn.Message)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueCounts(b, map[counterKey]int64{{0, channel, campaign.Queued, ""}: 1})
		s.queueAudit(ctx, b, act{action: "send", object: "message", id: int64(turn.Message), count: 1})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return campaign.Turn{}, fmt.Errorf("store the message: %w", translate(err))
	}
	return turn, nil
}

// Withdraw ends what Direct stored and nobody claimed, for good: a script that is
// told "not sent" and asks again must not reach the person twice. A message that
// was refused before and waits to be tried again ends failed. One that somebody
// claimed meanwhile is left alone; its row tells.
func (s *Store) Withdraw(ctx context.Context, turn campaign.Turn) error {
	t := transition{ids: []campaign.MessageID{turn.Message}, campaigns: []campaign.ID{turn.Campaign}, channels: []campaign.ChannelID{turn.Channel},
		decide: func(m *lockedMessage, c campaign.Circumstances) {
			if m.CampaignID != 0 {
				return // a campaign's messages end with the campaign
			}
			c.Campaign = campaign.Cancelled
			m.Message.Cancel(c)
		}}
	if _, err := s.run(ctx, t); err != nil {
		return fmt.Errorf("withdraw message %d: %w", turn.Message, err)
	}
	return nil
}

func collect[T any](rows pgx.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
