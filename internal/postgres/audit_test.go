package postgres_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func TestAuditSaysWhoDidWhatAndWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := postgres.WithReason(t.Context(), "ticket 42")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	person := []campaign.ContactRow{{Phone: "+4915100000001", MatchKey: "+4915100000001", Country: "DE"}}
	must(f.Pause(ctx, f.campaign, "wrong price"))
	_, err := f.Resume(ctx, f.campaign)
	must(err)
	must(f.PauseChannel(ctx, f.channel, "maintenance"))
	_, err = f.ResumeChannel(ctx, f.channel)
	must(err)
	_, err = f.ResumeChannel(ctx, f.channel) // nothing to lift: no act
	must(err)
	_, err = f.Suppress(ctx, []campaign.Suppression{{Phone: person[0].Phone, MatchKey: person[0].MatchKey, Reason: "lawyer"}})
	must(err)
	_, err = f.Unsuppress(ctx, []campaign.Suppression{{Phone: person[0].Phone, MatchKey: person[0].MatchKey}})
	must(err)
	_, err = f.Suppress(ctx, []campaign.Suppression{{Country: "FR"}})
	must(err)
	_, err = f.SetOptOut(ctx, person, "letter")
	must(err)
	_, err = f.SetOptIn(ctx, person, "call")
	must(err)
	_, err = f.AddChannel(ctx, campaign.Channel{Name: "second", Phone: "+4930000001", BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "env:S"})
	must(err)
	must(f.SetChannelWebhook(ctx, f.channel, "https://example.com/c"))
	_, err = f.pool.Exec(ctx, `UPDATE campaign.campaigns SET state = 'draft', plan_hash = 'abc'`)
	must(err)
	_, _, err = f.Launch(ctx, f.campaign)
	must(err)
	_, _, err = f.Launch(ctx, f.campaign) // launched already: no act
	must(err)
	must(f.Cancel(ctx, f.campaign))
	must(f.Cancel(ctx, f.campaign))

	list, err := f.Audit(ctx, postgres.AuditFilter{})
	must(err)
	var got []string
	for i := len(list) - 1; i >= 0; i-- {
		a := list[i]
		got = append(got, strings.TrimSpace(strings.Join([]string{a.Action, a.Object, a.Name, a.Detail, a.Reason, a.PlanHash}, " | ")))
		if a.DatabaseUser == "" || a.OSUser == "" || a.Program == "" || a.At.IsZero() {
			t.Errorf("who was it? %+v", a)
		}
		if host, _ := os.Hostname(); a.Host != host {
			t.Errorf("the host is %q", a.Host)
		}
		for _, text := range []string{a.Name, a.Detail, a.Reason} {
			if strings.Contains(text, "1510000") {
				t.Errorf("a person is named: %+v", a)
			}
		}
	}
	want := []string{
		"pause | campaign | x |  | wrong price |", "resume | campaign | x |  | ticket 42 |", "pause | channel | c |  | maintenance |", "resume | channel | c |  | ticket 42 |",
		"suppress | people |  |  | ticket 42 |", "unsuppress | people |  |  | ticket 42 |", "suppress | countries |  | FR | ticket 42 |",
		"opt-out | people |  |  | ticket 42 |", "opt-in | people |  |  | ticket 42 |", "add | channel | second |  | ticket 42 |", "webhook | channel | c |  | ticket 42 |",
		"launch | campaign | x |  | ticket 42 | abc", "cancel | campaign | x |  | ticket 42 | abc",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the audit has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if list, err := f.Audit(ctx, postgres.AuditFilter{Campaign: f.campaign}); err != nil || len(list) != 4 {
		t.Errorf("%d acts on the campaign, %v", len(list), err)
	}
}

func TestAuditIsOnlyEverAddedTo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	if _, err := f.pool.Exec(ctx, `INSERT INTO campaign.audit (at, database_user, action) VALUES ('2001-01-01', 'somebody', 'forge')`); err != nil {
		t.Fatal(err)
	}
	var forged bool
	if err := f.pool.QueryRow(ctx, `SELECT at < now() - interval '1 day' OR database_user <> session_user FROM campaign.audit WHERE action = 'forge'`).Scan(&forged); err != nil || forged {
		t.Errorf("forged: %v, %v", forged, err)
	}
	for _, statement := range []string{`UPDATE campaign.audit SET action = 'x'`, `DELETE FROM campaign.audit`, `TRUNCATE campaign.audit`} {
		_, err := f.pool.Exec(ctx, statement)
		refusedStatement(t, statement, err, "42501")
	}
	// It goes with the act or not at all.
	err := pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE campaign.audit IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `ALTER TABLE campaign.audit ADD CONSTRAINT full_disk CHECK (action <> 'pause')`); err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Pause(ctx, f.campaign, ""); err == nil {
		t.Error("paused without a note")
	}
	if holds, err := f.CampaignHolds(ctx, f.campaign); err != nil || len(holds) != 0 {
		t.Errorf("%+v, %v", holds, err)
	}
}

// What a daemon does for somebody is noted with who asked for it.
func TestAuditSaysWhoAskedTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	shop := as(t, w.pool, "campaign_enqueuer")
	role := shop.Config().ConnConfig.User
	var good, bad campaign.ID
	if err := shop.QueryRow(ctx, `SELECT campaign.launch($1, 'a')`, launchSpec).Scan(&good); err != nil {
		t.Fatal(err)
	}
	unusable := strings.NewReplacer(`"spring"`, `"winter"`, `"column":"first_name"`, `"column":"shoe_size"`).Replace(launchSpec)
	if err := shop.QueryRow(ctx, `SELECT campaign.launch($1, 'b')`, unusable).Scan(&bad); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Truncate(time.Minute)
	one := int64(1)
	weekly, _, err := w.CreateSchedule(ctx, campaign.Timetable{Name: "weekly", Channel: "sales", Document: []byte(strings.NewReplacer(`"spring"`, `"weekly"`, ` {SALE}`, "").Replace(launchSpec)), Hash: "h",
		Cron: "* * * * *", TimeZone: "UTC", Late: time.Hour, Expect: campaign.Expectation{Least: &one, Most: &one}, NextAt: &due}, false)
	if err != nil {
		t.Fatal(err)
	}
	refused, _, err := w.AdvanceSchedule(ctx, campaign.Advance{Timetable: weekly, Launch: &due, Key: "k", ExpiresAt: due.Add(time.Hour), Now: due})
	if err != nil {
		t.Fatal(err)
	}
	w.carryOut(t, time.Now())
	for id, want := range map[campaign.ID]string{
		good:    "plan asked for by " + role + " 6, launch asked for by " + role + " 6",
		bad:     "cancel launch asked for by " + role + " 0",
		refused: "plan schedule weekly 6, cancel launch schedule weekly 0",
	} {
		list, err := w.Audit(ctx, postgres.AuditFilter{Campaign: id})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(list)
		var got []string
		for _, a := range list {
			got = append(got, fmt.Sprint(a.Action, " ", a.Detail, " ", a.Count))
			if a.Action == "cancel" && !strings.Contains(a.Reason, map[campaign.ID]string{bad: "shoe_size", refused: "6 recipients are eligible"}[id]) {
				t.Errorf("campaign %d was cancelled for %q", id, a.Reason)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("the audit of campaign %d has\n     %v\nwant %v", id, got, want)
		}
	}
}
