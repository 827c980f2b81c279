package phone

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // a machine without a zone database tests the same
)

func TestMobileNumbersMayBeAnywhereInTheirCountry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number string
		zones  int
		among  string
	}{
		{"+79161234567", 12, "Asia/Kamchatka"},
		{"+61412345678", 7, "Australia/Perth"},
		{"+6281234567890", 3, "Asia/Jayapura"},
		{"+34612345678", 2, "Atlantic/Canary"},
		{"+34712345678", 2, "Atlantic/Canary"},
		{"+593991234567", 2, "Pacific/Galapagos"},
		{"+64211234567", 2, "Pacific/Chatham"},
		{"+56961234567", 3, "Pacific/Easter"},
		{"+97688123456", 2, "Asia/Hovd"},
		{"+299221234", 4, "America/Nuuk"},
		{"+351912345678", 2, "Atlantic/Azores"},
		// An area code, or a country of one zone, tells.
		{"+61893123456", 2, "Australia/Perth"},
		{"+5511961234567", 1, "America/Sao_Paulo"},
		{"+5592991234567", 1, "America/Manaus"},
		{"+4915123456789", 1, "Europe/Berlin"},
		{"+12125550100", 1, "America/New_York"},
		{"+12045550100", 1, "America/Winnipeg"},
	} {
		n, err := Parse(c.number, "")
		if err != nil {
			t.Errorf("%s: %v", c.number, err)
			continue
		}
		if !slices.Contains(n.TimeZones, c.among) || len(n.TimeZones) != c.zones || !slices.IsSorted(n.TimeZones) {
			t.Errorf("%s: %v", c.number, n.TimeZones)
		}
		if again := Zones(n.E164, n.Country); !slices.Equal(again, n.TimeZones) {
			t.Errorf("%s: Zones says %v, Parse %v", c.number, again, n.TimeZones)
		}
		for _, zone := range n.TimeZones {
			if _, err := time.LoadLocation(zone); err != nil {
				t.Errorf("%s: %v", c.number, err)
			}
		}
	}
}

func BenchmarkZones(b *testing.B) {
	numbers := []struct{ e164, country string }{{"+4915123456789", "DE"}, {"+12125550100", "US"}, {"+79161234567", "RU"}, {"+5511961234567", "BR"}}
	for i := 0; b.Loop(); i++ {
		n := numbers[i%len(numbers)]
		Zones(n.e164, n.country)
	}
}
