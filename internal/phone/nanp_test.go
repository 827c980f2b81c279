package phone_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/campaignd/campaignd/internal/phone"
)

// Written out a second time, by group, so that a slip in the table shows.
const (
	canadian = `204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474 506 514 519 548 579
		581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942`
	territories = "787:PR 939:PR 340:VI 671:GU 684:AS 670:MP"
	caribbean   = `242:BS 246:BB 264:AI 268:AG 284:VG 345:KY 441:BM 473:GD 649:TC 658:JM 876:JM 664:MS 721:SX 758:LC 767:DM 784:VC
		809:DO 829:DO 849:DO 868:TT 869:KN`
	tollFree = "800 822 833 844 855 866 877 888"
	services = "500 521 522 523 524 525 526 527 528 529 532 533 538 544 566 577 588 700 710 900 600 622 633"
)

func TestEveryAreaCode(t *testing.T) {
	t.Parallel()

	type want struct{ group, country string }
	wants := map[string]want{}
	for _, code := range strings.Fields(canadian) {
		wants[code] = want{phone.NANPCanada, "CA"}
	}
	for group, list := range map[string]string{phone.NANPUSTerritory: territories, phone.NANPCaribbean: caribbean} {
		for _, pair := range strings.Fields(list) {
			code, country, _ := strings.Cut(pair, ":")
			wants[code] = want{group, country}
		}
	}
	for group, list := range map[string]string{phone.NANPTollFree: tollFree, phone.NANPNonGeographic: services} {
		for _, code := range strings.Fields(list) {
			wants[code] = want{group: group}
		}
	}
	for npa := range 1000 {
		code := strconv.Itoa(1000 + npa)[1:]
		info := phone.Inspect("+1"+code+"5550123", "")
		expected, listed := wants[code]
		if !listed {
			expected = want{phone.NANPUS, "US"}
		}
		switch {
		case code[0] < '2' || strings.HasSuffix(code, "11"):
			if info.Valid || info.NANP != "" {
				t.Errorf("%s: %+v, but there is no such area code", code, info)
			}
		case expected.group == phone.NANPTollFree || expected.group == phone.NANPNonGeographic:
			if info.Valid || info.NANP != expected.group || info.E164 != "+1"+code+"5550123" || info.USMarketing {
				t.Errorf("%s: %+v, want %s", code, info, expected.group)
			}
		default:
			if !info.Valid || info.NANP != expected.group || info.Country != expected.country ||
				info.USMarketing != (expected.group == phone.NANPUS) || len(info.TimeZones) == 0 {
				t.Errorf("%s: %+v, want %+v", code, info, expected)
			}
		}
	}
}

func TestAreaCodesUnknownToTheLibraryAreUS(t *testing.T) {
	t.Parallel()

	// In service, or assigned and not yet in service: whatsapp-facts §7.2.
	for _, code := range strings.Fields("357 436 457 621 624 679 729 837 861 924 465 471 483 565 761") {
		info := phone.Inspect("+1 ("+code+") 234-5678", "")
		if !info.Valid || info.Country != "US" || info.NANP != phone.NANPUS || !info.USMarketing {
			t.Errorf("%s: %+v", code, info)
		}
		for _, zone := range info.TimeZones {
			if zone == "America/Toronto" || zone == "Atlantic/Bermuda" || zone == "Pacific/Guam" {
				t.Errorf("%s: %s is not a zone of the US", code, zone)
			}
		}
	}
}

func TestNANPNumbersAreCheckedByThePlan(t *testing.T) {
	t.Parallel()

	cases := []struct {
		input, country, e164 string
		code                 phone.Code
	}{
		{input: "(212) 555-0123", country: "US", e164: "+12125550123"},
		{input: "1-212-555-0123", country: "US", e164: "+12125550123"},
		{input: "12125550123", country: "CA", e164: "+12125550123"},
		{input: "416 555 0123", country: "US", e164: "+14165550123"},
		{input: "011 49 151 23456789", country: "US", e164: "+4915123456789"},
		{input: "0049 151 23456789", country: "US", e164: "+4915123456789"},
		{input: "001 212 555 0123", e164: "+12125550123"},
		{input: "234 5678", country: "BB", e164: "+12462345678"},
		{input: "234 5678", country: "JM", code: phone.CodeTooShort},
		{input: "+1 212 055 0123", code: phone.CodeInvalid},
		{input: "+1 212 155 0123", code: phone.CodeInvalid},
		{input: "+1 112 555 0123", code: phone.CodeInvalid},
		{input: "+1 411 555 0123", code: phone.CodeInvalid},
		{input: "+1 1 212 555 0123", code: phone.CodeTooLong},
		{input: "12125550123", code: phone.CodeNoCountry},
		{input: "900 555 0123", country: "US", code: phone.CodeNonGeographic},
	}
	for _, c := range cases {
		n, err := phone.Parse(c.input, c.country)
		if c.code != "" {
			if e, ok := err.(*phone.Error); !ok || e.Code != c.code {
				t.Errorf("%s in %q: %+v, %v; want %s", c.input, c.country, n, err, c.code)
			}
			continue
		}
		if err != nil || n.E164 != c.e164 {
			t.Errorf("%s in %q: %+v, %v; want %s", c.input, c.country, n, err, c.e164)
		}
	}
}
