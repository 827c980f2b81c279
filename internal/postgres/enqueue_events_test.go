package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// events collects what was notified until now: notifications come in the order of
// their commits, so that one more ends them.
func events(t *testing.T, s *service, listener *pgx.Conn) (payloads []string, states map[campaign.MessageID][]string) {
	t.Helper()
	const last = "that was all"
	if _, err := s.pool.Exec(t.Context(), `SELECT pg_notify('campaign_events', $1)`, last); err != nil {
		t.Fatal(err)
	}
	states = map[campaign.MessageID][]string{}
	wait, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		n, err := listener.WaitForNotification(wait)
		if err != nil {
			t.Fatal(err)
		}
		if n.Payload == last {
			return payloads, states
		}
		var body struct {
			Messages []struct {
				ID    campaign.MessageID
				State string
			}
		}
		if err := json.Unmarshal([]byte(n.Payload), &body); err != nil || len(n.Payload) >= 8000 {
			t.Fatalf("a payload of %d bytes: %v", len(n.Payload), err)
		}
		payloads = append(payloads, n.Payload)
		for _, m := range body.Messages {
			states[m.ID] = append(states[m.ID], m.State)
		}
	}
}

func TestEventsTellOfEnqueuedMessagesOncePerBatch(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ctx := t.Context()
	listener, err := pgx.Connect(ctx, s.pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(context.Background()) })
	if _, err := listener.Exec(ctx, `LISTEN campaign_events`); err != nil {
		t.Fatal(err)
	}
	claim := func(turns []campaign.Turn) {
		t.Helper()
		if _, err := s.Claim(ctx, turns); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(id campaign.MessageID) campaign.Turn {
		return campaign.Turn{Message: id, Attempt: 1, Channel: s.channel, Claim: campaign.ClaimID{byte(id), byte(id >> 8), 1}}
	}
	claim([]campaign.Turn{turn(s.mustEnqueue(t, order("off").with("priority", "high")))})
	if payloads, _ := events(t, s, listener); len(payloads) != 0 {
		t.Errorf("notified although it is off: %v", payloads)
	}

	if _, err := s.pool.Exec(ctx, `SELECT campaign.notify_events(true)`); err != nil {
		t.Fatal(err)
	}
	const n = 400
	turns := make([]campaign.Turn, n)
	for i := range turns {
		turns[i] = turn(s.mustEnqueue(t, order(fmt.Sprint("on-", i)).with("priority", "high").with("recipient", fmt.Sprintf("+49151%08d", i))))
	}
	s.fanOut(t) // a campaign's message, of which nothing is told
	claim(append(turns, s.turns()...))
	outcomes := make([]campaign.Outcome, n)
	for i, turn := range turns {
		outcomes[i] = campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: fmt.Sprint("wamid.", i)}}
	}
	if err := s.Record(ctx, outcomes); err != nil {
		t.Fatal(err)
	}
	payloads, states := events(t, s, listener)
	if len(payloads) > 8 || len(states) != n {
		t.Errorf("%d notifications of %d messages", len(payloads), len(states))
	}
	for _, turn := range turns {
		if fmt.Sprint(states[turn.Message]) != "[sending accepted]" {
			t.Fatalf("message %d: %v", turn.Message, states[turn.Message])
		}
	}
}

// Low messages do not fill the window of the others, and high ones need none.
func TestFanOutTakesHighThenNormalThenLow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ctx := t.Context()
	var soon time.Time
	for i, priority := range []string{"low", "normal", "high"} {
		soon = time.Now().Add(time.Second)
		for n := range 30 {
			m := order(fmt.Sprint(priority, n)).with("recipient", fmt.Sprintf("+4915%d%08d", i, n)).with("priority", priority)
			if priority == "high" {
				m = m.with("send_after", soon)
			}
			s.mustEnqueue(t, m)
		}
	}
	time.Sleep(time.Until(soon) + 100*time.Millisecond)
	if _, err := s.FanOut(ctx, s.channel, 20, 1000); err != nil {
		t.Fatal(err)
	}
	rows, err := s.pool.Query(ctx, `SELECT queue || ' ' || priority, count(*) FROM river.river_job GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { got[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	// The campaign of the fixture has one message and half of the window.
	want := map[string]int{fmt.Sprintf("ch_%d_high 1", s.channel): 30, fmt.Sprintf("ch_%d 2", s.channel): 11, fmt.Sprintf("ch_%d 3", s.channel): 2}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("queued %v, want %v", got, want)
	}
	s.counts(t)
}
