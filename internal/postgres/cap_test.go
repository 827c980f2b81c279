package postgres_test

import (
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func (f *fixture) setCap(t *testing.T, messages int, per time.Duration, then string) {
	t.Helper()
	if err := f.SetFrequencyCap(t.Context(), &campaign.FrequencyCap{Messages: messages, Per: per, Then: then}); err != nil {
		t.Fatal(err)
	}
}

// waitingForCap gives everybody one message and defers a second one by a cap of
// one in 30 days.
func waitingForCap(t *testing.T, people int, spec string) (*fixture, campaign.ID, []campaign.Turn) {
	t.Helper()
	f := newFixture(t, people)
	if n, err := f.FanOut(t.Context(), f.channel, 5*people, people); err != nil || n != people {
		t.Fatalf("queued %d, %v", n, err)
	}
	f.exec(t, `UPDATE campaign.campaigns SET started_at = now()`)
	f.claim(t, f.turns())
	f.setCap(t, 1, 30*24*time.Hour, campaign.CapDefer)
	id, turns := f.another(t, spec)
	for i, ok := range f.claim(t, turns) {
		if ok {
			t.Fatalf("message %d is not capped", i)
		}
	}
	return f, id, turns
}

// waits counts what a campaign has waiting for a cap, and what of it is due.
func (f *fixture) waits(t *testing.T, id campaign.ID) (capped, due int) {
	t.Helper()
	err := f.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE reason = 'frequency_cap' AND due_at > now()), count(*) FILTER (WHERE reason = '' AND due_at <= now())
		FROM campaign.messages WHERE campaign_id = $1 AND state = 'pending'`, id).Scan(&capped, &due)
	if err != nil {
		t.Fatal(err)
	}
	return capped, due
}

func TestWhatWaitsForACapGoesWithIt(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	t.Run("Removed", func(t *testing.T) {
		t.Parallel()
		const people = 2500 // more than one chunk
		f, id, turns := waitingForCap(t, people, `{}`)
		if err := f.SetFrequencyCap(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if capped, due := f.waits(t, id); capped != 0 || due != people {
			t.Fatalf("%d wait for a cap that there is not, %d are due", capped, due)
		}
		verified(t, f.Store)
		if n, err := f.FanOut(t.Context(), f.channel, 5*people, people); err != nil || n != people {
			t.Errorf("queued %d, %v", n, err)
		}
		turns[0].Attempt, turns[0].Claim = 2, campaign.ClaimID{9}
		if ok := f.claim(t, turns[:1]); !ok[0] {
			t.Error("not claimed")
		}
	})
	t.Run("Raised", func(t *testing.T) {
		t.Parallel()
		f, id, turns := waitingForCap(t, 3, `{}`)
		// One of them got another one: a cap of two leaves no room.
		f.exec(t, `UPDATE campaign.messages SET contact_id = (SELECT max(id) FROM campaign.contacts) WHERE id = $1`, f.first+1)
		f.exec(t, `UPDATE campaign.messages SET claimed_at = claimed_at - interval '1 day' WHERE id = $1`, f.first+1)
		f.setCap(t, 2, month, campaign.CapDefer)
		if capped, due := f.waits(t, id); capped != 1 || due != 2 {
			t.Errorf("%d wait, %d are due; want 1 and 2", capped, due)
		}
		if m, first := f.info(t, turns[2].Message), f.info(t, f.first+1); !m.DueAt.Equal(first.ClaimedAt.Add(month)) {
			t.Errorf("who has no room waits until %v", m.DueAt)
		}
		verified(t, f.Store)
	})
	// --then skip is the default of the command: it must not end what waits.
	t.Run("SkipEndsNothing", func(t *testing.T) {
		t.Parallel()
		f, id, _ := waitingForCap(t, 2, `{}`)
		f.setCap(t, 1, 2*month, campaign.CapSkip)
		if capped, due := f.waits(t, id); capped != 2 || due != 0 {
			t.Errorf("%d wait, %d are due", capped, due)
		}
		f.setCap(t, 2, 2*month, campaign.CapSkip)
		if capped, due := f.waits(t, id); capped != 0 || due != 2 {
			t.Errorf("%d wait, %d are due under a cap of two", capped, due)
		}
		verified(t, f.Store)
	})
	t.Run("TheCampaignsOwnHolds", func(t *testing.T) {
		t.Parallel()
		f, id, _ := waitingForCap(t, 2, `{"frequency_cap":{"messages":1,"per":86400000000000,"then":"defer"}}`)
		if err := f.SetFrequencyCap(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if capped, due := f.waits(t, id); capped != 2 || due != 0 {
			t.Errorf("%d wait, %d are due", capped, due)
		}
		var days float64
		if err := f.pool.QueryRow(t.Context(), `SELECT extract(epoch FROM max(due_at) - now()) / 86400 FROM campaign.messages WHERE campaign_id = $1`, id).Scan(&days); err != nil || days > 1 {
			t.Errorf("they wait %v days, %v", days, err)
		}
	})
	t.Run("OfNoCampaign", func(t *testing.T) {
		t.Parallel()
		f, id, _ := waitingForCap(t, 3, `{}`)
		f.exec(t, `UPDATE campaign.message_count_deltas SET campaign_id = 0 WHERE campaign_id = $1`, id)
		f.exec(t, `UPDATE campaign.messages SET campaign_id = 0, priority = 1 + id % 3 WHERE campaign_id = $1`, id)
		if err := f.SetFrequencyCap(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if capped, due := f.waits(t, 0); capped != 0 || due != 3 {
			t.Errorf("%d wait, %d are due", capped, due)
		}
	})
	t.Run("ByAnOperator", func(t *testing.T) {
		t.Parallel()
		f, id, _ := waitingForCap(t, 2, `{}`)
		operator, err := postgres.Open(t.Context(), as(t, f.pool, "campaign_operator"))
		if err != nil {
			t.Fatal(err)
		}
		if err := operator.SetFrequencyCap(t.Context(), &campaign.FrequencyCap{Messages: 2, Per: month, Then: campaign.CapDefer}); err != nil {
			t.Fatal(err)
		}
		if capped, due := f.waits(t, id); capped != 0 || due != 2 {
			t.Errorf("%d wait, %d are due", capped, due)
		}
	})
	t.Run("OfACampaignThatEnded", func(t *testing.T) {
		t.Parallel()
		f, id, _ := waitingForCap(t, 2, `{}`)
		f.exec(t, `UPDATE campaign.campaigns SET state = 'cancelled' WHERE id = $1`, id)
		if err := f.SetFrequencyCap(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if capped, due := f.waits(t, id); capped != 2 || due != 0 {
			t.Errorf("%d wait, %d are due", capped, due)
		}
	})
}
