package main

import (
	"slices"

	"github.com/nyaruka/phonenumbers"
)

// plan is the numbering plan of a calling code as the library applies it
// (phonenumberutil.go: parseHelper, GetRegionCodeForNumber, getNumberTypeHelper).
type plan struct {
	regions []region
	trunk   *pattern // the national prefix, which the library strips; nil: none
}

// region is a country of the plan, in the library's order.
type region struct {
	name     string
	leading  *pattern // of the countries that the library tells by it; nil: by all other patterns
	general  *pattern
	services []*pattern // what we do not write to: toll free, premium rate, shared cost
	people   []*pattern // fixed line, mobile
	others   []*pattern // the rest of what is valid
}

// pattern is one of the library's patterns with the lengths it holds for.
type pattern struct {
	*automaton
	lengths []int32 // empty: all
	index   int     // of its set in a position
}

// position is where all patterns of a plan are after some digits.
type position []set

func newPlan(names []string, metadata map[string]*phonenumbers.PhoneMetadata) (*plan, error) {
	p := &plan{}
	count := 0
	var failed error
	add := func(text string, lengths []int32) *pattern {
		if text == "" || text == "NA" {
			return nil
		}
		a, err := newAutomaton(text)
		if err != nil {
			failed = err
			return nil
		}
		count++
		return &pattern{a, lengths, count - 1}
	}
	desc := func(d *phonenumbers.PhoneNumberDesc) []*pattern {
		if one := add(d.GetNationalNumberPattern(), d.GetPossibleLength()); one != nil {
			return []*pattern{one}
		}
		return nil
	}
	p.trunk = add(metadata[names[0]].GetNationalPrefixForParsing(), nil)
	for _, name := range names {
		m := metadata[name]
		r := region{name: name, leading: add(m.GetLeadingDigits(), nil), general: add(m.GetGeneralDesc().GetNationalNumberPattern(), m.GetGeneralDesc().GetPossibleLength())}
		r.services = slices.Concat(desc(m.GetTollFree()), desc(m.GetPremiumRate()), desc(m.GetSharedCost()))
		r.people = desc(m.GetFixedLine())
		if !m.GetSameMobileAndFixedLinePattern() {
			r.people = append(r.people, desc(m.GetMobile())...)
		}
		r.others = slices.Concat(desc(m.GetVoip()), desc(m.GetPersonalNumber()), desc(m.GetPager()), desc(m.GetUan()), desc(m.GetVoicemail()))
		p.regions = append(p.regions, r)
	}
	return p, failed
}

// patterns in the order of their indexes.
func (p *plan) patterns() []*pattern {
	var all []*pattern
	add := func(some ...*pattern) {
		for _, one := range some {
			if one != nil {
				all = append(all, one)
			}
		}
	}
	add(p.trunk)
	for _, r := range p.regions {
		add(r.leading, r.general)
		add(r.services...)
		add(r.people...)
		add(r.others...)
	}
	slices.SortFunc(all, func(a, b *pattern) int { return a.index - b.index })
	return all
}

func (p *plan) start() position {
	var at position
	for _, one := range p.patterns() {
		at = append(at, one.start())
	}
	return at
}

// explore finds the shortest prefixes whose numbers of this national length are
// all of one country.
func (p *plan) explore(at position, prefix string, length int, found func(prefix, country string)) {
	if country := p.country(at, prefix, length); country != "" {
		found(prefix, country)
		return
	}
	if len(prefix) == min(depth, length) {
		return
	}
	for digit := '0'; digit <= '9'; digit++ {
		if prefix == "" && digit == '0' {
			continue // a zero that belongs to the number or not: the library's business
		}
		next := make(position, len(at))
		for i, one := range p.patterns() {
			next[i] = one.step(at[i], digit)
		}
		// What the national prefix matched already is changed by the library.
		if p.trunk == nil || !p.trunk.matches(next[p.trunk.index]) {
			p.explore(next, prefix+string(digit), length, found)
		}
	}
}

// country gives the country of all numbers that begin with a prefix, "" where
// they differ or some of them is not a person's.
func (p *plan) country(at position, prefix string, length int) string {
	rest := length - len(prefix)
	if prefix == "" || p.trunk != nil && !p.trunk.never(at[p.trunk.index], rest) {
		return ""
	}
	every := func(one *pattern) bool { return one.holds(length) && one.every(at[one.index], rest) }
	nothing := func(one *pattern) bool { return !one.holds(length) || one.nothing(at[one.index], rest) }
	people := func(r region) bool {
		return r.general != nil && every(r.general) && slices.ContainsFunc(r.people, every) &&
			!slices.ContainsFunc(r.services, func(one *pattern) bool { return !nothing(one) })
	}
	unknown := func(r region) bool {
		return r.general == nil || nothing(r.general) ||
			!slices.ContainsFunc(slices.Concat(r.services, r.people, r.others), func(one *pattern) bool { return !nothing(one) })
	}
	for _, r := range p.regions {
		switch {
		case len(p.regions) > 1 && r.leading != nil:
			if r.leading.never(at[r.leading.index], rest) && !r.leading.began(prefix) {
				continue
			}
			if !r.leading.began(prefix) {
				return ""
			}
		case people(r):
			return r.name
		case unknown(r):
			continue
		}
		if people(r) {
			return r.name
		}
		return ""
	}
	return ""
}

func (one *pattern) holds(length int) bool {
	return len(one.lengths) == 0 || slices.Contains(one.lengths, int32(length))
}

// began says whether a beginning of the prefix matches.
func (one *pattern) began(prefix string) bool {
	s := one.start()
	for _, digit := range prefix {
		if one.matches(s) {
			return true
		}
		s = one.step(s, digit)
	}
	return one.matches(s)
}
