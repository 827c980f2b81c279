package campaign

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Status is what "campaign status --json" prints (design §11). The counts of all
// states add up to the total.
type Status struct {
	ID         ID                     `json:"id"`
	Name       string                 `json:"name"`
	State      State                  `json:"state"`
	Holds      []Hold                 `json:"holds"` // never null
	Total      int64                  `json:"total"`
	Counts     map[MessageState]int64 `json:"counts"`  // every state, zero included
	Skipped    map[string]int64       `json:"skipped"` // by reason; never null
	Errors     map[string]int64       `json:"errors"`  // failed messages by code; never null
	Waiting    []Waiting              `json:"waiting"` // never null
	Rate       Rate                   `json:"rate"`
	StartedAt  *time.Time             `json:"started_at"`
	FinishedAt *time.Time             `json:"finished_at"`
	Inbound    Inbound                `json:"inbound"`

	Key     string `json:"-"`
	Channel string `json:"-"` // by name: where its holds are lifted
	// Paced: the provider holds messages for quality assessment and has released
	// none yet, so the campaign goes at 1/s.
	Paced bool `json:"-"`
}

// Inbound counts what people answered to a campaign.
type Inbound struct {
	Messages int64            `json:"messages"`
	People   int64            `json:"people"`
	Buttons  map[string]int64 `json:"buttons"` // presses by payload; never null
}

// Rate of a campaign in messages per second.
type Rate struct {
	Limit float64 `json:"limit"` // the smaller of the channel's and the campaign's; 0 means none
	Now   float64 `json:"now"`   // POSTs over the last seconds
}

// Waiting explains why messages are not sent yet, and until when.
type Waiting struct {
	Reason   string     `json:"reason"`          // one of the Wait constants, or the reason of a deferral or a hold
	Until    *time.Time `json:"until"`           // when the first of them goes on; nil when nobody knows
	Messages int64      `json:"messages"`        // of a hold: all that wait, whatever else they wait for
	Zones    []string   `json:"zones,omitempty"` // of a window: where those who wait may be
}

// Reasons for waiting that are not a message's own.
const (
	WaitLaunch   = "not_launched"
	WaitSchedule = "scheduled"
	WaitTurn     = "turn" // for its turn at the rate; until is when the last one has had it
	// WaitPaced is WaitTurn while the provider assesses the template's quality: at
	// 1/s, until it releases a message that it held.
	WaitPaced = "quality_assessment"
)

// EffectiveRate gives the smaller of two limits, of which 0 means none.
func EffectiveRate(channel, own float64) float64 {
	switch {
	case channel <= 0:
		return max(own, 0)
	case own <= 0:
		return channel
	}
	return min(channel, own)
}

// Shown gives the state that people see: paused while a hold stands on one of
// the campaign's scopes.
func (s State) Shown(held bool) State {
	if held && (s == Running || s == Scheduled) {
		return Paused
	}
	return s
}

// CountsOf gives a map with every state, zero included.
func CountsOf() map[MessageState]int64 {
	counts := make(map[MessageState]int64, len(MessageStates))
	for _, state := range MessageStates {
		counts[state] = 0
	}
	return counts
}

// Explain fills Waiting from the counts. pending and deferred are the numbers of
// waiting messages by their reason, due the earliest future due time by reason,
// startsAt when a scheduled campaign starts.
func (s *Status) Explain(stored State, startsAt *time.Time, pending, deferred map[string]int64, due map[string]time.Time, now time.Time) {
	s.Waiting = []Waiting{}
	waits := s.Counts[Pending] + s.Counts[Queued] + s.Counts[Deferred]
	if waits == 0 || !stored.Open() {
		return
	}
	switch stored {
	case Draft:
		s.Waiting = append(s.Waiting, Waiting{Reason: WaitLaunch, Messages: waits})
	case Scheduled:
		s.Waiting = append(s.Waiting, Waiting{Reason: WaitSchedule, Until: startsAt, Messages: waits})
	}
	for _, h := range s.Holds {
		s.Waiting = append(s.Waiting, Waiting{Reason: h.Reason, Until: h.Until, Messages: waits})
	}
	if turn := pending[""] + s.Counts[Queued]; turn > 0 && len(s.Waiting) == 0 {
		w := Waiting{Reason: WaitTurn, Messages: turn}
		if s.Paced {
			w.Reason = WaitPaced
		}
		if s.Rate.Limit > 0 {
			// Not time.Duration(float × Second): a year of messages must not overflow.
			at := now.Add(time.Duration(min(float64(turn)/s.Rate.Limit, 1e9)) * time.Second).Truncate(time.Second)
			w.Until = &at
		}
		s.Waiting = append(s.Waiting, w)
	}
	byReason := map[string]int64{}
	for reason, n := range pending {
		if reason != "" {
			byReason[reason] += n
		}
	}
	for reason, n := range deferred {
		byReason[reason] += n
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		w := Waiting{Reason: reason, Messages: byReason[reason]}
		if at, ok := due[reason]; ok {
			w.Until = &at
		}
		s.Waiting = append(s.Waiting, w)
	}
}

// Results are the end of a campaign's story, or how far it has come: what
// "campaign report --json" prints.
type Results struct {
	Status
	Key       string      `json:"key"`
	Channel   string      `json:"channel"`
	Template  string      `json:"template"`
	Funnel    Funnel      `json:"funnel"`
	Codes     []CodeCount `json:"codes"`   // Errors, most frequent first; never null
	Replies   int64       `json:"replies"` // inbound messages that answer the campaign
	Repliers  int64       `json:"repliers"`
	CreatedAt time.Time   `json:"created_at"`
}

// Funnel counts how far messages came. A message that was read is also counted
// as delivered, sent and posted: delivered may never be reported when the chat
// was open (whatsapp-facts §0.8).
type Funnel struct {
	Total     int64 `json:"total"`
	Skipped   int64 `json:"skipped"`
	Eligible  int64 `json:"eligible"`  // total less skipped
	Waiting   int64 `json:"waiting"`   // pending, queued, sending and deferred
	Posted    int64 `json:"posted"`    // the provider took it: accepted or better
	Sent      int64 `json:"sent"`      // sent or better
	Delivered int64 `json:"delivered"` // delivered or read
	Read      int64 `json:"read"`
	Failed    int64 `json:"failed"`
	Unknown   int64 `json:"unknown"`
	Cancelled int64 `json:"cancelled"`
}

// CodeCount is how many messages failed with a code. Title and advice are the
// catalogue's, filled by whoever knows it.
type CodeCount struct {
	Code   string `json:"code"`
	Count  int64  `json:"count"`
	Title  string `json:"title"`
	Advice string `json:"advice"`
}

// FunnelOf derives the funnel from the counts of a status.
func FunnelOf(s Status) Funnel {
	c := s.Counts
	f := Funnel{Total: s.Total, Skipped: c[Skipped], Failed: c[Failed], Unknown: c[Unknown], Cancelled: c[MessageCancelled]}
	f.Eligible = f.Total - f.Skipped
	f.Waiting = c[Pending] + c[Queued] + c[Sending] + c[Deferred]
	f.Read = c[Read]
	f.Delivered = f.Read + c[Delivered]
	f.Sent = f.Delivered + c[Sent]
	f.Posted = f.Sent + c[Accepted] + c[Held]
	return f
}

// CodesOf lists the errors of a status, most frequent first.
func CodesOf(s Status) []CodeCount {
	codes := make([]CodeCount, 0, len(s.Errors))
	for _, code := range slices.Sorted(maps.Keys(s.Errors)) {
		codes = append(codes, CodeCount{Code: code, Count: s.Errors[code]})
	}
	slices.SortStableFunc(codes, func(a, b CodeCount) int { return cmp.Compare(b.Count, a.Count) })
	return codes
}

// Summary is one line of "campaign list".
type Summary struct {
	ID         ID                     `json:"id"`
	Name       string                 `json:"name"`
	Key        string                 `json:"key"`
	Channel    string                 `json:"channel"`
	State      State                  `json:"state"`
	Total      int64                  `json:"total"`
	Counts     map[MessageState]int64 `json:"counts"` // every state, zero included
	CreatedAt  time.Time              `json:"created_at"`
	StartsAt   *time.Time             `json:"starts_at"`
	StartedAt  *time.Time             `json:"started_at"`
	FinishedAt *time.Time             `json:"finished_at"`
}

// MessageInfo is what "message show" and "message list" tell of one message.
type MessageInfo struct {
	ID          MessageID       `json:"id"`
	CampaignID  ID              `json:"campaign_id"` // 0: enqueued by a service or sent directly
	Campaign    string          `json:"campaign"`
	Channel     string          `json:"channel"`
	Template    string          `json:"template"`
	Language    string          `json:"language"`
	Phone       string          `json:"phone"`
	State       MessageState    `json:"state"`
	Reason      string          `json:"reason"`
	ErrorCode   string          `json:"error_code"`
	RawStatus   string          `json:"raw_status"`
	ProviderID  string          `json:"provider_id"`
	Attempts    int             `json:"attempts"` // POSTs
	Row         int64           `json:"row"`
	Parameters  json.RawMessage `json:"parameters"` // constants included
	CreatedAt   time.Time       `json:"created_at"`
	DueAt       *time.Time      `json:"due_at"`
	ClaimedAt   *time.Time      `json:"claimed_at"`
	ExpiresAt   *time.Time      `json:"expires_at"`
	SentAt      *time.Time      `json:"sent_at"`
	DeliveredAt *time.Time      `json:"delivered_at"`
	ReadAt      *time.Time      `json:"read_at"`
	FailedAt    *time.Time      `json:"failed_at"`
	Former      []FormerAttempt `json:"former_attempts"` // never null
}

// FormerAttempt is an earlier POST of a message and what came of it.
type FormerAttempt struct {
	Attempt    int          `json:"attempt"`
	ProviderID string       `json:"provider_id"`
	State      MessageState `json:"state"`
	ErrorCode  string       `json:"error_code"`
	ClaimedAt  *time.Time   `json:"claimed_at"`
}
