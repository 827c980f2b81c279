package audience

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/phone"
)

// place is where some of the people may be, and when the window opens there:
// computed once, however many they are.
type place struct {
	set    *campaign.ZoneSet
	hours  *campaign.OpenHours
	opens  time.Time // first, not before the campaign starts
	ok     bool      // it does open
	people int64     // who get the message
	missed int64     // whose window does not open in time
}

// checkWindow refuses a time zone of the campaign that this program does not
// know, and hours that nobody could use.
func (p *Planner) checkWindow(in PlannerInput) error {
	p.places, p.start = map[string]*place{}, in.Now
	if at := in.Spec.Schedule.At; at != nil && at.After(in.Now) {
		p.start = *at
	}
	s := in.Spec.Schedule
	if s.TimeZone != campaign.ZoneRecipient && s.TimeZone != "" {
		if _, known := campaign.ZoneNamed(s.TimeZone); !known {
			return campaign.ErrInvalid.With(fmt.Sprintf("schedule.timezone: %q is not a time zone", s.TimeZone), "write an IANA name such as Europe/Berlin")
		}
	}
	_, err := s.WindowOf("")
	if err != nil {
		return campaign.ErrInvalid.With("schedule.window: "+err.Error(), "")
	}
	return nil
}

// when decides at which moment a contact's message may be sent first, or that
// there is none.
func (p *Planner) when(c *campaign.Contact, marketing bool, m *campaign.PlannedMessage) {
	start := p.start
	if marketing && c.CappedUntil != nil {
		if start = *c.CappedUntil; c.CappedThen != campaign.CapDefer || p.late(start) {
			m.Skip = campaign.ReasonFrequencyCap
			return
		}
		m.DueAt, m.Waits = start, campaign.ReasonFrequencyCap
	}
	if !p.spec.Schedule.HasWindow() {
		return
	}
	at := p.placeOf(c)
	opens, ok := at.opens, at.ok
	if ok && start.After(p.start) {
		opens, ok = at.hours.Next(start)
	}
	m.ZoneSet = at.set
	if !ok || p.late(opens) {
		m.Skip, m.Waits, m.DueAt = campaign.ReasonNoWindow, "", time.Time{}
		at.missed++
		return
	}
	at.people++
	switch {
	case opens.After(start):
		m.DueAt = opens
		m.Waits = cmp.Or(m.Waits, campaign.ReasonWindow)
	case start.After(p.now):
		m.DueAt = opens
	default:
		// Open already: the database's clock says when, not this machine's.
	}
}

// late reports whether a moment is past the campaign's deadline.
func (p *Planner) late(at time.Time) bool {
	end := p.spec.Schedule.NotAfter
	return end != nil && !at.Before(*end)
}

// placeOf gives the place of a contact: its own time zone, or else those in which
// its number may be, or the campaign's where that names one.
func (p *Planner) placeOf(c *campaign.Contact) *place {
	var zones []string
	switch fixed := p.spec.Schedule.TimeZone; {
	case fixed != campaign.ZoneRecipient && fixed != "":
		zones = []string{fixed}
	case c.TimeZone != "":
		zones = []string{c.TimeZone}
	default:
		zones = phone.Zones(c.Phone, c.Country)
	}
	country := ""
	if p.spec.Schedule.Window == campaign.WindowPreset {
		country = c.Country
	}
	return p.place(country, zones)
}

func (p *Planner) place(country string, zones []string) *place {
	set := campaign.ZoneSet{Country: country, Zones: zones}
	key := set.Key()
	known, ok := p.places[key]
	if ok {
		return known
	}
	at := &place{set: &set}
	p.places[key] = at
	window, errWindow := p.spec.Schedule.WindowOf(country)
	locations, errZones := set.Locations()
	if errWindow != nil || errZones != nil {
		locations = nil // as good as no zone known
	}
	at.hours = campaign.NewOpenHours(window, locations)
	at.opens, at.ok = at.hours.Next(p.start)
	return at
}

// Recount tells a planner how many messages go where of a plan that was made
// before, for the times and warnings of Plan.
func (p *Planner) Recount(counts []campaign.ZoneCount) {
	for _, c := range counts {
		p.place(c.Country, c.Zones).people += c.N
	}
}

// groups are the messages by the hours that bind them.
func (p *Planner) groups() []campaign.HoursGroup {
	var groups []campaign.HoursGroup
	for _, key := range slices.Sorted(maps.Keys(p.places)) {
		if at := p.places[key]; at.people > 0 {
			groups = append(groups, campaign.HoursGroup{Hours: at.hours, N: at.people})
		}
	}
	return groups
}

// forecast fills in when the first and the last message leave, windows
// considered.
func (p *Planner) forecast(plan *campaign.Plan) {
	end := p.spec.Schedule.NotAfter
	first, last, late := campaign.Forecast(p.groups(), p.rate, p.start, end)
	short := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		at := t.UTC().Truncate(time.Second)
		return &at
	}
	plan.FirstAt, plan.LastAt = short(first), short(last)
	if late > 0 && end != nil {
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("at %.4g messages/s and in these hours about %d messages would not be sent before schedule.not_after (%s)",
			p.rate, late, end.Format(time.RFC3339)))
	}
}

// missedWarnings say whose windows never open, and what could be done about it.
func (p *Planner) missedWarnings() []string {
	var unknown, late int64
	var warnings []string
	for _, key := range slices.Sorted(maps.Keys(p.places)) {
		switch at := p.places[key]; {
		case at.missed == 0:
		case len(at.set.Zones) == 0:
			unknown += at.missed
		case at.ok:
			late += at.missed
		case len(at.set.Zones) == 1:
			warnings = append(warnings, fmt.Sprintf("the window is never open in %s: %s skipped (no_window)", at.set.Zones[0], people(at.missed)))
		default:
			warnings = append(warnings, fmt.Sprintf("the window is at no moment open in all %d time zones from %s to %s, and %s may be in any of them: skipped (no_window); a column time_zone, or longer hours, would help",
				len(at.set.Zones), at.set.Zones[0], at.set.Zones[len(at.set.Zones)-1], people(at.missed)))
		}
	}
	if unknown > 0 {
		warnings = append(warnings, fmt.Sprintf("no time zone is known of %s: skipped (no_window); a column time_zone would help", people(unknown)))
	}
	if late > 0 {
		warnings = append(warnings, fmt.Sprintf("the window of %s does not open before schedule.not_after: skipped (no_window)", people(late)))
	}
	return warnings
}

func people(n int64) string { return strings.Replace(count(int(n), "person"), "persons", "people", 1) }
