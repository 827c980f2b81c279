package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// phoneOf is the number of a fixture's i-th contact.
func phoneOf(i int) string { return fmt.Sprintf("+491510%d", 1000001+i) }

func (f *fixture) inbound(i int, id, text string, wish campaign.Wish) campaign.Event {
	phone := phoneOf(i)
	return campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: id, Type: "text", From: phone[1:], MatchKey: phone,
		Text: text, Words: []string{text}, Wish: wish, Person: campaign.ContactRow{Phone: phone, MatchKey: phone, Country: "DE"}}
}

// stateOf gives state and reason of the i-th message.
func (f *fixture) stateOf(t *testing.T, i int) string {
	t.Helper()
	var state, reason string
	err := f.pool.QueryRow(t.Context(), `SELECT state, reason FROM campaign.messages WHERE id = $1`, f.first+campaign.MessageID(i)).Scan(&state, &reason)
	if err != nil {
		t.Fatal(err)
	}
	if reason != "" {
		state += "/" + reason
	}
	return state
}

// claimAll claims every message and says of each what became of it.
func (f *fixture) claimAll(t *testing.T) []string {
	t.Helper()
	if _, err := f.Claim(t.Context(), f.turns()); err != nil {
		t.Fatal(err)
	}
	states := make([]string, f.n)
	for i := range states {
		states[i] = f.stateOf(t, i)
	}
	f.counts(t)
	return states
}

func TestClaimAsksWhetherSomebodyMayBeWrittenTo(t *testing.T) {
	t.Parallel()
	setUp := func(t *testing.T) *fixture {
		f := newFixture(t, 6)
		f.exec(t, `UPDATE campaign.contacts SET country = 'DE'`)
		f.exec(t, `UPDATE campaign.contacts SET country = 'RU' WHERE phone = $1`, phoneOf(2))
		f.exec(t, `UPDATE campaign.contacts SET opt_in = false WHERE phone = $1`, phoneOf(3))
		f.exec(t, `UPDATE campaign.contacts SET opt_in = NULL WHERE phone = $1`, phoneOf(4))
		f.exec(t, `UPDATE campaign.contacts SET user_id = 'DE.1349' WHERE phone = $1`, phoneOf(5))
		f.fanOut(t)
		n, err := f.Suppress(t.Context(), []campaign.Suppression{{Phone: phoneOf(1), MatchKey: phoneOf(1)}, {Country: "RU"}, {Phone: phoneOf(1), MatchKey: phoneOf(1)}})
		if err != nil || n != 2 {
			t.Fatalf("%d suppressed, %v", n, err)
		}
		stop := campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: "wamid.x", Type: "text", UserID: "DE.1349", Words: []string{"stop"}, Wish: campaign.WishStop}
		f.exec(t, `UPDATE campaign.contacts SET user_id = NULL`) // told later than the stop
		if err := f.Heed(t.Context(), f.channel, []campaign.Event{stop}); err != nil {
			t.Fatal(err)
		}
		f.exec(t, `UPDATE campaign.contacts SET user_id = 'DE.1349' WHERE phone = $1`, phoneOf(5))
		return f
	}
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"Marketing": {``, []string{"sending", "skipped/suppressed", "skipped/country_blocked", "skipped/not_opted_in", "skipped/not_opted_in", "skipped/opted_out"}},
		"Utility": {`UPDATE campaign.templates SET category = 'UTILITY'`,
			[]string{"sending", "skipped/suppressed", "skipped/country_blocked", "sending", "sending", "sending"}},
		"OptInAssumed": {`UPDATE campaign.campaigns SET spec = spec || '{"opt_in":"assumed"}'`,
			[]string{"sending", "skipped/suppressed", "skipped/country_blocked", "sending", "sending", "skipped/opted_out"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			if c.change != "" {
				f.exec(t, c.change)
			}
			if got := f.claimAll(t); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

// What a stranger's user id stopped, an opt-in by hand lifts.
func TestAnOptInLiftsWhatAUserIDStopped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	stop := campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: "wamid.x", Type: "text", UserID: "DE.1349", Words: []string{"stop"}, Wish: campaign.WishStop}
	if err := f.Heed(t.Context(), f.channel, []campaign.Event{stop}); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE campaign.contacts SET user_id = 'DE.1349'`)
	optedOut := func() bool {
		t.Helper()
		c, err := f.Contact(t.Context(), phoneOf(0), phoneOf(0))
		if err != nil {
			t.Fatal(err)
		}
		return c.OptedOutAt != nil
	}
	if !optedOut() {
		t.Error("the stop does not bind whoever has that id")
	}
	n, err := f.SetOptIn(t.Context(), []campaign.ContactRow{{Phone: phoneOf(0), MatchKey: phoneOf(0)}}, "person")
	if err != nil || n != 1 || optedOut() {
		t.Errorf("%d changed, %v; opted out %v", n, err, optedOut())
	}
}

func TestPlanLeavesOutWhomTheClaimWouldLeaveOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := []campaign.ContactRow{}
	for i := range 5 {
		rows = append(rows, contactRow(i, map[string]string{"first_name": "Ann"}))
	}
	rows[1].OptIn = nil
	rows[2].Country = "RU"
	rows[3].Phone, rows[3].MatchKey = "+5541987654321", "+5541987654321" // suppressed under its other form
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, rowsOf(rows...))
	if _, err := w.Suppress(t.Context(), []campaign.Suppression{{Country: "RU"}, {Phone: "+554187654321", MatchKey: "+5541987654321"}}); err != nil {
		t.Fatal(err)
	}
	plan := w.mustPlan(t)
	want := map[string]int64{"not_opted_in": 1, "country_blocked": 1, "suppressed": 1}
	if plan.Eligible != 2 || fmt.Sprint(plan.Skipped) != fmt.Sprint(want) {
		t.Errorf("%d eligible, skipped %v", plan.Eligible, plan.Skipped)
	}
	assumed := w.spec
	assumed.Key, assumed.OptIn = "assumed", campaign.OptInAssumed
	if plan, err := w.plan(t, assumed); err != nil || plan.Eligible != 3 {
		t.Errorf("%d eligible where an opt-in is assumed, %v", plan.Eligible, err)
	}
	if n, err := w.Unsuppress(t.Context(), []campaign.Suppression{{Country: "RU"}, {MatchKey: "+5541987654321"}}); err != nil || n != 2 {
		t.Errorf("%d taken from the list, %v", n, err)
	}
	again := w.spec
	again.Key = "again"
	if plan, err := w.plan(t, again); err != nil || plan.Eligible != 4 {
		t.Errorf("%d eligible afterwards, %v", plan.Eligible, err)
	}
}

func TestAStopBindsFromTheMomentItIsHeeded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.fanOut(t)
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	stop, start := f.inbound(0, "wamid.1", "stop", campaign.WishStop), f.inbound(0, "wamid.2", "start", campaign.WishStart)
	stop.At, start.At = at, at.Add(10*time.Second)
	stranger := f.inbound(77, "wamid.3", "stop", campaign.WishStop)
	if err := f.Heed(ctx, f.channel, []campaign.Event{stop, stranger}); err != nil {
		t.Fatal(err)
	}
	if got := f.claimAll(t); got[0] != "skipped/opted_out" || got[1] != "sending" {
		t.Errorf("%v", got)
	}
	consent := func(i int) (optedOut bool, by string, optIn *bool) {
		t.Helper()
		c, err := f.Contact(ctx, phoneOf(i), phoneOf(i))
		if err != nil {
			t.Fatal(err)
		}
		return c.OptedOutAt != nil, c.OptedOutBy, c.OptIn
	}
	if out, by, _ := consent(77); !out || by != "word" {
		t.Errorf("a stranger's stop: %v by %q", out, by)
	}
	f.exec(t, `UPDATE campaign.contacts SET opt_in = NULL WHERE phone = $1`, phoneOf(0))
	// Whatever the order and number in which they are applied, the later word holds.
	for _, order := range [][]campaign.Event{{start, stop}, {stop, start}, {stop, stop}} {
		if _, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Events: order}}); err != nil {
			t.Fatal(err)
		}
		if out, _, optIn := consent(0); out || optIn == nil || !*optIn {
			t.Errorf("after %s and %s: opted out %v, opt-in %v", order[0].Text, order[1].Text, out, optIn)
		}
	}
	later := stop
	later.ID, later.At = "wamid.4", at.Add(20*time.Second)
	resume := campaign.Event{Kind: campaign.EventUserPreference, Messages: true, MatchKey: phoneOf(0), Value: "resume", At: at.Add(30 * time.Second)}
	if err := f.Heed(ctx, f.channel, []campaign.Event{later, resume}); err != nil {
		t.Fatal(err)
	}
	if out, by, _ := consent(0); !out || by != "word" {
		t.Errorf("a resume of WhatsApp lifted the person's own stop: %v %q", out, by)
	}
	replies := 0
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.replies`).Scan(&replies); err != nil || replies != 2 {
		t.Errorf("%d replies, %v; each message is kept once", replies, err)
	}
}

// Somebody who hides the number is known by the user id that reports told.
func TestAStopWithoutANumberFindsItsPerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	f.send(t)
	delivered := f.status(0, "delivered")
	delivered.UserID = "DE.1349"
	if _, err := f.deliver(t, []campaign.Event{delivered}); err != nil {
		t.Fatal(err)
	}
	stop := campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: "wamid.in", Type: "text", UserID: "DE.1349", Words: []string{"stop"}, Wish: campaign.WishStop}
	if err := f.Heed(ctx, f.channel, []campaign.Event{stop}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if c, err := f.Contact(ctx, phoneOf(i), phoneOf(i)); err != nil || (c.OptedOutAt != nil) != want {
			t.Errorf("person %d: opted out %v, %v", i, c.OptedOutAt, err)
		}
	}
}

func TestOwnWordsWinOverBuiltInOnes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	if err := errors.Join(f.SetKeyword(ctx, "genug", "stop"), f.SetKeyword(ctx, "alto", "none")); err != nil {
		t.Fatal(err)
	}
	f.fanOut(t)
	if err := f.Heed(ctx, f.channel, []campaign.Event{f.inbound(0, "wamid.1", "genug", ""), f.inbound(1, "wamid.2", "alto", campaign.WishStop)}); err != nil {
		t.Fatal(err)
	}
	if got := f.claimAll(t); got[0] != "skipped/opted_out" || got[1] != "sending" {
		t.Errorf("%v", got)
	}
}

// The provider refuses marketing for an experiment (130472): the message is tried
// once more when the person opens a window, and then never again.
func TestAServiceWindowTriesOnceMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	turns := f.send(t)
	fail := func(attempt int) {
		t.Helper()
		e := f.status(0, "failed")
		e.Opaque = f.Opaque(turns[0].Message, attempt)
		e.Failure = &campaign.Failure{Code: "130472", Class: campaign.Final}
		if _, err := f.deliver(t, []campaign.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	write := func(id string) {
		t.Helper()
		if _, err := f.deliver(t, []campaign.Event{f.inbound(0, id, "hello", "")}); err != nil {
			t.Fatal(err)
		}
	}
	fail(1)
	if got := f.stateOf(t, 0); got != "failed" {
		t.Fatal(got)
	}
	write("wamid.in.1")
	if got := f.stateOf(t, 0); got != "deferred/service_window" {
		t.Fatalf("after the person wrote: %s", got)
	}
	if n, err := f.FanOut(ctx, f.channel, 10, 10); err != nil || n != 1 {
		t.Fatalf("queued %d, %v", n, err)
	}
	again := turns[0]
	again.Attempt, again.Claim = 2, campaign.ClaimID{9}
	if claimed, err := f.Claim(ctx, []campaign.Turn{again}); err != nil || !claimed[0].OK {
		t.Fatalf("%+v, %v", claimed, err)
	}
	fail(2)
	f.exec(t, `UPDATE campaign.service_windows SET last_at = last_at - interval '2 days', opened_at = opened_at - interval '2 days'`)
	write("wamid.in.2")
	if got := f.stateOf(t, 0); got != "failed" {
		t.Errorf("a second time: %s", got)
	}
	f.counts(t)
}

// The daemon ends between the commit of what somebody wrote and what follows from
// it: the delivery is applied anew.
func TestAServiceWindowIsNotForgottenByACrash(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.send(t)
	wrote := f.inbound(0, "wamid.in", "hello", "")
	wrote.At = time.Now().Add(-time.Minute).Truncate(time.Second)
	if _, err := f.deliver(t, []campaign.Event{wrote}); err != nil {
		t.Fatal(err)
	}
	failed := f.status(0, "failed") // as if it had been applied before what the person wrote
	failed.Failure = &campaign.Failure{Code: "130472", Class: campaign.Final}
	if _, err := f.deliver(t, []campaign.Event{failed}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.deliver(t, []campaign.Event{wrote}); err != nil {
			t.Fatal(err)
		}
		if got := f.stateOf(t, 0); got != "deferred/service_window" {
			t.Errorf("applied anew: %s", got)
		}
	}
	var replies int
	if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.replies`).Scan(&replies); err != nil || replies != 1 {
		t.Errorf("%d replies, %v", replies, err)
	}
}

func TestARestDoesNotCountInsideAServiceWindow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.exec(t, `UPDATE campaign.contacts SET rest_until = now() + interval '1 day'`)
	if _, err := f.deliver(t, []campaign.Event{f.inbound(0, "wamid.1", "hello", "")}); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO campaign.service_windows VALUES ($1, $2, now(), now())`, phoneOf(1), f.channel+100) // another channel's
	f.fanOut(t)
	if got := f.claimAll(t); fmt.Sprint(got) != "[sending pending/rest pending/rest]" {
		t.Fatalf("%v", got)
	}
	if _, err := f.deliver(t, []campaign.Event{f.inbound(1, "wamid.2", "hello", "")}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.FanOut(ctx, f.channel, 10, 10); err != nil || n != 1 {
		t.Errorf("%d of those who waited for their rest are due after one wrote, %v", n, err)
	}
}
