package main

import (
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestRetryAndResolve(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	w.work("spring", refusal)
	w.want(6, "campaign", "launch", "spring", "--wait", "--timeout", "20s", "--quiet")
	wantError(t, w.session, 3, `no message of campaign 1 failed with "131026"`, "campaign report", "campaign", "retry", "spring", "--only", "131026", "--yes")
	wantError(t, w.session, 2, "give one of them: --resend or --fail", "", "campaign", "resolve", "spring", "--yes")
	wantError(t, w.session, 2, `"x" is not the number of a message`, "", "message", "resolve", "x", "--fail")
	wantError(t, w.session, 2, "neither a time nor a duration", "", "webhook", "replay", "--since", "yesterday")

	got := w.want(0, "campaign", "retry", "spring", "--only", "131009", "--yes", "--json")
	if n := decode[map[string]int](t, got)["messages"]; n != 2 {
		t.Errorf("%d messages are tried again", n)
	}
	w.work("spring", campaign.Answer{Kind: campaign.AnswerInDoubt})
	status := func() campaign.Status {
		return decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json"))
	}
	if n := status().Counts[campaign.Unknown]; n != 2 {
		t.Fatalf("%d unknown", n)
	}
	wantError(t, w.session, 7, "the grace of 2 messages still runs", "no webhook has come", "campaign", "resolve", "spring", "--resend", "--yes")
	w.want(0, "campaign", "resolve", "spring", "--fail", "--yes")
	if s := status(); s.Counts[campaign.Failed] != 2 || s.Errors[campaign.CodeUnresolved] != 2 {
		t.Errorf("%+v", s)
	}
	wantError(t, w.session, 7, "may have arrived", "", "campaign", "retry", "spring", "--only", campaign.CodeUnresolved, "--yes")
}
