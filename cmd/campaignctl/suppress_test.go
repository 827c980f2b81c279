package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/campaign"
)

func TestSuppressionListGoesOutAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(0, "suppress", "add", "+491701234567", "--reason", "=asked by letter", "--block", "ru")
	file := w.write("robinson.csv", "Mobile;reason;country\n0170 7654321;list;\n12;;\n;;KP\n;;XX\n")
	got := w.want(6, "suppress", "import", file, "--phone-column", "mobile", "--country", "DE", "--json")
	if view := decode[suppressImportView](t, got); view.Rows != 4 || view.Added != 2 || view.Refused != 2 {
		t.Errorf("%+v", view)
	}
	refused, err := os.ReadFile(filepath.Join(filepath.Dir(file), "robinson.csv.errors.csv"))
	if err != nil || !strings.Contains(string(refused), "3,Mobile,") || !strings.Contains(string(refused), "5,country,") {
		t.Errorf("refused rows: %s, %v", refused, err)
	}
	exported := w.want(0, "suppress", "list", "--format", "csv").stdout
	if !strings.HasPrefix(exported, "phone,country,reason,created_at\n,KP,,") || !strings.Contains(exported, "\n+491701234567,,'=asked by letter,") {
		t.Errorf("exported:\n%s", exported)
	}
	w.want(0, "suppress", "remove", "+491701234567", "+491707654321", "--block", "RU", "--block", "KP")
	if list := decode[suppressionList](t, w.want(0, "suppress", "list", "--json")); len(list.People)+len(list.Countries) != 0 {
		t.Errorf("%+v", list)
	}
	view := decode[suppressImportView](t, w.want(0, "suppress", "import", w.write("back.csv", exported), "--json"))
	if view.Rows != 4 || view.Added != 4 {
		t.Errorf("what was exported and imported again: %+v", view)
	}
	if view := decode[suppressImportView](t, w.want(0, "suppress", "import", w.write("back.csv", exported), "--json")); view.Unchanged != 4 {
		t.Errorf("a second time: %+v", view)
	}

	got = w.want(0, "contact", "show", "+491701234567", "--json")
	who := decode[contactView](t, got)
	if who.Suppression == nil || who.Skip.Marketing != campaign.ReasonSuppressed || who.Skip.Utility != campaign.ReasonSuppressed || len(who.Lists) != 1 {
		t.Errorf("%+v", who)
	}
	if text := w.want(0, "contact", "show", "+491701234567").stdout; !strings.Contains(text, "skipped, suppressed") {
		t.Errorf("%s", text)
	}
	wantError(t, w.session, 2, "nobody to name", "--block", "suppress", "add")
	wantError(t, w.session, 2, "\"FR\" is no phone number", "--block FR", "suppress", "add", "FR")
	wantError(t, w.session, 2, "--block", "", "suppress", "add", "--block", "Russia")
}

func TestForgottenPeopleAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantError(t, w.session, 7, "has to be confirmed", "--yes", "contact", "forget", "+491701234567")
	if got := w.want(0, "contact", "forget", "0170 1234567", "--country", "DE", "--yes", "--json"); decode[campaign.Forgotten](t, got).Contacts != 1 || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	wantError(t, w.session, 3, "on the suppression list", "", "contact", "show", "+491701234567")
	if list := decode[suppressionList](t, w.want(0, "suppress", "list", "--json")); list.Forgotten != 1 || len(list.People) != 0 {
		t.Errorf("%+v", list)
	}
	w.want(0, "contact", "import", w.write("vips.csv", contactsCSV), "--list", "again", "--opted-in", "test")
	if who := decode[contactView](t, w.want(0, "contact", "show", "+491701234567", "--json")); who.Skip.Utility != campaign.ReasonSuppressed {
		t.Errorf("imported again: %+v", who.Skip)
	}
}

// It is wanted that somebody unknown can be kept away, and a mistyped number is
// somebody unknown.
func TestForgettingAStrangerWarnsAndCanBeUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(0, "contact", "forget", "+491708888888", "--yes", "--quiet")
	for _, part := range []string{"nobody with this number was known", "on the suppression list now", "campaignctl suppress remove NUMBER"} {
		if !strings.Contains(got.stderr, part) {
			t.Errorf("the warning lacks %q: %q", part, got.stderr)
		}
	}
	if strings.Contains(got.stderr, "8888") {
		t.Errorf("the warning repeats the number: %q", got.stderr)
	}
	w.want(0, "suppress", "remove", "+491708888888")
	if list := decode[suppressionList](t, w.want(0, "suppress", "list", "--json")); list.Forgotten != 0 {
		t.Errorf("after its removal: %+v", list)
	}
}

func TestWordsAreKeptInTheirNormalForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(0, "suppress", "words", "set", "¡No, gracias!", "--meaning", "stop")
	if text := w.want(0, "suppress", "words", "list").stdout; !strings.Contains(text, "no gracias") || !strings.Contains(text, "désabonner") {
		t.Errorf("%s", text)
	}
	if view := decode[wordView](t, w.want(0, "suppress", "words", "unset", "NO GRACIAS", "--json")); view.Own || view.Meaning != "" {
		t.Errorf("%+v", view)
	}
	wantError(t, w.session, 2, "is no word", "", "suppress", "words", "set", "!!!", "--meaning", "stop")
	wantError(t, w.session, 2, "is not known", "stop, start or none", "suppress", "words", "set", "x", "--meaning", "maybe")
}

func TestWhoStopsIsToldWhatSomebodySet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const text = "You are unsubscribed."
	for _, step := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{text}, text},
		{nil, text},
		{[]string{"--none"}, ""},
	} {
		args := append([]string{"suppress", "words", "confirm", "sales", "--json"}, step.args...)
		if view := decode[confirmationView](t, w.want(0, args...)); view.Channel != "sales" || view.Confirmation != step.want {
			t.Errorf("%q: %+v", args, view)
		}
		if view := decode[channelView](t, w.want(0, "channel", "show", "sales", "--json")); view.Confirmation != step.want {
			t.Errorf("after %q the channel shows %q", args, view.Confirmation)
		}
	}
	wantError(t, w.session, 2, "exclude each other", "", "suppress", "words", "confirm", "sales", text, "--none")
	wantError(t, w.session, 2, "the text is empty", "--none", "suppress", "words", "confirm", "sales", " ")
	wantError(t, w.session, 2, "has 4097 characters", "", "suppress", "words", "confirm", "sales", strings.Repeat("é", 4097))
}
