package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// A window that is open now two hours east of Greenwich and opens in Greenwich in
// less than two hours.
const (
	openZone   = "Etc/GMT-2"
	closedZone = "UTC"
)

func eastern(now time.Time) (window string, opens time.Time) {
	from := now.UTC().Add(2*time.Hour - 5*time.Minute).Truncate(time.Minute)
	return from.Format("15:04") + "-" + from.Add(time.Hour).Format("15:04"), from
}

// windowed gives the fixture's campaign a window, and its messages zones by turns.
func (f *fixture) windowed(t *testing.T, schedule map[string]any, zones ...string) {
	t.Helper()
	text, err := json.Marshal(schedule)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE campaign.campaigns SET spec = spec || jsonb_build_object('schedule', $2::jsonb), not_after = ($2::jsonb->>'not_after')::timestamptz WHERE id = $1`, f.campaign, text)
	for i, zone := range zones {
		f.exec(t, `INSERT INTO campaign.zone_sets (country, zones) VALUES ('', ARRAY[$1::text]) ON CONFLICT DO NOTHING`, zone)
		f.exec(t, `UPDATE campaign.messages SET zone_set = (SELECT id FROM campaign.zone_sets WHERE zones = ARRAY[$1::text]) WHERE campaign_id = $2 AND (id - $3) % $4 = $5`,
			zone, f.campaign, f.first, len(zones), i)
	}
}

// verified fails when the rows say something else than the counters.
func verified(t *testing.T, s *postgres.Store) {
	t.Helper()
	found, err := s.Verify(context.Background(), 0, nil)
	if err != nil || len(found) > 0 {
		t.Errorf("verify: %+v, %v", found, err)
	}
}

func TestStoreFanOutPassesOverClosedWindows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10)
	window, opens := eastern(time.Now())
	f.windowed(t, map[string]any{"window": window, "timezone": "recipient"}, openZone, closedZone)
	if n, err := f.FanOut(t.Context(), f.channel, 1000, 1000); err != nil || n != 5 {
		t.Fatalf("queued %d, %v; want the 5 whose window is open", n, err)
	}
	for i := range f.n {
		m, err := f.Message(t.Context(), f.first+campaign.MessageID(i))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 && m.State != campaign.Queued {
			t.Errorf("message %d is %s (%s)", i, m.State, m.Reason)
		}
		if i%2 == 1 && (m.State != campaign.Pending || m.Reason != campaign.ReasonWindow || m.DueAt == nil || !m.DueAt.Equal(opens)) {
			t.Errorf("message %d is %s (%s) until %v, not pending until %v", i, m.State, m.Reason, m.DueAt, opens)
		}
	}
	status, err := f.Status(t.Context(), f.campaign)
	if err != nil {
		t.Fatal(err)
	}
	var waits campaign.Waiting
	for _, w := range status.Waiting {
		if w.Reason == campaign.ReasonWindow {
			waits = w
		}
	}
	if waits.Messages != 5 || !slices.Equal(waits.Zones, []string{closedZone}) || waits.Until == nil || !waits.Until.Equal(opens) {
		t.Errorf("the status explains %+v", status.Waiting)
	}
	if n, err := f.FanOut(t.Context(), f.channel, 1000, 1000); err != nil || n != 0 {
		t.Errorf("queued %d more, %v", n, err)
	}
	verified(t, f.Store)

	// Their hour comes.
	f.exec(t, `UPDATE campaign.messages SET due_at = now() - interval '1 second', zone_set = (SELECT id FROM campaign.zone_sets WHERE zones = ARRAY[$1::text]) WHERE state = 'pending'`, openZone)
	f.exec(t, `UPDATE campaign.message_count_deltas SET detail = 'window/' || (SELECT id FROM campaign.zone_sets WHERE zones = ARRAY[$1::text]) WHERE detail LIKE 'window/%'`, openZone)
	status, err = f.Status(t.Context(), f.campaign)
	if err != nil || len(status.Waiting) != 1 || status.Waiting[0].Reason != campaign.WaitTurn || status.Waiting[0].Messages != 10 {
		t.Errorf("those whose window is open wait for %+v, %v", status.Waiting, err)
	}
	if n, err := f.FanOut(t.Context(), f.channel, 1000, 1000); err != nil || n != 5 {
		t.Errorf("queued %d when it opened, %v", n, err)
	}
	verified(t, f.Store)
}

func TestStoreClaimsNothingOutsideItsWindow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	window, opens := eastern(now)
	for name, c := range map[string]struct {
		schedule map[string]any
		before   string // what befell the messages before
		state    campaign.MessageState
		reason   string
	}{
		"NeverPosted":  {map[string]any{"window": window}, "", campaign.Pending, "window"},
		"PostedBefore": {map[string]any{"window": window}, `posts = 1, posted = 1, attempt = 2, proof = 3, error_code = '131016'`, campaign.Deferred, "window"},
		"Resend":       {map[string]any{"window": window}, `posts = 1, posted = 1, attempt = 2, resend = true`, campaign.Deferred, "resend"},
		"TooLate":      {map[string]any{"window": window, "not_after": now.Add(time.Hour)}, "", campaign.Skipped, "no_window"},
		"PostedAndTooLate": {map[string]any{"window": window, "not_after": now.Add(time.Hour)},
			`posts = 1, posted = 1, attempt = 2, proof = 3, error_code = '131016'`, campaign.Failed, "no_window"},
		"ResendTooLate": {map[string]any{"window": window, "not_after": now.Add(time.Hour)}, `posts = 1, posted = 1, attempt = 2, resend = true`, campaign.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 4)
			f.fanOut(t)
			f.windowed(t, c.schedule, openZone, closedZone)
			turns := f.turns()
			if c.before != "" {
				f.exec(t, `UPDATE campaign.messages SET `+c.before)
				for i := range turns {
					turns[i].Attempt = 2
				}
			}
			claimed, err := f.Claim(t.Context(), turns)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range claimed {
				m, err := f.Message(t.Context(), turns[i].Message)
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 {
					if !k.OK || m.State != campaign.Sending {
						t.Errorf("message %d with an open window: %s (%s)", i, m.State, m.Reason)
					}
					continue
				}
				if k.OK || m.State != c.state || m.Reason != c.reason {
					t.Errorf("message %d is %s (%s), claimed %v; want %s (%s)", i, m.State, m.Reason, k.OK, c.state, c.reason)
				}
				if c.state.Open() && (m.DueAt == nil || !m.DueAt.Equal(opens)) {
					t.Errorf("message %d is due at %v, not at %v", i, m.DueAt, opens)
				}
			}
		})
	}
}

// The plan gives everybody the moment at which their window opens first, and the
// zones by which claims check it again.
func TestPlanKnowsWhenEverybodysWindowOpens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	window, opens := eastern(time.Now())
	yes := true
	row := func(n int64, phone, country, zone string) campaign.ContactRow {
		return campaign.ContactRow{Number: n, Phone: phone, MatchKey: phone, Country: country, TimeZone: zone, OptIn: &yes, Attributes: map[string]string{"first_name": "Ann"}}
	}
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, rowsOf(
		row(1, "+491511000001", "DE", openZone), row(2, "+491511000002", "DE", closedZone), row(3, "+491511000003", "DE", closedZone),
		row(4, "+79161234567", "RU", ""), row(5, "+870123456789", "", "")))
	w.spec.Schedule = campaign.Schedule{Window: window, TimeZone: campaign.ZoneRecipient}
	plan := w.mustPlan(t)
	if plan.Eligible != 3 || plan.Skipped[campaign.ReasonNoWindow] != 2 || len(plan.Warnings) != 2 {
		t.Errorf("%+v, warnings %q", plan.Launched, plan.Warnings)
	}
	if plan.LastAt == nil || plan.LastAt.Before(opens) {
		t.Errorf("the last message leaves at %v, before %v", plan.LastAt, opens)
	}
	zones, err := w.PlannedZones(t.Context(), plan.ID)
	want := []campaign.ZoneCount{{Zones: []string{openZone}, N: 1}, {Zones: []string{closedZone}, N: 2}}
	if err != nil || fmt.Sprint(zones) != fmt.Sprint(want) {
		t.Errorf("zones %v, %v", zones, err)
	}
	if _, _, err := w.Launch(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := w.FanOut(t.Context(), w.channel.ID, 100, 100); err != nil || n != 1 {
		t.Errorf("queued %d, %v", n, err)
	}
	status, err := w.Status(t.Context(), plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	last := status.Waiting[len(status.Waiting)-1]
	if last.Reason != campaign.ReasonWindow || last.Messages != 2 || last.Until == nil || !last.Until.Equal(opens) {
		t.Errorf("waiting %+v", status.Waiting)
	}
	verified(t, w.Store)
	// The same sets serve the next plan.
	w.spec.Name = "summer"
	w.mustPlan(t)
	var sets int
	if err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.zone_sets`).Scan(&sets); err != nil || sets != 4 {
		t.Errorf("%d zone sets, %v", sets, err)
	}
}

// another makes a second running campaign with a message to each of the
// fixture's contacts.
func (f *fixture) another(t *testing.T, spec string) (campaign.ID, []campaign.Turn) {
	t.Helper()
	var id campaign.ID
	ctx := t.Context()
	if err := f.pool.QueryRow(ctx, `INSERT INTO campaign.campaigns (name, channel_id, state, started_at, spec, spec_hash)
		VALUES ('y' || nextval('campaign.message_ids'), $1, 'running', now(), $2, '') RETURNING id`, f.channel, spec).Scan(&id); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO campaign.messages (campaign_id, channel_id, template_id, contact_id, phone, state, attempt)
		SELECT $1, $2, $3, id, phone, 'queued', 1 FROM campaign.contacts ORDER BY id`, id, f.channel, f.template)
	f.exec(t, `UPDATE campaign.campaigns SET (first_id, last_id, total) = (SELECT min(id), max(id), count(*) FROM campaign.messages WHERE campaign_id = $1) WHERE id = $1`, id)
	f.exec(t, `INSERT INTO campaign.message_count_deltas SELECT $1, $2, 'queued', '', count(*) FROM campaign.messages WHERE campaign_id = $1`, id, f.channel)
	rows, err := f.pool.Query(ctx, `SELECT id FROM campaign.messages WHERE campaign_id = $1 ORDER BY id`, id)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var turns []campaign.Turn
	for rows.Next() {
		turn := campaign.Turn{Attempt: 1, Campaign: id, Channel: f.channel}
		if err := rows.Scan(&turn.Message); err != nil {
			t.Fatal(err)
		}
		rand.Read(turn.Claim[:])
		turns = append(turns, turn)
	}
	return id, turns
}

func (f *fixture) claim(t *testing.T, turns []campaign.Turn) (ok []bool) {
	t.Helper()
	claimed, err := f.Claim(t.Context(), turns)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claimed {
		ok = append(ok, c.OK)
	}
	return ok
}

func (f *fixture) info(t *testing.T, id campaign.MessageID) campaign.MessageInfo {
	t.Helper()
	m, err := f.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFrequencyCapHoldsAtTheClaim(t *testing.T) {
	t.Parallel()
	day := campaign.FrequencyCap{Messages: 1, Per: 24 * time.Hour, Then: campaign.CapSkip}
	for name, c := range map[string]struct {
		installation *campaign.FrequencyCap
		own          string
		first        string // what became of the message before
		ok           bool
		state        campaign.MessageState
		reason       string
	}{
		"NoCap":                 {nil, `{}`, "", true, campaign.Sending, ""},
		"Installation":          {&day, `{}`, "", false, campaign.Skipped, "frequency_cap"},
		"Own":                   {nil, `{"frequency_cap":{"messages":1,"per":86400000000000,"then":"skip"}}`, "", false, campaign.Skipped, "frequency_cap"},
		"OwnDefers":             {&day, `{"frequency_cap":{"messages":9,"per":86400000000000,"then":"defer"}}`, "", false, campaign.Pending, "frequency_cap"},
		"RoomForTwo":            {nil, `{"frequency_cap":{"messages":2,"per":86400000000000,"then":"skip"}}`, "", true, campaign.Sending, ""},
		"FailedDoesNotCount":    {&day, `{}`, `state = 'failed'`, true, campaign.Sending, ""},
		"UnknownCounts":         {&day, `{}`, `state = 'unknown'`, false, campaign.Skipped, "frequency_cap"},
		"ReadCounts":            {&day, `{}`, `state = 'read'`, false, campaign.Skipped, "frequency_cap"},
		"AWaitingResendCounts":  {&day, `{}`, `state = 'deferred', reason = 'resend', resend = true`, false, campaign.Skipped, "frequency_cap"},
		"LongAgo":               {&day, `{}`, `claimed_at = now() - interval '25 hours'`, true, campaign.Sending, ""},
		"AlmostADay":            {&day, `{}`, `claimed_at = now() - interval '23 hours'`, false, campaign.Skipped, "frequency_cap"},
		"NeverPosted":           {&day, `{}`, `state = 'cancelled', claimed_at = NULL`, true, campaign.Sending, ""},
		"DeferredUntilRoomIsIn": {nil, `{"frequency_cap":{"messages":1,"per":86400000000000,"then":"defer"}}`, `claimed_at = now() - interval '23 hours'`, false, campaign.Pending, "frequency_cap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			f.fanOut(t)
			f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
			f.claim(t, f.turns())
			if c.first != "" {
				f.exec(t, `UPDATE campaign.messages SET `+c.first)
			}
			if err := f.SetFrequencyCap(t.Context(), c.installation); err != nil {
				t.Fatal(err)
			}
			_, turns := f.another(t, c.own)
			ok := f.claim(t, turns)
			m := f.info(t, turns[0].Message)
			if ok[0] != c.ok || m.State != c.state || m.Reason != c.reason {
				t.Errorf("claimed %v: %s (%s), want %v: %s (%s)", ok[0], m.State, m.Reason, c.ok, c.state, c.reason)
			}
			if c.state == campaign.Pending {
				before := f.info(t, f.first)
				if free := before.ClaimedAt.Add(24 * time.Hour); m.DueAt == nil || !m.DueAt.Equal(free) {
					t.Errorf("waits until %v, not %v", m.DueAt, free)
				}
			}
			// A repeated claim returns the same.
			if again := f.claim(t, turns); again[0] != c.ok {
				t.Errorf("a repeated claim: %v", again)
			}
		})
	}

	t.Run("UtilityDoesNotCount", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, 1)
		f.fanOut(t)
		f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
		if err := f.SetFrequencyCap(t.Context(), &day); err != nil {
			t.Fatal(err)
		}
		f.claim(t, f.turns())
		f.exec(t, `UPDATE campaign.templates SET category = 'UTILITY'`)
		_, turns := f.another(t, `{}`)
		if ok := f.claim(t, turns); !ok[0] {
			t.Errorf("a utility message is capped: %s", f.info(t, turns[0].Message).Reason)
		}
		f.exec(t, `UPDATE campaign.templates SET category = 'MARKETING'`)
		if found, err := f.FrequencyCap(t.Context()); err != nil || found == nil || *found != day {
			t.Errorf("the cap reads %+v, %v", found, err)
		}
	})

	t.Run("ItsOwnFormerPostDoesNotCount", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, 1)
		f.fanOut(t)
		f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
		if err := f.SetFrequencyCap(t.Context(), &day); err != nil {
			t.Fatal(err)
		}
		turns := f.turns()
		f.claim(t, turns)
		f.exec(t, `UPDATE campaign.messages SET state = 'queued', attempt = 2, resend = true`)
		turns[0].Attempt = 2
		rand.Read(turns[0].Claim[:])
		if ok := f.claim(t, turns); !ok[0] {
			t.Errorf("a resend is stopped by the POST that it repeats: %s", f.info(t, f.first).Reason)
		}
	})

	t.Run("AllFormsOfANumberAreOnePerson", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, 2)
		f.exec(t, `UPDATE campaign.contacts SET match_key = 'the same'`)
		f.fanOut(t)
		if err := f.SetFrequencyCap(t.Context(), &day); err != nil {
			t.Fatal(err)
		}
		// Both in one batch.
		if ok := f.claim(t, f.turns()); !ok[0] || ok[1] {
			t.Errorf("claimed %v", ok)
		}
		if m := f.info(t, f.first+1); m.State != campaign.Skipped || m.Reason != campaign.ReasonFrequencyCap {
			t.Errorf("%s (%s)", m.State, m.Reason)
		}
		verified(t, f.Store)
	})
}

// Claims under way at the same time do not both find room for one message.
func TestFrequencyCapHoldsUnderConcurrentClaims(t *testing.T) {
	t.Parallel()
	const people, campaigns = 20, 6
	f := newFixture(t, people)
	f.fanOut(t)
	f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
	if err := f.SetFrequencyCap(t.Context(), &campaign.FrequencyCap{Messages: 2, Per: time.Hour, Then: campaign.CapSkip}); err != nil {
		t.Fatal(err)
	}
	batches := [][]campaign.Turn{f.turns()}
	for range campaigns - 1 {
		_, turns := f.another(t, `{}`)
		slices.Reverse(turns)
		batches = append(batches, turns)
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(batches))
	for _, turns := range batches {
		wg.Go(func() {
			_, err := f.Claim(context.Background(), turns)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	rows, err := f.pool.Query(t.Context(), `SELECT contact_id, count(*) FILTER (WHERE state = 'sending') FROM campaign.messages GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var id int64
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		if seen++; n != 2 {
			t.Errorf("contact %d gets %d messages, the cap is 2", id, n)
		}
	}
	if seen != people {
		t.Errorf("%d people", seen)
	}
}

func TestPlanSkipsOrDefersWhoGotEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	if _, _, err := w.Launch(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.FanOut(t.Context(), w.channel.ID, 100, 100); err != nil {
		t.Fatal(err)
	}
	posted := time.Now().Add(-time.Hour).Truncate(time.Second)
	if _, err := w.pool.Exec(t.Context(), `UPDATE campaign.messages SET state = 'delivered', claimed_at = $1, posts = 1, posted = 1, proof = 4
		WHERE id IN (SELECT id FROM campaign.messages WHERE state = 'queued' ORDER BY phone LIMIT 2)`, posted); err != nil {
		t.Fatal(err)
	}
	spec := w.spec
	spec.Name, spec.FrequencyCap = "skip", &campaign.FrequencyCap{Messages: 1, Per: 7 * 24 * time.Hour, Then: campaign.CapSkip}
	skipping, err := w.plan(t, spec)
	if err != nil || skipping.Skipped[campaign.ReasonFrequencyCap] != 2 || skipping.Eligible != plan.Eligible-2 {
		t.Errorf("%+v, %v", skipping.Launched, err)
	}
	spec.Name, spec.FrequencyCap = "defer", &campaign.FrequencyCap{Messages: 1, Per: 7 * 24 * time.Hour, Then: campaign.CapDefer}
	deferring, err := w.plan(t, spec)
	if err != nil || deferring.Skipped[campaign.ReasonFrequencyCap] != 0 || deferring.Eligible != plan.Eligible {
		t.Errorf("%+v, %v", deferring.Launched, err)
	}
	var n int
	err = w.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.messages WHERE campaign_id = $1 AND reason = 'frequency_cap' AND due_at = $2`,
		deferring.ID, posted.Add(7*24*time.Hour)).Scan(&n)
	if err != nil || n != 2 {
		t.Errorf("%d wait until there is room, %v", n, err)
	}
	// Two a week leave room, and the installation's cap of one a day does not.
	spec.Name, spec.FrequencyCap = "two", &campaign.FrequencyCap{Messages: 2, Per: 7 * 24 * time.Hour, Then: campaign.CapSkip}
	if two, err := w.plan(t, spec); err != nil || two.Skipped[campaign.ReasonFrequencyCap] != 0 {
		t.Errorf("%+v, %v", two.Launched, err)
	}
	if err := w.SetFrequencyCap(t.Context(), &campaign.FrequencyCap{Messages: 1, Per: 24 * time.Hour, Then: campaign.CapSkip}); err != nil {
		t.Fatal(err)
	}
	spec.Name = "two under one"
	if one, err := w.plan(t, spec); err != nil || one.Skipped[campaign.ReasonFrequencyCap] != 2 {
		t.Errorf("%+v, %v", one.Launched, err)
	}
	if err := w.SetFrequencyCap(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if none, err := w.FrequencyCap(t.Context()); err != nil || none != nil {
		t.Errorf("%+v, %v", none, err)
	}
	if err := w.SetFrequencyCap(t.Context(), &campaign.FrequencyCap{Messages: 0, Per: time.Hour, Then: campaign.CapSkip}); err == nil {
		t.Error("a cap of nothing is stored")
	}
}
