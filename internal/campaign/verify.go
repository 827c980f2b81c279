package campaign

import "time"

// Finding is something that does not add up: what "campaign verify" prints.
type Finding struct {
	Check      string      `json:"check"` // a stable word
	CampaignID ID          `json:"campaign_id"`
	Message    string      `json:"message"`            // a sentence, without a phone number
	Count      int64       `json:"count"`              // of messages, or the difference
	Examples   []MessageID `json:"examples,omitempty"` // message ids, at most ten
}

// LedgerEntry is a line of the simulator's ledger: a POST as the provider saw it
// (design §12). ID is there exactly when the provider took the message.
type LedgerEntry struct {
	At      time.Time `json:"at"`
	To      string    `json:"to"`
	Opaque  string    `json:"opaque"`
	ID      string    `json:"id"`
	Outcome string    `json:"outcome"`
}
