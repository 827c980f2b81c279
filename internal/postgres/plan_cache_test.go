package postgres_test

import (
	"fmt"
	"testing"

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
		err := f.pool.QueryRow(t.Context(), `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^(messages_[0-9]|contacts$|river_job$)')
			+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname ~ '^(messages_[0-9]|contacts$|river_job$)')`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var tables []string
	rows, err := f.pool.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind = 'r' AND c.relname ~ '^(messages_[0-9]|contacts$|river_job$)'`)
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
