package postgres_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// fixture is a channel, a template and a running campaign with messages.
type fixture struct {
	*postgres.Store
	pool     *pgxpool.Pool
	channel  campaign.ChannelID
	template campaign.TemplateID
	campaign campaign.ID
	first    campaign.MessageID
	n        int
}

func newFixture(t testing.TB, n int) *fixture {
	t.Helper()
	ctx := t.Context()
	f := &fixture{pool: pgtest.DB(t), n: n}
	store, err := postgres.Open(ctx, f.pool)
	if err != nil {
		t.Fatal(err)
	}
	f.Store = store
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.pool.QueryRow(ctx, `WITH a AS (INSERT INTO campaign.accounts (name) VALUES ('a') RETURNING id)
		INSERT INTO campaign.channels (name, phone, base_url, key_ref, webhook_secret_ref, account_id)
		SELECT 'c', '+4930000000', 'http://127.0.0.1:1', 'env:K', 'env:S', id FROM a RETURNING id`).Scan(&f.channel))
	must(f.pool.QueryRow(ctx, `INSERT INTO campaign.templates (channel_id, name, language, status, category, format, sendable, slots, parts, components)
		VALUES ($1, 't', 'en', 'APPROVED', 'MARKETING', 'POSITIONAL', true, '[]', '[]', '{}') RETURNING id`, f.channel).Scan(&f.template))
	must(f.pool.QueryRow(ctx, `INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash)
		VALUES ('x', $1, 'running', '{"template":{"name":"t"}}', '') RETURNING id`, f.channel).Scan(&f.campaign))
	_, err = f.pool.Exec(ctx, `WITH c AS (INSERT INTO campaign.contacts (opt_in, phone, match_key, nanp)
			SELECT true, '+491510' || (1000000 + i), '+491510' || (1000000 + i), '' FROM generate_series(1, $4::int) AS i RETURNING id, phone)
		INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, due_at)
		SELECT $1, $2, $3, id, phone, 'pending', now() FROM c`, f.campaign, f.channel, f.template, n)
	must(err)
	var last campaign.MessageID
	must(f.pool.QueryRow(ctx, `SELECT min(id), max(id) FROM campaign.messages`).Scan(&f.first, &last))
	_, err = f.pool.Exec(ctx, `UPDATE campaign.campaigns SET first_id = $2, last_id = $3, total = $4, eligible = $4 WHERE id = $1`, f.campaign, f.first, last, n)
	must(err)
	_, err = f.pool.Exec(ctx, `INSERT INTO campaign.message_count_deltas VALUES ($1, $2, 'pending', '', $3)`, f.campaign, f.channel, n)
	must(err)
	return f
}

func (f *fixture) fanOut(t *testing.T) {
	t.Helper()
	n, err := f.FanOut(t.Context(), f.channel, 1000, 1000)
	if err != nil || n != f.n {
		t.Fatalf("fan-out queued %d of %d, %v", n, f.n, err)
	}
}

func (f *fixture) turns() []campaign.Turn {
	turns := make([]campaign.Turn, f.n)
	for i := range turns {
		turns[i] = campaign.Turn{Message: f.first + campaign.MessageID(i), Attempt: 1, Campaign: f.campaign, Channel: f.channel}
		rand.Read(turns[i].Claim[:])
	}
	return turns
}

// counts gives the states of the rows and fails when the counters say something
// else.
func (f *fixture) counts(t *testing.T) map[string]int {
	t.Helper()
	read := func(query string) map[string]int {
		rows, err := f.pool.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		counts := map[string]int{}
		for rows.Next() {
			var state string
			var n int
			if err := rows.Scan(&state, &n); err != nil {
				t.Fatal(err)
			}
			counts[state] = n
		}
		return counts
	}
	rows := read(`SELECT state, count(*) FROM campaign.messages GROUP BY 1`)
	totals := read(`SELECT state, sum(n) FROM campaign.message_totals GROUP BY 1 HAVING sum(n) <> 0`)
	if fmt.Sprint(rows) != fmt.Sprint(totals) {
		t.Fatalf("rows %v, counters %v", rows, totals)
	}
	return rows
}

func TestStoreSendsAMessageThroughItsLife(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	for range 2 { // a claim whose reply was lost is repeated and returns the same
		claimed, err := f.Claim(ctx, turns)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range claimed {
			if !c.OK || c.Phone == "" || c.Template != f.template {
				t.Fatalf("turn %d: %+v", i, c)
			}
		}
	}
	other := f.turns()[:1]
	if claimed, err := f.Claim(ctx, other); err != nil || claimed[0].OK {
		t.Fatalf("a second claim of a message: %+v, %v", claimed, err)
	}
	var outcomes []campaign.Outcome
	for i, turn := range turns {
		a := campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: fmt.Sprintf("wamid.%d", i), RawStatus: "accepted"}
		switch i {
		case 7:
			a = campaign.Answer{Kind: campaign.AnswerInDoubt}
		case 8:
			a = campaign.Answer{Kind: campaign.AnswerUnreachable}
		case 9:
			a = campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131026", Class: campaign.Final}}
		}
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: a})
	}
	for range 2 {
		if err := f.Record(ctx, outcomes); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{"accepted": 7, "unknown": 1, "deferred": 1, "failed": 1}
	if got := f.counts(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after the outcomes: %v, want %v", got, want)
	}
	event := func(i int, status string) campaign.Event {
		return campaign.Event{Kind: campaign.EventStatus, Messages: true, ID: fmt.Sprintf("wamid.%d", i), Status: status,
			Opaque: f.Opaque(f.first+campaign.MessageID(i), 1), At: time.Now()}
	}
	loose := event(3, "read")
	loose.Opaque = ""
	unknown := event(99, "read")
	unknown.Opaque = ""
	foreign := event(1, "read")
	foreign.Opaque = "elsewhere/1/1"
	if err := f.SaveDeliveries(ctx, []campaign.Delivery{{Channel: f.channel, Body: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	ds, err := f.Unapplied(ctx, 10, 1<<20)
	if err != nil || len(ds) != 1 {
		t.Fatalf("%d deliveries, %v", len(ds), err)
	}
	applied, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Delivery: ds[0], Events: []campaign.Event{
		event(0, "delivered"), event(0, "sent"), event(7, "sent"), loose, unknown, foreign,
	}}})
	if err != nil || applied.Unmatched != 1 {
		t.Fatalf("%+v, %v", applied, err)
	}
	if ds, err := f.Unapplied(ctx, 10, 1<<20); err != nil || len(ds) != 0 {
		t.Fatalf("%d deliveries left, %v", len(ds), err)
	}
	want = map[string]int{"accepted": 5, "delivered": 1, "sent": 1, "read": 1, "deferred": 1, "failed": 1}
	if got := f.counts(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after the webhooks: %v, want %v", got, want)
	}
	if err := f.FoldCounts(ctx); err != nil {
		t.Fatal(err)
	}
	f.counts(t)
}

func TestStorePauseAndCancelBindEveryLaterClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns[:1]); err != nil {
		t.Fatal(err)
	}
	if err := f.Pause(ctx, f.campaign, "lunch"); err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Claim(ctx, turns[1:2])
	if err != nil || claimed[0].OK {
		t.Fatalf("claimed after a pause: %+v, %v", claimed, err)
	}
	if got := f.counts(t); got["pending"] != 1 || got["sending"] != 1 || got["queued"] != 2 {
		t.Fatalf("after the pause: %v", got)
	}
	if n, err := f.FanOut(ctx, f.channel, 1000, 1000); err != nil || n != 0 {
		t.Fatalf("fan-out queued %d of a paused campaign, %v", n, err)
	}
	if _, err := f.Resume(ctx, f.campaign); err != nil {
		t.Fatal(err)
	}
	if err := f.Cancel(ctx, f.campaign); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := f.Sweep(ctx, f.campaign)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if got := f.counts(t); got["cancelled"] != 3 || got["sending"] != 1 {
		t.Fatalf("after the cancel: %v", got)
	}
	var jobs int
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM river.river_job WHERE kind = 'send'`).Scan(&jobs); err != nil || jobs > 2 {
		t.Fatalf("%d jobs left, %v", jobs, err)
	}
	failed := campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131000", Class: campaign.RetryClass}}
	if err := f.Record(ctx, []campaign.Outcome{{Turn: turns[0], Answer: failed}}); err != nil {
		t.Fatal(err)
	}
	if got := f.counts(t); got["failed"] != 1 {
		t.Fatalf("a retry of a cancelled campaign: %v", got)
	}
}

func TestStoreRepairSettlesDeadClaimsAndLostJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns[:1]); err != nil {
		t.Fatal(err)
	}
	exec := func(query string) {
		t.Helper()
		if _, err := f.pool.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	exec(`UPDATE campaign.messages SET claimed_at = now() - interval '2 minutes' WHERE state = 'sending'`)
	exec(`UPDATE campaign.claims SET claimed_at = now() - interval '2 minutes'`)
	done, err := f.Repair(ctx, false)
	if err != nil || done.Unknown != 1 || done.Requeued != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	exec(`DELETE FROM river.river_job WHERE kind = 'send'`)
	done, err = f.Repair(ctx, false)
	if err != nil || done.Requeued != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	done, err = f.Repair(ctx, true)
	if err != nil || done != (postgres.Repaired{}) {
		t.Fatalf("a second pass found %+v, %v", done, err)
	}
	f.counts(t)
}

// Two jobs for one message, as pause and resume leave them: the turn that was
// given back is over, whenever its job runs.
func TestStoreAStaleJobDoesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	f.fanOut(t)
	first := f.turns()[0]
	if err := f.Pause(ctx, f.campaign, "lunch"); err != nil {
		t.Fatal(err)
	}
	if claimed, err := f.Claim(ctx, []campaign.Turn{first}); err != nil || claimed[0].OK {
		t.Fatalf("%+v, %v", claimed, err)
	}
	if _, err := f.Resume(ctx, f.campaign); err != nil {
		t.Fatal(err)
	}
	f.fanOut(t)
	if claimed, err := f.Claim(ctx, []campaign.Turn{first}); err != nil || claimed[0].OK {
		t.Fatalf("the job of the first turn: %+v, %v", claimed, err)
	}
	second := f.turns()[0]
	second.Attempt = 2
	if claimed, err := f.Claim(ctx, []campaign.Turn{second}); err != nil || !claimed[0].OK {
		t.Fatalf("the job of the second turn: %+v, %v", claimed, err)
	}
	rescued := f.turns()[0] // the same job once more, while its first run is under way
	rescued.Attempt = 2
	if claimed, err := f.Claim(ctx, []campaign.Turn{rescued}); err != nil || claimed[0].OK {
		t.Fatalf("a rescued job whose first run is under way: %+v, %v", claimed, err)
	}
}

func TestWithdrawEndsWhatNobodyClaimed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	direct := func() campaign.Turn {
		t.Helper()
		turn, err := f.Direct(ctx, f.channel, f.template, 0, "+491510000001", []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		rand.Read(turn.Claim[:])
		return turn
	}
	state := func(turn campaign.Turn) campaign.MessageState {
		t.Helper()
		m, err := f.Message(ctx, turn.Message)
		if err != nil {
			t.Fatal(err)
		}
		return m.State
	}
	claim := func(turn campaign.Turn, want bool) {
		t.Helper()
		claimed, err := f.Claim(ctx, []campaign.Turn{turn})
		if err != nil || claimed[0].OK != want {
			t.Fatalf("claim: %+v, %v; want %t", claimed, err, want)
		}
	}
	withdraw := func(turn campaign.Turn, want campaign.MessageState) {
		t.Helper()
		if err := f.Withdraw(ctx, turn); err != nil {
			t.Fatal(err)
		}
		if is := state(turn); is != want {
			t.Errorf("withdrawn: %s, want %s", is, want)
		}
	}
	queued := direct()
	withdraw(queued, campaign.MessageCancelled)
	claim(queued, false)

	sending := direct()
	claim(sending, true)
	withdraw(sending, campaign.Sending)

	refused := direct()
	claim(refused, true)
	later := campaign.Failure{Code: "130429", Class: campaign.RetryClass, Retry: campaign.Retry{First: time.Second, Factor: 1, Attempts: 5}}
	if err := f.Record(ctx, []campaign.Outcome{{Turn: refused, Answer: campaign.Answer{Kind: campaign.AnswerFailed, Failure: later}}}); err != nil {
		t.Fatal(err)
	}
	if is := state(refused); is != campaign.Deferred {
		t.Fatalf("refused for now: %s", is)
	}
	withdraw(refused, campaign.Failed)

	if err := f.PauseChannel(ctx, f.channel, "billing"); err != nil {
		t.Fatal(err)
	}
	held := direct()
	claim(held, false)
	if is := state(held); is != campaign.Pending {
		t.Fatalf("held: %s", is)
	}
	withdraw(held, campaign.MessageCancelled)

	// A campaign's message is not ended by this.
	withdraw(campaign.Turn{Message: f.first, Attempt: 1, Campaign: f.campaign, Channel: f.channel}, campaign.Pending)
	if findings, err := f.Verify(ctx, 0, nil); err != nil || len(findings) != 0 {
		t.Errorf("verify: %v, %v", findings, err)
	}
}
