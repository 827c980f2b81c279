package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestContactShowTellsOfAUsedCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("spring.yaml", campaignFile)
	w.want(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.work("spring", accepted)
	show := []string{"contact", "show", "+491701234567"}
	for then, c := range map[string]struct{ skip, text string }{
		campaign.CapSkip:  {campaign.ReasonFrequencyCap, "skipped, frequency_cap: the frequency cap of 1 per 1h is used up; again after "},
		campaign.CapDefer: {"", "waits, frequency_cap: the frequency cap of 1 per 1h is used up; again after "},
	} {
		w.want(0, "campaign", "cap", "1/1h", "--then", then)
		if text := w.want(0, show...).stdout; !strings.Contains(text, c.text) {
			t.Errorf("%s:\n%s", then, text)
		}
		who := decode[contactView](t, w.want(0, append(show, "--json")...))
		if u := who.UsedCap; who.Skip.Marketing != c.skip || u == nil || u.Messages != 1 || u.Per != "1h" || u.Then != then || !u.Until.After(time.Now()) {
			t.Errorf("%s: %+v, %+v", then, who.Skip, who.UsedCap)
		}
	}
	s := w.store()
	rest := func(until time.Duration) {
		t.Helper()
		if _, err := s.Pool().Exec(t.Context(), `UPDATE campaign.contacts SET rest_until = now() + $1::interval`, until); err != nil {
			t.Fatal(err)
		}
	}
	w.want(0, "campaign", "cap", "1/1h", "--then", "defer")
	for until, want := range map[time.Duration]string{30 * time.Minute: "waits, frequency_cap: ", 90 * time.Minute: "waits, rest: again after "} {
		rest(until)
		if text := w.want(0, show...).stdout; !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	rest(-time.Minute)
	w.want(0, "campaign", "cap", "2/1h")
	if text := w.want(0, show...).stdout; !strings.Contains(text, "may be sent") || strings.Contains(text, "cap") {
		t.Errorf("%s", text)
	}
}

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
