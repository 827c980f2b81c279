package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/request_due.sql
var requestDueSQL string

// launchChannel is what campaign.launch notifies, as do schedules.
const launchChannel = "campaign_launch"

// Now gives the database's clock: several daemons agree about it.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now, wrap("ask the database for the time", err)
}

// DueRequests lists campaigns that were asked for and are to be planned, the
// oldest first.
func (s *Store) DueRequests(ctx context.Context, now time.Time, limit int) ([]campaign.LaunchRequest, error) {
	found, err := s.requests(ctx, pgx.StrictNamedArgs{"id": 0, "now": now, "limit": limit})
	return found, wrap("look for requested campaigns", err)
}

func (s *Store) requests(ctx context.Context, args pgx.StrictNamedArgs) ([]campaign.LaunchRequest, error) {
	rows, err := s.pool.Query(ctx, requestDueSQL, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.LaunchRequest, error) {
		var r campaign.LaunchRequest
		err := row.Scan(&r.ID, &r.Source, &r.Campaign, &r.Name, &r.Key, &r.State, &r.Planned, &r.Eligible,
			&r.Document, &r.AsOf, &r.Files, &r.Expect.Least, &r.Expect.Most, &r.ExpiresAt, &r.Tries, &r.Problem)
		return r, err
	})
}

// HoldRequest has work done on a request by one daemon at a time: false means
// that another one has it, or that nothing is left to do. The lock belongs to a
// connection, so that a daemon that dies gives it up at once. Should the
// connection die alone, two may work: CreatePlan and Launch bear that.
func (s *Store) HoldRequest(ctx context.Context, id int64, work func(campaign.LaunchRequest) error) (bool, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("hold request %d: %w", id, err)
	}
	defer conn.Release()
	var held bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, $2)`, lockPlan, int32(id)).Scan(&held); err != nil || !held {
		return false, wrap("hold a request", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1, $2)`, lockPlan, int32(id)); err != nil {
			_ = conn.Conn().Close(ctx) // it must not go back into the pool with the lock
		}
	}()
	// Read again: the daemon that held it before may have carried it out.
	found, err := s.requests(ctx, pgx.StrictNamedArgs{"id": id, "now": time.Time{}, "limit": 1})
	if err != nil || len(found) == 0 {
		return false, wrap("read a request", err)
	}
	return true, work(found[0])
}

// FinishRequest notes that a request was carried out, and forgets what kept it.
func (s *Store) FinishRequest(ctx context.Context, r campaign.LaunchRequest) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := finishRequest(ctx, tx, r.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM campaign.holds WHERE scope = 'campaign' AND scope_id = $1 AND source = $2`, r.Campaign, campaign.SourcePlan)
		return err
	})
	return wrap("finish a request", err)
}

func finishRequest(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := tx.Exec(ctx, `UPDATE campaign.launch_requests SET due_at = NULL, finished_at = clock_timestamp() WHERE id = $1`, id)
	return err
}

// DelayRequest has a request tried again at a moment. Until then the campaign's
// status shows the problem.
func (s *Store) DelayRequest(ctx context.Context, r campaign.LaunchRequest, problem string, until time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(r.Campaign)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE campaign.launch_requests SET due_at = $2, tries = tries + 1, problem = $3 WHERE id = $1`, r.ID, until, plainText(problem))
		if err != nil {
			return err
		}
		return putHold(ctx, tx, campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(r.Campaign), Source: campaign.SourcePlan, Reason: plainText(problem), Until: &until})
	})
	return wrap("delay a request", err)
}

// FailRequest cancels a campaign that cannot be planned or must not start any
// more, and keeps the reason for its status. What was started meanwhile, by a
// daemon or a person, is left alone.
func (s *Store) FailRequest(ctx context.Context, r campaign.LaunchRequest, reason string) error {
	reason = plainText(reason)
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, campaignKey(r.Campaign)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE campaign.campaigns SET state = 'cancelled', finished_at = clock_timestamp() WHERE id = $1 AND state = 'draft'`, r.Campaign)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM campaign.holds WHERE scope = 'campaign' AND scope_id = $1 AND source = $2`, r.Campaign, campaign.SourcePlan); err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			if err := putHold(ctx, tx, campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(r.Campaign), Source: campaign.SourcePlan, Reason: reason}); err != nil {
				return err
			}
			// Often the only act there is on it: one without a plan was noted nowhere.
			asked, err := askedBy(ctx, tx, r.Campaign)
			if err != nil {
				return err
			}
			if err := s.audit(ctx, tx, act{action: "cancel", object: "campaign", id: int64(r.Campaign), detail: "launch " + asked, reason: reason}); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE campaign.launch_requests SET problem = $2 WHERE id = $1`, r.ID, reason); err != nil {
			return err
		}
		return finishRequest(ctx, tx, r.ID)
	})
	return wrap("cancel a requested campaign", err)
}

// askedBy names, for the audit, who had a daemon plan and start a campaign: the
// acts are the daemon's, and its user and host would answer for somebody else's
// wish. It is empty where a person did so with campaignctl.
func askedBy(ctx context.Context, tx pgx.Tx, id campaign.ID) (string, error) {
	var who string
	err := tx.QueryRow(ctx, `
		SELECT CASE r.source WHEN 'schedule' THEN 'schedule ' || c.name ELSE 'asked for by ' || r.caller END
		  FROM campaign.launch_requests AS r JOIN campaign.campaigns AS c ON c.id = r.campaign_id
		 WHERE r.campaign_id = $1`, id).Scan(&who)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return who, err
}

// requestAge is how long a key finds its campaign (design §10).
const requestAge = 90 * 24 * time.Hour

// ForgetRequests forgets requests that were carried out longer ago than keys are
// kept.
func (s *Store) ForgetRequests(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM campaign.launch_requests WHERE due_at IS NULL AND finished_at < clock_timestamp() - make_interval(secs => $1)`, requestAge.Seconds())
	return wrap("forget old requests", err)
}

// AwaitRequests calls wake whenever somebody asks for a campaign, until ctx ends
// or the connection does. It keeps a connection of its own.
func (s *Store) AwaitRequests(ctx context.Context, wake func()) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	conn := pooled.Hijack()
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN `+launchChannel); err != nil {
		return wrap("listen for requests", err)
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listen for requests: %w", err)
		}
		wake()
	}
}
