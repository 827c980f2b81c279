package audience_test

import (
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
)

func TestParseSpecAtPutsInTheMoment(t *testing.T) {
	t.Parallel()
	// Half past eleven at night in UTC is the next day in Berlin.
	now := time.Date(2025, 12, 28, 23, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct{ text, zone, want string }{
		"date":                 {"{date}", "UTC", "2025-12-28"},
		"date in its zone":     {"{date}", "Europe/Berlin", "2025-12-29"},
		"tomorrow":             {"until {date+1d}!", "UTC", "until 2025-12-29!"},
		"past a month":         {"{date+35d}", "UTC", "2026-02-01"},
		"before":               {"{date-4w}", "UTC", "2025-11-30"},
		"week":                 {"{week}", "UTC", "2025-W52"},
		"week of another year": {"{week}", "Europe/Berlin", "2026-W01"},
		"next week":            {"{week+1w}", "UTC", "2026-W01"},
		"month":                {"{month}", "UTC", "2025-12"},
		"month of next week":   {"{month+7d}", "UTC", "2026-01"},
		"year":                 {"{year}", "UTC", "2025"},
		"several":              {"{year}/{date}", "UTC", "2025/2025-12-28"},
		"braces as text":       {"{{date}} {1} { date } {}", "UTC", "{date} {1} { date } {}"},
		"a slot":               {"{{1}}", "UTC", "{{1}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := leastSpec + "key: \"" + c.text + "\"\nparameters: {body.1: \"" + c.text + "\", body.2: {column: a, default: \"{date}\"}}\nschedule: {timezone: " + c.zone + "}\n"
			spec, err := audience.ParseSpecAt([]byte(file), "", now)
			if err != nil {
				t.Fatal(err)
			}
			if spec.Key != c.want || spec.Parameters["body.1"].Constant.Text != c.want {
				t.Errorf("key %q, constant %q, want %q", spec.Key, spec.Parameters["body.1"].Constant.Text, c.want)
			}
			if got := *spec.Parameters["body.2"].Default; got != "{date}" {
				t.Errorf("a column's default became %q", got)
			}
			asWritten, err := audience.ParseSpecAt([]byte(file), "", time.Time{})
			if err != nil || asWritten.Key != c.text {
				t.Errorf("without a moment the key is %q (%v), want %q", asWritten.Key, err, c.text)
			}
		})
	}
}

func TestParseSpecAtReadsTimesOnTheFilesClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	spec, err := audience.ParseSpecAt([]byte(leastSpec+
		`schedule: {at: "{date+1d}T09:00", not_after: "{date+2d} 20:00:30", timezone: Europe/Berlin}`), "", now)
	if err != nil {
		t.Fatal(err)
	}
	// The clocks go forward in that night.
	if want := time.Date(2026, 3, 29, 7, 0, 0, 0, time.UTC); !spec.Schedule.At.Equal(want) {
		t.Errorf("at is %v, want %v", spec.Schedule.At, want)
	}
	if want := time.Date(2026, 3, 30, 18, 0, 30, 0, time.UTC); !spec.Schedule.NotAfter.Equal(want) {
		t.Errorf("not_after is %v, want %v", spec.Schedule.NotAfter, want)
	}
}

// The clock of a file leaves readings out and shows others twice: they count as
// schedule.cron counts them.
func TestTimesOfAFileCountAsCronDoes(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2027-03-28T01:59": "2027-03-28T00:59:00Z",
		"2027-03-28T02:30": "2027-03-28T01:00:00Z", // left out: the end of the gap
		"2027-03-28T03:00": "2027-03-28T01:00:00Z",
		"2027-10-31T02:30": "2027-10-31T00:30:00Z", // shown twice: the first
		"2027-10-31T03:00": "2027-10-31T02:00:00Z",
	} {
		spec, err := audience.ParseSpecAt([]byte(leastSpec+"schedule: {at: \""+at+"\", timezone: Europe/Berlin}\n"), "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.Schedule.At.Format(time.RFC3339); got != want {
			t.Errorf("%s in Berlin is %s, want %s", at, got, want)
		}
	}
}
