package postgres_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func TestHeaderFilesOfOpenCampaignsAreUploadedAgainInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(t)
	ctx := t.Context()
	content := []byte("\xff\xd8 an image")
	sum := sha256.Sum256(content)
	for range 2 {
		if got, err := w.SaveFile(ctx, postgres.File{Name: "banner.jpg", ContentType: "image/jpeg", Content: content}); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Fatalf("saved as %s, %v", got, err)
		}
	}
	if f, err := w.File(ctx, hex.EncodeToString(sum[:])); err != nil || f.Name != "banner.jpg" || !bytes.Equal(f.Content, content) {
		t.Fatalf("read %+v, %v", f, err)
	}
	if _, err := w.File(ctx, hex.EncodeToString(make([]byte, 32))); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("a file that was never stored: %v", err)
	}
	plan := w.mustPlan(t)
	constants := `{"body.2":"SALE","header":{"document":{"id":"old","filename":"f"}},"other":{"image":{"id":"of a person"}}}`
	if _, err := w.pool.Exec(ctx, `UPDATE campaign.campaigns SET constants = $2 WHERE id = $1`, plan.ID, constants); err != nil {
		t.Fatal(err)
	}
	if err := w.SaveMedia(ctx, w.channel.ID, sum, "old", time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	// Another campaign uploaded the file again: ours still has the old id.
	if err := w.SaveMedia(ctx, w.channel.ID, sum, "new", time.Now().Add(30*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if id, err := w.Media(ctx, w.channel.ID, sum, 24*time.Hour); err != nil || id != "new" {
		t.Errorf("the longest living upload is %q, %v", id, err)
	}
	if aging, err := w.AgingMedia(ctx, 72*time.Hour); err != nil || len(aging) != 0 {
		t.Errorf("a draft ages: %+v, %v", aging, err)
	}
	if _, _, err := w.Launch(ctx, plan.ID); err != nil {
		t.Fatal(err)
	}
	if aging, err := w.AgingMedia(ctx, 24*time.Hour); err != nil || len(aging) != 0 {
		t.Errorf("what lives two days ages within one: %+v, %v", aging, err)
	}
	aging, err := w.AgingMedia(ctx, 72*time.Hour)
	if err != nil || len(aging) != 1 || aging[0].Slot != "header" || aging[0].Kind != campaign.SlotDocument || aging[0].MediaID != "old" || !aging[0].Stored {
		t.Fatalf("aging: %+v, %v", aging, err)
	}
	if err := w.ReplaceMedia(ctx, aging[0], "new"); err != nil {
		t.Fatal(err)
	}
	stored, err := w.CampaignConstants(ctx, plan.ID)
	var parameters campaign.Parameters
	if err != nil || parameters.UnmarshalJSON(stored) != nil || parameters["header"].Media.ID != "new" || parameters["header"].Media.Filename != "f" ||
		parameters["other"].Media.ID != "of a person" || parameters["body.2"].Text != "SALE" {
		t.Errorf("the constants are %s, %v", stored, err)
	}
	if aging, err := w.AgingMedia(ctx, 72*time.Hour); err != nil || len(aging) != 0 {
		t.Errorf("still aging: %+v, %v", aging, err)
	}

	// What an open campaign needs is kept; without one it goes after 90 days.
	for _, state := range []string{"running", "completed"} {
		_, err := w.pool.Exec(ctx, `WITH f AS (UPDATE campaign.media_files SET used_at = now() - interval '91 days') UPDATE campaign.campaigns SET state = $2 WHERE id = $1`, plan.ID, state)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.ForgetFiles(ctx); err != nil {
			t.Fatal(err)
		}
		var kept int
		if err := w.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.media_files`).Scan(&kept); err != nil || (kept == 1) != (state == "running") {
			t.Errorf("with a campaign that is %s %d files are kept, %v", state, kept, err)
		}
	}
}
