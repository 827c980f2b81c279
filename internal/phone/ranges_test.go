package phone

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

// assertLibraryAgrees fails where the table speaks and the library says anything
// else: another country, form or time zone, or a refusal.
func assertLibraryAgrees(t interface{ Errorf(string, ...any) }, digits string) (spoke bool) {
	fast, ok := parseByRange(digits)
	if !ok {
		return false
	}
	slow, err := parseByLibrary(digits)
	if err != nil {
		t.Errorf("+%s is of %s by its range, and refused by the library: %v", digits, fast.Country, err)
	} else if !reflect.DeepEqual(fast, slow) {
		t.Errorf("+%s is %+v by its range and %+v by the library", digits, fast, slow)
	}
	return true
}

// Each range is held against the library at its ends and in the middle: a range
// that a new version of the library changed fails here, go generate puts it right.
func TestEveryRangeIsWhatTheLibrarySays(t *testing.T) {
	t.Parallel()
	for key := range ranges() {
		prefix := strconv.FormatUint(uint64(key.prefix), 10)
		rest := int(key.digits) - len(prefix)
		for _, digit := range []byte{'0', '9', 'r'} {
			number := []byte(prefix)
			for range rest {
				next := digit
				if digit == 'r' {
					next = '0' + byte(rand.IntN(10)) //nolint:gosec // numbers of a test
				}
				number = append(number, next)
			}
			if !assertLibraryAgrees(t, string(number)) {
				t.Errorf("the table does not know +%s of its range %s", number, prefix)
			}
		}
	}
}

func TestRangesNeverSayWhatTheLibraryDoesNot(t *testing.T) {
	t.Parallel()
	var codes []string
	for code := range phonenumbers.GetSupportedCallingCodes() {
		codes = append(codes, strconv.Itoa(code))
	}
	rapid.Check(t, func(t *rapid.T) {
		assertLibraryAgrees(t, rapid.SampledFrom(codes).Draw(t, "code")+rapid.StringMatching(`[0-9]{1,14}`).Draw(t, "number"))
	})
}

// The table is worth its place only while it knows most numbers.
func TestRangesKnowMostMobileNumbers(t *testing.T) {
	t.Parallel()
	regions, known := 0, 0
	for region := range phonenumbers.GetSupportedRegions() {
		example := phonenumbers.GetExampleNumberForType(region, phonenumbers.MOBILE)
		if example == nil || example.GetCountryCode() == 1 {
			continue
		}
		regions++
		if assertLibraryAgrees(t, phonenumbers.Format(example, phonenumbers.E164)[1:]) {
			known++
		}
	}
	if known*10 < regions*9 {
		t.Errorf("the table knows the mobile example numbers of %d of %d countries", known, regions)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, input string }{
		{"ByRange", "+4915123456789"}, {"ByLibrary", "+8190123456789"}, {"NANP", "+12125550123"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(c.input, "")
			}
		})
	}
}
