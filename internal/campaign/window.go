package campaign

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window says at which hours of the person's own clock something may be sent.
// What counts is what the clock on that person's wall shows: in the hour that a
// change to summer time leaves out nothing opens or closes, and in the hour that
// the change back repeats the window is open twice if it is open then at all.
type Window []Hours

// Hours are open from From up to, and without, To, on the days that are set.
// Where To is not after From they last into the next day, and belong to the day
// on which they begin.
type Hours struct {
	Days     Days
	From, To int // minutes after midnight; To is at most 1440
}

// Days is a set of days of the week.
type Days uint8

// AllDays is every day of the week.
const AllDays Days = 1<<7 - 1

// Has reports whether a day is in the set.
func (d Days) Has(day time.Weekday) bool { return d&(1<<day) != 0 }

func daysOf(days ...time.Weekday) Days {
	var set Days
	for _, day := range days {
		set |= 1 << day
	}
	return set
}

const minutesOfDay = 24 * 60

// dayWords are the days in the order and spelling of a campaign file.
var dayWords = [...]struct {
	word string
	day  time.Weekday
}{
	{"mon", time.Monday}, {"tue", time.Tuesday}, {"wed", time.Wednesday}, {"thu", time.Thursday},
	{"fri", time.Friday}, {"sat", time.Saturday}, {"sun", time.Sunday},
}

// ParseDays reads days and ranges of days ("mon-fri", "sat") into the days
// themselves, in the order of the week. The error is for a person.
func ParseDays(words []string) ([]string, error) {
	index := func(word string) int {
		word = strings.ToLower(strings.TrimSpace(word))
		return slices.IndexFunc(dayWords[:], func(d struct {
			word string
			day  time.Weekday
		}) bool {
			return d.word == word || len(word) > 3 && strings.ToLower(d.day.String()) == word
		})
	}
	var chosen [len(dayWords)]bool
	for _, word := range words {
		first, last, ranged := strings.Cut(strings.ReplaceAll(word, "–", "-"), "-")
		if !ranged {
			last = first
		}
		from, to := index(first), index(last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("%q is no day: write mon, tue, wed, thu, fri, sat, sun, or mon-fri", shortened(word))
		}
		for i := from; ; i = (i + 1) % len(dayWords) {
			chosen[i] = true
			if i == to {
				break
			}
		}
	}
	var days []string
	for i, d := range dayWords {
		if chosen[i] {
			days = append(days, d.word)
		}
	}
	if len(days) == 0 {
		return nil, fmt.Errorf("no day is named: nothing could be sent")
	}
	return days, nil
}

func shortened(word string) string {
	if r := []rune(word); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return word
}

// setOf gives the set of days that ParseDays returned; no days mean all of them.
func setOf(days []string) Days {
	if len(days) == 0 {
		return AllDays
	}
	var set Days
	for _, d := range dayWords {
		if slices.Contains(days, d.word) {
			set |= 1 << d.day
		}
	}
	return set
}

// WindowPreset is the window of a campaign file that stands for the hours of the
// recipient's country (Preset).
const WindowPreset = "preset"

var windowPattern = regexp.MustCompile(`^(\d{1,2})(?::([0-5]\d))?\s*(?:-|–)\s*(\d{1,2})(?::([0-5]\d))?$`)

// ParseWindow reads hours such as 09:00-20:00 and gives them in one spelling.
// 20:00-02:00 lasts into the next day, 00:00-24:00 all day. The error is for a
// person.
func ParseWindow(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == WindowPreset {
		return text, nil
	}
	h, err := parseHours(text)
	if err != nil {
		return "", err
	}
	return clock(h.From) + "-" + clock(h.To), nil
}

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func parseHours(text string) (Hours, error) {
	parts := windowPattern.FindStringSubmatch(text)
	if parts == nil {
		return Hours{}, fmt.Errorf("%q is no window: write it as 09:00-20:00, or %s", shortened(text), WindowPreset)
	}
	minutes := func(hour, minute string) int {
		h, _ := strconv.Atoi(hour) // digits, by the pattern
		m, _ := strconv.Atoi(minute)
		return h*60 + m
	}
	h := Hours{AllDays, minutes(parts[1], parts[2]), minutes(parts[3], parts[4])}
	switch {
	case h.From >= minutesOfDay || h.To > minutesOfDay:
		return Hours{}, fmt.Errorf("%q is beyond midnight: hours go from 00:00 to 24:00, and 20:00-02:00 ends on the next day", shortened(text))
	case h.From == h.To:
		return Hours{}, fmt.Errorf("%q is open at no time: for the whole day write 00:00-24:00", shortened(text))
	}
	if h.To == 0 {
		h.To = minutesOfDay
	}
	return h, nil
}

// open reports whether the clock on the wall is within the window.
func (w Window) open(local time.Time) bool {
	minute, day := local.Hour()*60+local.Minute(), local.Weekday()
	for _, h := range w {
		switch {
		case h.From < h.To:
			if h.Days.Has(day) && h.From <= minute && minute < h.To {
				return true
			}
		case h.Days.Has(day) && minute >= h.From, h.Days.Has((day+6)%7) && minute < h.To:
			return true
		}
	}
	return false
}

// untilOpen gives the minutes after which a closed window opens by the clock on
// the wall, if nobody changes the clock; 8 days when it has no days.
func (w Window) untilOpen(local time.Time) int {
	minute, day := local.Hour()*60+local.Minute(), local.Weekday()
	least := 8 * minutesOfDay
	for _, h := range w {
		for k := range 8 {
			if wait := k*minutesOfDay + h.From - minute; wait > 0 && h.Days.Has((day+time.Weekday(k))%7) {
				least = min(least, wait)
				break
			}
		}
	}
	return least
}

// OpenHours is a window in the places where one person may be: it is open when
// it is open in every one of them. A nil *OpenHours is always open.
type OpenHours struct {
	window Window
	zones  []*time.Location
}

// NewOpenHours gives the hours of a window in a set of zones. Where no zone is
// known nobody can say what the clock shows: then it never opens.
func NewOpenHours(w Window, zones []*time.Location) *OpenHours { return &OpenHours{w, zones} }

const (
	// windowMargin is how long a window must stay open for something to be sent: a
	// claim is good for 10 s (design §4.4), and its POST must not come later.
	windowMargin = 15 * time.Second
	// windowHorizon is how far ahead an opening is looked for. Every day of the week
	// comes twice, so that one that a change of the clock leaves out does not count;
	// zones whose windows do not meet by then do not meet.
	windowHorizon = 15 * 24 * time.Hour
)

// Open reports whether something may be sent at a moment: the window is open
// everywhere and stays so for the life of a claim.
func (o *OpenHours) Open(at time.Time) bool {
	if o == nil {
		return true
	}
	if len(o.zones) == 0 {
		return false
	}
	for _, zone := range o.zones {
		// Zones and windows change on full minutes, so in a margin below a minute
		// there is at most one change.
		if !o.window.open(at.In(zone)) || !o.window.open(at.Add(windowMargin).In(zone)) {
			return false
		}
	}
	return true
}

// Next gives the first moment, not before at, at which something may be sent.
// False means that there is none within the next 15 days.
func (o *OpenHours) Next(at time.Time) (time.Time, bool) {
	if o == nil {
		return at, true
	}
	if len(o.zones) == 0 {
		return time.Time{}, false
	}
	for t := at; t.Sub(at) <= windowHorizon; {
		later := t
		for _, zone := range o.zones {
			if n := o.window.next(later, at.Add(windowHorizon), zone); n.After(later) {
				later = n
			}
		}
		if later.Equal(t) {
			return t, true
		}
		t = later
	}
	return time.Time{}, false
}

// next is Next in one zone; what it returns after limit means nothing.
func (w Window) next(t, limit time.Time, zone *time.Location) time.Time {
	for !t.After(limit) {
		local := t.In(zone)
		if w.open(local) {
			if w.open(local.Add(windowMargin)) {
				return t
			}
			t = nextMinute(t)
			continue
		}
		// Exact until somebody changes the clock; there we look again.
		minute := t.Truncate(time.Minute)
		opens := minute.Add(time.Duration(w.untilOpen(local)) * time.Minute)
		if _, end := local.ZoneBounds(); !end.IsZero() && end.Before(opens) {
			opens = end
		}
		t = opens
	}
	return t
}

func nextMinute(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }

// Closes gives the moment from which nothing may be sent any more, for hours
// that are open at a moment; the horizon for those that never close.
func (o *OpenHours) Closes(at time.Time) time.Time {
	limit := at.Add(windowHorizon)
	if o == nil {
		return limit
	}
	// Whole minutes decide; the margin before them is left to whoever asks Open.
	for t := nextMinute(at); t.Before(limit); t = t.Add(time.Minute) {
		for _, zone := range o.zones {
			if !o.window.open(t.In(zone)) {
				return t
			}
		}
	}
	return limit
}
