// Package phone says what a phone number is and where it lives: it turns what
// people type into spreadsheets into E.164, or into a reason why it cannot,
// and knows country, time zones, the parts of the North American numbering
// plan (+1), and under which other forms WhatsApp may report the same person.
//
// It must not know contacts, campaigns, files or the provider. Its errors
// never contain the number itself, because errors are logged and numbers are
// personal data; whoever called has the input anyway.
package phone

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Number is a phone number that a person on WhatsApp may have.
type Number struct {
	E164        string   // "+" and 7 to 15 digits; what is stored and sent
	Country     string   // ISO 3166-1 alpha-2; empty for +1 services that belong to no country
	CallingCode int      // 1 to 999
	NANP        string   // one of the NANP constants for +1, empty elsewhere
	TimeZones   []string // IANA names where the number may be, sorted, unique; empty when unknown
}

// Code is the stable name of a reason for refusing an input.
type Code string

// The reasons for which Parse refuses an input.
const (
	CodeEmpty          Code = "empty"
	CodeLetters        Code = "letters"
	CodeCharacters     Code = "characters"
	CodeNoCountry      Code = "no_country"
	CodeUnknownCountry Code = "unknown_country"
	CodeCallingCode    Code = "calling_code"
	CodeTooShort       Code = "too_short"
	CodeTooLong        Code = "too_long"
	CodeInvalid        Code = "invalid"
	CodeAmbiguous      Code = "ambiguous"
	CodeTollFree       Code = "toll_free"
	CodeNonGeographic  Code = "non_geographic"
	CodeBSUID          Code = "bsuid"
	CodeScientific     Code = "scientific_notation"
	CodeExtension      Code = "extension"
	CodeSeveral        Code = "several_numbers"
)

// Error says why an input is not a phone number we can write to. Its message
// never contains the input.
type Error struct {
	Code    Code
	Message string // for a person: lower case, no full stop, with the remedy where there is one
}

func (e *Error) Error() string { return e.Message }

// Parse reads one phone number as people write it: with spaces, dashes, dots,
// parentheses, slashes, a 00 or + prefix, full-width or other Unicode digits,
// Excel's leading apostrophe or trailing ".0", "tel:" or "whatsapp:".
//
// defaultCountry (ISO 3166-1 alpha-2, any case, may be empty) is the country
// whose national numbers are understood. Without it a number must begin with
// + or 00; a national number is then an error and never a guess.
//
// Most numbers with a calling code are decided by a table of ranges that is proven
// from libphonenumber's patterns and says only what they say (ranges.go); the
// others by these patterns themselves, 70,000 a second on one core.
//
// The error is always a *Error. With CodeTollFree and CodeNonGeographic the
// Number still holds what was read.
func Parse(input, defaultCountry string) (Number, error) {
	n, err := parse(input, defaultCountry)
	if err != nil {
		return n, err
	}
	return n, nil
}

// CheckCountry returns the upper-case form of an ISO 3166-1 alpha-2 code whose
// numbering plan is known, or a *Error with CodeUnknownCountry.
func CheckCountry(country string) (string, error) {
	region, err := checkCountry(country)
	if err != nil {
		return "", err
	}
	return region, nil
}

// Info is the answer of Inspect, in the JSON form of `phone inspect` (design
// §11). Every key is always present.
type Info struct {
	Input       string   `json:"input"`
	Valid       bool     `json:"valid"`
	E164        string   `json:"e164"`
	Country     string   `json:"country"`
	CallingCode int      `json:"calling_code"`
	NANP        string   `json:"nanp"`
	USMarketing bool     `json:"us_marketing"` // Meta's US marketing pause covers the number
	TimeZones   []string `json:"time_zones"`
	Error       string   `json:"error"`
}

// Inspect explains one input. It never fails: what Parse refuses has Valid
// false and the reason in Error.
func Inspect(input, defaultCountry string) Info {
	n, err := parse(input, defaultCountry)
	info := Info{
		Input: input, Valid: err == nil,
		E164: n.E164, Country: n.Country, CallingCode: n.CallingCode, NANP: n.NANP,
		USMarketing: err == nil && n.USMarketing(),
		TimeZones:   n.TimeZones,
	}
	if info.TimeZones == nil {
		info.TimeZones = []string{}
	}
	if err != nil {
		info.Error = err.Message
	}
	return info
}

// USMarketing reports whether Meta's pause of marketing messages covers the
// number: "+1 and a US area code". US territories are not US here
// (whatsapp-facts §7.2: undocumented, so the campaign has a setting).
func (n Number) USMarketing() bool { return n.NANP == NANPUS }

func parse(input, defaultCountry string) (Number, *Error) {
	region := ""
	if strings.TrimSpace(defaultCountry) != "" {
		var err *Error
		if region, err = checkCountry(defaultCountry); err != nil {
			return Number{}, err
		}
	}
	text, err := clean(input)
	if err != nil {
		return Number{}, err
	}
	if text.plus {
		return parseInternational(text.digits)
	}
	if rest, ok := strings.CutPrefix(text.digits, "00"); ok && rest != "" {
		return parseDoubleZero(text.digits, rest, region)
	}
	if region == "" {
		return Number{}, &Error{CodeNoCountry, "national number without a country: give --country, or write it with + and the country code"}
	}
	return parseNational(text.digits, region)
}

func checkCountry(country string) (string, *Error) {
	region := strings.ToUpper(strings.TrimSpace(country))
	if len(region) == 2 && phonenumbers.GetCountryCodeForRegion(region) != 0 {
		return region, nil
	}
	if region == "UK" {
		return "", &Error{CodeUnknownCountry, `unknown country "UK": the United Kingdom is GB`}
	}
	// What was typed is echoed only when it looks like a code: a number put in
	// the wrong place must not reach a log.
	if len(region) == 2 && region[0] >= 'A' && region[0] <= 'Z' && region[1] >= 'A' && region[1] <= 'Z' {
		return "", &Error{CodeUnknownCountry, "unknown country " + strconv.Quote(region) + ": give its ISO 3166 code of two letters, such as DE"}
	}
	return "", &Error{CodeUnknownCountry, "not a country code: give the ISO 3166 code of two letters, such as DE"}
}

// parseInternational reads calling code and national number, without the +.
func parseInternational(digits string) (Number, *Error) {
	if strings.HasPrefix(digits, "1") {
		return parseNANP(digits[1:])
	}
	if n, ok := parseByRange(digits); ok {
		return n, nil
	}
	return parseByLibrary(digits)
}

// parseByRange reports false where the table of ranges does not tell.
func parseByRange(digits string) (Number, bool) {
	country, ok := countryByRange(digits)
	if !ok {
		return Number{}, false
	}
	e164 := "+" + digits
	return Number{E164: e164, Country: country, CallingCode: phonenumbers.GetCountryCodeForRegion(country), TimeZones: timeZones(e164, country)}, true
}

func parseByLibrary(digits string) (Number, *Error) {
	if len(digits) < 3 {
		return Number{}, &Error{CodeTooShort, "too short for a phone number"}
	}
	n, err := phonenumbers.Parse("+"+digits, "")
	if err != nil {
		return Number{}, libraryError(err, digits)
	}
	return checkLeft(n, digits)
}

// parseDoubleZero reads a number that begins with 00, digits being all of it
// and rest what follows. 00 stands for + nearly everywhere; but it also begins
// Australia's 0011 and Korea's 001, so with a default country the library's
// reading is compared, and two valid readings that differ are an error.
func parseDoubleZero(digits, rest, region string) (Number, *Error) {
	n, err := parseInternational(strings.TrimLeft(rest, "0"))
	if region == "" {
		return n, err
	}
	parsed, libErr := phonenumbers.Parse(digits, region)
	if libErr != nil {
		return n, err
	}
	dialled, dialledErr := checkLeft(parsed, digits)
	if dialledErr != nil {
		return n, err
	}
	if err != nil {
		return dialled, nil //nolint:nilerr // the reading that failed is not the one meant
	}
	if dialled.E164 != n.E164 {
		return Number{}, &Error{CodeAmbiguous, "begins with 00, which can be read in two ways in " + region + ": write it with +"}
	}
	return n, nil
}

// parseNational reads a number as it is written within region: a national
// number, one with the country's own international prefix, or one with the
// calling code of region and no +.
//
// Of the last kind many are also possible national numbers without their trunk
// zero (49 151… begins like the German area code 0491). Where only one reading
// is a mobile number, that one is meant; where a fixed line is the only
// national reading, the number is refused rather than turned into a
// stranger's.
func parseNational(digits, region string) (Number, *Error) {
	cc := phonenumbers.GetCountryCodeForRegion(region)
	if cc == 1 {
		return parseNationalNANP(digits, region)
	}
	parsed, libErr := phonenumbers.Parse(digits, region)
	if libErr != nil {
		return Number{}, libraryError(libErr, digits)
	}
	national, nationalErr := checkLeft(parsed, digits)
	code := strconv.Itoa(cc)
	if !strings.HasPrefix(digits, code) || int(parsed.GetCountryCode()) != cc {
		return national, nationalErr
	}
	international, internationalErr := parseInternational(digits)
	switch {
	case nationalErr != nil && internationalErr != nil:
		return national, nationalErr
	case nationalErr != nil:
		return international, nil //nolint:nilerr // the reading that failed is not the one meant
	case internationalErr == nil && national.E164 == international.E164:
		return national, nil
	case phonenumbers.GetNumberType(parsed) != phonenumbers.FIXED_LINE:
		return national, nil
	case internationalErr == nil && mayBeMobile(international.E164):
		return international, nil
	}
	if trunk := phonenumbers.GetNddPrefixForRegion(region, true); trunk != "" && strings.HasPrefix(strings.TrimLeft(phonenumbers.Format(parsed, phonenumbers.NATIONAL), "("), trunk) {
		return Number{}, &Error{CodeAmbiguous, "begins with the calling code of " + region + " and can be read in two ways: write it with + or with the leading " + trunk}
	}
	return national, nil
}

// checkLeft is check for a number of which the library may have left some digits
// away, and we too: trunk zeros, codes of carriers, the old prefixes of mobiles.
// The form that is left must say by itself what it says now, or it would be stored
// and then refused when it is read the next time. What was left as it was given
// has been looked at already.
func checkLeft(n *phonenumbers.PhoneNumber, given string) (Number, *Error) {
	number, err := check(n)
	if err != nil || number.E164 == "+"+given {
		return number, err
	}
	again, ok := parseByRange(number.E164[1:])
	if !ok {
		left, libErr := phonenumbers.Parse(number.E164, "")
		if libErr != nil {
			return Number{}, libraryError(libErr, number.E164[1:])
		}
		if again, err = check(left); err != nil {
			return Number{}, err
		}
	}
	if again.E164 != number.E164 || again.Country != number.Country {
		return Number{}, invalid(n)
	}
	return number, nil
}

// check decides over a number outside +1 by the library's metadata, corrected
// for Mexico and Brazil, and describes it.
func check(n *phonenumbers.PhoneNumber) (Number, *Error) {
	if n.GetExtension() != "" {
		return Number{}, extensionError()
	}
	cc := int(n.GetCountryCode())
	if cc == 1 {
		return parseNANP(phonenumbers.GetNationalSignificantNumber(n))
	}
	if len(phonenumbers.GetNationalSignificantNumber(n))+len(strconv.Itoa(cc)) > maxDigits {
		// The library's German patterns go past E.164.
		return Number{}, &Error{CodeTooLong, "too long for a phone number"}
	}
	region := phonenumbers.GetRegionCodeForNumber(n)
	kind := phonenumbers.GetNumberType(n)
	if kind == phonenumbers.UNKNOWN {
		fixed := corrected(n)
		if fixed == nil {
			return Number{}, invalid(n)
		}
		if fixed.oldBrazilian {
			return describe(phonenumbers.Format(n, phonenumbers.E164), "BR", n), nil
		}
		n = fixed.number
		region, kind = phonenumbers.GetRegionCodeForNumber(n), phonenumbers.GetNumberType(n)
	}
	if region == worldRegion {
		// +800, +808, +870, +881, +882, +883, +979 …: satellite phones and
		// services of no country. No consumer WhatsApp account, price or time
		// zone is documented for any of them; all are treated alike.
		number := Number{E164: phonenumbers.Format(n, phonenumbers.E164), CallingCode: cc}
		return number, &Error{CodeNonGeographic, "+" + strconv.Itoa(cc) + " belongs to no country (satellite and international services): cannot be reached by WhatsApp"}
	}
	number := describe(phonenumbers.Format(n, phonenumbers.E164), region, n)
	switch kind {
	case phonenumbers.TOLL_FREE:
		return number, &Error{CodeTollFree, "a toll-free number of " + region + " cannot be reached by WhatsApp"}
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST:
		// As +1 900: numbers that cost the caller are services, not people.
		return number, &Error{CodeNonGeographic, "a premium-rate or shared-cost number of " + region + " cannot be reached by WhatsApp"}
	}
	return number, nil
}

// maxDigits is what E.164 allows, calling code included.
const maxDigits = 15

// worldRegion is what libphonenumber calls the region of calling codes that
// belong to no country.
const worldRegion = "001"

func describe(e164, region string, n *phonenumbers.PhoneNumber) Number {
	return Number{E164: e164, Country: region, CallingCode: int(n.GetCountryCode()), TimeZones: timeZones(e164, region)}
}

type correction struct {
	number       *phonenumbers.PhoneNumber
	oldBrazilian bool // kept as it was given
}

// corrected handles the two countries whose everyday forms on WhatsApp the
// library calls invalid (whatsapp-facts §7.1).
//
// Mexico: 52 1 and ten digits, the mobile form until 2019 and still WhatsApp's
// wa_id, is 52 and ten digits today; so are the old domestic prefixes 01, 044
// and 045.
//
// Brazil: accounts outside the early nine-digit areas are often known to
// WhatsApp by the old eight digits (first one 6 to 9). The number is valid and
// kept as given; the provider itself adds the 9 where it is needed.
func corrected(n *phonenumbers.PhoneNumber) *correction {
	national := phonenumbers.GetNationalSignificantNumber(n)
	switch n.GetCountryCode() {
	case 52:
		for _, prefix := range []string{"1", "01", "044", "045"} {
			rest, ok := strings.CutPrefix(national, prefix)
			if !ok || len(rest) != 10 {
				continue
			}
			if m, err := phonenumbers.Parse("+52"+rest, ""); err == nil && phonenumbers.GetNumberType(m) != phonenumbers.UNKNOWN {
				return &correction{number: m}
			}
		}
	case 55:
		if len(national) != 10 || national[2] < '6' {
			return nil
		}
		m, err := phonenumbers.Parse("+55"+national[:2]+"9"+national[2:], "")
		if err == nil && phonenumbers.GetNumberType(m) == phonenumbers.MOBILE {
			return &correction{oldBrazilian: true}
		}
	}
	return nil
}

func mayBeMobile(e164 string) bool {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return false
	}
	kind := phonenumbers.GetNumberType(n)
	return kind == phonenumbers.MOBILE || kind == phonenumbers.FIXED_LINE_OR_MOBILE
}

// invalid says what is wrong with a number that matches no pattern of its
// calling code.
func invalid(n *phonenumbers.PhoneNumber) *Error {
	cc := int(n.GetCountryCode())
	of := "+" + strconv.Itoa(cc)
	if region := phonenumbers.GetRegionCodeForCountryCode(cc); len(region) == 2 {
		of = region + " (" + of + ")"
	}
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.TOO_SHORT:
		return &Error{CodeTooShort, "too short for a phone number of " + of}
	case phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return &Error{CodeTooShort, "too short for a phone number of " + of + ": is the area code missing?"}
	case phonenumbers.TOO_LONG:
		return &Error{CodeTooLong, "too long for a phone number of " + of}
	}
	return &Error{CodeInvalid, "not a valid phone number of " + of}
}

// libraryError translates what the library says before it has a number.
func libraryError(err error, digits string) *Error {
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode):
		return &Error{CodeCallingCode, "does not begin with a calling code that exists"}
	case errors.Is(err, phonenumbers.ErrNumTooLong):
		return &Error{CodeTooLong, "too long for a phone number"}
	case errors.Is(err, phonenumbers.ErrTooShortNSN), errors.Is(err, phonenumbers.ErrTooShortAfterIDD):
		return &Error{CodeTooShort, "too short for a phone number"}
	}
	if len(digits) < 7 {
		return &Error{CodeTooShort, "too short for a phone number"}
	}
	return &Error{CodeInvalid, "not a valid phone number"}
}
