package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestPlanShowsWhatWillHappen(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	path := w.write("spring.yaml", campaignFile)
	got := w.want(0, "campaign", "plan", "-f", path)
	for _, want := range []string{
		"eligible                 2", "skipped, us_marketing     1", "row 4, +12125550100",
		"to +491701234567 (en_US)", "Hello Ann, spring is here! Your personal voucher A1", "voucher=A1",
		"first message", "last message", "campaignctl campaign launch 1",
	} {
		if !strings.Contains(strings.Join(strings.Fields(got.stdout), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the plan does not show %q:\n%s", want, got.stdout)
		}
	}
	// The same again is the same plan, previews included.
	again := w.want(0, "campaign", "plan", "-f="+path, "--name", "spring")
	if !strings.Contains(again.stdout, "was planned before") || !strings.Contains(again.stdout, "Hello Ann") {
		t.Errorf("planned again it says:\n%s", again.stdout)
	}
	first := decode[campaign.Plan](t, w.want(0, "campaign", "plan", "-f", path, "--json"))
	if first.Created {
		t.Error("planned again it is called created")
	}
	w.want(5, "campaign", "plan", "-f", path, "--rate", "1/s")
	second := decode[campaign.Plan](t, w.want(0, "campaign", "plan", "-f", path, "--rate", "1/s", "--replace", "--json"))
	if !second.Created || second.PlanHash == first.PlanHash {
		t.Errorf("replaced: created %v, hash %s and before %s", second.Created, second.PlanHash, first.PlanHash)
	}
}

func TestACampaignFromFlagsIsTheSameAsFromAFile(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(replaced(campaignFile, "{column: first_name, default: there}", "{column: first_name}"))
	got := w.want(0, "campaign", "plan", "--json", "--name", "spring", "--channel", "sales", "--template", "spring_sale", "--language", "en_US",
		"--list", "vips", "-p", "body.1=column:first_name", "-p", "body.2=column:voucher", "--parameter", "button.0=column:voucher")
	if decode[campaign.Plan](t, got).Created {
		t.Error("the flags make another campaign than the file")
	}
	// A flag changes one key of a file: another key is another campaign.
	other := decode[campaign.Plan](t, w.want(0, "campaign", "plan", "-f", w.write("s.yaml", campaignFile), "--key", "2026-05-01", "--json"))
	if !other.Created || other.ID == 1 {
		t.Errorf("with another key: %+v", other.Launched)
	}
}

func TestAContactFileIsImportedByItsCampaign(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.write("others.csv", "phone;first_name;voucher;opt_in\n030 1234567;Dora;D1;yes\n030 7654321;Emil;E1;2026-01-31\nnonsense;X;Y;yes\n")
	path := w.write("spring.yaml", replaced(campaignFile, "{list: vips}", "{file: others.csv, country: DE}"))
	got := w.want(0, "campaign", "plan", "-f", path, "--json")
	if plan := decode[campaign.Plan](t, got); plan.Total != 2 || plan.Eligible != 2 {
		t.Errorf("planned %+v", plan.Launched)
	}
	if !strings.Contains(got.stderr, "warning: 1 row of ") || !strings.Contains(got.stderr, "others.csv.errors.csv") {
		t.Errorf("the refused row is not told: %s", got.stderr)
	}
	if list := decode[campaign.List](t, w.want(0, "list", "show", "spring", "--json")); list.Contacts != 2 {
		t.Errorf("the list of the campaign has %d contacts", list.Contacts)
	}
}

func TestLaunchTwiceIsOneCampaign(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	path := w.write("spring.yaml", campaignFile)
	first := decode[campaign.Launched](t, w.want(0, "campaign", "launch", "-f", path, "--yes", "--json"))
	got := w.want(0, "campaign", "launch", "-f", path, "--json") // needs no confirmation: nothing is launched
	second := decode[campaign.Launched](t, got)
	if !first.Created || second.Created || first.ID != second.ID || second.State != campaign.Running {
		t.Errorf("launched %+v and %+v", first, second)
	}
	if !strings.Contains(got.stderr, "was launched before; nothing is sent twice") {
		t.Errorf("stderr: %s", got.stderr)
	}
	wantError(t, w.session, 5, "other content: rate", "another key", "campaign", "launch", "-f", path, "--rate", "5/s", "--yes")
}

func TestLaunchTellsWhoJoinedOrLeft(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	w.want(0, "contact", "import", w.write("more.csv", "phone,first_name,voucher\n+491709998887,Fay,F1\n"), "--list", "vips", "--opted-in", "test")
	got := w.want(0, "campaign", "launch", "spring", "--yes")
	if !strings.Contains(got.stderr, "1 person joined the list since the plan and will not get it, such as +491709998887") {
		t.Errorf("stderr: %s", got.stderr)
	}
	if !strings.Contains(got.stdout, "2 eligible") {
		t.Errorf("the frozen audience is not sent: %s", got.stdout)
	}
}

func TestWaitEndsByHowTheCampaignDid(t *testing.T) {
	t.Parallel()

	launch := func(t *testing.T) *world {
		w := newWorld(t)
		w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
		return w
	}
	t.Run("Well", func(t *testing.T) {
		t.Parallel()

		w := launch(t)
		w.work("spring", accepted)
		got := w.want(0, "campaign", "launch", "spring", "--wait", "--timeout", "20s")
		if !strings.HasSuffix(got.stdout, "campaign 1 spring is completed: 2 of 2 handed over\n") {
			t.Errorf("the end is not told: %s", got.stdout)
		}
		if got := w.want(0, "campaign", "launch", "spring", "--wait", "--timeout", "20s", "--quiet"); got.stdout+got.stderr != "" {
			t.Errorf("a quiet launch prints %q and %q", got.stdout, got.stderr)
		}
		// Completed, and not settled: the provider has only taken the messages.
		wantError(t, w.session, 8, "is not over after 1s", "campaign watch 1", "campaign", "launch", "spring", "--wait=settled", "--timeout", "1s", "--quiet", "--json=false")
	})
	t.Run("Failed", func(t *testing.T) {
		t.Parallel()

		w := launch(t)
		w.work("spring", refusal)
		got := w.want(6, "campaign", "launch", "spring", "--wait=settled", "--timeout", "20s", "--json")
		if l := decode[campaign.Launched](t, got); l.State != campaign.Completed {
			t.Errorf("the state is %s", l.State)
		}
		if !strings.Contains(got.stderr, "2 messages failed, 0 unknown") {
			t.Errorf("stderr: %s", got.stderr)
		}
		report := w.want(0, "campaign", "report", "spring")
		if !strings.Contains(report.stdout, "131009") || !strings.Contains(report.stdout, "parameter value invalid") {
			t.Errorf("the report does not explain the error:\n%s", report.stdout)
		}
	})
	t.Run("Unknown", func(t *testing.T) {
		t.Parallel()

		w := launch(t)
		w.work("spring", campaign.Answer{Kind: campaign.AnswerInDoubt})
		w.want(6, "campaign", "launch", "spring", "--wait", "--timeout", "20s")
	})
	t.Run("TimedOut", func(t *testing.T) {
		t.Parallel()

		w := launch(t)
		wantError(t, w.session, 8, "campaign 1 is not over after", "campaign watch 1", "campaign", "launch", "spring", "--wait", "--timeout", "10ms", "--quiet")
	})
	t.Run("Cancelled", func(t *testing.T) {
		t.Parallel()

		w := launch(t)
		w.want(0, "campaign", "cancel", "spring", "--yes")
		wantError(t, w.session, 5, "cancelled", "", "campaign", "launch", "spring", "--wait", "--yes")
	})
}

func TestPauseResumeAndCancel(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	w.want(0, "campaign", "pause", "spring", "--reason", "wrong voucher")
	status := w.want(0, "campaign", "status", "spring")
	if !strings.Contains(status.stdout, "paused") || !strings.Contains(status.stdout, "wrong voucher") {
		t.Errorf("the status does not say why:\n%s", status.stdout)
	}
	w.want(0, "channel", "pause", "sales", "--reason", "billing")
	got := w.want(0, "campaign", "resume", "spring")
	if !strings.Contains(got.stderr, "still held: billing") || !strings.Contains(got.stderr, "campaignctl channel resume sales") {
		t.Errorf("the remaining hold is not told: %s", got.stderr)
	}
	w.want(0, "channel", "resume", "sales")
	wantError(t, w.session, 7, "has to be confirmed", "--yes", "campaign", "cancel", "spring")
	w.want(0, "campaign", "cancel", "spring", "--yes")
	after := decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json"))
	if after.State != campaign.Cancelled || after.Counts[campaign.MessageCancelled] != 2 {
		t.Errorf("after the cancel: %s, %v", after.State, after.Counts)
	}
	w.want(0, "campaign", "cancel", "spring") // again does no harm, and asks nothing
	w.want(5, "campaign", "pause", "spring")
}

func TestWebhookAddressMustEndWithTheChannel(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	for _, path := range []string{"/webhooks/other", "/webhooks/sales/", "/", ""} {
		wantError(t, w.session, 2, "has to end with /webhooks/sales", "http://127.0.0.1:1/webhooks/sales",
			"channel", "webhook", "sales", "--url", "http://127.0.0.1:1"+path)
	}
	// What the provider says against an address is shown.
	wantError(t, w.session, 1, "HTTP 400: bad request: url: the host name must not contain an underscore", "",
		"channel", "webhook", "sales", "--url", "https://bad_host.example.com/webhooks/sales")
	// Registered elsewhere: nothing of ours to compare it with.
	w.want(0, "channel", "webhook", "sales", "--url", "http://127.0.0.1:1/webhooks/sales")
	if _, err := w.store().Pool().Exec(t.Context(), `UPDATE campaign.channels SET webhook_url = NULL`); err != nil {
		t.Fatal(err)
	}
	if got := w.want(0, "channel", "webhook", "sales"); got.stderr != "" {
		t.Errorf("stderr: %s", got.stderr)
	}
}

func TestARoleWithoutGrantsIsForbidden(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	pool := w.store().Pool()
	role := "stranger_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'x'`); err != nil {
		t.Fatal("the tests' role needs CREATEROLE: ", err)
	}
	t.Cleanup(func() { pool.Exec(context.Background(), `DROP ROLE `+role) })
	u, err := url.Parse(w.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	wantError(t, w.session, 4, "permission denied for schema campaign", "lacks a grant", "campaign", "list", "--database-url", u.String())
	if got := w.run("campaign", "list", "--database-url", u.String()); strings.Contains(got.stderr, "SQLSTATE") {
		t.Errorf("stderr: %s", got.stderr)
	}
}

func TestACampaignThatIsOverIsNotHeld(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	w.work("spring", accepted)
	w.want(0, "channel", "pause", "sales", "--reason", "billing")
	status := decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json"))
	if status.State != campaign.Completed || len(status.Holds) != 0 {
		t.Errorf("%s, holds %v", status.State, status.Holds)
	}
	for _, args := range [][]string{{"campaign", "status", "spring"}, {"campaign", "watch", "spring"}, {"campaign", "report", "spring"}} {
		if got := w.want(0, args...); strings.Contains(got.stdout, "held") {
			t.Errorf("%v:\n%s", args, got.stdout)
		}
	}
	list := w.want(0, "channel", "list")
	if !strings.Contains(list.stdout, "sales is held, because:") || !strings.Contains(list.stdout, "until: campaignctl channel resume sales") {
		t.Errorf("the list does not say why:\n%s", list.stdout)
	}
}

func TestAnUnknownCampaignListsWhatThereIs(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile + "key: may\n")
	w.plan(campaignFile)
	wantError(t, w.session, 3, `no campaign 99; there are: 2 spring, 1 spring (key "may")`, "", "campaign", "status", "99")
	wantError(t, w.session, 3, `no campaign "sprnig"; there are: `, `did you mean "spring"?`, "campaign", "status", "sprnig")
	if got := w.want(0, "campaign", "status", "1"); !strings.HasPrefix(got.stdout, "campaign 1 spring (key may): draft\n") {
		t.Errorf("stdout: %s", got.stdout)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	got := w.want(0, "campaign", "export", "spring", "--quiet")
	rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if head := strings.Join(rows[0], ","); head != "message_id,phone,state,reason,error_code,provider_id,attempts,created_at,sent_at,delivered_at,read_at,failed_at" {
		t.Errorf("the header is %s", head)
	}
	phones := map[string]string{}
	for _, r := range rows[1:] {
		phones[r[1]] = r[2] + "/" + r[3]
	}
	if len(phones) != 3 || phones["+12125550100"] != "skipped/us_marketing" || phones["+491701234567"] != "pending/" {
		t.Errorf("the rows are %v", phones)
	}

	out := filepath.Join(w.dir, "out.jsonl")
	w.want(0, "campaign", "export", "spring", "--format", "jsonl", "--output", out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if info, _ := os.Stat(out); info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	wantError(t, w.session, 3, "nowhere/x.csv", "", "campaign", "export", "spring", "--output", "nowhere/x.csv")
}

// A reader that has seen enough ends the program quietly.
func TestABrokenPipeIsQuiet(t *testing.T) {
	t.Parallel()

	s := newSession(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	for _, args := range [][]string{{"error", "list"}, {"error", "list", "--json"}, {"--help"}} {
		cmd := exec.Command(builtProgram, args...)
		var stderr strings.Builder
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, writer, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitPipe || stderr.String() != "" {
			t.Errorf("%q: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
	writer.Close()
}

func TestCtrlCEndsWatchingQuietly(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	watch := exec.Command(builtProgram, "campaign", "watch", "spring")
	watch.Dir, watch.Env = w.dir, w.env
	var stderr strings.Builder
	watch.Stderr = &stderr
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	watch.Process.Signal(syscall.SIGINT)
	if err := watch.Wait(); err != nil || stderr.String() != "" {
		t.Errorf("ended with %v, stderr %q", err, stderr.String())
	}
}

func TestVerifyFindsWhatDoesNotAddUp(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	if got := w.want(0, "campaign", "verify", "spring"); got.stdout != "everything adds up\n" {
		t.Errorf("stdout: %s", got.stdout)
	}
	if _, err := w.store().Pool().Exec(context.Background(), `UPDATE campaign.messages SET state = 'delivered', proof = 4 WHERE phone = '+491701234567'`); err != nil {
		t.Fatal(err)
	}
	got := w.want(6, "campaign", "verify", "--json")
	if v := decode[verified](t, got); v.OK || len(v.Findings) == 0 {
		t.Errorf("verified %+v", v)
	}
}

func TestSendAndTestReachTheProvider(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	got := decode[sentView](t, w.want(0, "send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701110000", "--json"))
	if got.State != campaign.Accepted || !strings.HasPrefix(got.ProviderID, "wamid.") {
		t.Errorf("sent: %+v", got)
	}
	messages := decode[[]campaign.MessageInfo](t, w.want(0, "message", "list", "--phone", "+491701110000", "--json"))
	if len(messages) != 1 || messages[0].ID != got.Message || messages[0].Attempts != 1 {
		t.Errorf("the message is not found: %+v", messages)
	}

	path := w.write("spring.yaml", campaignFile)
	if got := w.want(7, "campaign", "test", "-f", path, "--to", "+491702220000"); !strings.Contains(got.stderr, "never agreed") || !strings.Contains(got.stderr, "contact opt-in") {
		t.Errorf("somebody who never agreed: %s", got.stderr)
	}
	w.want(0, "contact", "opt-in", "+491702220000", "--source", "colleague")
	tested := decode[sentView](t, w.want(0, "campaign", "test", "-f", path, "--to", "+491702220000", "--json"))
	m := decode[campaign.MessageInfo](t, w.want(0, "message", "show", "--json", fmt.Sprint(tested.Message)))
	if m.Phone != "+491702220000" || !strings.Contains(string(m.Parameters), "Ann") || m.State != campaign.Accepted {
		t.Errorf("the test message is %+v", m)
	}
	if draft := decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json")); draft.State != campaign.Draft {
		t.Errorf("the campaign is %s", draft.State)
	}

	w.want(0, "contact", "opt-out", "+491703330000")
	wantError(t, w.session, 7, "wants no marketing", "", "send", "--channel", "sales", "--template", "spring_sale", "--language", "en_US",
		"--to", "+491703330000", "-p", "body.1=x", "-p", "body.2=y", "-p", "button.0=z", "--quiet")
}

// A script that repeats what was "not sent" must not reach the person twice.
func TestWhatSendRefusedIsNotSentLater(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "channel", "pause", "sales", "--reason", "billing is looked at")
	send := []string{"send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701110000"}
	wantError(t, w.session, 7, "not sent: billing is looked at", "campaignctl channel show sales", append(send, "--quiet")...)
	got := decode[sentView](t, w.want(7, append(send, "--json")...))
	if got.State != campaign.MessageCancelled {
		t.Errorf("refused: %+v", got)
	}
	w.want(0, "channel", "resume", "sales")
	s := w.store()
	ch, err := s.Channel(t.Context(), "sales")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.FanOut(t.Context(), ch.ID, 100, 100); err != nil || n != 0 {
		t.Errorf("a daemon takes up %d messages that were not sent, %v", n, err)
	}
	w.want(0, send...)
	w.want(0, "campaign", "verify")
}

func TestWhatSendCouldNotDeliverIsNotSentLater(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "channel", "add", "dead", "--phone", "+4930123457", "--base-url", w.provider,
		"--key-ref", "env:D360_KEY", "--webhook-secret-ref", "env:WEBHOOK_SECRET", "--rate", "50")
	w.want(0, "template", "sync", "dead")
	if _, err := w.store().Pool().Exec(t.Context(), `UPDATE campaign.channels SET base_url = 'http://127.0.0.1:1' WHERE name = 'dead'`); err != nil {
		t.Fatal(err)
	}
	got := decode[sentView](t, w.want(1, "send", "--channel", "dead", "--template", "hello", "--language", "en_US", "--to", "+491701110000", "--json"))
	if got.State != campaign.MessageCancelled {
		t.Errorf("not reached: %+v", got)
	}
}

func TestSendDryRunPrintsTheRequest(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	image := w.write("banner.png", "\x89PNG\r\n\x1a\n0000000000000000")
	body := decode[object](t, w.want(0, "send", "--channel", "sales", "--template", "promo_image", "--language", "en_US", "--to", "+491701110000",
		"-p", "header=image:file:"+image, "-p", "body.1=Ann, and -more", "--dry-run"))
	if body["to"] != "+491701110000" || body["type"] != "template" {
		t.Errorf("the request is %v", body)
	}
	text, _ := json.Marshal(body)
	if !strings.Contains(string(text), `"text":"Ann, and -more"`) {
		t.Errorf("the parameter is not in %s", text)
	}
	if found := decode[[]campaign.MessageInfo](t, w.want(0, "message", "list", "--phone", "+491701110000", "--json")); len(found) != 0 {
		t.Errorf("a dry run stored %+v", found)
	}
}

// A header file is uploaded once, however often it is used.
func TestAHeaderFileIsUploadedOnce(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.write("banner.png", "\x89PNG\r\n\x1a\n0000000000000000")
	file := replaced(campaignFile, "spring_sale", "promo_image", "  body.2: {column: voucher}\n  button.0: {column: voucher}\n", "  header: {image: {file: ./banner.png}}\n")
	path := w.write("promo.yaml", file)
	first := w.want(0, "campaign", "plan", "-f", path)
	if strings.Count(first.stderr, "uploaded ") != 1 {
		t.Errorf("stderr: %s", first.stderr)
	}
	second := w.want(0, "campaign", "plan", "-f", path, "--key", "2")
	if strings.Contains(second.stderr, "uploaded ") {
		t.Errorf("uploaded again: %s", second.stderr)
	}
	w.write("banner.png", "\x89PNG\r\n\x1a\n1111111111111111")
	wantError(t, w.session, 7, "banner.png changed since the plan", "--replace", "campaign", "launch", "--yes", "--quiet", "-f", path)
}

func TestWebhookTail(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.store()
	ch, err := s.Channel(context.Background(), "sales")
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"entry":[{"changes":[{"field":"messages","value":{"statuses":[{"id":"wamid.x","status":"read","timestamp":"1700000000"}]}}]}]}`)
	if err := s.SaveDeliveries(context.Background(), []campaign.Delivery{{Channel: ch.ID, ReceivedAt: time.Now(), Body: body}, {Channel: ch.ID, ReceivedAt: time.Now(), Body: []byte("nonsense")}}); err != nil {
		t.Fatal(err)
	}
	tail := exec.Command(builtProgram, "webhook", "tail", "--json", "--last", "10", "--channel", "sales")
	tail.Dir, tail.Env = w.dir, w.env
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	var event tailedEvent
	if err := json.NewDecoder(out).Decode(&event); err != nil {
		t.Fatal(err)
	}
	tail.Process.Signal(syscall.SIGTERM)
	if err := tail.Wait(); err != nil {
		t.Errorf("tail ended with %v", err)
	}
	if event.Channel != "sales" || event.Kind != campaign.EventStatus || event.Status != "read" || event.Event.ID != "wamid.x" {
		t.Errorf("the event is %+v", event)
	}
}

func TestOptInIsAFlagAsInAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(0, "contact", "import", w.write("new.csv", "phone,first_name,voucher\n+491701111111,Di,D4\n"), "--list", "unasked")
	path := w.write("spring.yaml", campaignFile)
	for key, c := range map[string]struct {
		flags    []string
		eligible int64
	}{"by default": {nil, 0}, "required": {[]string{"--opt-in", "required"}, 0}, "assumed": {[]string{"--opt-in", "assumed"}, 1}} {
		args := append([]string{"campaign", "plan", "-f", path, "--key", key, "--list", "unasked", "--json"}, c.flags...)
		if got := decode[campaign.Plan](t, w.want(0, args...)); got.Eligible != c.eligible {
			t.Errorf("%s: %d are eligible: %+v", key, got.Eligible, got)
		}
	}
	wantError(t, w.session, exitUsage, "opt_in", "assumed", "campaign", "plan", "-f", path, "--opt-in", "yes")
}
