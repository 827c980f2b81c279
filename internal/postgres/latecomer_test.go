package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/phone"
	"github.com/campaignd/campaignd/internal/postgres"
)

func preference(i int, value string, at time.Time) campaign.Event {
	return campaign.Event{Kind: campaign.EventUserPreference, Messages: true, MatchKey: phoneOf(i), Value: value, At: at,
		Person: campaign.ContactRow{Phone: phoneOf(i), MatchKey: phoneOf(i), Country: "DE"}}
}

// In whatever order and number words, choices and notes come, the person is left
// alone when the last of them, by when it was said, says so.
func TestAStopOutlastsWhatComesLate(t *testing.T) {
	t.Parallel()
	second := func(n int) time.Time {
		return time.Now().Add(-time.Hour).Truncate(time.Second).Add(time.Duration(n) * time.Second)
	}
	for name, c := range map[string]struct {
		do  func(t *testing.T, f *fixture, say func(...campaign.Event))
		out string // by whom; empty: may be written to
	}{
		"a service's opt-in of tomorrow, then STOP": {func(t *testing.T, f *fixture, say func(...campaign.Event)) {
			f.exec(t, `SELECT campaign.opt_in($1, 'checkout', now() + interval '4 minutes')`, phoneOf(0))
			stop := f.inbound(0, "wamid.a", "stop", campaign.WishStop)
			stop.At = time.Now().Add(time.Second) // the provider's clock
			say(stop)
		}, "word"},
		"WhatsApp's stop, then a letter, then its resume": {func(t *testing.T, f *fixture, say func(...campaign.Event)) {
			say(preference(0, "stop", second(1)))
			if n, err := f.SetOptOut(t.Context(), []campaign.ContactRow{{Phone: phoneOf(0), MatchKey: phoneOf(0)}}, "letter"); err != nil || n != 1 {
				t.Errorf("%d changed, %v", n, err)
			}
			say(preference(0, "resume", time.Now()))
		}, "letter"},
		"WhatsApp's stop, then STOP, then its resume": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop := f.inbound(0, "wamid.a", "stop", campaign.WishStop)
			stop.At = second(2)
			say(preference(0, "stop", second(1)), stop, preference(0, "resume", second(3)))
		}, "word"},
		"WhatsApp's stop and resume": {func(_ *testing.T, _ *fixture, say func(...campaign.Event)) {
			say(preference(0, "stop", second(1)))
			say(preference(0, "resume", second(2)), preference(0, "stop", second(1)))
		}, ""},
		"a resume before the older STOP": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop := f.inbound(0, "wamid.a", "stop", campaign.WishStop)
			stop.At = second(1)
			say(preference(0, "resume", second(2)), stop)
		}, "word"},
		"a resume after WhatsApp's stop, before the older STOP": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop := f.inbound(0, "wamid.a", "stop", campaign.WishStop)
			stop.At = second(2)
			say(preference(0, "stop", second(1)), preference(0, "resume", second(3)), stop)
		}, "word"},
		"131050, then an older START": {func(t *testing.T, f *fixture, say func(...campaign.Event)) {
			f.send(t)
			failed := f.status(0, "failed")
			failed.Failure = &campaign.Failure{Code: "131050", Class: campaign.Final, OptOut: true}
			start := f.inbound(0, "wamid.a", "start", campaign.WishStart)
			start.At = second(1)
			say(failed, start)
		}, "provider"},
		"131050, then START": {func(t *testing.T, f *fixture, say func(...campaign.Event)) {
			f.send(t)
			failed := f.status(0, "failed")
			failed.Failure = &campaign.Failure{Code: "131050", Class: campaign.Final, OptOut: true}
			say(failed)
			start := f.inbound(0, "wamid.a", "start", campaign.WishStart)
			start.At = time.Time{} // now
			say(start)
		}, ""},
		"START and STOP in one second, START twice": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop, start := f.inbound(0, "wamid.a", "stop", campaign.WishStop), f.inbound(0, "wamid.b", "start", campaign.WishStart)
			stop.At, start.At = second(1), second(1)
			say(start, stop, start)
		}, "word"},
		"STOP, WhatsApp's stop, and a START of between": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop, start := f.inbound(0, "wamid.a", "stop", campaign.WishStop), f.inbound(0, "wamid.b", "start", campaign.WishStart)
			stop.At, start.At = second(1), second(2)
			say(stop, preference(0, "stop", second(3)), start)
		}, campaign.SourcePreference},
		"START, and WhatsApp's stop of before": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			start := f.inbound(0, "wamid.b", "start", campaign.WishStart)
			start.At = second(2)
			say(start, preference(0, "stop", second(1)))
		}, ""},
		"STOP, then START": {func(_ *testing.T, f *fixture, say func(...campaign.Event)) {
			stop, start := f.inbound(0, "wamid.a", "stop", campaign.WishStop), f.inbound(0, "wamid.b", "start", campaign.WishStart)
			stop.At, start.At = second(1), second(2)
			say(start, stop, start)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			c.do(t, f, func(events ...campaign.Event) {
				t.Helper()
				for _, e := range events { // each is heeded and then applied, as a delivery of its own
					if err := f.Heed(t.Context(), f.channel, []campaign.Event{e}); err != nil {
						t.Fatal(err)
					}
					if _, err := f.deliver(t, []campaign.Event{e}); err != nil {
						t.Fatal(err)
					}
				}
			})
			got, err := f.Contact(t.Context(), phoneOf(0), phoneOf(0))
			if err != nil || got.OptedOutBy != c.out || (got.OptedOutAt != nil) != (c.out != "") {
				t.Errorf("opted out %v by %q, want %q; %v", got.OptedOutAt, got.OptedOutBy, c.out, err)
			}
			var stopped bool // which binds a claim by itself
			if err := f.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM campaign.marketing_preferences WHERE stopped)`).Scan(&stopped); err != nil || stopped && c.out == "" {
				t.Errorf("WhatsApp's stop is left, %v", err)
			}
		})
	}
}

// A resume lifts what its own channel blocked and nothing else.
func TestAResumeLiftsItsOwnChannel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	other := f.moreChannels(t, "other").channel
	at := time.Now().Add(-time.Hour)
	say := func(channel campaign.ChannelID, value string) bool {
		t.Helper()
		at = at.Add(time.Second)
		if err := f.Heed(t.Context(), channel, []campaign.Event{preference(0, value, at)}); err != nil {
			t.Fatal(err)
		}
		c, err := f.Contact(t.Context(), phoneOf(0), phoneOf(0))
		if err != nil {
			t.Fatal(err)
		}
		return c.OptedOutAt != nil
	}
	say(f.channel, "stop")
	say(other, "stop")
	if !say(other, "resume") {
		t.Error("the stop of the first channel was lifted by the other")
	}
	if say(f.channel, "resume") {
		t.Error("nothing is stopped, and the person is opted out")
	}
}

// Whoever hides the number is known by an id, which changes.
func TestAStopOutlivesTheUserID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	f.send(t)
	by := func(wish campaign.Wish, at time.Time) {
		t.Helper()
		e := campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: "wamid." + string(wish), Type: "text", UserID: "DE.1", Words: []string{string(wish)}, Wish: wish, At: at}
		if err := f.Heed(ctx, f.channel, []campaign.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	by(campaign.WishStop, now.Add(-time.Minute))
	by(campaign.WishStart, now.Add(-time.Hour)) // older, and late
	resume := preference(0, "resume", now)
	resume.MatchKey, resume.UserID, resume.Person = "", "DE.1", campaign.ContactRow{}
	if err := f.Heed(ctx, f.channel, []campaign.Event{resume}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"DE.1", "DE.2"} {
		delivered := f.status(0, "delivered")
		delivered.UserID = id
		if _, err := f.deliver(t, []campaign.Event{delivered}); err != nil {
			t.Fatal(err)
		}
		c, err := f.Contact(ctx, phoneOf(0), phoneOf(0))
		if err != nil || c.OptedOutAt == nil || c.OptedOutBy != "word" || c.UserID != id {
			t.Errorf("as %s: opted out %v by %q, known as %q; %v", id, c.OptedOutAt, c.OptedOutBy, c.UserID, err)
		}
	}
	var in bool
	if err := f.pool.QueryRow(ctx, `SELECT campaign.opt_in($1, 'checkout', now())`, phoneOf(0)).Scan(&in); err != nil || !in {
		t.Errorf("a later opt-in: %v, %v", in, err)
	}
	if c, err := f.Contact(ctx, phoneOf(0), phoneOf(0)); err != nil || c.OptedOutAt != nil {
		t.Errorf("opted in, and opted out at %v, %v", c.OptedOutAt, err)
	}
}

// Two contacts are one person: what one form of the number agreed to or refused
// holds for the other.
func TestAClaimAsksEveryFormOfANumber(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, second, want string }{
		"the other form opted out":   {`opt_in = true`, `opted_out_at = now(), opted_out_by = 'word'`, "skipped/opted_out"},
		"the other form opted in":    {`opt_in = NULL`, `opt_in = true`, "sending"},
		"no form opted in":           {`opt_in = NULL`, `opt_in = false`, "skipped/not_opted_in"},
		"the other form rests":       {`opt_in = true`, `rest_until = now() + interval '1 day'`, "pending/rest"},
		"the other form's user id":   {`opt_in = true`, `user_id = 'BR.1'`, "skipped/opted_out"},
		"nothing against either one": {`opt_in = true`, `opt_in = true`, "sending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			if strings.Contains(c.second, "BR.1") {
				stop := campaign.Event{Kind: campaign.EventMessage, Messages: true, ID: "wamid.a", Type: "text", UserID: "BR.1", Words: []string{"stop"}, Wish: campaign.WishStop}
				f.heed(t, []campaign.Event{stop})
			}
			f.exec(t, `INSERT INTO campaign.contacts (phone, match_key) VALUES ('+491510999', $1)`, phoneOf(0))
			f.exec(t, `UPDATE campaign.contacts SET `+c.first+` WHERE phone = $1`, phoneOf(0))
			f.exec(t, `UPDATE campaign.contacts SET `+c.second+` WHERE phone = '+491510999'`)
			f.fanOut(t)
			if got := f.claimAll(t); got[0] != c.want {
				t.Errorf("%s, want %s", got[0], c.want)
			}
		})
	}
}

// open begins a transaction of somebody else and keeps what it locks until the
// test says so.
func (f *fixture) open(t *testing.T, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	tx, err := f.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// A service that cancels one of its messages and then works on in its transaction
// keeps nobody else's message from being sent, and nobody's stop from being heard.
func TestATakeWaitsForNobodysTransaction(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"a message": `SELECT FROM campaign.messages WHERE id = $1 FOR UPDATE`,
		"a contact under a cap": `UPDATE campaign.contacts SET updated_at = now()
			WHERE match_key IN (SELECT c.match_key FROM campaign.contacts AS c JOIN campaign.messages AS m ON m.contact_id = c.id WHERE m.id = $1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEmpty(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if strings.Contains(name, "cap") {
				f.setCap(t, 5, time.Hour, campaign.CapDefer)
			}
			var ids []campaign.MessageID
			for range 3 {
				ids = append(ids, f.queueOne(t, f.source(), normal))
			}
			tx := f.open(t, pgx.ReadCommitted)
			if _, err := tx.Exec(ctx, lock, ids[0]); err != nil {
				t.Fatal(err)
			}
			taken, err := f.Take(ctx, wantsMany(f.channel, 3))
			if err != nil {
				t.Fatal(err)
			}
			var sent []campaign.MessageID
			again := 0
			for _, k := range taken {
				if k.OK {
					sent = append(sent, k.Message)
				} else if k.Again {
					again++
				}
			}
			if slices.Sort(sent); !slices.Equal(sent, ids[1:]) || again != 1 {
				t.Errorf("claimed %v of %v, %d to be asked for again", sent, ids, again)
			}
			if left := f.jobs(t); !slices.Equal(left, ids[:1]) {
				t.Errorf("jobs are left of %v", left)
			}
			if taken, err := f.Take(ctx, wantsMany(f.channel, 1)); err != nil || taken[0].Message != 0 {
				t.Errorf("asked for again at once: %+v, %v", taken, err)
			}
			if err := f.Heed(ctx, f.channel, []campaign.Event{f.inbound(50, "wamid.a", "stop", campaign.WishStop)}); err != nil {
				t.Errorf("a stranger's stop: %v", err)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			f.exec(t, `UPDATE river.river_job SET scheduled_at = now()`)
			if got := mustTake(t, f.Store, wantsMany(f.channel, 1)); got[0] != ids[0] {
				t.Errorf("afterwards %v, want %d", got, ids[0])
			}
		})
	}
}

// A service that notes an opt-in and works on in its transaction: that person's
// stop waits for it, and nobody else does.
func TestAStopThatWaitsStopsNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	f.fanOut(t)
	tx := f.open(t, pgx.ReadCommitted)
	if _, err := tx.Exec(ctx, `SELECT campaign.opt_in($1, 'checkout', now() - interval '1 hour')`, phoneOf(0)); err != nil {
		t.Fatal(err)
	}
	heard := make(chan error, 1)
	go func() {
		heard <- f.Heed(ctx, f.channel, []campaign.Event{f.inbound(0, "wamid.a", "stop", campaign.WishStop)})
	}()
	for range 3 { // whatever part of its wait the stop is in
		if err := f.Heed(ctx, f.channel, []campaign.Event{f.inbound(50, "wamid.b", "stop", campaign.WishStop)}); err != nil {
			t.Fatal(err)
		}
	}
	if claimed, err := f.Claim(ctx, f.turns()[1:]); err != nil || !claimed[0].OK {
		t.Errorf("%+v, %v", claimed, err)
	}
	select {
	case err := <-heard:
		t.Errorf("the stop did not wait: %v", err)
	default:
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	if c, err := f.Contact(ctx, phoneOf(0), phoneOf(0)); err != nil || c.OptedOutAt == nil {
		t.Errorf("opted out %v, %v", c.OptedOutAt, err)
	}
}

func (s *service) forgetSomebody(t *testing.T, number string, patience time.Duration) error {
	t.Helper()
	_, err := s.Forget(t.Context(), postgres.ForgetOptions{
		MatchKey: phone.MatchKey(number), Phones: phone.Forms(number), Patience: patience,
		Traces: func(phones, userIDs []string) postgres.Eraser { return dialog360.NewTraces(phones, userIDs) },
	})
	return err
}

// A service enqueues, and commits when the person was forgotten meanwhile.
func TestForgetWaitsForServices(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		s := newService(t)
		ctx := t.Context()
		m := order("late")
		number := m["recipient"].(string)
		if known {
			s.exec(t, `INSERT INTO campaign.contacts (phone, match_key) VALUES ($1, $1)`, number)
		}
		tx := s.open(t, pgx.ReadCommitted)
		if _, err := enqueue(ctx, tx, m); err != nil {
			t.Fatal(err)
		}
		if err := s.forgetSomebody(t, number, time.Second); !errors.Is(err, campaign.ErrConflict) {
			t.Errorf("while the transaction is open: %v", err)
		}
		forgotten := make(chan error, 1)
		go func() { forgotten <- s.forgetSomebody(t, number, 20*time.Second) }()
		time.Sleep(300 * time.Millisecond) // it waits now; where it does not yet, it has nothing to wait for
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-forgotten; err != nil {
			t.Fatal(err)
		}
		if text := s.dump(t); strings.Contains(text, number[1:]) || strings.Contains(text, "your parcel") {
			t.Errorf("contact known %v: something of the person is left", known)
		}
		var states []string
		if err := s.pool.QueryRow(ctx, `SELECT array_agg(state || '/' || reason) FROM campaign.messages WHERE campaign_id = 0`).Scan(&states); err != nil ||
			!slices.Equal(states, []string{"skipped/suppressed"}) {
			t.Errorf("contact known %v: %v, %v", known, states, err)
		}
	}
}

// A transaction that holds a snapshot of before cannot know: what it brings is
// suppressed, and erased, when its turn comes.
func TestAClaimForgetsWhoWasForgotten(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ctx := t.Context()
	m := order("late")
	number := m["recipient"].(string)
	s.exec(t, `INSERT INTO campaign.contacts (phone, match_key) VALUES ($1, $1)`, number)
	tx := s.open(t, pgx.RepeatableRead)
	if _, err := tx.Exec(ctx, `SELECT`+` count(*) FROM campaign.contacts`); err != nil {
		t.Fatal(err)
	}
	if err := s.forgetSomebody(t, number, time.Second); err != nil {
		t.Fatal(err)
	}
	id, err := enqueue(ctx, tx, m.with("priority", "high"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	taken, err := s.Take(ctx, []campaign.Want{{Channel: s.channel, High: true, Claim: campaign.ClaimID{1}}})
	if err != nil || taken[0].Message != id || taken[0].OK {
		t.Fatalf("%+v, %v", taken, err)
	}
	var is string
	err = s.pool.QueryRow(ctx, `SELECT state || '/' || reason || ' ' || phone || parameters::text || contact_id FROM campaign.messages WHERE id = $1`, id).Scan(&is)
	if err != nil || is != "skipped/suppressed {}0" {
		t.Errorf("%q, %v", is, err)
	}
}

// Somebody who was forgotten and is in the file again is counted and not named.
func TestAPlanNamesNobodyWhoWasForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.people(t)
	again := contactRow(1, map[string]string{"first_name": "Name 1"})
	if _, err := w.Forget(ctx, postgres.ForgetOptions{MatchKey: again.MatchKey, Phones: []string{again.Phone},
		Traces: func(phones, userIDs []string) postgres.Eraser { return dialog360.NewTraces(phones, userIDs) }}); err != nil {
		t.Fatal(err)
	}
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, rowsOf(again))
	plan := w.mustPlan(t)
	if plan.Skipped[campaign.ReasonSuppressed] != 1 || plan.Total != 10 {
		t.Errorf("%d in all, skipped %v", plan.Total, plan.Skipped)
	}
	var named, nameless int
	err := w.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE phone = $1), count(*) FILTER (WHERE phone = '' AND contact_id = 0 AND parameters = '{}' AND reason = 'suppressed')
		FROM campaign.messages`, again.Phone).Scan(&named, &nameless)
	if err != nil || named != 0 || nameless != 1 {
		t.Errorf("%d name them, %d do not, %v", named, nameless, err)
	}
}

// keepContact begins a service's transaction that keeps the i-th person.
func (f *fixture) keepContact(t *testing.T, i int) pgx.Tx {
	t.Helper()
	tx := f.open(t, pgx.ReadCommitted)
	if _, err := tx.Exec(t.Context(), `SELECT campaign.opt_in($1, 'checkout', now() - interval '1 hour')`, phoneOf(i)); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestACapChangesForWhoIsKept(t *testing.T) {
	t.Parallel()
	f, id, _ := waitingForCap(t, 3, `{}`)
	tx := f.keepContact(t, 0)
	changed := make(chan error, 1)
	go func() {
		changed <- f.SetFrequencyCap(context.WithoutCancel(t.Context()), &campaign.FrequencyCap{Messages: 2, Per: 30 * 24 * time.Hour, Then: campaign.CapDefer})
	}()
	time.Sleep(time.Second)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	if capped, due := f.waits(t, id); capped != 0 || due != 3 {
		t.Errorf("%d wait for the cap, %d are due", capped, due)
	}
}

// A take whose first try met somebody else's lock and bad data: what its second
// claims, the caller is told.
func TestATakeTellsOfEveryClaim(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	ctx := t.Context()
	var ids []campaign.MessageID
	for range 4 {
		ids = append(ids, f.queueOne(t, f.source(), normal))
	}
	f.exec(t, fmt.Sprintf(`ALTER TABLE campaign.messages ADD CONSTRAINT no_claim CHECK (NOT (id = %d AND state = 'sending'))`, ids[3]))
	tx := f.open(t, pgx.ReadCommitted)
	if _, err := tx.Exec(ctx, `SELECT FROM campaign.messages WHERE id = $1 FOR UPDATE`, ids[0]); err != nil {
		t.Fatal(err)
	}
	s := &stall{before: []byte("p.opted_in, c.nanp"), reached: make(chan struct{}), goOn: make(chan struct{})}
	node := f.node(t, func(conn net.Conn) net.Conn { return &stallConn{conn, s} })
	done := make(chan error, 1)
	var taken []campaign.Taken
	go func() {
		var err error
		taken, err = node.Take(ctx, wantsMany(f.channel, 4))
		done <- err
	}()
	<-s.reached
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	close(s.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, k := range taken {
		if state := f.info(t, k.Message).State; k.OK != (state == campaign.Sending) {
			t.Errorf("message %d is %s, and the caller was told %+v", k.Message, state, k.Claimed)
		}
	}
}

// A service cancels while the claim is under way: the claim was first, and its
// outcome does not wait for the service.
func TestACancelThatIsTooLateKeepsNothing(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	ctx := t.Context()
	id := f.queueOne(t, f.source(), normal)
	f.exec(t, `INSERT INTO campaign.idempotency_keys (caller, key, message_id, arguments) SELECT session_user, 'k', $1, ''`, id)
	claim, service := f.open(t, pgx.ReadCommitted), f.open(t, pgx.ReadCommitted)
	if _, err := claim.Exec(ctx, `UPDATE campaign.messages SET state = 'sending', due_at = NULL, claimed_at = now() WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	var cancelled bool
	go func() { done <- service.QueryRow(ctx, `SELECT campaign.cancel_message($1)`, id).Scan(&cancelled) }()
	for waits := false; !waits; time.Sleep(5 * time.Millisecond) {
		if err := f.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE '%cancel_message%')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if err := claim.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || cancelled {
		t.Errorf("cancelled %v, %v", cancelled, err)
	}
	if _, err := f.pool.Exec(ctx, `SELECT FROM campaign.messages WHERE id = $1 FOR UPDATE NOWAIT`, id); err != nil {
		t.Errorf("its outcome: %v", err)
	}
}

func TestAnOptInDoesNotLiftALaterStop(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	first := time.Now().Add(-time.Hour).Truncate(time.Second)
	f.heed(t, []campaign.Event{preference(0, "stop", first)})
	f.exec(t, `UPDATE campaign.contacts SET opted_out_at = $2 WHERE phone = $1`, phoneOf(0), first)
	f.heed(t, []campaign.Event{preference(0, "stop", first.Add(40*time.Minute))})
	var in bool
	if err := f.pool.QueryRow(t.Context(), `SELECT campaign.opt_in($1, 'checkout', $2)`, phoneOf(0), first.Add(20*time.Minute)).Scan(&in); err != nil || in {
		t.Errorf("an opt-in of before the second stop: %v, %v", in, err)
	}
	if err := f.pool.QueryRow(t.Context(), `SELECT campaign.opt_in($1, 'checkout', $2)`, phoneOf(0), time.Now()).Scan(&in); err != nil || !in {
		t.Errorf("an opt-in of after it: %v, %v", in, err)
	}
	f.fanOut(t)
	if got := f.claimAll(t); got[0] != "sending" {
		t.Error(got)
	}
}

// A resume on one number and a 131050 of another commit beside each other.
func TestAResumeSeesTheStopBesideIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	other := f.moreChannels(t, "other").channel
	tx := f.open(t, pgx.ReadCommitted)
	for _, statement := range []string{
		`INSERT INTO campaign.marketing_preferences (match_key, channel_id, stopped, at) VALUES ($1, ` + fmt.Sprint(other) + `, true, clock_timestamp())`,
		`UPDATE campaign.contacts SET opted_out_at = clock_timestamp(), opted_out_by = 'provider' WHERE match_key = $1`,
	} {
		if _, err := tx.Exec(ctx, statement, phoneOf(0)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- f.Heed(ctx, f.channel, []campaign.Event{preference(0, "resume", time.Now())})
	}()
	time.Sleep(150 * time.Millisecond)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c, err := f.Contact(ctx, phoneOf(0), phoneOf(0)); err != nil || c.OptedOutAt == nil {
		t.Errorf("a resume on one number lifted the stop of another, %v", err)
	}
}

// One person is kept by a service: what others wrote is heeded and applied, and
// theirs stays until it can be.
func TestAKeptPersonKeepsNobodyBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.send(t)
	tx := f.keepContact(t, 0)
	stop := f.inbound(0, "wamid.a", "stop", campaign.WishStop)
	if err := f.Heed(ctx, f.channel, []campaign.Event{stop, f.inbound(1, "wamid.b", "stop", campaign.WishStop)}); err == nil {
		t.Error("a stop that was not recorded is acknowledged")
	}
	if c, err := f.Contact(ctx, phoneOf(1), phoneOf(1)); err != nil || c.OptedOutAt == nil {
		t.Errorf("the second one's stop of the same body is not recorded, %v", err)
	}
	failed := f.status(0, "failed") // the provider's own word for it: the report does not wait
	failed.Failure = &campaign.Failure{Code: "131050", Class: campaign.Final, OptOut: true}
	applied, err := f.deliver(t, []campaign.Event{stop}, []campaign.Event{failed, f.inbound(2, "wamid.c", "hello", "")})
	if err != nil || applied.Kept != 1 || applied.Replies != 1 {
		t.Errorf("%+v, %v", applied, err)
	}
	if got := f.stateOf(t, 0); got != "failed" {
		t.Errorf("the report beside it: %s", got)
	}
	if n, _, err := f.Inbox(ctx); err != nil || n != 1 {
		t.Errorf("%d deliveries are left, %v", n, err)
	}
	_, turns := f.another(t, `{}`)
	if ok := f.claim(t, turns); ok[0] {
		t.Error("WhatsApp's word does not bind while the contact is kept")
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := f.Unapplied(ctx, 10, 1<<20)
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	if applied, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Delivery: left[0], Events: []campaign.Event{stop}}}); err != nil || applied.Kept != 0 {
		t.Errorf("%+v, %v", applied, err)
	}
	if c, err := f.Contact(ctx, phoneOf(0), phoneOf(0)); err != nil || c.OptedOutAt == nil {
		t.Errorf("the stop is not applied, %v", err)
	}
}
