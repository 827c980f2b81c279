package campaign

import "time"

// Suppression is an entry of the suppression list: a person or a whole country
// that gets nothing, of whatever category.
type Suppression struct {
	Phone     string    `json:"phone,omitempty"`   // E.164
	Country   string    `json:"country,omitempty"` // ISO 3166-1 code
	Reason    string    `json:"reason"`
	CreatedAt time.Time `json:"created_at"`
	Hash      []byte    `json:"-"`
}
