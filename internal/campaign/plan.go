package campaign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// ContactRow is what one row of a contact file says of a person.
type ContactRow struct {
	Number      int64  // the line of the file, to name the row in errors
	Phone       string // E.164
	MatchKey    string // see Contact
	Country     string
	NANP        string
	Language    string // empty where the file says nothing; so are the next ones
	TimeZone    string
	Attributes  map[string]string // every other column
	OptIn       *bool
	OptInSource string
	OptInAt     *time.Time
}

// ImportResult says what an import did. Rows are all rows read; every one of
// them is counted in exactly one of the others.
type ImportResult struct {
	Rows       int64  `json:"rows"`
	Created    int64  `json:"created"`
	Updated    int64  `json:"updated"`
	Unchanged  int64  `json:"unchanged"`
	Refused    int64  `json:"refused"`     // counted by whoever reads the file
	ErrorsFile string `json:"errors_file"` // where the refused rows are; empty when there are none
}

// Hash identifies the content of a campaign: two files with the same hash are
// the same campaign. Files count by their name and not by the folder they lie
// in, so that the same files on another machine are the same campaign.
func (s Spec) Hash() string {
	text, err := json.Marshal(s.portable()) // the keys of maps come sorted
	if err != nil {
		panic("campaign: a spec cannot be written: " + err.Error()) // strings, numbers and times only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// portable gives the spec with files named without their folders.
func (s Spec) portable() Spec {
	s.Audience.File = base(s.Audience.File)
	sources := make(map[string]ParameterSource, len(s.Parameters))
	for slot, source := range s.Parameters {
		if source.Constant != nil && source.Constant.Media != nil {
			medium := *source.Constant.Media
			medium.File = base(medium.File)
			source.Constant = &Value{Media: &medium}
		}
		sources[slot] = source
	}
	s.Parameters = sources
	return s
}

func base(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// Differences names the keys of the campaign file in which two specs differ.
func (s Spec) Differences(other Spec) []string {
	s, other = s.portable(), other.portable()
	var keys []string
	differ := func(key string, same bool) {
		if !same {
			keys = append(keys, key)
		}
	}
	differ("channel", s.Channel == other.Channel)
	differ("template.name", s.Template.Name == other.Template.Name)
	differ("template.language", s.Template.Language == other.Template.Language && s.Template.LanguageFrom == other.Template.LanguageFrom)
	differ("audience.list", s.Audience.List == other.Audience.List)
	differ("audience.file", s.Audience.File == other.Audience.File)
	differ("audience.country", s.Audience.Country == other.Audience.Country)
	slots := slices.AppendSeq(slices.Collect(maps.Keys(s.Parameters)), maps.Keys(other.Parameters))
	slices.Sort(slots)
	for _, slot := range slices.Compact(slots) {
		differ("parameters."+slot, reflect.DeepEqual(s.Parameters[slot], other.Parameters[slot]))
	}
	differ("schedule.at", sameTime(s.Schedule.At, other.Schedule.At))
	differ("schedule.not_after", sameTime(s.Schedule.NotAfter, other.Schedule.NotAfter))
	differ("schedule.cron", s.Schedule.Cron == other.Schedule.Cron)
	differ("schedule.end", sameTime(s.Schedule.End, other.Schedule.End))
	differ("schedule.late", s.Schedule.Late == other.Schedule.Late)
	differ("schedule.window", s.Schedule.Window == other.Schedule.Window)
	differ("schedule.days", slices.Equal(s.Schedule.Days, other.Schedule.Days))
	differ("schedule.timezone", s.Schedule.TimeZone == other.Schedule.TimeZone)
	differ("frequency_cap", reflect.DeepEqual(s.FrequencyCap, other.FrequencyCap))
	differ("rate", s.Rate == other.Rate)
	differ("on_unknown", s.OnUnknown == other.OnUnknown)
	differ("us_marketing", s.USMarketing == other.USMarketing)
	differ("us_territories", s.USTerritories == other.USTerritories)
	differ("retry", maps.Equal(s.Retry, other.Retry))
	differ("opt_in", s.OptIn == other.OptIn)
	return keys
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// PlannedMessage is what a plan decides for one contact.
type PlannedMessage struct {
	TemplateID TemplateID
	Parameters []byte // JSON of what varies between recipients; the constants belong to the campaign
	Skip       string // a skip reason; empty when the person is to get the message

	ZoneSet *ZoneSet  // of those whom a window binds, without its ID; compared by pointer
	DueAt   time.Time // when the message may be sent; zero: as soon as its campaign runs
	Waits   string    // the reason why it waits until then; empty when it does not
}

// Launched is a planned campaign: what "campaign launch --json" prints (design
// §11).
type Launched struct {
	ID       ID               `json:"id"`
	Name     string           `json:"name"`
	State    State            `json:"state"`
	PlanHash string           `json:"plan_hash"`
	Total    int64            `json:"total"`
	Eligible int64            `json:"eligible"`
	Skipped  map[string]int64 `json:"skipped"` // by reason, those at the plan; never null
	Created  bool             `json:"created"` // false: the same name and key was planned before
}

// Plan is a frozen audience: what "campaign plan --json" prints, and what a
// person wants to see before launching it.
type Plan struct {
	Launched
	FirstAt *time.Time `json:"first_at"` // nil when nobody is eligible
	LastAt  *time.Time `json:"last_at"`  // nil also where no rate limits the campaign

	Previews []Recipient              `json:"-"` // of the first eligible recipients
	Examples map[string][]SkipExample `json:"-"` // by skip reason
	Warnings []string                 `json:"-"`
}

// Recipient is one message of a plan as the person would see it.
type Recipient struct {
	Phone      string
	Language   string
	Parameters Parameters // constants included
	Text       string
}

// SkipExample names a contact that a plan skips. Problem says which slot and
// column break which rule, for bad_parameters.
type SkipExample struct {
	Row     int64 // the line of the file that brought the contact last, 0 when unknown
	Phone   string
	Column  string
	Problem string
}

// PlanDiff says who joined or left a list since it was planned; the plan is
// frozen and does not change.
type PlanDiff struct {
	Joined       int64    // on the list now, and not in the plan
	Left         int64    // in the plan, and no longer on the list
	JoinedPhones []string // examples
	LeftPhones   []string
	ListGone     bool // the list was deleted since, or the plan had none: the numbers are 0
	// TemplatesChanged names languages of the template whose slots changed since
	// the plan, as "promo (en_US)": the parameters no longer fit.
	TemplatesChanged []string
	// TemplatesUnusable names those that are not approved, as "promo (en_US) is PAUSED".
	TemplatesUnusable []string
}

// TemplateSync says what a synchronisation of a channel's templates changed.
type TemplateSync struct {
	Added     int              `json:"added"`
	Changed   int              `json:"changed"`
	Removed   int              `json:"removed"`
	Unchanged int              `json:"unchanged"`
	Changes   []TemplateChange `json:"changes"` // never null
}

// TemplateChange is one template that a synchronisation touched.
type TemplateChange struct {
	Name     string   `json:"name"`
	Language string   `json:"language"`
	Change   string   `json:"change"`  // added, changed or removed
	Details  []string `json:"details"` // what changed, for a person; never null
	Held     bool     `json:"held"`    // its campaigns are held until somebody has looked, or until it is approved
}

// SlotChanges says, for a person, how the slots of a template changed; nil when
// they are the same.
func SlotChanges(before, after []Slot) []string {
	var changes []string
	find := func(slots []Slot, key string) (Slot, bool) {
		i := slices.IndexFunc(slots, func(s Slot) bool { return s.Key == key })
		if i < 0 {
			return Slot{}, false
		}
		return slots[i], true
	}
	for _, old := range before {
		now, ok := find(after, old.Key)
		switch {
		case !ok:
			changes = append(changes, "slot "+old.Key+" is gone")
		case now.Kind != old.Kind:
			changes = append(changes, "slot "+old.Key+" was "+string(old.Kind)+" and is "+string(now.Kind))
		case now.Required && !old.Required:
			changes = append(changes, "slot "+old.Key+" is required now")
		}
	}
	for _, now := range after {
		if _, ok := find(before, now.Key); !ok {
			changes = append(changes, "slot "+now.Key+" is new")
		}
	}
	return changes
}

// Closest gives the candidate that was most likely meant by a word that is none
// of them, or "" when none is close.
func Closest(word string, candidates []string) string { return closest(word, candidates) }
