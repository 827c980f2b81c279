package campaign

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // a machine without a zone database tests the same

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func hours(t testing.TB, window string, days []string, zones ...string) *OpenHours {
	t.Helper()
	w, err := Schedule{Window: window, Days: days}.WindowOf("")
	if err != nil {
		t.Fatal(err)
	}
	var locations []*time.Location
	for _, name := range zones {
		locations = append(locations, zone(t, name))
	}
	return NewOpenHours(w, locations)
}

func TestParseWindow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"09:00-20:00": "09:00-20:00", "9-20": "09:00-20:00", " 9:00 – 20:30 ": "09:00-20:30", "20:00-02:00": "20:00-02:00",
		"20:00-00:00": "20:00-24:00", "00:00-24:00": "00:00-24:00", "preset": "preset",
		"9": "", "25:00-26:00": "", "09:00-09:00": "", "09:60-10:00": "", "24:00-02:00": "", "09:00-24:01": "", "": "", "nine to five": "",
	} {
		got, err := ParseWindow(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestParseDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"mon-fri": {"mon", "tue", "wed", "thu", "fri"}, "sun": {"sun"}, "Saturday": {"sat"}, "sat-mon": {"mon", "sat", "sun"}, "someday": nil, "mon-": nil,
	} {
		got, err := ParseDays([]string{text})
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := ParseDays(nil); err == nil {
		t.Error("no days at all are taken")
	}
}

func TestWindowOpensByTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	const never = "never"
	tests := map[string]struct {
		window string
		days   []string
		zones  []string
		at     string // UTC
		opens  string // UTC
	}{
		"Open":              {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T10:00:30Z", "2026-07-01T10:00:30Z"},
		"Morning":           {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T01:00:00Z", "2026-07-01T07:00:00Z"},
		"Evening":           {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T18:00:00Z", "2026-07-02T07:00:00Z"},
		"SecondsBefore":     {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T06:59:59Z", "2026-07-01T07:00:00Z"},
		"TooCloseToTheEnd":  {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T17:59:46Z", "2026-07-02T07:00:00Z"},
		"JustEnough":        {"09:00-20:00", nil, []string{"Europe/Berlin"}, "2026-07-01T17:59:44Z", "2026-07-01T17:59:44Z"},
		"HalfHourZone":      {"09:00-20:00", nil, []string{"Asia/Kolkata"}, "2026-07-01T00:00:00Z", "2026-07-01T03:30:00Z"},
		"QuarterHourZone":   {"09:00-20:00", nil, []string{"Asia/Kathmandu"}, "2026-07-01T00:00:00Z", "2026-07-01T03:15:00Z"},
		"Weekend":           {"09:00-20:00", []string{"mon", "tue"}, []string{"Europe/Berlin"}, "2026-07-03T10:00:00Z", "2026-07-06T07:00:00Z"},
		"TheirSunday":       {"00:00-24:00", []string{"sun"}, []string{"Pacific/Kiritimati"}, "2026-07-04T09:00:00Z", "2026-07-04T10:00:00Z"}, // +14
		"OverMidnight":      {"20:00-02:00", nil, []string{"Europe/Berlin"}, "2026-07-01T23:30:00Z", "2026-07-01T23:30:00Z"},
		"AfterMidnight":     {"20:00-02:00", nil, []string{"Europe/Berlin"}, "2026-07-02T00:00:00Z", "2026-07-02T18:00:00Z"},
		"NightOfFriday":     {"20:00-02:00", []string{"fri"}, []string{"Europe/Berlin"}, "2026-07-03T23:00:00Z", "2026-07-03T23:00:00Z"}, // Saturday 01:00
		"NotNightOfSunday":  {"20:00-02:00", []string{"fri"}, []string{"Europe/Berlin"}, "2026-07-05T23:00:00Z", "2026-07-10T18:00:00Z"},
		"UntilMidnight":     {"20:00-24:00", nil, []string{"UTC"}, "2026-07-01T23:59:50Z", "2026-07-02T20:00:00Z"},
		"AcrossMidnight":    {"00:00-24:00", nil, []string{"UTC"}, "2026-07-01T23:59:55Z", "2026-07-01T23:59:55Z"},
		"Intersection":      {"09:00-20:00", nil, []string{"America/New_York", "America/Los_Angeles"}, "2026-07-01T13:00:00Z", "2026-07-01T16:00:00Z"},
		"IntersectionEnds":  {"09:00-20:00", nil, []string{"America/New_York", "America/Los_Angeles"}, "2026-07-02T00:00:00Z", "2026-07-02T16:00:00Z"},
		"Russia":            {"09:00-20:00", nil, []string{"Europe/Kaliningrad", "Asia/Kamchatka"}, "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"}, // +2, +12: 19:00 there
		"EmptyIntersection": {"09:00-11:00", nil, []string{"Europe/Kaliningrad", "Asia/Kamchatka"}, "2026-07-01T00:00:00Z", never},
		"NoZoneKnown":       {"00:00-24:00", nil, nil, "2026-07-01T00:00:00Z", never},
		// Germany 2026: 02:00 becomes 03:00 on March 29 at 01:00Z, 03:00 becomes 02:00 on October 25 at 01:00Z.
		"OpensInTheGap":       {"02:30-05:00", nil, []string{"Europe/Berlin"}, "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		"WhollyInTheGap":      {"02:15-02:45", nil, []string{"Europe/Berlin"}, "2026-03-29T00:00:00Z", "2026-03-30T00:15:00Z"},
		"ClosesInTheGap":      {"01:00-02:30", nil, []string{"Europe/Berlin"}, "2026-03-29T00:59:50Z", "2026-03-29T23:00:00Z"},
		"FirstOfTheTwo":       {"02:30-02:45", nil, []string{"Europe/Berlin"}, "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"},
		"SecondOfTheTwo":      {"02:30-02:45", nil, []string{"Europe/Berlin"}, "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		"OpenThroughBoth":     {"02:00-03:00", nil, []string{"Europe/Berlin"}, "2026-10-25T00:59:55Z", "2026-10-25T00:59:55Z"},
		"ClosedAgainByClock":  {"02:30-05:00", nil, []string{"Europe/Berlin"}, "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"},
		"ADayThatIsLeftOut":   {"09:00-20:00", []string{"fri"}, []string{"Pacific/Apia"}, "2011-12-29T12:00:00Z", "2012-01-05T19:00:00Z"}, // Friday 2011-12-30 did not exist
		"HalfAnHourOfSummer":  {"02:15-03:00", nil, []string{"Australia/Lord_Howe"}, "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z"},      // 02:00 becomes 02:30 at 15:30Z
		"TheMorningAfterward": {"09:00-20:00", nil, []string{"America/Sao_Paulo"}, "2026-11-22T02:00:00Z", "2026-11-22T12:00:00Z"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			o := hours(t, c.window, c.days, c.zones...)
			got := never
			if opens, ok := o.Next(at); ok {
				got = opens.UTC().Format(time.RFC3339)
			}
			if got != c.opens {
				t.Errorf("opens %s, want %s", got, c.opens)
			}
			if o.Open(at) != (got == c.at) {
				t.Errorf("Open disagrees with Next")
			}
		})
	}
}

func TestNoWindowIsAlwaysOpen(t *testing.T) {
	t.Parallel()
	var o *OpenHours
	at := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	if next, ok := o.Next(at); !ok || !next.Equal(at) || !o.Open(at) {
		t.Errorf("%v %v", next, ok)
	}
}

// The next opening agrees with looking at every minute, in any zones, over any
// change of the clock: nothing before it is open, and it is.
func TestWindowAgreesWithEveryMinute(t *testing.T) {
	t.Parallel()
	names := []string{"Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
		"Africa/Casablanca", "Europe/Dublin", "Asia/Gaza", "America/St_Johns", "Pacific/Chatham", "Asia/Tehran", "UTC", "Africa/Cairo"}
	rapid.Check(t, func(rt *rapid.T) {
		from := rapid.IntRange(0, minutesOfDay-1).Draw(rt, "from")
		length := rapid.IntRange(1, minutesOfDay-1).Draw(rt, "length")
		w := Window{{Days(rapid.IntRange(1, int(AllDays)).Draw(rt, "days")), from, (from + length) % minutesOfDay}}
		if w[0].To == 0 {
			w[0].To = minutesOfDay
		}
		var zones []*time.Location
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID).Draw(rt, "zones") {
			zones = append(zones, zone(t, name))
		}
		o := NewOpenHours(w, zones)
		begin := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(rt, "month")), rapid.IntRange(1, 28).Draw(rt, "day"), 0, 0, 0, 0, time.UTC)
		if rapid.Bool().Draw(rt, "change") {
			// A day or so before a change of the clock in the first zone.
			if _, change := begin.In(zones[0]).ZoneBounds(); !change.IsZero() {
				begin = change.UTC().Add(-time.Duration(rapid.IntRange(0, 30).Draw(rt, "before")) * time.Hour)
			}
		}
		at := begin.Add(time.Duration(rapid.IntRange(0, 86399).Draw(rt, "second")) * time.Second)
		next, ok := o.Next(at)

		// Another way to read a wall clock, and one way to decide.
		wall := func(t time.Time) bool {
			for _, z := range zones {
				clock, err := time.Parse("Mon 15:04", t.In(z).Format("Mon 15:04"))
				if err != nil {
					rt.Fatal(err)
				}
				day, minute, inside := t.In(z).Weekday(), clock.Hour()*60+clock.Minute(), false
				for m, back := minute, 0; back < 2; m, back = m+minutesOfDay, back+1 {
					end := w[0].To
					if end <= w[0].From {
						end += minutesOfDay
					}
					inside = inside || m >= w[0].From && m < end && w[0].Days.Has((day+7-time.Weekday(back))%7)
				}
				if !inside {
					return false
				}
			}
			return true
		}
		sendable := func(t time.Time) bool { return wall(t) && wall(t.Add(windowMargin)) }
		last := at.Add(windowHorizon)
		if ok {
			last = next
			if !sendable(next) || !o.Open(next) {
				rt.Fatalf("%s is not open", next)
			}
		}
		for m := at; m.Before(last); m = nextMinute(m) {
			if sendable(m) {
				rt.Fatalf("from %s on it opens at %s (%v), but is open at %s", at, next, ok, m)
			}
		}
		if ok {
			closes := o.Closes(next)
			for m := nextMinute(next); m.Before(closes) && m.Sub(next) < 48*time.Hour; m = m.Add(time.Minute) {
				if !wall(m) {
					rt.Fatalf("open from %s, said to close at %s, is closed at %s", next, closes, m)
				}
			}
			if closes.Sub(next) < windowHorizon && wall(closes) {
				rt.Fatalf("said to close at %s, is open then", closes)
			}
		}
	})
}

func TestPresetsAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, p := range Presets() {
		if seen[p.Country] || (p.Country == "") != (i == 0) || len(p.Window) == 0 || p.Source == "" {
			t.Errorf("%+v", p)
		}
		seen[p.Country] = true
		for _, h := range p.Window {
			if h.Days == 0 || h.From < 7*60 || h.To > 22*60 || h.From >= h.To {
				t.Errorf("%s: %+v", p.Country, h)
			}
		}
	}
	for country, want := range map[string]string{"KR": "2026-07-03T23:00:00Z", "AU": "2026-07-05T23:00:00Z", "DE": "2026-07-04T07:00:00Z"} {
		zones := map[string]string{"KR": "Asia/Seoul", "AU": "Australia/Sydney", "DE": "Europe/Berlin"}
		w, err := Schedule{Window: WindowPreset}.WindowOf(country)
		if err != nil {
			t.Fatal(err)
		}
		// Saturday evening in Australia, where Sunday is no day to call.
		at := time.Date(2026, 7, 3, 22, 30, 0, 0, time.UTC)
		if country == "AU" {
			at = at.Add(10 * time.Hour)
		}
		opens, ok := NewOpenHours(w, []*time.Location{zone(t, zones[country])}).Next(at)
		if got := opens.UTC().Format(time.RFC3339); !ok || got != want {
			t.Errorf("%s: %s, want %s", country, got, want)
		}
	}
	// Days leave out what the preset has.
	w, err := Schedule{Window: WindowPreset, Days: []string{"sun"}}.WindowOf("AU")
	if err != nil || len(w) != 0 {
		t.Errorf("Sundays in Australia: %v, %v", w, err)
	}
	if _, ok := NewOpenHours(w, []*time.Location{time.UTC}).Next(time.Now()); ok {
		t.Error("a window without hours opens")
	}
}

func TestFrequencyCap(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ago := func(hours ...int) []time.Time {
		var posts []time.Time
		for _, h := range hours {
			posts = append(posts, now.Add(-time.Duration(h)*time.Hour))
		}
		return posts
	}
	two := FrequencyCap{Messages: 2, Per: 24 * time.Hour, Then: CapDefer}
	one := FrequencyCap{Messages: 1, Per: 2 * time.Hour, Then: CapSkip}
	for i, c := range []struct {
		caps  Caps
		posts []time.Time
		wait  time.Duration
		then  string
	}{
		{Caps{}, ago(1), 0, ""},
		{Caps{Own: &two}, nil, 0, CapDefer},
		{Caps{Own: &two}, ago(1), 0, CapDefer},
		{Caps{Own: &two}, ago(1, 2), 22 * time.Hour, CapDefer},
		{Caps{Own: &two}, ago(1, 2, 3), 22 * time.Hour, CapDefer}, // the third last does not count
		{Caps{Own: &two}, ago(1, 24), 0, CapDefer},                // the period is over to the second
		{Caps{Installation: &one}, ago(1), time.Hour, CapSkip},
		{Caps{Installation: &one, Own: &two}, ago(1), time.Hour, CapDefer}, // the campaign's word
		{Caps{Installation: &one, Own: &two}, ago(1, 5), 19 * time.Hour, CapDefer},
	} {
		free, then := c.caps.FreeAt(c.posts, now)
		if !free.Equal(now.Add(c.wait)) || then != c.then {
			t.Errorf("%d: %v, %q", i, free.Sub(now), then)
		}
	}
	if got := (Caps{Installation: &one, Own: &two}).Longest(); got != two.Per {
		t.Error(got)
	}
}

func TestMessageAndItsWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 20, 0, 0, 0, time.UTC)
	morning := time.Date(2026, 7, 2, 9, 0, 0, 0, time.UTC)
	closed := hours(t, "09:00-20:00", nil, "UTC")
	queued := func(posts int) Message {
		return Message{ID: 1, State: Queued, Attempt: posts + 1, Posted: posts, Posts: posts, ZoneSet: 7, ErrorCode: map[bool]string{true: "131016"}[posts > 0]}
	}
	at := func(t time.Time) *time.Time { return &t }
	soon, later := at(now.Add(time.Hour)), at(morning.Add(time.Hour))
	for name, c := range map[string]struct {
		m    Message
		c    Circumstances
		want string
	}{
		"NeverPosted":        {queued(0), Circumstances{Now: now, Hours: closed}, "pending window 09:00"},
		"PostedBefore":       {queued(1), Circumstances{Now: now, Hours: closed}, "deferred window 09:00"},
		"Held":               {queued(0), Circumstances{Now: now, Hours: closed, Blocked: true}, "pending window 09:00"},
		"Rests":              {queued(0), Circumstances{Now: now, Hours: closed, Rest: soon}, "pending rest 09:00"},
		"RestsLonger":        {queued(0), Circumstances{Now: now, Hours: closed, Rest: later}, "pending rest 10:00"},
		"Capped":             {queued(0), Circumstances{Now: now, Hours: closed, Capped: later}, "pending frequency_cap 10:00"},
		"CappedTooLong":      {queued(0), Circumstances{Now: now, Capped: later, Deadline: at(morning)}, "skipped frequency_cap"},
		"DeadlineFirst":      {queued(0), Circumstances{Now: now, Hours: closed, Deadline: at(morning)}, "skipped no_window"},
		"DeadlineAfterwards": {queued(0), Circumstances{Now: now, Hours: closed, Deadline: later}, "pending window 09:00"},
		"PostedAndTooLate":   {queued(1), Circumstances{Now: now, Hours: closed, Deadline: soon}, "failed no_window 131016"},
		"Expired":            {queued(0), Circumstances{Now: now, Hours: closed, Deadline: at(now)}, "skipped expired"},
		"Cancelled":          {queued(0), Circumstances{Now: now, Hours: closed, Deadline: soon, Campaign: Cancelled}, "cancelled"},
		"NoZone":             {queued(0), Circumstances{Now: now, Hours: hours(t, "09:00-20:00", nil)}, "skipped no_window"},
		"Open":               {queued(0), Circumstances{Now: morning, Hours: closed}, "sending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := c.m
			claimed, _ := m.Claim(m.Attempt, ClaimID{1}, c.c)
			got := string(m.State)
			if m.Reason != "" {
				got += " " + m.Reason
			}
			if m.DueAt != nil {
				got += m.DueAt.Format(" 15:04")
			}
			if m.ErrorCode != "" && m.State == Failed {
				got += " " + m.ErrorCode
			}
			if got != c.want || claimed != (m.State == Sending) {
				t.Errorf("%s (claimed %v), want %s", got, claimed, c.want)
			}
			if m.Reason == ReasonWindow && m.Detail() != "window/7" {
				t.Errorf("counted as %q", m.Detail())
			}
		})
	}

	t.Run("ResendStaysOneAndEndsUnknown", func(t *testing.T) {
		t.Parallel()
		m := queued(1)
		m.Resend = true
		if m.Claim(2, ClaimID{1}, Circumstances{Now: now, Hours: closed}); m.State != Deferred || m.Reason != ReasonResend || !m.DueAt.Equal(morning) {
			t.Errorf("%s %s %v", m.State, m.Reason, m.DueAt)
		}
		m = queued(1)
		m.Resend = true
		if m.Claim(2, ClaimID{1}, Circumstances{Now: now, Hours: closed, Deadline: soon}); m.State != Unknown || m.DueAt != nil {
			t.Errorf("%s %s %v", m.State, m.Reason, m.DueAt)
		}
	})
	t.Run("RetriesMoveIntoIt", func(t *testing.T) {
		t.Parallel()
		retry := Answer{Kind: AnswerFailed, Failure: Failure{Code: "131016", Class: RetryClass, Retry: Retry{First: time.Hour, Factor: 1}}}
		for _, answer := range []Answer{retry, {Kind: AnswerUnreachable}, {Kind: AnswerAbandoned}} {
			m := Message{ID: 1, State: Sending, Attempt: 1, Posted: 1, Posts: 1, ClaimID: ClaimID{1}}
			m.Outcome(ClaimID{1}, answer, Circumstances{Now: now, Hours: closed})
			if m.DueAt == nil || !m.DueAt.Equal(morning) {
				t.Errorf("%s: %s %s %v", answer.Kind, m.State, m.Reason, m.DueAt)
			}
			m = Message{ID: 1, State: Sending, Attempt: 1, Posted: 1, Posts: 1, ClaimID: ClaimID{1}}
			m.Outcome(ClaimID{1}, answer, Circumstances{Now: now, Hours: closed, Deadline: at(morning)})
			if m.DueAt != nil || m.Reason != ReasonNoWindow {
				t.Errorf("%s at the deadline: %s %s %v", answer.Kind, m.State, m.Reason, m.DueAt)
			}
		}
	})
	t.Run("APersonsRetryMovesIntoIt", func(t *testing.T) {
		t.Parallel()
		m := Message{ID: 1, State: Failed, ErrorCode: "131016", Posts: 1}
		if !m.Retry(Circumstances{Now: now, Hours: closed}) || !m.DueAt.Equal(morning) {
			t.Errorf("%v", m.DueAt)
		}
		m = Message{ID: 1, State: Unknown, Posts: 1}
		if m.Resolve(true, Circumstances{Now: now, Hours: closed, Deadline: soon}) || m.State != Unknown {
			t.Errorf("resent although its window never opens: %s", m.State)
		}
	})
	t.Run("Postpone", func(t *testing.T) {
		t.Parallel()
		m := Message{ID: 1, State: Pending, DueAt: at(now.Add(-time.Hour))}
		if !m.Postpone(Circumstances{Now: now, Hours: closed}) || m.Reason != ReasonWindow || !m.DueAt.Equal(morning) {
			t.Errorf("%s %v", m.Reason, m.DueAt)
		}
		if m.Postpone(Circumstances{Now: now, Hours: closed}) {
			t.Error("postponed twice")
		}
		m = Message{ID: 1, State: Pending, DueAt: at(morning)}
		if m.Postpone(Circumstances{Now: morning, Hours: closed}) {
			t.Error("postponed although it is open")
		}
	})
}

func ExampleParseDays() {
	days, err := ParseDays([]string{"mon-wed", "sat"})
	fmt.Println(days, err)
	// Output: [mon tue wed sat] <nil>
}

func TestCapChanged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 20, 0, 0, 0, time.UTC)
	morning := time.Date(2026, 7, 2, 9, 0, 0, 0, time.UTC)
	at := func(t time.Time) *time.Time { return &t }
	closed := hours(t, "09:00-20:00", nil, "UTC")
	soon, later := at(now.Add(time.Hour)), at(morning.Add(time.Hour))
	never := Message{State: Pending, Reason: ReasonFrequencyCap, DueAt: later}
	posted := Message{State: Deferred, Reason: ReasonFrequencyCap, DueAt: later, Posted: 1, Posts: 1, ErrorCode: "131016"}
	rests := Message{State: Pending, Reason: ReasonRest, DueAt: later}
	for name, c := range map[string]struct {
		m    Message
		c    Circumstances
		want Message
	}{
		"Room":            {never, Circumstances{}, Message{State: Pending, DueAt: at(now)}},
		"RoomAtNight":     {never, Circumstances{Hours: closed}, Message{State: Pending, Reason: ReasonWindow, DueAt: at(morning)}},
		"RoomSooner":      {never, Circumstances{Capped: soon}, Message{State: Pending, Reason: ReasonFrequencyCap, DueAt: soon}},
		"RoomAsBefore":    {never, Circumstances{Capped: at(*later)}, never},
		"RoomTooLate":     {never, Circumstances{Capped: later, Deadline: soon}, never},
		"WouldBeSkipped":  {never, Circumstances{Skip: ReasonFrequencyCap}, never},
		"PostedBefore":    {posted, Circumstances{}, Message{State: Deferred, Reason: ReasonReleased, DueAt: at(now), Posted: 1, Posts: 1, ErrorCode: "131016"}},
		"Over":            {never, Circumstances{Deadline: at(now)}, never},
		"Cancelled":       {never, Circumstances{Campaign: Cancelled}, never},
		"AnotherReason":   {rests, Circumstances{}, rests},
		"ClaimedMeantime": {Message{State: Sending}, Circumstances{}, Message{State: Sending}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := c.m
			c.c.Now = now
			m.CapChanged(c.c)
			if !reflect.DeepEqual(m, c.want) {
				t.Errorf("%s %s %v, want %s %s %v", m.State, m.Reason, m.DueAt, c.want.State, c.want.Reason, c.want.DueAt)
			}
		})
	}
}
