package simulator

import (
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
	call(t, "POST", s.URL()+"/simulator/inbound", "", `{"from":"+491701234567","text":"hi"}`)
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
