package campaign

import "time"

// Suppression is an entry of the suppression list: a person or a whole country
// that gets nothing, of whatever category.
type Suppression struct {
	Phone     string    `json:"phone"`   // E.164; empty of a country
	Country   string    `json:"country"` // ISO 3166-1 code; empty of a person
	Reason    string    `json:"reason"`
	CreatedAt time.Time `json:"created_at"`
	MatchKey  string    `json:"-"` // of the phone: all forms of it are meant
}

// Forgotten says what was erased of a person: what "contact forget --json"
// prints.
type Forgotten struct {
	Contacts int64 `json:"contacts"` // forms of the number
	Messages int64 `json:"messages"` // they stay, and name nobody
	Replies  int64 `json:"replies"`
	Webhooks int64 `json:"webhooks"` // stored requests of which parts were erased
}
