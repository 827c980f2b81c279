package phone_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/phone"
)

func TestAliases(t *testing.T) {
	t.Parallel()

	cases := []struct {
		e164    string
		aliases []string
		key     string
	}{
		{"+5511912345678", nil, "+5511912345678"}, // 1…: not an old mobile number
		{"+5585996541234", []string{"+558596541234"}, "+5585996541234"},
		{"+558596541234", []string{"+5585996541234"}, "+5585996541234"},
		{"+551133334444", nil, "+551133334444"},
		{"+525512345678", []string{"+5215512345678"}, "+525512345678"},
		{"+5215512345678", []string{"+525512345678"}, "+525512345678"},
		{"+5491123456789", []string{"+541123456789"}, "+541123456789"},
		{"+541123456789", nil, "+541123456789"}, // may be a landline
		{"+4915123456789", nil, "+4915123456789"},
		{"+12125550123", nil, "+12125550123"},
	}
	for _, c := range cases {
		if got, want := phone.Aliases(c.e164), append([]string{c.e164}, c.aliases...); !slices.Equal(got, want) {
			t.Errorf("aliases of %s: %v, want %v", c.e164, got, want)
		}
		if got := phone.MatchKey(c.e164); got != c.key {
			t.Errorf("key of %s: %s, want %s", c.e164, got, c.key)
		}
	}
}

func TestAliasesShareTheirKey(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		e164 := rapid.OneOf(
			rapid.StringMatching(`\+(52|521|54|549|55)[0-9]{10,11}`),
			rapid.StringMatching(`\+55[0-9]{2}9[5-9][0-9]{7}`),
			rapid.StringMatching(`\+[1-9][0-9]{6,14}`),
			rapid.String(),
		).Draw(t, "e164")
		aliases := phone.Aliases(e164)
		if aliases[0] != e164 {
			t.Fatalf("the number itself is not first: %v", aliases)
		}
		for _, alias := range aliases {
			if phone.MatchKey(alias) != phone.MatchKey(e164) {
				t.Fatalf("%s and %s have the keys %s and %s", e164, alias, phone.MatchKey(e164), phone.MatchKey(alias))
			}
		}
		if key := phone.MatchKey(e164); phone.MatchKey(key) != key {
			t.Fatalf("the key %s of %s has another key", key, e164)
		}
	})
}

func TestWhatsAppIDsMeetTheNumbersWeStored(t *testing.T) {
	t.Parallel()

	for _, c := range []struct{ stored, waID string }{
		{"+52 55 1234 5678", "5215512345678"},
		{"+52 1 55 1234 5678", "525512345678"},
		{"+55 85 99654-1234", "558596541234"},
		{"+55 85 9654-1234", "5585996541234"},
		{"+54 9 11 2345 6789", "541123456789"},
		{"+54 9 11 2345 6789", "5491123456789"},
		{"+49 151 23456789", "4915123456789"},
	} {
		n, err := phone.Parse(c.stored, "")
		if err != nil {
			t.Fatal(err)
		}
		e164, ok := phone.FromWaID(c.waID)
		if !ok || phone.MatchKey(e164) != phone.MatchKey(n.E164) {
			t.Errorf("%s does not meet %s: %s, %v", c.waID, c.stored, e164, ok)
		}
	}
	for _, id := range []string{"", "US.13491208655302741918", "13491208655302741918", "0123456789", "123", "49151 2345678", "DE.ENT.1", "٤٩١٥١٢٣٤٥"} {
		if e164, ok := phone.FromWaID(id); ok {
			t.Errorf("%q is taken for the number %s", id, e164)
		}
	}
	if e164, _ := phone.FromWaID("5215512345678"); e164 != "+525512345678" {
		t.Errorf("an old Mexican wa_id becomes %s", e164)
	}
}
