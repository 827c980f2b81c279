package postgres_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// scatter puts the six eligible messages of a planned campaign into states of
// the given kinds, rows and counters alike.
func scatter(t *testing.T, w *world, id campaign.ID, states ...string) []campaign.MessageID {
	t.Helper()
	var ids []campaign.MessageID
	rows, err := w.pool.Query(t.Context(), `SELECT id FROM campaign.messages WHERE campaign_id = $1 AND state = 'pending' ORDER BY id`, id)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var m campaign.MessageID
		if err := rows.Scan(&m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m)
	}
	if len(ids) != len(states) || rows.Err() != nil {
		t.Fatalf("%d messages for %d states (%v)", len(ids), len(states), rows.Err())
	}
	for i, word := range states {
		state, detail, _ := strings.Cut(word, "/")
		reason, code := detail, ""
		if state == "failed" {
			reason, code = "", detail
		}
		_, err := w.pool.Exec(t.Context(), `
			WITH m AS (
			  UPDATE campaign.messages SET state = $2, reason = $3, error_code = $4, posts = 1, provider_id = '=wamid.' || id,
			         due_at = CASE WHEN $2 IN ('pending', 'deferred') THEN now() + interval '1 hour' END
			   WHERE id = $1 RETURNING campaign_id, channel_id)
			INSERT INTO campaign.message_count_deltas
			SELECT campaign_id, channel_id, 'pending', '', -1 FROM m UNION ALL SELECT campaign_id, channel_id, $2, $5, 1 FROM m`,
			ids[i], state, reason, code, detail)
		if err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func TestReportCountsTheFunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	ids := scatter(t, w, plan.ID, "read", "delivered", "sent", "accepted", "failed/131026", "unknown")
	_, err := w.pool.Exec(t.Context(), `
		INSERT INTO campaign.replies (channel_id, provider_id, message_id, campaign_id, contact_id, type)
		VALUES ($1, 'a', $2, $3, 7, 'text'), ($1, 'b', $2, $3, 7, 'text'), ($1, 'c', $2, $3, 8, 'button'), ($1, 'd', 0, 0, 8, 'text')`, w.channel.ID, ids[0], plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	report, err := w.Report(t.Context(), plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := campaign.Funnel{Total: 10, Skipped: 4, Eligible: 6, Posted: 4, Sent: 3, Delivered: 2, Read: 1, Failed: 1, Unknown: 1}
	if report.Funnel != want {
		t.Errorf("funnel %+v, want %+v", report.Funnel, want)
	}
	if len(report.Codes) != 1 || report.Codes[0].Code != "131026" || report.Codes[0].Count != 1 || report.Errors["131026"] != 1 {
		t.Errorf("codes %+v, errors %v", report.Codes, report.Errors)
	}
	if report.Replies != 3 || report.Repliers != 2 || report.Channel != "sales" || report.Template != "promo" {
		t.Errorf("%+v", report)
	}
	checkSums(t, w, report.Status)
}

func TestStatusExplainsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	waiting := func() []campaign.Waiting {
		t.Helper()
		status, err := w.Status(t.Context(), plan.ID)
		if err != nil {
			t.Fatal(err)
		}
		return status.Waiting
	}
	if got := waiting(); len(got) != 1 || got[0].Reason != campaign.WaitLaunch || got[0].Messages != 6 {
		t.Errorf("draft: %+v", got)
	}
	scatter(t, w, plan.ID, "deferred/retry", "deferred/retry", "pending/rest", "queued", "pending", "read")
	if _, err := w.pool.Exec(t.Context(), `UPDATE campaign.campaigns SET state = 'running', started_at = now() WHERE id = $1`, plan.ID); err != nil {
		t.Fatal(err)
	}
	got := waiting()
	var lines []string
	for _, x := range got {
		lines = append(lines, fmt.Sprintf("%s %d", x.Reason, x.Messages))
		if x.Until == nil {
			t.Errorf("%s: until when?", x.Reason)
		}
	}
	if want := []string{"turn 2", "rest 1", "retry 2"}; !slices.Equal(lines, want) {
		t.Errorf("waiting %q, want %q", lines, want)
	}
	if until := time.Until(*got[1].Until); until < 50*time.Minute || until > 70*time.Minute {
		t.Errorf("a rest of an hour goes on in %s", until)
	}
	if err := w.Pause(t.Context(), plan.ID, "wrong picture"); err != nil {
		t.Fatal(err)
	}
	if got := waiting(); len(got) != 3 || got[0].Reason != "wrong picture" || got[0].Messages != 5 || got[0].Until != nil {
		t.Errorf("paused: %+v", got)
	}
}

func TestStatusIsPausedOnlyWhileAHoldStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	template, err := w.Template(t.Context(), w.channel.ID, "promo", "en_US")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Launch(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	state := func() campaign.State {
		t.Helper()
		status, err := w.Status(t.Context(), plan.ID)
		if err != nil {
			t.Fatal(err)
		}
		listed, err := w.Campaigns(t.Context(), postgres.CampaignFilter{State: status.State, Channel: "sales"})
		if err != nil || len(listed) != 1 || listed[0].State != status.State || listed[0].Counts[campaign.Pending] != 6 {
			t.Errorf("status says %s, the list %+v (%v)", status.State, listed, err)
		}
		return status.State
	}
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		hold campaign.Hold
		want campaign.State
	}{
		"campaign":         {campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(plan.ID)}, campaign.Paused},
		"template":         {campaign.Hold{Scope: campaign.HoldTemplate, ScopeID: int64(template.ID)}, campaign.Paused},
		"channel":          {campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(w.channel.ID), Until: &future}, campaign.Paused},
		"account":          {campaign.Hold{Scope: campaign.HoldAccount, ScopeID: w.channel.AccountID}, campaign.Paused},
		"over":             {campaign.Hold{Scope: campaign.HoldChannel, ScopeID: int64(w.channel.ID), Until: &past}, campaign.Running},
		"another campaign": {campaign.Hold{Scope: campaign.HoldCampaign, ScopeID: int64(plan.ID) + 1}, campaign.Running},
	} {
		c.hold.Source, c.hold.Reason = "test", name
		if err := w.PutHold(t.Context(), c.hold); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if _, err := w.LiftHold(t.Context(), c.hold.Scope, c.hold.ScopeID, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if got := state(); got != campaign.Running {
		t.Errorf("nothing holds: %s", got)
	}
}

func TestRateNowIsWhatWasPosted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	w.spec.Rate = 40
	plan := w.mustPlan(t)
	for range 2 { // two nodes
		if err := w.Sample(t.Context(), map[campaign.ID]int64{plan.ID: 50, plan.ID + 1: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO campaign.samples VALUES ($1, now() - interval '10 seconds', 99), ($1, now() - interval '1 hour', 99)`, plan.ID); err != nil {
		t.Fatal(err)
	}
	status, err := w.Status(t.Context(), plan.ID)
	if err != nil || status.Rate.Now != 20 || status.Rate.Limit != 40 { // 100 in 5 s
		t.Errorf("%+v, %v", status.Rate, err)
	}
	if err := w.Sample(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.samples WHERE at < now() - interval '2 minutes'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d old samples are kept (%v)", left, err)
	}
}

func TestExportIsTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	scatter(t, w, plan.ID, "read", "delivered", "sent", "accepted", "failed/131026", "unknown")
	var csvText, jsonText bytes.Buffer
	for out, writer := range map[*bytes.Buffer]campaign.ExportWriter{&csvText: campaign.NewCSVExport(&csvText), &jsonText: campaign.NewJSONLExport(&jsonText)} {
		if err := w.Export(t.Context(), plan.ID, writer.Write); err != nil {
			t.Fatal(err)
		}
		if err := writer.Flush(); err != nil || out.Len() == 0 {
			t.Fatalf("%d bytes, %v", out.Len(), err)
		}
	}
	records, err := csv.NewReader(&csvText).ReadAll()
	if err != nil || len(records) != 11 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if got := strings.Join(records[0], ","); got != "message_id,phone,state,reason,error_code,provider_id,attempts,created_at,sent_at,delivered_at,read_at,failed_at" {
		t.Errorf("header %s", got)
	}
	lines := strings.Split(strings.TrimSpace(jsonText.String()), "\n")
	for i, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) != 12 {
			t.Fatalf("%s: %v", line, err)
		}
		record := records[i+1]
		if row["phone"] != record[1] || row["state"] != record[2] || record[1][0] != '+' {
			t.Errorf("CSV %q, JSON %v", record, row)
		}
		if id := row["provider_id"].(string); id != "" && record[5] != "'"+id {
			t.Errorf("provider id %q is written as %q: a spreadsheet runs it", id, record[5])
		}
	}
	stop := errors.New("the pipe is closed")
	if err := w.Export(t.Context(), plan.ID, func(campaign.ExportRow) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if err := w.Export(t.Context(), plan.ID+100, nil); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestMessagesOfAPersonAreFoundUnderEveryForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	found, err := w.Messages(t.Context(), contactRow(0, nil).MatchKey, 10)
	if err != nil || len(found) != 2 { // the number and its other form
		t.Fatalf("%d messages, %v", len(found), err)
	}
	if found[0].ID < found[1].ID || found[0].State != campaign.Skipped || found[0].Reason != campaign.ReasonDuplicate {
		t.Errorf("%+v", found)
	}
	_, err = w.pool.Exec(t.Context(), `INSERT INTO campaign.attempts (message_id, attempt, state, provider_id, error_code) VALUES ($1, 1, 'failed', 'wamid.1', '131049')`, found[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Message(t.Context(), found[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if m.CampaignID != plan.ID || m.Campaign != "spring" || m.Template != "promo" || m.Language != "en_US" || m.Channel != "sales" || m.Row != 10 ||
		string(m.Parameters) != `{"body.1": "Again", "body.2": "SALE"}` ||
		len(m.Former) != 1 || m.Former[0] != (campaign.FormerAttempt{Attempt: 1, State: campaign.Failed, ProviderID: "wamid.1", ErrorCode: "131049"}) {
		t.Errorf("%+v", m)
	}
	if _, err := w.Message(t.Context(), 1<<40); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if none, err := w.Messages(t.Context(), "+1", 10); err != nil || len(none) != 0 {
		t.Errorf("%d messages, %v", len(none), err)
	}
}

func TestCampaignNotFoundSaysWhatIsClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	w.mustPlan(t)
	for _, ref := range []string{"sprng", "12345", "sp\x00ring2"} {
		if _, err := w.Campaign(t.Context(), ref); !errors.Is(err, campaign.ErrNotFound) || !strings.Contains(err.Error(), "there are: 1 spring") {
			t.Errorf("%q: error %v", ref, err)
		}
	}
	if _, err := w.Status(t.Context(), 999); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
