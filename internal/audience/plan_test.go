package audience_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

func template(language string, slots ...campaign.Slot) campaign.Template {
	body := "Hello"
	for _, s := range slots {
		if name, ok := strings.CutPrefix(s.Key, "body."); ok {
			body += " {{" + name + "}}"
		}
	}
	ids := map[string]campaign.TemplateID{"en_US": 1, "de": 2, "de_AT": 3, "fr": 4, "pt_BR": 5}
	return campaign.Template{ID: ids[language], ChannelID: 1, Name: "promo", Language: language, Status: campaign.TemplateApproved,
		Category: campaign.CategoryMarketing, Format: campaign.FormatPositional, Sendable: true, Slots: slots,
		Parts: []campaign.Part{{Kind: campaign.PartBody, Text: body}}}
}

func slot(key string) campaign.Slot {
	return campaign.Slot{Key: key, Kind: campaign.SlotText, Required: true}
}

func input(change func(*audience.PlannerInput)) audience.PlannerInput {
	in := audience.PlannerInput{
		Spec: campaign.Spec{Name: "spring", Channel: "c", Template: campaign.TemplateRef{Name: "promo", Language: "en_US"},
			Audience: campaign.Audience{List: "vips"}, OnUnknown: "hold", USMarketing: "skip", USTerritories: "allow",
			Parameters: map[string]campaign.ParameterSource{"body.1": {Column: "first_name"}, "body.2": {Constant: text("SALE")}}},
		Channel:   campaign.Channel{ID: 1, Name: "c", BaseURL: "https://waba-v2.360dialog.io"},
		Templates: []campaign.Template{template("en_US", slot("body.1"), slot("body.2"))},
		List:      campaign.List{ID: 1, Name: "vips", Columns: []string{"first_name", "voucher"}},
		Now:       time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC),
	}
	if change != nil {
		change(&in)
	}
	return in
}

func planner(t *testing.T, change func(*audience.PlannerInput)) *audience.Planner {
	t.Helper()
	p, err := audience.NewPlanner(input(change))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func person(phone string, change func(*campaign.Contact)) *campaign.Contact {
	yes := true
	c := &campaign.Contact{Phone: phone, MatchKey: phone, Country: "DE", OptIn: &yes, Attributes: map[string]string{"first_name": "Ann"}}
	if change != nil {
		change(c)
	}
	return c
}

func decide(t *testing.T, p *audience.Planner, c *campaign.Contact, row int64) campaign.PlannedMessage {
	t.Helper()
	m, err := p.Decide(c, row)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPlannerRefusesWhatWouldFailForEverybody(t *testing.T) {
	t.Parallel()
	none := "none"
	for name, c := range map[string]struct {
		change func(*audience.PlannerInput)
		kind   campaign.Kind
		want   string
		hint   string
	}{
		"no such template": {func(in *audience.PlannerInput) { in.Spec.Template.Name = "prono" }, campaign.NotFound, `channel "c" has no template "prono"`, "template sync"},
		"deleted template": {func(in *audience.PlannerInput) { in.Templates[0].Status = "DELETED" }, campaign.NotFound, `channel "c" has no template "promo"`, ""},
		"no such language": {func(in *audience.PlannerInput) { in.Spec.Template.Language = "fr" }, campaign.NotFound, `template "promo" has no language "fr"; it has en_US`, ""},
		"paused":           {func(in *audience.PlannerInput) { in.Templates[0].Status = "PAUSED" }, campaign.Guarded, `template "promo" (en_US) is PAUSED`, "template sync"},
		"a kind not yet alive": {func(in *audience.PlannerInput) {
			in.Templates[0].Sendable = false
			in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "button.0", Kind: campaign.SlotFlow})
		}, campaign.Guarded, `template "promo" (en_US) cannot be sent by this version: it has flow`, ""},
		"slot without a source": {func(in *audience.PlannerInput) { delete(in.Spec.Parameters, "body.1") }, campaign.Invalid,
			`template "promo" (en_US) has 2 parameters; no value is given for body.1`, "body.1: {column"},
		"source without a slot": {func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.3"] = campaign.ParameterSource{Constant: text("x")}
		}, campaign.Invalid,
			`parameters.body.3: template "promo" (en_US) has no such slot`, "body.1"},
		"missing column": {func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.1"] = campaign.ParameterSource{Column: "code", Default: &none}
		}, campaign.Invalid, `template "promo" has 2 parameters; list "vips" provides 1 (column "code" is missing)`, "first_name, voucher"},
		"misspelt column": {func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.1"] = campaign.ParameterSource{Column: "firstname"}
		}, campaign.Invalid, `template "promo" has 2 parameters; list "vips" provides 1`, `did you mean "first_name"?`},
		"missing language column": {func(in *audience.PlannerInput) { in.Spec.Template.LanguageFrom = "lang" }, campaign.Invalid,
			`template.language.from: list "vips" has no column "lang"`, ""},
		"constant that breaks a rule": {func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.2"] = campaign.ParameterSource{Constant: text("two\nlines")}
		}, campaign.Invalid, "parameters.body.2: contains a line break", ""},
		"text for an image": {func(in *audience.PlannerInput) {
			in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true})
			in.Spec.Parameters["header"] = campaign.ParameterSource{Column: "voucher"}
		}, campaign.Invalid, `parameters.header: template "promo" (en_US) takes image there, not a text`, "{image: {column: voucher}}"},
		"video for an image": {func(in *audience.PlannerInput) {
			in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true})
			in.Spec.Parameters["header"] = campaign.ParameterSource{Column: "voucher", Media: campaign.SlotVideo}
		}, campaign.Invalid, `parameters.header: template "promo" (en_US) takes image there, not video`, ""},
		"image for a text": {func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.1"] = campaign.ParameterSource{Column: "voucher", Media: campaign.SlotImage}
		}, campaign.Invalid, `parameters.body.1: template "promo" (en_US) takes a text there, not image`, ""},
		"constant video for an image": {func(in *audience.PlannerInput) {
			in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true})
			in.Spec.Parameters["header"] = campaign.ParameterSource{Constant: &campaign.Value{Media: &campaign.Media{Kind: campaign.SlotVideo, ID: "1"}}}
		}, campaign.Invalid, "parameters.header: takes an image, not a video", ""},
		"local file without an upload": {func(in *audience.PlannerInput) {
			in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true})
			in.Spec.Parameters["header"] = campaign.ParameterSource{Constant: &campaign.Value{Media: &campaign.Media{Kind: campaign.SlotImage, File: "a.png"}}}
		}, campaign.Invalid, "parameters.header: a local file cannot be uploaded here", "link"},
		"hurried retry": {func(in *audience.PlannerInput) {
			in.Spec.Retry = map[string]campaign.Retry{"131049": {First: time.Hour}}
		}, campaign.Guarded, "retry.code_131049.first is 1h0m0s", "24h"},
		"over before it begins": {func(in *audience.PlannerInput) { in.Spec.Schedule.NotAfter = &in.Now }, campaign.Guarded, "schedule.not_after has passed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := audience.NewPlanner(input(c.change))
			var refused *campaign.Error
			if !errors.As(err, &refused) {
				t.Fatalf("error %v, want a refusal", err)
			}
			if refused.Kind != c.kind || !strings.HasPrefix(refused.Message, c.want) || !strings.Contains(refused.Hint, c.hint) {
				t.Errorf("%s: %q, hint %q\nwant %s: %q …, hint with %q", refused.Kind, refused.Message, refused.Hint, c.kind, c.want, c.hint)
			}
		})
	}
}

func TestPlannerAllowsAHurriedRetryOnLoopback(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://127.0.0.1:9090", "http://localhost:9090", "http://[::1]:9090"} {
		planner(t, func(in *audience.PlannerInput) {
			in.Spec.Retry = map[string]campaign.Retry{"131049": {First: time.Second}}
			in.Channel.BaseURL = base
		})
	}
	_, err := audience.NewPlanner(input(func(in *audience.PlannerInput) {
		in.Spec.Retry = map[string]campaign.Retry{"131049": {First: time.Second}}
		in.Channel.BaseURL = "https://localhost.example"
	}))
	if !errors.Is(err, campaign.ErrGuard) {
		t.Errorf("error %v, want a guard", err)
	}
}

func TestPlannerUploadsLocalFiles(t *testing.T) {
	t.Parallel()
	p := planner(t, func(in *audience.PlannerInput) {
		in.Templates[0].Slots = append(in.Templates[0].Slots, campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true})
		in.Spec.Parameters["header"] = campaign.ParameterSource{Constant: &campaign.Value{Media: &campaign.Media{Kind: campaign.SlotImage, File: "/srv/a.png"}}}
		in.Upload = func(m *campaign.Media) (string, error) { return "media-of-" + m.File[len("/srv/"):], nil }
	})
	want := `{"body.2":"SALE","header":{"image":{"id":"media-of-a.png"}}}`
	if got := string(p.Constants()); got != want {
		t.Errorf("constants %s, want %s", got, want)
	}
}

func TestPlannerStoresOnlyWhatVaries(t *testing.T) {
	t.Parallel()
	there := "there"
	p := planner(t, func(in *audience.PlannerInput) {
		in.Spec.Parameters["body.1"] = campaign.ParameterSource{Column: "first_name", Default: &there}
	})
	if got, want := string(p.Constants()), `{"body.2":"SALE"}`; got != want {
		t.Errorf("constants %s, want %s", got, want)
	}
	if got, want := string(decide(t, p, person("+491510000001", nil), 2).Parameters), `{"body.1":"Ann"}`; got != want {
		t.Errorf("parameters %s, want %s", got, want)
	}
	blank := person("+491510000002", func(c *campaign.Contact) { c.Attributes["first_name"] = "  " })
	if got, want := string(decide(t, p, blank, 3).Parameters), `{"body.1":"there"}`; got != want {
		t.Errorf("parameters %s, want the default %s", got, want)
	}
	plan := p.Plan(campaign.Launched{Eligible: 2})
	if len(plan.Previews) != 2 || plan.Previews[0].Text != "Hello Ann SALE" || plan.Previews[1].Text != "Hello there SALE" {
		t.Errorf("previews %+v", plan.Previews)
	}
}

func TestPlannerSkipsInAFixedOrder(t *testing.T) {
	t.Parallel()
	gone := time.Now()
	optedOut := func(c *campaign.Contact) { c.OptedOutAt = &gone }
	american := func(c *campaign.Contact) { c.NANP = "us" }
	nameless := func(c *campaign.Contact) { c.Attributes = nil }
	all := func(c *campaign.Contact) { optedOut(c); american(c); nameless(c) }
	alias := func(change func(*campaign.Contact)) func(*campaign.Contact) {
		return func(c *campaign.Contact) {
			c.MatchKey = "+5541987654321"
			if change != nil {
				change(c)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*audience.PlannerInput)
		people []func(*campaign.Contact)
		want   []string
	}{
		"eligible":            {nil, []func(*campaign.Contact){nil}, []string{""}},
		"opted out":           {nil, []func(*campaign.Contact){optedOut}, []string{campaign.ReasonOptedOut}},
		"american":            {nil, []func(*campaign.Contact){american}, []string{campaign.ReasonUSMarketing}},
		"nameless":            {nil, []func(*campaign.Contact){nameless}, []string{campaign.ReasonBadParameters}},
		"everything":          {nil, []func(*campaign.Contact){all}, []string{campaign.ReasonOptedOut}},
		"american, attempted": {func(in *audience.PlannerInput) { in.Spec.USMarketing = "attempt" }, []func(*campaign.Contact){american}, []string{""}},
		"utility": {func(in *audience.PlannerInput) { in.Templates[0].Category = campaign.CategoryUtility },
			[]func(*campaign.Contact){optedOut, american}, []string{"", ""}},
		"territories allowed": {nil, []func(*campaign.Contact){func(c *campaign.Contact) { c.NANP = "us_territory" }}, []string{""}},
		"territories skipped": {func(in *audience.PlannerInput) { in.Spec.USTerritories = "skip" },
			[]func(*campaign.Contact){func(c *campaign.Contact) { c.NANP = "us_territory" }}, []string{campaign.ReasonUSMarketing}},
		"two forms":                    {nil, []func(*campaign.Contact){alias(nil), alias(nil), alias(all)}, []string{"", campaign.ReasonDuplicate, campaign.ReasonDuplicate}},
		"opted out under another form": {nil, []func(*campaign.Contact){alias(optedOut), alias(nil)}, []string{campaign.ReasonOptedOut, campaign.ReasonDuplicate}},
		"the other form has the name":  {nil, []func(*campaign.Contact){alias(nameless), alias(nil), alias(nil)}, []string{campaign.ReasonBadParameters, "", campaign.ReasonDuplicate}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planner(t, c.change)
			var got []string
			for i, change := range c.people {
				got = append(got, decide(t, p, person(fmt.Sprintf("+49151000000%d", i), change), int64(i+2)).Skip)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("skipped %q, want %q", got, c.want)
			}
		})
	}
}

func TestPlannerNamesTheRowThatBreaksARule(t *testing.T) {
	t.Parallel()
	p := planner(t, nil)
	for i := range 30 {
		c := person(fmt.Sprintf("+49151000%04d", i), func(c *campaign.Contact) { c.Attributes["first_name"] = "A\nB" })
		if m := decide(t, p, c, int64(i+2)); m.Skip != campaign.ReasonBadParameters || len(m.Parameters) != 0 {
			t.Fatalf("%+v", m)
		}
	}
	examples := p.Plan(campaign.Launched{}).Examples[campaign.ReasonBadParameters]
	want := campaign.SkipExample{Row: 2, Phone: "+491510000000", Column: "first_name", Problem: "body.1: contains a line break"}
	if len(examples) != 20 || examples[0] != want {
		t.Errorf("%d examples, the first %+v, want %+v", len(examples), examples[0], want)
	}
}

func TestPlannerChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	slots := []campaign.Slot{slot("body.1"), slot("body.2")}
	languages := func(in *audience.PlannerInput) {
		in.Spec.Template.LanguageFrom = "language"
		in.Templates = []campaign.Template{template("de", slots...), template("de_AT", slots...), template("en_US", slots...), template("pt_BR", slots...)}
	}
	for spoken, want := range map[string]campaign.TemplateID{
		"": 1, "en_US": 1, "en-us": 1, "en_GB": 1, "de": 2, "de_CH": 2, "de_AT": 3, "pt": 5, "ja": 1, "DE": 2,
	} {
		p := planner(t, languages)
		if got := decide(t, p, person("+491510000001", func(c *campaign.Contact) { c.Language = spoken }), 2).TemplateID; got != want {
			t.Errorf("language %q gets template %d, want %d", spoken, got, want)
		}
	}
}

func TestPlannerStopsWhereALanguageThatSomebodySpeaksCannotBeSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		german campaign.Template
		want   string // "" means that the default is sent
	}{
		"paused": {func() campaign.Template {
			x := template("de", slot("body.1"), slot("body.2"))
			x.Status = "PAUSED"
			return x
		}(), "is PAUSED"},
		"another shape": {template("de", slot("body.1"), slot("body.2"), slot("body.3")), "no value is given for body.3"},
		"rejected":      {func() campaign.Template { x := template("de", slot("body.1")); x.Status = "REJECTED"; return x }(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planner(t, func(in *audience.PlannerInput) {
				in.Spec.Template.LanguageFrom = "language"
				in.Templates = append(in.Templates, c.german)
			})
			decide(t, p, person("+491510000001", func(c *campaign.Contact) { c.Language = "fr" }), 2)
			_, err := p.Decide(person("+491510000002", func(c *campaign.Contact) { c.Language = "de" }), 3)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("error %v", err)
			case c.want != "" && (!errors.Is(err, campaign.ErrTemplate) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestPlanHashCoversEveryDecision(t *testing.T) {
	t.Parallel()
	hash := func(change func(*audience.PlannerInput), people ...*campaign.Contact) string {
		t.Helper()
		p := planner(t, change)
		for i, c := range people {
			decide(t, p, c, int64(i+2))
		}
		return p.Hash()
	}
	ann, bob := person("+491510000001", nil), person("+491510000002", nil)
	base := hash(nil, ann, bob)
	if hash(nil, ann, bob) != base {
		t.Error("the same plan has two hashes")
	}
	other := map[string]string{"first_name": "Eve"}
	for name, h := range map[string]string{
		"one person less": hash(nil, ann),
		"another value":   hash(nil, ann, person(bob.Phone, func(c *campaign.Contact) { c.Attributes = other })),
		"one skipped":     hash(nil, ann, person(bob.Phone, func(c *campaign.Contact) { c.NANP = "us" })),
		"another text": hash(func(in *audience.PlannerInput) {
			in.Templates[0].Parts = []campaign.Part{{Kind: campaign.PartBody, Text: "Bye {{1}} {{2}}"}}
		}, ann, bob),
		"another constant": hash(func(in *audience.PlannerInput) {
			in.Spec.Parameters["body.2"] = campaign.ParameterSource{Constant: text("OTHER")}
		}, ann, bob),
	} {
		if h == base {
			t.Errorf("%s: the same hash", name)
		}
	}
}

func TestPlanTellsWhenItSends(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		channel, own float64
		eligible     int64
		first        time.Time
		last         *time.Time
	}{
		"no limit":            {0, 0, 1000, at, nil},
		"the channel's":       {10, 0, 601, at, new(at.Add(time.Minute))},
		"the campaign's":      {80, 10, 601, at, new(at.Add(time.Minute))},
		"the channel is less": {1, 10, 61, at, new(at.Add(time.Minute))},
	} {
		p := planner(t, func(in *audience.PlannerInput) {
			in.Channel.Rate, in.Spec.Rate, in.Spec.Schedule.At = c.channel, c.own, &at
		})
		plan := p.Plan(campaign.Launched{Eligible: c.eligible})
		if plan.FirstAt == nil || !plan.FirstAt.Equal(c.first) || (plan.LastAt == nil) != (c.last == nil) || c.last != nil && !plan.LastAt.Equal(*c.last) {
			t.Errorf("%s: %v to %v, want %v to %v", name, plan.FirstAt, plan.LastAt, c.first, c.last)
		}
	}
	if plan := planner(t, nil).Plan(campaign.Launched{}); plan.FirstAt != nil || plan.LastAt != nil {
		t.Errorf("nobody is eligible, and yet %v to %v", plan.FirstAt, plan.LastAt)
	}
	late := planner(t, func(in *audience.PlannerInput) {
		end := at.Add(10 * time.Second)
		in.Channel.Rate, in.Spec.Schedule = 1, campaign.Schedule{At: &at, NotAfter: &end}
	}).Plan(campaign.Launched{Eligible: 100})
	if len(late.Warnings) != 1 || !strings.Contains(late.Warnings[0], "about 90 messages would not be sent") {
		t.Errorf("warnings %q", late.Warnings)
	}
}

func BenchmarkDecide(b *testing.B) {
	p, err := audience.NewPlanner(input(nil))
	if err != nil {
		b.Fatal(err)
	}
	c := person("+491510000001", nil)
	b.ReportAllocs()
	for i := range b.N {
		c.MatchKey = fmt.Sprintf("+49151%07d", i)
		if _, err := p.Decide(c, int64(i)); err != nil {
			b.Fatal(err)
		}
	}
}
