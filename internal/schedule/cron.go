// Package schedule knows when a campaign file comes again: five fields of cron on
// the clock of a time zone, and what is decided about each of those moments. It
// must not know SQL, nor how a campaign is planned.
//
// A cron line means what the clock on the wall shows, and each reading of that
// clock counts once:
//
//   - in spring, readings that the clock leaves out count at the moment after the
//     gap, all of them as one: 02:30 is 03:00 in that night, and so is every ten
//     minutes from 02:00;
//   - in autumn, readings that the clock shows twice count the first time only:
//     what comes hourly is two hours apart in that night.
package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // where the system has no time zones

	"github.com/robfig/cron/v3"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Cron says when something comes again.
type Cron struct {
	spec cron.Schedule
	zone *time.Location
	ends time.Time // nothing comes after it; zero: for ever
}

// Parse reads five fields of cron or a word such as @daily, and the IANA name of
// the zone they mean. CRON_TZ=ZONE before the fields overrides zone. Errors are
// campaign.ErrInvalid.
func Parse(text, zone string) (Cron, error) {
	const hint = `minute, hour, day of the month, month, day of the week: "0 9 * * 1" is Mondays at nine`
	fields := strings.TrimSpace(text)
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		if rest, ok := strings.CutPrefix(fields, prefix); ok {
			zone, fields, _ = strings.Cut(rest, " ")
			fields = strings.TrimSpace(fields)
		}
	}
	if zone == "" || strings.EqualFold(zone, "local") || zone == campaign.ZoneRecipient {
		return Cron{}, campaign.ErrInvalid.With("schedule.cron needs a time zone", "schedule.timezone: Europe/Berlin, or CRON_TZ=Europe/Berlin before the fields")
	}
	location, ok := campaign.ZoneNamed(zone)
	if !ok {
		return Cron{}, campaign.ErrInvalid.With(fmt.Sprintf("schedule.cron: there is no time zone %q", zone), "write an IANA name such as Europe/Berlin or UTC")
	}
	if strings.HasPrefix(fields, "@every") {
		return Cron{}, campaign.ErrInvalid.With("schedule.cron: @every has no place on a clock", hint)
	}
	spec, err := cron.ParseStandard(withSundays(fields))
	if err != nil {
		return Cron{}, campaign.ErrInvalid.With("schedule.cron: "+err.Error(), hint)
	}
	c := Cron{spec: spec, zone: location}
	if c.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, campaign.ErrInvalid.With(fmt.Sprintf("schedule.cron: %q never comes", fields), hint)
	}
	return c, nil
}

// withSundays writes the day of the week 7 as 0: crontab takes both for Sunday,
// the library ends at 6. A range to 7 becomes the list of its days. What is wrong
// stays as it is, for the library to say so.
func withSundays(line string) string {
	fields := strings.Fields(line)
	if len(fields) != 5 {
		return line
	}
	parts := strings.Split(fields[4], ",")
	for i, part := range parts {
		days, by, stepped := strings.Cut(part, "/")
		from, to, _ := strings.Cut(days, "-")
		if days == "7" {
			to = days
		}
		step, err := 1, error(nil)
		if stepped {
			step, err = strconv.Atoi(by)
		}
		first := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, strings.ToLower(from))
		if n, err := strconv.Atoi(from); err == nil {
			first = n
		}
		if last, _ := strconv.Atoi(to); last != 7 || first < 0 || first > 7 || err != nil || step < 1 {
			continue
		}
		var list []string
		for day := first; day <= 7; day += min(step, 7) {
			list = append(list, strconv.Itoa(day%7))
		}
		parts[i] = strings.Join(list, ",")
	}
	fields[4] = strings.Join(parts, ",")
	return strings.Join(fields, " ")
}

// Of gives the moments of a timetable.
func Of(t campaign.Timetable) (Cron, error) {
	c, err := Parse(t.Cron, t.TimeZone)
	if t.EndsAt != nil {
		c.ends = *t.EndsAt
	}
	return c, err
}

// Until gives the same moments up to and with an end.
func (c Cron) Until(end time.Time) Cron {
	c.ends = end
	return c
}

// Zone is whose clock counts.
func (c Cron) Zone() *time.Location { return c.zone }

// Next gives the first moment after another, the zero time when there is none.
func (c Cron) Next(after time.Time) time.Time {
	// The library counts on a clock that never changes: the wall's reading, taken
	// for UTC. What it shows is found in the zone afterwards.
	for wall := campaign.Reading(after.In(c.zone)); ; {
		if wall = c.spec.Next(wall); wall.IsZero() {
			return time.Time{} // it looks five years ahead
		}
		at := campaign.MomentOf(wall, c.zone)
		if !c.ends.IsZero() && at.After(c.ends) {
			return time.Time{}
		}
		if at.After(after) {
			return at
		}
	}
}

// Upcoming gives the next n moments after another, fewer when the end comes.
func (c Cron) Upcoming(after time.Time, n int) []time.Time {
	var moments []time.Time
	for range n {
		if after = c.Next(after); after.IsZero() {
			break
		}
		moments = append(moments, after)
	}
	return moments
}

// Key names a moment on its own clock, 2026-04-01T09:00+02:00: with the offset,
// so that no two moments share it.
func (c Cron) Key(at time.Time) string { return at.In(c.zone).Format("2006-01-02T15:04Z07:00") }
