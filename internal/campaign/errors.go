package campaign

import (
	"errors"
	"math"
	"time"
)

// Class says what may be done about an error (design §5).
type Class string

// The classes. Refused is our own: the request was not carried out and the
// caller must change it. The others are answers of the provider.
const (
	Refused       Class = "refused"
	RetryClass    Class = "retry"          // deferred, exponential
	SlowDown      Class = "slow_down"      // the channel's rate is halved, the message waits for a moment
	Final         Class = "final"          // failed
	PauseTemplate Class = "pause_template" // deferred, a hold on the template
	PauseChannel  Class = "pause_channel"  // deferred, a hold on the channel
	PauseAccount  Class = "pause_account"  // deferred, a hold on the account
)

// Scope says what a failure of the provider is about (whatsapp-facts §4.5).
type Scope string

// The scopes, from the smallest to the largest.
const (
	ScopeRecipient Scope = "recipient"
	ScopeRequest   Scope = "request"
	ScopeTemplate  Scope = "template"
	ScopeChannel   Scope = "channel"
	ScopeAccount   Scope = "account"
	ScopePortfolio Scope = "portfolio"
	ScopePlatform  Scope = "platform"
)

// Retry says when a deferred message is tried again: first × factorⁿ, with
// jitter, never more than Cap, and at most Attempts POSTs in all.
type Retry struct {
	First    time.Duration `json:"first"`
	Factor   float64       `json:"factor"`
	Cap      time.Duration `json:"cap"`
	Attempts int           `json:"attempts"` // POSTs in all; 0 means until the deadline
	Jitter   float64       `json:"jitter"`   // 0.1 is ±10 %
}

// After gives the gap after the n-th POST (n from 1). random is a number in
// [0,1) that decides the jitter.
func (r Retry) After(n int, random float64) time.Duration {
	gap := float64(r.First)
	for i := 1; i < n; i++ {
		gap *= r.Factor
		if r.Cap > 0 && gap >= float64(r.Cap) {
			break
		}
	}
	if r.Cap > 0 && gap > float64(r.Cap) {
		gap = float64(r.Cap)
	}
	gap *= 1 + r.Jitter*(2*random-1)
	// A factor of ten takes a day beyond what a duration can hold at the tenth POST.
	return time.Duration(min(gap, float64(math.MaxInt64/2)))
}

// Failure is one row of the catalogue: what a code of the provider means and
// what is done about it. Values come from package dialog360, which knows the
// codes; everybody else looks at the class and the effects.
type Failure struct {
	Code     string // as the provider writes it, "131049"; "http_504" where a body has none
	MapsTo   string // the Cloud API code that a legacy code stands for, else empty
	Title    string
	Class    Class
	Scope    Scope
	Operator bool   // a person must act
	Advice   string // a sentence
	Retry    Retry  // for the classes that defer
	// Hold is how long a pause stands before a timer lifts it; zero means until
	// a webhook or a person does.
	Hold time.Duration
	// OptOut: the person asked not to get marketing from us (131050).
	OptOut bool
	// RestContact: the person rests until the message's next due time, for every
	// marketing campaign (131049).
	RestContact bool
	// NeverUS: no retry for US numbers (131049).
	NeverUS bool
	// Dropped: arriving by webhook it means that the provider dropped a message
	// it held: the message failed, and the template or the portfolio is looked
	// at (132015).
	Dropped bool
	Details string // what the provider wrote beside the code; may name the person, so never logged
	HTTP    int    // the HTTP status of the answer, 0 for a webhook
}

// Deferrable reports whether the class leaves the message to be tried again.
func (f Failure) Deferrable() bool { return f.Class != Final && f.Class != Refused }

// Error is a failure with a meaning. Any other error is internal: logged for the
// operator, shown to everyone else as "internal error".
type Error struct {
	Code    string // stable; shown in reports and by --json
	Kind    Kind
	Message string // for a person
	Hint    string // the remedy, when it is known
}

// Kind says how a program ends with this error; cmd turns it into exit codes.
type Kind string

// The kinds of refusal, one for each exit code of design §11.
const (
	Invalid    Kind = "invalid"    // the request itself is wrong: exit 2
	NotFound   Kind = "not_found"  // exit 3
	Forbidden  Kind = "forbidden"  // exit 4
	Conflict   Kind = "conflict"   // exit 5
	Guarded    Kind = "guarded"    // refused by a guard: exit 7
	Unavailing Kind = "unavailing" // nothing wrong with the request, the world is: exit 1
)

func (e *Error) Error() string { return e.Message }

// Is makes errors with the same code equal, whatever their text says.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// With gives the same error with another text and hint.
func (e *Error) With(message, hint string) *Error {
	return &Error{Code: e.Code, Kind: e.Kind, Message: message, Hint: hint}
}

// The catalogue of our own errors.
var (
	ErrNotFound       = &Error{Code: "not_found", Kind: NotFound, Message: "not found"}
	ErrExists         = &Error{Code: "exists", Kind: Conflict, Message: "there is one already"}
	ErrConflict       = &Error{Code: "conflict", Kind: Conflict, Message: "the same name and key with other content"}
	ErrState          = &Error{Code: "state", Kind: Conflict, Message: "not in this state"}
	ErrInvalid        = &Error{Code: "invalid", Kind: Invalid, Message: "invalid input"}
	ErrForbidden      = &Error{Code: "forbidden", Kind: Forbidden, Message: "permission denied"}
	ErrGuard          = &Error{Code: "guard", Kind: Guarded, Message: "refused by a guard"}
	ErrTemplate       = &Error{Code: "template", Kind: Guarded, Message: "the template cannot be sent"}
	ErrSchema         = &Error{Code: "schema", Kind: Unavailing, Message: "the database schema is not this program's"}
	ErrNoDatabase     = &Error{Code: "database", Kind: Unavailing, Message: "the database cannot be reached"}
	ErrProvider       = &Error{Code: "provider", Kind: Unavailing, Message: "the provider refused"}
	ErrSecret         = &Error{Code: "secret", Kind: Invalid, Message: "a key reference cannot be resolved"}
	ErrNotImplemented = &Error{Code: "not_yet", Kind: Invalid, Message: "not part of this version"}
)
