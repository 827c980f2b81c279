package simulator

import (
	"fmt"
	"slices"
	"time"
)

// The profiles.
const (
	Clean     = "clean"     // every message is accepted, sent, delivered and read, at once
	Realistic = "realistic" // what a real list meets: people who cannot be reached, limits, odd webhooks
	Hostile   = "hostile"   // all of that more often, and every fault of the wire
)

// Profiles lists the names of the profiles.
func Profiles() []string { return []string{Clean, Realistic, Hostile} }

// profile holds the shares of sends, from 0 to 1, that meet something.
type profile struct {
	name   string
	delays delays
	// Of people: the same at every send.
	notOnWhatsApp, stopped, experiment, hidden, neverDelivered, deviceFailed float64
	read, readOnly                                                           float64
	// Of sends.
	capped, held, dropped             float64
	duplicate, reordered, late, early float64
	faults, refusals                  float64

	limits      bool // pair rate limit, US marketing
	maintenance bool // windows of 131057
	odd         bool // wa_id may differ from the number, webhooks come in uneven batches

	rate    float64       // messages per second of a number
	latency time.Duration // of an answer, on average
}

func newProfile(name string) (*profile, error) {
	p := &profile{name: name, delays: quick, read: 1}
	switch name {
	case Clean:
		return p, nil
	case Realistic, Hostile:
	default:
		return nil, fmt.Errorf("unknown profile %q; known are %v", name, Profiles())
	}
	*p = profile{
		name: name, delays: natural,
		notOnWhatsApp: 0.015, stopped: 0.004, experiment: 0.006, hidden: 0.02, neverDelivered: 0.03, deviceFailed: 0.002,
		read: 0.6, readOnly: 0.05,
		capped: 0.02, held: 0.01, dropped: 0.05,
		duplicate: 0.03, reordered: 0.04, late: 0.005, early: 0.02,
		limits: true, odd: true, rate: 80, latency: 60 * time.Millisecond,
	}
	if name == Hostile {
		p.notOnWhatsApp, p.stopped, p.experiment, p.hidden, p.neverDelivered, p.deviceFailed = 0.04, 0.02, 0.02, 0.2, 0.05, 0.02
		p.capped, p.held, p.dropped = 0.06, 0.05, 0.3
		p.duplicate, p.reordered, p.late, p.early = 0.2, 0.2, 0.05, 0.15
		p.faults, p.refusals, p.maintenance = 0.06, 0.02, true
	}
	return p, nil
}

// hostileFaults and hostileRefusals are what the hostile profile draws from.
var (
	hostileFaults = []fault{
		faultCutBefore, faultCutAfter, faultSlow, faultHalf, faultEmpty502, faultHTML504, faultGarbage, faultNoID,
		faultError200, faultRedirect, faultGateway, faultGateway5,
	}
	hostileRefusals = []int{130429, 131000, 131016, 131056, 131057}
)

// decide is the profile's verdict on one send. person and attempt are the dice
// of the recipient and of this very send.
func (p *profile) decide(digits string, marketing bool, person, attempt dice) verdict {
	t := &teller{delays: &p.delays, dice: attempt}
	v := verdict{word: wordAccepted}
	if p.name == Clean {
		v.script = t.arrives(statusRead)
		return v
	}

	if t.dice.share() < p.refusals {
		code := hostileRefusals[t.dice.below(uint64(len(hostileRefusals)))]
		v.refused = refuse(code, codes[code].title)
		return v
	}
	v.script = p.course(t, digits, marketing, &person)
	v.hidePhone = person.share() < p.hidden
	if t.dice.share() < p.held {
		v.word = wordHeld
		if t.dice.share() < p.dropped {
			v.script = t.fails(132015)
		}
		v.script = t.later(v.script)
	}
	if t.dice.share() < p.duplicate {
		v.script = t.twice(v.script)
	}
	if t.dice.share() < p.reordered {
		v.script = t.reversed(v.script)
	}
	if t.dice.share() < p.late {
		v.script = t.late(v.script)
	}
	if t.dice.share() < p.early && len(v.script) > 0 && v.word == wordAccepted {
		v.script[0].after, v.script[0].lag = 0, 0
	}
	if t.dice.share() < p.faults {
		v.fault = hostileFaults[t.dice.below(uint64(len(hostileFaults)))]
	}
	return v
}

// course is how a message fares once it was taken.
func (p *profile) course(t *teller, digits string, marketing bool, person *dice) []step {
	reachable := person.share() >= p.notOnWhatsApp && len(digits) <= 15
	stopped, experiment := person.share() < p.stopped, person.share() < p.experiment
	silent, device := person.share() < p.neverDelivered, person.share() < p.deviceFailed
	reads, hasty := person.share() < p.read, person.share() < p.readOnly
	capped := t.dice.share() < p.capped && !isUncapped(digits)
	switch {
	case !reachable:
		return t.fails(131026)
	case marketing && p.limits && isUnitedStates(digits):
		return t.fails(131049)
	case marketing && stopped:
		return t.fails(131050)
	case marketing && experiment:
		return t.fails(130472)
	case marketing && capped:
		return t.fails(131049)
	case silent:
		return t.arrives(statusSent)
	case !reads:
		s := t.arrives(statusDelivered)
		if device {
			s = append(s, step{kind: statusFailed, code: 131036, after: s[1].after + t.dice.in(t.delays.failed)})
		}
		return s
	}
	s := t.arrives(statusRead)
	if hasty {
		s = slices.Delete(s, 1, 2)
	}
	return s
}

// Pair rate limit (whatsapp-facts §5): one message in six seconds to a person,
// and a burst of 45 borrowed from later.
const (
	pairInterval = 6 * time.Second
	pairBurst    = 45
)

// Maintenance windows of the hostile profile: one of this length in each period.
const (
	maintenancePeriod = 3 * time.Minute
	maintenanceLength = 2 * time.Second
)

// inMaintenance tells whether a number refuses everything at this moment of a
// run. The moments come from the seed; what falls into them depends on when the
// client sends, as with the real one.
func (p *profile) inMaintenance(seed uint64, key string, since time.Duration) bool {
	if !p.maintenance {
		return false
	}
	period := since / maintenancePeriod
	d := dice(hash(seed, "maintenance", key) + uint64(period))
	start := time.Duration(d.below(uint64(maintenancePeriod - maintenanceLength)))
	offset := since % maintenancePeriod
	return offset >= start && offset < start+maintenanceLength
}
