package campaign

import "time"

// Overview is the whole installation at a moment, in numbers: what an operator
// watches. Every number is small to read, whatever the history.
type Overview struct {
	Messages  []OverviewMessages // of every channel and state that has any
	Campaigns map[State]int64
	Holds     []OverviewHolds
	Channels  []OverviewChannel
	Nodes     map[string]int64 // by NodeRunning and NodeIsLost

	// Unapplied is how many webhooks are stored and not yet applied, counted up to
	// UnappliedMost, and OldestUnapplied the age of the first of them.
	Unapplied       int64
	OldestUnapplied time.Duration
	// Unmatched is how many statuses wait for a message that they belong to.
	Unmatched int64
}

// UnappliedMost is up to where an overview counts stored webhooks: a backlog of
// more is a backlog, and counting it would take long.
const UnappliedMost = 100_000

// OverviewMessages is how many messages of a channel are in a state.
type OverviewMessages struct {
	Channel string
	State   MessageState
	N       int64
}

// OverviewHolds is how many holds of a source stand on scopes of a kind.
type OverviewHolds struct {
	Scope  HoldScope
	Source string
	N      int64
}

// OverviewChannel is a channel at a moment.
type OverviewChannel struct {
	Name string
	// Held: a hold stands on it or on its account.
	Held bool
	// Jobs by state of River: what of its messages may be worked on or is.
	Jobs map[string]int64
	// Limit is its rate, and Allowed what is left of it while the provider asked to
	// slow down, in messages per second over all nodes; 0 is no limit.
	Limit, Allowed float64
	// Leased is what the nodes may be using of its rate, in messages per second,
	// by Leases leases that run; +Inf without a limit.
	Leased float64
	Leases int64
	// OldestDue is for how long the first due message that nothing holds has waited
	// for a job; zero when there is none.
	OldestDue time.Duration
}
