package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Bad input is answered by one clear line and the right exit code, and nothing
// is lost.
func TestBadInput(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	campaignPath := w.write("spring.yaml", campaignFile)
	cases := []struct {
		name          string
		args          []string
		code          int
		message, hint string
	}{
		{"an empty file", []string{"contact", "import", w.write("empty.csv", ""), "--list", "x"}, 2, "empty.csv: the file is empty", ""},
		{"a missing column", []string{"contact", "import", w.write("nophone.csv", "mobile,name\n1,Ann\n"), "--list", "x"}, 2, `no column is named "phone"`, ""},
		{"a file that is no spreadsheet", []string{"contact", "import", w.write("junk.csv", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00"), "--list", "x"}, 2, "not a spreadsheet", ""},
		{"no such file", []string{"contact", "import", "nowhere.csv", "--list", "x"}, 3, "there is no file nowhere.csv", ""},
		{"a folder", []string{"contact", "import", ".", "--list", "x"}, 2, "a folder", ""},
		{"an unknown country", []string{"contact", "import", "vips.csv", "--list", "x", "--country", "Germany"}, 2, "--country", "two letters"},
		{"an unknown channel", []string{"channel", "show", "salse"}, 3, `no channel "salse"`, `did you mean "sales"?`},
		{"an unknown list", []string{"list", "show", "vps"}, 3, `no list "vps"`, `did you mean "vips"?`},
		{"an unknown template", []string{"campaign", "plan", "-f", w.write("t.yaml", replaced(campaignFile, "name: spring\n", "name: t\n", "spring_sale", "spring_sle"))}, 3, `spring_sle`, "spring_sale"},
		{"an unknown language", []string{"campaign", "plan", "-f", w.write("l.yaml", replaced(campaignFile, "name: spring\n", "name: l\n", "en_US", "fr"))}, 3, `no language "fr"`, ""},
		{"an unknown column", []string{"campaign", "plan", "-f", w.write("c.yaml", replaced(campaignFile, "name: spring\n", "name: c\n", "column: voucher", "column: vouchr"))}, 2, `column "vouchr" is missing`, `did you mean "voucher"?`},
		{"a misspelt key", []string{"campaign", "plan", "-f", w.write("k.yaml", replaced(campaignFile, "audience", "audeince"))}, 2, "audeince", "audience"},
		{"a window of no hours", []string{"campaign", "plan", "-f", w.write("w.yaml", campaignFile+"schedule: {window: \"09:00-09:00\"}\n")}, 2, "schedule.window", ""},
		{"a cap of no messages", []string{"campaign", "cap", "0/7d"}, 2, "0 messages are no cap", ""},
		{"a cap and none", []string{"campaign", "cap", "2/7d", "--none"}, 2, "both given", ""},
		{"then what", []string{"campaign", "cap", "2/7d", "--then", "wait"}, 2, `--then "wait" is not known`, "skip or defer"},
		{"no campaign", []string{"campaign", "plan"}, 2, "there is no campaign", "-f FILE"},
		{"a campaign file as contacts", []string{"campaign", "plan", "--file", "spring.yaml"}, 2, "--file is the contact file", "-f spring.yaml"},
		{"an unknown campaign", []string{"campaign", "status", "sprign"}, 3, `no campaign "sprign"`, ""},
		{"a campaign that is nobody's", []string{"campaign", "status", "4711"}, 3, "4711", ""},
		{"no message of that number", []string{"message", "show", "99"}, 3, "no message 99", ""},
		{"not the number of a message", []string{"message", "show", "spring"}, 2, "not the number of a message", ""},
		{"nobody has the number", []string{"contact", "show", "+4915112345678"}, 3, "no contact", ""},
		{"no number", []string{"contact", "show", "hello"}, 2, "letters", ""},
		{"plain http", []string{"channel", "add", "x", "--phone", "+4930123457", "--base-url", "http://example.com", "--key-ref", "env:K", "--webhook-secret-ref", "env:S", "--rate", "1"}, 2, "--base-url", "https"},
		{"the key itself", []string{"channel", "add", "x", "--phone", "+4930123457", "--base-url", w.provider, "--key-ref", "abcdef0123456789", "--webhook-secret-ref", "env:S", "--rate", "1"}, 2, "--key-ref is not a reference", "env:NAME"},
		{"a negative rate", []string{"channel", "add", "x", "--phone", "+4930123457", "--base-url", w.provider, "--key-ref", "env:K", "--webhook-secret-ref", "env:S", "--rate", "-1"}, 2, `--rate "-1" is no rate`, "0 means no limit"},
		{"a channel's name twice", []string{"channel", "add", "sales", "--phone", "+4930123457", "--base-url", w.provider, "--key-ref", "env:D360_KEY", "--webhook-secret-ref", "env:WEBHOOK_SECRET", "--rate", "1"}, 5, "the name is taken", "channel show sales"},
		{"flags are missing", []string{"channel", "add", "x", "--rate", "1"}, 2, "--phone NUMBER, --base-url URL, --key-ref REF, --webhook-secret-ref REF are missing", "channel add --help"},
		{"a webhook with a port", []string{"channel", "webhook", "sales", "--url", "not a url"}, 2, "--url", ""},
		{"no confirmation", []string{"campaign", "launch", "-f", campaignPath}, 7, "has to be confirmed", "--yes"},
		{"another number of recipients", []string{"campaign", "launch", "-f", campaignPath, "--yes", "--expect-recipients", "10..20"}, 7, "2 recipients are eligible, and 10 to 20 expected", ""},
		{"not a number of recipients", []string{"campaign", "launch", "-f", campaignPath, "--yes", "--expect-recipients", "20..10"}, 2, "--expect-recipients", "900..1100"},
		{"not a way of waiting", []string{"campaign", "launch", "-f", campaignPath, "--wait=forever"}, 2, "forever", ""},
		{"waiting for a word", []string{"campaign", "launch", "-f", campaignPath, "--wait", "settled"}, 2, "settled", "is it --wait=settled?"},
		{"a timeout without waiting", []string{"campaign", "launch", "-f", campaignPath, "--timeout", "1h"}, 2, "--timeout goes with --wait", ""},
		{"an unknown format", []string{"campaign", "export", "spring", "--format", "xml"}, 2, `--format "xml" is not known`, "csv or jsonl"},
		{"an unknown state", []string{"campaign", "list", "--state", "asleep"}, 2, `--state "asleep" is not known`, "running"},
		{"a slot that is none", []string{"send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701234567", "-p", "body.1=x"}, 2, "body.1", "template show hello"},
		{"a parameter without a slot", []string{"send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701234567", "-p", "x"}, 2, `-p "x" is not SLOT=VALUE`, ""},
		{"a column without a contact", []string{"send", "--channel", "sales", "--template", "hello", "--language", "en_US", "--to", "+491701234567", "-p", "body.1=column:x"}, 2, "no contact to take it from", ""},
		{"a sender without its country", []string{"channel", "add", "x", "--phone", "123", "--base-url", "http://127.0.0.1:1", "--key-ref", "env:K", "--webhook-secret-ref", "env:S", "--rate", "1"}, 2, "--phone: write it with + and the country's calling code", "+4930123456"},
		{"no decision", []string{"campaign", "resolve", "1"}, 2, "give one of them: --resend or --fail", "--resend posts once more, --fail gives up"},
		{"both decisions", []string{"message", "resolve", "1", "--resend", "--fail"}, 2, "give one of them: --resend or --fail", "--resend posts once more, --fail gives up"},
		{"a flag of no command", []string{"campaign", "status", "1", "--foo"}, 2, `"campaign status" has no flag --foo`, "see: campaignctl campaign status --help"},
		{"a header without its image", []string{"campaign", "plan", "-f", w.write("image.yaml", replaced(campaignFile, "name: spring\n", "name: image\n", "spring_sale", "promo_image", "  body.2: {column: voucher}\n  button.0: {column: voucher}\n", ""))}, 2, "no value is given for header", "header: {image: {link: …}}"},
		{"marketing to the US", []string{"send", "--channel", "sales", "--template", "spring_sale", "--language", "en_US", "--to", "+12125550100", "-p", "body.1=x", "-p", "body.2=y", "-p", "button.0=z"}, 7, "US numbers", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()

			wantError(t, w.session, c.code, c.message, c.hint, c.args...)
		})
	}
}

// wantError runs a command that must fail with one line, and a hint where there
// is one.
func wantError(t *testing.T, s *session, code int, message, hint string, args ...string) {
	t.Helper()
	got := s.run(args...)
	if got.code != code {
		t.Fatalf("exit code %d, want %d\nstderr: %s", got.code, code, got.stderr)
	}
	if got.stdout != "" {
		t.Errorf("stdout holds %q", got.stdout)
	}
	var complaint, hints []string
	for _, line := range strings.Split(strings.TrimSpace(got.stderr), "\n") {
		switch {
		case strings.HasPrefix(line, "hint: "):
			hints = append(hints, line)
		case !strings.Contains(line, "warning: "):
			complaint = append(complaint, line)
		}
	}
	if len(complaint) != 1 || !strings.HasPrefix(complaint[0], "campaignctl: ") || !strings.Contains(complaint[0], message) {
		t.Errorf("complaints %q, want one that holds %q", complaint, message)
	}
	if hint != "" && !strings.Contains(strings.Join(hints, "\n"), hint) {
		t.Errorf("hints %q, want %q", hints, hint)
	}
	if strings.HasSuffix(complaint[0], ".") {
		t.Errorf("%q ends with a full stop", complaint[0])
	}
}

// A file of an export that found nobody is no mistake, and worth a word.
func TestAFileWithoutRows(t *testing.T) {
	t.Parallel()

	w := emptyWorld(t)
	got := w.want(0, "contact", "import", w.write("empty.csv", "phone,first_name\n"), "--list", "vips", "--quiet")
	if !strings.Contains(got.stderr, "warning: ") || !strings.Contains(got.stderr, "empty.csv has a header and no rows") {
		t.Errorf("stderr: %s", got.stderr)
	}
}

func TestDatabasesThatCannotBeUsed(t *testing.T) {
	t.Parallel()

	t.Run("None", func(t *testing.T) {
		t.Parallel()

		wantError(t, newSession(t), 1, "there is no database", "campaignctl migrate", "campaign", "list")
	})
	t.Run("NobodyAnswers", func(t *testing.T) {
		t.Parallel()

		wantError(t, newSession(t), 1, "the database at 127.0.0.1:1 does not answer", "is it running? --database-url says where",
			"campaign", "list", "--database-url", "postgres://ann:secret@127.0.0.1:1/x")
	})
	t.Run("NotAURL", func(t *testing.T) {
		t.Parallel()

		got := newSession(t).run("campaign", "list", "--database-url", "postgres://ann:hunter2@[::1/x")
		if got.code != 2 || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
		}
	})
	t.Run("WrongPassword", func(t *testing.T) {
		t.Parallel()

		address := refusingServer(t)
		s := newSession(t).with("CAMPAIGN_DATABASE_URL=postgres://ann:hunter2@" + address + "/x?sslmode=disable")
		wantError(t, s, 4, `refuses user "ann"`, "check user and password", "campaign", "list")
		if got := s.run("list", "list"); strings.Contains(got.stderr, "hunter2") {
			t.Errorf("the password is shown: %s", got.stderr)
		}
	})
	t.Run("OldSchema", func(t *testing.T) {
		t.Parallel()

		w := emptyWorld(t)
		if _, err := w.store().Pool().Exec(context.Background(), `DELETE FROM campaign.migrations WHERE version = (SELECT max(version) FROM campaign.migrations)`); err != nil {
			t.Fatal(err)
		}
		wantError(t, w.session, 1, "the database schema lacks migration 0", "campaignctl migrate", "campaign", "list")
	})
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()

	w := emptyWorld(t)
	bare := w.session.with("D360_KEY=", "WEBHOOK_SECRET=")
	got := bare.want(0, "channel", "add", "sales", "--phone", "+4930123456", "--base-url", w.provider,
		"--key-ref", "env:NO_SUCH_KEY", "--webhook-secret-ref", "env:WEBHOOK_SECRET", "--rate", "5")
	if !strings.Contains(got.stderr, "warning: --key-ref: the environment variable NO_SUCH_KEY is not set here") {
		t.Errorf("no warning about the key: %s", got.stderr)
	}
	for _, args := range [][]string{{"template", "sync"}, {"channel", "health", "sales"}, {"channel", "webhook", "sales"}} {
		wantError(t, bare, 2, "the key of channel sales: the environment variable NO_SUCH_KEY is not set here", "export NO_SUCH_KEY", args...)
	}
}

func TestTheProviderRefusesAKey(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	wrong := w.session.with("D360_KEY=another-key")
	got := wrong.run("template", "sync")
	if got.code != 1 || !strings.Contains(got.stderr, "hint: ") || strings.Contains(got.stderr, "another-key") {
		t.Errorf("exit code %d, stderr %s", got.code, got.stderr)
	}
}

func TestAPausedTemplateIsNotSent(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	path := w.plan(campaignFile)
	answer, err := http.Post(w.provider+"/simulator/templates/spring_sale/en_US/status", "application/json", strings.NewReader(`{"status":"PAUSED"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		t.Fatalf("the simulator answers %d %s", answer.StatusCode, body)
	}
	w.want(0, "template", "sync", "sales")
	wantError(t, w.session, 7, "is PAUSED", "template sync", "campaign", "launch", "-f", path, "--yes")
	wantError(t, w.session, 7, "is PAUSED", "", "campaign", "plan", "-f", path, "--key", "other")
	wantError(t, w.session, 7, "is PAUSED", "", "send", "--channel", "sales", "--template", "spring_sale", "--language", "en_US", "--to", "+491701234567")
}
