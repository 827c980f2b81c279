package dialog360

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
)

// fixtures gives the files of a folder of real payloads, found through
// CAMPAIGN_TEST_FIXTURES.
func fixtures(t *testing.T, folder string) []string {
	t.Helper()
	root := os.Getenv("CAMPAIGN_TEST_FIXTURES")
	if root == "" {
		t.Skip("CAMPAIGN_TEST_FIXTURES is not set")
	}
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures in %s: %v", folder, err)
	}
	return paths
}

// fixtureKinds says what a file's name implies, by its first match: the kind of
// an event that must come of it, and what else is checked of it.
var fixtureKinds = []struct {
	name *regexp.Regexp
	kind campaign.EventKind
	also func(e campaign.Event, match []string) bool
}{
	{regexp.MustCompile(`^status-ringing`), campaign.EventStatus, func(e campaign.Event, _ []string) bool {
		return e.Status == "RINGING" && !e.Messages
	}},
	{regexp.MustCompile(`^(?:onprem-)?status-failed-(\d{2,})`), campaign.EventStatus, func(e campaign.Event, m []string) bool {
		return e.Status == "failed" && e.Failure != nil && e.Failure.Code == m[1] && e.Messages
	}},
	{regexp.MustCompile(`^onprem-status-failed`), campaign.EventStatus, func(e campaign.Event, _ []string) bool {
		return e.Status == "failed" && e.Code == 1026 && e.Failure.MapsTo == "131026"
	}},
	{regexp.MustCompile(`^(?:onprem-)?status-([a-z]+)`), campaign.EventStatus, func(e campaign.Event, m []string) bool {
		return e.Status == m[1] && e.Messages
	}},
	{regexp.MustCompile(`^inbound-none`), campaign.EventMessage, func(e campaign.Event, _ []string) bool {
		return e.Type == "" && e.ID != ""
	}},
	{regexp.MustCompile(`^inbound-([a-z]+)`), campaign.EventMessage, func(e campaign.Event, m []string) bool {
		return e.Type == m[1] && e.ID != "" && e.Messages
	}},
	{regexp.MustCompile(`^smb_message_echoes`), campaign.EventMessage, func(e campaign.Event, _ []string) bool { return !e.Messages }},
	{regexp.MustCompile(`^user_preferences-([a-z]+)`), campaign.EventUserPreference, func(e campaign.Event, m []string) bool {
		return e.Value == m[1]
	}},
	{regexp.MustCompile(`^message_template_status_update-([a-z_]+)`), campaign.EventTemplateStatus, func(e campaign.Event, m []string) bool {
		return strings.EqualFold(e.Event, m[1]) && e.Template != "" && e.Language != "" && !strings.Contains(e.Language, "-") && e.TemplateID != ""
	}},
	{regexp.MustCompile(`^message_template_quality_update`), campaign.EventTemplateQuality, nil},
	{regexp.MustCompile(`^template_category_update`), campaign.EventTemplateCategory, func(e campaign.Event, _ []string) bool {
		return e.New != "" && e.Template != ""
	}},
	{regexp.MustCompile(`^phone_number_quality_update-([a-z_]+)`), campaign.EventPhoneQuality, func(e campaign.Event, m []string) bool {
		return strings.EqualFold(e.Event, m[1])
	}},
	{regexp.MustCompile(`^business_capability_update`), campaign.EventCapability, func(e campaign.Event, _ []string) bool { return e.Limit != "" }},
	{regexp.MustCompile(`^account_update-([a-z_]+)`), campaign.EventAccount, func(e campaign.Event, m []string) bool {
		return strings.EqualFold(e.Event, m[1]) && e.WABA != ""
	}},
	{regexp.MustCompile(`^account_(?:alerts|review_update)`), campaign.EventAccount, func(e campaign.Event, _ []string) bool { return e.Event != "" }},
	{regexp.MustCompile(`^value-errors-(\d+)`), campaign.EventError, func(e campaign.Event, m []string) bool {
		return e.Failure != nil && e.Failure.Code == m[1]
	}},
	{regexp.MustCompile(`^calls-1\.`), campaign.EventError, func(e campaign.Event, _ []string) bool { return e.Code == 12455 }},
	{regexp.MustCompile(`^odd-`), campaign.EventOther, nil},
	{regexp.MustCompile(`^([a-z_]+)`), campaign.EventOther, func(e campaign.Event, m []string) bool { return e.Field == m[1] }},
}

func TestFixturesOfWebhooks(t *testing.T) {
	t.Parallel()

	for _, path := range fixtures(t, "webhooks") {
		name := filepath.Base(path)
		events, err := ParseWebhook(read(t, path))
		if err != nil || len(events) == 0 {
			t.Errorf("%s: %d events, %v", name, len(events), err)
			continue
		}
		for _, rule := range fixtureKinds {
			match := rule.name.FindStringSubmatch(name)
			if match == nil {
				continue
			}
			if !slices.ContainsFunc(events, func(e campaign.Event) bool {
				return e.Kind == rule.kind && (rule.also == nil || rule.also(e, match))
			}) {
				t.Errorf("%s: no %s of that name in %+v", name, rule.kind, events)
			}
			if strings.Contains(name, "bsuid") && !slices.ContainsFunc(events, func(e campaign.Event) bool { return e.UserID != "" }) {
				t.Errorf("%s: the user id is lost: %+v", name, events)
			}
			break
		}
	}
}

func TestFixturesOfErrors(t *testing.T) {
	t.Parallel()

	coded := regexp.MustCompile(`^(?:error|errors-array|d360-detail-error)-(\d+)`)
	want := map[string]struct {
		code  string
		class campaign.Class
	}{
		"1": {"1", campaign.RetryClass}, "2": {"2", campaign.RetryClass}, "4": {"4", campaign.SlowDown},
		"17": {"17", campaign.SlowDown}, "100": {"100", campaign.Final}, "190": {"190", campaign.PauseChannel},
		"200": {"200", campaign.PauseChannel}, "400": {"400", campaign.Final}, "613": {"613", campaign.SlowDown},
		"803": {"803", campaign.Final}, "130429": {"130429", campaign.SlowDown}, "131030": {"131030", campaign.Final},
		"136024": {"136024", campaign.Final}, "138006": {"138006", campaign.Final},
		"d360-detail-error-mm-terms.json": {"131055", campaign.PauseTemplate},
		"d360-meta-400-disabled.json":     {"d360_disabled", campaign.PauseChannel},
		"d360-meta-401-body404.json":      {"d360_invalid_key", campaign.PauseChannel},
		"d360-meta-500.json":              {"http_500", campaign.RetryClass},
		"error-none-2.json":               {"http_500", campaign.RetryClass},
	}
	for _, path := range fixtures(t, "errors") {
		name := filepath.Base(path)
		f, recognised := ExplainHTTP(0, read(t, path))
		if strings.HasPrefix(name, "response-ok-") {
			if f.Class != "" || recognised {
				t.Errorf("%s is an error: %+v", name, f)
			}
			continue
		}
		key := name
		if m := coded.FindStringSubmatch(name); m != nil {
			key = m[1]
		}
		w, known := want[key]
		if !known {
			// A file added later: at least its code and some class.
			w.code, w.class = key, f.Class
		}
		if f.Code != w.code || f.Class != w.class || f.Class == "" || !recognised {
			t.Errorf("%s is %q, %s, recognised %v; want %q, %s", name, f.Code, f.Class, recognised, w.code, w.class)
		}
	}
}
