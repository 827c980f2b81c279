package campaign

import "time"

// Dossier is everything known of a person: what "contact show" tells.
type Dossier struct {
	Contacts []Contact // every form of the number that is a contact, the asked one first
	Lists    []string
	Windows  []OpenWindow // newest first
	Replies  int64
	Messages []MessageInfo // the newest
	// Suppression is the entry of the suppression list, nil when there is none.
	Suppression *Suppression
	// SuppressionHidden: the database role may not ask the list, and what follows
	// does not regard it.
	SuppressionHidden bool
	// SkipMarketing and SkipUtility say why a campaign that says nothing of people
	// would skip the person now; empty when it would not.
	SkipMarketing string
	SkipUtility   string
	// UsedCap is the installation's frequency cap where it leaves the person no
	// room now, nil where it does. Campaigns' own are not asked.
	UsedCap *UsedCap
}

// UsedCap is a frequency cap that is used up.
type UsedCap struct {
	FrequencyCap
	Until time.Time // one more message keeps within it then
}

// OpenWindow is the customer service window of a channel and a person.
type OpenWindow struct {
	Channel  string    `json:"channel"`
	OpenedAt time.Time `json:"opened_at"`
	LastAt   time.Time `json:"last_at"` // the last message of the person
	Until    time.Time `json:"until"`
	Open     bool      `json:"open"`
}
