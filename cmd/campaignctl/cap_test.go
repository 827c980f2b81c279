package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestStatusNamesTheHourOnTheirClock(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	waiting := func(messages int64, zones ...string) campaign.Waiting {
		return campaign.Waiting{Reason: campaign.ReasonWindow, Until: &until, Messages: messages, Zones: zones}
	}
	s := campaign.Status{Counts: campaign.CountsOf(), Waiting: []campaign.Waiting{
		{Reason: campaign.WaitTurn, Messages: 5},
		waiting(1204, "America/Sao_Paulo"),
		waiting(7, "Asia/Jakarta", "Asia/Jayapura", "Asia/Makassar"),
		waiting(8, "Asia/Anadyr", "Asia/Irkutsk", "Asia/Omsk", "Europe/Moscow"),
		waiting(9),
		{Reason: campaign.ReasonFrequencyCap, Until: &until, Messages: 3},
	}}
	for i := range 14 {
		s.Waiting = append(s.Waiting, waiting(100, fmt.Sprintf("Etc/GMT+%d", i%12)))
	}
	var out bytes.Buffer
	if err := printWaiting(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1,204  for 09:00 in America/Sao_Paulo", "for the hours that are open in all of Asia/Jakarta, Asia/Jayapura, Asia/Makassar",
		"for the hours that are open in all of Asia/Anadyr, Asia/Irkutsk and 2 more time zones", "of people whose time zone is not known",
		"until the frequency cap leaves room for them", "300  for their hour in 3 other places",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
