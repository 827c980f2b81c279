package phone

import "strings"

// The parts of the North American numbering plan: the values of Number.NANP.
const (
	NANPUS            = "us"
	NANPUSTerritory   = "us_territory"
	NANPCanada        = "canada"
	NANPCaribbean     = "caribbean"
	NANPTollFree      = "toll_free"
	NANPNonGeographic = "non_geographic"
)

// areaCode is what the first three digits after +1 say.
type areaCode struct {
	group   string
	country string
}

// areaCodes is whatsapp-facts §7.2 (NANPA report of 2025-11-26). A code in no
// row is US: libphonenumber knows neither region nor validity of in-service US
// codes such as 357 or 924, so a filter on its regions would let marketing to
// the US through and its validity check would drop real people.
var areaCodes = buildAreaCodes()

func buildAreaCodes() map[string]areaCode {
	table := make(map[string]areaCode, 128)
	add := func(group, country, codes string) {
		for _, code := range strings.Fields(codes) {
			table[code] = areaCode{group, country}
		}
	}
	add(NANPCanada, "CA", `204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474
		506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942`)

	add(NANPUSTerritory, "PR", "787 939")
	add(NANPUSTerritory, "VI", "340")
	add(NANPUSTerritory, "GU", "671")
	add(NANPUSTerritory, "AS", "684")
	add(NANPUSTerritory, "MP", "670")

	add(NANPCaribbean, "BS", "242")
	add(NANPCaribbean, "BB", "246")
	add(NANPCaribbean, "AI", "264")
	add(NANPCaribbean, "AG", "268")
	add(NANPCaribbean, "VG", "284")
	add(NANPCaribbean, "KY", "345")
	add(NANPCaribbean, "BM", "441")
	add(NANPCaribbean, "GD", "473")
	add(NANPCaribbean, "TC", "649")
	add(NANPCaribbean, "JM", "658 876")
	add(NANPCaribbean, "MS", "664")
	add(NANPCaribbean, "SX", "721")
	add(NANPCaribbean, "LC", "758")
	add(NANPCaribbean, "DM", "767")
	add(NANPCaribbean, "VC", "784")
	add(NANPCaribbean, "DO", "809 829 849")
	add(NANPCaribbean, "TT", "868")
	add(NANPCaribbean, "KN", "869")

	// Services. No country but for the Canadian ones; 710 is the US government
	// and still nobody's WhatsApp.
	add(NANPTollFree, "", "800 822 833 844 855 866 877 888")
	add(NANPNonGeographic, "", "500 521 522 523 524 525 526 527 528 529 532 533 538 544 566 577 588 700 710 900")
	add(NANPNonGeographic, "CA", "600 622 633")
	return table
}

// parseNANP reads what follows +1. The only rules are those of the numbering
// plan: ten digits, area code [2-9]XX but no N11, exchange [2-9]XX.
func parseNANP(digits string) (Number, *Error) {
	switch {
	case len(digits) < 10:
		return Number{}, &Error{CodeTooShort, "too short: +1 is followed by ten digits"}
	case len(digits) > 10:
		return Number{}, &Error{CodeTooLong, "too long: +1 is followed by ten digits"}
	}
	code := digits[:3]
	if code[0] < '2' || code[1:] == "11" {
		return Number{}, &Error{CodeInvalid, "not a valid +1 number: there is no such area code"}
	}
	area, listed := areaCodes[code]
	if !listed {
		area = areaCode{NANPUS, "US"}
	}
	n := Number{E164: "+1" + digits, Country: area.country, CallingCode: 1, NANP: area.group}
	switch {
	case area.group == NANPTollFree:
		return n, &Error{CodeTollFree, "a +1 toll-free number cannot be reached by WhatsApp"}
	case area.group == NANPNonGeographic:
		return n, &Error{CodeNonGeographic, "a +1 number of a non-geographic or premium service cannot be reached by WhatsApp"}
	case digits[3] < '2':
		return Number{}, &Error{CodeInvalid, "not a valid +1 number: the three digits after the area code cannot begin with 0 or 1"}
	}
	n.TimeZones = nanpZones(code, area.country)
	return n, nil
}

// parseNationalNANP reads a number as written within region, a country of +1:
// ten digits, with or without the 1, or behind the international prefix 011.
// Seven digits are enough where the country has a single area code.
func parseNationalNANP(digits, region string) (Number, *Error) {
	if rest, ok := strings.CutPrefix(digits, "011"); ok && rest != "" {
		return parseInternational(rest)
	}
	switch {
	case len(digits) == 11 && digits[0] == '1':
		digits = digits[1:]
	case len(digits) == 7:
		code := onlyAreaCode(region)
		if code == "" {
			return Number{}, &Error{CodeTooShort, "too short for a phone number of " + region + " (+1): the area code is missing"}
		}
		digits = code + digits
	}
	return parseNANP(digits)
}

// onlyAreaCode returns the area code of a country that has just one.
func onlyAreaCode(region string) string {
	found := ""
	for code, area := range areaCodes {
		if area.country != region {
			continue
		}
		if found != "" {
			return ""
		}
		found = code
	}
	return found
}
