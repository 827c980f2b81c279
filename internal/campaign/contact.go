package campaign

import "time"

// Contact is a person with a phone number.
type Contact struct {
	ID          ContactID
	Phone       string // E.164
	MatchKey    string // equal for the numbers that may be one person (BR, MX, AR), whatsapp-facts §7.1
	Country     string
	NANP        string // the +1 group, "" outside +1: us, us_territory, canada, caribbean
	Language    string
	TimeZone    string
	Attributes  map[string]string
	OptIn       *bool
	OptInSource string
	OptInAt     *time.Time
	OptedOutAt  *time.Time
	OptedOutBy  string
	RestUntil   *time.Time // no marketing before this moment (131049)

	CappedUntil *time.Time // a frequency cap leaves no room for marketing before it; only a plan is told
	CappedThen  string     // and what becomes of a message until then

	UserID    string // business-scoped user id, where a webhook told one
	CreatedAt time.Time
	UpdatedAt time.Time
	// Suppressed and CountryBlocked say that the suppression list names the person
	// or the country.
	Suppressed     bool
	CountryBlocked bool
}

// Person gives what decides whether the contact may be written to.
func (c *Contact) Person(usTerritories bool) Person {
	return Person{
		Suppressed: c.Suppressed, CountryBlocked: c.CountryBlocked, OptedOut: c.OptedOutAt != nil,
		OptedIn: c.OptIn != nil && *c.OptIn, US: USMarketing(c.NANP, usTerritories),
	}
}

// Join adds what another form of the person's number binds the person by: who
// rests, agreed or wants no marketing does so under every form.
func (c *Contact) Join(other Contact) {
	if c.OptedOutAt == nil && other.OptedOutAt != nil {
		c.OptedOutAt, c.OptedOutBy = other.OptedOutAt, other.OptedOutBy
	}
	if other.RestUntil != nil && (c.RestUntil == nil || other.RestUntil.After(*c.RestUntil)) {
		c.RestUntil = other.RestUntil
	}
	if other.OptIn != nil && *other.OptIn && (c.OptIn == nil || !*c.OptIn) {
		c.OptIn, c.OptInSource, c.OptInAt = other.OptIn, other.OptInSource, other.OptInAt
	}
}

// List is a named set of contacts.
type List struct {
	ID        ListID    `json:"id"`
	Name      string    `json:"name"`
	Columns   []string  `json:"columns"` // attributes that some row of its files had
	Contacts  int64     `json:"contacts"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// USMarketing reports whether Meta's pause of marketing templates to US numbers
// covers a number of this +1 group. Territories are their own countries for
// Meta as far as its price list tells, so they are covered only when the
// campaign says so (whatsapp-facts §7.2).
func USMarketing(nanp string, skipTerritories bool) bool {
	return nanp == "us" || skipTerritories && nanp == "us_territory"
}
