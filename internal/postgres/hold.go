package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// PutHold puts a hold on a scope. When it returns, nothing more of the scope is
// claimed. A hold of the same source that stands already is renewed, never
// shortened.
func (s *Store) PutHold(ctx context.Context, h campaign.Hold) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		keys, err := holdKeys(ctx, tx, h.Scope, h.ScopeID)
		if err != nil {
			return err
		}
		if err := lockExclusively(ctx, tx, keys...); err != nil {
			return err
		}
		if h.Source == campaign.SourcePerson {
			if err := s.audit(ctx, tx, act{action: "pause", object: string(h.Scope), id: h.ScopeID, reason: h.Reason}); err != nil {
				return err
			}
		}
		return putHold(ctx, tx, h)
	})
	if err != nil {
		return fmt.Errorf("hold %s %d: %w", h.Scope, h.ScopeID, translate(err))
	}
	return nil
}

// LiftHold lifts the hold of one source; each source lifts only its own.
func (s *Store) LiftHold(ctx context.Context, scope campaign.HoldScope, id int64, source string) (bool, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM campaign.holds WHERE scope = $1 AND scope_id = $2 AND source = $3`, scope, id, source)
	if err != nil {
		return false, fmt.Errorf("lift the hold on %s %d: %w", scope, id, translate(err))
	}
	return tag.RowsAffected() > 0, nil
}

// PauseChannel puts a person's hold on a channel.
func (s *Store) PauseChannel(ctx context.Context, id campaign.ChannelID, reason string) error {
	return s.PutHold(ctx, campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(id), Source: campaign.SourcePerson, Reason: reason})
}

// ResumeChannel lifts every hold on a channel and on its account: a person can
// lift any. It returns what it lifted.
func (s *Store) ResumeChannel(ctx context.Context, id campaign.ChannelID) ([]campaign.Hold, error) {
	var lifted []campaign.Hold
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			DELETE FROM campaign.holds AS h
			 WHERE h.scope = 'channel' AND h.scope_id = $1
			    OR h.scope = 'account' AND h.scope_id = (SELECT account_id FROM campaign.channels WHERE id = $1)
			RETURNING h.id, h.scope, h.scope_id, h.source, h.reason, h.until, h.created_at`, id)
		if err != nil {
			return err
		}
		if lifted, err = collectHolds(rows); err != nil || len(lifted) == 0 {
			return err
		}
		return s.audit(ctx, tx, act{action: "resume", object: "channel", id: int64(id)})
	})
	if err != nil {
		return nil, fmt.Errorf("resume channel %d: %w", id, translate(err))
	}
	return lifted, nil
}

// ChannelHolds lists the holds that stand on a channel and its account.
func (s *Store) ChannelHolds(ctx context.Context, id campaign.ChannelID) ([]campaign.Hold, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT h.id, h.scope, h.scope_id, h.source, h.reason, h.until, h.created_at
		  FROM campaign.holds AS h
		 WHERE (h.until IS NULL OR h.until > clock_timestamp())
		   AND (h.scope = 'channel' AND h.scope_id = $1
		        OR h.scope = 'account' AND h.scope_id = (SELECT account_id FROM campaign.channels WHERE id = $1))
		 ORDER BY h.created_at, h.id`, id)
	if err != nil {
		return nil, fmt.Errorf("read the holds of channel %d: %w", id, translate(err))
	}
	return collectHolds(rows)
}

// CampaignHolds lists the holds that stand on a campaign's scopes.
func (s *Store) CampaignHolds(ctx context.Context, id campaign.ID) ([]campaign.Hold, error) {
	var holds []campaign.Hold
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		holds, err = campaignHolds(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the holds of campaign %d: %w", id, translate(err))
	}
	return holds, nil
}

func campaignHolds(ctx context.Context, tx pgx.Tx, id campaign.ID) ([]campaign.Hold, error) {
	rows, err := tx.Query(ctx, campaignHoldsSQL, pgx.StrictNamedArgs{"campaign": id})
	if err != nil {
		return nil, err
	}
	return collectHolds(rows)
}

func collectHolds(rows pgx.Rows) ([]campaign.Hold, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (campaign.Hold, error) {
		var h campaign.Hold
		err := row.Scan(&h.ID, &h.Scope, &h.ScopeID, &h.Source, &h.Reason, &h.Until, &h.CreatedAt)
		return h, err
	})
}

func putHold(ctx context.Context, tx pgx.Tx, h campaign.Hold) error {
	_, err := tx.Exec(ctx, holdPutSQL, pgx.StrictNamedArgs{"scope": h.Scope, "scope_id": h.ScopeID, "source": h.Source, "reason": h.Reason, "until": h.Until})
	return err
}

// holdKeys gives the locks that bind every claim of a scope.
func holdKeys(ctx context.Context, tx pgx.Tx, scope campaign.HoldScope, id int64) ([]lockKey, error) {
	var query string
	switch scope {
	case campaign.HoldCampaign:
		return []lockKey{campaignKey(campaign.ID(id))}, nil
	case campaign.HoldChannel:
		return []lockKey{channelKey(campaign.ChannelID(id))}, nil
	case campaign.HoldTemplate:
		query = `SELECT channel_id FROM campaign.templates WHERE id = $1`
	case campaign.HoldAccount:
		query = `SELECT id FROM campaign.channels WHERE account_id = $1`
	}
	channels, err := collect[campaign.ChannelID](tx.Query(ctx, query, id))
	if err != nil {
		return nil, err
	}
	keys := make([]lockKey, len(channels))
	for i, c := range channels {
		keys[i] = channelKey(c)
	}
	return keys, nil
}

// DropExpiredHolds forgets holds that ended by themselves more than a minute ago.
func (s *Store) DropExpiredHolds(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM campaign.holds WHERE until < clock_timestamp() - interval '1 minute'`); err != nil {
		return fmt.Errorf("forget holds that have ended: %w", translate(err))
	}
	return nil
}
