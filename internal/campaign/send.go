package campaign

import (
	"sync/atomic"
	"time"
)

// Request is one message to one person, as the provider is asked to send it: a
// template with its parameters or, inside a service window only, a text.
type Request struct {
	To         string // E.164 with +
	Template   *Template
	Parameters Parameters
	Text       string // instead of a template; at most MaxConfirmation characters
	Opaque     string // <deployment>/<message>/<attempt>, echoed by every status
	// Validity decides whether the request may still be written; nil means yes.
	Validity *Validity
}

// Validity is the life of a claim: a request may be written only while the claim
// it stands on is fresh (design §4.4). The first read of the request body and
// the worker that gives up race for one atomic; whoever comes first decides.
type Validity struct {
	state   atomic.Int32
	started time.Time // monotonic and wall clock, from before the claim was first asked for
	limit   time.Duration
	now     func() time.Time
}

const (
	validityFresh int32 = iota
	validityWriting
	validityAbandoned
)

// NewValidity starts the life of a claim that is good for limit from started,
// which must be read before the claim's first request is sent. now is the clock.
func NewValidity(started time.Time, limit time.Duration, now func() time.Time) *Validity {
	return &Validity{started: started, limit: limit, now: now}
}

// Begin is called by the first read of the request body. False means that the
// request must not be written: the claim is too old by the monotonic or by the
// wall clock (a suspended machine stops the first), or the worker gave up.
func (v *Validity) Begin() bool {
	if v == nil {
		return true
	}
	now := v.now()
	if now.Sub(v.started) > v.limit || now.Round(0).Sub(v.started.Round(0)) > v.limit {
		v.state.CompareAndSwap(validityFresh, validityAbandoned)
		return false
	}
	return v.state.CompareAndSwap(validityFresh, validityWriting)
}

// Abandon is called by a worker that gives up. True means that nothing of the
// body was written and nothing will be.
func (v *Validity) Abandon() bool {
	v.state.CompareAndSwap(validityFresh, validityAbandoned)
	return v.state.Load() == validityAbandoned
}

// Written reports whether the body's first read has happened: from then on
// something may have been on the wire.
func (v *Validity) Written() bool { return v.state.Load() == validityWriting }

// AnswerKind says what is known after a POST.
type AnswerKind string

// The kinds of answers (design §4.4–4.6).
const (
	AnswerAccepted    AnswerKind = "accepted"
	AnswerHeld        AnswerKind = "held"        // held_for_quality_assessment or paused
	AnswerFailed      AnswerKind = "failed"      // a recognised refusal: Failure says which
	AnswerUnreachable AnswerKind = "unreachable" // nothing written: the provider could not be reached
	AnswerAbandoned   AnswerKind = "abandoned"   // nothing written: the claim was too old or the worker gave up
	AnswerInDoubt     AnswerKind = "in_doubt"    // something written and no answer understood
)

// Answer is what is known after a POST.
type Answer struct {
	Kind       AnswerKind
	ProviderID string
	RawStatus  string // message_status as the provider wrote it
	WaID       string // the provider's form of the number
	Failure    Failure
	RetryAfter time.Duration // as the provider asked, 0 when it did not
	// Redirected: the channel's URL is wrong (3xx). The message is deferred and
	// the channel held.
	Redirected bool
	Err        error // for the log: never holds a number, a parameter or a key
}
