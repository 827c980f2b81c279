package torture

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// fate is a behaviour that the provider is told to show to a number, and what a
// message to it must end as once the provider took it.
type fate struct {
	behaviour string
	share     int    // of 10,000 recipients
	ends      string // state of a message whose last taken attempt met the behaviour
	code      string // of a failed one
	retried   bool   // the failure is answered by another POST, which then meets "ok"
}

// fates are everything that can happen to one message without stopping a whole
// channel for long; what is left over meets "ok". Refusals and failures that are retried
// happen to the first POST only, or the campaign would never end.
func fates() []fate {
	return []fate{
		{"cut_before", 60, "read", "", false},
		{"cut_after", 60, "read", "", false},
		{"slow", 4, "read", "", false},
		{"half_answer", 40, "read", "", false},
		{"empty_502", 40, "read", "", false},
		{"html_504", 40, "read", "", false},
		{"garbage_200", 40, "read", "", false},
		{"no_id_200", 40, "read", "", false},
		{"error_200*1", 30, "read", "", false},
		{"server_error*1", 60, "read", "", false},
		{"unavailable*1", 60, "read", "", false},
		{"pair_limit*1", 30, "read", "", false},
		{"duplicate_webhooks", 500, "read", "", false},
		{"reordered_webhooks", 500, "read", "", false},
		{"late_webhook", 100, "read", "", false},
		{"early_webhook", 500, "read", "", false},
		{"no_phone", 300, "read", "", false},
		{"read_only", 200, "read", "", false},
		{"delivered", 300, "delivered", "", false},
		{"never_delivered", 200, "sent", "", false},
		{"device_failed", 100, "delivered", "", false},
		{"delivered_after_failed", 50, "delivered", "", false},
		{"held_released", 40, "read", "", false},
		{"paused_status", 20, "read", "", false},
		{"not_on_whatsapp", 150, "failed", "131026", false},
		{"stopped", 50, "failed", "131050", false},
		{"experiment", 30, "failed", "130472", false},
		{"capped*1", 200, "failed", "131049", true},
		// These two put holds that only a person lifts: operate does.
		{"held_dropped", 2, "failed", "132015", false},
		{"redirect_307*1", 2, "read", "", false},
	}
}

func okFate() fate { return fate{behaviour: "ok", ends: "read"} }

// recipients are the people of a run by number, each with a fate.
type recipients map[string]fate

// newRecipients deals out the fates by the seed.
func newRecipients(n int, seed uint64) recipients {
	dice := rand.New(rand.NewPCG(seed, 1))
	list := make(recipients, n)
	for i := range n {
		phone := fmt.Sprintf("+1%s%07d", []string{"204", "416", "514"}[i%3], 2_000_000+i)
		roll, f := dice.IntN(10_000), okFate()
		for _, candidate := range fates() {
			if roll -= candidate.share; roll < 0 {
				f = candidate
				break
			}
		}
		list[phone] = f
	}
	return list
}

// us is the share of people who must be skipped: marketing to US numbers.
const us = 50

// people writes the list, the behaviours and the campaign, and imports the list.
func (w *world) people(o options) {
	w.t.Helper()
	list := newRecipients(o.recipients, o.seed)
	var people, behaviours strings.Builder
	people.WriteString("phone,first_name,voucher\n")
	for i, phone := range list.phones() {
		fmt.Fprintf(&people, "%s,Ann,V-%d\n", phone, i)
		if f := list[phone]; f.behaviour != "ok" {
			fmt.Fprintf(&behaviours, "%s,%s\n", phone, f.behaviour)
		}
	}
	for i := range us {
		fmt.Fprintf(&people, "+1212%07d,Ann,V-%d\n", 2_000_000+i, i)
	}
	w.write("people.csv", people.String())
	w.write("behaviours.csv", behaviours.String())
	w.write("campaign.yaml", fmt.Sprintf(`name: %s
channel: %s
template: {name: spring_sale, language: en_US}
audience: {list: people}
parameters:
  body.1: {column: first_name, default: there}
  body.2: {column: voucher}
  button.0: {column: voucher}
retry:
  code_131049: {first: 1s, factor: 1, attempts: 3}
  code_131000: {first: 1s, factor: 2, attempts: 5}
  code_131016: {first: 1s, factor: 2, attempts: 5}
  code_131056: {first: 1s, factor: 2, attempts: 5}
`, campaignKey, channelName))
	w.ctl("contact", "import", "people.csv", "--list", "people", "--opted-in", "test")
}

func (r recipients) phones() []string {
	phones := make([]string, 0, len(r))
	for phone := range r {
		phones = append(phones, phone)
	}
	slices.Sort(phones)
	return phones
}

// message is a row of the export.
type message struct {
	id, phone, state, reason, code, provider string
}

// exported reads the report of the campaign.
func (w *world) exported() []message {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(w.ctl("campaign", "export", campaignKey))).ReadAll()
	must(w.t, err)
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var list []message
	for _, row := range rows[1:] {
		list = append(list, message{id: row[column["message_id"]], phone: row[column["phone"]], state: row[column["state"]],
			reason: row[column["reason"]], code: row[column["error_code"]], provider: row[column["provider_id"]]})
	}
	return list
}

// verdict is what the comparison of report and ledger came to.
type verdict struct {
	eligible, skipped            int
	posts, taken                 int
	parts                        int // POSTs of which the provider saw a part only, and could not tell whose they were
	lost                         int // eligible recipients without an end, or whose end is not what the provider's side says
	twice                        int // messages taken again although an earlier attempt had not failed
	repeated                     int // attempts with more than one POST
	unaccounted                  int // POSTs of no recipient, and recipients without exactly one row
	unknownLeft, unknownReported int // all, and those the provider took
	unknownUnposted              int // those of which the provider saw no POST: claimed by a daemon that died
	complaints                   []string
}

func (v *verdict) complain(format string, args ...any) {
	if len(v.complaints) < 50 {
		v.complaints = append(v.complaints, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) ok() bool {
	return v.lost+v.twice+v.repeated+v.unaccounted+v.unknownReported == 0 && len(v.complaints) == 0
}

// compare holds the report against the ledger and the fates. It knows nothing of
// attempts and proofs but what the provider saw.
func compare(list recipients, report []message, entries []entry) verdict {
	v := verdict{posts: len(entries)}
	byPhone := map[string][]entry{}
	opaque := map[string]int{}
	for _, e := range entries {
		if e.Opaque == "" && e.To == "" && !e.taken() {
			v.parts++
			continue
		}
		phone := "+" + strings.TrimPrefix(e.To, "+")
		byPhone[phone] = append(byPhone[phone], e)
		if e.taken() {
			v.taken++
		}
		if opaque[e.Opaque]++; opaque[e.Opaque] == 2 {
			v.repeated++
			v.complain("%s was posted more than once", e.Opaque)
		}
		if _, known := list[phone]; !known {
			v.unaccounted++
			v.complain("%s was posted to somebody who is not on the list or must be skipped", e.Opaque)
		}
	}
	rows := map[string]int{}
	for _, m := range report {
		rows[m.phone]++
		f, eligible := list[m.phone]
		if !eligible {
			if v.skipped++; m.state != "skipped" || m.reason != "us_marketing" {
				v.lost++
				v.complain("message %s, which must be skipped, is %s %s", m.id, m.state, m.reason)
			}
			continue
		}
		v.eligible++
		v.judge(m, f, byPhone[m.phone])
	}
	for phone := range list {
		if rows[phone] != 1 {
			v.unaccounted++
			v.complain("a recipient has %d rows in the report", rows[phone])
		}
	}
	if v.skipped != us {
		v.unaccounted++
		v.complain("%d recipients are skipped, want %d", v.skipped, us)
	}
	return v
}

// judge holds one message against what the provider did with it.
func (v *verdict) judge(m message, f fate, posts []entry) {
	var taken []int // which POSTs, from 0
	for i, e := range posts {
		if e.taken() {
			taken = append(taken, i)
		}
	}
	// Only a failure that is retried makes another message right, and the provider
	// shows it to the first POST.
	allowed := 1
	if f.retried && len(taken) > 0 && taken[0] == 0 {
		allowed = 2
	}
	if len(taken) > allowed {
		v.twice++
		v.complain("message %s (%s) was taken %d times", m.id, f.behaviour, len(taken))
	}
	if m.state == "unknown" {
		v.unknownLeft++
		if len(posts) == 0 {
			v.unknownUnposted++
		}
	}
	switch {
	case len(taken) == 0:
		// Nobody was messaged. What was refused is tried again, so the last POST, if
		// there was one, was in doubt; or the claim was made and the daemon killed.
		if m.state != "unknown" {
			v.lost++
			v.complain("message %s (%s), which the provider never took, is %s %s %s", m.id, f.behaviour, m.state, m.reason, m.code)
		}
	case f.retried && taken[len(taken)-1] == 0:
		// The failure is known; its retry may have been claimed and lost.
		if m.state != "unknown" && (m.state != f.ends || m.code != f.code) {
			v.lost++
			v.complain("message %s (%s), whose retry was never taken, is %s %s %s", m.id, f.behaviour, m.state, m.reason, m.code)
		}
	case m.state == "unknown":
		v.unknownReported++
		v.complain("message %s (%s) is unknown although the provider took and reported it", m.id, f.behaviour)
	default:
		want, code := f.ends, f.code
		if f.retried {
			want, code = "read", ""
		}
		if m.state != want || m.code != code {
			v.lost++
			v.complain("message %s (%s) is %s %s %s, want %s %s", m.id, f.behaviour, m.state, m.reason, m.code, want, code)
		} else if id := posts[taken[len(taken)-1]].ID; m.provider != id {
			v.lost++
			v.complain("message %s (%s) has another provider id than the POST that was taken last", m.id, f.behaviour)
		}
	}
}

// TestCompareFindsWhatIsWrong makes sure that the judge can condemn.
func TestCompareFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	list := recipients{"+1": okFate(), "+2": {behaviour: "capped*1", ends: "failed", code: "131049", retried: true}}
	skipped := make([]message, us)
	for i := range skipped {
		skipped[i] = message{phone: fmt.Sprint("us", i), state: "skipped", reason: "us_marketing"}
	}
	good := []message{{id: "1", phone: "+1", state: "read", provider: "a"}, {id: "2", phone: "+2", state: "read", provider: "c"}}
	ledger := []entry{{To: "1", Opaque: "d/1/1", ID: "a"}, {To: "2", Opaque: "d/2/1", ID: "b"}, {To: "2", Opaque: "d/2/2", ID: "c"}}
	with := func(i int, change func(*message)) []message {
		report := slices.Clone(good)
		change(&report[i])
		return report
	}
	for name, c := range map[string]struct {
		report []message
		ledger []entry
		wrong  func(verdict) int
	}{
		"Lost":            {with(0, func(m *message) { m.state = "deferred" }), ledger, func(v verdict) int { return v.lost }},
		"LostOnTheWay":    {with(0, func(m *message) { m.state = "sent" }), ledger, func(v verdict) int { return v.lost }},
		"NeverPosted":     {with(0, func(m *message) { m.state = "failed" }), ledger[1:], func(v verdict) int { return v.lost }},
		"WrongID":         {with(0, func(m *message) { m.provider = "b" }), ledger, func(v verdict) int { return v.lost }},
		"StaysUnknown":    {with(0, func(m *message) { m.state = "unknown" }), ledger, func(v verdict) int { return v.unknownReported }},
		"TakenTwice":      {good, append(slices.Clone(ledger), entry{To: "1", Opaque: "d/1/2", ID: "x"}), func(v verdict) int { return v.twice }},
		"AttemptTwice":    {good, append(slices.Clone(ledger), entry{To: "1", Opaque: "d/1/1"}), func(v verdict) int { return v.repeated }},
		"Stranger":        {good, append(slices.Clone(ledger), entry{To: "3", Opaque: "d/3/1"}), func(v verdict) int { return v.unaccounted }},
		"Nobody's":        {good, append(slices.Clone(ledger), entry{ID: "x"}), func(v verdict) int { return v.unaccounted }},
		"MissingRow":      {good[:1], ledger, func(v verdict) int { return v.unaccounted }},
		"RetriedOnceOnly": {with(1, func(m *message) { m.state = "sent" }), ledger[:2], func(v verdict) int { return v.lost }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := compare(list, append(slices.Clone(c.report), skipped...), c.ledger)
			if v.ok() || c.wrong(v) != 1 {
				t.Errorf("%+v", v)
			}
		})
	}
	if v := compare(list, append(good, skipped...), append(ledger, entry{Outcome: "refused:100"})); !v.ok() || v.parts != 1 {
		t.Errorf("a good report: %v", v.complaints)
	}
	if v := compare(list, append(with(1, func(m *message) { m.state, m.provider = "unknown", "" }), skipped...), ledger[:2]); !v.ok() || v.unknownLeft != 1 {
		t.Errorf("a lost retry: %+v", v)
	}
}
