package campaign_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestSafeCell(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "131049": "131049", "wamid.A=": "wamid.A=",
		"=1+1": "'=1+1", "+49": "'+49", "-1": "'-1", "@SUM": "'@SUM", "\t=1": "'\t=1", "\r=1": "'\r=1",
	} {
		if got := campaign.SafeCell(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
}

func TestCSVExportKeepsPhonesBareAndTimesInUTC(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := campaign.NewCSVExport(&out)
	at := time.Date(2026, 4, 1, 9, 0, 0, 5e6, time.FixedZone("", 7200))
	if err := w.Write(campaign.ExportRow{MessageID: 7, Phone: "+4915112345678", State: campaign.Sent, ProviderID: "=cmd|x", Attempts: 2, CreatedAt: at, SentAt: &at}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "message_id,phone,state,reason,error_code,provider_id,attempts,created_at,sent_at,delivered_at,read_at,failed_at\n" +
		"7,+4915112345678,sent,,,'=cmd|x,2,2026-04-01T07:00:00.005Z,2026-04-01T07:00:00.005Z,,,\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestJSONLExportWritesValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := campaign.NewJSONLExport(&out)
	at := time.Date(2026, 4, 1, 7, 0, 0, 0, time.UTC)
	if err := w.Write(campaign.ExportRow{MessageID: 7, Phone: "+49", State: campaign.Skipped, Reason: "=a<b", CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `{"message_id":7,"phone":"+49","state":"skipped","reason":"=a<b","error_code":"","provider_id":"","attempts":0,` +
		`"created_at":"2026-04-01T07:00:00Z","sent_at":null,"delivered_at":null,"read_at":null,"failed_at":null}` + "\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestEffectiveRateIsTheSmallerLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ channel, own, want float64 }{{0, 0, 0}, {80, 0, 80}, {0, 5, 5}, {80, 5, 5}, {5, 80, 5}, {-1, 5, 5}} {
		if got := campaign.EffectiveRate(c.channel, c.own); got != c.want {
			t.Errorf("channel %g, campaign %g: %g, want %g", c.channel, c.own, got, c.want)
		}
	}
}

func TestOnlyWhatWouldSendIsShownAsPaused(t *testing.T) {
	t.Parallel()
	for _, state := range campaign.States {
		want := state
		if state == campaign.Running || state == campaign.Scheduled {
			want = campaign.Paused
		}
		if got := state.Shown(true); got != want {
			t.Errorf("%s under a hold is shown as %s, want %s", state, got, want)
		}
		if got := state.Shown(false); got != state {
			t.Errorf("%s is shown as %s", state, got)
		}
	}
}
