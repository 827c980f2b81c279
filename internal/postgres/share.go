package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/share_read.sql
	shareReadSQL string
	//go:embed sql/share_slow.sql
	shareSlowSQL string
	//go:embed sql/share_renew.sql
	shareRenewSQL string
)

// shareStall is how long a node that is stopped or cut off in the middle of a
// renewal keeps the others from theirs: less than a lease, of which the least
// that is left when a renewal begins is 4 s.
const shareStall = `SET LOCAL idle_in_transaction_session_timeout = '2s'`

// RenewShare leases a node its share of a channel's rate for campaign.ShareLease
// from now on the database's clock. The shares of all nodes whose lease runs
// never sum to more than the rate; after it fell, not before all have renewed or
// their leases have ended. What a refused POST says of the channel's speed is
// decided here for all nodes (campaign.Slowdown).
func (s *Store) RenewShare(ctx context.Context, channel campaign.ChannelID, node string, d campaign.Demand) (campaign.Share, error) {
	var share campaign.Share
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, shareStall); err != nil {
			return err
		}
		if err := lockExclusively(ctx, tx, lockKey{lockShare, int32(channel)}); err != nil {
			return err
		}
		limit, now, err := s.slowDown(ctx, tx, channel, node, d, &share)
		if err != nil {
			return err
		}
		if limit == 0 {
			limit = math.Inf(1)
		}
		share.Allowed = limit
		return tx.QueryRow(ctx, shareRenewSQL, pgx.StrictNamedArgs{"channel": channel, "node": node, "rate": limit, "now": now,
			"weight": d.Weight, "using": d.Using, "sent": d.Sent, "seconds": campaign.ShareLease.Seconds()}).Scan(&share.Rate)
	})
	if err != nil {
		return campaign.Share{}, fmt.Errorf("renew the share of channel %d: %w", channel, translate(err))
	}
	return share, nil
}

// slowDown brings the channel's slow-down to the database's present, with what
// the node was told, and gives the limit that is left of the channel's rate.
func (s *Store) slowDown(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, node string, d campaign.Demand, share *campaign.Share) (limit float64, now time.Time, err error) {
	var was campaign.Slowdown
	var cutAt, quietAt *time.Time
	var sent float64
	if err := tx.QueryRow(ctx, shareReadSQL, pgx.StrictNamedArgs{"channel": channel, "node": node}).
		Scan(&limit, &now, &was.Rate, &was.Refused, &cutAt, &quietAt, &sent); err != nil {
		return 0, now, err
	}
	if cutAt != nil {
		was.CutAt, was.QuietAt = *cutAt, *quietAt
	}
	is := was.At(now, limit)
	if !d.Refused.IsZero() {
		// The node's clock says how long ago the POST began. By the database's it was
		// later, by what its reply took: the error is towards an echo.
		is, share.Cut = was.Note(now, now.Add(-time.Since(d.Refused)), limit, sent+d.Sent)
	}
	share.CutAge = -1
	if !is.CutAt.IsZero() {
		share.CutAge = now.Sub(is.CutAt)
	}
	if is != was {
		_, err = tx.Exec(ctx, shareSlowSQL, pgx.StrictNamedArgs{"channel": channel, "rate": is.Rate, "refused": is.Refused,
			"cut_at": is.CutAt, "quiet_at": is.QuietAt})
	}
	return is.Allowed(limit), now, err
}

// DropShares gives a node's shares back, when nothing of it is on the wire, and
// tells those who Listen.
func (s *Store) DropShares(ctx context.Context, node string) error {
	if _, err := s.pool.Exec(ctx, `
		WITH gone AS (DELETE FROM campaign.channel_shares WHERE node = $1 RETURNING channel_id)
		SELECT pg_notify($2, channel_id::text) FROM gone`, node, sharesChannel); err != nil {
		return fmt.Errorf("give the shares back: %w", translate(err))
	}
	return nil
}
