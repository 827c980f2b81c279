package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

//go:embed sql/job_take.sql
var jobTakeSQL string

// claimAddSQL notes who was claimed together: the repair pass looks at each of
// them again when a claim must be over, and nobody else needs to find them.
const claimAddSQL = `INSERT INTO campaign.claims (messages) VALUES ($1)`

// Take gives each want the next queued message of its channel, high priority
// first, and claims it (see Claim), all in one transaction that also consumes the
// jobs: a job and the claim it stood for change hands at one commit, so a crash
// leaves either the job or the claim and never neither. The answers are in the
// order of wants; what a channel does not have leaves its last wants without a
// turn.
//
// A worker asks only when the limiter lets it go, so no node ever holds a job that
// it is not about to post: a dead node keeps nothing from the others.
func (s *Store) Take(ctx context.Context, wants []campaign.Want) ([]campaign.Taken, error) {
	k := &taking{wants: map[wantLine][]int{}, all: wants, turns: map[campaign.MessageID]taken{}, jobs: map[campaign.MessageID][]int64{}}
	t := transition{people: true, taking: k, busy: map[campaign.MessageID]bool{}}
	for i, w := range wants {
		l := wantLine{w.Channel, w.High}
		t.channels = appendNew(t.channels, w.Channel)
		if len(k.wants[l]) == 0 {
			k.lines = append(k.lines, l)
		}
		k.wants[l] = append(k.wants[l], i)
	}
	t.decide = claiming(func(id campaign.MessageID) campaign.Turn { return k.turns[id].Turn })
	rows, err := s.run(ctx, t)
	if err != nil {
		err = fmt.Errorf("take %d messages: %w", len(wants), err)
		if !k.done || !badData(err) {
			return nil, err
		}
	}
	result := make([]campaign.Taken, len(wants))
	for _, turn := range k.turns {
		result[turn.want] = campaign.Taken{Turn: turn.Turn, Claimed: campaign.Claimed{Err: err}} // nil where there is no such message
	}
	for _, m := range rows {
		result[k.turns[m.ID].want].Claimed = m.answer()
	}
	for id := range t.busy {
		result[k.turns[id].want].Claimed = campaign.Claimed{Again: true}
	}
	if err != nil {
		s.putOff(ctx, k, result)
	}
	return result, nil
}

// putOff lets the jobs of messages that the database refused wait a minute: at the
// head of their queue they would be asked for again at once, and nobody behind them
// would have a turn. Where it fails they are: the next one puts them off.
func (s *Store) putOff(ctx context.Context, k *taking, result []campaign.Taken) {
	var jobs []int64
	for _, r := range result {
		if r.Err != nil {
			jobs = append(jobs, k.jobs[r.Message]...)
		}
	}
	_, _ = s.pool.Exec(ctx, `UPDATE river.river_job SET scheduled_at = now() + interval '1 minute' WHERE id = ANY($1::bigint[]) AND state = 'available'`, jobs)
}

// taking is what a transition knows of the jobs it consumes. Once done, a repeat
// works on the same messages, with or without their jobs: whether the first try
// was committed is told by the claim ids.
type taking struct {
	all   []campaign.Want
	lines []wantLine
	wants map[wantLine][]int // indexes into all
	done  bool
	turns map[campaign.MessageID]taken
	jobs  map[campaign.MessageID][]int64
}

// wantLine is where a want stands: of a channel, or before its queue of high priority
// only.
type wantLine struct {
	channel campaign.ChannelID
	high    bool
}

type taken struct {
	campaign.Turn
	want int
}

// take locks the next jobs of the channels. Jobs that somebody else locks are
// passed over.
func (s *Store) take(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, t *transition) error {
	k := t.taking
	var lines, counts []int32
	var queues []string
	for i, l := range k.lines {
		for _, high := range []bool{true, false} {
			if high || !l.high {
				lines, queues, counts = append(lines, int32(i)), append(queues, queue.Name(l.channel, high)), append(counts, int32(len(k.wants[l])))
			}
		}
	}
	given := map[wantLine]int{}
	b.Queue(jobTakeSQL, pgx.StrictNamedArgs{"lines": lines, "queues": queues, "counts": counts}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var i int
			var job int64
			var turn campaign.Turn
			if err := rows.Scan(&i, &job, &turn.Message, &turn.Attempt, &turn.Campaign); err != nil {
				return err
			}
			l := k.lines[i]
			turn.Channel = l.channel
			known, twice := k.turns[turn.Message]
			switch {
			case twice:
				// A leftover of an earlier attempt goes with it.
				if turn.Attempt > known.Attempt {
					turn.Claim = known.Claim
					k.turns[turn.Message] = taken{turn, known.want}
				}
			case given[l] == len(k.wants[l]):
				continue // high priority filled the wants: this one stays where it is
			default:
				want := k.wants[l][given[l]]
				given[l]++
				turn.Claim = k.all[want].Claim
				k.turns[turn.Message] = taken{turn, want}
				t.ids = append(t.ids, turn.Message)
				t.campaigns = appendNew(t.campaigns, turn.Campaign)
			}
			k.jobs[turn.Message] = append(k.jobs[turn.Message], job)
		}
		return rows.Err()
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		// Nothing is known of what was read: the next try asks anew.
		k.turns, k.jobs, t.ids, t.campaigns = map[campaign.MessageID]taken{}, map[campaign.MessageID][]int64{}, nil, nil
		return err
	}
	if len(t.ids) == 0 {
		_, err := conn.Exec(ctx, `COMMIT`)
		return err
	}
	k.done = true
	slices.Sort(t.ids)
	return nil
}

// consume deletes the jobs of the messages that had their turn, whatever came of
// it. Those of busy ones wait some seconds: at the head of their queue they would
// be asked for again at once. Some, because two claims that keep each other's
// people would meet again.
func (k *taking) consume(b *pgx.Batch, rows []*lockedMessage, ids []campaign.MessageID, busy map[campaign.MessageID]bool) {
	waits := map[campaign.MessageID]bool{}
	for _, m := range rows {
		waits[m.ID] = m.skipped
	}
	var jobs, later []int64
	for _, id := range ids {
		switch {
		case busy[id]:
			later = append(later, k.jobs[id]...)
		case !waits[id]:
			jobs = append(jobs, k.jobs[id]...)
		}
	}
	if len(later) > 0 {
		b.Queue(`UPDATE river.river_job SET scheduled_at = clock_timestamp() + make_interval(secs => 1 + 2 * random()) WHERE id = ANY($1::bigint[])`, later)
	}
	if len(jobs) > 0 {
		b.Queue(`DELETE FROM river.river_job WHERE id = ANY($1::bigint[])`, jobs)
	}
}
