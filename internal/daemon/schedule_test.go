package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/simulator"
)

// provider starts a simulated one and gives its address.
func provider(t *testing.T, key string) string {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Key: key, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the simulator ended with %v", err)
		}
	})
	<-sim.Ready()
	return sim.URL()
}

func TestAHeaderFileIsRefreshedOrItsCampaignHeld(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("the-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := pgtest.DB(t)
	store, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	channel, err := store.AddChannel(ctx, campaign.Channel{Name: "sales", Phone: "+4930123456", BaseURL: provider(t, "the-key"), KeyRef: "file:" + key, WebhookSecretRef: "env:S"})
	if err != nil {
		t.Fatal(err)
	}
	var id campaign.ID
	err = pool.QueryRow(ctx, `INSERT INTO campaign.campaigns (name, channel_id, state, spec, spec_hash, plan_hash, constants)
		VALUES ('spring', $1, 'running', '{}', 'x', 'x', '{"header":{"image":{"id":"old"}}}') RETURNING id`, channel.ID).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := store.SaveFile(ctx, postgres.File{Name: "banner.jpg", ContentType: "image/jpeg", Content: []byte("\xff\xd8\xff an image")})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlanner(store, slog.New(slog.DiscardHandler))
	aging := postgres.AgingMedia{Campaign: id, Channel: channel, Slot: "header", Kind: campaign.SlotImage, MediaID: "old", SHA256: sum, ExpiresAt: time.Now().Add(48 * time.Hour)}
	check := func(when string, hold, mediaID string) {
		t.Helper()
		if err := p.refresh(ctx, aging); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		holds, err := store.CampaignHolds(ctx, id)
		if err != nil || (len(holds) == 1) != (hold != "") || hold != "" && !strings.Contains(holds[0].Reason, hold) {
			t.Errorf("%s: holds %+v, %v; want %q", when, holds, err, hold)
		}
		stored, err := store.CampaignConstants(ctx, id)
		var constants map[string]map[string]map[string]string
		if err != nil || json.Unmarshal(stored, &constants) != nil || (constants["header"]["image"]["id"] == "old") != (mediaID == "old") {
			t.Errorf("%s: constants %s, %v", when, stored, err)
		}
	}
	check("its bytes are not stored, two days before the end", "", "old")
	aging.ExpiresAt = time.Now().Add(20 * time.Hour)
	check("a day before the end", "parameters.header", "old")
	aging.Stored = true
	check("its bytes are stored", "", "new")
}
