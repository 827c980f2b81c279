package phone

import (
	"slices"
	"strconv"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

const unknownZone = "Etc/Unknown"

// timeZones returns the zones in which a number outside +1 may be. The
// library knows them by prefix; a mobile number usually has all zones of its
// country.
func timeZones(e164, region string) []string {
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
