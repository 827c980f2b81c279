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
	CreatedAt   time.Time
	UpdatedAt   time.Time
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
