package campaign

import "time"

// Spec is a campaign file (design §9), read and normalised. Two files with the
// same Spec are the same campaign.
type Spec struct {
	Name          string                     `json:"name"`
	Key           string                     `json:"key,omitempty"`
	Channel       string                     `json:"channel"`
	Template      TemplateRef                `json:"template"`
	Audience      Audience                   `json:"audience"`
	Parameters    map[string]ParameterSource `json:"parameters,omitempty"`
	Schedule      Schedule                   `json:"schedule,omitzero"`
	Rate          float64                    `json:"rate,omitempty"`  // messages per second on average; 0 means the channel's
	OnUnknown     string                     `json:"on_unknown"`      // hold, resend, fail
	USMarketing   string                     `json:"us_marketing"`    // skip, attempt
	USTerritories string                     `json:"us_territories"`  // allow, skip
	Retry         map[string]Retry           `json:"retry,omitempty"` // by code: "131049"
	FrequencyCap  *FrequencyCap              `json:"frequency_cap,omitempty"`
	// OptIn is OptInAssumed where everybody on the list is known to have agreed;
	// empty: marketing goes to those only of whom an opt-in is recorded.
	OptIn string `json:"opt_in,omitempty"`
}

// TemplateRef names a template and where its language comes from.
type TemplateRef struct {
	Name string `json:"name"`
	// Language is fixed, or the default where LanguageFrom names the contact's
	// column that decides.
	Language     string `json:"language"`
	LanguageFrom string `json:"language_from,omitempty"`
}

// Audience is a list, or a file that is imported first.
type Audience struct {
	List    string `json:"list,omitempty"`
	File    string `json:"file,omitempty"`
	Country string `json:"country,omitempty"`
}

// ParameterSource says where the value of a slot comes from: a column of the
// contact, with a default where that is empty, or a constant. For a media slot
// Media says the kind, and Column then holds a link or a media id.
type ParameterSource struct {
	Column   string   `json:"column,omitempty"`
	Default  *string  `json:"default,omitempty"`
	Constant *Value   `json:"constant,omitempty"`
	Media    SlotKind `json:"media,omitempty"`
}

// Schedule says when a campaign may send.
type Schedule struct {
	At       *time.Time `json:"at,omitempty"`
	NotAfter *time.Time `json:"not_after,omitempty"`
	// Cron makes a schedule of the file: each of its moments is a campaign of its
	// own. Its clock is TimeZone's, as for {date} and for times without a zone.
	Cron string        `json:"cron,omitempty"`
	End  *time.Time    `json:"end,omitempty"`  // of Cron
	Late time.Duration `json:"late,omitempty"` // how late a start may be; 0 means DefaultLate

	Window   string   `json:"window,omitempty"`   // hours as ParseWindow spells them, or preset
	Days     []string `json:"days,omitempty"`     // as ParseDays orders them; none means every day
	TimeZone string   `json:"timezone,omitempty"` // whose clock counts: recipient, or an IANA name
}

// ZoneRecipient is the time zone of a campaign file that stands for each
// recipient's own.
const ZoneRecipient = "recipient"
