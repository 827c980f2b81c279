package audience

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/campaignd/campaignd/internal/campaign"
)

// readZone reads schedule.timezone, or the zone of schedule.cron, before
// everything else: the other times of a file are read on its clock. What is wrong with it is told when its turn comes.
func (p *specParser) readZone(n node) {
	if n = n.resolved(); n.Kind != yaml.MappingNode {
		return
	}
	values := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if value := (node{Node: n.Content[i+1]}).resolved(); value.Kind == yaml.ScalarNode {
			values[n.Content[i].Value] = strings.TrimSpace(value.Value)
		}
	}
	name := values["timezone"]
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		if rest, ok := strings.CutPrefix(values["cron"], prefix); ok {
			name, _, _ = strings.Cut(rest, " ") // nearer to the times that it is about
		}
	}
	if zone, ok := campaign.ZoneNamed(name); ok {
		p.zone = zone
		if !p.now.IsZero() {
			p.now = p.now.In(zone)
		}
	}
}

// zonelessTime reads a time of day without a zone on the clock of
// schedule.timezone, where the change to summer time and back counts as it does
// for cron. A date alone is no moment.
func (p *specParser) zonelessTime(text string) (time.Time, bool) {
	if p.zone == nil {
		return time.Time{}, false
	}
	for _, layout := range zonelessLayouts {
		if wall, err := time.Parse(layout, text); err == nil && wall.Year() >= 2000 && wall.Year() <= 9998 {
			return campaign.MomentOf(wall, p.zone).UTC(), true
		}
	}
	return time.Time{}, false
}

// recurrence reads what makes a campaign file a schedule. Whether cron can be
// read, and ever comes, package schedule knows.
func (p *specParser) recurrence(s *campaign.Schedule, n node, keys map[string]node) {
	if zone, ok := keys["timezone"]; ok {
		s.TimeZone = p.name(zone)
		if _, known := campaign.ZoneNamed(s.TimeZone); !known && s.TimeZone != campaign.ZoneRecipient {
			p.fail(zone, "is not a time zone", "write an IANA name such as Europe/Berlin or UTC")
		}
		_, window := keys["window"]
		if _, days := keys["days"]; !window && !days && s.TimeZone == campaign.ZoneRecipient {
			p.fail(zone, "recipient goes with a window", "write an IANA name such as Europe/Berlin, or give schedule.window")
		}
	}
	if late, ok := keys["late"]; ok {
		s.Late = p.duration(late)
	}
	cron, ok := keys["cron"]
	if !ok {
		if end, ok := keys["end"]; ok {
			p.fail(end, "goes with cron only", "schedule.not_after is a campaign's deadline")
		}
		return
	}
	s.Cron = strings.Join(strings.Fields(p.name(cron)), " ")
	if at, ok := keys["at"]; ok {
		p.fail(at, "goes without cron only", "cron says when; give one of them")
	}
	if p.zone == nil && !strings.Contains(s.Cron, "TZ=") {
		hint := "whose nine o'clock? timezone: Europe/Berlin, or timezone: UTC"
		if s.TimeZone == campaign.ZoneRecipient {
			hint = `timezone: recipient is for the window; cron's own goes before it: cron: "CRON_TZ=Europe/Berlin 0 9 * * 1"`
		}
		p.fail(cron, "needs a time zone", hint)
	}
	if end, ok := keys["end"]; ok {
		s.End = p.time(end)
	}
}
