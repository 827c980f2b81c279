package campaign

import (
	"slices"
	"time"
)

// Preset is the window that "window: preset" stands for in one country.
type Preset struct {
	Country string // ISO 3166-1 alpha-2; empty for every country without a line of its own
	Window  Window
	Source  string // the rule that the hours are taken from
}

// Presets lists the hours by country. They are those of rules that limit
// advertising by telephone or message: most were written for calls, and whether
// they bind a message to somebody who asked for it is for a lawyer to say. A
// country is here only where the rule is plain; public holidays are nobody's
// here. It is a careful habit, not legal advice.
func Presets() []Preset {
	weekdays := daysOf(time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday)
	saturday, weekend := daysOf(time.Saturday), daysOf(time.Saturday, time.Sunday)
	return []Preset{
		{"", Window{{AllDays, 9 * 60, 20 * 60}}, "no rule of its own here: 09:00 to 20:00, every day"},
		{"AU", Window{{weekdays, 9 * 60, 20 * 60}, {saturday, 9 * 60, 17 * 60}},
			"Telecommunications (Telemarketing and Research Calls) Industry Standard 2017 (calls): weekdays 9-20, Saturday 9-17"},
		{"CA", Window{{weekdays, 9 * 60, 21*60 + 30}, {weekend, 10 * 60, 18 * 60}},
			"CRTC Unsolicited Telecommunications Rules, Part III (calls): weekdays 9-21:30, weekends 10-18"},
		{"IN", Window{{AllDays, 10 * 60, 21 * 60}},
			"TRAI Telecom Commercial Communications Customer Preference Regulations 2018 (promotional messages): 10-21"},
		{"KR", Window{{AllDays, 8 * 60, 21 * 60}},
			"Act on Promotion of Information and Communications Network Utilization, art. 50 (3): no advertising 21-8"},
		{"US", Window{{AllDays, 8 * 60, 21 * 60}},
			"47 CFR 64.1200(c)(1) (telephone solicitations): 8-21 at the called party's location"},
	}
}

// presetOf gives the window of a country.
func presetOf(country string) Window {
	presets := Presets()
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Country == country })
	return presets[max(i, 0)].Window
}

// HasWindow reports whether a schedule limits the hours at all.
func (s Schedule) HasWindow() bool { return s.Window != "" || len(s.Days) > 0 }

// WindowOf gives the hours of a schedule for numbers of a country. Days without
// hours are whole days; with a preset they leave out days that it has.
func (s Schedule) WindowOf(country string) (Window, error) {
	days := setOf(s.Days)
	switch s.Window {
	case "":
		return Window{{days, 0, minutesOfDay}}, nil
	case WindowPreset:
		var w Window
		for _, h := range presetOf(country) {
			if h.Days &= days; h.Days != 0 {
				w = append(w, h)
			}
		}
		return w, nil
	}
	h, err := parseHours(s.Window)
	h.Days = days
	return Window{h}, err
}
