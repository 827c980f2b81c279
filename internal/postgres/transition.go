package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
)

var (
	//go:embed sql/message_lock.sql
	messageLockSQL string
	// messageClaimSQL passes over rows that somebody else has locked.
	messageClaimSQL = strings.Replace(messageLockSQL, "FOR UPDATE)", "FOR UPDATE SKIP LOCKED)", 1)
	//go:embed sql/message_campaigns.sql
	messageCampaignsSQL string
	//go:embed sql/message_provider_ids.sql
	messageProviderIDsSQL string
	//go:embed sql/message_attempts.sql
	messageAttemptsSQL string
	//go:embed sql/count_add.sql
	countAddSQL string
	//go:embed sql/hold_put.sql
	holdPutSQL string
)

// lockedMessage is a message whose row is locked, and what came of it.
type lockedMessage struct {
	campaign.Message
	Phone      string
	forgotten  bool // the person was forgotten: the row has no number
	orphan     bool // the person was forgotten, and the row does not know it yet
	Parameters []byte
	Marketing  bool

	place     pgtype.TID // of the row, which stays there while it is locked
	before    campaign.Message
	updatedAt time.Time
	change    campaign.Change
	claimed   bool
	skipped   bool // left alone in this batch: another message to the same contact is in it
}

// transition is one batched step of the status machine: lock the campaigns and
// channels (shared), lock the rows in id order, read the circumstances in
// statements of their own, decide in memory, write back, commit. Three round
// trips whatever the size.
type transition struct {
	ids       []campaign.MessageID
	campaigns []campaign.ID
	channels  []campaign.ChannelID
	people    bool // opt-outs are checked: take the people lock and read all contacts
	// asks says of whose contact the decision wants to know; nil: of nobody's. A
	// report of an arrival does not: with all of them read, a status cost a third
	// more of the database's time.
	asks func(campaign.MessageID) bool
	// taking finds the messages by their jobs, which the transition consumes; nil
	// for messages that are known.
	taking *taking
	// busy takes the messages of a claim that somebody else keeps, by their row or by
	// their person's: a service's transaction may keep either for minutes, and with a
	// claim that waits a channel stands still, and then whoever waits for the claim.
	busy map[campaign.MessageID]bool
	// repeats is set where the try before may have been committed: then its rows are
	// waited for, or a claim that holds would look like one that failed.
	repeats bool
	decide  func(*lockedMessage, campaign.Circumstances)
	// after is run in the same transaction, before the commit.
	after func(*pgx.Batch)
}

// run carries the transition out. It repeats the whole of it on a deadlock, a
// serialisation failure or a lost connection until ctx ends, and on a data error
// halves it until the bad element is alone: that element's error is returned
// beside the rows of all others.
func (s *Store) run(ctx context.Context, t transition) ([]*lockedMessage, error) {
	if len(t.ids) == 0 && t.taking == nil {
		return nil, nil
	}
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		rows, err := s.runOnce(ctx, &t)
		// A try that took too long ended by its own time limit, not by the caller's.
		stuck := ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil:
			return rows, nil
		case badData(err) && len(t.ids) > 1:
			half := len(t.ids) / 2
			first, second := t, t
			first.ids, second.ids = slices.Clone(t.ids[:half]), slices.Clone(t.ids[half:])
			second.after = nil
			if t.busy != nil { // or clear would take from what it copies
				first.busy, second.busy = map[campaign.MessageID]bool{}, map[campaign.MessageID]bool{}
			}
			left, errLeft := s.run(ctx, first)
			right, errRight := s.run(ctx, second)
			clear(t.busy)
			maps.Copy(t.busy, first.busy)
			maps.Copy(t.busy, second.busy)
			return append(left, right...), errors.Join(errLeft, errRight)
		case !again(err) && !stuck:
			return nil, translate(err)
		}
		// A server that is shut down says so after a commit, too: FATAL.
		var refused *pgconn.PgError
		t.repeats = t.repeats || !errors.As(err, &refused) || refused.SeverityUnlocalized != "ERROR"
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// tryFor bounds one try. Its milliseconds are waits for locks, or a server that
// went away without a word: then the whole is repeated on another connection.
const tryFor = 30 * time.Second

// transitionSQL begins a transition. The timeout is how long the server waits for
// us: a node that is stopped in the middle must not keep its locks, or a pause
// would wait for it, and everybody else behind that pause.
//
// The rest has its statements planned once in a connection and not again for each
// batch, which took 6.9 of their 11.2 s where batches are small (a thousand
// messages a second, three or four in a batch). A plan that is kept must not
// depend on what the tables looked like when it was made, or one that was made
// for ten messages reads all of a million. So nothing is left to choose: rows are
// found one by one, by an index.
const transitionSQL = `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('plan_cache_mode', 'force_generic_plan', true),
	set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_hashjoin', 'off', true),
	set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true), set_config('enable_memoize', 'off', true)`

// ownPlansSQL lets the statements that follow be planned for their parameters.
const ownPlansSQL = `SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'on', true),
	set_config('enable_bitmapscan', 'on', true), set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
	set_config('enable_indexscan', 'on', true)`

// byPlaceSQL leaves the statement that follows nothing but the places of the rows:
// to the index it would prefer all of a small table.
const byPlaceSQL = `SELECT set_config('enable_indexscan', 'off', true)`

func (s *Store) runOnce(ctx context.Context, t *transition) ([]*lockedMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	// A connection that is released in a transaction is closed by the pool, which
	// rolls back: no path below needs to.
	defer conn.Release()

	b := &pgx.Batch{}
	t.begin(b)
	if t.taking != nil && !t.taking.done {
		if err := s.take(ctx, conn, b, t); err != nil || len(t.ids) == 0 {
			return nil, err
		}
		b = &pgx.Batch{}
	}
	rows, err := s.lock(ctx, conn, b, t)
	if err != nil {
		return nil, err
	}
	facts, err := s.facts(ctx, conn, rows, t)
	if err != nil {
		return nil, err
	}
	for _, m := range rows {
		m.before = m.Message
		if facts.crowded(m) {
			m.skipped, t.busy[m.ID] = true, true
			continue
		}
		m.Marketing = facts.templates[m.TemplateID].marketing
		t.decide(m, facts.of(m))
		facts.claimed(m)
	}
	return rows, s.write(ctx, conn, rows, facts, t)
}

// begin begins the transaction and takes the first of the shared locks, in key
// order.
func (t *transition) begin(b *pgx.Batch) {
	// The isolation is named because a database may have another default: the facts
	// must see what was committed before the locks were granted.
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	b.Queue(transitionSQL)
	var keys []lockKey
	if t.people {
		keys = append(keys, peopleKey())
	}
	for _, id := range t.channels {
		keys = append(keys, channelKey(id))
	}
	queueShared(b, keys)
}

// lock takes the locks of the campaigns and locks the rows.
func (s *Store) lock(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, t *transition) ([]*lockedMessage, error) {
	var keys []lockKey
	for _, id := range t.campaigns {
		if id != 0 {
			keys = append(keys, campaignKey(id))
		}
	}
	queueShared(b, keys)
	locks := b.Len()
	statement := messageLockSQL
	if t.busy != nil && !t.repeats {
		statement = messageClaimSQL
	}
	b.Queue(statement, pgx.StrictNamedArgs{"ids": t.ids, "least": t.ids[0], "greatest": t.ids[len(t.ids)-1],
		"whole": t.people})

	results := conn.SendBatch(ctx, b)
	defer results.Close()
	for range locks {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	locked := make([]*lockedMessage, 0, len(t.ids))
	for rows.Next() {
		m := &lockedMessage{}
		var claim *[16]byte
		err := rows.Scan(&m.ID, &m.place, &m.CampaignID, &m.ChannelID, &m.TemplateID, &m.ContactID, &m.State, &m.Reason, &m.ErrorCode, &m.RawStatus,
			&m.Attempt, &m.Posted, &m.Posts, &m.Proof, &m.Resend, &m.Resends, &claim, &m.ClaimedAt, &m.DueAt, &m.ProviderID,
			&m.ExpiresAt, &m.SentAt, &m.DeliveredAt, &m.ReadAt, &m.FailedAt, &m.updatedAt, &m.Phone, &m.Parameters, &m.ZoneSet, &m.forgotten)
		if err != nil {
			rows.Close()
			return nil, err
		}
		if claim != nil {
			m.ClaimID = *claim
		}
		locked = append(locked, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := results.Close(); err != nil || t.busy == nil {
		return locked, err
	}
	clear(t.busy)
	if len(locked) == len(t.ids) {
		return locked, nil
	}
	return locked, t.passedOver(ctx, conn, locked)
}

// passedOver notes which of the messages that were not locked exist.
func (t *transition) passedOver(ctx context.Context, conn *pgxpool.Conn, locked []*lockedMessage) error {
	missing := slices.Clone(t.ids)
	for _, m := range locked {
		if i, ok := slices.BinarySearch(missing, m.ID); ok {
			missing = slices.Delete(missing, i, i+1)
		}
	}
	existing, err := collectIDs(conn.Query(ctx, `SELECT id FROM campaign.messages WHERE id = ANY($1::bigint[]) AND id BETWEEN $2 AND $3`,
		missing, missing[0], missing[len(missing)-1]))
	for _, id := range existing {
		t.busy[id] = true
	}
	return err
}
