package campaign

import (
	"strconv"
	"strings"
	"time"
)

// TemplateStatus values that we act on; the provider has more, and only
// APPROVED is sent (whatsapp-facts §1.3).
const (
	TemplateApproved = "APPROVED"
	TemplatePaused   = "PAUSED"
	TemplateDisabled = "DISABLED"
)

// Template categories.
const (
	CategoryMarketing      = "MARKETING"
	CategoryUtility        = "UTILITY"
	CategoryAuthentication = "AUTHENTICATION"
)

// Template formats.
const (
	FormatPositional = "POSITIONAL"
	FormatNamed      = "NAMED"
)

// Template is one language of one template on one channel. Its components are
// the provider's, read by package dialog360; what a sender needs to know of
// them is in Slots and Parts.
type Template struct {
	ID         TemplateID
	ChannelID  ChannelID
	ProviderID string
	Name       string
	Language   string // en_US
	Status     string
	Category   string
	Format     string // POSITIONAL or NAMED
	Quality    string
	Slots      []Slot
	Parts      []Part
	Problems   []string // why it cannot be sent or looks wrong; empty when all is well
	Sendable   bool     // every slot is of a kind this version can fill
	Components []byte   // the provider's JSON, as it was
	SyncedAt   time.Time
}

// TemplateSummary is what "template check --json" prints of a template (design
// §11).
type TemplateSummary struct {
	Name     string   `json:"name"`
	Language string   `json:"language"`
	Category string   `json:"category"`
	Format   string   `json:"format"`
	Slots    []Slot   `json:"slots"`    // never null
	Problems []string `json:"problems"` // never null
	Sendable bool     `json:"sendable"`
}

// Summary gives the template as "template check" shows it.
func (t *Template) Summary() TemplateSummary {
	return TemplateSummary{
		Name: t.Name, Language: t.Language, Category: t.Category, Format: t.Format,
		Slots:    append([]Slot{}, t.Slots...),
		Problems: append([]string{}, t.Problems...),
		Sendable: t.Sendable,
	}
}

// NormalizeLanguage writes a language as the send API and the template list do:
// en-US, as webhooks have it, becomes en_US (whatsapp-facts §0).
func NormalizeLanguage(code string) string {
	language, region, found := strings.Cut(strings.ReplaceAll(strings.TrimSpace(code), "-", "_"), "_")
	if !found {
		return strings.ToLower(language)
	}
	if len(region) == 2 {
		region = strings.ToUpper(region)
	}
	return strings.ToLower(language) + "_" + region
}

// Marketing reports whether the template is of the marketing category.
func (t Template) Marketing() bool { return t.Category == CategoryMarketing }

// SlotKind says what fills a slot.
type SlotKind string

// The kinds of slots. Those of buttons carry the sub_type of the button
// component (whatsapp-facts §2.3).
const (
	SlotText        SlotKind = "text"
	SlotImage       SlotKind = "image"
	SlotVideo       SlotKind = "video"
	SlotDocument    SlotKind = "document"
	SlotGIF         SlotKind = "gif"
	SlotLocation    SlotKind = "location"
	SlotProduct     SlotKind = "product"
	SlotURL         SlotKind = "url"         // the suffix of a URL button
	SlotQuickReply  SlotKind = "quick_reply" // the payload of a quick reply
	SlotCopyCode    SlotKind = "copy_code"   // a coupon code
	SlotOTP         SlotKind = "otp"
	SlotFlow        SlotKind = "flow"
	SlotCatalog     SlotKind = "catalog"
	SlotMPM         SlotKind = "mpm"
	SlotOrder       SlotKind = "order_details"
	SlotOffer       SlotKind = "limited_time_offer"
	SlotVoiceCall   SlotKind = "voice_call" // the payload of a call button
	SlotOrderStatus SlotKind = "order_status"
	SlotCarousel    SlotKind = "carousel"
)

// Slot is one place of a template that a send fills. Keys: header (media,
// location), header.1 or header.NAME (text), body.1 or body.NAME, button.N
// (N counts all buttons from 0), card.N.… inside a carousel,
// limited_time_offer.
type Slot struct {
	Key      string   `json:"key"`
	Kind     SlotKind `json:"kind"`
	Required bool     `json:"required"`
}

// ButtonKey is the slot key of a button, counting all buttons of the template
// from 0.
func ButtonKey(index int) string {
	// The first ten are constants: keys are asked for with every message.
	const first = "button.0button.1button.2button.3button.4button.5button.6button.7button.8button.9"
	if index >= 0 && index < 10 {
		return first[index*8 : index*8+8]
	}
	return "button." + strconv.Itoa(index)
}

// The kinds of parts. Those of a carousel are prefixed with their card:
// card.0.body.
const (
	PartHeader = "header"
	PartBody   = "body"
	PartFooter = "footer"
	PartButton = "button"
	PartOffer  = "limited_time_offer"
)

// Part is one visible part of a template with its placeholders, for previews
// and for the lengths after substitution.
type Part struct {
	Kind   string // see PartHeader …
	Format string // of a header: TEXT, IMAGE …; of a button: its type
	Index  int    // of a button, counting all buttons from 0
	Text   string // with {{1}} or {{name}}; a button's label
	URL    string // of a URL button, with its placeholder
}

// Value fills a slot: exactly one of its fields is set.
type Value struct {
	Text     string
	Media    *Media
	Location *Location
}

// Media is a header's image, video or document: by id, by link, or a local file
// that is uploaded once per channel.
type Media struct {
	Kind     SlotKind // image, video, document or gif
	ID       string
	Link     string
	File     string
	Filename string // shown for a document
}

// Location is a header's location. The provider wants latitude and longitude as
// strings.
type Location struct {
	Latitude  string `json:"latitude"`
	Longitude string `json:"longitude"`
	Name      string `json:"name,omitempty"`
	Address   string `json:"address,omitempty"`
}

// Parameters fill the slots of a template, by slot key. Its JSON form is that of
// design §10: {"body.1":"Ann","header":{"image":{"link":"https://…"}}}.
type Parameters map[string]Value
