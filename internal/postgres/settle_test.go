package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// unknown gives a fixture whose messages are all of unknown fate.
func unknown(t *testing.T, n int) (*fixture, []campaign.Turn) {
	t.Helper()
	f := newFixture(t, n)
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(t.Context(), turns); err != nil {
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	for _, turn := range turns {
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerInDoubt}})
	}
	if err := f.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	return f, turns
}

func (f *fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestStoreResolveWaitsForTheGrace(t *testing.T) {
	t.Parallel()
	f, turns := unknown(t, 4)
	ctx := t.Context()
	done, err := f.Resolve(ctx, f.campaign, true, nil)
	if err != nil || done.Messages != 0 || done.Waiting != 4 || done.Until != nil {
		t.Fatalf("before any webhook: %+v, %v", done, err)
	}
	other, err := postgres.Open(ctx, f.pool)
	if err != nil {
		t.Fatal(err)
	}
	// The other daemon starts while the webhooks of this one flow.
	for _, starts := range []*postgres.Store{f.Store, other} {
		if err := starts.WebhooksUnknown(ctx); err != nil {
			t.Fatal(err)
		}
		if done, err = f.Resolve(ctx, f.campaign, true, nil); err != nil || done.Until != nil {
			t.Fatalf("after a start: %+v, %v", done, err)
		}
		if err := f.SaveDeliveries(ctx, []campaign.Delivery{{Channel: f.channel, Body: []byte(`{}`)}}); err != nil {
			t.Fatal(err)
		}
		done, err = f.Resolve(ctx, f.campaign, true, nil)
		if err != nil || done.Messages != 0 || done.Waiting != 4 || done.Until == nil {
			t.Fatalf("within the grace: %+v, %v", done, err)
		}
	}
	f.exec(t, `UPDATE campaign.channels SET webhooks_since = now() - interval '16 minutes'`)
	f.exec(t, `UPDATE campaign.messages SET claimed_at = now() - interval '16 minutes'`)
	if done, err = f.Resolve(ctx, f.campaign, true, nil); err != nil || done.Messages != 0 {
		t.Fatalf("with a webhook that is not applied: %+v, %v", done, err)
	}
	f.exec(t, `UPDATE campaign.webhooks SET applied_at = now()`)
	if done, err = f.Resolve(ctx, f.campaign, true, []campaign.MessageID{turns[0].Message}); err != nil || done.Messages != 1 {
		t.Fatalf("one of four: %+v, %v", done, err)
	}
	if done, err = f.Resolve(ctx, f.campaign, false, nil); err != nil || done.Messages != 3 {
		t.Fatalf("the others as failed: %+v, %v", done, err)
	}
	if got := f.counts(t); got["deferred"] != 1 || got["failed"] != 3 {
		t.Fatalf("%v", got)
	}
	// The resend is claimed, is of unknown fate again, and is held for a person.
	if n, err := f.FanOut(ctx, f.channel, 10, 10); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	turn := turns[0]
	turn.Attempt, turn.Claim[0] = 2, turn.Claim[0]+1
	if claimed, err := f.Claim(ctx, []campaign.Turn{turn}); err != nil || !claimed[0].OK {
		t.Fatalf("%+v, %v", claimed, err)
	}
	if err := f.Record(ctx, []campaign.Outcome{{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerInDoubt}}}); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE campaign.campaigns SET spec = spec || '{"on_unknown":"resend"}'`)
	f.exec(t, `UPDATE campaign.messages SET claimed_at = now() - interval '16 minutes'`)
	if resent, failed, err := f.ResolveDue(ctx); err != nil || resent+failed != 0 {
		t.Fatalf("a second unknown: %d resent, %d failed, %v", resent, failed, err)
	}
}

func TestStoreResolveDueObeysOnUnknown(t *testing.T) {
	t.Parallel()
	for order, want := range map[string]string{"hold": "unknown", "resend": "deferred", "fail": "failed"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			f, _ := unknown(t, 3)
			f.exec(t, `UPDATE campaign.campaigns SET spec = spec || jsonb_build_object('on_unknown', $1::text)`, order)
			f.exec(t, `UPDATE campaign.channels SET webhooks_since = now() - interval '1 hour'`)
			for range 2 {
				if _, _, err := f.ResolveDue(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := f.counts(t); got["unknown"] != 3 {
				t.Fatalf("within the grace: %v", got)
			}
			f.exec(t, `UPDATE campaign.messages SET claimed_at = now() - interval '16 minutes'`)
			if _, _, err := f.ResolveDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := f.counts(t); got[want] != 3 {
				t.Fatalf("after the grace: %v", got)
			}
		})
	}
}

func TestStoreRetryIsForOneCode(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns); err != nil {
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	for i, code := range []string{"131026", "131049", "131049"} {
		outcomes = append(outcomes, campaign.Outcome{Turn: turns[i], Answer: campaign.Answer{Kind: campaign.AnswerFailed,
			Failure: campaign.Failure{Code: code, Class: campaign.Final}}})
	}
	if err := f.Record(ctx, outcomes); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Complete(ctx); err != nil || len(done) != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	if n, err := f.Retry(ctx, f.campaign, "131049"); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	if got := f.counts(t); got["failed"] != 1 || got["deferred"] != 2 {
		t.Fatalf("%v", got)
	}
	status, err := f.Status(ctx, f.campaign)
	if err != nil || status.State != campaign.Running {
		t.Fatalf("the campaign is %s, %v", status.State, err)
	}
	if n, err := f.FanOut(ctx, f.channel, 10, 10); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestStoreHeldMessagesSlowTheCampaign(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns[:1]); err != nil {
		t.Fatal(err)
	}
	held := campaign.Answer{Kind: campaign.AnswerHeld, RawStatus: "held_for_quality_assessment", ProviderID: "w"}
	if err := f.Record(ctx, []campaign.Outcome{{Turn: turns[0], Answer: held}}); err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Claim(ctx, turns[1:])
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range claimed {
		if c.OK {
			t.Fatalf("message %d was queued before the first was held, and was claimed", i+1)
		}
	}
	if n, err := f.FanOut(ctx, f.channel, 100, 100); err != nil || n > 1 {
		t.Fatalf("%d queued while the first is held, %v", n, err)
	}
	if status, err := f.Status(ctx, f.campaign); err != nil || status.Rate.Limit != 1 || len(status.Waiting) == 0 || status.Waiting[0].Reason != campaign.WaitPaced {
		t.Errorf("status does not say so: %+v, %v", status, err)
	}
	event := campaign.Event{Kind: campaign.EventStatus, Messages: true, Status: "sent", Opaque: f.Opaque(turns[0].Message, 1)}
	if _, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Events: []campaign.Event{event}}}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.FanOut(ctx, f.channel, 100, 100); err != nil || n < 18 {
		t.Fatalf("%d queued after the release, %v", n, err)
	}
}

func TestGuardNoticesAnotherServerAndAnOlderDatabase(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, sql, witness, want string }{
		{"SameServer", `SELECT 1`, "", ""},
		{"AnotherServer", `UPDATE campaign.settings SET value = '1' WHERE key = 'system_identifier'`, "", "restored on another server"},
		{"AnotherDatabase", `UPDATE campaign.settings SET value = '1' WHERE key = 'database'`, "", "restored beside"},
		{"AnotherTimeline", `UPDATE campaign.settings SET value = '000000FF' WHERE key = 'timeline'`, "", "timeline changed"},
		{"OlderSnapshot", `SELECT 1`, "FFFFFF/0", "a snapshot was restored"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			dir := t.TempDir()
			var told []string
			connect := func() {
				t.Helper()
				guard := postgres.NewGuard(dir, func(reason string) { told = append(told, reason) })
				pool, err := postgres.Connect(context.Background(), f.pool.Config().ConnString(), postgres.Options{Guard: guard})
				if err != nil {
					t.Fatal(err)
				}
				pool.Close()
			}
			connect()
			if len(told) != 0 {
				t.Fatalf("at the first start: %v", told)
			}
			f.exec(t, test.sql)
			if test.witness != "" {
				file := filepath.Join(dir, "witness.json")
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				lsn := data[strings.Index(string(data), `"lsn":"`)+7:]
				changed := strings.Replace(string(data), string(lsn[:strings.IndexByte(string(lsn), '"')]), test.witness, 1)
				if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			connect()
			holds, err := f.ChannelHolds(t.Context(), f.channel)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(told)+len(holds) != 0 {
					t.Errorf("%v %+v", told, holds)
				}
				return
			}
			if len(told) == 0 || !strings.Contains(told[0], test.want) || len(holds) != 1 || holds[0].Source != campaign.SourceDatabase {
				t.Fatalf("told %v, holds %+v", told, holds)
			}
			told = nil
			connect() // the hold stands; the alarm is not raised for ever
			if len(told) != 0 {
				t.Errorf("once more: %v", told)
			}
		})
	}
}

func TestStorePreferenceHoldsForEveryFormOfANumber(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	ctx := t.Context()
	f.exec(t, `UPDATE campaign.contacts SET match_key = 'one person'`)
	event := func(value string) campaign.Event {
		return campaign.Event{Kind: campaign.EventUserPreference, Messages: true, User: "551187654321", MatchKey: "one person", Value: value}
	}
	optedOut := func() (n int) {
		t.Helper()
		if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.contacts WHERE opted_out_at IS NOT NULL`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Events: []campaign.Event{event("stop")}}}); err != nil || optedOut() != 2 {
		t.Fatalf("after stop %d have opted out, %v", optedOut(), err)
	}
	f.fanOut(t)
	claimed, err := f.Claim(ctx, f.turns())
	if err != nil || claimed[0].OK || claimed[1].OK {
		t.Fatalf("claimed after a stop: %+v, %v", claimed, err)
	}
	if _, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Events: []campaign.Event{event("resume")}}}); err != nil || optedOut() != 0 {
		t.Fatalf("after resume %d have opted out, %v", optedOut(), err)
	}
	f.exec(t, `UPDATE campaign.contacts SET opted_out_at = now(), opted_out_by = 'by hand'`)
	if _, err := f.ApplyDeliveries(ctx, f.channel, []campaign.Parsed{{Events: []campaign.Event{event("resume")}}}); err != nil || optedOut() != 2 {
		t.Fatalf("a resume lifted what a person had noted: %d, %v", optedOut(), err)
	}
}
