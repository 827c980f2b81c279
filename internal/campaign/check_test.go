package campaign

import (
	"strings"
	"testing"
)

// sample is a template with one slot of every kind that can be filled.
func sample() *Template {
	return &Template{
		Name: "spring_sale", Language: "en_US", Format: FormatPositional, Sendable: true,
		Slots: []Slot{
			{"header", SlotImage, true},
			{"body.1", SlotText, true},
			{"body.2", SlotText, true},
			{"button.0", SlotQuickReply, false},
			{"button.1", SlotURL, true},
			{"button.2", SlotCopyCode, true},
		},
		Parts: []Part{
			{Kind: PartHeader, Format: "IMAGE"},
			{Kind: PartBody, Text: "Hello {{1}}, take {{2}} off. Bye {{1}}."},
			{Kind: PartFooter, Text: "Reply STOP to stop"},
			{Kind: PartButton, Format: "QUICK_REPLY", Index: 0, Text: "Stop"},
			{Kind: PartButton, Format: "URL", Index: 1, Text: "Shop", URL: "https://shop.example/{{1}}"},
			{Kind: PartButton, Format: "COPY_CODE", Index: 2, Text: "Copy code"},
		},
	}
}

func sampleParameters() Parameters {
	return Parameters{
		"header":   {Media: &Media{Kind: SlotImage, Link: "https://cdn.example/a.jpg"}},
		"body.1":   {Text: "Ann"},
		"body.2":   {Text: "25%"},
		"button.1": {Text: "p/1?x=%20"},
		"button.2": {Text: "25OFF"},
	}
}

func TestCheckAcceptsWhatFits(t *testing.T) {
	t.Parallel()

	if problems := sample().Check(sampleParameters()); problems != nil {
		t.Errorf("problems: %v", problems)
	}
	p := sampleParameters()
	p["button.0"] = Value{} // an empty column of an optional slot
	p["body.1"] = Value{Text: "Zoë  O'Neill 😀    x"}
	if problems := sample().Check(p); problems != nil {
		t.Errorf("problems: %v", problems)
	}
}

func TestCheckNamesSlotAndRule(t *testing.T) {
	t.Parallel()

	image := func(m Media) Value { return Value{Media: &m} }
	tests := map[string]struct {
		slot  string
		value Value
		want  string
	}{
		"Empty":             {"body.1", Value{}, "is empty"},
		"Blank":             {"body.1", Value{Text: " \u00a0 "}, "is blank"},
		"Newline":           {"body.1", Value{Text: "a\nb"}, "line break"},
		"CarriageReturn":    {"body.1", Value{Text: "a\rb"}, "line break"},
		"Tab":               {"body.1", Value{Text: "a\tb"}, "tab"},
		"FiveSpaces":        {"body.1", Value{Text: "a     b"}, "more than 4 spaces"},
		"NUL":               {"body.1", Value{Text: "a\x00b"}, "NUL"},
		"InvalidUTF8":       {"body.1", Value{Text: "a\xffb"}, "UTF-8"},
		"MediaInText":       {"body.1", image(Media{Kind: SlotImage, ID: "1"}), "takes a text"},
		"TextInMedia":       {"header", Value{Text: "https://x.example"}, "takes a medium"},
		"WrongMedia":        {"header", image(Media{Kind: SlotVideo, ID: "1"}), "takes an image, not a video"},
		"PlainHTTP":         {"header", image(Media{Kind: SlotImage, Link: "http://x.example/a"}), "https://"},
		"NoHost":            {"header", image(Media{Kind: SlotImage, Link: "https:///a"}), "no host"},
		"SpaceInLink":       {"header", image(Media{Kind: SlotImage, Link: "https://x.example/a b"}), "space"},
		"NothingInMedia":    {"header", image(Media{Kind: SlotImage}), "neither link nor id"},
		"TwoSources":        {"header", image(Media{Kind: SlotImage, ID: "1", Link: "https://x.example"}), "more than one"},
		"FilenameOfImage":   {"header", image(Media{Kind: SlotImage, ID: "1", Filename: "a.pdf"}), "only a document"},
		"SpaceInSuffix":     {"button.1", Value{Text: "a b"}, "space"},
		"NewlineInSuffix":   {"button.1", Value{Text: "a\nb"}, "control"},
		"QuoteInSuffix":     {"button.1", Value{Text: `a"b`}, "percent-encode"},
		"BarePercent":       {"button.1", Value{Text: "100%"}, "%25"},
		"LongURL":           {"button.1", Value{Text: strings.Repeat("a", 1980)}, "2001 characters long"},
		"CouponSign":        {"button.2", Value{Text: "25-OFF"}, "letters"},
		"CouponAccent":      {"button.2", Value{Text: "ÉTÉ"}, "letters"},
		"CouponLong":        {"button.2", Value{Text: "ABCDEFGHIJKLMNOP"}, "16 characters long, 15 at most"},
		"PayloadLong":       {"button.0", Value{Text: strings.Repeat("é", 257)}, "257 characters long"},
		"PayloadBlank":      {"button.0", Value{Text: " "}, "blank"},
		"UnknownSlot":       {"body.3", Value{Text: "x"}, `did you mean "body.1"`},
		"UnknownSlotSpelt":  {"Body-2", Value{Text: "x"}, `did you mean "body.2"`},
		"UnknownSlotFar":    {"voucher_code", Value{Text: "x"}, "it has header, body.1"},
		"BodyTooLong":       {"body.2", Value{Text: strings.Repeat("ü", 1000)}, "the body would be 1030 characters"},
		"RepeatedTwice":     {"body.1", Value{Text: strings.Repeat("ü", 501)}, "the body would be 1029 characters"},
		"EmptyMediaPointer": {"header", image(Media{}), "a medium of no kind"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := sampleParameters()
			p[test.slot] = test.value
			problems := sample().Check(p)
			if len(problems) != 1 {
				t.Fatalf("problems: %v, want one", problems)
			}
			if !strings.Contains(problems[0].Reason, test.want) {
				t.Errorf("reason %q, want it to contain %q", problems[0].Reason, test.want)
			}
			if text := test.value.Text; len(text) > 4 && strings.Contains(problems[0].Reason, text) {
				t.Errorf("reason %q holds the value", problems[0].Reason)
			}
		})
	}
}

func TestCheckLengthIsExact(t *testing.T) {
	t.Parallel()

	template := &Template{
		Slots: []Slot{{"header.1", SlotText, true}, {"body.first_name", SlotText, true}},
		Parts: []Part{
			{Kind: PartHeader, Format: "TEXT", Text: "Hi {{1}}!"},
			{Kind: PartBody, Text: "Hi {{ first_name }}!"},
		},
	}
	fits := Parameters{
		"header.1":        {Text: strings.Repeat("h", 56)},
		"body.first_name": {Text: strings.Repeat("b", 1020)},
	}
	if problems := template.Check(fits); problems != nil {
		t.Errorf("60 and 1024 characters: %v", problems)
	}
	tooLong := Parameters{
		"header.1":        {Text: strings.Repeat("h", 57)},
		"body.first_name": {Text: strings.Repeat("b", 1021)},
	}
	problems := template.Check(tooLong)
	if len(problems) != 2 || problems[0].Slot != "header.1" || problems[1].Slot != "body.first_name" {
		t.Errorf("61 and 1025 characters: %v", problems)
	}
}

func TestCheckMissing(t *testing.T) {
	t.Parallel()

	problems := sample().Check(nil)
	var slots []string
	for _, p := range problems {
		if p.Reason != "is missing" {
			t.Errorf("%s: reason %q", p.Slot, p.Reason)
		}
		slots = append(slots, p.Slot)
	}
	if got, want := strings.Join(slots, " "), "header body.1 body.2 button.1 button.2"; got != want {
		t.Errorf("slots %s, want %s", got, want)
	}
}

func TestCheckLocation(t *testing.T) {
	t.Parallel()

	template := &Template{Slots: []Slot{{"header", SlotLocation, true}}}
	tests := map[string]struct {
		location Location
		want     string
	}{
		"Right":         {Location{Latitude: "37.483307", Longitude: "-122.148981", Name: "Pier", Address: "1 Road"}, ""},
		"Edge":          {Location{Latitude: "-90", Longitude: "+180"}, ""},
		"LatitudeFar":   {Location{Latitude: "90.1", Longitude: "0"}, "latitude"},
		"LatitudeInf":   {Location{Latitude: "Inf", Longitude: "0"}, "latitude"},
		"LatitudeNone":  {Location{Longitude: "0"}, "latitude"},
		"LongitudeFar":  {Location{Latitude: "0", Longitude: "-181"}, "longitude"},
		"LongitudeHex":  {Location{Latitude: "0", Longitude: "0x10"}, "longitude"},
		"AddressBroken": {Location{Latitude: "0", Longitude: "0", Address: "a\nb"}, "control character"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			problems := template.Check(Parameters{"header": {Location: &test.location}})
			switch {
			case test.want == "" && problems != nil:
				t.Errorf("problems: %v", problems)
			case test.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Reason, test.want)):
				t.Errorf("problems: %v, want %q", problems, test.want)
			}
		})
	}
}

func TestCheckRefusesKindsThatCannotBeFilled(t *testing.T) {
	t.Parallel()

	template := &Template{Slots: []Slot{{"button.0", SlotFlow, false}, {"header", SlotProduct, true}}}
	if problems := template.Check(Parameters{"header": {Text: "x"}}); len(problems) != 1 || !strings.Contains(problems[0].Reason, "cannot fill") {
		t.Errorf("problems: %v", problems)
	}
	if problems := template.Check(nil); len(problems) != 1 || problems[0].Slot != "header" {
		t.Errorf("problems: %v", problems)
	}
}

func TestRenderShowsTheMessage(t *testing.T) {
	t.Parallel()

	p := sampleParameters()
	delete(p, "body.2")
	want := `[image https://cdn.example/a.jpg]

Hello Ann, take {{2}} off. Bye Ann.

Reply STOP to stop

[ Stop ]
[ Shop ] https://shop.example/p/1?x=%20
[ Copy code ] 25OFF`
	if got := sample().Render(p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRenderDoesNotSubstituteInsideValues(t *testing.T) {
	t.Parallel()

	template := &Template{
		Slots: []Slot{{"body.1", SlotText, true}, {"body.2", SlotText, true}},
		Parts: []Part{{Kind: PartBody, Text: "{{1}} {{2}}"}},
	}
	p := Parameters{"body.1": {Text: "{{2}}"}, "body.2": {Text: "b"}}
	if got := template.Render(p); got != "{{2}} b" {
		t.Errorf("got %q", got)
	}
}

func TestRenderLocationHeader(t *testing.T) {
	t.Parallel()

	template := &Template{
		Slots: []Slot{{"header", SlotLocation, true}},
		Parts: []Part{{Kind: PartHeader, Format: "LOCATION"}, {Kind: PartBody, Text: "Come"}},
	}
	p := Parameters{"header": {Location: &Location{Latitude: "1.5", Longitude: "-2", Name: "Pier"}}}
	if got, want := template.Render(p), "[location 1.5, -2 Pier]\n\nCome"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := template.Render(nil), "[location]\n\nCome"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkCheckerCheck(b *testing.B) {
	checker, p := NewChecker(sample()), sampleParameters()
	b.ReportAllocs()
	for b.Loop() {
		if problems := checker.Check(p); problems != nil {
			b.Fatal(problems)
		}
	}
}
