package audience_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

const wholeSpec = `
name: spring-sale-2026            # unique together with key
key: 2026-04-01
channel: sales-eu
template: {name: spring_sale, language: {from: language, default: en-us}}
audience: {file: vips.csv, country: de}
parameters:
  header: {image: {link: https://cdn.example/banner.jpg}}
  body.1: {column: first_name, default: there}
  body.2: 25
  body.3: {image: {column: picture}}
  body.4: {document: {file: ./terms.pdf, filename: Terms.pdf}}
  body.5: {location: {latitude: 52.5, longitude: "13.4", name: Berlin}}
  button.0: {column: voucher}
schedule: {at: 2026-04-01T09:00:00+02:00, not_after: "2026-04-03 20:00+02:00"}
rate: 3000/min
on_unknown: resend
us_marketing: attempt
us_territories: skip
retry: {code_131049: {first: 24h, factor: 3, attempts: 2}}
`

func text(s string) *campaign.Value { return &campaign.Value{Text: s} }

func TestParseSpecReadsEveryKey(t *testing.T) {
	t.Parallel()
	got, err := audience.ParseSpec([]byte(wholeSpec), "/srv/campaigns")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 4, 1, 7, 0, 0, 0, time.UTC)
	end := time.Date(2026, 4, 3, 18, 0, 0, 0, time.UTC)
	there := "there"
	want := campaign.Spec{
		Name: "spring-sale-2026", Key: "2026-04-01", Channel: "sales-eu",
		Template: campaign.TemplateRef{Name: "spring_sale", Language: "en_US", LanguageFrom: "language"},
		Audience: campaign.Audience{File: filepath.FromSlash("/srv/campaigns/vips.csv"), Country: "DE"},
		Parameters: map[string]campaign.ParameterSource{
			"header":   {Constant: &campaign.Value{Media: &campaign.Media{Kind: campaign.SlotImage, Link: "https://cdn.example/banner.jpg"}}},
			"body.1":   {Column: "first_name", Default: &there},
			"body.2":   {Constant: text("25")},
			"body.3":   {Column: "picture", Media: campaign.SlotImage},
			"body.4":   {Constant: &campaign.Value{Media: &campaign.Media{Kind: campaign.SlotDocument, File: filepath.FromSlash("/srv/campaigns/terms.pdf"), Filename: "Terms.pdf"}}},
			"body.5":   {Constant: &campaign.Value{Location: &campaign.Location{Latitude: "52.5", Longitude: "13.4", Name: "Berlin"}}},
			"button.0": {Column: "voucher"},
		},
		Schedule: campaign.Schedule{At: &at, NotAfter: &end}, Rate: 50,
		OnUnknown: "resend", USMarketing: "attempt", USTerritories: "skip",
		Retry: map[string]campaign.Retry{"131049": {First: 24 * time.Hour, Factor: 3, Attempts: 2, Jitter: 0.1}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

const leastSpec = `
name: n
channel: c
template: {name: t, language: en}
audience: {list: l}
`

func TestParseSpecFillsInDefaults(t *testing.T) {
	t.Parallel()
	got, err := audience.ParseSpec([]byte(leastSpec), "")
	if err != nil {
		t.Fatal(err)
	}
	want := campaign.Spec{Name: "n", Channel: "c", Template: campaign.TemplateRef{Name: "t", Language: "en"},
		Audience: campaign.Audience{List: "l"}, OnUnknown: "hold", USMarketing: "skip", USTerritories: "allow"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseSpecReadsJSON(t *testing.T) {
	t.Parallel()
	got, err := audience.ParseSpec([]byte("{\n\t\"name\": \"n \\ud83d\\ude00\", \"channel\": \"c\", \"rate\": 2.5,\n\t\"template\": {\"name\": \"t\", \"language\": \"en\"}, \"audience\": {\"list\": \"l\"}, \"parameters\": {\"body.1\": 7}}"), "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "n 😀" || got.Rate != 2.5 || got.Parameters["body.1"].Constant.Text != "7" {
		t.Errorf("got %+v", got)
	}
}

func TestParseSpecRefuses(t *testing.T) {
	t.Parallel()
	with := func(line string) string { return leastSpec + line + "\n" }
	for name, c := range map[string]struct {
		file string
		want string // the message begins with it
		hint string // the hint contains it
	}{
		"nothing":             {"", "the campaign file is empty", "name, channel"},
		"only a comment":      {"# soon\n", "the campaign file is empty", ""},
		"not YAML":            {"name: a: b", "the campaign file is not YAML", ""},
		"a list":              {"- a", "line 1: is not a mapping", ""},
		"two documents":       {leastSpec + "---\nname: b\n", "the campaign file holds more than one document", ""},
		"no name":             {"channel: c\ntemplate: {name: t, language: en}\naudience: {list: l}", "name is missing", "name:"},
		"no channel":          {"name: n\ntemplate: {name: t, language: en}\naudience: {list: l}", "channel is missing", "channel:"},
		"no template":         {"name: n\nchannel: c\naudience: {list: l}", "template is missing", "language"},
		"no audience":         {"name: n\nchannel: c\ntemplate: {name: t, language: en}", "audience is missing", "list"},
		"unknown key":         {with("chanel: x"), `line 6: unknown key "chanel"`, `did you mean "channel"?`},
		"unknown nested key":  {strings.Replace(leastSpec, "list: l", "lists: l", 1), `line 5: audience: unknown key "lists"`, `did you mean "list"?`},
		"a key twice":         {with("name: b"), "line 6: name: is given twice", ""},
		"merge key":           {with("<<: {rate: 5}"), "line 6: a key is not a plain word", "merge"},
		"empty name":          {strings.Replace(leastSpec, "name: n", "name:", 1), "line 2: name: is empty", ""},
		"blank name":          {strings.Replace(leastSpec, "name: n", `name: " "`, 1), "line 2: name: is blank", ""},
		"name of two lines":   {strings.Replace(leastSpec, "name: n", `name: "a\nb"`, 1), "line 2: name: contains a control character", ""},
		"name is a mapping":   {strings.Replace(leastSpec, "name: n", "name: {a: b}", 1), "line 2: name: is not a plain value", ""},
		"no language":         {strings.Replace(leastSpec, ", language: en", "", 1), "line 4: template: language is missing", "en_US"},
		"no language default": {strings.Replace(leastSpec, "language: en", "language: {from: language}", 1), "line 4: template.language: needs both", "default"},
		"language":            {strings.Replace(leastSpec, "language: en", "language: english", 1), "line 4: template.language: not a language code", ""},
		"list and file":       {strings.Replace(leastSpec, "list: l", "list: l, file: f", 1), "line 5: audience: list and file are both given", ""},
		"neither":             {strings.Replace(leastSpec, "list: l", "", 1), "line 5: audience: list and file are both missing", ""},
		"country of a list":   {strings.Replace(leastSpec, "list: l", "list: l, country: DE", 1), "line 5: audience.country: goes with file only", ""},
		"country":             {strings.Replace(leastSpec, "list: l", "file: f, country: UK", 1), "line 5: audience.country: unknown country", ""},
		"window":              {with("schedule: {window: mornings}"), `line 6: schedule.window: "mornings" is no window: write it as 09:00-20:00`, ""},
		"window of no hours":  {with("schedule: {window: 09:00-09:00}"), `line 6: schedule.window: "09:00-09:00" is open at no time`, ""},
		"window past a day":   {with("schedule: {window: 22:00-26:00}"), `line 6: schedule.window: "22:00-26:00" is beyond midnight`, ""},
		"days":                {with("schedule: {days: [mon, tues]}"), `line 6: schedule.days: "tues" is no day`, "mon-fri"},
		"no days":             {with("schedule: {days: []}"), "line 6: schedule.days: no day is named", "mon-fri"},
		"cap":                 {with("frequency_cap: 2 a week"), `line 6: frequency_cap: "2 a week" is no cap`, "2/7d"},
		"cap of nothing":      {with("frequency_cap: 0/7d"), "line 6: frequency_cap: 0 messages are no cap", ""},
		"cap for ever":        {with("frequency_cap: 2/999d"), `line 6: frequency_cap: "999d" is no time for a cap`, ""},
		"cap without a time":  {with("frequency_cap: {messages: 2}"), "line 6: frequency_cap: needs both messages and per", ""},
		"cap of a half":       {with("frequency_cap: {messages: 1.5, per: 7d}"), "line 6: frequency_cap.messages: is not a whole number", ""},
		"cap then what":       {with("frequency_cap: {messages: 2, per: 7d, then: wait}"), `line 6: frequency_cap.then: "wait" is none of skip, defer`, ""},
		"timezone":            {with("schedule: {timezone: recipient}"), "line 6: schedule.timezone: recipient goes with a window", "IANA"},
		"no such timezone":    {with("schedule: {timezone: Berlin}"), "line 6: schedule.timezone: is not a time zone", "Europe/Berlin"},
		"timezone to be set":  {with("schedule: {timezone: Factory}"), "line 6: schedule.timezone: is not a time zone", "Europe/Berlin"},
		"cron":                {with("schedule: {cron: '0 9 * * *'}"), "line 6: schedule.cron: needs a time zone", "Europe/Berlin"},
		"cron and at":         {with("schedule: {cron: '0 9 * * *', timezone: UTC, at: 2026-04-01T09:00:00Z}"), "line 6: schedule.at: goes without cron only", ""},
		"end without cron":    {with("schedule: {end: 2026-04-01T09:00:00Z}"), "line 6: schedule.end: goes with cron only", "not_after"},
		"late":                {with("schedule: {late: soon}"), "line 6: schedule.late: is not a duration", ""},
		"unknown moment":      {with(`key: "{dat}"`), "line 6: key: {dat} is not known", "{{like this}}"},
		"moment of an hour":   {with(`parameters: {body.1: "{date+1h}"}`), "line 6: parameters.body.1: {date+1h} is not known", "{date+1d}"},
		"moment unquoted":     {with("key: {date}"), "line 6: key: is not a plain value", "quotes"},
		"time without zone":   {with("schedule: {at: 2026-04-01T09:00:00}"), "line 6: schedule.at: has no time zone", "+02:00"},
		"only a date":         {with("schedule: {at: 2026-04-01}"), "line 6: schedule.at: has no time zone", ""},
		"no such day":         {with("schedule: {at: 2027-02-30T09:00, timezone: UTC}"), "line 6: schedule.at: its day does not exist", "calendar"},
		"no such day, zoned":  {with("schedule: {at: 2027-02-30T09:00:00+01:00}"), "line 6: schedule.at: its day does not exist", ""},
		"no such day, bare":   {with("schedule: {at: 2027-04-31}"), "line 6: schedule.at: its day does not exist", ""},
		"no such month":       {with("schedule: {not_after: 2027-13-01 09:00, timezone: UTC}"), "line 6: schedule.not_after: its month does not exist", ""},
		"no such hour":        {with("schedule: {at: '2027-02-01T25:00', timezone: UTC}"), "line 6: schedule.at: its hour does not exist", ""},
		"a date on a clock":   {with("schedule: {at: 2027-02-01, timezone: UTC}"), "line 6: schedule.at: has no time of day", "T09:00"},
		"not a time":          {with("schedule: {at: tomorrow}"), "line 6: schedule.at: is not a time", ""},
		"ends before it began": {with("schedule: {at: 2026-04-02T09:00:00Z, not_after: 2026-04-01T09:00:00Z}"),
			"line 6: schedule.not_after: is not after schedule.at", ""},
		"rate unit":       {with("rate: 5/day"), `line 6: rate: unknown unit "day"`, "50/s"},
		"rate":            {with("rate: fast"), "line 6: rate: is not a rate", "50/s"},
		"negative rate":   {with("rate: -5"), "line 6: rate: is not a rate", ""},
		"rate zero":       {with("rate: 0"), "line 6: rate: is zero", "pause"},
		"rate NaN":        {with("rate: .nan"), "line 6: rate: is not a rate", ""},
		"on_unknown":      {with("on_unknown: resent"), `line 6: on_unknown: "resent" is none of`, `did you mean "resend"?`},
		"us_marketing":    {with("us_marketing: send"), `line 6: us_marketing: "send" is none of`, "attempt"},
		"us_territories":  {with("us_territories: no"), `line 6: us_territories: "no" is none of`, "allow"},
		"retry key":       {with("retry: {131049: {first: 24h}}"), `line 6: retry: unknown key "131049"`, "code_131049"},
		"retry first":     {with("retry: {code_131049: {factor: 2}}"), "line 6: retry.code_131049: first is missing", "24h"},
		"retry duration":  {with("retry: {code_131049: {first: 24}}"), "line 6: retry.code_131049.first: is not a duration", "24h"},
		"retry factor":    {with("retry: {code_131049: {first: 24h, factor: 0.5}}"), "line 6: retry.code_131049.factor: is not a number from 1 to 100", ""},
		"retry attempts":  {with("retry: {code_131049: {first: 24h, attempts: 2.5}}"), "line 6: retry.code_131049.attempts: is not a whole number", ""},
		"parameter list":  {with("parameters: {body.1: [a]}"), "line 6: parameters.body.1: is a list", "column"},
		"parameter null":  {with("parameters: {body.1: }"), "line 6: parameters.body.1: is empty", ""},
		"two sources":     {with("parameters: {header: {column: a, image: {id: '1'}}}"), "line 6: parameters.header: has more than one source", ""},
		"no source":       {with("parameters: {header: {default: a}}"), "line 6: parameters.header: column is missing", "constant"},
		"two media":       {with("parameters: {header: {image: {id: '1', link: https://x.example/}}}"), "line 6: parameters.header.image: needs exactly one of", ""},
		"image filename":  {with("parameters: {header: {image: {id: '1', filename: a}}}"), `line 6: parameters.header.image: unknown key "filename"`, ""},
		"half a location": {with("parameters: {header: {location: {latitude: 1}}}"), "line 6: parameters.header.location: needs latitude and longitude", ""},
		"endless alias":   {"name: &a [*a]\nchannel: c\ntemplate: t\naudience: l", "line 1: name: is not a plain value", ""},
		"null byte":       {strings.Replace(leastSpec, "name: n", `name: "a\0b"`, 1), "line 2: name: is not valid text", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := audience.ParseSpec([]byte(c.file), "")
			var refused *campaign.Error
			if !errors.As(err, &refused) {
				t.Fatalf("spec %+v, error %v; want a refusal", spec, err)
			}
			if refused.Kind != campaign.Invalid {
				t.Errorf("kind %q", refused.Kind)
			}
			if !strings.HasPrefix(refused.Message, c.want) || !strings.Contains(refused.Hint, c.hint) {
				t.Errorf("message %q, hint %q\nwant    %q …, hint with %q", refused.Message, refused.Hint, c.want, c.hint)
			}
		})
	}
}

func TestSpecHashIsOfTheContent(t *testing.T) {
	t.Parallel()
	parse := func(file, dir string) campaign.Spec {
		t.Helper()
		spec, err := audience.ParseSpec([]byte(file), dir)
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	base := parse(wholeSpec, "/srv")
	for name, same := range map[string]campaign.Spec{
		"another folder":      parse(wholeSpec, "/home"),
		"another time zone":   parse(strings.Replace(wholeSpec, "2026-04-01T09:00:00+02:00", "2026-04-01T07:00:00Z", 1), "/srv"),
		"another rate unit":   parse(strings.Replace(wholeSpec, "3000/min", "50/s", 1), "/srv"),
		"another spelling":    parse(strings.Replace(wholeSpec, "en-us", "en_US", 1), "/srv"),
		"stored and read":     roundTrip(t, base),
		"a comment less":      parse(strings.Replace(wholeSpec, "# unique together with key", "", 1), "/srv"),
		"another number form": parse(strings.Replace(wholeSpec, ", factor: 3", ", factor: 3.0", 1), "/srv"),
	} {
		if same.Hash() != base.Hash() || len(same.Differences(base)) != 0 {
			t.Errorf("%s: another hash, differences %v", name, same.Differences(base))
		}
	}
	for _, c := range []struct{ before, after, key string }{
		{"spring_sale", "summer_sale", "template.name"},
		{"first: 24h", "first: 25h", "retry"},
		{"default: there", "default: friend", "parameters.body.1"},
		{"3000/min", "2999/min", "rate"},
		{"vips.csv", "other.csv", "audience.file"},
		{"Terms.pdf", "Terms2.pdf", "parameters.body.4"},
		{"20:00+02:00", "20:30+02:00", "schedule.not_after"},
		{"us_marketing: attempt", "us_marketing: skip", "us_marketing"},
	} {
		changed := parse(strings.Replace(wholeSpec, c.before, c.after, 1), "/srv")
		if changed.Hash() == base.Hash() {
			t.Errorf("%s: the same hash", c.after)
		}
		if got := changed.Differences(base); !reflect.DeepEqual(got, []string{c.key}) {
			t.Errorf("%s: differences %v, want %s", c.after, got, c.key)
		}
	}
}

func roundTrip(t *testing.T, spec campaign.Spec) campaign.Spec {
	t.Helper()
	stored, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var read campaign.Spec
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// What is read can be stored, read back and hashed; everything else is a refusal
// of the right kind.
func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(wholeSpec))
	f.Add([]byte(leastSpec))
	f.Add([]byte(`{"name":"n","channel":"c","template":{"name":"t","language":"en"},"audience":{"list":"l"}}`))
	f.Add([]byte("name: &a [*a]"))
	f.Add([]byte("a: &x {b: *x}\n<<: *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := audience.ParseSpec(data, "dir")
		if err != nil {
			var refused *campaign.Error
			if !errors.As(err, &refused) || refused.Message == "" || refused.Kind != campaign.Invalid {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if spec.Name == "" || spec.Channel == "" || spec.Template.Name == "" || spec.Template.Language == "" ||
			(spec.Audience.List == "") == (spec.Audience.File == "") {
			t.Fatalf("incomplete: %+v", spec)
		}
		again := roundTrip(t, spec)
		if again.Hash() != spec.Hash() || len(spec.Differences(again)) != 0 {
			t.Fatalf("changes when it is stored: %v", spec.Differences(again))
		}
	})
}
