package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// The plans of claims, outcomes and reports are made once in a connection. Made
// when there was one message, in tables that were just vacuumed, they must still
// read only what they are asked for when there are many, before any new
// statistics.
func TestStorePlansOutliveSmallTables(t *testing.T) {
	t.Parallel()
	const more = 40_000
	f := newFixture(t, 1)
	life := func(turns []campaign.Turn, events []campaign.Event) {
		t.Helper()
		var outcomes []campaign.Outcome
		for i, turn := range turns {
			outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted,
				ProviderID: fmt.Sprintf("wamid.%d.%d", turn.Message, i), RawStatus: "accepted"}})
		}
		if err := f.Record(t.Context(), outcomes); err != nil {
			t.Fatal(err)
		}
		if applied, err := f.deliver(t, events); err != nil || applied.Statuses != len(turns) {
			t.Fatal(applied, err)
		}
	}
	take := func(n int) []campaign.Turn {
		t.Helper()
		wants := make([]campaign.Want, n)
		for i := range wants {
			wants[i] = campaign.Want{Channel: f.channel, Claim: campaign.ClaimID{byte(i + 1)}}
		}
		taken, err := f.Take(t.Context(), wants)
		if err != nil {
			t.Fatal(err)
		}
		var turns []campaign.Turn
		for _, k := range taken {
			if !k.OK {
				t.Fatalf("not claimed: %+v", k)
			}
			turns = append(turns, k.Turn)
		}
		return turns
	}
	read := func() (n int) {
		t.Helper()
		for _, conn := range f.pool.AcquireAllIdle(t.Context()) {
			_, err := conn.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`) // otherwise it counts with a delay
			conn.Release()
			if err != nil {
				t.Fatal(err)
			}
		}
		err := f.pool.QueryRow(t.Context(), `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^(messages_[0-9]|contacts$|river_job$|webhooks$)')
			+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname ~ '^(messages_[0-9]|contacts$|river_job$|webhooks$)')`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var tables []string
	rows, err := f.pool.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind = 'r' AND c.relname ~ '^(messages_[0-9]|contacts$|river_job$|webhooks$)'`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if rows.Err() != nil || len(tables) < 3 {
		t.Fatal(tables, rows.Err())
	}
	for _, name := range tables {
		f.exec(t, `ALTER TABLE `+name+` SET (autovacuum_enabled = false)`) // nobody makes new plans
		f.exec(t, `VACUUM (ANALYZE) `+name)
	}
	f.fanOut(t)
	life(take(1), []campaign.Event{f.status(0, "delivered")})

	f.exec(t, `WITH c AS (INSERT INTO campaign.contacts (opt_in, phone, match_key, nanp)
			SELECT true, '+491520' || (1000000 + i), '+491520' || (1000000 + i), '' FROM generate_series(1, $4::int) AS i RETURNING id, phone)
		INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, due_at)
		SELECT $1, $2, $3, id, phone, 'pending', now() FROM c`, f.campaign, f.channel, f.template, more)
	f.exec(t, `UPDATE campaign.campaigns SET last_id = $2, total = total + $3, eligible = total + $3 WHERE id = $1`, f.campaign, f.first+more, more)
	f.exec(t, `INSERT INTO campaign.message_count_deltas VALUES ($1, $2, 'pending', '', $3)`, f.campaign, f.channel, more)
	f.exec(t, `INSERT INTO campaign.webhooks (channel_id, body, applied_at) SELECT $1, '', now() FROM generate_series(1, $2::int)`, f.channel, more)
	f.n = more + 1
	for queued := 0; queued < more; {
		n, err := f.FanOut(t.Context(), f.channel, 1<<30, 5000)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		queued += n
	}
	before := read()
	// Two by their jobs, two by their ids: those at both ends of the plan.
	life(take(2), []campaign.Event{f.status(1, "delivered"), f.status(2, "read")})
	turns := f.turns()
	ends := []campaign.Turn{turns[3], turns[more]}
	if claimed, err := f.Claim(t.Context(), ends); err != nil || !claimed[0].OK || !claimed[1].OK {
		t.Fatal(claimed, err)
	}
	life(ends, []campaign.Event{f.status(3, "delivered"), f.status(more, "failed")})
	if n := read() - before; n > 1000 {
		t.Errorf("%d rows were read for four messages of %d", n, more)
	} else {
		t.Logf("%d rows were read for four messages", n)
	}
}

// A row that somebody else writes while a claim waits for it moves: the claim is
// written where the row is then, or not at all.
func TestStoreWritesRowsThatMovedWhileItWaited(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(t.Context(), turns); err != nil { // which waits for no row
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	for _, turn := range turns {
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerInDoubt}})
	}
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // every second row, until some have left their page
		if _, err := tx.Exec(t.Context(), `UPDATE campaign.messages SET raw_status = raw_status || repeat('x', 1500) WHERE id % 2 = 0`); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- f.Record(t.Context(), outcomes) }()
	for waits := false; !waits; time.Sleep(5 * time.Millisecond) {
		if err := f.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE) AS m%')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if counts := f.counts(t); counts["unknown"] != 20 {
		t.Errorf("all outcomes were recorded, and the rows say %v", counts)
	}
}

// What was not written was not claimed.
func TestStoreClaimsNothingThatIsNotWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	f.fanOut(t)
	f.exec(t, `CREATE FUNCTION campaign.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	f.exec(t, fmt.Sprintf(`CREATE TRIGGER swallow BEFORE UPDATE ON campaign.messages_00000 FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION campaign.swallow()`, f.first+1))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if claimed, err := f.Claim(ctx, f.turns()); err == nil {
		t.Errorf("claimed: %+v", claimed)
	}
	if counts := f.counts(t); counts["queued"] != 3 {
		t.Errorf("the rows say %v", counts)
	}
	f.exec(t, `DROP TRIGGER swallow ON campaign.messages_00000`)
	if _, err := f.Claim(t.Context(), f.turns()); err != nil {
		t.Error(err)
	}
	if counts := f.counts(t); counts["sending"] != 3 {
		t.Errorf("the rows say %v", counts)
	}
}
