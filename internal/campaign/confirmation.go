package campaign

import "time"

// ConfirmationLife is how long after a stop its confirmation is still sent.
// Later it would puzzle, and far within ServiceWindow, which the stop opened, the
// provider takes no text any more.
const ConfirmationLife = 10 * time.Minute

// MaxConfirmation bounds a confirmation's text, in characters: the provider's
// limit for a text message.
const MaxConfirmation = 4096

// ConfirmationState is where a confirmation is.
type ConfirmationState string

// The states of a confirmation. Only what is waiting is ever posted.
const (
	ConfirmationWaiting ConfirmationState = "waiting"
	ConfirmationSending ConfirmationState = "sending"
	ConfirmationSent    ConfirmationState = "sent"
	ConfirmationFailed  ConfirmationState = "failed"  // the provider refused it, or was never reached
	ConfirmationUnknown ConfirmationState = "unknown" // posted, and no answer was understood
	ConfirmationDropped ConfirmationState = "dropped" // nothing was posted
)

// Confirmation is the text that a person gets who stopped marketing, claimed by
// whoever posts it.
type Confirmation struct {
	ID      int64
	Channel ChannelID
	Try     int    // of the claim, from 1
	Phone   string // E.164
	Text    string
}

// confirmationTries bounds the claims of a confirmation.
const confirmationTries = 5

// After gives the state that a confirmation has after an answer, and for how long
// it waits where it is tried again. That is only when nothing was written: a
// person who wants to be left alone must not be told so twice.
func (c Confirmation) After(a Answer) (ConfirmationState, time.Duration) {
	switch a.Kind {
	case AnswerAccepted, AnswerHeld:
		return ConfirmationSent, 0
	case AnswerFailed:
		return ConfirmationFailed, 0
	case AnswerUnreachable, AnswerAbandoned:
		if c.Try >= confirmationTries {
			return ConfirmationFailed, 0
		}
		return ConfirmationWaiting, time.Second << c.Try
	}
	return ConfirmationUnknown, 0
}
