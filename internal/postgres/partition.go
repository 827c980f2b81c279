package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitionSize is the width of a partition of messages in ids: 40 partitions at
// a billion rows. Planning time grows with their number, not with their size.
const partitionSize = 25_000_000

// ahead is how many ids must always have a home; the periodic job keeps it, a
// plan that needs more asks for it first.
const ahead = 2 * partitionSize

// MakePartitions makes sure that the next need ids have a partition. It is safe
// to run by many at once and never part of an enqueue.
func (s *Store) MakePartitions(ctx context.Context, need int64) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to make partitions: %w", err)
	}
	defer conn.Release()
	return makePartitions(ctx, conn.Conn(), need)
}

func makePartitions(ctx context.Context, conn *pgx.Conn, need int64) error {
	var next int64
	err := conn.QueryRow(ctx, `SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM campaign.message_ids`).Scan(&next)
	if err != nil {
		return fmt.Errorf("read the next message id: %w", translate(err))
	}
	for n := next / partitionSize; n <= (next+max(need, 0)+ahead)/partitionSize; n++ {
		if err := makePartition(ctx, conn, n); err != nil {
			return err
		}
	}
	return nil
}

func partitionName(n int64) string { return fmt.Sprintf("messages_%05d", n) }

// makePartition has the database make one partition: a daemon need not own the
// table.
func makePartition(ctx context.Context, conn *pgx.Conn, n int64) error {
	if _, err := conn.Exec(ctx, `SELECT campaign.make_message_partition($1)`, n); err != nil {
		return fmt.Errorf("make partition %s: %w", partitionName(n), translate(err))
	}
	return nil
}

//go:embed sql/cap_longest.sql
var capLongestSQL string

// LongestCap gives the longest period that a frequency cap counts over: the
// installation's, or that of a campaign that has not ended; 0 when there is none.
func (s *Store) LongestCap(ctx context.Context) (time.Duration, error) {
	var longest time.Duration
	if err := s.pool.QueryRow(ctx, capLongestSQL).Scan(&longest); err != nil {
		return 0, fmt.Errorf("read the longest frequency cap: %w", translate(err))
	}
	return longest, nil
}

// DropPartitions drops the partitions whose every message was created before the
// given time, belongs to no campaign that is still open and was not posted within
// the period of a frequency cap, which would forget that the person got it; and
// returns their names. Senders wait for the instant of detaching; where it has to wait itself, it
// gives up after a second, and the next call tries again.
func (s *Store) DropPartitions(ctx context.Context, before time.Time) ([]string, error) {
	longest, err := s.LongestCap(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to drop partitions: %w", err)
	}
	defer conn.Release()
	var next int64
	if err := conn.QueryRow(ctx, `SELECT last_value FROM campaign.message_ids`).Scan(&next); err != nil {
		return nil, fmt.Errorf("read the last message id: %w", translate(err))
	}
	var dropped []string
	for n := range next / partitionSize {
		name := partitionName(n)
		table := pgx.Identifier{"campaign", name}.Sanitize()
		var old bool
		err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&old)
		if err != nil || !old {
			continue
		}
		err = conn.QueryRow(ctx, fmt.Sprintf(`
			SELECT NOT EXISTS (SELECT FROM %s WHERE created_at >= $1 OR claimed_at > clock_timestamp() - $4::interval)
			   AND NOT EXISTS (SELECT FROM campaign.campaigns
			                    WHERE state IN ('draft', 'scheduled', 'running') AND first_id < $3 AND last_id >= $2)`, table),
			before, n*partitionSize, (n+1)*partitionSize, longest).Scan(&old)
		if err != nil {
			return dropped, fmt.Errorf("look at partition %s: %w", name, err)
		}
		if !old {
			continue
		}
		for _, statement := range []string{
			fmt.Sprintf(`SELECT campaign.drop_message_partition(%d)`, n),
			fmt.Sprintf(`DELETE FROM campaign.attempts WHERE message_id >= %d AND message_id < %d`, n*partitionSize, (n+1)*partitionSize),
			fmt.Sprintf(`DELETE FROM campaign.provider_ids WHERE message_id >= %d AND message_id < %d`, n*partitionSize, (n+1)*partitionSize),
		} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return dropped, fmt.Errorf("drop partition %s: %w", name, err)
			}
		}
		dropped = append(dropped, name)
	}
	return dropped, nil
}
