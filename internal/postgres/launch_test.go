package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/postgres"
)

const launchSpec = `{"name":"spring","channel":"sales","template":{"name":"promo","language":"en_US"},"audience":{"list":"vips"},
	"parameters":{"body.1":{"column":"first_name"},"body.2":"{date} {SALE}"}}`

func (w *world) launchSQL(spec, key string) (campaign.ID, error) {
	var id campaign.ID
	err := w.pool.QueryRow(context.Background(), `SELECT campaign.launch($1, $2)`, spec, key).Scan(&id)
	return id, err
}

// carryOut does what a daemon with the schedule role does.
func (w *world) carryOut(t testing.TB, now time.Time) {
	t.Helper()
	requests := &planning.Requests{Store: w.Store, Log: slog.New(slog.DiscardHandler)}
	if _, err := requests.Pass(context.Background(), now); err != nil {
		t.Fatal(err)
	}
}

func TestLaunchFromSQLIsOneCampaignHoweverOftenItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ids := make([]campaign.ID, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = w.launchSQL(launchSpec, "order 7"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == 0 || id != ids[0] {
			t.Fatalf("the same key gave the campaigns %v", ids)
		}
	}
	ctx := t.Context()
	status, err := w.Status(ctx, ids[0])
	if err != nil || status.State != campaign.Draft || status.Total != 0 || len(status.Waiting) != 1 || status.Waiting[0].Reason != campaign.WaitPlan {
		t.Errorf("before a daemon came its status is %+v, %v", status, err)
	}
	if _, _, err := w.Launch(ctx, ids[0]); !errors.Is(err, campaign.ErrState) {
		t.Errorf("a campaign without a plan was launched: %v", err)
	}
	// Two daemons at once.
	for range 2 {
		wg.Go(func() { w.carryOut(t, time.Now()) })
	}
	wg.Wait()
	w.carryOut(t, time.Now())
	status, err = w.Status(ctx, ids[0])
	if err != nil || status.State != campaign.Running || status.Total != 10 || status.Counts[campaign.Pending] != 6 {
		t.Errorf("planned and started its status is %+v, %v", status, err)
	}
	checkSums(t, w, status)
	c, err := w.Campaign(ctx, "spring")
	if err != nil || c.Key != "order 7" || c.Spec.Parameters["body.2"].Constant.Text != "{date} {SALE}" {
		t.Errorf("the campaign is %+v, %v", c, err)
	}
	if again, err := w.launchSQL(launchSpec, "order 7"); err != nil || again != ids[0] {
		t.Errorf("asked again after the start: %d, %v", again, err)
	}
	_, err = w.launchSQL(strings.Replace(launchSpec, "SALE", "MORE", 1), "order 7")
	refusedAs(t, "the same key with another spec", err, "WA001", "idempotency_key")
	_, err = w.launchSQL(strings.Replace(launchSpec, `"name":"spring"`, `"name":"spring","key":"order 7"`, 1), "order 8")
	refusedAs(t, "another key for the same campaign", err, "WA010", "key")
}

func TestLaunchFromSQLIsUndoneWithItsTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var id campaign.ID
	if err := tx.QueryRow(ctx, `SELECT campaign.launch($1, 'k')`, launchSpec).Scan(&id); err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, time.Now()) // it must not see what is not committed
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, time.Now())
	if found, err := w.Campaigns(ctx, postgres.CampaignFilter{}); err != nil || len(found) != 0 {
		t.Errorf("after the rollback there are %+v, %v", found, err)
	}
	if _, err := w.launchSQL(launchSpec, "k"); err != nil {
		t.Errorf("the key is free again: %v", err)
	}
}

func TestLaunchFromSQLRefusesAndNamesTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	with := func(old, new string) string { return strings.Replace(launchSpec, old, new, 1) }
	for name, c := range map[string]struct{ spec, key, code, field string }{
		"no key":            {launchSpec, " ", "WA007", "idempotency_key"},
		"long key":          {launchSpec, strings.Repeat("k", 201), "WA007", "idempotency_key"},
		"key of two lines":  {launchSpec, "a\nb", "WA007", "idempotency_key"},
		"no object":         {`[1]`, "k", "WA007", "spec"},
		"unknown key":       {with(`"name"`, `"nmae":1,"name"`), "k", "WA007", "nmae"},
		"no name":           {with(`"spring"`, `""`), "k", "WA007", "name"},
		"number as name":    {with(`"spring"`, `7`), "k", "WA007", "name"},
		"no audience":       {with(`"audience"`, `"rate":1,"xudience"`), "k", "WA007", "xudience"},
		"unknown channel":   {with(`"sales"`, `"nobody"`), "k", "WA002", "channel"},
		"unknown template":  {with(`"promo"`, `"prom"`), "k", "WA003", "template"},
		"unknown language":  {with(`"en_US"`, `"fr"`), "k", "WA003", "template"},
		"unknown list":      {with(`"vips"`, `"vip"`), "k", "WA009", "audience.list"},
		"audience file":     {with(`{"list":"vips"}`, `{"file":"vips.csv"}`), "k", "WA007", "audience.file"},
		"list and country":  {with(`{"list":"vips"}`, `{"list":"vips","country":"DE"}`), "k", "WA007", "audience"},
		"local header file": {with(`"parameters":{`, `"parameters":{"header":{"image":{"file":"a.jpg"}},`), "k", "WA006", "parameters.header"},
		"a list as value":   {with(`{"column":"first_name"}`, `["x"]`), "k", "WA006", "parameters.body.1"},
		"cron":              {with(`"name"`, `"schedule":{"cron":"0 9 * * *"},"name"`), "k", "WA007", "schedule.cron"},
		"on_unknown":        {with(`"name"`, `"on_unknown":"again","name"`), "k", "WA007", "on_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.launchSQL(c.spec, c.key)
			refusedAs(t, name, err, c.code, c.field)
		})
	}
	var left int
	if err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM campaign.launch_requests`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d requests are left of what was refused, %v", left, err)
	}
}

// Whatever a campaign file may say can be asked for, or is refused for a reason of
// its own: a key that the function forgot would be called unknown.
func TestLaunchFromSQLKnowsTheKeysOfACampaignFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	_, err := audience.ParseSpec([]byte(`{"no such key":1}`), "")
	var refused *campaign.Error
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Hint, "known keys: ") {
		t.Fatalf("the parser says %v", err)
	}
	for _, key := range strings.Split(strings.TrimPrefix(refused.Hint, "known keys: "), ", ") {
		_, err := w.launchSQL(fmt.Sprintf(`{%q:null,"zzz":1}`, key), "k")
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ColumnName != "zzz" {
			t.Errorf("campaign.launch does not know %s: %v", key, err)
		}
	}
}

func TestARequestThatCannotBePlannedEndsWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	id, err := w.launchSQL(strings.Replace(launchSpec, "first_name", "frist_name", 1), "k")
	if err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, time.Now())
	status, err := w.Status(ctx, id)
	if err != nil || status.State != campaign.Cancelled || len(status.Holds) != 1 || !strings.Contains(status.Holds[0].Reason, "frist_name") {
		t.Errorf("its status is %+v, %v", status, err)
	}

	// A failure that may pass is tried again, and shown meanwhile.
	second, err := w.launchSQL(launchSpec, "k2")
	if err != nil {
		t.Fatal(err)
	}
	broken := &planning.Requests{Store: brokenPlans{w.Store}, Log: slog.New(slog.DiscardHandler)}
	now := time.Now()
	if _, err := broken.Pass(ctx, now); err != nil {
		t.Fatal(err)
	}
	status, err = w.Status(ctx, second)
	if err != nil || status.State != campaign.Draft || len(status.Holds) != 1 || !strings.Contains(status.Holds[0].Reason, "disk full") {
		t.Errorf("while it fails its status is %+v, %v", status, err)
	}
	w.carryOut(t, now.Add(time.Second))
	if c, err := w.Campaign(ctx, fmt.Sprint(second)); err != nil || c.PlanHash != "" {
		t.Errorf("it was tried again at once: %+v, %v", c, err)
	}
	w.carryOut(t, now.Add(time.Minute))
	status, err = w.Status(ctx, second)
	if err != nil || status.State != campaign.Running || len(status.Holds) != 0 {
		t.Errorf("after the failure its status is %+v, %v", status, err)
	}

	// After its time it is not started any more.
	third, err := w.launchSQL(launchSpec, "k3")
	if err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, now.Add(25*time.Hour))
	status, err = w.Status(ctx, third)
	if err != nil || status.State != campaign.Cancelled || status.Total != 0 {
		t.Errorf("after its time its status is %+v, %v", status, err)
	}
}

// brokenPlans cannot store plans.
type brokenPlans struct{ planning.RequestStore }

func (brokenPlans) CreatePlan(context.Context, postgres.PlanInput) (campaign.Launched, error) {
	return campaign.Launched{}, errors.New("disk full")
}

func TestAnUnplannedRequestIsDiscardedByAPersonForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	id, err := w.launchSQL(launchSpec, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.DiscardPlan(ctx, id); err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, time.Now())
	if again, err := w.launchSQL(launchSpec, "k"); err != nil || again != id {
		t.Errorf("the key gives %d, %v; want %d as before", again, err, id)
	}
	w.carryOut(t, time.Now())
	if found, err := w.Campaigns(ctx, postgres.CampaignFilter{}); err != nil || len(found) != 0 {
		t.Errorf("a discarded campaign came back: %+v, %v", found, err)
	}
}

func TestAScheduledCampaignThatIsTooLateIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	for _, c := range []struct {
		name    string
		ago     string
		held    bool
		setLate time.Duration
	}{{"soon", "5 minutes", false, 0}, {"friday", "3 days", true, 0}, {"patient", "3 days", false, 7 * 24 * time.Hour}} {
		spec := w.spec
		at := time.Now().Add(time.Hour)
		spec.Name, spec.Schedule.At, spec.Schedule.Late = c.name, &at, c.setLate
		plan, err := w.plan(t, spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Launch(ctx, plan.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pool.Exec(ctx, `UPDATE campaign.campaigns SET starts_at = clock_timestamp() - $2::interval WHERE id = $1`, plan.ID, c.ago); err != nil {
			t.Fatal(err)
		}
		if begun, err := w.StartDue(ctx); err != nil || len(begun) != 1 {
			t.Fatalf("%s: started %v, %v", c.name, begun, err)
		}
		status, err := w.Status(ctx, plan.ID)
		if err != nil || (len(status.Holds) == 1) != c.held || c.held && (status.State != campaign.Paused || status.Holds[0].Source != campaign.SourceLate) {
			t.Errorf("%s: status %+v, %v", c.name, status, err)
		}
		if remaining, err := w.Resume(ctx, plan.ID); err != nil || len(remaining) != 0 {
			t.Errorf("%s: a person cannot send it all the same: %v, %v", c.name, remaining, err)
		}
	}
}
