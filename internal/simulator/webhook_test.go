package simulator

import (
	"fmt"
	"testing"
)

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
