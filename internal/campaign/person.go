package campaign

// Person is what decides whether somebody may be written to at all. The plan,
// the claim and "contact show" ask the same question of it.
type Person struct {
	Suppressed     bool // on the suppression list
	CountryBlocked bool // the country is on it
	OptedOut       bool // wants no marketing
	OptedIn        bool // agreed to it
	US             bool // the pause of marketing to US numbers covers the person
}

// PersonRules are what a campaign says of people. The zero value is what holds
// for messages of no campaign.
type PersonRules struct {
	AssumeOptIn bool // opt_in: assumed
	AttemptUS   bool // us_marketing: attempt
}

// Skip gives the reason why a person gets nothing, or "". The suppression list
// holds for every message, whatever its category; the rest is about marketing.
// The order of reasons is fixed: what binds most comes first.
func (p Person) Skip(marketing bool, r PersonRules) string {
	switch {
	case p.Suppressed:
		return ReasonSuppressed
	case p.CountryBlocked:
		return ReasonCountryBlocked
	case !marketing:
		return ""
	case p.OptedOut:
		return ReasonOptedOut
	case p.US && !r.AttemptUS:
		return ReasonUSMarketing
	case !p.OptedIn && !r.AssumeOptIn:
		return ReasonNotOptedIn
	}
	return ""
}

// The values of opt_in in a campaign file: "" stands for required, so that a
// file that says nothing is the campaign it always was.
const (
	OptInRequired = "required"
	OptInAssumed  = "assumed"
)

// PersonRules gives what a campaign file says of people.
func (s Spec) PersonRules() PersonRules {
	return PersonRules{AssumeOptIn: s.OptIn == OptInAssumed, AttemptUS: s.USMarketing == "attempt"}
}
