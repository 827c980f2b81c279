package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

//go:embed sql/share_renew.sql
var shareRenewSQL string

// RenewShare leases a node its share of a channel's rate, in messages per second,
// for campaign.ShareLease from now on the database's clock. weight is what the
// node could use, beside that of the others; confirmed is the share that it is
// using at most, 0 when its lease has ended. The shares of all nodes whose lease
// runs never sum to more than the rate.
func (s *Store) RenewShare(ctx context.Context, channel campaign.ChannelID, node string, rate, weight, confirmed float64) (float64, error) {
	var share float64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockExclusively(ctx, tx, lockKey{lockShare, int32(channel)}); err != nil {
			return err
		}
		return tx.QueryRow(ctx, shareRenewSQL, pgx.StrictNamedArgs{"channel": channel, "node": node, "rate": rate, "weight": weight,
			"confirmed": confirmed, "seconds": campaign.ShareLease.Seconds()}).Scan(&share)
	})
	if err != nil {
		return 0, fmt.Errorf("renew the share of channel %d: %w", channel, translate(err))
	}
	return share, nil
}

// DropShares gives a node's shares back, when nothing of it is on the wire.
func (s *Store) DropShares(ctx context.Context, node string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM campaign.channel_shares WHERE node = $1`, node); err != nil {
		return fmt.Errorf("give the shares back: %w", translate(err))
	}
	return nil
}
