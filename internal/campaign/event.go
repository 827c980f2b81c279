package campaign

import "time"

// EventKind names what an element of a webhook is.
type EventKind string

// The kinds of events (design §8).
const (
	EventStatus           EventKind = "status"
	EventMessage          EventKind = "message"
	EventUserPreference   EventKind = "user_preference"
	EventTemplateStatus   EventKind = "template_status"
	EventTemplateQuality  EventKind = "template_quality"
	EventTemplateCategory EventKind = "template_category"
	EventPhoneQuality     EventKind = "phone_quality"
	EventCapability       EventKind = "capability"
	EventAccount          EventKind = "account"
	EventError            EventKind = "error"
	EventOther            EventKind = "other"
)

// Event is one element of a webhook. Which fields are filled depends on Kind;
// strings that the payload lacked are empty and left out of the JSON form,
// which is the contract of "webhook inspect --json".
type Event struct {
	Kind EventKind `json:"kind"`

	ID        string `json:"id,omitempty"`     // provider id of the message
	Status    string `json:"status,omitempty"` // sent, delivered, read, played, failed or a word not known yet
	Code      int    `json:"code,omitempty"`   // code of the first error
	Opaque    string `json:"opaque,omitempty"` // biz_opaque_callback_data
	Recipient string `json:"recipient,omitempty"`
	Timestamp string `json:"timestamp,omitempty"` // as the payload has it: Unix seconds

	Type      string `json:"type,omitempty"` // of an inbound message
	From      string `json:"from,omitempty"`
	ContextID string `json:"context_id,omitempty"` // provider id of the message that was answered
	Text      string `json:"text,omitempty"`       // what the person wrote or pressed

	User   string `json:"user,omitempty"`
	UserID string `json:"user_id,omitempty"` // BSUID
	Value  string `json:"value,omitempty"`

	Template string `json:"template,omitempty"`
	Language string `json:"language,omitempty"` // normalised: en_US
	Event    string `json:"event,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Previous string `json:"previous,omitempty"`
	New      string `json:"new,omitempty"`
	Limit    string `json:"limit,omitempty"`

	Field string `json:"field,omitempty"` // of an "other"

	// Messages says that the element came under the field "messages": only such
	// elements change a message.
	Messages bool `json:"-"`
	// Failure is the catalogue's reading of the first error of a failed status, or
	// of a value-level error.
	Failure *Failure `json:"-"`
	// At is Timestamp as a time; zero where it was absent or unreadable.
	At time.Time `json:"-"`
	// Payload is a quick reply's payload.
	Payload string `json:"-"`
	// TemplateID is the provider's id of the template; beyond 2⁵³ it must not pass
	// through a float.
	TemplateID string `json:"-"`
	// WABA is the id of the entry, the account of an account event.
	WABA string `json:"-"`
	// MatchKey is that of User: a number may come in another form than the one we
	// wrote to (whatsapp-facts §7.1). Whoever knows numbers fills it in.
	MatchKey string `json:"-"`
	// Words are what the person wrote or pressed, in the form in which keywords are
	// compared, and Wish what they mean without being told. Whoever knows words
	// fills them in.
	Words []string `json:"-"`
	Wish  Wish     `json:"-"`
	// Person is who wrote, as far as the number is known: what a contact is made of.
	Person ContactRow `json:"-"`
	// DisplayPhone are the digits of the business number the event is about.
	DisplayPhone string `json:"-"`
}
