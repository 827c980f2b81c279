package phone_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones must load whatever the machine has

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/phone"
)

func TestParseReadsWhatPeopleWrite(t *testing.T) {
	t.Parallel()

	cases := []struct{ input, country, e164, region string }{
		// International, decorated.
		{"+4915123456789", "", "+4915123456789", "DE"},
		{"+49 151 2345 6789", "", "+4915123456789", "DE"},
		{"0049 151-2345.6789", "", "+4915123456789", "DE"},
		{"+0049 151 23456789", "", "+4915123456789", "DE"},
		{"(+49) 151/23456789", "", "+4915123456789", "DE"},
		{"+49 (0)151 23456789", "", "+4915123456789", "DE"},
		{"+44 (0)20 7946 0958", "", "+442079460958", "GB"},
		{"'+4915123456789", "", "+4915123456789", "DE"},
		{"tel:+49-151-23456789", "", "+4915123456789", "DE"},
		{"WhatsApp:+4915123456789", "", "+4915123456789", "DE"},
		{"+49\u00a0151\u00a023456789", "", "+4915123456789", "DE"},
		{"\u202a+49 151 23456789\u202c", "", "+4915123456789", "DE"},
		{"＋４９１５１２３４５６７８９", "", "+4915123456789", "DE"},
		{"+٤٩١٥١٢٣٤٥٦٧٨٩", "", "+4915123456789", "DE"},
		{"+49–151–23456789", "", "+4915123456789", "DE"},
		{"4915123456789.0", "DE", "+4915123456789", "DE"},
		{"+4915123456789,00", "", "+4915123456789", "DE"},
		// National, with the country of the file.
		{"0151 23456789", "DE", "+4915123456789", "DE"},
		{"0151/23456789", "de", "+4915123456789", "DE"},
		{"15123456789", "DE", "+4915123456789", "DE"}, // Excel ate the zero
		{"4915123456789", "DE", "+4915123456789", "DE"},
		{"9123456789", "IN", "+919123456789", "IN"}, // begins like the calling code, is a mobile
		{"919876543210", "IN", "+919876543210", "IN"},
		{"0011 49 151 23456789", "AU", "+4915123456789", "DE"},
		{"0412 345 678", "AU", "+61412345678", "AU"},
		{"020 7946 0958", "GB", "+442079460958", "GB"},
		{"06 12 34 56 78", "FR", "+33612345678", "FR"},
		{"612 34 56 78", "ES", "+34612345678", "ES"},
		// Italy keeps its zero, and 39 may begin a mobile number.
		{"06 1234 5678", "IT", "+390612345678", "IT"},
		{"+39 06 1234 5678", "", "+390612345678", "IT"},
		{"391 234 5678", "IT", "+393912345678", "IT"},
		{"393912345678", "IT", "+393912345678", "IT"},
		// One calling code, several countries.
		{"+7 912 345-67-89", "", "+79123456789", "RU"},
		{"8 912 345-67-89", "RU", "+79123456789", "RU"},
		{"+7 701 123 4567", "", "+77011234567", "KZ"},
		{"8 701 123 4567", "KZ", "+77011234567", "KZ"},
		{"+44 7400 123456", "", "+447400123456", "GB"},
		{"+44 7781 123456", "", "+447781123456", "GG"},
		{"+44 7797 712345", "", "+447797712345", "JE"},
		{"+44 7624 123456", "", "+447624123456", "IM"},
		{"07624 123456", "GB", "+447624123456", "IM"},
		{"+590 690 12 34 56", "", "+590690123456", "GP"},
		{"+262 692 12 34 56", "", "+262692123456", "RE"},
		{"+262 639 01 23 45", "", "+262639012345", "YT"},
		{"+596 696 20 12 34", "", "+596696201234", "MQ"},
		{"+594 694 20 12 34", "", "+594694201234", "GF"},
		{"+383 43 201 234", "", "+38343201234", "XK"},
		{"+358 41 2345678", "", "+358412345678", "FI"},
		// Mexico: the 1 after 52 is gone; so are the prefixes of mobiles.
		{"+52 1 55 1234 5678", "", "+525512345678", "MX"},
		{"+52 55 1234 5678", "", "+525512345678", "MX"},
		{"5215512345678", "MX", "+525512345678", "MX"},
		{"525512345678", "MX", "+525512345678", "MX"},
		{"1 55 1234 5678", "MX", "+525512345678", "MX"},
		{"044 55 1234 5678", "MX", "+525512345678", "MX"},
		{"55 1234 5678", "MX", "+525512345678", "MX"},
		// Argentina: the local 15 becomes the 9.
		{"+54 9 11 2345 6789", "", "+5491123456789", "AR"},
		{"011 15-2345-6789", "AR", "+5491123456789", "AR"},
		{"+54 11 15 2345 6789", "", "+5491123456789", "AR"},
		{"0351 15 234 5678", "AR", "+5493512345678", "AR"},
		{"+54 11 4321 1234", "", "+541143211234", "AR"},
		{"5491123456789", "AR", "+5491123456789", "AR"},
		// Brazil: with and without the ninth digit, as given; landlines too.
		{"+55 11 91234-5678", "", "+5511912345678", "BR"},
		{"+55 85 9654-1234", "", "+558596541234", "BR"},
		{"558596541234", "BR", "+558596541234", "BR"},
		{"(85) 9654-1234", "BR", "+558596541234", "BR"},
		{"0 15 11 91234-5678", "BR", "+5511912345678", "BR"},
		{"+55 11 3333-4444", "", "+551133334444", "BR"},
		{"55 99123-4567", "BR", "+5555991234567", "BR"}, // the area code 55
	}
	for _, c := range cases {
		t.Run(c.country+" "+c.input, func(t *testing.T) {
			t.Parallel()

			n, err := phone.Parse(c.input, c.country)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if n.E164 != c.e164 || n.Country != c.region {
				t.Errorf("got %s of %s, want %s of %s", n.E164, n.Country, c.e164, c.region)
			}
			if n.NANP != "" {
				t.Errorf("nanp %q outside +1", n.NANP)
			}
			if len(n.TimeZones) == 0 {
				t.Error("no time zones")
			}
		})
	}
}

func TestParseSaysWhyNot(t *testing.T) {
	t.Parallel()

	cases := []struct {
		input, country string
		code           phone.Code
	}{
		{"", "", phone.CodeEmpty},
		{" \u00a0'", "DE", phone.CodeEmpty},
		{"---", "DE", phone.CodeEmpty},
		{"0151 23456789", "", phone.CodeNoCountry},
		{"4915123456789", "", phone.CodeNoCountry},
		{"0151 23456789", "XX", phone.CodeUnknownCountry},
		{"+4915123456789", "UK", phone.CodeUnknownCountry},
		{"+4915123456789", "001", phone.CodeUnknownCountry},
		{"+1 800 FLOWERS", "", phone.CodeLetters},
		{"n/a", "", phone.CodeLetters},
		{"+49 151 23456789 *", "", phone.CodeCharacters},
		{"+49_151_23456789", "", phone.CodeCharacters},
		{"+49 151", "", phone.CodeTooShort},
		{"+1", "", phone.CodeTooShort},
		{"+4", "", phone.CodeTooShort},
		{"110", "DE", phone.CodeTooShort},
		{"5551234", "US", phone.CodeTooShort},
		{"+49 151 23456789 0123456", "", phone.CodeTooLong},
		{"+1 212 555 01234", "", phone.CodeTooLong},
		{strings.Repeat("1", 200), "DE", phone.CodeTooLong},
		{"+99912345678", "", phone.CodeCallingCode},
		{"+21012345678", "", phone.CodeCallingCode},
		{"+0491512345678", "", phone.CodeCallingCode},
		{"+0822112345", "", phone.CodeCallingCode},
		{"+0000821000000", "", phone.CodeCallingCode},
		{"+44 7999", "", phone.CodeTooShort},
		{"+34 112345678", "", phone.CodeInvalid},
		{"+55 85 1654-1234", "", phone.CodeInvalid},
		// Without one of the zeros it looked like an old mobile number, of an area
		// that would begin with the other.
		{"+5500170000000", "", phone.CodeInvalid},
		{"US.13491208655302741918", "", phone.CodeBSUID},
		{"us.ENT.13491208655302741918", "US", phone.CodeBSUID},
		{"4.91512E+11", "DE", phone.CodeScientific},
		{"4,91512E+11", "", phone.CodeScientific},
		{"4,9E11", "", phone.CodeScientific},
		{"+1 212 555 0123 ext. 7", "", phone.CodeExtension},
		{"+12125550123x7", "", phone.CodeExtension},
		{"tel:+1-212-555-0123;ext=7", "", phone.CodeExtension},
		{"+49 30 1234567 #12", "", phone.CodeExtension},
		{"+4915123456789, +4915123456780", "", phone.CodeSeveral},
		{"+4915123456789 +4915123456780", "", phone.CodeSeveral},
		{"0151 23456789 / 0151 23456780", "DE", phone.CodeSeveral},
		{"030 1234567/68", "DE", phone.CodeSeveral},
		{"0151 23456789\n0151 23456780", "DE", phone.CodeSeveral},
		// A mobile number with its calling code, no +, and a digit lost: as a
		// national number it would be a stranger's landline.
		{"491512345678", "DE", phone.CodeAmbiguous},
		{"+800 1234 5678", "", phone.CodeNonGeographic},
		{"+808 1234 5678", "", phone.CodeNonGeographic},
		{"+979 123 456 789", "", phone.CodeNonGeographic},
		{"+870 773 111 632", "", phone.CodeNonGeographic},
		{"+881 6 1234 5678", "", phone.CodeNonGeographic},
		{"+883 5100 01234567", "", phone.CodeNonGeographic},
		{"+882 1678 1234567", "", phone.CodeNonGeographic},
		{"+44 800 123 4567", "", phone.CodeTollFree},
		{"0800 1234567", "DE", phone.CodeTollFree},
		{"0900 1 234567", "DE", phone.CodeNonGeographic},
	}
	for _, c := range cases {
		t.Run(c.country+" "+c.input, func(t *testing.T) {
			t.Parallel()

			n, err := phone.Parse(c.input, c.country)
			var reason *phone.Error
			if !errors.As(err, &reason) {
				t.Fatalf("accepted as %+v", n)
			}
			if reason.Code != c.code {
				t.Errorf("code %s (%s), want %s", reason.Code, reason.Message, c.code)
			}
			if reason.Message == "" || strings.HasSuffix(reason.Message, ".") {
				t.Errorf("message %q", reason.Message)
			}
		})
	}
}

func TestErrorsDoNotContainTheNumber(t *testing.T) {
	t.Parallel()

	for _, input := range []string{"0171987654", "+49171987", "+1 911 555 0123", "+34 112345678", "017198765432109876", "+1 800 555 0199", "+999171987654", "491512345678"} {
		for _, country := range []string{"", "DE", "0171987654"} {
			_, err := phone.Parse(input, country)
			if err == nil {
				t.Fatalf("%s accepted", input)
			}
			for _, part := range []string{"171987", "112345678", "5550199", "911", "1512345678"} {
				if strings.Contains(strings.ReplaceAll(err.Error(), " ", ""), part) {
					t.Errorf("error %q tells the number", err)
				}
			}
		}
	}
}

func TestInspectJSONHasEveryKey(t *testing.T) {
	t.Parallel()

	for _, c := range []struct{ input, want string }{
		{"+1 212 555 0123", `{"input":"+1 212 555 0123","valid":true,"e164":"+12125550123","country":"US","calling_code":1,"nanp":"us","us_marketing":true,"time_zones":["America/New_York"],"error":""}`},
		{"+1 800 555 0123", `{"input":"+1 800 555 0123","valid":false,"e164":"+18005550123","country":"","calling_code":1,"nanp":"toll_free","us_marketing":false,"time_zones":[],"error":"a +1 toll-free number cannot be reached by WhatsApp"}`},
		{"", `{"input":"","valid":false,"e164":"","country":"","calling_code":0,"nanp":"","us_marketing":false,"time_zones":[],"error":"the phone number is empty"}`},
	} {
		got, err := json.Marshal(phone.Inspect(c.input, ""))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestEveryTimeZoneLoads(t *testing.T) {
	t.Parallel()

	for _, input := range []string{"+4915123456789", "+919876543210", "+5491123456789", "+525512345678", "+79123456789", "+61412345678", "+6281234567890", "+13575550123", "+14655550123", "+12735550123", "+16715550123"} {
		n, err := phone.Parse(input, "")
		if err != nil {
			t.Fatalf("%s: %v", input, err)
		}
		if len(n.TimeZones) == 0 || !slices.IsSorted(n.TimeZones) {
			t.Errorf("%s: zones %v", input, n.TimeZones)
		}
		for _, zone := range n.TimeZones {
			if _, err := time.LoadLocation(zone); err != nil {
				t.Errorf("%s: %v", input, err)
			}
		}
	}
}

// numbers draws inputs that look like numbers often enough to reach the
// interesting code.
func numbers() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`\+[0-9]{5,16}`),
		rapid.StringMatching(`\+1[2-9][0-9]{9}`),
		rapid.StringMatching(`\+(52|54|55|49|39|44|7|590|262|800|883|61|91|86|33)[0-9]{6,12}`),
		rapid.StringMatching(`(00|0|\+|tel:|')?[0-9(]{1,6}[ ()./,;x-]?[0-9]{0,8}[ /+-]?[0-9]{0,5}`),
	)
}

func TestParseIsIdempotent(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		input := numbers().Draw(t, "input")
		country := rapid.SampledFrom([]string{"", "DE", "US", "IT", "MX", "AR", "BR", "RU", "AU", "IN", "KR", "BB", "GB", "HU"}).Draw(t, "country")
		n, err := phone.Parse(input, country)
		if err != nil {
			return
		}
		again, err := phone.Parse(n.E164, "")
		if err != nil {
			t.Fatalf("%q gave %s, which is refused: %v", input, n.E164, err)
		}
		if again.E164 != n.E164 || again.Country != n.Country || again.NANP != n.NANP || !slices.Equal(again.TimeZones, n.TimeZones) {
			t.Fatalf("%q gave %+v, then %+v", input, n, again)
		}
		if len(n.E164) < 7 || len(n.E164) > 16 || n.E164[0] != '+' || n.E164[1] == '0' {
			t.Fatalf("%q gave %q, which is not E.164", input, n.E164)
		}
	})
}

func TestInspectNeverPanics(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		info := phone.Inspect(numbers().Draw(t, "input"), rapid.OneOf(rapid.Just("DE"), rapid.Just("US"), rapid.String()).Draw(t, "country"))
		checkInfo(t, info)
	})
}

func checkInfo(t interface{ Fatalf(string, ...any) }, info phone.Info) {
	if info.Valid != (info.Error == "") {
		t.Fatalf("valid and error disagree: %+v", info)
	}
	if info.Valid && (info.E164 == "" || info.Country == "" || info.CallingCode == 0) {
		t.Fatalf("valid without its parts: %+v", info)
	}
	if info.TimeZones == nil {
		t.Fatalf("time zones are null: %+v", info)
	}
	if info.USMarketing && (info.NANP != phone.NANPUS || !info.Valid) {
		t.Fatalf("us_marketing outside the US: %+v", info)
	}
}

func FuzzInspect(f *testing.F) {
	for _, seed := range []string{"+4915123456789", "0151 23456789", "US.1349", "4.9E+11", "+1 (212) 555-0123 x7", "\x00\xff+", "＋٤٩", "0011 1", "+521", "+55859"} {
		f.Add(seed, "DE")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, input, country string) {
		checkInfo(t, phone.Inspect(input, country))
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, input, country string }{
		{"International", "+4915123456789", ""},
		{"InternationalDecorated", "+49 (0)151 2345-6789", ""},
		{"National", "0151 23456789", "DE"},
		{"NANP", "+12125550123", ""},
		{"Brazil", "+5511912345678", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := phone.Parse(c.input, c.country); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "numbers/s")
		})
	}
}
