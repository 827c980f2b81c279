package campaign

import (
	"slices"
	"time"
)

// Wish is what a person wants of marketing.
type Wish string

// The wishes. WishResume lifts what WhatsApp itself stopped, and says nothing of
// consent; WishStart is the person's own word, and is consent.
const (
	WishNone   Wish = ""
	WishStop   Wish = "stop"
	WishStart  Wish = "start"
	WishResume Wish = "resume"
	WishSignup Wish = "signup"
)

// ServiceWindow is how long a customer service window stays open after the last
// message of the person (whatsapp-facts §6.4, §5).
const ServiceWindow = 24 * time.Hour

// WishOf gives the wish that an event speaks, and where it was spoken. own are
// the words of this installation: they win over the built-in meaning, and "none"
// takes a word away.
func (e Event) WishOf(own map[string]string) (wish Wish, source string) {
	switch {
	case e.Kind == EventUserPreference:
		switch Wish(e.Value) {
		case WishStop, WishResume, WishSignup:
			return Wish(e.Value), SourcePreference
		}
		return WishNone, ""
	case e.Kind != EventMessage || !e.Messages || !slices.Contains([]string{"text", "button", "interactive"}, e.Type):
		return WishNone, ""
	}
	source = "word"
	if e.Type != "text" {
		source = "button"
	}
	wish = e.Wish
	for _, word := range e.Words {
		if meaning, known := own[word]; known {
			wish = Wish(meaning)
			break
		}
	}
	if wish != WishStop && wish != WishStart {
		return WishNone, ""
	}
	return wish, source
}

// SourcePreference marks an opt-out that WhatsApp told us of; its resume lifts
// only these, and those that an error told (SourceProvider).
const (
	SourcePreference = "user_preference"
	SourceProvider   = "provider"
)

// The codes that a service window changes (whatsapp-facts §4.5, §5).
const (
	codeMarketingLimit = "131049" // too much marketing for this person
	codeExperiment     = "130472" // the person is in an experiment: no marketing outside a window
)

// CodeExperiment is the code of messages that may be tried once more when their
// person opens a service window.
const CodeExperiment = codeExperiment

// WindowOpened makes a message due because its person opened a service window:
// what the experiment refused, once (whoever calls sees to that), and what only
// waits for the limit on marketing, which does not count inside a window. It
// reports whether the message changed.
func (m *Message) WindowOpened(c Circumstances) bool {
	if c.Campaign == Cancelled || c.expired(c.Now) || c.Skip != "" {
		return false
	}
	due := c.Now
	switch {
	case m.State == Failed && m.ErrorCode == codeExperiment:
		m.State, m.Reason, m.DueAt, m.FailedAt = Deferred, ReasonServiceWindow, &due, nil
		return true
	case (m.State == Pending || m.State == Deferred) && m.Reason == ReasonRest,
		m.State == Deferred && m.Reason == ReasonRetry && m.ErrorCode == codeMarketingLimit:
		if m.DueAt == nil || !m.DueAt.After(due) {
			return false
		}
		m.DueAt = &due
		return true
	}
	return false
}

// Suppress ends a message that waits because its person is suppressed now.
func (m *Message) Suppress(c Circumstances) {
	if m.State == Pending || m.State == Queued || m.State == Deferred {
		m.end(Skipped, ReasonSuppressed, c)
	}
}

// Reply is an inbound message that answers one of ours: a row of "campaign
// replies". Phone is empty of somebody who was forgotten.
type Reply struct {
	MessageID  MessageID `json:"message_id"`
	Phone      string    `json:"phone"`
	Type       string    `json:"type"`    // text, button, image …
	Payload    string    `json:"payload"` // of a button
	ReceivedAt time.Time `json:"received_at"`
}
