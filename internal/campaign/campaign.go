// Package campaign holds the nouns of a bulk template campaign, their rules and
// their status machine: channel, template, contact, list, campaign, message,
// hold, and the one catalogue of what can go wrong.
//
// It imports nothing but the standard library and must not know how things are
// stored (package postgres), queued (queue), posted (dialog360) or shown (cmd).
package campaign

import "time"

// ID identifies a campaign. Zero means "no campaign": a message that a service
// enqueued by itself.
type ID int64

// ChannelID identifies a channel: one WhatsApp number at 360dialog.
type ChannelID int64

// TemplateID identifies one language of one template on one channel.
type TemplateID int64

// ContactID identifies a contact.
type ContactID int64

// ListID identifies a contact list.
type ListID int64

// State of a campaign (design §3).
type State string

// The campaign states. Completed means that nothing is pending, queued, sending
// or deferred; an asynchronous failure that defers a message makes it running
// again.
const (
	Draft     State = "draft"
	Scheduled State = "scheduled"
	Running   State = "running"
	Paused    State = "paused"
	Completed State = "completed"
	Cancelled State = "cancelled"
)

// States lists the campaign states in the order of a campaign's life.
var States = [...]State{Draft, Scheduled, Running, Paused, Completed, Cancelled}

// Campaign is one broadcast: a template, an audience frozen by its plan, and the
// rules under which it is sent.
type Campaign struct {
	ID         ID
	Name       string
	Key        string // unique together with Name
	ChannelID  ChannelID
	ListID     ListID
	State      State
	Spec       Spec
	SpecHash   string // over the normalised Spec: other content under the same name and key is a conflict
	PlanHash   string // over everything the plan froze
	Total      int64  // messages, skipped ones included
	Eligible   int64  // messages that were not skipped by the plan
	FirstID    MessageID
	LastID     MessageID // the least and greatest message id, so that the planner can drop partitions
	CreatedAt  time.Time
	StartsAt   *time.Time
	NotAfter   *time.Time // the deadline: nothing is claimed after it
	StartedAt  *time.Time
	FinishedAt *time.Time
}

// Open reports whether a campaign may still be paused, resumed or cancelled.
func (s State) Open() bool { return s == Draft || s == Scheduled || s == Running || s == Paused }
