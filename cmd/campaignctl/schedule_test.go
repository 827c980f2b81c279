package main

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/planning"
	"github.com/campaignd/campaignd/internal/schedule"
)

const mondays = campaignFile + "schedule: {cron: \"0 9 * * 1\", timezone: Europe/Berlin, late: 2h}\n"

// carryOut does what a daemon with the schedule role does, at a moment.
func (w *world) carryOut(now time.Time) {
	w.t.Helper()
	s := w.store()
	log := slog.New(slog.DiscardHandler)
	if err := (&schedule.Runner{Store: s, Log: log}).Pass(context.Background(), now); err != nil {
		w.t.Fatal(err)
	}
	if _, err := (&planning.Requests{Store: s, Log: log}).Pass(context.Background(), now); err != nil {
		w.t.Fatal(err)
	}
}

func TestAFileWithCronMakesASchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.write("news.yaml", mondays)
	w.want(exitGuard, "campaign", "launch", "-f", path) // no terminal to ask at
	w.want(exitUsage, "campaign", "plan", "-f", path)
	w.want(exitUsage, "campaign", "launch", "-f", path, "--yes", "--wait")
	w.want(exitUsage, "campaign", "launch", "-f", path, "--yes", "--key", "k")
	w.want(exitUsage, "campaign", "launch", "-f", path, "--yes", "--cron", "0 9 31 2 *")
	w.want(exitNotFound, "campaign", "launch", "-f", path, "--yes", "--list", "vip")
	w.want(exitUsage, "campaign", "launch", "-f", path, "--yes", "-p", "body.1=column:frist_name")
	if got := w.want(0, "schedule", "list", "--json"); strings.TrimSpace(got.stdout) != "[]" {
		t.Fatalf("what was refused left %s", got.stdout)
	}

	made := decode[launchedSchedule](t, w.want(0, "campaign", "launch", "-f", path, "--yes", "--json"))
	if !made.Created || made.State != "active" || made.Late != "2h" || len(made.Next) != 3 || made.Next[0].At.Weekday() != time.Monday {
		t.Errorf("made %+v", made)
	}
	same := decode[launchedSchedule](t, w.want(0, "campaign", "launch", "-f", w.write("same.yaml", "# a comment\n"+mondays), "--yes", "--json"))
	if same.Created || same.ID != made.ID {
		t.Errorf("the same again made %+v", same)
	}
	w.want(exitConflict, "campaign", "launch", "-f", path, "--yes", "--rate", "1/s")
	replacedBy := decode[launchedSchedule](t, w.want(0, "campaign", "launch", "-f", path, "--yes", "--rate", "1/s", "--replace", "--json"))
	if !replacedBy.Created || replacedBy.ID != made.ID {
		t.Errorf("replaced by %+v", replacedBy)
	}

	next := decode[[]moment](t, w.want(0, "schedule", "next", "spring", "-n", "60", "--json"))
	if len(next) != 60 || next[0].Zone != "Europe/Berlin" || next[1].At.Sub(next[0].At) < 167*time.Hour {
		t.Errorf("next: %+v", next)
	}
	for _, m := range next {
		if !strings.Contains(m.Local, "T09:00+0") {
			t.Errorf("%s is not nine in Berlin", m.Local)
		}
	}
	if got := w.want(0, "schedule", "next", "spring", "-n", "1"); !strings.Contains(got.stdout, "09:00 CE") || !strings.Contains(got.stdout, ":00Z") {
		t.Errorf("next prints %q", got.stdout)
	}
	w.want(exitNotFound, "schedule", "show", "sprin")
	w.want(exitUsage, "schedule", "next", "spring", "-n", "0")
}

func TestAScheduleIsPausedResumedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.write("news.yaml", mondays)
	made := decode[launchedSchedule](t, w.want(0, "campaign", "launch", "-f", path, "--yes", "--json", "--expect-recipients", "2..3"))
	w.carryOut(made.Next[0].At.Add(time.Minute))
	w.want(0, "schedule", "pause", "spring", "--reason", "summer break")
	w.carryOut(made.Next[1].At.Add(time.Minute))
	w.want(0, "schedule", "resume", "spring")
	w.want(0, "schedule", "resume", "spring") // nothing to do
	w.carryOut(made.Next[2].At.Add(3 * time.Hour))
	// The list changed: the guard of the launch is asked at each moment.
	w.want(0, "contact", "import", w.write("more.csv", "phone,first_name,voucher\n+491701111111,Di,D4\n+491701111112,Ed,E5\n"), "--list", "vips", "--opted-in", "test")
	w.carryOut(made.Next[2].At.Add(7 * 24 * time.Hour))

	shown := decode[shownSchedule](t, w.want(0, "schedule", "show", "spring", "--json"))
	const stoppedBy = "it was planned and not started: 4 recipients are eligible, which is not what --expect-recipients allows; look at the list, and at the skip reasons of its plan"
	want := []struct {
		outcome, reason string
		state           campaign.State
	}{{"launched", stoppedBy, campaign.Cancelled}, {"skipped", "no daemon launched it within 2h0m0s", ""}, {"skipped", "the schedule was paused: summer break", ""}, {"launched", "", campaign.Running}}
	if len(shown.Occurrences) != len(want) {
		t.Fatalf("occurrences: %+v", shown.Occurrences)
	}
	for i, o := range shown.Occurrences {
		if o.Outcome != want[i].outcome || o.Reason != want[i].reason || o.State != want[i].state || (o.CampaignID != 0) != (o.State != "") {
			t.Errorf("occurrence %d is %+v, want %+v", i, o, want[i])
		}
	}
	stopped := strconv.FormatInt(int64(shown.Occurrences[0].CampaignID), 10)
	status := w.want(0, "campaign", "status", "1")
	if !strings.Contains(status.stdout, made.Next[0].Local) {
		t.Errorf("the campaign's key is not its moment %s:\n%s", made.Next[0].Local, status.stdout)
	}
	if got := w.want(0, "campaign", "status", stopped); !strings.Contains(got.stdout, "cancelled, because "+stoppedBy) {
		t.Errorf("a campaign that the guard stopped does not say so:\n%s", got.stdout)
	}
	w.want(0, "campaign", "cancel", "1", "--yes", "--reason", "wrong price")
	printed := w.want(0, "schedule", "show", "spring").stdout
	for _, part := range []string{"campaign " + stopped + " cancelled: " + stoppedBy, "Europe/Berlin", "summer break", "campaign 1 cancelled: wrong price", "09:00 CE"} {
		if !strings.Contains(printed, part) {
			t.Errorf("show lacks %q:\n%s", part, printed)
		}
	}
	w.want(exitGuard, "schedule", "delete", "spring")
	w.want(0, "schedule", "delete", "spring", "--yes")
	w.want(exitNotFound, "schedule", "show", "spring")
	w.want(0, "campaign", "status", "1")
}

// What cron mails is what a command prints.
func TestLaunchFromCronIsSilentWhenAllIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.write("daily.yaml", campaignFile+"key: \"{date}\"\nschedule: {timezone: UTC}\n")
	line := []string{"campaign", "launch", "-f", path, "--yes", "--expect-recipients", "2..3", "--quiet"}
	for _, why := range []string{"first", "again"} {
		if got := w.want(0, line...); got.stdout != "" || got.stderr != "" {
			t.Errorf("the %s run printed %q and %q", why, got.stdout, got.stderr)
		}
	}
	found := decode[[]campaign.Summary](t, w.want(0, "campaign", "list", "--json"))
	if len(found) != 1 || found[0].Key != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("there are %+v, want one campaign of today", found)
	}
	for name, c := range map[string]struct {
		code int
		args []string
	}{
		"another number of recipients": {exitGuard, []string{"--key", "k2", "--expect-recipients", "900..1100"}},
		"other content":                {exitConflict, []string{"--rate", "1/s"}},
		"no such list":                 {exitNotFound, []string{"--key", "k3", "--list", "nobody"}},
		"no such word":                 {exitUsage, []string{"--key", "{today}"}},
		"not over in time":             {exitTimeout, []string{"--wait", "--timeout", "1s"}},
	} {
		got := w.want(c.code, append(append([]string{}, line...), c.args...)...)
		if got.stdout != "" || !strings.HasPrefix(got.stderr, "campaignctl: ") {
			t.Errorf("%s: printed %q and %q", name, got.stdout, got.stderr)
		}
	}
}

// A lock is not needed: name and key are one.
func TestTenLaunchesAtOnceAreOneCampaign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.write("daily.yaml", campaignFile+"key: \"{date}\"\nschedule: {timezone: UTC}\n")
	ids := make([]campaign.Launched, 10)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			got := w.run("campaign", "launch", "-f", path, "--yes", "--expect-recipients", "2", "--json")
			if got.code != 0 {
				t.Errorf("run %d ended with %d: %s", i, got.code, got.stderr)
				return
			}
			ids[i] = decode[campaign.Launched](t, got)
		})
	}
	wg.Wait()
	created := 0
	for _, l := range ids {
		if l.ID != ids[0].ID || l.State != campaign.Running || l.Eligible != 2 {
			t.Errorf("one run launched %+v, another %+v", l, ids[0])
		}
		if l.Created {
			created++
		}
	}
	status := decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json"))
	if created != 1 || status.Total != 3 {
		t.Errorf("%d runs created a campaign; it has %d messages", created, status.Total)
	}
	w.want(0, "campaign", "verify")
}
