package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a machine without a zone database tests the same

	"github.com/campaignd/campaignd/internal/campaign"
)

// numbers of a country: a prefix, how many digits follow, and where a person with
// such a number may be. Written down here, not asked of the product.
type numbers struct {
	country string
	prefix  string
	digits  int
	zones   string
}

var countries = []numbers{ //nolint:gochecknoglobals // never written to
	{"DE", "+491512", 7, "Europe/Berlin"}, {"FR", "+3361", 7, "Europe/Paris"}, {"GB", "+447400", 6, "Europe/London"},
	{"ES", "+34612", 6, "Europe/Madrid Atlantic/Canary"}, {"PT", "+351912", 6, "Europe/Lisbon Atlantic/Azores"}, {"NL", "+31612", 6, "Europe/Amsterdam"},
	{"BE", "+32470", 6, "Europe/Brussels"}, {"CH", "+41781", 6, "Europe/Zurich"}, {"AT", "+43664", 6, "Europe/Vienna"}, {"PL", "+48512", 6, "Europe/Warsaw"},
	{"CZ", "+420601", 6, "Europe/Prague"}, {"DK", "+4532", 6, "Europe/Copenhagen"}, {"FI", "+35841", 7, "Europe/Helsinki"}, {"GR", "+30691", 7, "Europe/Athens"},
	{"TR", "+90501", 7, "Europe/Istanbul"}, {"EG", "+20100", 7, "Africa/Cairo"}, {"ZA", "+27711", 6, "Africa/Johannesburg"}, {"NG", "+234802", 7, "Africa/Lagos"},
	{"KE", "+254712", 6, "Africa/Nairobi"}, {"MA", "+212650", 6, "Africa/Casablanca"}, {"AE", "+97150", 7, "Asia/Dubai"}, {"SA", "+96651", 7, "Asia/Riyadh"},
	{"RU", "+7912", 7, "Europe/Kaliningrad Europe/Moscow Europe/Samara Asia/Yekaterinburg Asia/Omsk Asia/Krasnoyarsk Asia/Irkutsk Asia/Yakutsk Asia/Vladivostok Asia/Sakhalin Asia/Kamchatka"},
	{"IN", "+9181234", 5, "Asia/Kolkata"}, {"PK", "+92301", 7, "Asia/Karachi"}, {"BD", "+8801812", 6, "Asia/Dhaka"}, {"NP", "+97798412", 5, "Asia/Kathmandu"},
	{"LK", "+94712", 6, "Asia/Colombo"}, {"TH", "+66812", 6, "Asia/Bangkok"}, {"VN", "+84912", 6, "Asia/Ho_Chi_Minh"}, {"SG", "+6581", 6, "Asia/Singapore"},
	{"ID", "+62812", 7, "Asia/Jakarta Asia/Makassar Asia/Jayapura"}, {"PH", "+63905", 7, "Asia/Manila"}, {"MY", "+6012", 7, "Asia/Kuala_Lumpur"},
	{"JP", "+81901", 7, "Asia/Tokyo"}, {"CN", "+861312", 7, "Asia/Shanghai"}, {"NZ", "+64211", 6, "Pacific/Auckland Pacific/Chatham"},
	{"AU", "+61412", 6, "Australia/Perth Australia/Darwin Australia/Adelaide Australia/Brisbane Australia/Sydney Australia/Lord_Howe"},
	{"BR", "+551196", 7, "America/Sao_Paulo"}, {"BR", "+559296", 7, "America/Manaus"}, {"MX", "+52222", 7, "America/Mexico_City"},
	{"CO", "+57321", 7, "America/Bogota"}, {"PE", "+51912", 6, "America/Lima"}, {"CL", "+5696", 7, "America/Santiago Pacific/Easter"}, {"CA", "+1204", 7, "America/Winnipeg"},
}

// The window opens in Reykjavik (UTC) at the moment at which it closes on
// Guadalcanal (UTC+11): both happen in the middle of the campaign.
const (
	opening = "Atlantic/Reykjavik"
	closing = "Pacific/Guadalcanal"
	length  = 11 * time.Hour
)

// Nobody in forty countries is written to outside the window, by the clock on
// the wall of every place where that person may be: checked from the provider's
// ledger. CAMPAIGN_WINDOW_CONTACTS is how many people there are.
func TestNobodyIsWrittenToOutsideTheWindow(t *testing.T) {
	t.Parallel()
	people := 4500
	if n, err := strconv.Atoi(os.Getenv("CAMPAIGN_WINDOW_CONTACTS")); err == nil {
		people = n
	}
	w := newWorldAt(t, max(people/75, 10), "--profile", "clean")
	w.daemon()

	where := map[string][]*time.Location{}
	var file strings.Builder
	file.WriteString("phone,opt_in,time_zone,first_name,voucher\n")
	for i := range people {
		c := countries[i%len(countries)]
		number := fmt.Sprintf("%s%0*d", c.prefix, c.digits, 2_345_678%pow10(c.digits)+i/len(countries))
		zones, attribute := c.zones, ""
		switch i % 5 { // spread over all numbers, because they are sent in their order
		case 1:
			attribute = opening
		case 3:
			attribute = closing
		}
		if attribute != "" {
			zones = attribute // a contact's own zone wins
		}
		for _, name := range strings.Fields(zones) {
			zone, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			where[number] = append(where[number], zone)
		}
		fmt.Fprintf(&file, "%s,yes,%s,Ann,V-%d\n", number, attribute, i)
	}
	if len(where) != people {
		t.Fatalf("%d different numbers", len(where))
	}
	w.write("people.csv", file.String())
	w.ctl(0, "contact", "import", "people.csv", "--list", "people")

	// Sending lasts 80 s or so: the turn comes in the middle. Nothing is sent in the
	// last 15 s before the window closes.
	lead := 45*time.Second + time.Duration(people/4000)*time.Second
	turn := time.Now().UTC().Add(lead).Truncate(time.Minute).Add(time.Minute)
	time.Sleep(time.Until(turn.Add(-lead)))
	w.write("spring.yaml", fmt.Sprintf(`name: spring
channel: sales
template: {name: spring_sale, language: en_US}
audience: {list: people}
parameters:
  body.1: {column: first_name}
  body.2: {column: voucher}
  button.0: {column: voucher}
schedule: {window: "%s-%s", timezone: recipient}
`, turn.Format("15:04"), turn.Add(length).Format("15:04")))
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")

	open := func(zones []*time.Location, at time.Time) bool {
		for _, zone := range zones {
			local := at.In(zone)
			into := time.Duration(local.Hour()*60+local.Minute()-turn.Hour()*60-turn.Minute()) * time.Minute
			if (into+24*time.Hour)%(24*time.Hour) >= length {
				return false
			}
		}
		return true
	}
	s := w.until("all of them sent whose window is open", func(s campaign.Status) bool {
		return time.Now().After(turn.Add(2*time.Second)) && s.Counts[campaign.Queued]+s.Counts[campaign.Sending]+s.Counts[campaign.Deferred] == 0 &&
			len(s.Waiting) > 0 && s.Waiting[0].Reason == campaign.ReasonWindow
	})
	end := time.Now()
	sent := map[string]int{}
	var before, after, opened, closed int
	for _, e := range w.entries() {
		number := "+" + strings.TrimPrefix(e.To, "+")
		zones := where[number]
		if len(zones) == 0 {
			t.Fatalf("a POST to somebody who is not on the list")
		}
		sent[number]++
		if !open(zones, e.At) {
			t.Errorf("a POST at %s, when it is %s in %s", e.At.UTC().Format(time.TimeOnly), e.At.In(zones[0]).Format(time.TimeOnly), zones[0])
		}
		if e.At.Before(turn) {
			before++
		} else {
			after++
		}
		switch zones[0].String() {
		case opening:
			opened++
		case closing:
			closed++
		}
	}
	closers, waiting := 0, int64(0)
	for number, zones := range where {
		switch {
		case zones[0].String() == closing:
			closers++
			if sent[number] == 0 {
				waiting++
			}
		case open(zones, end):
			if sent[number] != 1 {
				t.Errorf("somebody in %s, where the window is open, was written to %d times", zones[0], sent[number])
			}
		default:
			waiting += int64(1 - sent[number]) // closed meanwhile, or all the time
		}
	}
	if before == 0 || after == 0 || opened == 0 || closed == 0 || closed == closers {
		t.Errorf("the turn came at the wrong time: %d POSTs before and %d after it, %d where it opened, %d of %d where it closed", before, after, opened, closed, closers)
	}
	if s.Counts[campaign.Pending] != waiting {
		t.Errorf("%d wait, and %d should", s.Counts[campaign.Pending], waiting)
	}
	t.Logf("%d people, %d POSTs before the turn and %d after it; %d of %d in time before it closed; %d wait for %d hours of theirs",
		people, before, after, closed, closers, waiting, len(s.Waiting))
	w.verify("spring")
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}
