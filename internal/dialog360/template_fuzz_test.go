package dialog360_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
)

// Whatever a list holds: no panic, a template that cannot be sent says why, and
// one that can has slots that a request can be built from.
func FuzzParseTemplates(f *testing.F) {
	files, err := filepath.Glob("testdata/template/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var test struct{ Body json.RawMessage }
		if err := json.Unmarshal(content, &test); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(test.Body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		templates, err := dialog360.ParseTemplates(body)
		if err != nil && templates != nil {
			t.Fatal("templates with an error")
		}
		for i := range templates {
			checkTemplate(t, &templates[i])
		}
	})
}

func checkTemplate(t *testing.T, template *campaign.Template) {
	if !template.Sendable {
		if len(template.Problems) == 0 {
			t.Fatal("not sendable without a problem")
		}
		return
	}
	parameters := campaign.Parameters{}
	for _, slot := range template.Slots {
		if _, twice := parameters[slot.Key]; twice {
			t.Fatalf("slot %s stands twice", slot.Key)
		}
		switch slot.Kind {
		case campaign.SlotLocation:
			parameters[slot.Key] = campaign.Value{Location: &campaign.Location{Latitude: "1", Longitude: "1"}}
		case campaign.SlotImage, campaign.SlotVideo, campaign.SlotDocument, campaign.SlotGIF:
			parameters[slot.Key] = campaign.Value{Media: &campaign.Media{Kind: slot.Kind, ID: "1"}}
		default:
			parameters[slot.Key] = campaign.Value{Text: "x"}
		}
	}
	request, err := dialog360.AppendMessage(nil, campaign.DialectCloud, &campaign.Request{To: "+16505551234", Template: template, Parameters: parameters})
	if err != nil || !json.Valid(request) {
		t.Fatalf("request %s, error %v", request, err)
	}
	template.Render(parameters)
	template.Check(parameters)
}
