package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkSend is what POST /messages checks when no template is known.
func checkSend(body []byte) *refusal {
	c := &checker{placeholders: true}
	m, refused := c.parseSend(body)
	if refused == nil && m.template != nil {
		refused = matchUnknown(m.template)
	}
	return refused
}

// sendFiles are valid sends: our own, and those of the fixtures folder when
// there is one.
func sendFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata/sends", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("CAMPAIGN_TEST_FIXTURES"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "sends", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	return files
}

func TestValidSendsAreAccepted(t *testing.T) {
	t.Parallel()

	files := sendFiles(t, "*.json")
	if len(files) == 0 {
		t.Fatal("there are no payloads to test")
	}
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "onprem-") {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if refused := checkSend(body); refused != nil {
			t.Errorf("%s: refused %d %s", filepath.Base(file), refused.code, refused.details())
		}
	}
}

// openWindow lets the recipient of a send have written to the first number.
func (s *Simulator) openWindow(t *testing.T, body []byte) {
	t.Helper()
	m, refused := (&checker{placeholders: true}).parseSend(body)
	if refused != nil {
		t.Fatal(refused.details())
	}
	n, to := s.numbers[0], m.to
	if to == "" {
		to = m.bsuid
	} else if !m.group {
		to = canonical(to, n.code)
	}
	n.people.heard(hash(s.config.Seed, "person", n.phoneID, to), time.Now())
}

// With no templates of one's own, sends of any template are taken by their form.
func TestValidSendsAreAnswered200(t *testing.T) {
	t.Parallel()

	s := start(t, Config{Key: "k"})
	for _, file := range sendFiles(t, "*.json") {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(file), "onprem-") {
			continue
		}
		s.openWindow(t, body)
		status, answer, err := call(t, "POST", s.URL()+"/messages", "k", string(body))
		if list, _ := answer["messages"].([]any); status != 200 || len(list) != 1 {
			t.Errorf("%s: %d %v %v", filepath.Base(file), status, answer, err)
		}
	}
}

func TestOldDialectIsForTheSandboxOnly(t *testing.T) {
	t.Parallel()

	body := []byte(`{"to":"+491701234567","type":"template","template":{"namespace":"c8ae5f90_307a","language":{"policy":"deterministic","code":"en"},"name":"hello",
		"components":[{"type":"button","sub_type":"quick_reply","parameters":[{"type":"payload","payload":"x"}]}]}}`)
	if refused := checkSend(body); refused == nil {
		t.Error("the Cloud dialect took an On-Premise payload")
	}
	if _, refused := (&checker{sandbox: true}).parseSend(body); refused != nil {
		t.Errorf("the sandbox refused it: %s", refused.details())
	}
}

// mutation is a valid send with one thing broken.
type mutation struct {
	what string // delete, type, empty, null, long, word, extra
	path string
	body []byte
}

// mutate breaks every field of a decoded JSON value in every way that applies.
func mutate(t *testing.T, root map[string]any) []mutation {
	t.Helper()
	var list []mutation
	emit := func(what, path string) {
		body, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, mutation{what, path, body})
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		try := func(what string, other any) {
			set(other)
			emit(what, path)
			set(v)
		}
		if path != "" {
			try("null", nil)
		}
		switch v := v.(type) {
		case map[string]any:
			v["bogus_property"] = "x"
			emit("extra", path)
			delete(v, "bogus_property")
			if path != "" {
				try("type", "a string")
				try("type", []any{})
				try("empty", map[string]any{})
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				at := strings.TrimPrefix(path+"."+key, ".")
				value := v[key]
				delete(v, key)
				emit("delete", at)
				v[key] = value
				walk(at, value, func(other any) { v[key] = other })
			}
		case []any:
			try("type", map[string]any{})
			try("type", "a string")
			try("empty", []any{})
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(other any) { v[i] = other })
			}
		case string:
			try("type", 7)
			try("type", map[string]any{})
			try("type", true)
			try("empty", "")
			try("empty", "  ")
			try("long", strings.Repeat("abcd1", 1000))
			try("word", "Bogus-Value!")
		case float64:
			try("type", "a string")
			try("type", true)
			try("type", []any{})
			try("word", -1.5)
		case bool:
			try("type", "true")
			try("type", 1)
		}
	}
	walk("", root, nil)
	return list
}

// legal lists the mutations that leave a send valid when its template is not
// known: what they take away or change is optional or free.
var legal = []struct{ what, path *regexp.Regexp }{
	{re(`delete`), re(`recipient_type|biz_opaque_callback_data|context|product_policy|message_activity_sharing`)},
	{re(`delete`), re(`template\.components|template\.language\.policy|text\.preview_url`)},
	{re(`empty`), re(`template\.components|biz_opaque_callback_data`)},
	{re(`delete`), re(`.*\.document\.filename|.*\.date_time\.(day_of_week|year|month|day_of_month|hour|minute|calendar)`)},
	{re(`delete`), re(`.*\.action\.(flow_token|flow_action_data|thumbnail_product_retailer_id)`)},
	{re(`delete|empty|extra|null|type|word|long`), re(`.*\.flow_action_data.+`)},
	{re(`extra|empty`), re(`.*\.flow_action_data`)},
	{re(`empty`), re(`.*\.parameters\[\d+\]\.action`)}, // of catalog and flow
	{re(`delete`), re(`.*\.order_status\.order\.description`)},
	// A single named parameter becomes a single positional one.
	{re(`delete`), re(`.*\.(parameter_name)`)},
	// Both a number and a string that holds one are taken.
	{re(`type`), re(`.*\.(index|latitude|longitude)`)},
	{re(`word`), re(`.*\.(latitude|longitude)`)},
	// Free texts and ids.
	{re(`word`), re(`.*\.(text|payload|fallback_value|id|filename|address|product_retailer_id|catalog_id|thumbnail_product_retailer_id|flow_token|title|reference_id|description|message_id|retailer_id)`)},
	{re(`word`), re(`text\.body|biz_opaque_callback_data|.*\.location\.name|.*\.items\[\d+\]\.name`)},
	{re(`long`), re(`.*\.(fallback_value)`)},
	{re(`delete`), re(`.*\.order_details\.(payment_settings|order\.(status|tax|shipping|discount))(\..*)?`)},
	{re(`.*`), re(`.*\.payment_settings\[\d+\].*`)},
	{re(`delete`), re(`.*\.(sale_amount|retailer_id)`)},
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + s + `)$`) }

func (m mutation) isLegal() bool {
	for _, l := range legal {
		if l.what.MatchString(m.what) && l.path.MatchString(m.path) {
			return true
		}
	}
	return false
}

func TestOneBrokenFieldIsRefused(t *testing.T) {
	t.Parallel()

	files := append(sendFiles(t, "template-*.json"), sendFiles(t, "text-*.json")...)
	broken := 0
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := json.Unmarshal(body, &root); err != nil {
			t.Fatal(err)
		}
		callButton := strings.Contains(string(body), "voice_call") // whose index may be left out
		for _, m := range mutate(t, root) {
			if m.isLegal() || callButton && m.what == "delete" && strings.HasSuffix(m.path, ".index") {
				continue
			}
			broken++
			refused := checkSend(m.body)
			if refused == nil {
				t.Errorf("%s: accepted with %s at %s", filepath.Base(file), m.what, m.path)
				continue
			}
			if refused.code == 0 || refused.details() == "" || refused.status < 400 {
				t.Errorf("%s: %s at %s: the refusal says nothing: %+v", filepath.Base(file), m.what, m.path, refused)
			}
		}
	}
	if broken < 1000 {
		t.Errorf("only %d mutations were tried", broken)
	}
}
