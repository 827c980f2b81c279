package phone_test

import (
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/campaignd/campaignd/internal/phone"
)

// countryOf is what the longest prefix says.
func countryOf(e164 string) (country, nanp string) {
	longest := 0
	for _, p := range phone.Prefixes() {
		if len(p.Digits) > longest && strings.HasPrefix(e164[1:], p.Digits) {
			longest, country, nanp = len(p.Digits), p.Country, p.NANP
		}
	}
	return country, nanp
}

func TestPrefixesTellWhatParseTells(t *testing.T) {
	t.Parallel()
	// Their ranges are scattered over those of the larger country.
	counted := map[string]string{"GG": "GB", "JE": "GB", "IM": "GB", "BL": "GP", "MF": "GP", "TA": "SH"}
	seen := map[string]bool{}
	for region := range phonenumbers.GetSupportedRegions() {
		for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			n, err := phone.Parse(phonenumbers.Format(example, phonenumbers.E164), "")
			if err != nil {
				t.Errorf("%s: %v", region, err)
				continue
			}
			country, nanp := countryOf(n.E164)
			if country != n.Country && country != counted[region] || nanp != n.NANP {
				t.Errorf("an example of %s is of %s (%s) and by its prefix of %s (%s)", region, n.Country, n.NANP, country, nanp)
			}
			seen[country] = true
		}
	}
	if len(seen) < 200 {
		t.Errorf("only %d countries were seen", len(seen))
	}
	for _, area := range []struct{ number, country, nanp string }{
		{"+12125550123", "US", phone.NANPUS}, {"+13575550123", "US", phone.NANPUS}, {"+12045550123", "CA", phone.NANPCanada},
		{"+17875550123", "PR", phone.NANPUSTerritory}, {"+18765550123", "JM", phone.NANPCaribbean},
		{"+18005550123", "", phone.NANPTollFree}, {"+19005550123", "", phone.NANPNonGeographic},
	} {
		if country, nanp := countryOf(area.number); country != area.country || nanp != area.nanp {
			t.Errorf("%s is of %q (%s)", area.number, country, nanp)
		}
	}
}
