package campaign

import (
	"testing"
	"time"
)

func TestForecast(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		t, err := time.Parse("02 15:04:05", text)
		if err != nil {
			panic(err)
		}
		return t.AddDate(2026, 6, 0)
	}
	nine := hours(t, "09:00-20:00", nil, "UTC")
	tokyo := hours(t, "09:00-20:00", nil, "Asia/Tokyo")
	end := at("01 12:00:00")
	for name, c := range map[string]struct {
		groups      []HoursGroup
		rate        float64
		start       time.Time
		end         *time.Time
		first, last string
		late        int64
	}{
		"NoHours":          {[]HoursGroup{{nil, 11}}, 1, at("01 03:00:00"), nil, "01 03:00:00", "01 03:00:10", 0},
		"Morning":          {[]HoursGroup{{nine, 11}}, 1, at("01 03:00:00"), nil, "01 09:00:00", "01 09:00:10", 0},
		"NoRate":           {[]HoursGroup{{nine, 11}, {tokyo, 5}}, 0, at("01 03:00:00"), nil, "01 03:00:00", "01 09:00:00", 0},
		"OverNight":        {[]HoursGroup{{nine, 3600 * 12}}, 1, at("01 09:00:00"), nil, "01 09:00:00", "02 10:00:14", 0}, // 15 s of the first day are a margin
		"OneAfterAnother":  {[]HoursGroup{{nine, 100}, {tokyo, 3600 * 7}}, 1, at("01 03:00:00"), nil, "01 03:00:00", "01 10:01:39", 0},
		"Deadline":         {[]HoursGroup{{nine, 3600 * 4}}, 1, at("01 09:00:00"), &end, "01 09:00:00", "01 11:59:59", 3600},
		"OpensTooLate":     {[]HoursGroup{{tokyo, 7}}, 1, at("01 11:30:00"), &end, "", "", 7},
		"Never":            {[]HoursGroup{{hours(t, "09:00-20:00", nil), 7}}, 1, at("01 11:30:00"), nil, "", "", 0},
		"FarTooSlow":       {[]HoursGroup{{nine, 1e9}}, 1, at("01 09:00:00"), nil, "01 09:00:00", "", 1e9 - 5000/2*39585},
		"OneInTwoHours":    {[]HoursGroup{{nine, 7}}, 1.0 / 7200, at("01 09:00:00"), nil, "01 09:00:00", "02 09:00:00", 0},
		"NobodyInTheGroup": {[]HoursGroup{{nine, 0}}, 1, at("01 09:00:00"), nil, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, last, late := Forecast(c.groups, c.rate, c.start, c.end)
			text := func(t *time.Time) string {
				if t == nil {
					return ""
				}
				return t.UTC().Format("02 15:04:05")
			}
			if text(first) != c.first || text(last) != c.last || name != "FarTooSlow" && late != c.late || name == "FarTooSlow" && late <= 0 {
				t.Errorf("%q to %q, %d late; want %q to %q, %d", text(first), text(last), late, c.first, c.last, c.late)
			}
		})
	}
}
