package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/schedule"
)

func TestNextCountsEachReadingOfTheWallClockOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cron, zone, after string
		want              []string // keys; empty text: none any more
	}{
		"mondays":                 {"0 9 * * 1", "Europe/Berlin", "2026-03-24T00:00:00Z", []string{"2026-03-30T09:00+02:00", "2026-04-06T09:00+02:00"}},
		"nine stays nine":         {"0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T09:00+01:00", "2026-03-29T09:00+02:00"}},
		"left out":                {"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"}},
		"left out, all as one":    {"*/20 2,3 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", []string{"2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00", "2026-03-29T03:40+02:00", "2026-03-30T02:00+02:00"}},
		"shown twice":             {"30 2 * * *", "Europe/Berlin", "2026-10-24T10:00:00Z", []string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"}},
		"from the second showing": {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", []string{"2026-10-26T02:30+01:00"}},
		"hourly in autumn":        {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"}},
		"hourly in spring":        {"0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"}},
		"midnight left out":       {"0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", []string{"2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"}},
		"half an hour":            {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"}},
		"a day left out":          {"0 9 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", []string{"2011-12-31T00:00+14:00", "2011-12-31T09:00+14:00"}},
		"its own zone":            {"CRON_TZ=America/New_York 0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", []string{"2026-07-01T09:00-04:00"}},
		"a word":                  {"@monthly", "UTC", "2026-07-01T00:00:00Z", []string{"2026-08-01T00:00Z"}},
		"7 is sunday":             {"30 2 * * 7", "UTC", "2026-07-01T00:00:00Z", []string{"2026-07-05T02:30Z", "2026-07-12T02:30Z"}},
		"friday to 7":             {"0 9 * * 5-7", "UTC", "2026-07-01T00:00:00Z", []string{"2026-07-03T09:00Z", "2026-07-04T09:00Z", "2026-07-05T09:00Z", "2026-07-10T09:00Z"}},
		"friday by name to 7":     {"0 9 * * fri-7/2", "UTC", "2026-07-01T00:00:00Z", []string{"2026-07-03T09:00Z", "2026-07-05T09:00Z", "2026-07-10T09:00Z"}},
		"mondays and 7":           {"0 9 * * 1,7", "UTC", "2026-07-01T00:00:00Z", []string{"2026-07-05T09:00Z", "2026-07-06T09:00Z", "2026-07-12T09:00Z"}},
		"0 to 7":                  {"0 9 * * 0-7", "UTC", "2026-07-04T10:00:00Z", []string{"2026-07-05T09:00Z", "2026-07-06T09:00Z"}},
		"every other day to 7":    {"0 9 * * 1-7/2", "UTC", "2026-07-01T10:00:00Z", []string{"2026-07-03T09:00Z", "2026-07-05T09:00Z", "2026-07-06T09:00Z"}},
		"leap day":                {"0 9 29 2 *", "UTC", "2026-07-01T00:00:00Z", []string{"2028-02-29T09:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cron, err := schedule.Parse(c.cron, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range cron.Upcoming(after, len(c.want)) {
				got = append(got, cron.Key(at))
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("after %s comes\n     %v\nwant %v", c.after, got, c.want)
			}
		})
	}
}

func TestNothingComesAfterTheEnd(t *testing.T) {
	t.Parallel()
	cron, err := schedule.Parse("0 9 * * *", "UTC")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC)
	got := cron.Until(end).Upcoming(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), 5)
	if len(got) != 2 || !got[1].Equal(end) {
		t.Errorf("got %v, want two days, the last one at the end", got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cron, zone, want string }{
		"no zone":        {"0 9 * * *", "", "needs a time zone"},
		"recipient":      {"0 9 * * *", "recipient", "needs a time zone"},
		"this machine's": {"0 9 * * *", "Local", "needs a time zone"},
		"unknown zone":   {"0 9 * * *", "Europe/Munich", `no time zone "Europe/Munich"`},
		"no zone at all": {"0 9 * * *", "posixrules", `no time zone "posixrules"`},
		"four fields":    {"0 9 * *", "UTC", "expected exactly 5 fields"},
		"seconds":        {"0 0 9 * * *", "UTC", "expected exactly 5 fields"},
		"beyond":         {"0 25 * * *", "UTC", "above maximum"},
		"day 8":          {"0 9 * * 5-8", "UTC", "above maximum"},
		"7 to friday":    {"0 9 * * 7-5", "UTC", "beyond end of range"},
		"no step":        {"0 9 * * 1-7/0", "UTC", ""},
		"an interval":    {"@every 1h", "UTC", "@every"},
		"never":          {"0 9 30 2 *", "UTC", "never comes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schedule.Parse(c.cron, c.zone)
			var refused *campaign.Error
			if !errors.As(err, &refused) || refused.Kind != campaign.Invalid || !strings.Contains(refused.Message, c.want) || refused.Hint == "" {
				t.Errorf("got %v, want a refusal with %q and a hint", err, c.want)
			}
		})
	}
}
