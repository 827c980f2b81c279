package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// deliver stores and applies one webhook per list of events.
func (f *fixture) deliver(t testing.TB, lists ...[]campaign.Event) (campaign.Applied, error) {
	t.Helper()
	ctx := t.Context()
	var ds []campaign.Delivery
	for range lists {
		ds = append(ds, campaign.Delivery{Channel: f.channel, Body: []byte(`{}`)})
	}
	if err := f.SaveDeliveries(ctx, ds); err != nil {
		t.Fatal(err)
	}
	stored, err := f.Unapplied(ctx, 100, 1<<20)
	if err != nil || len(stored) != len(lists) {
		t.Fatalf("%d deliveries, %v", len(stored), err)
	}
	var parsed []campaign.Parsed
	for i, d := range stored {
		parsed = append(parsed, campaign.Parsed{Delivery: d, Events: lists[i]})
	}
	return f.ApplyDeliveries(ctx, f.channel, parsed)
}

func (f *fixture) status(i int, status string) campaign.Event {
	return campaign.Event{Kind: campaign.EventStatus, Messages: true, ID: fmt.Sprintf("wamid.%d", i), Status: status,
		Opaque: f.Opaque(f.first+campaign.MessageID(i), 1), At: time.Now()}
}

func (f *fixture) send(t *testing.T) []campaign.Turn {
	t.Helper()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(t.Context(), turns); err != nil {
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	for i, turn := range turns {
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: fmt.Sprintf("wamid.%d", i), RawStatus: "accepted"}})
	}
	if err := f.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	return turns
}

// One element that the database refuses, for whatever reason, must not hold up
// the inbox: all the others are applied, and the delivery says what happened.
func TestStorePoisonedElementStopsNobody(t *testing.T) {
	t.Parallel()
	long := make([]byte, 5000) // does not compress, and is too long for an index
	rand.Read(long)
	for name, poison := range map[string]campaign.Event{
		"LongReply":     {Kind: campaign.EventMessage, Messages: true, ID: hex.EncodeToString(long), Type: "text"},
		"NULReply":      {Kind: campaign.EventMessage, Messages: true, ID: "wamid.\x00", ContextID: "a\xff", Type: "te\x00xt"},
		"NULStatus":     {Kind: campaign.EventStatus, Messages: true, ID: "wamid.\x00", Status: "se\xffnt"},
		"NULPreference": {Kind: campaign.EventUserPreference, Messages: true, User: "49\x00151", MatchKey: "49\x00151", Value: "stop"},
		"NULQuality":    {Kind: campaign.EventPhoneQuality, Event: "FLAG\x00GED"},
		"NULAccount":    {Kind: campaign.EventAccount, Event: "ACCOUNT_RESTRICTION", Reason: "a\x00\xff"},
		"LateStatus": {Kind: campaign.EventStatus, Messages: true, ID: "wamid.nobody", Status: "sent",
			At: time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 3)
			f.send(t)
			_, err := f.deliver(t,
				[]campaign.Event{f.status(0, "delivered")},
				[]campaign.Event{f.status(1, "sent"), poison, f.status(1, "read")},
				[]campaign.Event{f.status(2, "sent")})
			if err != nil {
				t.Error(err)
			}
			if left, err := f.Unapplied(t.Context(), 10, 1<<20); err != nil || len(left) > 0 {
				t.Errorf("%d deliveries are stuck, %v", len(left), err)
			}
			if got := fmt.Sprint(f.counts(t)); got != "map[delivered:1 read:1 sent:1]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// What the provider answers reaches the row without what Postgres cannot store.
func TestStoreRecordsAnswersThatPostgresCannotStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(t.Context(), turns); err != nil {
		t.Fatal(err)
	}
	err := f.Record(t.Context(), []campaign.Outcome{
		{Turn: turns[0], Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "wamid.\x00\xff", RawStatus: "acc\x00epted"}},
		{Turn: turns[1], Answer: campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "x\x00", Title: "y\xff", Class: campaign.PauseTemplate}}},
	})
	if err != nil {
		t.Error(err)
	}
	if got := f.counts(t); got["accepted"] != 1 || got["deferred"] != 1 {
		t.Errorf("got %v", got)
	}
}

// A bad element in a batch of claims costs only itself: what was committed for
// the others must reach their workers, or it would end unknown without a POST.
func TestStoreClaimTellsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	ctx := t.Context()
	f.fanOut(t)
	// A constraint that this program does not know refuses one of the rows.
	_, err := f.pool.Exec(ctx, fmt.Sprintf(`ALTER TABLE campaign.messages ADD CONSTRAINT no_claim CHECK (NOT (id = %d AND state = 'sending'))`, f.first+1))
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Claim(ctx, f.turns())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range claimed {
		if c.OK != (i != 1) {
			t.Errorf("turn %d: %+v", i, c)
		}
	}
	if got := f.counts(t); got["sending"] != 3 || got["queued"] != 1 {
		t.Errorf("got %v", got)
	}
	if claimed, err = f.Claim(ctx, f.turns()[1:2]); err == nil {
		t.Errorf("alone it is an error: %+v", claimed)
	}
}

// Thousands of statuses of somebody else's messages on the same number must not
// keep one of ours from being matched.
func TestStoreMatchesAgainAmongManyThatMatchNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	var foreign []campaign.Event
	for i := range 2500 {
		foreign = append(foreign, campaign.Event{Kind: campaign.EventStatus, Messages: true, ID: fmt.Sprint("wamid.foreign.", i), Status: "sent"})
	}
	early := campaign.Event{Kind: campaign.EventStatus, Messages: true, ID: "wamid.0", Status: "delivered"}
	if applied, err := f.deliver(t, foreign, []campaign.Event{early}); err != nil || applied.Unmatched != 2501 {
		t.Fatalf("%+v, %v", applied, err)
	}
	f.send(t)
	n, err := f.RetryUnmatched(ctx, func(int) campaign.Failure { return campaign.Failure{} })
	if err != nil || n != 1 {
		t.Errorf("%d were matched, %v", n, err)
	}
	if got := f.counts(t); got["delivered"] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestStoreReinstatedAccountIsNotHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	event := func(state string) []campaign.Event {
		return []campaign.Event{{Kind: campaign.EventAccount, Event: "DISABLED_UPDATE", New: state}}
	}
	holds := func() int {
		holds, err := f.ChannelHolds(t.Context(), f.channel)
		if err != nil {
			t.Fatal(err)
		}
		return len(holds)
	}
	if _, err := f.deliver(t, event("DISABLE")); err != nil || holds() != 1 {
		t.Fatalf("disabled: %d holds, %v", holds(), err)
	}
	if _, err := f.deliver(t, event("REINSTATE")); err != nil || holds() != 0 {
		t.Errorf("reinstated: %d holds, %v", holds(), err)
	}
}

// A rate below one a second is an average over more than a second.
func TestStoreFanOutKeepsASlowRate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10)
	ctx := t.Context()
	if _, err := f.pool.Exec(ctx, `UPDATE campaign.campaigns SET rate = 0.1`); err != nil {
		t.Fatal(err)
	}
	total := 0
	for range 3 {
		n, err := f.FanOut(ctx, f.channel, 100, 100)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != 1 {
		t.Errorf("at once: %d, want 1", total)
	}
	if _, err := f.pool.Exec(ctx, `UPDATE campaign.campaigns SET credit_at = credit_at - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		n, err := f.FanOut(ctx, f.channel, 100, 100)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != 2 {
		t.Errorf("an hour later: %d in all, want 2: at most one message's worth is saved up", total)
	}
}

// Whatever isolation a database has as its default, a claim sees the pause that
// was confirmed before it.
func TestStoreClaimSeesThePauseAtAnyDefaultIsolation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	f.fanOut(t)
	config := f.pool.Config()
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	strict, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	// A pause that is about to be confirmed holds the lock that the claim waits for.
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7403, $1)`, int32(f.campaign)); err != nil {
		t.Fatal(err)
	}
	done := make(chan []campaign.Claimed)
	go func() {
		claimed, err := strict.Claim(ctx, f.turns()[:1])
		if err != nil {
			t.Error(err)
		}
		done <- claimed
	}()
	waitFor(t, f.pool, `SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if _, err := tx.Exec(ctx, `INSERT INTO campaign.holds (scope, scope_id, source, reason) VALUES ('campaign', $1, 'person', 'lunch')`, f.campaign); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if claimed := <-done; len(claimed) != 1 || claimed[0].OK {
		t.Errorf("claimed against a pause: %+v", claimed)
	}
}

func waitFor(t *testing.T, pool *pgxpool.Pool, query string) {
	t.Helper()
	for range 1000 {
		var ok bool
		if err := pool.QueryRow(t.Context(), query).Scan(&ok); err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("it did not come to pass: %s", query)
}

// A server that takes connections and does not answer (stopped, or behind a
// network that loses packets) is one that is away: outcomes wait for it.
func TestStoreRecordOutlivesAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns); err != nil {
		t.Fatal(err)
	}
	config := f.pool.Config()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dial := config.ConnConfig.DialFunc
	tries := 0
	config.ConnConfig.ConnectTimeout = 200 * time.Millisecond
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if tries++; tries <= 2 {
			network, address = "tcp", silent.Addr().String()
		}
		return dial(ctx, network, address)
	}
	config.MinConns, config.MaxConns = 0, 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store, err := openLater(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	pool.Reset()
	tries = 0
	err = store.Record(ctx, []campaign.Outcome{{Turn: turns[0], Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "w"}}})
	if err != nil {
		t.Error(err)
	}
	if got := f.counts(t); got["accepted"] != 1 {
		t.Errorf("got %v", got)
	}
}

// openLater opens a store on a pool whose first connections get no answer.
func openLater(ctx context.Context, pool *pgxpool.Pool) (*postgres.Store, error) {
	for range 5 {
		if store, err := postgres.Open(ctx, pool); err == nil {
			return store, nil
		}
	}
	return postgres.Open(ctx, pool)
}
