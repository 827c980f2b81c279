package dialog360_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

// A case is a file with a body and what must come of it. Problems are compared
// by the words they must contain, one for one.
func TestParseTemplates(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("testdata/template/*.json")
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
			var test struct {
				Body json.RawMessage            `json:"body"`
				Want []campaign.TemplateSummary `json:"want"`
			}
			if err := json.Unmarshal(content, &test); err != nil {
				t.Fatal(err)
			}
			templates, err := dialog360.ParseTemplates(test.Body)
			if err != nil {
				t.Fatal(err)
			}
			if len(templates) != len(test.Want) {
				t.Fatalf("%d templates, want %d", len(templates), len(test.Want))
			}
			for i, want := range test.Want {
				compareSummary(t, templates[i].Summary(), want)
			}
		})
	}
}

func compareSummary(t *testing.T, got, want campaign.TemplateSummary) {
	t.Helper()
	if len(got.Problems) != len(want.Problems) {
		t.Errorf("%s: problems %q, want %q", got.Name, got.Problems, want.Problems)
	} else {
		for i := range want.Problems {
			if !strings.Contains(got.Problems[i], want.Problems[i]) {
				t.Errorf("%s: problem %q, want it to contain %q", got.Name, got.Problems[i], want.Problems[i])
			}
		}
	}
	got.Problems, want.Problems = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseTemplatesSummaryHasNoNull(t *testing.T) {
	t.Parallel()

	templates, err := dialog360.ParseTemplates([]byte(`[{"name":"a","language":"en","category":"UTILITY","components":[{"type":"BODY","text":"Hi"}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(templates[0].Summary())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a","language":"en","category":"UTILITY","format":"POSITIONAL","slots":[],"problems":[],"sendable":true}`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
}

func TestParseTemplatesKeepsWhatTheListSays(t *testing.T) {
	t.Parallel()

	body := `{"waba_templates":[{"id":12345678901234567890,"name":"a","language":"en-GB","status":"approved",
		"category":"marketing","quality_score":{"score":"green","date":1},"components":[{"type":"BODY","text":"Hi {{1}}"},
		{"type":"FOOTER","text":"Bye"},{"type":"BUTTONS","buttons":[{"type":"URL","text":"Go","url":"https://x.example/{{1}}"}]}]}]}`
	templates, err := dialog360.ParseTemplates([]byte(body))
	if err != nil || len(templates) != 1 {
		t.Fatal(templates, err)
	}
	got := templates[0]
	if got.ProviderID != "12345678901234567890" || got.Status != campaign.TemplateApproved || got.Quality != "GREEN" || got.Language != "en_GB" {
		t.Errorf("got %+v", got)
	}
	if !json.Valid(got.Components) || !strings.Contains(string(got.Components), "FOOTER") {
		t.Errorf("components %s", got.Components)
	}
	wantParts := []campaign.Part{
		{Kind: campaign.PartBody, Text: "Hi {{1}}"},
		{Kind: campaign.PartFooter, Text: "Bye"},
		{Kind: campaign.PartButton, Format: "URL", Index: 0, Text: "Go", URL: "https://x.example/{{1}}"},
	}
	if !reflect.DeepEqual(got.Parts, wantParts) {
		t.Errorf("parts %+v", got.Parts)
	}
}

func TestParseTemplatesRefusesWhatIsNone(t *testing.T) {
	t.Parallel()

	for _, body := range []string{``, `<html>`, `"text"`, `5`, `null`, `{}`, `{"error":{"code":190}}`, `{"data":"x"}`, `{"name":"a"}`} {
		if templates, err := dialog360.ParseTemplates([]byte(body)); !errors.Is(err, campaign.ErrInvalid) {
			t.Errorf("%s: %v, error %v", body, templates, err)
		}
	}
}

func TestParseTemplatesOneBadNeighbour(t *testing.T) {
	t.Parallel()

	body := `[{"name":"a","language":"en","category":"UTILITY","components":[{"type":"BODY","text":"Hi"}]},
		7, {"name":5,"language":["en"],"components":{"type":"BODY","text":{}}},
		{"name":"b","language":"en","category":"UTILITY","components":[3,{"type":"BODY","text":"Hi"}]}]`
	templates, err := dialog360.ParseTemplates([]byte(body))
	if err != nil || len(templates) != 4 {
		t.Fatal(templates, err)
	}
	var sendable []bool
	for _, template := range templates {
		sendable = append(sendable, template.Sendable)
		if !template.Sendable && len(template.Problems) == 0 {
			t.Errorf("%q is not sendable without a reason", template.Name)
		}
	}
	if !reflect.DeepEqual(sendable, []bool{true, false, false, false}) {
		t.Errorf("sendable %v", sendable)
	}
}

// The real payloads: each is understood, and whatever cannot be sent says why.
func TestParseTemplatesFixtures(t *testing.T) {
	t.Parallel()

	folder := os.Getenv("CAMPAIGN_TEST_FIXTURES")
	if folder == "" {
		t.Skip("CAMPAIGN_TEST_FIXTURES is not set")
	}
	files, err := filepath.Glob(filepath.Join(folder, "templates", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	unsendable := []string{"btn_otp", "btn_catalog", "carousel", "limited_time_offer", "hdr_product", "btn_spm", "btn_mpm", "btn_flow", "btn_order"}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		templates, err := dialog360.ParseTemplates(content)
		if err != nil || len(templates) == 0 {
			t.Errorf("%s: %v, error %v", file, templates, err)
		}
		want := true
		for _, kind := range unsendable {
			want = want && !strings.Contains(filepath.Base(file), kind)
		}
		for _, template := range templates {
			summary, _ := json.Marshal(template.Summary())
			t.Logf("%s: %s", filepath.Base(file), summary)
			if template.Sendable != want || want != (len(template.Problems) == 0) {
				t.Errorf("%s: sendable %v, problems %q", filepath.Base(file), template.Sendable, template.Problems)
			}
		}
	}
}
