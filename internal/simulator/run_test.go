package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// start runs a simulator for the length of a test.
func start(t testing.TB, c Config) *Simulator {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// receiver is a webhook target that remembers what it got.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []received
	changes  []map[string]any
	headers  http.Header
	requests int
	fail     int // answers that many requests with 503
	largest  int // most statuses in one request
	nested   bool
}

type received struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Timestamp string `json:"timestamp"`
	Recipient string `json:"recipient_id"`
	User      string `json:"recipient_user_id"`
	Opaque    string `json:"biz_opaque_callback_data"`
	Pricing   *struct{ Category string }
	Errors    []struct{ Code int }
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		var envelope struct {
			Entry []struct {
				Changes []struct {
					Field string
					Value json.RawMessage
				}
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests++
		r.headers = q.Header.Clone()
		if r.fail > 0 {
			r.fail--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := json.Unmarshal(body, &envelope); err != nil {
			t.Errorf("webhook: %v", err)
		}
		count := 0
		for _, entry := range envelope.Entry {
			r.nested = r.nested || len(entry.Changes) > 1
			for _, change := range entry.Changes {
				var v struct{ Statuses []received }
				_ = json.Unmarshal(change.Value, &v)
				count += len(v.Statuses)
				r.statuses = append(r.statuses, v.Statuses...)
				if v.Statuses == nil {
					var other map[string]any
					_ = json.Unmarshal(change.Value, &other)
					r.changes = append(r.changes, other)
				}
			}
		}
		r.largest = max(r.largest, count)
	}))
	t.Cleanup(r.Close)
	return r
}

// wait until the receiver has so many statuses.
func (r *receiver) wait(t testing.TB, n int) []received {
	t.Helper()
	var got []received
	eventually(t, fmt.Sprintf("%d statuses", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = slices.Clone(r.statuses)
		return len(got) >= n
	})
	return got
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func sendTo(to, opaque string) string {
	return fmt.Sprintf(`{"messaging_product":"whatsapp","recipient_type":"individual","to":%q,"type":"template","biz_opaque_callback_data":%q,
		"template":{"name":"hello","language":{"code":"en_US"}}}`, to, opaque)
}

func spring(to, opaque string) string {
	return fmt.Sprintf(`{"messaging_product":"whatsapp","recipient_type":"individual","to":%q,"type":"template","biz_opaque_callback_data":%q,
		"template":{"name":"spring_sale","language":{"code":"en_US"},"components":[{"type":"body","parameters":[{"type":"text","text":"Ann"},{"type":"text","text":"X"}]},
		{"type":"button","sub_type":"url","index":"0","parameters":[{"type":"text","text":"X"}]}]}}`, to, opaque)
}

// call makes a request without following redirects; status 0 when there was no
// answer.
func call(t testing.TB, method, url, key, body string) (int, map[string]any, error) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set(keyHeader, key)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	var decoded map[string]any
	if err == nil {
		_ = json.Unmarshal(raw, &decoded)
	}
	return answer.StatusCode, decoded, err
}

func codeOf(body map[string]any) int {
	if detail, ok := body["detail"].(map[string]any); ok {
		body = detail
	}
	e, _ := body["error"].(map[string]any)
	code, _ := e["code"].(float64)
	return int(code)
}

func TestCleanSendIsAcceptedSentDeliveredAndRead(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	s := start(t, Config{Key: "k", WebhookURL: target.URL, WebhookSecret: "secret", Pace: 0.1})
	status, body, err := call(t, "POST", s.URL()+"/messages", "k", sendTo("+491701234567", "d/1/1"))
	if err != nil || status != 200 {
		t.Fatalf("status %d, error %v, body %v", status, err, body)
	}
	contact := body["contacts"].([]any)[0].(map[string]any)
	sent := body["messages"].([]any)[0].(map[string]any)
	if contact["input"] != "+491701234567" || contact["wa_id"] != "491701234567" || sent["message_status"] != "accepted" {
		t.Errorf("answer %v", body)
	}
	id := sent["id"].(string)
	if !strings.HasPrefix(id, "wamid.") {
		t.Errorf("id %q", id)
	}

	got := target.wait(t, 3)
	for i, want := range []string{"sent", "delivered", "read"} {
		if got[i].Status != want || got[i].ID != id || got[i].Opaque != "d/1/1" || got[i].Recipient != "491701234567" {
			t.Errorf("status %d: %+v", i, got[i])
		}
	}
	if got[0].Pricing == nil || got[0].Pricing.Category != "utility" || got[2].Pricing != nil {
		t.Errorf("pricing belongs to sent and delivered: %+v", got)
	}
	if auth := target.headers.Get("Authorization"); auth != "Bearer secret" {
		t.Errorf("authorization %q", auth)
	}
	entries, err := s.Ledger().Entries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("ledger %v, %v", entries, err)
	}
	if e := entries[0]; e.To != "+491701234567" || e.Opaque != "d/1/1" || e.ID != id || e.Outcome != "accepted" || e.At.IsZero() {
		t.Errorf("ledger entry %+v", e)
	}
}

func TestEveryBehaviourDoesWhatItSays(t *testing.T) {
	t.Parallel()

	type want struct {
		status   int    // 0: no answer
		code     int    // of an error body
		outcome  string // in the ledger
		word     string // message_status
		statuses string // in the order of arrival; * for any order
	}
	const all = "sent delivered read"
	cases := map[string]want{
		"ok":                     {200, 0, "accepted", "accepted", all},
		"delivered":              {200, 0, "accepted", "accepted", "sent delivered"},
		"never_delivered":        {200, 0, "accepted", "accepted", "sent"},
		"read_only":              {200, 0, "accepted", "accepted", "sent read"},
		"no_webhooks":            {200, 0, "accepted", "accepted", ""},
		"not_on_whatsapp":        {200, 0, "accepted", "accepted", "failed:131026"},
		"experiment":             {200, 0, "accepted", "accepted", "failed:130472"},
		"capped":                 {200, 0, "accepted", "accepted", "failed:131049"},
		"stopped":                {200, 0, "accepted", "accepted", "failed:131050"},
		"blocked":                {200, 0, "accepted", "accepted", "failed:130403"},
		"payment":                {200, 0, "accepted", "accepted", "failed:131042"},
		"media_error":            {200, 0, "accepted", "accepted", "failed:131053"},
		"device_failed":          {200, 0, "accepted", "accepted", "sent delivered failed:131036"},
		"delivered_after_failed": {200, 0, "accepted", "accepted", "failed:131026 delivered"},
		"held_released":          {200, 0, "held", "held_for_quality_assessment", all},
		"held_dropped":           {200, 0, "held", "held_for_quality_assessment", "failed:132015"},
		"paused_status":          {200, 0, "paused", "paused", all},
		"invalid_parameter":      {400, 100, "refused:100", "", ""},
		"pair_limit":             {400, 131056, "refused:131056", "", ""},
		"rate_limit":             {400, 130429, "refused:130429", "", ""},
		"spam_limit":             {400, 131048, "refused:131048", "", ""},
		"template_paused":        {400, 132015, "refused:132015", "", ""},
		"template_disabled":      {400, 132016, "refused:132016", "", ""},
		"maintenance":            {500, 131057, "refused:131057", "", ""},
		"locked":                 {403, 131031, "refused:131031", "", ""},
		"server_error":           {500, 131000, "refused:131000", "", ""},
		"unavailable":            {500, 131016, "refused:131016", "", ""},
		"cut_before":             {0, 0, "cut_before", "", ""},
		"cut_after":              {0, 0, "cut_after", "", all},
		"slow":                   {200, 0, "slow", "accepted", all},
		"half_answer":            {200, 0, "half_answer", "", all},
		"empty_502":              {502, 0, "empty_502", "", ""},
		"html_504":               {504, 0, "html_504", "", all},
		"garbage_200":            {200, 0, "garbage_200", "", all},
		"no_id_200":              {200, 0, "no_id_200", "", all},
		"error_200":              {200, 131000, "error_200", "", ""},
		"redirect_307":           {307, 0, "redirect_307", "", ""},
		"gateway_throttle":       {400, 0, "gateway_throttle", "", ""},
		"gateway_500":            {500, 0, "gateway_500", "", ""},
		"duplicate_webhooks":     {200, 0, "accepted", "accepted", "*delivered delivered read read sent sent"},
		"reordered_webhooks":     {200, 0, "accepted", "accepted", "read delivered sent"},
		"late_webhook":           {200, 0, "accepted", "accepted", "*delivered read sent"},
		"early_webhook":          {200, 0, "accepted", "accepted", all},
		"no_phone":               {200, 0, "accepted", "accepted", all},
		"code:131021":            {400, 131021, "refused:131021", "", ""},
		"async:131047":           {200, 0, "accepted", "accepted", "failed:131047"},
		"code:999999":            {400, 999999, "refused:999999", "", ""},
	}
	for _, b := range behaviours {
		if _, ok := cases[b.Name]; !ok {
			t.Errorf("behaviour %s has no case", b.Name)
		}
	}
	for name, w := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			target := newReceiver(t)
			file := filepath.Join(t.TempDir(), "behaviours.csv")
			if err := os.WriteFile(file, []byte("phone,behaviour\n+491701234567,"+strings.ReplaceAll(name, "_", "-")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, Config{Key: "k", WebhookURL: target.URL, Pace: 0.2, BehavioursFile: file, SlowAnswer: 300 * time.Millisecond})
			began := time.Now()
			status, body, err := call(t, "POST", s.URL()+"/messages", "k", sendTo("+491701234567", "d/1/1"))
			if status != w.status || codeOf(body) != w.code {
				t.Errorf("status %d, code %d, error %v; want %d, %d", status, codeOf(body), err, w.status, w.code)
			}
			if broken := w.outcome == "half_answer" || w.status == 0; broken != (err != nil) {
				t.Errorf("error %v", err)
			}
			if name == "slow" && time.Since(began) < 300*time.Millisecond {
				t.Error("the slow answer was quick")
			}
			id := ""
			if w.word != "" {
				m := body["messages"].([]any)[0].(map[string]any)
				if id = m["id"].(string); m["message_status"] != w.word {
					t.Errorf("message_status %v", m["message_status"])
				}
			}

			entries, err := s.Ledger().Entries()
			if err != nil || len(entries) != 1 || entries[0].Outcome != w.outcome {
				t.Fatalf("ledger %v, %v", entries, err)
			}
			taken := w.statuses != "" || name == "no_webhooks"
			if (entries[0].ID != "") != taken || id != "" && id != entries[0].ID {
				t.Errorf("the ledger says id %q, the answer %q", entries[0].ID, id)
			}

			expected, anyOrder := strings.CutPrefix(w.statuses, "*")
			var words []string
			got := target.wait(t, len(strings.Fields(expected)))
			for _, g := range got {
				word := g.Status
				if len(g.Errors) > 0 {
					word += fmt.Sprintf(":%d", g.Errors[0].Code)
				}
				words = append(words, word)
				if g.ID != entries[0].ID || g.Opaque != "d/1/1" {
					t.Errorf("status of another message: %+v", g)
				}
				if hidden := name == "no_phone"; hidden != (g.Recipient == "") || hidden && g.User == "" {
					t.Errorf("recipient %q, user %q", g.Recipient, g.User)
				}
			}
			if anyOrder {
				slices.Sort(words)
			}
			if strings.Join(words, " ") != expected {
				t.Errorf("statuses %q, want %q", strings.Join(words, " "), expected)
			}
			eventually(t, "an empty backlog", func() bool { return s.Stats().WebhooksWaiting == 0 })
		})
	}
}

func TestBehaviourForTheFirstSendsOnly(t *testing.T) {
	t.Parallel()

	list, err := readBehaviours(strings.NewReader("\ufeffphone,behaviour\n# a comment\n+49 170 1234567, server-error*2\n+491701234568,capped_once\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a := list["491701234567"]; a.times != 2 {
		t.Errorf("times %d", a.times)
	}
	if a := list["491701234568"]; a.times != 1 {
		t.Errorf("times %d", a.times)
	}
	s := start(t, Config{})
	if status, body, _ := call(t, "POST", s.URL()+"/simulator/behaviours", "", "491701234567,server_error*2\n"); status != 200 {
		t.Fatalf("%d %v", status, body)
	}
	var got []int
	for range 4 {
		status, _, _ := call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", ""))
		got = append(got, status)
	}
	if !slices.Equal(got, []int{500, 500, 200, 200}) {
		t.Errorf("answers %v", got)
	}
}

func TestBadBehavioursFileNamesTheLine(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		"phone,behaviour\n+491701234567,dance\n":            "line 2: unknown behaviour \"dance\"; known are ok,",
		"+491701234567,ok\n+491701234567,capped\n":          "line 2: this phone number has a behaviour already, in line 1",
		"+491701234567\n":                                   "line 1: two columns",
		"nobody,ok\n":                                       "line 1: the first column is not a phone number",
		"+491701234567,capped*0\n":                          "line 1: behaviour \"capped*0\"",
		"+491701234567,code:many\n":                         "line 1: behaviour \"code:many\"",
		"# one\n\n+491701234568,ok\n+491701234567,async:\n": "line 4: behaviour \"async:\"",
	} {
		_, err := readBehaviours(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestWebhooksAreRetriedUntilTheTargetAnswers(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	target.fail = 5
	s := start(t, Config{WebhookURL: target.URL, Pace: 0.02})
	for i := range 20 {
		if status, _, err := call(t, "POST", s.URL()+"/messages", "", sendTo(fmt.Sprintf("+4917012345%02d", i), "")); status != 200 {
			t.Fatal(status, err)
		}
	}
	target.wait(t, 60)
	eventually(t, "an empty backlog", func() bool { return s.Stats().WebhooksWaiting == 0 })
	if st := s.Stats(); st.WebhooksDelivered != 60 || st.WebhookFailures != 5 {
		t.Errorf("stats %+v", st)
	}
}

func TestRegisteredWebhookWins(t *testing.T) {
	t.Parallel()

	first, second := newReceiver(t), newReceiver(t)
	s := start(t, Config{Key: "k", WebhookURL: first.URL, Pace: 0.02})
	status, body, _ := call(t, "POST", s.URL()+"/v1/configs/webhook", "k", `{"url":"`+second.URL+`","headers":{"Authorization":"Basic eA=="}}`)
	if status != 200 || body["url"] != second.URL {
		t.Fatal(status, body)
	}
	if status, body, _ = call(t, "GET", s.URL()+"/v1/configs/webhook", "k", ""); status != 200 || body["url"] != second.URL {
		t.Fatal(status, body)
	}
	call(t, "POST", s.URL()+"/messages", "k", sendTo("+491701234567", ""))
	second.wait(t, 3)
	if got := second.headers.Get("Authorization"); got != "Basic eA==" {
		t.Errorf("authorization %q", got)
	}
	if first.requests > 0 {
		t.Error("the default target was called too")
	}
}

func TestWebhookURLRules(t *testing.T) {
	t.Parallel()

	for target, good := range map[string]bool{
		"https://hooks.example/a":       true,
		"http://127.0.0.1:8080/a":       true,
		"http://[::1]:8080/a":           true,
		"http://localhost/a":            true,
		"http://hooks.example/a":        false,
		"https://my_hooks.example/a":    false,
		"https://hooks.example:8443/a":  false,
		"ftp://127.0.0.1/a":             false,
		"hooks.example/a":               false,
		"":                              false,
		"http://127.0.0.1.example.com/": false,
	} {
		if err := checkTarget(target); (err == nil) != good {
			t.Errorf("%q: %v", target, err)
		}
	}
	s := start(t, Config{})
	if status, _, _ := call(t, "GET", s.URL()+"/v1/configs/webhook", "", ""); status != 404 {
		t.Errorf("an unset webhook answers %d", status)
	}
	status, body, _ := call(t, "POST", s.URL()+"/v1/configs/webhook", "", `{"url":"http://hooks.example"}`)
	if meta, _ := body["meta"].(map[string]any); status != 400 || meta["success"] != false {
		t.Errorf("%d %v", status, body)
	}
}

func TestKeysPathsAndMethods(t *testing.T) {
	t.Parallel()

	s := start(t, Config{Key: "one", Numbers: []Number{{Key: "two", Phone: "+15550001111"}}})
	for _, c := range []struct {
		method, path, key string
		want              int
	}{
		{"POST", "/messages", "one", 200},
		{"POST", "/messages", "two", 200},
		{"POST", "/messages", "", 401},
		{"POST", "/messages", "three", 401},
		{"GET", "/messages", "one", 405},
		{"POST", "/v2/messages", "one", 404},
		{"GET", "/", "one", 404},
		{"GET", "/123456", "one", 400},
		{"GET", "/health_status", "one", 200},
		{"DELETE", "/health_status", "one", 405},
		{"GET", "/simulator/stats", "", 200},
		{"GET", "/simulator/nothing", "", 404},
	} {
		status, _, err := call(t, c.method, s.URL()+c.path, c.key, sendTo("+491701234567", ""))
		if err != nil || status != c.want {
			t.Errorf("%s %s with %q: %d, %v; want %d", c.method, c.path, c.key, status, err, c.want)
		}
	}
	entries, _ := s.Ledger().Entries()
	outcomes := map[string]int{}
	for _, e := range entries {
		outcomes[e.Outcome]++
	}
	if outcomes["accepted"] != 2 || outcomes["refused:401"] != 2 || len(entries) != 4 {
		t.Errorf("ledger %v", outcomes)
	}
}

func TestSandboxAndMarketingDialects(t *testing.T) {
	t.Parallel()

	s := start(t, Config{})
	status, body, _ := call(t, "POST", s.URL()+"/v1/messages", "", `{"to":"+491701234567","type":"text","text":{"body":"hello"}}`)
	if status != 201 || body["contacts"] != nil || len(body["messages"].([]any)) != 1 {
		t.Errorf("sandbox: %d %v", status, body)
	}
	status, body, _ = call(t, "POST", s.URL()+"/marketing_messages", "", spring("+491701234567", ""))
	if status != 200 {
		t.Errorf("marketing: %d %v", status, body)
	}
	status, body, _ = call(t, "POST", s.URL()+"/marketing_messages", "", sendTo("+491701234567", ""))
	if _, wrapped := body["detail"]; status != 400 || codeOf(body) != 134100 || !wrapped {
		t.Errorf("marketing, utility template: %d %v", status, body)
	}
	status, body, _ = call(t, "POST", s.URL()+"/messages", "", `{"messaging_product":"whatsapp","status":"read","message_id":"wamid.x"}`)
	if status != 200 || body["success"] != true {
		t.Errorf("read mark: %d %v", status, body)
	}
	if s.Ledger().Count() != 3 {
		t.Errorf("%d entries", s.Ledger().Count())
	}
}

func TestLedgerFileIsCompleteAfterStop(t *testing.T) {
	t.Parallel()

	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	s, err := New(Config{LedgerFile: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	for i := range 50 {
		call(t, "POST", s.URL()+"/messages", "", sendTo(fmt.Sprintf("+4917012345%02d", i), ""))
	}
	eventually(t, "a flush without a stop", func() bool {
		b, _ := os.ReadFile(path)
		return bytes.Count(b, []byte{'\n'}) == 50
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLedger(path)
	if err != nil || len(entries) != 50 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	ids := map[string]bool{}
	for _, e := range entries {
		ids[e.ID] = true
	}
	if len(ids) != 50 {
		t.Error("ids are not unique")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errorFull }
func (fullDisk) Close() error              { return nil }

var errorFull = fmt.Errorf("no space left on device")

func TestFullDiskDoesNotStopTheSimulator(t *testing.T) {
	t.Parallel()

	s, err := New(Config{LedgerFile: filepath.Join(t.TempDir(), "ledger.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	s.ledger.file.Close()
	s.ledger.file = fullDisk{}
	s.ledger.w.Reset(fullDisk{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", ""))
	eventually(t, "the failed flush", func() bool { return s.Stats().LedgerFailed == 1 })
	if status, _, _ := call(t, "POST", s.URL()+"/messages", "", sendTo("+491701234567", "")); status != 200 {
		t.Errorf("status %d after the disk was full", status)
	}
	if s.Stats().LedgerFailed != 2 {
		t.Errorf("stats %+v", s.Stats())
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "lacks 2 entries: no space left") {
		t.Errorf("Run returned %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`[{"name":"x","language":"en","category":"UTILITY"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"unknown profile":        {Profile: "angry"},
		"pace":                   {Pace: -1},
		"latency":                {Latency: -1},
		"components are missing": {TemplatesFile: bad},
		"key of its own":         {Key: "a", Numbers: []Number{{Key: "a"}}},
		"webhook URL":            {WebhookURL: "far.example/hook"},
		"behaviours":             {BehavioursFile: filepath.Join(dir, "none.csv")},
		"open ledger":            {LedgerFile: filepath.Join(dir, "none", "ledger")},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
	s, err := New(Config{Listen: "256.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil {
		t.Error("Run listened on an impossible address")
	}
}

// What the provider took is reported, what it did not take is not, whatever the
// client was told: the ledger is the truth that tests compare with.
func TestHostileProfileReportsExactlyWhatTheLedgerHas(t *testing.T) {
	t.Parallel()

	target := newReceiver(t)
	target.fail = 3
	s := start(t, Config{WebhookURL: target.URL, Profile: Hostile, Seed: 11, Pace: 0.0005, Rate: -1, Latency: time.Millisecond, SlowAnswer: 20 * time.Millisecond})
	const n = 600
	told := map[string]bool{}
	for i := range n {
		_, body, _ := call(t, "POST", s.URL()+"/messages", "", spring(fmt.Sprintf("+91981234%04d", i), fmt.Sprint(i)))
		if list, ok := body["messages"].([]any); ok && len(list) == 1 {
			told[list[0].(map[string]any)["id"].(string)] = true
		}
	}
	eventually(t, "an empty backlog", func() bool { return s.Stats().WebhooksWaiting == 0 })

	entries, err := s.Ledger().Entries()
	if err != nil || len(entries) != n {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	reported, opaque := map[string]bool{}, map[string]string{}
	for _, r := range target.statuses {
		reported[r.ID], opaque[r.ID] = true, r.Opaque
	}
	taken, silent := 0, 0
	for _, e := range entries {
		if e.ID == "" {
			continue
		}
		taken++
		if !reported[e.ID] || opaque[e.ID] != e.Opaque {
			t.Errorf("%s %s: reported %v as %q", e.Outcome, e.Opaque, reported[e.ID], opaque[e.ID])
		}
		if !told[e.ID] {
			silent++
		}
		delete(reported, e.ID)
		delete(told, e.ID)
	}
	if len(reported) > 0 || len(told) > 0 {
		t.Errorf("%d messages were reported and %d acknowledged that are not in the ledger", len(reported), len(told))
	}
	if taken < n/2 || taken == n || silent == 0 {
		t.Errorf("%d taken, %d of them without telling the client", taken, silent)
	}
}
