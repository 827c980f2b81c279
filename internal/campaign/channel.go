package campaign

import "time"

// Channel is one WhatsApp number at 360dialog: one key, one rate.
type Channel struct {
	ID               ChannelID
	Name             string
	Phone            string // E.164
	BaseURL          string
	Dialect          string // "cloud" or "sandbox" (whatsapp-facts §1.1)
	KeyRef           string // env:NAME or file:PATH; the key itself is never stored
	WebhookSecretRef string
	Rate             float64 // messages per second; 0 means no limit
	Account          string  // the WABA that channels share
	AccountID        int64
	OnUnknown        string // for messages without a campaign: hold, resend or fail
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// The dialects of the provider's API.
const (
	DialectCloud   = "cloud"
	DialectSandbox = "sandbox"
)

// HoldScope says what a hold stops.
type HoldScope string

// The scopes of a hold (design §3). A template hold is for one template on one
// channel.
const (
	HoldCampaign HoldScope = "campaign"
	HoldTemplate HoldScope = "template"
	HoldChannel  HoldScope = "channel"
	HoldAccount  HoldScope = "account"
)

// The sources of a hold. Each source lifts only its own; a person can lift any.
const (
	SourcePerson   = "person"
	SourceTemplate = "template_webhook" // a template event, or the list said so
	SourceCode     = "error_code"
	SourceTimer    = "timer"
	SourceInDoubt  = "in_doubt" // five unreachable or in doubt in a row
	SourceChanged  = "template_changed"
	SourceAccount  = "account_webhook"
	SourceRepeated = "repeated_failure" // twenty identical operator failures in a row
	SourceDatabase = "database"         // a restored backup or a changed timeline
)

// Hold is a reason why a scope does not send. Sending needs none on any of its
// scopes.
type Hold struct {
	ID        int64      `json:"-"`
	Scope     HoldScope  `json:"scope"`
	ScopeID   int64      `json:"-"`
	Source    string     `json:"source"`
	Reason    string     `json:"reason"`
	Until     *time.Time `json:"until"`
	CreatedAt time.Time  `json:"-"`
}
