package campaign

import (
	"encoding/hex"
	"time"
)

// MessageID identifies a message: one campaign to one contact, or one that a
// service enqueued.
type MessageID int64

// ClaimID is the random name of a claim: the durable note that an attempt is
// about to be posted.
type ClaimID [16]byte

// IsZero reports whether there is no claim.
func (c ClaimID) IsZero() bool { return c == ClaimID{} }

func (c ClaimID) String() string { return hex.EncodeToString(c[:]) }

// Message is one campaign to one contact. Its methods are the status machine:
// each changes the row in memory and returns what else follows; package postgres
// locks the row, calls one of them and writes the row back.
type Message struct {
	ID         MessageID
	CampaignID ID // 0: enqueued by a service
	ChannelID  ChannelID
	TemplateID TemplateID
	ContactID  ContactID

	State     MessageState
	Reason    string
	ErrorCode string
	RawStatus string // message_status of the answer, in the provider's word

	Attempt int // turns so far; fan-out raises it when it queues
	Posted  int // the attempt that ClaimID, ProviderID and Proof belong to; set by the claim
	Posts   int // POSTs so far: claims that were not released; what every maximum counts
	Proof   Proof

	ClaimID    ClaimID
	ClaimedAt  *time.Time
	DueAt      *time.Time // when fan-out may queue it; nil when it waits for nothing
	ProviderID string

	Resend  bool // a POST of unknown fate was made, and another one waits or is under way
	Resends int  // how often a POST of unknown fate was repeated

	ZoneSet ZoneSetID // where the person may be; 0: no window binds the message

	ExpiresAt   *time.Time
	SentAt      *time.Time
	DeliveredAt *time.Time
	ReadAt      *time.Time
	FailedAt    *time.Time
}

// Circumstances are what a transition depends on beside the row itself. They are
// read after the row's campaign is locked.
type Circumstances struct {
	Now      time.Time  // the database's clock
	Campaign State      // "" for a message of no campaign
	Deadline *time.Time // nothing is claimed after it
	Blocked  bool       // a hold stands, or the campaign is not running
	Skip     string     // why this person must not be written to now, found at the claim
	Rest     *time.Time // the person rests from marketing until then
	Capped   *time.Time // a frequency cap that defers leaves room for the message then
	Hours    *OpenHours // when the message may be sent; nil: at any hour

	Marketing bool
	US        bool             // the pause of marketing to US numbers covers the person
	Retry     map[string]Retry // the campaign's own rules, by code
	Random    float64          // in [0,1), for jitter
}

func (c Circumstances) expired(at time.Time) bool {
	return c.Deadline != nil && !at.Before(*c.Deadline)
}

// opening moves a due time to where the window is open. over is the reason why
// the message cannot be sent any more, where that is so.
func (c Circumstances) opening(due time.Time) (opens time.Time, over string) {
	if c.expired(due) {
		return due, ReasonExpired
	}
	opens, ok := c.Hours.Next(due)
	if !ok || c.expired(opens) {
		return due, ReasonNoWindow
	}
	return opens, ""
}

// Change is what follows from a transition beside the row itself.
type Change struct {
	Hold   *HoldRequest
	OptOut bool       // the contact stops marketing
	Rest   *time.Time // the contact rests from marketing until then
	Former *Attempt   // the attempt that the claim replaced: it goes to the table attempts
	// Dropped: the provider dropped a message it held (132015 by webhook): look at
	// the template, then hold it or the account.
	Dropped bool
	// LostCommits: the provider knows an attempt that the row does not: the
	// database lost what it had committed.
	LostCommits bool
}

// HoldRequest asks for a hold on a scope of the message. For is how long it
// stands; zero means until a webhook or a person lifts it.
type HoldRequest struct {
	Scope  HoldScope
	Source string
	Reason string
	For    time.Duration
}

// Attempt is a former turn of a message.
type Attempt struct {
	Attempt    int
	ClaimID    ClaimID
	ProviderID string
	State      MessageState
	ErrorCode  string
	ClaimedAt  *time.Time
}

// Claim turns queued into sending: the note that this attempt is about to be
// posted. It reports whether the message is claimed; a claim whose reply was
// lost is repeated with the same id and is claimed again. What is not claimed
// goes to the state that says why.
func (m *Message) Claim(attempt int, claim ClaimID, c Circumstances) (bool, Change) {
	switch {
	case m.State == Sending && m.ClaimID == claim:
		return true, Change{}
	case m.State == Unknown && m.ClaimID == claim && m.Posted == attempt:
		// The claim's reply was lost for so long that it was given up as stale. Who
		// still asks for it has not posted.
		m.notPosted()
		m.wait(c.Now, "", c)
		return false, Change{}
	case m.State != Queued || m.Attempt != attempt:
		return false, Change{}
	}
	if done := m.giveBack(c); done {
		return false, Change{}
	}
	var change Change
	if m.Posted > 0 {
		change.Former = &Attempt{
			Attempt: m.Posted, ClaimID: m.ClaimID, ProviderID: m.ProviderID,
			State: m.Proof.state(m.RawStatus), ErrorCode: m.ErrorCode, ClaimedAt: m.ClaimedAt,
		}
	}
	now := c.Now
	m.State, m.ClaimID, m.ClaimedAt, m.DueAt = Sending, claim, &now, nil
	m.Posted, m.Posts = m.Attempt, m.Posts+1
	m.Proof, m.ProviderID, m.RawStatus = ProofNone, "", ""
	return true, change
}

// giveBack ends or releases a message that may not be claimed now, and reports
// whether it did.
func (m *Message) giveBack(c Circumstances) bool {
	switch {
	case c.Campaign == Cancelled:
		m.end(MessageCancelled, "", c)
	case c.expired(c.Now):
		m.end(Skipped, ReasonExpired, c)
	case c.Skip != "":
		m.end(Skipped, c.Skip, c)
	case c.Blocked:
		m.wait(c.Now, "", c)
	case c.Rest != nil && c.Rest.After(c.Now):
		m.wait(*c.Rest, ReasonRest, c)
	case c.Capped != nil && c.expired(*c.Capped):
		m.end(Skipped, ReasonFrequencyCap, c)
	case c.Capped != nil:
		m.wait(*c.Capped, ReasonFrequencyCap, c)
	case !c.Hours.Open(c.Now):
		m.wait(c.Now, "", c)
	default:
		return false
	}
	return true
}

// Postpone moves a due message whose window is closed to the next opening, so
// that it takes no turn for nothing. It reports whether it did.
func (m *Message) Postpone(c Circumstances) bool {
	if m.State != Pending && m.State != Deferred || m.DueAt == nil || m.DueAt.After(c.Now) || c.Hours.Open(c.Now) {
		return false
	}
	m.wait(c.Now, "", c)
	return true
}

// WaitsForCap reports whether a frequency cap keeps a message from its turn.
func (m *Message) WaitsForCap() bool {
	return (m.State == Pending || m.State == Deferred) && m.Reason == ReasonFrequencyCap && m.DueAt != nil
}

// CapChanged moves a message that waits for a frequency cap to when the caps that
// hold now leave room for it. One that they would skip waits on: whether it has
// room is for its claim to say.
func (m *Message) CapChanged(c Circumstances) {
	if !m.WaitsForCap() || c.Campaign == Cancelled || c.expired(c.Now) {
		return
	}
	was := m.DueAt
	switch {
	case c.Skip == ReasonFrequencyCap:
	case c.Capped == nil:
		m.Reason = ""
		m.wait(c.Now, "", c)
	case !c.expired(*c.Capped):
		m.wait(*c.Capped, ReasonFrequencyCap, c)
		if m.DueAt != nil && m.DueAt.Equal(*was) {
			m.DueAt = was // nothing to write
		}
	}
}

// Cancel ends what waits, when its campaign was cancelled or its deadline has
// passed. A message whose POST may be on the wire is left alone: its answer ends
// it.
func (m *Message) Cancel(c Circumstances) {
	if m.State != Pending && m.State != Queued && m.State != Deferred {
		return
	}
	switch {
	case c.Campaign == Cancelled:
		m.end(MessageCancelled, "", c)
	case c.expired(c.Now):
		m.end(Skipped, ReasonExpired, c)
	}
}

// wait puts a message back to where fan-out finds it at the time due, or when its
// window opens after it.
func (m *Message) wait(due time.Time, reason string, c Circumstances) {
	opens, over := c.opening(due)
	if opens.After(due) && reason == "" {
		reason = ReasonWindow
	}
	if m.Posts == 0 {
		m.State = Pending
		m.Reason = reason
	} else {
		m.State = Deferred
		switch {
		case m.Resend:
			m.Reason = ReasonResend
		case reason != "":
			m.Reason = reason
		case m.Reason == "":
			m.Reason = ReasonReleased
		}
	}
	m.DueAt = &opens
	if c.Campaign == Cancelled {
		m.end(MessageCancelled, "", c)
	} else if over != "" {
		m.end(Skipped, over, c)
	}
}

// end ends a message that waits: one that was never posted takes the given
// state; a waiting resend leaves the POST it would have repeated unknown;
// anything else failed with its last code (design §3).
func (m *Message) end(state MessageState, reason string, c Circumstances) {
	m.DueAt = nil
	switch {
	case m.Posts == 0:
		m.State, m.Reason, m.ErrorCode = state, reason, ""
	case m.Resend:
		m.State, m.Reason, m.Resend = Unknown, "", false
	default:
		m.State, m.Reason = Failed, reason
		m.failedAt(c.Now)
	}
}

// Outcome records what is known after the POST of a claim. It never lowers proof
// that a webhook brought first, and an answer to a claim that is no longer the
// row's changes nothing.
func (m *Message) Outcome(claim ClaimID, a Answer, c Circumstances) Change {
	if claim.IsZero() || m.ClaimID != claim {
		return Change{}
	}
	if a.ProviderID != "" && m.ProviderID == "" {
		m.ProviderID = a.ProviderID
	}
	switch a.Kind {
	case AnswerAccepted, AnswerHeld:
		m.RawStatus = a.RawStatus
		if m.Proof >= ProofAccepted {
			return Change{}
		}
		m.climb(ProofAccepted, c.Now)
		if a.Kind == AnswerHeld {
			m.State = Held
		}
	case AnswerFailed:
		// Also where a webhook says that it was sent: a retry could reach the person
		// twice.
		if m.Proof > ProofNone {
			return Change{}
		}
		change := m.fail(a.Failure, c, a.RetryAfter)
		if a.Redirected && change.Hold == nil {
			change.Hold = &HoldRequest{Scope: HoldChannel, Source: SourceCode,
				Reason: "the provider redirects this request: the channel's base URL is wrong"}
		}
		return change
	case AnswerUnreachable, AnswerAbandoned:
		if m.Proof > ProofNone || m.State != Sending && m.State != Unknown {
			return Change{}
		}
		m.notPosted()
		if a.Kind == AnswerAbandoned {
			m.wait(c.Now, "", c)
			break
		}
		m.waitUnreachable(c)
	case AnswerInDoubt:
		if m.Proof == ProofNone && m.State == Sending {
			m.unknown()
		}
	}
	return Change{}
}

// notPosted takes back a claim of which nothing was written: this turn costs no
// POST. The claim goes with it, so that a repeat finds nothing to take back.
func (m *Message) notPosted() {
	m.Posts--
	m.ClaimID = ClaimID{}
}

// unknown leaves Resend as it is: when it turns out that nothing was written
// after all, the POST before is still one of unknown fate.
func (m *Message) unknown() { m.State, m.Reason, m.DueAt = Unknown, "", nil }

// unreachablePause is how long a message waits after nothing could be written.
// The channel is held after five in a row (design §4.6), so this needs no
// growth of its own.
const unreachablePause = 5 * time.Second

func (m *Message) waitUnreachable(c Circumstances) {
	due, over := c.opening(c.Now.Add(unreachablePause))
	m.State, m.Reason, m.DueAt = Deferred, ReasonUnreachable, &due
	if c.Campaign == Cancelled {
		m.end(MessageCancelled, "", c)
	} else if over != "" {
		m.end(Skipped, over, c)
	}
}

// Stale turns a claim that nobody answered into unknown: whoever held it is
// gone, and the POST may have been made.
func (m *Message) Stale(olderThan time.Duration, c Circumstances) bool {
	if m.State != Sending || m.ClaimedAt == nil || c.Now.Sub(*m.ClaimedAt) < olderThan {
		return false
	}
	m.unknown()
	return true
}

// longestGap bounds every retry, whatever rules and providers ask for: a factor
// of ten reaches centuries at the seventh POST.
const longestGap = 366 * 24 * time.Hour

// fail applies a failure of the current attempt by its class.
func (m *Message) fail(f Failure, c Circumstances, after time.Duration) Change {
	m.Proof, m.ErrorCode, m.Resend = ProofFailed, f.Code, false
	m.Posts = max(m.Posts, 1)
	change := Change{OptOut: f.OptOut, Hold: f.hold()}

	rule := f.Retry
	if own, ok := c.Retry[f.Code]; ok {
		rule = own
	}
	final := !f.Deferrable() ||
		rule.Attempts > 0 && m.Posts >= rule.Attempts ||
		f.NeverUS && c.US ||
		f.RestContact && !c.Marketing
	due := c.Now.Add(min(max(rule.After(m.Posts, c.Random), after), longestGap))
	if f.RestContact && c.Marketing && !(f.NeverUS && c.US) {
		change.Rest = &due
	}
	if final {
		m.State, m.Reason, m.DueAt = Failed, "", nil
		m.failedAt(c.Now)
		return change
	}
	opens, over := c.opening(due)
	m.State, m.Reason, m.DueAt = Deferred, ReasonRetry, &opens
	if c.Campaign == Cancelled {
		over = ""
	}
	if c.Campaign == Cancelled || over != "" {
		m.State, m.Reason, m.DueAt = Failed, over, nil
		m.failedAt(c.Now)
	}
	return change
}

// hold gives the hold that a failure asks for, nil when it asks for none.
func (f Failure) hold() *HoldRequest {
	h := HoldRequest{Source: SourceCode, Reason: f.Title, For: f.Hold}
	if f.Code != "" {
		h.Reason = f.Code + ": " + f.Title
	}
	if f.Hold > 0 {
		h.Source = SourceTimer
	}
	switch f.Class {
	case PauseTemplate:
		h.Scope = HoldTemplate
	case PauseChannel:
		h.Scope = HoldChannel
	case PauseAccount:
		h.Scope = HoldAccount
	default:
		return nil
	}
	return &h
}

// Resolve decides about a message whose POST has an unknown fate: another POST,
// or failed. It reports whether the message was unknown.
func (m *Message) Resolve(resend bool, c Circumstances) bool {
	if m.State != Unknown {
		return false
	}
	if !resend {
		m.State, m.Reason, m.ErrorCode, m.DueAt, m.Resend = Failed, "", CodeUnresolved, nil, false
		m.Proof = ProofFailed // like any failure: only a proof of delivery lifts it
		m.failedAt(c.Now)
		return true
	}
	due, over := c.opening(c.Now)
	if c.Campaign == Cancelled || over != "" {
		return false
	}
	m.State, m.Reason, m.DueAt, m.Resend, m.Resends = Deferred, ReasonResend, &due, true, m.Resends+1
	return true
}

// Retry makes a failed message due again because a person says so; no maximum
// binds a person. It reports whether it did: a message whose POST had an unknown
// fate is not retried, for it may have arrived.
func (m *Message) Retry(c Circumstances) bool {
	due, over := c.opening(c.Now)
	if m.State != Failed || m.ErrorCode == CodeUnresolved || c.Campaign == Cancelled || over != "" {
		return false
	}
	m.State, m.Reason, m.DueAt, m.FailedAt = Deferred, ReasonRetry, &due, nil
	return true
}

// CodeUnresolved is the error code of a message whose POST had an unknown fate
// and that a person, or the campaign's on_unknown, declared failed.
const CodeUnresolved = "unresolved"

// Detail is the second half of a counter's key: the reason of what is skipped or
// waits, the code of what failed.
func (m *Message) Detail() string {
	switch m.State {
	case Deferred, Pending:
		if m.Reason == ReasonWindow {
			return windowDetail(m.ZoneSet)
		}
		return m.Reason
	case Skipped:
		return m.Reason
	case Failed:
		return m.ErrorCode
	}
	return ""
}
