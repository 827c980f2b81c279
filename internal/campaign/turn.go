package campaign

import "time"

// Turn names a message and the turn that its job is for.
type Turn struct {
	Message  MessageID
	Attempt  int
	Claim    ClaimID // random, chosen by the worker; a repeat uses the same
	Campaign ID
	Channel  ChannelID
}

// Claimed says what came of a turn's claim.
type Claimed struct {
	OK bool
	// Again: another message to the same person was in the batch; ask once more.
	Again      bool
	Err        error // the database refused this message, and only this one
	Template   TemplateID
	Phone      string
	Parameters []byte // JSON: the message's own, without the campaign's constants
}

// Want asks for one turn of a channel: whichever of its queued messages is next.
type Want struct {
	Channel ChannelID
	High    bool    // only of high priority
	Claim   ClaimID // random, chosen by the worker; a repeat uses the same
}

// Taken is the turn that a want was given, and what came of its claim. The zero
// Turn says that nothing was queued.
type Taken struct {
	Turn
	Claimed
}

// Outcome is what became of a claimed turn's POST.
type Outcome struct {
	Turn
	Answer Answer
}

// Delivery is one webhook request as it was received and stored.
type Delivery struct {
	ID         int64
	Channel    ChannelID
	ReceivedAt time.Time
	Body       []byte
}

// Parsed is a delivery with its events.
type Parsed struct {
	Delivery
	Events  []Event
	Problem string // why the body has no events, when it could not be read
	// Erased: Body is to replace the stored one, which names people who were
	// forgotten.
	Erased bool
}

// Applied says what came of a batch of deliveries.
type Applied struct {
	Statuses  int
	Unmatched int // kept to be tried again for an hour
	Replies   int
	Lost      int       // attempts the provider knows and we do not: the database lost commits
	Kept      int       // deliveries not applied yet: somebody else keeps their person's row
	Dropped   []Dropped // templates to look at
}

// Dropped names a channel and a template of which the provider dropped a held
// message (132015 by webhook): somebody must look at the template.
type Dropped struct {
	Channel  ChannelID
	Template TemplateID
}
