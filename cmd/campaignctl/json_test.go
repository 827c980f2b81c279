package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// accepted is what a provider answers when all is well.
var accepted = campaign.Answer{Kind: campaign.AnswerAccepted, ProviderID: "wamid.test", RawStatus: "accepted"}

// refusal is an answer that ends a message.
var refusal = campaign.Answer{Kind: campaign.AnswerFailed, Failure: campaign.Failure{Code: "131009", Title: "parameter value invalid", Class: campaign.Final, Scope: campaign.ScopeRequest}}

// object is any JSON object.
type object = map[string]any

// step is one command of a story, its exit code, and the keys of what it prints
// with --json: of the object, or of the first element of the array.
type step struct {
	args []string
	code int
	keys []string // nil: any
}

// The contracts of --json (design §11), as one story from an empty database on:
// every command that has --json is in it, prints exactly one value, and that has
// exactly the documented keys.
func TestJSONOfEveryCommand(t *testing.T) {
	t.Parallel()

	w := emptyWorld(t)
	w.write("vips.csv", contactsCSV+"nonsense,X,Y\n")
	w.write("spring.yaml", campaignFile)
	w.write("create.json", `{"name":"promo","language":"en_US","category":"MARKETING","components":[{"type":"BODY","text":"Hi {{1}}","example":{"body_text":[["Ann"]]}}]}`)
	w.write("otp.json", `{"name":"otp","language":"en_US","category":"AUTHENTICATION","components":[{"type":"BODY"},{"type":"BUTTONS","buttons":[{"type":"OTP","otp_type":"COPY_CODE"}]}]}`)
	w.write("hook.json", `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","statuses":[{"id":"wamid.x","status":"sent","timestamp":"1700000000","recipient_id":"491701234567"}]}}]}]}`)
	w.write("answer.json", `{"error":{"message":"(#131056) Pair rate limit","code":131056}}`)
	w.write("ledger.jsonl", "")
	w.write("weekly.yaml", strings.Replace(campaignFile, "name: spring", "name: weekly", 1)+"schedule: {cron: \"0 9 * * 1\", timezone: Europe/Berlin}\n")

	channel := []string{"id", "name", "phone", "account", "base_url", "dialect", "key_ref", "webhook_secret_ref", "webhook_url", "rate", "on_unknown", "confirmation", "holds", "created_at"}
	explained := []string{"code", "maps_to", "title", "class", "scope", "operator", "advice", "http"}
	plan := []string{"id", "name", "state", "plan_hash", "total", "eligible", "skipped", "created", "first_at", "last_at"}
	launch := []string{"id", "name", "state", "plan_hash", "total", "eligible", "skipped", "created"}
	status := []string{"id", "name", "state", "holds", "total", "counts", "skipped", "errors", "waiting", "rate", "started_at", "finished_at", "inbound"}
	list := []string{"id", "name", "columns", "contacts", "created_at", "updated_at"}
	stored := []string{"channel", "name", "language", "category", "format", "slots", "problems", "sendable", "status", "quality", "text", "synced_at"}
	hook := []string{"channel", "url", "ours", "secret"}
	schedule := []string{"id", "name", "channel", "state", "cron", "timezone", "late", "ends_at", "expect_recipients", "next_at", "paused_at", "pause_reason", "created_at"}

	steps := []step{
		{args: []string{"migrate"}, keys: []string{"dry_run", "version", "migrations"}},
		{args: []string{"channel", "add", "sales", "--phone", "+4930123456", "--base-url", w.provider, "--key-ref", "env:D360_KEY",
			"--webhook-secret-ref", "env:WEBHOOK_SECRET", "--rate", "50/s"}, keys: channel},
		{args: []string{"channel", "list"}, keys: channel},
		{args: []string{"channel", "show", "sales"}, keys: channel},
		{args: []string{"channel", "webhook", "sales"}, keys: hook},
		{args: []string{"channel", "webhook", "sales", "--url", "http://127.0.0.1:1/webhooks/sales"}, keys: hook},
		{args: []string{"channel", "health", "sales"}, keys: []string{"channel", "status", "entities"}},
		{args: []string{"template", "sync"}, keys: []string{"channel", "added", "changed", "removed", "unchanged", "changes"}},
		{args: []string{"template", "list"}, keys: stored},
		{args: []string{"template", "show", "spring_sale"}, keys: stored},
		{args: []string{"template", "check", "create.json"}, keys: []string{"name", "language", "category", "format", "slots", "problems", "sendable"}},
		{args: []string{"template", "check", "otp.json"}, code: 6},
		{args: []string{"contact", "import", "vips.csv", "--list", "vips", "--opted-in", "test"}, code: 6, keys: []string{"rows", "created", "updated", "unchanged", "refused", "errors_file"}},
		{args: []string{"contact", "show", "+491701234567"}, keys: []string{"id", "phone", "country", "nanp", "language", "time_zone", "attributes", "opt_in",
			"opt_in_source", "opt_in_at", "opted_out_at", "opted_out_by", "rest_until", "user_id", "created_at", "updated_at", "aliases", "lists", "suppression", "suppression_hidden", "skip", "frequency_cap", "windows", "replies", "messages"}},
		{args: []string{"contact", "opt-in", "+491701234567"}, keys: []string{"numbers", "changed"}},
		{args: []string{"campaign", "cap", "9/7d", "--then", "defer"}, keys: []string{"frequency_cap"}},
		{args: []string{"contact", "opt-in", "+491701110000"}, keys: []string{"numbers", "changed"}},
		{args: []string{"contact", "forget", "+491708888888", "--yes"}, keys: []string{"contacts", "messages", "replies", "webhooks"}},
		{args: []string{"suppress", "add", "+491707777777", "--block", "KP"}, keys: []string{"entries", "changed"}},
		{args: []string{"suppress", "import", "vips.csv", "--reason", "x"}, code: 6, keys: []string{"rows", "added", "unchanged", "refused", "errors_file"}},
		{args: []string{"suppress", "remove", "+491701234567", "+491707654321", "+12125550100"}, keys: []string{"entries", "changed"}},
		{args: []string{"suppress", "list"}, keys: []string{"countries", "people", "forgotten"}},
		{args: []string{"suppress", "words", "set", "genug", "--meaning", "stop"}, keys: []string{"word", "language", "meaning", "own"}},
		{args: []string{"suppress", "words", "confirm", "sales", "You are unsubscribed."}, keys: []string{"channel", "confirmation"}},
		{args: []string{"suppress", "words", "list"}, keys: []string{"word", "language", "meaning", "own"}},
		{args: []string{"suppress", "words", "unset", "genug"}, keys: []string{"word", "language", "meaning", "own"}},
		{args: []string{"contact", "opt-out", "+491709999999"}, keys: []string{"numbers", "changed"}},
		{args: []string{"list", "list"}, keys: list},
		{args: []string{"list", "show", "vips"}, keys: list},
		{args: []string{"campaign", "plan", "-f", "spring.yaml"}, keys: plan},
		{args: []string{"campaign", "plan", "-f", "spring.yaml", "--replace"}, keys: plan},
		{args: []string{"campaign", "test", "-f", "spring.yaml", "--to", "+491701110000"}, keys: []string{"message", "state", "reason", "provider_id", "error"}},
		{args: []string{"campaign", "launch", "-f", "spring.yaml", "--yes", "--expect-recipients", "2"}, keys: launch},
		{args: []string{"campaign", "launch", "spring", "--wait", "--timeout", "1ms"}, code: 8, keys: launch},
		{args: []string{"campaign", "list"}, keys: []string{"id", "name", "key", "channel", "state", "total", "counts", "created_at", "starts_at", "started_at", "finished_at"}},
		{args: []string{"campaign", "status", "spring"}, keys: status},
		{args: []string{"campaign", "pause", "spring"}, keys: status},
		{args: []string{"campaign", "resume", "spring"}, keys: status},
		{args: []string{"campaign", "report", "spring"}, keys: append(slices.Clone(status), "key", "channel", "template", "funnel", "codes", "replies", "repliers", "created_at")},
		{args: []string{"campaign", "verify"}, keys: []string{"ok", "findings"}},
		{args: []string{"channel", "pause", "sales"}, keys: channel},
		{args: []string{"channel", "resume", "sales"}, keys: channel},
		{args: []string{"message", "list", "--phone", "+491701234567"}},
		{args: []string{"message", "show", "$id"}},
		{args: []string{"message", "resolve", "$id", "--fail"}, keys: []string{"messages", "waiting", "until"}},
		{args: []string{"campaign", "resolve", "spring", "--resend"}, keys: []string{"messages", "waiting", "until"}},
		{args: []string{"campaign", "cancel", "spring", "--yes"}, keys: status},
		{args: []string{"campaign", "watch", "spring"}, keys: status},
		{args: []string{"send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701110000"},
			keys: []string{"message", "state", "reason", "provider_id", "error"}},
		{args: []string{"campaign", "launch", "-f", "weekly.yaml", "--yes"}, keys: append(slices.Clone(schedule), "created", "next")},
		{args: []string{"schedule", "list"}, keys: schedule},
		{args: []string{"schedule", "show", "weekly"}, keys: append(slices.Clone(schedule), "next", "occurrences")},
		{args: []string{"schedule", "next", "weekly"}, keys: []string{"at", "local", "timezone"}},
		{args: []string{"schedule", "pause", "weekly", "--reason", "summer"}, keys: schedule},
		{args: []string{"schedule", "resume", "weekly"}, keys: schedule},
		{args: []string{"schedule", "delete", "weekly", "--yes"}, keys: schedule},
		{args: []string{"audit", "list"}, keys: []string{"id", "at", "action", "object", "object_id", "name", "campaign_id", "count", "detail", "reason", "plan_hash",
			"database_user", "os_user", "host", "program"}},
		{args: []string{"list", "delete", "vips"}, keys: append(slices.Clone(list), "campaigns")},
		{args: []string{"webhook", "replay", "--since", "1h"}, keys: []string{"webhooks"}},
		{args: []string{"webhook", "inspect", "hook.json"}, keys: []string{"file", "events"}},
		{args: []string{"phone", "inspect", "+4930123456", "nonsense"}, keys: []string{"input", "valid", "e164", "country", "calling_code", "nanp", "us_marketing", "time_zones", "error"}},
		{args: []string{"error", "explain", "131049"}, keys: explained},
		{args: []string{"error", "explain", "--body", "answer.json", "--http", "400"}, keys: explained},
		{args: []string{"error", "list"}, keys: explained},
	}
	// See TestWebhookTail, TestRetryAndResolve, TestBench… and, of package campaignd, TestNodeList….
	told := map[string]bool{"webhook tail": true, "campaign retry": true, "bench": true, "node list": true}
	var id any // of the message that was listed last
	for _, s := range steps {
		args := append(slices.Clone(s.args), "--json")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "$id", fmt.Sprint(id))
		}
		got := w.want(s.code, args...)
		first := firstObject(t, args, got)
		if s.args[0] == "message" && s.args[1] == "list" {
			id = first["id"]
		}
		if s.keys != nil {
			keys := slices.Clone(s.keys)
			if !slices.Equal(slices.Sorted(maps.Keys(first)), slices.Sorted(slices.Values(keys))) {
				t.Errorf("%s: keys %q, want %q", strings.Join(args, " "), slices.Sorted(maps.Keys(first)), slices.Sorted(slices.Values(keys)))
			}
		}
		for n := range min(3, len(s.args)) {
			told[strings.Join(s.args[:n+1], " ")] = true
		}
	}
	for _, l := range leaves() {
		if named(l.command.Flags, "json") != nil && !told[l.String()] {
			t.Errorf("the story lacks %s --json", l)
		}
	}
}

// firstObject gives the one value of a run, or the first of its array.
func firstObject(t *testing.T, args []string, got outcome) object {
	t.Helper()
	value := decode[any](t, got)
	if array, ok := value.([]any); ok {
		if len(array) == 0 {
			t.Fatalf("%s: an empty array", strings.Join(args, " "))
		}
		value = array[0]
	}
	first, ok := value.(object)
	if !ok {
		t.Fatalf("%s: %v is no object", strings.Join(args, " "), value)
	}
	return first
}

func TestStatusHasEveryState(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	status := decode[campaign.Status](t, w.want(0, "campaign", "status", "--json", "spring"))
	var sum int64
	for _, state := range campaign.MessageStates {
		n, there := status.Counts[state]
		if !there {
			t.Errorf("counts lack %s", state)
		}
		sum += n
	}
	if sum != status.Total || status.Total != 3 || status.Skipped[campaign.ReasonUSMarketing] != 1 {
		t.Errorf("the counts add up to %d of %d, skipped %v", sum, status.Total, status.Skipped)
	}
}

func TestWatchPrintsALineForEachStatus(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	w.want(0, "campaign", "launch", "spring", "--yes")
	watch := exec.Command(builtProgram, "campaign", "watch", "spring", "--json", "--interval", "100ms")
	watch.Dir, watch.Env = w.dir, w.env
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = watch.Process.Kill() })
	defer timer.Stop()
	var lines []string
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if lines = append(lines, scan.Text()); len(lines) == 1 {
			w.work("spring", accepted)
		}
	}
	if err := watch.Wait(); err != nil {
		t.Fatalf("watch ended with %v", err)
	}
	if len(lines) < 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var states []campaign.State
	for _, line := range lines {
		var s campaign.Status
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		states = append(states, s.State)
	}
	if states[0] != campaign.Running || states[len(states)-1] != campaign.Completed {
		t.Errorf("the states were %q", states)
	}
}
