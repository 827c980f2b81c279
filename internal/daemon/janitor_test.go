package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Caps may be set after a daemon was started, and by a campaign: whoever drops
// partitions looks each time.
func TestARetentionThatIsShorterThanACapIsWarnedOf(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	store, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	channel, err := store.AddChannel(ctx, campaign.Channel{Name: "sales", Phone: "+4930123456", BaseURL: "http://127.0.0.1:1", KeyRef: "env:K", WebhookSecretRef: "env:S"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w := &partitionWorker{store: store, log: slog.New(slog.NewTextHandler(&log, nil)), retention: 48 * time.Hour}
	warned := func() bool {
		t.Helper()
		log.Reset()
		if err := w.Work(ctx, nil); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(log.String(), "retention is shorter")
	}
	own := func(file, state string) {
		t.Helper()
		_, err := pool.Exec(ctx, `INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash) VALUES ($1::text || $2, $3, $2, $1::jsonb, '')`, file, state, channel.ID)
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(per time.Duration) {
		t.Helper()
		if err := store.SetFrequencyCap(ctx, &campaign.FrequencyCap{Messages: 1, Per: per, Then: campaign.CapSkip}); err != nil {
			t.Fatal(err)
		}
	}
	const week = `{"frequency_cap":{"messages":1,"per":604800000000000,"then":"skip"}}`
	own(`{"frequency_cap":{"messages":1,"per":"7d"}}`, "draft") // as it was written: not planned yet
	own(week, "completed")
	if warned() {
		t.Errorf("no cap is that long: %s", &log)
	}
	set(48 * time.Hour)
	if warned() {
		t.Errorf("the cap is no longer than the retention: %s", &log)
	}
	set(72 * time.Hour)
	if !warned() || !strings.Contains(log.String(), "cap_period=72h0m0s") {
		t.Errorf("of the installation's cap: %s", &log)
	}
	own(week, "running")
	if !warned() || !strings.Contains(log.String(), "cap_period=168h0m0s") {
		t.Errorf("of a campaign's own cap: %s", &log)
	}
}
