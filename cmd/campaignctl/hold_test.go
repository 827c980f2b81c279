package main

import (
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestEveryHoldTellsWhatLiftsIt(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		scope  campaign.HoldScope
		source string
		until  *time.Time
		want   string
	}{
		{campaign.HoldChannel, sourceKey, nil, "until its key is there"},
		{campaign.HoldTemplate, campaign.SourceTemplate, nil, "until the provider approves it again"},
		{campaign.HoldTemplate, campaign.SourceCode, nil, "until the provider approves it again, or: campaignctl campaign resume 7"},
		{campaign.HoldTemplate, campaign.SourceRepeated, nil, "until: campaignctl campaign resume 7"},
		{campaign.HoldTemplate, campaign.SourceChanged, nil, "until: campaignctl campaign resume 7"},
		{campaign.HoldAccount, campaign.SourceAccount, nil, "until the provider lifts it, or: campaignctl channel resume sales"},
		{campaign.HoldAccount, campaign.SourceCode, nil, "until: campaignctl channel resume sales"},
		{campaign.HoldChannel, campaign.SourceDatabase, nil, "until: campaignctl channel resume sales"},
		{campaign.HoldChannel, campaign.SourcePerson, nil, "until: campaignctl channel resume sales"},
		{campaign.HoldCampaign, campaign.SourcePerson, nil, "until: campaignctl campaign resume 7"},
		{campaign.HoldChannel, campaign.SourceInDoubt, &at, "until " + when(&at) + ", or: campaignctl channel resume sales"},
	} {
		if got := holdEnd(campaign.Hold{Scope: c.scope, Source: c.source, Until: c.until}, "7", "sales"); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.scope, c.source, got, c.want)
		}
	}
}

func TestWaitingMessagesAreCountedOnce(t *testing.T) {
	t.Parallel()

	s := campaign.Status{ID: 7, State: campaign.Paused, Total: 10, Counts: campaign.CountsOf(), Channel: "sales", Holds: []campaign.Hold{
		{Scope: campaign.HoldChannel, Source: campaign.SourcePerson, Reason: "billing"},
		{Scope: campaign.HoldCampaign, Source: campaign.SourcePerson, Reason: "wrong voucher"},
	}}
	s.Counts[campaign.Pending], s.Counts[campaign.Deferred] = 8, 2
	s.Explain(campaign.Running, nil, map[string]int64{"": 8}, map[string]int64{campaign.ReasonRetry: 2}, nil, time.Now())
	var out strings.Builder
	page := newPage(&out, false)
	if err := printWaiting(page, s); err != nil {
		t.Fatal(err)
	}
	if err := page.Flush(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := "|waiting:|2 " + waitText(campaign.ReasonRetry) + "|8 for what holds them, above"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownIsNotHandedOver(t *testing.T) {
	t.Parallel()

	s := campaign.Status{State: campaign.Running, Total: 10, Counts: campaign.CountsOf(), Paced: true}
	s.Counts[campaign.Unknown], s.Counts[campaign.Delivered], s.Counts[campaign.Pending] = 2, 5, 3
	want := "running: 5 of 10 handed over, 5 delivered, 2 unknown; slowed to 1/s while WhatsApp assesses the template"
	if got := progressLine(s); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
