package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// world is a channel with a template and a list of people.
type world struct {
	*postgres.Store
	pool    *pgxpool.Pool
	channel campaign.Channel
	spec    campaign.Spec
}

var promoSlots = []campaign.Slot{{Key: "body.1", Kind: campaign.SlotText, Required: true}, {Key: "body.2", Kind: campaign.SlotText, Required: true}} //nolint:gochecknoglobals // never written to

func promo(language string) campaign.Template {
	return campaign.Template{
		ProviderID: "1", Name: "promo", Language: language, Status: campaign.TemplateApproved, Category: campaign.CategoryMarketing,
		Format: campaign.FormatPositional, Sendable: true, Slots: promoSlots,
		Parts: []campaign.Part{{Kind: campaign.PartBody, Text: "Hi {{1}}, {{2}}"}}, Components: []byte(`[{"type":"BODY","text":"Hi {{1}}, {{2}}"}]`),
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, pool := audienceStore(t)
	channel, err := store.AddChannel(context.Background(), campaign.Channel{Name: "sales", Phone: "+4930123456", BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "env:S", Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.SyncTemplates(context.Background(), channel.ID, []campaign.Template{promo("en_US")}); err != nil {
		t.Fatal(err)
	}
	return &world{Store: store, pool: pool, channel: channel, spec: campaign.Spec{
		Name: "spring", Channel: "sales", Template: campaign.TemplateRef{Name: "promo", Language: "en_US"},
		Audience: campaign.Audience{List: "vips"}, OnUnknown: "hold", USMarketing: "skip", USTerritories: "allow",
		Parameters: map[string]campaign.ParameterSource{
			"body.1": {Column: "first_name"},
			"body.2": {Constant: &campaign.Value{Text: "SALE"}},
		},
	}}
}

// plan plans the world's campaign, as campaignctl does.
func (w *world) plan(t testing.TB, spec campaign.Spec) (campaign.Plan, error) {
	t.Helper()
	ctx := context.Background()
	list, err := w.List(ctx, spec.Audience.List)
	if err != nil {
		t.Fatal(err)
	}
	templates, err := w.TemplateLanguages(ctx, w.channel.ID, spec.Template.Name)
	if err != nil {
		t.Fatal(err)
	}
	planner, err := audience.NewPlanner(audience.PlannerInput{Spec: spec, Channel: w.channel, Templates: templates, List: list, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	launched, err := w.CreatePlan(ctx, postgres.PlanInput{Spec: spec, Channel: w.channel.ID, List: list.ID, Planner: planner})
	if err != nil {
		return campaign.Plan{}, err
	}
	return planner.Plan(launched), nil
}

func (w *world) mustPlan(t testing.TB) campaign.Plan {
	t.Helper()
	plan, err := w.plan(t, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// people are ten of whom six can be sent to.
func (w *world) people(t testing.TB) {
	t.Helper()
	rows := make([]campaign.ContactRow, 0, 10)
	for i := range 6 {
		rows = append(rows, contactRow(i, map[string]string{"first_name": fmt.Sprintf("Name %d", i)}))
	}
	american := campaign.ContactRow{Number: 8, Phone: "+12125550100", MatchKey: "+12125550100", Country: "US", NANP: "us", Attributes: map[string]string{"first_name": "Joe"}}
	nameless := contactRow(7, nil)
	// The longer form of a number is the one that is sent to.
	alias := campaign.ContactRow{OptIn: rows[0].OptIn, Number: 10, Phone: contactRow(0, nil).Phone + "9", MatchKey: contactRow(0, nil).MatchKey, Attributes: map[string]string{"first_name": "Again"}}
	gone := contactRow(9, map[string]string{"first_name": "Gone"})
	rows = append(rows, american, nameless, alias, gone)
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, rowsOf(rows...))
	if _, err := w.SetOptOut(context.Background(), []campaign.ContactRow{gone}, "person"); err != nil {
		t.Fatal(err)
	}
}

func TestPlanFreezesEverybodyIntoOneBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	wantSkipped := map[string]int64{"us_marketing": 1, "bad_parameters": 1, "duplicate": 1, "opted_out": 1}
	if plan.Total != 10 || plan.Eligible != 6 || !plan.Created || plan.State != campaign.Draft || len(plan.PlanHash) != 64 ||
		fmt.Sprint(plan.Skipped) != fmt.Sprint(wantSkipped) {
		t.Errorf("plan %+v", plan.Launched)
	}
	if len(plan.Previews) != 3 || plan.Previews[0].Text != "Hi Again, SALE" {
		t.Errorf("previews %+v", plan.Previews)
	}

	status, err := w.Status(t.Context(), plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	if status.Counts[campaign.Pending] != 6 || status.Counts[campaign.Skipped] != 4 || fmt.Sprint(status.Skipped) != fmt.Sprint(wantSkipped) {
		t.Errorf("status %+v", status)
	}
	checkSums(t, w, status)

	found, err := w.Campaign(t.Context(), "spring")
	if err != nil {
		t.Fatal(err)
	}
	if found.ID != plan.ID || found.Total != 10 || found.PlanHash != plan.PlanHash || found.SpecHash != w.spec.Hash() || found.Spec.Hash() != w.spec.Hash() {
		t.Errorf("campaign %+v", found)
	}
	var least, greatest campaign.MessageID
	var due, bare int
	err = w.pool.QueryRow(t.Context(), `
		SELECT min(id), max(id), count(*) FILTER (WHERE due_at <= clock_timestamp() AND state = 'pending'),
		       count(*) FILTER (WHERE due_at IS NULL AND state = 'skipped' AND parameters = '{}')
		  FROM campaign.messages WHERE campaign_id = $1`, plan.ID).Scan(&least, &greatest, &due, &bare)
	if err != nil || found.FirstID != least || found.LastID != greatest || due != 6 || bare != 4 {
		t.Errorf("bounds %d to %d, rows %d to %d, %d due, %d skipped (%v)", found.FirstID, found.LastID, least, greatest, due, bare, err)
	}
	recipients, templates, err := w.Recipients(t.Context(), plan.ID, 2)
	if err != nil || len(recipients) != 2 || recipients[0].Parameters["body.1"].Text != "Again" || recipients[0].Parameters["body.2"].Text != "SALE" ||
		recipients[1].Parameters["body.1"].Text != "Name 1" || len(templates) != 2 || templates[0] == 0 {
		t.Errorf("recipients %+v, templates %v, %v", recipients, templates, err)
	}
}

// checkSums proves that counters, total, rows and export say the same.
func checkSums(t *testing.T, w *world, status campaign.Status) {
	t.Helper()
	var sum int64
	for _, state := range campaign.MessageStates {
		n, ok := status.Counts[state]
		if !ok {
			t.Errorf("counts lack %s", state)
		}
		sum += n
	}
	if sum != status.Total || len(status.Counts) != len(campaign.MessageStates) {
		t.Errorf("the counts add up to %d of %d: %v", sum, status.Total, status.Counts)
	}
	exported := map[campaign.MessageState]int64{}
	var last campaign.MessageID
	err := w.Export(t.Context(), status.ID, func(r campaign.ExportRow) error {
		if r.MessageID <= last {
			t.Errorf("message %d after %d", r.MessageID, last)
		}
		last = r.MessageID
		exported[r.State]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for state, n := range status.Counts {
		if exported[state] != n {
			t.Errorf("%s: %d exported, %d counted", state, exported[state], n)
		}
	}
}

func TestStatusHasTheShapeOfTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips", Columns: []string{"first_name"}}, rowsOf())
	plan := w.mustPlan(t) // of an empty list
	status, err := w.Status(t.Context(), plan.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"id":%d,"name":"spring","state":"draft","holds":[],"total":0,"counts":{"accepted":0,"cancelled":0,"deferred":0,`+
		`"delivered":0,"failed":0,"held":0,"pending":0,"queued":0,"read":0,"sending":0,"sent":0,"skipped":0,"unknown":0},`+
		`"skipped":{},"errors":{},"waiting":[],"rate":{"limit":100,"now":0},"started_at":null,"finished_at":null,"inbound":{"messages":0,"people":0,"buttons":{}}}`, plan.ID)
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	text, err = json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	want = fmt.Sprintf(`{"id":%d,"name":"spring","state":"draft","plan_hash":%q,"total":0,"eligible":0,"skipped":{},"created":true,"first_at":null,"last_at":null}`, plan.ID, plan.PlanHash)
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestPlanningAgainReturnsTheSameCampaign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	first := w.mustPlan(t)
	second := w.mustPlan(t)
	if second.Created || second.ID != first.ID || second.PlanHash != first.PlanHash || second.Total != 10 || second.Eligible != 6 ||
		fmt.Sprint(second.Skipped) != fmt.Sprint(first.Skipped) {
		t.Errorf("second plan %+v, first %+v", second.Launched, first.Launched)
	}

	other := w.spec
	other.Rate, other.OnUnknown = 5, "fail"
	_, err := w.plan(t, other)
	if !errors.Is(err, campaign.ErrConflict) || !strings.Contains(err.Error(), "with other content: rate, on_unknown") {
		t.Errorf("error %v, want a conflict that names rate and on_unknown", err)
	}
	other.Key = "b"
	third, err := w.plan(t, other)
	if err != nil || !third.Created || third.ID == first.ID {
		t.Errorf("another key: %+v, %v", third.Launched, err)
	}
	if third.PlanHash == first.PlanHash {
		t.Error("two contents have one plan hash")
	}
	if _, err := w.Campaign(t.Context(), "spring"); !errors.Is(err, campaign.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprintf(`%d (key "b", draft)`, third.ID)) {
		t.Errorf("two keys share the name: error %v", err)
	}
	if found, err := w.Campaign(t.Context(), fmt.Sprint(third.ID)); err != nil || found.ID != third.ID {
		t.Errorf("by number: %d, %v", found.ID, err)
	}
}

func TestConcurrentPlansMakeOneCampaign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, manyRows(3000))
	var created, messages atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			plan, err := w.plan(t, w.spec)
			if err != nil {
				t.Error(err)
				return
			}
			if plan.Created {
				created.Add(1)
			}
			messages.Store(plan.Total)
		})
	}
	wait.Wait()
	var rows int64
	err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.messages`).Scan(&rows)
	if created.Load() != 1 || rows != 3000 || messages.Load() != 3000 || err != nil {
		t.Errorf("%d campaigns created, %d messages (%v)", created.Load(), rows, err)
	}
}

// failing decides well and then does not.
type failing struct {
	postgres.Planner
	after int
}

func (f *failing) Decide(c *campaign.Contact, row int64) (campaign.PlannedMessage, error) {
	if f.after--; f.after < 0 {
		return campaign.PlannedMessage{}, campaign.ErrTemplate.With("no more", "")
	}
	return f.Planner.Decide(c, row)
}

func TestAPlanThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	list, _ := w.List(t.Context(), "vips")
	templates, _ := w.Templates(t.Context(), w.channel.ID)
	planner, err := audience.NewPlanner(audience.PlannerInput{Spec: w.spec, Channel: w.channel, Templates: templates, List: list, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.CreatePlan(t.Context(), postgres.PlanInput{Spec: w.spec, Channel: w.channel.ID, List: list.ID, Planner: &failing{planner, 5}})
	if !errors.Is(err, campaign.ErrTemplate) {
		t.Errorf("error %v, want the planner's own", err)
	}
	var left int
	err = w.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM campaign.messages) + (SELECT count(*) FROM campaign.campaigns) + (SELECT count(*) FROM campaign.message_count_deltas)`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d rows left (%v)", left, err)
	}
}

func TestATemplateThatChangesWhileAPlanIsMadeRefusesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	list, _ := w.List(t.Context(), "vips")
	templates, _ := w.Templates(t.Context(), w.channel.ID)
	planner, err := audience.NewPlanner(audience.PlannerInput{Spec: w.spec, Channel: w.channel, Templates: templates, List: list, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	changed := promo("en_US")
	changed.Slots = promoSlots[:1]
	if _, err := w.SyncTemplates(t.Context(), w.channel.ID, []campaign.Template{changed}); err != nil {
		t.Fatal(err)
	}
	_, err = w.CreatePlan(t.Context(), postgres.PlanInput{Spec: w.spec, Channel: w.channel.ID, List: list.ID, Planner: planner})
	if !errors.Is(err, campaign.ErrConflict) || !strings.Contains(err.Error(), "promo (en_US) changed while the campaign was planned") {
		t.Errorf("error %v", err)
	}
	w.spec.Parameters = map[string]campaign.ParameterSource{"body.1": {Column: "first_name"}}
	if plan := w.mustPlan(t); !plan.Created || plan.Eligible != 6 {
		t.Errorf("planned with the new template: %+v", plan.Launched)
	}
}

func TestDiscardedPlansLeaveNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	if _, err := w.pool.Exec(t.Context(), `UPDATE campaign.campaigns SET state = 'running', started_at = now() WHERE id = $1`, plan.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.DiscardPlan(t.Context(), plan.ID); !errors.Is(err, campaign.ErrState) {
		t.Errorf("error %v: a running campaign is not discarded", err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE campaign.campaigns SET state = 'draft', started_at = NULL WHERE id = $1`, plan.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.DiscardPlan(t.Context(), plan.ID); err != nil {
		t.Fatal(err)
	}
	var left int
	err := w.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM campaign.messages) + (SELECT count(*) FROM campaign.campaigns) + (SELECT count(*) FROM campaign.message_totals)`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d rows left (%v)", left, err)
	}
	if again := w.mustPlan(t); !again.Created || again.PlanHash != plan.PlanHash {
		t.Errorf("planned again: %+v", again.Launched)
	}
}

func TestPlanDiffTellsWhoJoinedAndLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	plan := w.mustPlan(t)
	diff, err := w.PlanDiff(t.Context(), plan.ID, 3)
	if err != nil || diff.Joined != 0 || diff.Left != 0 || diff.ListGone || len(diff.TemplatesChanged)+len(diff.TemplatesUnusable) != 0 {
		t.Errorf("nothing changed: %+v, %v", diff, err)
	}
	mustImport(t, w.Store, postgres.ImportOptions{List: "vips"}, func(yield func(campaign.ContactRow, error) bool) {
		for i := range 5 {
			yield(contactRow(100+i, map[string]string{"first_name": "New"}), nil)
		}
	})
	_, err = w.pool.Exec(t.Context(), `DELETE FROM campaign.list_members AS m USING campaign.contacts AS c WHERE c.id = m.contact_id AND c.phone = $1`, contactRow(3, nil).Phone)
	if err != nil {
		t.Fatal(err)
	}
	changed := promo("en_US")
	changed.Slots, changed.Status = promoSlots[:1], campaign.TemplatePaused
	if _, err := w.SyncTemplates(t.Context(), w.channel.ID, []campaign.Template{changed}); err != nil {
		t.Fatal(err)
	}
	diff, err = w.PlanDiff(t.Context(), plan.ID, 3)
	if err != nil || diff.Joined != 5 || diff.Left != 1 || len(diff.JoinedPhones) != 3 || !slices.Equal(diff.LeftPhones, []string{contactRow(3, nil).Phone}) ||
		!slices.Equal(diff.TemplatesChanged, []string{"promo (en_US)"}) || !slices.Equal(diff.TemplatesUnusable, []string{"promo (en_US) is PAUSED"}) {
		t.Errorf("%+v, %v", diff, err)
	}
	list, planned, err := w.DeleteList(t.Context(), "vips")
	if err != nil || list.Contacts != 14 || !slices.Equal(planned, []campaign.ID{plan.ID}) {
		t.Errorf("deleted %+v, planned %v, %v", list, planned, err)
	}
	if diff, err = w.PlanDiff(t.Context(), plan.ID, 3); err != nil || !diff.ListGone {
		t.Errorf("%+v, %v", diff, err)
	}
}

// BenchmarkPlan shows recipients a second, and that memory does not grow with
// the list: go test -bench Plan -benchtime 1x.
func BenchmarkPlan(b *testing.B) {
	const n = 100_000
	w := newWorld(b)
	mustImport(b, w.Store, postgres.ImportOptions{List: "vips"}, manyRows(n))
	var peak uint64
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	runtime.GC()
	runs := 0
	began := time.Now()
	for b.Loop() {
		runs++
		spec := w.spec
		spec.Key = fmt.Sprint(runs)
		plan, err := w.plan(b, spec)
		if err != nil || plan.Eligible != n {
			b.Fatal(plan.Launched, err)
		}
	}
	b.ReportMetric(float64(n*runs)/time.Since(began).Seconds(), "recipients/s")
	close(stop)
	wait.Wait()
	b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
	const statuses = 20
	began = time.Now()
	for range statuses {
		if _, err := w.Status(context.Background(), 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000/statuses, "ms/status")
}
