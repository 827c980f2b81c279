package campaign

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParametersRoundTrip(t *testing.T) {
	t.Parallel()

	text := `{"body.1":"Ann","body.2":"1.50","button.0":"true","button.1":"a\"b",` +
		`"card":{"document":{"id":"77","filename":"a.pdf"}},` +
		`"header":{"image":{"link":"https://x.example/a.jpg"}},` +
		`"place":{"location":{"latitude":"37.48","longitude":"-122.1","name":"Pier"}},` +
		`"video":{"video":{"file":"./a.mp4"}}}`
	var p Parameters
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	want := Parameters{
		"body.1":   {Text: "Ann"},
		"body.2":   {Text: "1.50"},
		"button.0": {Text: "true"},
		"button.1": {Text: `a"b`},
		"card":     {Media: &Media{Kind: SlotDocument, ID: "77", Filename: "a.pdf"}},
		"header":   {Media: &Media{Kind: SlotImage, Link: "https://x.example/a.jpg"}},
		"place":    {Location: &Location{Latitude: "37.48", Longitude: "-122.1", Name: "Pier"}},
		"video":    {Media: &Media{Kind: SlotVideo, File: "./a.mp4"}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("read %+v", p)
	}
	written, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != text {
		t.Errorf("written %s\nwant    %s", written, text)
	}
}

func TestParametersTakeScalarsAsWritten(t *testing.T) {
	t.Parallel()

	var p Parameters
	text := `{"a":5,"b":1.50,"c":true,"d":"","e":{"location":{"latitude":1.25,"longitude":-2}}}`
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	for slot, want := range map[string]string{"a": "5", "b": "1.50", "c": "true", "d": ""} {
		if p[slot].Text != want {
			t.Errorf("%s is %q, want %q", slot, p[slot].Text, want)
		}
	}
	if l := p["e"].Location; l == nil || l.Latitude != "1.25" || l.Longitude != "-2" {
		t.Errorf("location %+v", l)
	}
}

func TestParametersRefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()

	tests := map[string]struct{ text, message, hint string }{
		"MisspeltKind":   {`{"header":{"imgae":{"link":"https://x"}}}`, `slot "header": key "imgae" is not known`, `did you mean "image"?`},
		"MisspeltKey":    {`{"header":{"image":{"lnk":"https://x"}}}`, `slot "header": key "image.lnk" is not known`, `did you mean "image.link"?`},
		"FilenameImage":  {`{"header":{"image":{"id":"1","filename":"a"}}}`, `key "image.filename" is not known`, "known keys"},
		"TwoKinds":       {`{"header":{"image":{"id":"1"},"video":{"id":"1"}}}`, "has 2 keys", "exactly one"},
		"NoKind":         {`{"header":{}}`, "has 0 keys", "exactly one"},
		"TwoSources":     {`{"header":{"image":{"id":"1","link":"https://x"}}}`, "image has 2 of link, id and file", "exactly one"},
		"NoSource":       {`{"header":{"image":{}}}`, "image has 0 of link, id and file", "exactly one"},
		"NotAnObject":    {`{"header":{"image":"https://x"}}`, "image is not an object", "link"},
		"NullObject":     {`{"header":{"image":null}}`, "image is not an object", "link"},
		"NotText":        {`{"header":{"image":{"link":["https://x"]}}}`, "image.link is not a text", ""},
		"Null":           {`{"body.1":null}`, `slot "body.1": is null`, "leave the slot out"},
		"List":           {`{"body.1":["a"]}`, `slot "body.1": is a list`, ""},
		"Twice":          {`{"body.1":"a","body.1":"b"}`, `slot "body.1" is given twice`, ""},
		"Array":          {`["a"]`, "not an object", ""},
		"LocationKey":    {`{"header":{"location":{"lattitude":"1"}}}`, `key "location.lattitude" is not known`, `did you mean "location.latitude"?`},
		"UnknownNothing": {`{"header":{"contact":{"id":"1"}}}`, `key "contact" is not known`, "known keys: image"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var p Parameters
			err := json.Unmarshal([]byte(test.text), &p)
			var refused *Error
			if !errors.As(err, &refused) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want invalid", err)
			}
			if !strings.Contains(refused.Message, test.message) || !strings.Contains(refused.Hint, test.hint) {
				t.Errorf("message %q, hint %q", refused.Message, refused.Hint)
			}
			if p != nil {
				t.Errorf("parameters %v kept", p)
			}
		})
	}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()

	tests := map[string][]string{
		"none":                nil,
		"{{1}} and {{ 2 }}":   {"1", "2"},
		"{{first_name}}{{1}}": {"first_name", "1"},
		"{{{1}}}":             {"1"},
		"{{open":              nil,
		"{{a {{1}}":           {"1"},
		"{{}}":                {""},
		"{1} {{2}":            nil,
		"é{{1}}é":             {"1"},
	}
	for text, want := range tests {
		var got []string
		for _, p := range Placeholders(text) {
			got = append(got, p.Name)
			if !strings.HasPrefix(text[p.Start:p.End], "{{") || !strings.HasSuffix(text[p.Start:p.End], "}}") {
				t.Errorf("%q: braces are %q", text, text[p.Start:p.End])
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestNormalizeLanguage(t *testing.T) {
	t.Parallel()

	for in, want := range map[string]string{
		"en-US": "en_US", "en_US": "en_US", "pt_br": "pt_BR", "EN": "en", "fil": "fil", " de ": "de", "": "",
	} {
		if got := NormalizeLanguage(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestButtonKeyCountsPastTen(t *testing.T) {
	t.Parallel()

	for index, want := range map[int]string{0: "button.0", 9: "button.9", 10: "button.10"} {
		if got := ButtonKey(index); got != want {
			t.Errorf("%d: %q", index, got)
		}
	}
}
