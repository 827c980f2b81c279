package phone_test

import (
	"errors"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/campaignd/campaignd/internal/phone"
)

// Every country's example numbers, as the library has them, are read in the
// three forms in which lists hold them.
func TestEveryCountryIsRead(t *testing.T) {
	t.Parallel()

	for region := range phonenumbers.GetSupportedRegions() {
		for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			want := phonenumbers.Format(example, phonenumbers.E164)
			for _, input := range []struct{ text, country string }{
				{want, ""},
				{phonenumbers.Format(example, phonenumbers.INTERNATIONAL), ""},
				{"00" + want[1:], ""},
				{phonenumbers.Format(example, phonenumbers.NATIONAL), region},
				{want[1:], region},
			} {
				n, err := phone.Parse(input.text, input.country)
				var refused *phone.Error
				if errors.As(err, &refused) && refused.Code == phone.CodeAmbiguous && kind == phonenumbers.FIXED_LINE && input.text == want[1:] {
					continue // a landline with its calling code and no +, which may be another landline
				}
				if region == "AR" && kind == phonenumbers.MOBILE && input.country != "" && input.text != want[1:] {
					continue // the library's national format drops Argentina's area code
				}
				if err != nil {
					t.Errorf("%s as %q in %q: %v", region, input.text, input.country, err)
					continue
				}
				if n.E164 != want {
					t.Errorf("%s as %q in %q: %s, want %s", region, input.text, input.country, n.E164, want)
				}
				if len(n.TimeZones) == 0 {
					t.Errorf("%s as %q: no time zones", region, input.text)
				}
			}
		}
	}
}
