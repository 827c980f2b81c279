package dialog360_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"pgregory.net/rapid"
)

// A case is a file with a template as it is listed, the parameters, and the body
// that must be posted.
type payloadCase struct {
	Dialect    string              `json:"dialect"`
	Template   json.RawMessage     `json:"template"`
	Parameters campaign.Parameters `json:"parameters"`
	Opaque     string              `json:"opaque"`
	Want       json.RawMessage     `json:"want"`
}

func TestAppendMessage(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("testdata/payload/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()

			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var test payloadCase
			if err := json.Unmarshal(content, &test); err != nil {
				t.Fatal(err)
			}
			templates, err := dialog360.ParseTemplates(test.Template)
			if err != nil || !templates[0].Sendable {
				t.Fatal(templates, err)
			}
			if problems := templates[0].Check(test.Parameters); problems != nil {
				t.Fatalf("problems: %v", problems)
			}
			got, err := dialog360.AppendMessage(nil, test.Dialect, &campaign.Request{
				To: "+16505551234", Template: &templates[0], Parameters: test.Parameters, Opaque: test.Opaque,
			})
			if err != nil {
				t.Fatal(err)
			}
			// The order of keys is ours, so the golden body is compared to the byte.
			var want bytes.Buffer
			if err := json.Compact(&want, test.Want); err != nil {
				t.Fatal(err)
			}
			if string(got) != want.String() {
				t.Errorf("got  %s\nwant %s", got, want.String())
			}
		})
	}
}

func TestAppendMessageWritesATextOfAServiceWindow(t *testing.T) {
	t.Parallel()
	request := campaign.Request{To: "+16505551234", Text: "You are \"out\".\nBye", Opaque: "d/confirmation/7"}
	want := `{"messaging_product":"whatsapp","recipient_type":"individual","to":"+16505551234","type":"text",` +
		`"text":{"preview_url":false,"body":"You are \"out\".\nBye"},"biz_opaque_callback_data":"d/confirmation/7"}`
	for _, dialect := range []string{campaign.DialectCloud, campaign.DialectSandbox} {
		got, err := dialog360.AppendMessage(nil, dialect, &request)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", dialect, err, got, want)
		}
	}
}

func TestAppendMessageRefusesWhatIsNotComplete(t *testing.T) {
	t.Parallel()

	slots := func(s ...campaign.Slot) *campaign.Template {
		return &campaign.Template{Name: "a", Language: "en", Format: campaign.FormatPositional, Slots: s}
	}
	image := campaign.Slot{Key: "header", Kind: campaign.SlotImage, Required: true}
	body := campaign.Slot{Key: "body.1", Kind: campaign.SlotText, Required: true}
	tests := map[string]struct {
		request campaign.Request
		want    string
	}{
		"NoTemplate":   {campaign.Request{To: "+1650"}, "no template"},
		"TextBeside":   {campaign.Request{To: "+1650", Template: slots(), Text: "x"}, "a text beside it"},
		"TextNoPlus":   {campaign.Request{To: "16505551234", Text: "x"}, "E.164"},
		"NoLanguage":   {campaign.Request{To: "+1650", Template: &campaign.Template{Name: "a"}}, "no language"},
		"NoPlus":       {campaign.Request{To: "16505551234", Template: slots()}, "E.164"},
		"NoRecipient":  {campaign.Request{Template: slots()}, "E.164"},
		"LongOpaque":   {campaign.Request{To: "+1650", Template: slots(), Opaque: strings.Repeat("x", 513)}, "513 characters"},
		"Missing":      {campaign.Request{To: "+1650", Template: slots(body)}, "body.1 is missing"},
		"MediaForText": {campaign.Request{To: "+1650", Template: slots(body), Parameters: campaign.Parameters{"body.1": {Media: &campaign.Media{}}}}, "body.1 takes a text"},
		"TextForMedia": {campaign.Request{To: "+1650", Template: slots(image), Parameters: campaign.Parameters{"header": {Text: "secret"}}}, "header takes a medium"},
		"NotUploaded":  {campaign.Request{To: "+1650", Template: slots(image), Parameters: campaign.Parameters{"header": {Media: &campaign.Media{Kind: "image", File: "a.jpg"}}}}, "not uploaded"},
		"EmptyMedia":   {campaign.Request{To: "+1650", Template: slots(image), Parameters: campaign.Parameters{"header": {Media: &campaign.Media{Kind: "image"}}}}, "neither"},
		"UnknownKind":  {campaign.Request{To: "+1650", Template: slots(campaign.Slot{Key: "button.0", Kind: campaign.SlotFlow}), Parameters: campaign.Parameters{"button.0": {Text: "secret"}}}, "kind flow"},
		"CardSlot":     {campaign.Request{To: "+1650", Template: slots(campaign.Slot{Key: "card.0.body.1", Kind: campaign.SlotText}), Parameters: campaign.Parameters{"card.0.body.1": {Text: "secret"}}}, "cannot be filled"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := dialog360.AppendMessage(nil, campaign.DialectCloud, &test.request)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "6505551234") {
				t.Errorf("error %v holds a value", err)
			}
		})
	}
}

// Whatever stands in a text, the body decodes to what encoding/json would have
// sent.
func TestAppendMessageEscapesLikeEncodingJSON(t *testing.T) {
	t.Parallel()

	template := &campaign.Template{Name: "a", Language: "en", Format: campaign.FormatNamed,
		Slots: []campaign.Slot{{Key: "body.name", Kind: campaign.SlotText, Required: true}}}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringN(1, 40, -1),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 40), func(b []byte) string { return string(b) }),
			rapid.StringOf(rapid.SampledFrom([]rune("\"\\/\n\r\t\b\f\x00\x1f\x7f\u2028\u2029<>&é😀\ufffd"))),
		).Filter(func(s string) bool { return s != "" }).Draw(t, "text")
		body, err := dialog360.AppendMessage(nil, campaign.DialectCloud, &campaign.Request{
			To: "+16505551234", Template: template, Parameters: campaign.Parameters{"body.name": {Text: text}}, Opaque: text[:min(len(text), 20)],
		})
		if err != nil {
			t.Fatal(err)
		}
		reference, err := json.Marshal(map[string]any{
			"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+16505551234", "type": "template",
			"biz_opaque_callback_data": text[:min(len(text), 20)],
			"template": map[string]any{
				"name": "a", "language": map[string]any{"code": "en"},
				"components": []any{map[string]any{"type": "body", "parameters": []any{
					map[string]any{"type": "text", "parameter_name": "name", "text": text}}}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if err := json.Unmarshal(reference, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %s\nwant %s", body, reference)
		}
	})
}

func BenchmarkAppendMessage(b *testing.B) {
	content, err := os.ReadFile("testdata/payload/everything.json")
	if err != nil {
		b.Fatal(err)
	}
	var test payloadCase
	if err := json.Unmarshal(content, &test); err != nil {
		b.Fatal(err)
	}
	templates, err := dialog360.ParseTemplates(test.Template)
	if err != nil {
		b.Fatal(err)
	}
	request := &campaign.Request{To: "+16505551234", Template: &templates[0], Parameters: test.Parameters, Opaque: test.Opaque}
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dialog360.AppendMessage(buffer, campaign.DialectCloud, request); err != nil {
			b.Fatal(err)
		}
	}
}
