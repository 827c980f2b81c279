package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestAServiceLaunchesACampaignWithItsTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean")
	w.audience(40)
	d := w.daemon()
	conn := w.connect(w.login("campaign_enqueuer"))
	launch := func(tx pgx.Tx) (id campaign.ID) {
		err := tx.QueryRow(t.Context(), `SELECT campaign.launch('{"name":"spring","channel":"sales","template":{"name":"spring_sale","language":"en_US"},
			"audience":{"list":"people"},"parameters":{"body.1":{"column":"first_name","default":"there"},"body.2":"SALE","button.0":"SALE"}}', 'sale-1')`).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	launch(tx)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tx, err = conn.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := launch(tx)
	begun := time.Now()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := w.until("everything read", func(s campaign.Status) bool { return s.State == campaign.Completed && s.Counts[campaign.Read] > 0 })
	if s.ID != id || s.StartedAt == nil || s.StartedAt.Sub(begun) > 10*time.Second {
		t.Errorf("campaign %d began %v after the commit: %+v", id, s.StartedAt, s)
	}
	w.stop(d)
	w.adds(40)
}

func TestADaemonLaunchesWhatAScheduleSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean")
	w.audience(40)
	file, err := os.ReadFile(w.dir + "/spring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(file)) {
		if !strings.HasPrefix(line, "key:") && !strings.HasPrefix(line, "schedule:") {
			kept = append(kept, line)
		}
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// A moment of the day that does not come while the test runs.
	far := time.Now().In(berlin).Add(12 * time.Hour)
	w.write("daily.yaml", strings.Join(kept, "")+fmt.Sprintf("\nschedule: {cron: \"%d %d * * *\", timezone: Europe/Berlin}\n", far.Minute(), far.Hour()))
	w.ctl(0, "campaign", "launch", "-f", "daily.yaml", "--yes")
	// Two daemons, and the moment is a minute ago.
	d := w.daemon()
	other := w.start("campaignd", "run", "--listen", freeAddr(t))
	admin := w.admin()
	if _, err := admin.Exec(t.Context(), `UPDATE campaign.schedules SET next_at = date_trunc('minute', now() - interval '1 minute')`); err != nil {
		t.Fatal(err)
	}
	launched := false
	for deadline := time.Now().Add(time.Minute); !launched && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM campaign.campaigns WHERE name = 'spring')`).Scan(&launched); err != nil {
			t.Fatal(err)
		}
	}
	if !launched {
		t.Fatal("no daemon launched what was due")
	}
	w.until("everything read", func(s campaign.Status) bool { return s.State == campaign.Completed && s.Counts[campaign.Read] > 0 })
	w.stop(d)
	w.stop(other)
	w.adds(40)
	if out := w.ctl(0, "schedule", "show", "spring"); strings.Count(out, "launched") != 1 || !strings.Contains(out, "completed") {
		t.Errorf("schedule show says:\n%s", out)
	}
}
