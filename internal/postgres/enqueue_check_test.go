package postgres_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/phone"
)

// checkedTemplates have every kind of slot that a service can fill.
func checkedTemplates() []campaign.Template {
	slots := func(kinds ...campaign.SlotKind) []campaign.Slot {
		list := []campaign.Slot{{Key: "body.1", Kind: campaign.SlotText, Required: true}}
		for i, kind := range kinds {
			list = append(list, campaign.Slot{Key: fmt.Sprint("button.", i), Kind: kind, Required: i != 1})
		}
		return list
	}
	header := func(kind campaign.SlotKind) campaign.Template {
		return campaign.Template{Slots: []campaign.Slot{{Key: "header", Kind: kind, Required: true}}}
	}
	return []campaign.Template{
		{Slots: slots(campaign.SlotURL, campaign.SlotQuickReply, campaign.SlotCopyCode), Parts: []campaign.Part{
			{Kind: campaign.PartBody, Text: strings.Repeat("x", 900) + "{{1}} {{1}} {{{1}} {{ x {{1}} }} {{2}}"},
			{Kind: campaign.PartHeader, Format: "IMAGE"}, {Kind: campaign.PartFooter, Text: "{{1}}"},
			{Kind: campaign.PartButton, Index: 0, URL: "https://shop.example/{{1}}"}, {Kind: campaign.PartButton, Index: 1, Text: "Call"},
		}},
		{Slots: []campaign.Slot{{Key: "header.name", Kind: campaign.SlotText, Required: true}, {Key: "button.0", Kind: campaign.SlotVoiceCall}},
			Parts: []campaign.Part{{Kind: campaign.PartHeader, Format: "TEXT", Text: "Für {{ name }} — {{name}}"}}},
		header(campaign.SlotImage), header(campaign.SlotVideo), header(campaign.SlotDocument), header(campaign.SlotGIF), header(campaign.SlotLocation),
		header(campaign.SlotOTP), {},
	}
}

// checkedValues are JSON values, good and bad for one or another kind.
func checkedValues() []string {
	texts := []string{
		"", " ", "a", "\u00a0", "\u3000\u2028", "a b", "a    b", "a     b", "a\tb", "a\nb", "a\rb", "a\u0085b", "a\vb", "ABC123", "ABC-123", "Ä", "ABCDEFGHIJKLMNO",
		"ABCDEFGHIJKLMNOP", "o/1?x=1&y=%20", "%2", "%zz", "<b>", `a"b`, `a\b`, "a^b", "a`b", "{a}", "a|b", "a b", "\u0001", "é", "😀", "{{1}}",
		strings.Repeat("y", 60), strings.Repeat("y", 25), strings.Repeat("y", 24), strings.Repeat("é", 52), strings.Repeat("y", 256), strings.Repeat("y", 257), strings.Repeat("y", 2100),
		strings.Repeat("😀", 130),
	}
	var values []string
	for _, text := range texts {
		data, _ := json.Marshal(text)
		values = append(values, string(data))
	}
	values = append(values, "5", "1.50", "-3", "true", "null", "[]", `["a"]`, "{}", `{"text":"a"}`, `{"image":{},"video":{}}`, `{"image":"x"}`, `{"image":null}`, `{"image":[]}`)
	for _, kind := range []string{"image", "video", "document", "gif"} {
		for _, medium := range []string{
			`{}`, `{"link":""}`, `{"link":"https://cdn.example/a.jpg"}`, `{"link":"HTTPS://cdn.example"}`, `{"link":"http://cdn.example/a.jpg"}`, `{"link":"https://"}`,
			`{"link":"https:///a.jpg"}`, `{"link":"https://:443/a"}`, `{"link":"https://u@cdn.example/a"}`, `{"link":"https://cdn.example/a b"}`, `{"link":"ftp://x"}`,
			`{"link":"https://cdn.example/%zz"}`, `{"link":"https://cdn.example/\u0001"}`, `{"link":"x"}`, `{"id":"123"}`, `{"id":123}`, `{"id":"1 2"}`, `{"id":true}`, `{"id":"1","link":"https://x.example"}`,
			`{"link":"https://x.example","filename":"a.pdf"}`, `{"link":"https://x.example","filename":"a\u0001.pdf"}`, `{"link":"https://x.example","caption":"x"}`, `{"id":{}}`,
		} {
			values = append(values, fmt.Sprintf(`{%q:%s}`, kind, medium))
		}
	}
	for _, at := range []string{
		`{}`, `{"latitude":"1"}`, `{"latitude":"52.5","longitude":"13.4"}`, `{"latitude":52.5,"longitude":13.4,"name":"x","address":"y"}`, `{"latitude":"91","longitude":"0"}`,
		`{"latitude":"-90","longitude":"-180"}`, `{"latitude":"0","longitude":"180.1"}`, `{"latitude":"1e1","longitude":"0"}`, `{"latitude":"x","longitude":"0"}`, `{"latitude":"+1.","longitude":".5"}`,
		`{"latitude":"1.2.3","longitude":"0"}`, `{"latitude":"","longitude":"0"}`, `{"latitude":"-","longitude":"0"}`, `{"latitude":"1","longitude":"0","name":"a\u0001"}`, `{"latitude":"1","longitude":"0","zip":"x"}`,
	} {
		values = append(values, `{"location":`+at+`}`)
	}
	return values
}

// What the database refuses is what package campaign refuses: a message that a
// service enqueues is checked as well as one of a plan.
func TestDatabaseChecksParametersAsCampaignsDo(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	ctx := t.Context()
	random := rand.New(rand.NewPCG(1, 2))
	values := checkedValues()
	good, bad := 0, 0
	check := func(n int, template campaign.Template, parameters string) {
		t.Helper()
		slots, _ := json.Marshal(append([]campaign.Slot{}, template.Slots...))
		parts, _ := json.Marshal(append([]campaign.Part{}, template.Parts...))
		var problems []string
		if err := tx.QueryRow(ctx, `SELECT campaign.parameter_problems($1, $2, $3)`, slots, parts, parameters).Scan(&problems); err != nil {
			t.Fatalf("template %d, %s: %v", n, parameters, err)
		}
		var want campaign.Parameters
		err := want.UnmarshalJSON([]byte(parameters))
		reasons := []campaign.Problem{}
		if err == nil {
			reasons = template.Check(want)
		}
		if refused := err != nil || len(reasons) > 0; refused != (len(problems) > 0) {
			t.Errorf("template %d, %.200s\npackage campaign: %v %v\nthe database: %q", n, parameters, err, reasons, problems)
		} else if refused {
			bad++
		} else {
			good++
		}
		// Texts are told in the same words.
		if err == nil && len(reasons) == 1 && len(problems) == 1 && reasons[0].String() != problems[0] && strings.Contains(reasons[0].Reason, "long") {
			t.Errorf("template %d: %q and %q", n, reasons[0], problems[0])
		}
	}
	for n, template := range checkedTemplates() {
		check(n, template, `{}`)
		check(n, template, `{"body.9":"x"}`)
		for _, value := range values {
			for _, slot := range template.Slots {
				others := []string{fmt.Sprintf("%q:%s", slot.Key, value)}
				for _, other := range template.Slots {
					if other.Key != slot.Key {
						others = append(others, fmt.Sprintf(`%q:"A1"`, other.Key))
					}
				}
				check(n, template, "{"+strings.Join(others, ",")+"}")
			}
		}
		for range 200 {
			var given []string
			for _, slot := range template.Slots {
				if random.IntN(8) > 0 {
					given = append(given, fmt.Sprintf("%q:%s", slot.Key, values[random.IntN(len(values))]))
				}
			}
			check(n, template, "{"+strings.Join(given, ",")+"}")
		}
	}
	if good < 100 || bad < 1000 {
		t.Errorf("only %d were good and %d bad", good, bad)
	}
	// A file of the caller's own machine is nothing that a daemon could read.
	var problems []string
	err := tx.QueryRow(ctx, `SELECT campaign.parameter_problems('[{"key":"header","kind":"image","required":true}]', '[]', '{"header":{"image":{"file":"./a.jpg"}}}')`).Scan(&problems)
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0], "file") {
		t.Errorf("%q, %v", problems, err)
	}
}

// What a function in the database makes of a number is what package phone makes
// of it: above all, whom the pause of marketing to the US covers.
func TestDatabaseReadsNumbersAsPackagePhone(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	ctx := t.Context()
	var stored []string
	if err := tx.QueryRow(ctx, `SELECT array_agg(prefix || ' ' || country || ' ' || nanp ORDER BY prefix COLLATE "C") FROM campaign.number_prefixes`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, p := range phone.Prefixes() {
		known = append(known, p.Digits+" "+p.Country+" "+p.NANP)
	}
	if !slices.Equal(stored, known) {
		t.Errorf("the table of the database differs from phone.Prefixes: a new migration must bring it up to date\n%v\n%v", stored, known)
	}
	for _, number := range []string{
		"+12125550123", "+13575550123", "+12045550123", "+17875550123", "+18765550123", "+4915112345678", "+447400123456", "+77011234567", "+79161234567",
		"+5511987654321", "+551187654321", "+551132123456", "+5215512345678", "+525512345678", "+5491123456789", "+541123456789", "+919876543210", "+6581234567", "+390612345678",
	} {
		want, err := phone.Parse(number, "")
		if err != nil {
			t.Fatalf("%s: %v", number, err)
		}
		var e164, key, country, nanp string
		if err := tx.QueryRow(ctx, `SELECT phone, match_key, country, nanp FROM campaign.read_number($1, '')`, number).Scan(&e164, &key, &country, &nanp); err != nil {
			t.Fatalf("%s: %v", number, err)
		}
		if e164 != want.E164 || key != phone.MatchKey(want.E164) || country != want.Country || nanp != want.NANP {
			t.Errorf("%s: the database has %s %s %s %s, package phone %s %s %s %s", number, e164, key, country, nanp, want.E164, phone.MatchKey(want.E164), want.Country, want.NANP)
		}
	}
}
