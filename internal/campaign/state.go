package campaign

// MessageState is the one bucket a recipient is in (design §3).
type MessageState string

// The message states.
const (
	Skipped          MessageState = "skipped"
	Pending          MessageState = "pending"
	Queued           MessageState = "queued"
	Sending          MessageState = "sending"
	Unknown          MessageState = "unknown"
	Accepted         MessageState = "accepted"
	Held             MessageState = "held"
	Sent             MessageState = "sent"
	Delivered        MessageState = "delivered"
	Read             MessageState = "read"
	Deferred         MessageState = "deferred"
	Failed           MessageState = "failed"
	MessageCancelled MessageState = "cancelled"
)

// MessageStates lists every state in the order reports show them. The counts of
// all of them add up to a campaign's total.
var MessageStates = [...]MessageState{
	Skipped, Pending, Queued, Sending, Unknown, Accepted, Held, Sent, Delivered,
	Read, Deferred, Failed, MessageCancelled,
}

// Open reports whether a message in this state keeps its campaign from being
// completed.
func (s MessageState) Open() bool {
	return s == Pending || s == Queued || s == Sending || s == Deferred
}

// Settled reports whether nothing more is expected: what --wait=settled waits
// for.
func (s MessageState) Settled() bool {
	switch s {
	case Skipped, Delivered, Read, Failed, MessageCancelled:
		return true
	}
	return false
}

// Reasons: why a message is skipped ...
const (
	ReasonUSMarketing    = "us_marketing"
	ReasonOptedOut       = "opted_out"
	ReasonSuppressed     = "suppressed"
	ReasonNotOptedIn     = "not_opted_in"
	ReasonInvalidNumber  = "invalid_number"
	ReasonDuplicate      = "duplicate"
	ReasonBadParameters  = "bad_parameters"
	ReasonCountryBlocked = "country_blocked"
	ReasonFrequencyCap   = "frequency_cap"
	ReasonExpired        = "expired"
	ReasonNoWindow       = "no_window"
)

// ... and why it waits.
const (
	ReasonRetry       = "retry"       // a failure that may pass; error_code says which
	ReasonUnreachable = "unreachable" // nothing was written: the provider could not be reached
	ReasonResend      = "resend"      // a POST of unknown fate is repeated because somebody said so
	ReasonReleased    = "released"    // an earlier attempt ended, this one was given back before its POST
	ReasonRest        = "rest"        // the person rests from marketing (131049)
	// ReasonServiceWindow: the person wrote to us, so that what an experiment
	// refused (130472) is tried once more.
	ReasonServiceWindow = "service_window"
	ReasonWindow        = "window" // the window is closed in the person's time zone
)

// SkipReasons lists the reasons a message may be skipped for (design §3).
var SkipReasons = [...]string{
	ReasonUSMarketing, ReasonOptedOut, ReasonSuppressed, ReasonNotOptedIn, ReasonInvalidNumber,
	ReasonDuplicate, ReasonBadParameters, ReasonCountryBlocked, ReasonFrequencyCap, ReasonExpired, ReasonNoWindow,
}

// Proof is what the provider said of the current attempt. Within an attempt it
// only climbs. Delivered stands above failed because proof of arrival beats a
// report of failure.
type Proof int16

// The proofs, in their order.
const (
	ProofNone Proof = iota
	ProofAccepted
	ProofSent
	ProofFailed
	ProofDelivered
	ProofRead
)

// proofOf gives the proof of a status word, and whether it is one.
func proofOf(status string) (Proof, bool) {
	switch status {
	case "sent":
		return ProofSent, true
	case "delivered":
		return ProofDelivered, true
	case "read", "played":
		return ProofRead, true
	case "failed":
		return ProofFailed, true
	}
	return ProofNone, false
}

// state gives the message state of a proof.
func (p Proof) state(raw string) MessageState {
	switch p {
	case ProofAccepted:
		if raw == "held_for_quality_assessment" || raw == "paused" {
			return Held
		}
		return Accepted
	case ProofSent:
		return Sent
	case ProofFailed:
		return Failed
	case ProofDelivered:
		return Delivered
	case ProofRead:
		return Read
	}
	return Unknown
}
