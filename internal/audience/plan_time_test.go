package audience_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/audience"
	"github.com/campaignd/campaignd/internal/campaign"
)

func TestParseSpecReadsHoursAndCaps(t *testing.T) {
	t.Parallel()
	parse := func(lines string) campaign.Spec {
		t.Helper()
		spec, err := audience.ParseSpec([]byte(leastSpec+lines+"\n"), "")
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	workdays := []string{"mon", "tue", "wed", "thu", "fri"}
	for line, want := range map[string]campaign.Schedule{
		`schedule: {window: 9-20}`:                                     {Window: "09:00-20:00", TimeZone: "recipient"},
		`schedule: {window: "09:00-20:00", timezone: recipient}`:       {Window: "09:00-20:00", TimeZone: "recipient"},
		`schedule: {window: preset, timezone: Asia/Kolkata}`:           {Window: "preset", TimeZone: "Asia/Kolkata"},
		`schedule: {window: "20:00-02:00", days: [fri, mon-thu]}`:      {Window: "20:00-02:00", TimeZone: "recipient", Days: workdays},
		`schedule: {days: mon-fri}`:                                    {TimeZone: "recipient", Days: workdays},
		`schedule: {days: "fri,mon - thu", timezone: recipient}`:       {TimeZone: "recipient", Days: workdays},
		`schedule: {window: "09:00-20:00", days: [mon-sun]}`:           {Window: "09:00-20:00", TimeZone: "recipient"},
		`schedule: {cron: "0 9 * * 1", timezone: UTC, window: "9-20"}`: {Cron: "0 9 * * 1", Window: "09:00-20:00", TimeZone: "UTC"},
	} {
		if got := parse(line).Schedule; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
	two := campaign.FrequencyCap{Messages: 2, Per: 7 * 24 * time.Hour, Then: "skip"}
	for _, line := range []string{"frequency_cap: 2/7d", "frequency_cap: {messages: 2, per: 7d}", "frequency_cap: {messages: 2, per: 168h, then: skip}"} {
		if got := parse(line).FrequencyCap; got == nil || *got != two {
			t.Errorf("%s: %+v", line, got)
		}
	}
	two.Then = "defer"
	if got := parse("frequency_cap: {messages: 2, per: 7d, then: defer}"); *got.FrequencyCap != two {
		t.Errorf("%+v", got.FrequencyCap)
	}
	if a, b := parse("frequency_cap: 2/7d"), parse("frequency_cap: 3/7d"); a.Hash() == b.Hash() || !reflect.DeepEqual(a.Differences(b), []string{"frequency_cap"}) {
		t.Errorf("two caps are the same campaign: %v", a.Differences(b))
	}
	if a, b := parse("schedule: {window: 9-20}"), parse("schedule: {window: 9-21, days: sat}"); a.Hash() == b.Hash() ||
		!reflect.DeepEqual(a.Differences(b), []string{"schedule.window", "schedule.days"}) {
		t.Errorf("two windows are the same campaign: %v", a.Differences(b))
	}
}

// It is 09:00 UTC on Wednesday, April 1st, 2026.
func TestPlannerWaitsForTheWindow(t *testing.T) {
	t.Parallel()
	schedule := func(s campaign.Schedule) func(*audience.PlannerInput) {
		return func(in *audience.PlannerInput) {
			if s.TimeZone == "" {
				s.TimeZone = campaign.ZoneRecipient
			}
			in.Spec.Schedule = s
			in.Spec.USMarketing = "attempt"
		}
	}
	at := func(text string) *time.Time {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		return &t
	}
	nine := campaign.Schedule{Window: "09:00-20:00"}
	for name, c := range map[string]struct {
		schedule campaign.Schedule
		phone    string
		country  string
		zone     string
		want     string
	}{
		"OpenNow":             {nine, "+4915123456789", "DE", "", "now [Europe/Berlin]"},
		"OpensLater":          {nine, "+12125550100", "US", "", "2026-04-01T13:00:00Z window [America/New_York]"},
		"OpensTomorrow":       {campaign.Schedule{Window: "09:00-10:00"}, "+4915123456789", "DE", "", "2026-04-02T07:00:00Z window [Europe/Berlin]"},
		"AttributeWins":       {nine, "+4915123456789", "DE", "America/New_York", "2026-04-01T13:00:00Z window [America/New_York]"},
		"OneZoneForAll":       {campaign.Schedule{Window: "09:00-20:00", TimeZone: "America/New_York"}, "+4915123456789", "DE", "Asia/Tokyo", "2026-04-01T13:00:00Z window [America/New_York]"},
		"StartsLater":         {campaign.Schedule{Window: "09:00-20:00", At: at("2026-04-01T12:00:00Z")}, "+4915123456789", "DE", "", "2026-04-01T12:00:00Z [Europe/Berlin]"},
		"StartsAtNight":       {campaign.Schedule{Window: "09:00-20:00", At: at("2026-04-01T22:00:00Z")}, "+4915123456789", "DE", "", "2026-04-02T07:00:00Z window [Europe/Berlin]"},
		"DeadlineBefore":      {campaign.Schedule{Window: "09:00-20:00", NotAfter: at("2026-04-01T13:00:00Z")}, "+12125550100", "US", "", "no_window [America/New_York]"},
		"DeadlineAfter":       {campaign.Schedule{Window: "09:00-20:00", NotAfter: at("2026-04-01T13:00:01Z")}, "+12125550100", "US", "", "2026-04-01T13:00:00Z window [America/New_York]"},
		"DaysOnly":            {campaign.Schedule{Days: []string{"sat"}}, "+4915123456789", "DE", "", "2026-04-03T22:00:00Z window [Europe/Berlin]"},
		"PresetOfACountry":    {campaign.Schedule{Window: "preset", At: at("2026-04-01T18:30:00Z")}, "+12125550100", "US", "", "2026-04-01T18:30:00Z US[America/New_York]"},
		"PresetOfAnother":     {campaign.Schedule{Window: "preset", At: at("2026-04-01T18:30:00Z")}, "+4915123456789", "DE", "", "2026-04-02T07:00:00Z window DE[Europe/Berlin]"},
		"ManyZones":           {campaign.Schedule{Window: "09:00-20:00"}, "+61412345678", "AU", "", "2026-04-02T01:00:00Z window "},
		"NoZoneIsKnown":       {nine, "+870123456789", "", "", "no_window []"},
		"AZoneThatIsNotKnown": {nine, "+4915123456789", "DE", "Mars/Olympus", "no_window [Mars/Olympus]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planner(t, schedule(c.schedule))
			m := decide(t, p, person(c.phone, func(p *campaign.Contact) { p.Country, p.TimeZone = c.country, c.zone }), 1)
			words := []string{"now"}
			if !m.DueAt.IsZero() {
				words[0] = m.DueAt.UTC().Format(time.RFC3339)
			}
			if m.Skip != "" {
				words[0] = m.Skip
			}
			if m.Waits != "" {
				words = append(words, m.Waits)
			}
			words = append(words, m.ZoneSet.Country+"["+strings.Join(m.ZoneSet.Zones, " ")+"]")
			got := strings.Join(words, " ")
			if name == "ManyZones" {
				got = strings.Join(words[:2], " ") + " "
				if len(m.ZoneSet.Zones) < 3 {
					t.Errorf("zones %v", m.ZoneSet.Zones)
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}

	t.Run("NoWindowNoZones", func(t *testing.T) {
		t.Parallel()
		if m := decide(t, planner(t, nil), person("+4915123456789", nil), 1); m.ZoneSet != nil || !m.DueAt.IsZero() || m.Waits != "" {
			t.Errorf("%+v", m)
		}
	})
	t.Run("OneSetForAll", func(t *testing.T) {
		t.Parallel()
		p := planner(t, schedule(nine))
		first := decide(t, p, person("+4915123456789", nil), 1)
		if second := decide(t, p, person("+4915123456788", nil), 2); first.ZoneSet != second.ZoneSet {
			t.Error("a set for each")
		}
	})
}

func TestPlannerTellsWhatTheWindowDoes(t *testing.T) {
	t.Parallel()
	p := planner(t, func(in *audience.PlannerInput) {
		in.Spec.Schedule = campaign.Schedule{Window: "09:00-11:00", TimeZone: campaign.ZoneRecipient}
		in.Channel.Rate = 1
	})
	people := []*campaign.Contact{
		person("+79161234567", func(c *campaign.Contact) { c.Country = "RU" }),
		person("+4915123456789", nil),                                                                        // closed since 9:00 UTC
		person("+351912345678", func(c *campaign.Contact) { c.Country, c.TimeZone = "PT", "Europe/Lisbon" }), // open until 10:00 UTC
		person("+870123456789", func(c *campaign.Contact) { c.Country = "" }),
	}
	for i, c := range people {
		decide(t, p, c, int64(i))
	}
	plan := p.Plan(campaign.Launched{Eligible: 2})
	if plan.FirstAt == nil || plan.FirstAt.Format(time.RFC3339) != "2026-04-01T09:00:00Z" ||
		plan.LastAt == nil || plan.LastAt.Format(time.RFC3339) != "2026-04-02T07:00:00Z" {
		t.Errorf("from %v to %v", plan.FirstAt, plan.LastAt)
	}
	for _, want := range []string{"at no moment open in all", "no time zone is known of 1 person"} {
		if !strings.Contains(strings.Join(plan.Warnings, "\n"), want) {
			t.Errorf("no warning that %s: %q", want, plan.Warnings)
		}
	}
	if got := plan.Examples["no_window"]; len(got) != 2 {
		t.Errorf("examples %v", got)
	}
	// A plan that was made before knows its people by their zones only.
	again := planner(t, func(in *audience.PlannerInput) {
		in.Spec.Schedule = campaign.Schedule{Window: "09:00-11:00", TimeZone: campaign.ZoneRecipient}
		in.Channel.Rate = 1
	})
	again.Recount([]campaign.ZoneCount{{Zones: []string{"Europe/Berlin"}, N: 1}, {Zones: []string{"Europe/Lisbon"}, N: 1}})
	if later := again.Plan(campaign.Launched{Eligible: 2}); later.FirstAt == nil || later.LastAt == nil || !later.FirstAt.Equal(*plan.FirstAt) || !later.LastAt.Equal(*plan.LastAt) {
		t.Errorf("from %v to %v", later.FirstAt, later.LastAt)
	}
}

func TestPlannerHonoursTheCap(t *testing.T) {
	t.Parallel()
	morning := time.Date(2026, 4, 2, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*audience.PlannerInput)
		then   string
		want   campaign.PlannedMessage
	}{
		"Skipped":  {nil, campaign.CapSkip, campaign.PlannedMessage{Skip: "frequency_cap"}},
		"Deferred": {nil, campaign.CapDefer, campaign.PlannedMessage{DueAt: morning, Waits: "frequency_cap"}},
		"DeferredIntoTheWindow": {func(in *audience.PlannerInput) {
			in.Spec.Schedule = campaign.Schedule{Window: "09:00-20:00", TimeZone: "UTC"}
		}, campaign.CapDefer, campaign.PlannedMessage{DueAt: morning.Add(6 * time.Hour), Waits: "frequency_cap"}},
		"DeferredPastTheDeadline": {func(in *audience.PlannerInput) { in.Spec.Schedule.NotAfter = &morning }, campaign.CapDefer, campaign.PlannedMessage{Skip: "frequency_cap"}},
		"UtilityIsNoMarketing": {func(in *audience.PlannerInput) { in.Templates[0].Category = campaign.CategoryUtility },
			campaign.CapSkip, campaign.PlannedMessage{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decide(t, planner(t, c.change), person("+4915123456789", func(p *campaign.Contact) {
				p.CappedUntil, p.CappedThen = &morning, c.then
			}), 1)
			if m.Skip != c.want.Skip || !m.DueAt.Equal(c.want.DueAt) || m.Waits != c.want.Waits {
				t.Errorf("%+v", m)
			}
		})
	}
}
