package simulator

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

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
