package phone

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

const unknownZone = "Etc/Unknown"

// mobileZones are the countries with several zones whose mobile numbers are not
// tied to a place. The library gives the capital's zone for them (Moscow for a
// number that may ring in Kamchatka), which is a guess at somebody's night.
// Elsewhere its prefixes are right: in Brazil and Mexico a mobile number has an
// area code.
func mobileZones(e164 string) []string {
	for _, m := range [...]struct{ prefix, zones string }{
		{"+79", "Asia/Anadyr Asia/Irkutsk Asia/Kamchatka Asia/Krasnoyarsk Asia/Omsk Asia/Sakhalin Asia/Vladivostok Asia/Yakutsk Asia/Yekaterinburg Europe/Kaliningrad Europe/Moscow Europe/Samara"},
		{"+614", "Australia/Adelaide Australia/Brisbane Australia/Darwin Australia/Eucla Australia/Lord_Howe Australia/Perth Australia/Sydney"},
		{"+628", "Asia/Jakarta Asia/Jayapura Asia/Makassar"},
		{"+346", "Atlantic/Canary Europe/Madrid"}, {"+347", "Atlantic/Canary Europe/Madrid"},
		{"+569", "America/Punta_Arenas America/Santiago Pacific/Easter"},
		{"+5939", "America/Guayaquil Pacific/Galapagos"},
		{"+642", "Pacific/Auckland Pacific/Chatham"},
		{"+9768", "Asia/Hovd Asia/Ulaanbaatar"}, {"+9769", "Asia/Hovd Asia/Ulaanbaatar"},
		{"+299", "America/Danmarkshavn America/Nuuk America/Scoresbysund America/Thule"},
	} {
		if strings.HasPrefix(e164, m.prefix) {
			return strings.Fields(m.zones)
		}
	}
	return nil
}

// timeZones returns the zones in which a number outside +1 may be. The library
// knows them by prefix.
func timeZones(e164, region string) []string {
	if zones := mobileZones(e164); zones != nil {
		return zones
	}
	zones, err := phonenumbers.GetTimezonesForPrefix(e164)
	if err == nil {
		if known := tidyZones(zones); len(known) > 0 {
			return known
		}
	}
	// A prefix the library does not know: all zones of the calling code.
	zones, err = phonenumbers.GetTimezonesForPrefix(strconv.Itoa(phonenumbers.GetCountryCodeForRegion(region)))
	if err != nil {
		return []string{}
	}
	return tidyZones(zones)
}

// nanpZones returns the zones of a +1 area code. For a code the library does
// not know it would answer all 42 zones of +1, Guam to Bermuda; all zones of
// the country are the narrower truth.
func nanpZones(code, country string) []string {
	zones := knownNANPZones(code)
	if len(zones) > 0 {
		return zones
	}
	return slices.Clone(countryNANPZones()[country])
}

// knownNANPZones returns nothing for an area code that the library has no
// entry of its own for.
func knownNANPZones(code string) []string {
	zones, err := phonenumbers.GetTimezonesForPrefix("1" + code)
	if err != nil {
		return nil
	}
	all, err := phonenumbers.GetTimezonesForPrefix("1")
	if err != nil || slices.Equal(zones, all) {
		return nil
	}
	return tidyZones(zones)
}

// countryNANPZones is, per country of +1, every zone that one of its area codes
// has. Computed once, from the library's table and ours.
var countryNANPZones = sync.OnceValue(func() map[string][]string {
	zones := make(map[string][]string)
	for npa := 200; npa < 1000; npa++ {
		code := strconv.Itoa(npa)
		country := "US"
		if area, listed := areaCodes[code]; listed {
			country = area.country
		}
		zones[country] = append(zones[country], knownNANPZones(code)...)
	}
	for country := range zones {
		zones[country] = tidyZones(zones[country])
	}
	return zones
})

// tidyZones returns a sorted copy without repeats and unknown zones.
func tidyZones(zones []string) []string {
	tidy := make([]string, 0, len(zones))
	for _, zone := range zones {
		if zone != unknownZone && zone != "" {
			tidy = append(tidy, zone)
		}
	}
	slices.Sort(tidy)
	return slices.Compact(tidy)
}

// Zones returns the IANA names of the zones in which an E.164 number may be,
// sorted; empty where nothing is known. country is Number.Country, for what the
// prefix alone does not tell. It is what Number.TimeZones says, without reading
// the number again: a million a second.
func Zones(e164, country string) []string {
	if digits, ok := strings.CutPrefix(e164, "+1"); ok && len(digits) >= 3 {
		return nanpZones(digits[:3], country)
	}
	return timeZones(e164, country)
}
