package postgres_test

import (
	"slices"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestStoreVerifyFindsWhatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8)
	ctx := t.Context()
	f.fanOut(t)
	turns := f.turns()
	if _, err := f.Claim(ctx, turns); err != nil {
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	var ledger []campaign.LedgerEntry
	for i, turn := range turns {
		outcomes = append(outcomes, campaign.Outcome{Turn: turn, Answer: campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "w"}})
		var phone string
		if err := f.pool.QueryRow(ctx, `SELECT phone FROM campaign.messages WHERE id = $1`, turn.Message).Scan(&phone); err != nil {
			t.Fatal(err)
		}
		ledger = append(ledger, campaign.LedgerEntry{To: phone, Opaque: f.Opaque(turn.Message, 1), ID: "w", Outcome: "accepted"})
		_ = i
	}
	if err := f.Record(ctx, outcomes); err != nil {
		t.Fatal(err)
	}
	checks := func(id campaign.ID, ledger []campaign.LedgerEntry) []string {
		t.Helper()
		findings, err := f.Verify(ctx, id, ledger)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, finding := range findings {
			names = append(names, finding.Check)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	for _, id := range []campaign.ID{0, f.campaign} {
		if got := checks(id, ledger); len(got) != 0 {
			t.Fatalf("a sound campaign: %v", got)
		}
	}
	twice := append(slices.Clone(ledger), ledger[0])
	if got := checks(f.campaign, twice); !slices.Contains(got, "posted_twice") {
		t.Errorf("a POST that the ledger has twice: %v", got)
	}
	if got := checks(f.campaign, ledger[1:]); !slices.Contains(got, "ledger_missing") {
		t.Errorf("a POST that the ledger lacks: %v", got)
	}
	for check, query := range map[string]string{
		"counter": `INSERT INTO campaign.message_count_deltas SELECT campaign_id, channel_id, 'sent', '', 1 FROM campaign.messages LIMIT 1`,
		"total":   `UPDATE campaign.campaigns SET total = total + 1`,
		"state":   `UPDATE campaign.messages SET due_at = now() WHERE id = (SELECT min(id) FROM campaign.messages)`,
		"no_job":  `UPDATE campaign.messages SET state = 'queued', attempt = 2 WHERE id = (SELECT max(id) FROM campaign.messages)`,
	} {
		if _, err := f.pool.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
		if got := checks(f.campaign, nil); !slices.Contains(got, check) {
			t.Errorf("%s was not found: %v", check, got)
		}
	}
}
