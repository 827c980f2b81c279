package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

func TestPhoneInspect(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	got := s.runInput("+12125550100\n\nnonsense\r\n", "phone", "inspect", "-", "030/1234567", "--country", "de", "--json")
	numbers := decode[[]phone.Info](t, got)
	var inputs []string
	for _, n := range numbers {
		inputs = append(inputs, n.Input)
	}
	if got.code != 0 || !slices.Equal(inputs, []string{"+12125550100", "nonsense", "030/1234567"}) {
		t.Fatalf("exit code %d, inputs %q", got.code, inputs)
	}
	if !numbers[0].USMarketing || numbers[1].Valid || numbers[1].Error == "" || numbers[2].E164 != "+49301234567" {
		t.Errorf("the numbers are %+v", numbers)
	}
}

func TestErrorExplain(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	s.write("ok.json", `{"messaging_product":"whatsapp","contacts":[{"input":"+49","wa_id":"49"}],"messages":[{"id":"wamid.x"}]}`)
	cases := []struct {
		stdin  string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"", []string{"131049"}, 0, "tried again", ""},
		{"", []string{"471", "--json"}, 0, `"maps_to": 131048`, ""},
		{"", []string{"999999"}, 0, "final", ""},
		{"", []string{"http_504"}, 0, "http_504", ""},
		{`{"error":{"code":131056,"message":"pair"}}`, []string{"--body", "-"}, 0, "131056", ""},
		{"<html>bad gateway</html>", []string{"--body", "-", "--http", "502"}, 0, "502", ""},
		{"", []string{"--body", "ok.json", "--http", "200"}, 0, "no error: the answer to a message that was accepted", ""},
		{"", []string{}, 2, "", "either a code or --body"},
		{"", []string{"1", "--body", "-"}, 2, "", "either a code or --body"},
		{"", []string{"1", "--http", "400"}, 2, "", "--http goes with --body"},
		{"", []string{"abc"}, 2, "", `"abc" is not an error code`},
		{"", []string{"-7"}, 2, "", `"-7" is not an error code`},
		{"", []string{"--body", "-", "--http", "42"}, 2, "", "--http 42 is no HTTP status"},
		{"", []string{"--body", "nowhere"}, 3, "", "there is no file nowhere"},
	}
	for _, c := range cases {
		got := s.runInput(c.stdin, append([]string{"error", "explain"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%q: exit code %d, want %d\nstdout: %s\nstderr: %s", c.args, got.code, c.code, got.stdout, got.stderr)
		}
	}
}

func TestTemplateCheckFindsProblems(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	good := `{"name":"promo","language":"en_US","category":"MARKETING","components":[{"type":"BODY","text":"Hi {{1}}","example":{"body_text":[["Ann"]]}}]}`
	if got := s.runInput(good, "template", "check", "-"); got.code != 0 || !strings.Contains(got.stdout, "body.1") || !strings.Contains(got.stdout, "required") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	flow := `[` + good + `,{"name":"flow","language":"en_US","category":"MARKETING","components":[{"type":"BODY","text":"Hi"},{"type":"BUTTONS","buttons":[{"type":"FLOW","text":"Go","flow_id":"1"}]}]}]`
	got := s.runInput(flow, "template", "check", "-", "--json")
	list := decode[[]campaign.TemplateSummary](t, got)
	if got.code != 6 || len(list) != 2 || !list[0].Sendable || list[1].Sendable || !strings.Contains(got.stderr, "1 template of 2 has problems") {
		t.Errorf("exit code %d, %+v, stderr %s", got.code, list, got.stderr)
	}
	if quiet := s.runInput(flow, "template", "check", "-", "--quiet"); quiet.code != 6 || quiet.stdout != "" {
		t.Errorf("quiet: exit code %d, stdout %q", quiet.code, quiet.stdout)
	}
	for _, bad := range []string{"", "nonsense", `{"hello":1}`} {
		if got := s.runInput(bad, "template", "check", "-"); got.code != 2 || !strings.Contains(got.stderr, "standard input: ") {
			t.Errorf("%q: exit code %d, stderr %s", bad, got.code, got.stderr)
		}
	}
}

func TestWebhookInspectKeepsTheGoodAndNamesTheBad(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	s.write("good.json", `{"entry":[{"changes":[{"field":"messages","value":{"statuses":[{"id":"wamid.x","status":"failed","errors":[{"code":131026}]}]}}]}]}`)
	s.write("bad.json", `{"entry"`)
	got := s.run("webhook", "inspect", "bad.json", "good.json", "--json")
	all := decode[[]inspected](t, got)
	if got.code != 1 || len(all) != 1 || all[0].File != "good.json" || len(all[0].Events) != 1 || all[0].Events[0].Code != 131026 {
		t.Errorf("exit code %d, %+v", got.code, all)
	}
	if !strings.HasPrefix(got.stderr, "campaignctl: bad.json: ") {
		t.Errorf("stderr: %s", got.stderr)
	}
	if odd := s.runInput(`{"anything":true}`, "webhook", "inspect"); odd.code != 0 || !strings.Contains(odd.stdout, "other") {
		t.Errorf("an unknown envelope: exit code %d, %s", odd.code, odd.stdout)
	}
	if empty := s.runInput("", "webhook", "inspect", "-"); empty.code != 1 || !strings.Contains(empty.stderr, "standard input: ") {
		t.Errorf("an empty body: exit code %d, %s", empty.code, empty.stderr)
	}
}

func TestSimulatorRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	keyFile := s.write("key", "the-key\n")
	cmd := exec.Command(builtProgram, "simulator", "--listen", "127.0.0.1:0", "--key-ref", "file:"+keyFile, "--seed", "3", "--profile", "realistic", "--ledger", "posts.jsonl")
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://127.0.0.1:") {
		t.Fatalf("it says %q, %v", line, err)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(stderr.String(), "profile realistic, seed 3") || !strings.Contains(stderr.String(), "0 POSTs seen") {
		t.Errorf("stderr: %s", stderr.String())
	}

	wantError(t, s, 2, `--profile "evil" is not known`, "clean, realistic, hostile", "simulator", "--profile", "evil")
	wantError(t, s, 2, "is no address", "127.0.0.1:8181", "simulator", "--listen", "8181")
	wantError(t, s, 2, "NO_SUCH_KEY is not set here", "export NO_SUCH_KEY", "simulator", "--key-ref", "env:NO_SUCH_KEY")
	wantError(t, s, 2, "nowhere.csv", "", "simulator", "--listen", "127.0.0.1:0", "--behaviours", "nowhere.csv")
}

func TestCompletion(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := s.want(0, "completion", shell).stdout
		if !strings.Contains(script, "campaignctl "+completeWord) {
			t.Errorf("the script for %s never asks us", shell)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // this machine cannot read it
		}
		if out, err := exec.Command(path, "-n", s.write(shell, script)).CombinedOutput(); err != nil {
			t.Errorf("%s does not understand its script: %s", shell, out)
		}
	}
	wantError(t, s, 2, `no completion for "tcsh"`, "one of bash, zsh, fish", "completion", "tcsh")

	cases := []struct{ words, want string }{
		{"", "campaign"},
		{"cam", "campaign"},
		{"campaign la", "launch"},
		{"campaign launch --wa", "--wait"},
		{"--quiet campaign st", "status"},
		{"campaign launch -f x.yaml --ti", "--timeout"},
		{"campaign launch --name campaign --expect", "--expect-recipients"},
		{"phone inspect ", ""},
		{"campaign launch -f ", ""},
		{"schedu", "schedule"},
		{"schedule pa", "pause"},
	}
	for _, c := range cases {
		got := strings.Split(runInProcess(append([]string{completeWord}, strings.Split(c.words, " ")...)...).stdout, "\n")
		if c.want == "" && got[0] != "" || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%q is completed by %q, want %q", c.words, got, c.want)
		}
	}
}

// Without a database URL the server under the home is used: made by migrate,
// started for the time of a command, and left to a daemon that has it.
func TestTheServerUnderTheHome(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	// As root the server runs as another user, who must get in.
	for dir := s.dir; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.want(1, "migrate", "--dry-run"); !strings.Contains(got.stderr, "there is no database") {
		t.Errorf("a dry run makes a server: %s", got.stderr)
	}
	if got := s.want(0, "migrate"); !strings.Contains(got.stderr, "making a PostgreSQL server in ") || !strings.Contains(got.stdout, "0001_") {
		t.Errorf("stdout: %s\nstderr: %s", got.stdout, got.stderr)
	}
	got := s.want(0, "channel", "list", "--json")
	if got.stdout != "[]\n" || got.stderr != "" {
		t.Errorf("stdout: %q, stderr: %q", got.stdout, got.stderr)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "home", "data", "postmaster.pid")); err == nil {
		t.Error("the server was left running")
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()

	cases := []struct{ pair, json string }{
		{"body.1=Ann", `{"body.1":"Ann"}`},
		{"body.1=", `{"body.1":""}`},
		{"body.1=a=b, c", `{"body.1":"a=b, c"}`},
		{"body.1=text:column:x", `{"body.1":"column:x"}`},
		{"body.1=image of you", `{"body.1":"image of you"}`},
		{"body.1=10:30", `{"body.1":"10:30"}`},
		{"header=image:https://x.example/a.jpg", `{"header":{"image":{"link":"https://x.example/a.jpg"}}}`},
		{"header=video:id:123", `{"header":{"video":{"id":"123"}}}`},
		{"header=document:file:/a.pdf", `{"header":{"document":{"file":"/a.pdf"}}}`},
		{"header=location:52.5, 13.4, Berlin, Unter den Linden 1, 10117", `{"header":{"location":{"latitude":"52.5","longitude":"13.4","name":"Berlin","address":"Unter den Linden 1, 10117"}}}`},
	}
	for _, c := range cases {
		p, err := parseParameters([]string{c.pair})
		if err != nil {
			t.Errorf("%s: %v", c.pair, err)
			continue
		}
		var out strings.Builder
		if err := printJSONLine(&out, p); err != nil || strings.TrimSpace(out.String()) != c.json {
			t.Errorf("%s became %s, want %s (%v)", c.pair, out.String(), c.json, err)
		}
	}
	for _, bad := range [][]string{{"x"}, {"=x"}, {"a=1", "a=2"}, {"a=column:b"}, {"header=image:column:b"}} {
		if p, err := parseParameters(bad); err == nil {
			t.Errorf("%q became %v", bad, p)
		}
	}
}

func TestExpectation(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		text     string
		eligible int64
		ok       bool
	}{{"", 7, true}, {"7", 7, true}, {"7", 8, false}, {"5..8", 5, true}, {"5..8", 8, true}, {"5..8", 9, false}, {"0", 0, true}} {
		e, err := parseExpect(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		} else if err := e.check(c.eligible); (err == nil) != c.ok {
			t.Errorf("%q and %d: %v", c.text, c.eligible, err)
		}
	}
	for _, bad := range []string{"x", "-1", "5..", "..5", "8..5", "1-5", "1.5"} {
		if _, err := parseExpect(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Webhooks get their number before their commit: a lower one may appear late and
// must be shown all the same, once.
func TestTailShowsLateDeliveriesOnce(t *testing.T) {
	t.Parallel()

	now := time.Now()
	c := newTailCursor(10)
	see := func(id int64, at time.Time) bool { return c.see(campaign.Delivery{ID: id, ReceivedAt: at}) }
	if !see(11, now) || !see(13, now) || see(13, now) || see(10, now) {
		t.Error("new ones are not told from old ones")
	}
	c.advance(now)
	if c.after != 11 {
		t.Errorf("the cursor passed the gap: %d", c.after)
	}
	if see(13, now) || !see(12, now) {
		t.Error("the late one is not shown, or another twice")
	}
	c.advance(now)
	if c.after != 13 || len(c.seen) != 0 {
		t.Errorf("the cursor is at %d with %d kept", c.after, len(c.seen))
	}
	see(20, now)
	c.advance(now.Add(tailLate))
	if c.after != 20 {
		t.Errorf("a gap that nobody fills holds the cursor at %d", c.after)
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()

	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) is %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", 90 * time.Second: "1m30s", 10 * time.Second: "10s", 10 * time.Minute: "10m", 0: "0s", time.Hour + time.Second: "1h0m1s"} {
		if got := span(d); got != want {
			t.Errorf("span(%d) is %s, want %s", d, got, want)
		}
	}
}
