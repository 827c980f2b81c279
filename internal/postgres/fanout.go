package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

const sendMaxAttempts = queue.MaxAttempts

var (
	//go:embed sql/fanout_campaigns.sql
	fanoutCampaignsSQL string
	//go:embed sql/fanout_queue.sql
	fanoutQueueSQL string
	//go:embed sql/count_fold.sql
	countFoldSQL string
)

// FanOut queues due messages of a channel's running campaigns and inserts their
// jobs, all in one transaction, and returns how many. At most jobs messages of
// the channel are queued at a time: about a minute of its rate, so that pause,
// cancel and priority act at once and a list of ten million costs no more memory
// than one of ten thousand (design §6). At most slice of one campaign are queued
// before the next has its turn: campaigns on a number share it fairly. Several
// nodes may call it; one at a time does the work for a channel.
func (s *Store) FanOut(ctx context.Context, channel campaign.ChannelID, jobs, slice int) (int, error) {
	total := 0
	if err := s.postpone(ctx, channel); err != nil {
		return 0, fmt.Errorf("fan out channel %d: %w", channel, translate(err))
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		total = 0
		ok, err := tryLock(ctx, tx, lockFanOut, int32(channel))
		if err != nil || !ok {
			return err
		}
		open, err := fanoutCampaigns(ctx, tx, channel)
		if err != nil || len(open) == 0 {
			return err
		}
		room := int64(jobs)
		for _, c := range open {
			room -= c.queued - c.low
		}
		var queues []string // that got jobs
		for _, l := range lines(open, room, int64(jobs), int64(slice)) {
			done, err := fanoutLine(ctx, tx, channel, l)
			if err != nil {
				return fmt.Errorf("queue messages of campaign %d: %w", l.id, err)
			}
			if done > 0 {
				queues = appendNew(queues, l.queue(channel))
			}
			total += done
		}
		for _, name := range queues {
			if _, err := tx.Exec(ctx, `SELECT pg_notify($1, json_build_object('queue', $2::text)::text)`, queue.NotifyChannel, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("fan out channel %d: %w", channel, translate(err))
	}
	return total, nil
}

// open is what fan-out needs to know of a campaign with work.
type open struct {
	id        campaign.ID
	rate      float64
	credit    int64 // messages that the campaign's own rate allows now
	first     campaign.MessageID
	last      campaign.MessageID
	queued    int64
	heldTmpls []int64
	low       int64 // of queued, those of low priority
}

// The values of messages.priority, which are River's.
const (
	priorityHigh   int16 = 1
	priorityNormal int16 = 2
	priorityLow    int16 = 3
)

// line is what one pass queues of a campaign, or of one priority among the
// messages of none.
type line struct {
	open
	priority int16
	limit    int64
}

func (l line) queue(channel campaign.ChannelID) string {
	return queue.Name(channel, l.priority == priorityHigh)
}

// lines divides the room of a channel's window, in which the low messages are not
// counted. High messages that wait (until their time, or to be tried again) need
// none: they leave before everything else. Low ones come last and have a tenth of
// the window for themselves; River fetches them after the others, so they neither
// wait for its end nor keep anybody from it.
func lines(campaigns []open, room, jobs, slice int64) []line {
	var high, normal, low []line
	share := max(room/int64(len(campaigns)), 1)
	for _, c := range campaigns {
		n := min(share, slice, room)
		if c.rate > 0 {
			n = min(n, c.credit)
		}
		if n > 0 {
			normal = append(normal, line{c, priorityNormal, n})
			room -= n
		}
		if c.id == 0 {
			high = append(high, line{c, priorityHigh, slice})
			if n := min(max(jobs/10, 1)-c.low, slice); n > 0 {
				low = append(low, line{c, priorityLow, n})
			}
		}
	}
	return append(append(high, normal...), low...)
}

// fanoutCampaigns takes the shared locks and then, in a statement of its own,
// reads which campaigns of the channel may send.
func fanoutCampaigns(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID) ([]open, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM campaign.campaigns WHERE channel_id = $1 AND state = 'running' ORDER BY id`, channel)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[campaign.ID])
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	keys := []lockKey{channelKey(channel)}
	for _, id := range ids {
		keys = append(keys, campaignKey(id))
	}
	queueShared(b, keys)
	var list []open
	b.Queue(fanoutCampaignsSQL, pgx.StrictNamedArgs{"channel": channel, "campaigns": ids, "queue": queue.Name(channel, false)}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var c open
			var elapsed *float64 // nil: nothing was sent yet
			if err := rows.Scan(&c.id, &c.rate, &elapsed, &c.first, &c.last, &c.queued, &c.heldTmpls, &c.low); err != nil {
				return err
			}
			if c.rate > 0 {
				saved := saveUp(c.rate)
				if elapsed != nil {
					saved = min(saved, *elapsed)
				}
				c.credit = int64(math.Floor(c.rate*saved + 1e-9))
			}
			list = append(list, c)
		}
		return rows.Err()
	})
	return list, tx.SendBatch(ctx, b).Close()
}

func fanoutLine(ctx context.Context, tx pgx.Tx, channel campaign.ChannelID, c line) (int, error) {
	rows, err := tx.Query(ctx, fanoutQueueSQL, pgx.StrictNamedArgs{
		"campaign": c.id, "channel": channel, "first": c.first, "last": c.last, "limit": c.limit, "priority": c.priority,
		"held": c.heldTmpls, "max_attempts": sendMaxAttempts, "queue": c.queue(channel),
	})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	counts := map[counterKey]int64{}
	done := 0
	for rows.Next() {
		var state campaign.MessageState
		var detail string
		var queued int64
		if err := rows.Scan(&state, &detail, &queued); err != nil {
			return 0, err
		}
		counts[counterKey{c.id, channel, state, detail}] -= queued
		counts[counterKey{c.id, channel, campaign.Queued, ""}] += queued
		done += int(queued)
	}
	if err := rows.Err(); err != nil || done == 0 {
		return 0, err
	}
	b := &pgx.Batch{}
	queueCounts(b, counts)
	if c.rate > 0 {
		// Spent credit moves the mark.
		b.Queue(`UPDATE campaign.campaigns SET credit_at = greatest(credit_at, clock_timestamp() - make_interval(secs => $3)) + make_interval(secs => $2) WHERE id = $1`,
			c.id, float64(done)/c.rate, saveUp(c.rate))
	}
	return done, tx.SendBatch(ctx, b).Close()
}

// saveUp is how many seconds of a campaign's rate are saved up while it sends
// nothing: one, or as many as one message takes.
func saveUp(rate float64) float64 { return max(1, 1/rate) }

// FoldCounts adds the counters' deltas to the sums. One process at a time does
// the work; the others return at once.
func (s *Store) FoldCounts(ctx context.Context) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		ok, err := tryLock(ctx, tx, lockFold, 0)
		if err != nil || !ok {
			return err
		}
		_, err = tx.Exec(ctx, countFoldSQL)
		return err
	})
	if err != nil {
		return fmt.Errorf("fold the counters: %w", translate(err))
	}
	return nil
}
