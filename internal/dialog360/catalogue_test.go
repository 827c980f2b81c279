package dialog360

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// TestExplainFollowsTheFacts is whatsapp-facts §4.5 and §4.6 once more, by
// class: every code there is in exactly one of these lines. A star says that a
// person must act.
func TestExplainFollowsTheFacts(t *testing.T) {
	t.Parallel()

	for class, codes := range map[campaign.Class]string{
		campaign.RetryClass: `1* 2 131000 131016 131049 131053* 131056 132069 133004 134101 2494100
			408 500 1000* 1011 1014* 1016 2002 2003`,
		campaign.SlowDown: `4 17 613 80007 80008 130429 429 1015`,
		campaign.Final: `100* 130403 130472 130497* 131008* 131009 131020* 131021 131026 131030* 131035* 131036
			131041* 131044* 131047* 131050 131051* 131052 131059* 131062 131200* 131215* 131299*
			132000* 132005 132008* 132012* 132018 133000* 133005* 133006* 133008* 133009* 133015* 133016*
			134011* 135000* 137000 138000* 138006* 138999* 139000* 139999* 147000* 147999* 200005 200006 200007
			2388000* 2388091* 2388999* 2593000* 2593999*
			400 410 470* 472 480 501* 1001 1002 1003 1004 1006 1007 1008* 1009 1010 1013 1017* 1018* 1021* 1022*
			1023* 1024* 1025* 1026 2000* 2004* 2005 2006 2008* 2009* 2012* 2040*`,
		campaign.PauseTemplate: `131055* 131063* 132001* 132007* 132015 132016* 132068* 134100* 134102*
			404* 2001* 2007* 2060 2061 2062* 2064*`,
		campaign.PauseChannel: `0* 3* 10* 33* 104* 190* 200* 201* 250* 299* 131005* 131037* 131045* 131048* 131057 133010*
			403* 430* 432* 433* 471* 1005* 1012*`,
		campaign.PauseAccount: `368* 131031* 131042* 131064* 402* 1031*`,
	} {
		for _, word := range strings.Fields(codes) {
			number, operator := strings.CutSuffix(word, "*")
			code, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			f := Explain(code)
			if f.Class != class || f.Operator != operator || f.Code != number {
				t.Errorf("%d is %s, operator %v, code %q; want %s, %v", code, f.Class, f.Operator, f.Code, class, operator)
			}
		}
	}
}

func TestExplainMapsLegacyCodes(t *testing.T) {
	t.Parallel()

	for code, want := range map[int]string{
		400: "131052", 402: "131042", 403: "131005", 404: "132001", 408: "", 410: "", 429: "130429", 430: "131045",
		433: "131045", 470: "131047", 471: "131048", 472: "130472", 480: "137000", 500: "131000", 501: "131051",
		1000: "131053", 1003: "131009", 1007: "130403", 1008: "131008", 1011: "131016", 1012: "190", 1013: "131026",
		1014: "131053", 1015: "130429", 1016: "", 1026: "131026", 1031: "131031", 2000: "132000", 2001: "132001",
		2002: "", 2006: "132018", 2012: "132012", 2060: "132015", 2061: "132015", 2064: "132016",
	} {
		f := Explain(code)
		if f.MapsTo != want || f.Code != strconv.Itoa(code) {
			t.Errorf("%d is %q, maps to %q; want %q", code, f.Code, f.MapsTo, want)
		}
		if want == "" {
			continue
		}
		n, _ := strconv.Atoi(want)
		cloud := Explain(n)
		if f.Class != cloud.Class || f.Scope != cloud.Scope || f.Retry != cloud.Retry || f.OptOut != cloud.OptOut {
			t.Errorf("%d is %+v, but %s is %+v", code, f, want, cloud)
		}
	}
}

func TestExplainUnknownCodes(t *testing.T) {
	t.Parallel()

	for _, code := range []int{-1, 5, 199, 300, 803, 136024, 131199, 999_999_999} {
		f := Explain(code)
		if f.Class != campaign.Final || !f.Operator || f.Code != strconv.Itoa(code) {
			t.Errorf("%d is %+v, want final and for a person", code, f)
		}
	}
}

// TestExplainEffects: what design §5 says of single codes.
func TestExplainEffects(t *testing.T) {
	t.Parallel()

	if f := Explain(131049); !f.RestContact || !f.NeverUS || f.Retry.First != 24*time.Hour || f.Retry.Factor != 2 ||
		f.Retry.Attempts != 3 || f.Retry.Jitter != 0.1 {
		t.Errorf("131049 is %+v", f)
	}
	if f := Explain(131056); f.Scope != campaign.ScopeRecipient || f.Retry.Attempts == 0 {
		t.Errorf("131056 is %+v", f)
	}
	for n, want := range map[int]time.Duration{1: time.Second, 2: 4 * time.Second, 3: 16 * time.Second, 4: 64 * time.Second} {
		if got := Explain(131056).Retry.After(n, 0.5); got != want {
			t.Errorf("131056 waits %v after POST %d, want %v", got, n, want)
		}
	}
	if f := Explain(131057); f.Hold != time.Minute {
		t.Errorf("131057 holds for %v, want 60 s", f.Hold)
	}
	if f := Explain(131048); f.Hold < 24*time.Hour {
		t.Errorf("131048 holds for %v, want a day at least", f.Hold)
	}
	for _, f := range Catalogue() {
		if f.OptOut != (f.Code == "131050") {
			t.Errorf("%s: opt-out is %v", f.Code, f.OptOut)
		}
		if f.Dropped != (f.Code == "132015" || f.MapsTo == "132015") {
			t.Errorf("%s: dropped is %v", f.Code, f.Dropped)
		}
		if (f.NeverUS || f.RestContact) != (f.Code == "131049") {
			t.Errorf("%s: never US %v, rest %v", f.Code, f.NeverUS, f.RestContact)
		}
	}
}

// TestRetriesKeepTheProvidersMinimum: jitter never undercuts the delay that the
// facts ask for, 131049's ±10 % apart, which design §5 states.
func TestRetriesKeepTheProvidersMinimum(t *testing.T) {
	t.Parallel()

	for code, least := range map[int]time.Duration{
		1: 10 * time.Second, 2: 10 * time.Second, 4: time.Minute, 80007: time.Minute, 130429: time.Second,
		131000: 10 * time.Second, 131016: 30 * time.Second, 131053: time.Minute, 131056: time.Second,
		132069: 10 * time.Minute, 133004: time.Minute, 134101: 10 * time.Minute, 2494100: 2 * time.Minute,
	} {
		r := Explain(code).Retry
		for n := 1; n < 12; n++ {
			if got := r.After(n, 0); got < least {
				t.Errorf("%d waits %v after POST %d, want %v at least", code, got, n, least)
			}
		}
	}
	for code, posts := range map[int]int{1: 4, 131000: 4, 131053: 2, 408: 2} {
		if got := Explain(code).Retry.Attempts; got != posts {
			t.Errorf("%d is posted %d times, want %d", code, got, posts)
		}
	}
}

func TestCatalogueIsWholeAndInOrder(t *testing.T) {
	t.Parallel()

	for i, r := range cloudRows {
		if r.to != 0 && r.to <= r.from || i > 0 && r.from <= cloudRows[i-1].last() {
			t.Errorf("row %d (%d-%d) is out of order", i, r.from, r.to)
		}
	}
	for i, l := range legacyRows {
		if i > 0 && l.code <= legacyRows[i-1].code {
			t.Errorf("legacy row %d is out of order", l.code)
		}
		if _, both := lookup(l.code); both {
			t.Errorf("%d is a Cloud and a legacy code", l.code)
		}
		if _, known := lookup(l.mapsTo); (l.own == nil) != (l.mapsTo != 0 && known) {
			t.Errorf("legacy row %d maps to %d", l.code, l.mapsTo)
		}
	}

	seen := map[string]bool{}
	last := -1
	for _, f := range Catalogue() {
		if seen[f.Code] {
			t.Errorf("%s is listed twice", f.Code)
		}
		seen[f.Code] = true
		if from, _, _ := strings.Cut(f.Code, "-"); !strings.Contains(f.Code, "_") {
			n, err := strconv.Atoi(from)
			if err != nil || n < last {
				t.Errorf("%s after %d", f.Code, last)
			}
			last = n
		}
		if f.Title == "" || f.Class == "" || f.Class == campaign.Refused || f.Scope == "" {
			t.Errorf("%s is not whole: %+v", f.Code, f)
		}
		if f.Deferrable() != (f.Retry.First > 0 && f.Retry.Factor > 1) {
			t.Errorf("%s is %s with retry %+v", f.Code, f.Class, f.Retry)
		}
		if f.Class == campaign.RetryClass && f.Retry.Attempts < 2 {
			t.Errorf("%s is retried with %d POSTs in all", f.Code, f.Retry.Attempts)
		}
		if !strings.HasSuffix(f.Advice, ".") || strings.Count(f.Advice, ". ") > 0 || len(f.Advice) < 30 {
			t.Errorf("%s: the advice is not a sentence: %q", f.Code, f.Advice)
		}
	}
	if !slices.ContainsFunc(Catalogue(), func(f campaign.Failure) bool { return f.Code == "200-299" }) {
		t.Error("a range is not listed as one")
	}
}
