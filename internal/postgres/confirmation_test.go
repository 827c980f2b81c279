package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/postgres"
)

// stops gives the events of a stop by the i-th contact, just now.
func (f *fixture) stops(i int, id string) []campaign.Event {
	e := f.inbound(i, id, "stop", campaign.WishStop)
	e.At = time.Now()
	return []campaign.Event{e}
}

func (f *fixture) heed(t *testing.T, events []campaign.Event) {
	t.Helper()
	if err := f.Heed(t.Context(), f.channel, events); err != nil {
		t.Fatal(err)
	}
}

// confirming sets a text for the fixture's channel.
func (f *fixture) confirming(t *testing.T, text string) {
	t.Helper()
	if err := f.SetConfirmation(t.Context(), campaign.Channel{ID: f.channel, Name: "c"}, text); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) takeConfirmation(t *testing.T) (campaign.Confirmation, bool) {
	t.Helper()
	c, ok, err := f.TakeConfirmation(t.Context(), f.channel)
	if err != nil {
		t.Fatal(err)
	}
	return c, ok
}

// confirmations gives state and reason of all, in their order.
func (f *fixture) confirmations(t *testing.T) string {
	t.Helper()
	var all string
	err := f.pool.QueryRow(t.Context(), `SELECT COALESCE(string_agg(state || COALESCE('/' || NULLIF(reason, ''), ''), ' ' ORDER BY id), '') FROM campaign.confirmations`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAStopIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	f.heed(t, f.stops(0, "wamid.a")) // nobody set a text: off by default
	f.confirming(t, " You are out. ")
	f.heed(t, f.stops(0, "wamid.b")) // said before: no news
	if got := f.confirmations(t); got != "" {
		t.Fatalf("confirmations: %s", got)
	}
	stop := f.stops(1, "wamid.c")
	for range 3 {
		f.heed(t, stop)
		if _, err := f.ApplyDeliveries(t.Context(), f.channel, []campaign.Parsed{{Events: stop}}); err != nil {
			t.Fatal(err)
		}
	}
	start := f.inbound(1, "wamid.d", "start", campaign.WishStart)
	start.At = stop[0].At
	f.heed(t, []campaign.Event{start})
	f.heed(t, stop) // the same stop again, after a start of the same second
	if got := f.confirmations(t); got != "waiting" {
		t.Fatalf("confirmations: %s", got)
	}
	due, err := f.ConfirmationsDue(t.Context())
	if err != nil || len(due) != 1 || due[0] != f.channel {
		t.Errorf("due on %v, %v", due, err)
	}
	// Many ask at once, one gets it.
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []campaign.Confirmation
	for range 8 {
		wg.Go(func() {
			c, ok, err := f.TakeConfirmation(t.Context(), f.channel)
			if err != nil {
				t.Error(err)
			}
			if ok {
				mu.Lock()
				got = append(got, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 1 || got[0].Phone != phoneOf(1) || got[0].Text != "You are out." || got[0].Try != 1 || got[0].Channel != f.channel {
		t.Fatalf("claimed %+v", got)
	}
	if opaque := f.ConfirmationOpaque(got[0].ID); !strings.HasSuffix(opaque, fmt.Sprintf("/confirmation/%d", got[0].ID)) {
		t.Errorf("opaque %q", opaque)
	} else if _, _, ours := f.ParseOpaque(opaque); ours {
		t.Error("a report of a confirmation is taken for one of a message")
	}
	if err := f.EndConfirmation(t.Context(), got[0], campaign.ConfirmationSent, "", 0); err != nil {
		t.Fatal(err)
	}
	f.heed(t, stop)
	if got := f.confirmations(t); got != "sent" {
		t.Errorf("confirmations: %s", got)
	}
}

func TestNoConfirmationWithoutAnOpenWindow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	f.confirming(t, "out")
	late := f.stops(0, "wamid.a")
	late[0].At = time.Now().Add(-campaign.ConfirmationLife)
	f.heed(t, late)
	undated := f.stops(1, "wamid.b")
	undated[0].At = time.Time{}
	f.heed(t, undated)
	f.heed(t, []campaign.Event{{Kind: campaign.EventUserPreference, Value: "stop", User: phoneOf(2)[1:], MatchKey: phoneOf(2), At: time.Now()}})
	if got := f.confirmations(t); got != "" {
		t.Errorf("confirmations: %s", got)
	}
	f.heed(t, f.stops(3, "wamid.c"))
	f.exec(t, `UPDATE campaign.confirmations SET stopped_at = now() - interval '11 minutes'`)
	if _, ok := f.takeConfirmation(t); ok {
		t.Error("a late confirmation was claimed")
	}
	if _, err := f.TidyConfirmations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.confirmations(t); got != "dropped/late" {
		t.Errorf("confirmations: %s", got)
	}
}

func TestAConfirmationIsDroppedForWhoMustNotBeWrittenTo(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(t *testing.T, f *fixture){
		"suppressed": func(t *testing.T, f *fixture) {
			if _, err := f.Suppress(t.Context(), []campaign.Suppression{{Phone: phoneOf(0), MatchKey: phoneOf(0)}}); err != nil {
				t.Fatal(err)
			}
		},
		"country_blocked": func(t *testing.T, f *fixture) {
			f.exec(t, `UPDATE campaign.contacts SET country = 'DE'`)
			if _, err := f.Suppress(t.Context(), []campaign.Suppression{{Country: "DE"}}); err != nil {
				t.Fatal(err)
			}
		},
		"started_again": func(t *testing.T, f *fixture) {
			start := f.inbound(0, "wamid.z", "start", campaign.WishStart)
			start.At = time.Now()
			f.heed(t, []campaign.Event{start})
		},
		"no_text": func(t *testing.T, f *fixture) { f.confirming(t, "") },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			f.confirming(t, "out")
			f.heed(t, f.stops(0, "wamid.a"))
			change(t, f)
			if c, ok := f.takeConfirmation(t); ok {
				t.Errorf("claimed %+v", c)
			}
			if got := f.confirmations(t); got != "dropped/"+want {
				t.Errorf("confirmations: %s", got)
			}
		})
	}
}

func TestHoldsStopConfirmations(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.confirming(t, "out")
	f.heed(t, f.stops(0, "wamid.a"))
	if err := f.PauseChannel(t.Context(), f.channel, "maintenance"); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.takeConfirmation(t); ok {
		t.Error("claimed under a hold")
	}
	if _, err := f.ResumeChannel(t.Context(), f.channel); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.takeConfirmation(t); !ok {
		t.Error("not claimed after the hold")
	}
}

func TestAConfirmationWhoseFateIsUnknownIsNeverClaimedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.confirming(t, "out")
	f.heed(t, f.stops(0, "wamid.a"))
	first, _ := f.takeConfirmation(t)
	end := func(c campaign.Confirmation, state campaign.ConfirmationState, want string) {
		t.Helper()
		if err := f.EndConfirmation(t.Context(), c, state, "", 0); err != nil {
			t.Fatal(err)
		}
		if got := f.confirmations(t); got != want {
			t.Errorf("after %s: %s, want %s", state, got, want)
		}
	}
	end(first, campaign.ConfirmationWaiting, "waiting") // nothing was written
	second, ok := f.takeConfirmation(t)
	if !ok || second.ID != first.ID || second.Try != 2 {
		t.Fatalf("claimed %+v, %v", second, ok)
	}
	end(first, campaign.ConfirmationWaiting, "sending") // a word about the former claim
	// The process dies here.
	f.exec(t, `UPDATE campaign.confirmations SET claimed_at = now() - interval '2 minutes'`)
	if lost, err := f.TidyConfirmations(t.Context()); err != nil || lost != 1 {
		t.Errorf("%d lost, %v", lost, err)
	}
	end(second, campaign.ConfirmationWaiting, "unknown") // it only slept, and gave up
	if _, ok := f.takeConfirmation(t); ok {
		t.Error("claimed again")
	}
	end(second, campaign.ConfirmationSent, "sent") // or had it posted in time
	f.exec(t, `UPDATE campaign.confirmations SET ended_at = now() - interval '31 days'`)
	if _, err := f.TidyConfirmations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.confirmations(t); got != "" {
		t.Errorf("after a month: %s", got)
	}
}

func TestTheTextOfAConfirmationIsAudited(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.confirming(t, "out")
	f.confirming(t, "out") // changes nothing
	f.confirming(t, "gone")
	f.confirming(t, "")
	list, err := f.Audit(t.Context(), postgres.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range list {
		if a.Object == "confirmation" {
			got = append(got, a.Action+" "+a.Name+" "+a.Detail)
		}
	}
	if want := []string{"remove c ", "set c gone", "set c out"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("the audit has %q", got)
	}
}

func TestForgettingSomebodyForgetsTheirConfirmations(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	f.confirming(t, "out")
	f.heed(t, f.stops(0, "wamid.a"))
	f.heed(t, f.stops(1, "wamid.b"))
	sending, ok := f.takeConfirmation(t)
	if !ok || sending.Phone != phoneOf(0) {
		t.Fatalf("claimed %+v, %v", sending, ok)
	}
	begun := time.Now()
	for i := range 2 {
		_, err := f.Forget(t.Context(), postgres.ForgetOptions{MatchKey: phoneOf(i), Phones: []string{phoneOf(i)}, Patience: 300 * time.Millisecond,
			Traces: func(phones, userIDs []string) postgres.Eraser { return dialog360.NewTraces(phones, userIDs) }})
		if err != nil {
			t.Fatal(err)
		}
	}
	if time.Since(begun) < 300*time.Millisecond {
		t.Error("what is on the wire was not waited for")
	}
	if err := f.EndConfirmation(t.Context(), sending, campaign.ConfirmationWaiting, "", 0); err != nil {
		t.Fatal(err)
	}
	f.heed(t, f.stops(1, "wamid.c"))
	if got := f.confirmations(t); got != "" {
		t.Errorf("confirmations: %s", got)
	}
}
