package phone

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/nyaruka/phonenumbers"
)

// Prefix says to which country the numbers that begin with it belong, where no
// longer prefix says otherwise: what a program without libphonenumber, such as a
// function in the database, can know of a number.
type Prefix struct {
	Digits  string // calling code first, without +
	Country string // as Number.Country
	NANP    string // as Number.NANP
}

// Prefixes lists the calling codes, the prefixes by which countries that share
// one are told apart, and the area codes of +1, sorted. The islands whose numbers
// begin like those of the United Kingdom or of Norway count as these: their
// ranges are scattered over theirs.
func Prefixes() []Prefix {
	var list []Prefix
	for code := range phonenumbers.GetSupportedCallingCodes() {
		switch region := phonenumbers.GetRegionCodeForCountryCode(code); {
		case code == 1:
			list = append(list, Prefix{"1", "US", NANPUS})
		case region != worldRegion:
			list = append(list, Prefix{strconv.Itoa(code), region, ""})
		}
	}
	for code, area := range areaCodes {
		list = append(list, Prefix{"1" + code, area.country, area.group})
	}
	for digits, country := range shared() {
		list = append(list, Prefix{digits, country, ""})
	}
	slices.SortFunc(list, func(a, b Prefix) int { return cmp.Compare(a.Digits, b.Digits) })
	return list
}

// shared are the prefixes of countries that share a calling code with a larger
// one and have a range of their own (ITU-T E.164 national numbering plans).
func shared() map[string]string {
	return map[string]string{
		"76": "KZ", "77": "KZ", // +7: Russia
		"3906698": "VA",                 // +39: Italy
		"4779":    "SJ",                 // +47: Norway
		"6189162": "CC",                 // +61: Australia
		"6189164": "CX",                 //
		"262269":  "YT", "262639": "YT", // +262: Réunion
		"35818": "AX",                             // +358: Finland
		"5993":  "BQ", "5994": "BQ", "5997": "BQ", // +599: Curaçao
	}
}
