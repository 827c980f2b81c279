package campaign

import "time"

// Timetable is a campaign file that is launched again and again: a schedule.cron
// with its time zone. Each of its moments is a campaign of its own.
type Timetable struct {
	ID       int64
	Name     string // of the schedule and of all its campaigns
	Channel  string // by name
	Document []byte // the campaign file
	Hash     string // over the file's content and the files that it names
	// Files are local header files: the path as in the file, and the hexadecimal
	// SHA-256 of the content.
	Files       map[string]string
	Cron        string // five fields, or @daily and the like
	TimeZone    string // IANA: whose clock Cron means
	Late        time.Duration
	EndsAt      *time.Time
	Expect      Expectation
	NextAt      *time.Time // the first moment nobody has decided about; nil when there is none any more
	PausedAt    *time.Time
	PauseReason string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// State gives active, paused or ended.
func (t Timetable) State() string {
	switch {
	case t.NextAt == nil:
		return "ended"
	case t.PausedAt != nil:
		return "paused"
	}
	return "active"
}

// Expectation bounds the eligible recipients of a campaign that nobody looks at
// before it starts; nil is no bound.
type Expectation struct {
	Least *int64 `json:"least"`
	Most  *int64 `json:"most"`
}

// Holds reports whether a number of recipients is expected.
func (e Expectation) Holds(n int64) bool {
	return (e.Least == nil || n >= *e.Least) && (e.Most == nil || n <= *e.Most)
}

// What became of a moment of a timetable.
const (
	OccurrenceLaunched = "launched"
	OccurrenceSkipped  = "skipped"
)

// Occurrence is one moment of a timetable and what became of it.
type Occurrence struct {
	At         time.Time `json:"at"`
	Outcome    string    `json:"outcome"`     // launched or skipped
	Reason     string    `json:"reason"`      // why it was skipped, or its campaign cancelled; empty otherwise
	CampaignID ID        `json:"campaign_id"` // 0 where it was skipped
	State      State     `json:"state"`       // of that campaign; empty where there is none
}

// Advance is what was decided about the moments of a timetable up to now.
type Advance struct {
	Timetable Timetable // as it was read
	Skipped   []Occurrence
	Launch    *time.Time // the moment that becomes a campaign, if there is one
	Key       string     // of that campaign
	ExpiresAt time.Time  // it is not started after this moment
	Next      *time.Time // the first moment that is not decided about
	Now       time.Time
}

// LaunchRequest is a campaign that a service or a timetable asked for, and that a
// daemon is to plan and start. Its row exists, without a plan.
type LaunchRequest struct {
	ID        int64
	Source    string // sql or schedule
	Campaign  ID
	Name      string // of the campaign, and Key: they are taken, whatever the document says
	Key       string
	State     State // of the campaign; empty when somebody discarded it
	Planned   bool  // it has its plan
	Eligible  int64 // by that plan
	Document  []byte
	AsOf      *time.Time // what {date} in the document stands for; nil: such words are text
	Files     map[string]string
	Expect    Expectation
	ExpiresAt time.Time // not started after this moment
	Tries     int
	Problem   string // of the last try
}

// SourcePlan holds a campaign that cannot be planned: until the next try, or for
// good when it was cancelled for that.
const SourcePlan = "plan"

// SourceLate holds a campaign whose time came while no daemon ran.
const SourceLate = "late"

// WaitPlan is a campaign that a daemon has yet to plan.
const WaitPlan = "not_planned"

// DefaultLate is how late a campaign may start whose file does not say.
const DefaultLate = time.Hour
