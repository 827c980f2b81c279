package dialog360

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/campaignd/campaignd/internal/campaign"
)

var update = flag.Bool("update", false, "write the golden files of the webhook tests; read what changes")

// TestParseWebhookGolden: each payload in testdata/webhooks and the events that
// must come of it, in the form that "webhook inspect --json" prints.
func TestParseWebhookGolden(t *testing.T) {
	t.Parallel()

	for _, path := range webhookPayloads(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()

			events, err := ParseWebhook(read(t, path))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, e := range events {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				got.Write(append(line, '\n'))
			}
			golden := strings.TrimSuffix(path, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("events are\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

// TestParseWebhookFields: what an event carries beside its JSON form.
func TestParseWebhookFields(t *testing.T) {
	t.Parallel()

	byID := func(t *testing.T, file string) map[string]campaign.Event {
		events, err := ParseWebhook(read(t, filepath.Join("testdata", "webhooks", file)))
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]campaign.Event{}
		for _, e := range events {
			m[firstText(e.ID, e.Template+e.Event, string(e.Kind))] = e
		}
		return m
	}

	t.Run("OnlyFieldMessagesChangesAMessage", func(t *testing.T) {
		t.Parallel()
		inbound := byID(t, "inbound.json")
		if !inbound["wamid.1"].Messages || inbound["wamid.8"].Messages {
			t.Errorf("inbound %v, echo %v; want true, false", inbound["wamid.1"].Messages, inbound["wamid.8"].Messages)
		}
		if e := byID(t, "other-fields.json")["wacid.1"]; e.Messages || e.Status != "RINGING" {
			t.Errorf("status of a call is %+v; want RINGING and not of messages", e)
		}
		if !byID(t, "onprem.json")["gBGG1"].Messages {
			t.Error("a status of the On-Premise envelope does not change its message")
		}
	})

	t.Run("FailedStatusesCarryTheCatalogue", func(t *testing.T) {
		t.Parallel()
		f := byID(t, "statuses-batch.json")["wamid.A3"].Failure
		if f == nil || f.Code != "131049" || !f.RestContact || !f.NeverUS || f.Details != "ecosystem health" || f.HTTP != 0 {
			t.Errorf("failure is %+v", f)
		}
		if f := byID(t, "onprem.json")["gBGG1"].Failure; f == nil || f.Code != "470" || f.MapsTo != "131047" {
			t.Errorf("legacy failure is %+v", f)
		}
		if f := byID(t, "bad-neighbours.json")["12345678901234567890"].Failure; f == nil || f.Code != "131026" {
			t.Errorf("failure with a code as text is %+v", f)
		}
		if f := byID(t, "statuses-batch.json")["wamid.A1"].Failure; f != nil {
			t.Errorf("a sent status has failure %+v", f)
		}
	})

	t.Run("FailedWithoutErrorIsUnknownAndNotCodeZero", func(t *testing.T) {
		t.Parallel()
		events, err := ParseWebhook([]byte(`{"statuses":[{"id":"a","status":"failed"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if f := events[0].Failure; f == nil || f.Code != "unknown" || f.Class != campaign.Final {
			t.Errorf("failure is %+v", f)
		}
	})

	t.Run("TimesInSecondsAndMilliseconds", func(t *testing.T) {
		t.Parallel()
		batch := byID(t, "statuses-batch.json")
		for id, want := range map[string]int64{"wamid.A1": 1767225600, "wamid.A2": 1767225601, "wamid.A3": 1767225602} {
			if got := batch[id].At; got.Unix() != want {
				t.Errorf("%s is at %v, want %v", id, got, time.Unix(want, 0).UTC())
			}
		}
		if at := byID(t, "bad-neighbours.json")["wamid.second"].At; !at.IsZero() {
			t.Errorf("without a timestamp the time is %v", at)
		}
	})

	t.Run("PayloadOfButtons", func(t *testing.T) {
		t.Parallel()
		inbound := byID(t, "inbound.json")
		for id, want := range map[string]string{"wamid.1": "stop", "wamid.3": "row-7", "wamid.4": "yes", "wamid.5": ""} {
			if got := inbound[id].Payload; got != want {
				t.Errorf("payload of %s is %q, want %q", id, got, want)
			}
		}
	})

	t.Run("IdsBeyondFloatsSurvive", func(t *testing.T) {
		t.Parallel()
		if got := byID(t, "template.json")["spring_salePAUSED"].TemplateID; got != "90071992547409931" {
			t.Errorf("template id is %q", got)
		}
		if got := byID(t, "bad-neighbours.json")["wamid.second"].WABA; got != "9007199254740993" {
			t.Errorf("account is %q", got)
		}
	})

	t.Run("WhatTheEventIsAbout", func(t *testing.T) {
		t.Parallel()
		if got := byID(t, "statuses-batch.json")["wamid.A1"].DisplayPhone; got != "49301234567" {
			t.Errorf("business number is %q", got)
		}
		if got := byID(t, "account.json")["PARTNER_REMOVED"].WABA; got != "66" {
			t.Errorf("account is %q", got)
		}
		if got := byID(t, "account.json")["ACCOUNT_RESTRICTION"].DisplayPhone; got != "1555000111" {
			t.Errorf("restricted number is %q", got)
		}
	})
}

func TestParseWebhookRefusesOnlyWhatIsNotJSON(t *testing.T) {
	t.Parallel()

	for _, body := range []string{"", " ", "not json", `{"entry":[`, `{} {}`, "<html></html>", "{\"a\":\"\x00\"}"} {
		if events, err := ParseWebhook([]byte(body)); err == nil {
			t.Errorf("%q gives %v, want an error", body, events)
		}
	}
	deep := strings.Repeat(`{"entry":[`, 20_000) + strings.Repeat(`]}`, 20_000)
	for _, body := range []string{"null", "1", `"x"`, "[]", "{}", `{"object":"whatsapp_business_account","entry":[]}`, "\ufeff{}", "\n{ }\r\n", deep} {
		events, err := ParseWebhook([]byte(body))
		if err != nil || len(events) != 1 || events[0].Kind != campaign.EventOther {
			t.Errorf("%.40q gives %v, %v; want one other", body, events, err)
		}
	}
}

// TestParseWebhookIsIndependentOfOrder: elements come in any order, and whatever
// the order the same events come of them.
func TestParseWebhookIsIndependentOfOrder(t *testing.T) {
	t.Parallel()

	for _, path := range webhookPayloads(t) {
		body := read(t, path)
		if strings.HasPrefix(filepath.Base(path), "bad-") {
			continue // a repeated key does not survive the decoding of this test
		}
		want := multiset(t, body)
		for seed := range uint64(50) {
			decoder := json.NewDecoder(bytes.NewReader(body))
			decoder.UseNumber()
			var v any
			if err := decoder.Decode(&v); err != nil {
				t.Fatal(err)
			}
			shuffled := encodeShuffled(nil, v, rand.New(rand.NewPCG(seed, 1)), "")
			if got := multiset(t, shuffled); !slices.Equal(got, want) {
				t.Fatalf("%s, seed %d: events are\n%s\nwant\n%s", path, seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func multiset(t *testing.T, body []byte) []string {
	t.Helper()
	events, err := ParseWebhook(body)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]string, len(events))
	for i, e := range events {
		code := ""
		if e.Failure != nil {
			code = e.Failure.Code
		}
		e.Failure = nil
		list[i] = fmt.Sprintf("%+v %s", e, code)
	}
	slices.Sort(list)
	return list
}

// encodeShuffled writes v with its keys and its lists of elements in another
// order. The errors of a status keep theirs: the first one counts.
func encodeShuffled(out []byte, v any, random *rand.Rand, key string) []byte {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		out = append(out, '{')
		for i, k := range keys {
			if i > 0 {
				out = append(out, ',')
			}
			name, _ := json.Marshal(k)
			out = append(append(out, name...), ':')
			out = encodeShuffled(out, v[k], random, k)
		}
		return append(out, '}')
	case []any:
		switch key {
		case "entry", "changes", "statuses", "messages", "contacts", "user_preferences":
			random.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		}
		out = append(out, '[')
		for i, e := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = encodeShuffled(out, e, random, "")
		}
		return append(out, ']')
	}
	b, _ := json.Marshal(v)
	return append(out, b...)
}

func FuzzParseWebhook(f *testing.F) {
	for _, path := range webhookPayloads(f) {
		f.Add(read(f, path))
	}
	f.Add([]byte(`{"statuses":[{"errors":[{"code":1e400}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := ParseWebhook(body)
		if err != nil {
			if json.Valid(body) {
				t.Fatalf("JSON is refused: %v", err)
			}
			return
		}
		if len(events) == 0 {
			t.Fatal("no event")
		}
		for _, e := range events {
			for _, s := range []string{e.ID, e.Status, e.Opaque, e.Recipient, e.UserID, e.Text, e.Payload, e.Template, e.Reason, e.Field, e.WABA} {
				if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Fatalf("%q would be refused by the database", s)
				}
			}
			if e.Status == "failed" && e.Kind == campaign.EventStatus && (e.Failure == nil || e.Failure.Class == "") {
				t.Fatalf("failed without a class: %+v", e)
			}
		}
	})
}

// BenchmarkParseWebhook: a batch as the provider sends at most, 1000 statuses,
// every tenth failed.
func BenchmarkParseWebhook(b *testing.B) {
	var body bytes.Buffer
	body.WriteString(`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550001111","phone_number_id":"77"},"statuses":[`)
	const statuses = 1000
	for i := range statuses {
		if i > 0 {
			body.WriteByte(',')
		}
		state, errs := "delivered", ""
		if i%10 == 0 {
			state, errs = "failed", `,"errors":[{"code":131026,"title":"Message undeliverable","message":"Message undeliverable","error_data":{"details":"Message undeliverable."},"href":"/docs/errors"}]`
		}
		fmt.Fprintf(&body, `{"id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI%08d","status":%q,"timestamp":"1767225600","recipient_id":"4915100%06d","biz_opaque_callback_data":"d1/%d/1","conversation":{"id":"f36fd5c1","expiration_timestamp":"1767312000","origin":{"type":"marketing"}},"pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}%s}`, i, state, i, i, errs)
	}
	body.WriteString(`]}}]}]}`)
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		events, err := ParseWebhook(body.Bytes())
		if err != nil || len(events) != statuses {
			b.Fatal(len(events), err)
		}
	}
	b.ReportMetric(float64(statuses*b.N)/b.Elapsed().Seconds(), "statuses/s")
}

func webhookPayloads(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "webhooks", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no payloads: %v", err)
	}
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
