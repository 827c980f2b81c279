package postgres_test

import (
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// What binds one form of a number is told of every form.
func TestDossierIsOfAllFormsOfANumber(t *testing.T) {
	t.Parallel()
	setUp := func(t *testing.T) (*fixture, func() campaign.Dossier) {
		t.Helper()
		f := newFixture(t, 3)
		f.exec(t, `UPDATE campaign.contacts SET match_key = 'the same' WHERE phone IN ($1, $2)`, phoneOf(0), phoneOf(1))
		return f, func() campaign.Dossier {
			t.Helper()
			d, err := f.Dossier(t.Context(), phoneOf(0), "the same")
			if err != nil || len(d.Contacts) != 2 || d.Contacts[0].Phone != phoneOf(0) {
				t.Fatalf("%+v, %v", d.Contacts, err)
			}
			return d
		}
	}
	t.Run("Rest", func(t *testing.T) {
		t.Parallel()
		f, dossier := setUp(t)
		until := time.Now().Add(time.Hour).Truncate(time.Second)
		f.exec(t, `UPDATE campaign.contacts SET rest_until = $2 WHERE phone = $1`, phoneOf(0), until.Add(-2*time.Hour))
		f.exec(t, `UPDATE campaign.contacts SET rest_until = $2 WHERE phone = $1`, phoneOf(1), until)
		if rest := dossier().Contacts[0].RestUntil; rest == nil || !rest.Equal(until) {
			t.Errorf("rests until %v, the other form until %v", rest, until)
		}
	})
	t.Run("OptOut", func(t *testing.T) {
		t.Parallel()
		f, dossier := setUp(t)
		f.exec(t, `UPDATE campaign.contacts SET opted_out_at = now(), opted_out_by = 'word' WHERE phone = $1`, phoneOf(1))
		if d := dossier(); d.SkipMarketing != campaign.ReasonOptedOut || d.Contacts[0].OptedOutBy != "word" {
			t.Errorf("skipped for %q, opted out by %q", d.SkipMarketing, d.Contacts[0].OptedOutBy)
		}
	})
	t.Run("Cap", func(t *testing.T) {
		t.Parallel()
		f, dossier := setUp(t)
		f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
		f.fanOut(t)
		f.setCap(t, 1, time.Hour, campaign.CapSkip)
		if d := dossier(); d.UsedCap != nil || d.SkipMarketing != "" {
			t.Errorf("nothing was sent: %+v, %q", d.UsedCap, d.SkipMarketing)
		}
		if ok := f.claim(t, f.turns()[1:2]); !ok[0] { // to the other form
			t.Fatal("not claimed")
		}
		free := f.info(t, f.first+1).ClaimedAt.Add(time.Hour)
		for then, skip := range map[string]string{campaign.CapSkip: campaign.ReasonFrequencyCap, campaign.CapDefer: ""} {
			f.setCap(t, 1, time.Hour, then)
			if d := dossier(); d.SkipMarketing != skip || d.SkipUtility != "" || d.UsedCap == nil || d.UsedCap.Then != then || !d.UsedCap.Until.Equal(free) {
				t.Errorf("%s: skipped for %q, %+v; want room at %v", then, d.SkipMarketing, d.UsedCap, free)
			}
		}
		f.exec(t, `UPDATE campaign.contacts SET opt_in = false`)
		f.setCap(t, 1, time.Hour, campaign.CapSkip)
		if d := dossier(); d.SkipMarketing != campaign.ReasonNotOptedIn || d.UsedCap == nil {
			t.Errorf("%q, %+v", d.SkipMarketing, d.UsedCap)
		}
		f.setCap(t, 2, time.Hour, campaign.CapSkip)
		if d := dossier(); d.UsedCap != nil {
			t.Errorf("a cap of two has room: %+v", d.UsedCap)
		}
	})
}
