package simulator

import "sync/atomic"

// stats counts what happened.
type stats struct {
	posts, accepted, held, refused, faults, unauthorized atomic.Int64
	webhooksDelivered, webhooksDropped, webhookFailures  atomic.Int64
	webhooksWithoutTarget                                atomic.Int64
}

// Stats is what GET /simulator/stats shows. Webhook figures count events, but
// WebhookFailures counts requests that were not answered 200.
type Stats struct {
	Profile               string `json:"profile"`
	Seed                  uint64 `json:"seed"`
	Posts                 int64  `json:"posts"`
	Accepted              int64  `json:"accepted"` // taken, held ones included
	Held                  int64  `json:"held"`
	Refused               int64  `json:"refused"`
	Faults                int64  `json:"faults"`
	Unauthorized          int64  `json:"unauthorized"`
	WebhooksDelivered     int64  `json:"webhooks_delivered"`
	WebhooksWaiting       int    `json:"webhooks_waiting"`
	WebhooksDropped       int64  `json:"webhooks_dropped"`
	WebhooksWithoutTarget int64  `json:"webhooks_without_target"`
	WebhookFailures       int64  `json:"webhook_failures"`
	LedgerFailed          int64  `json:"ledger_failed"` // entries that could not be written
}

// Stats returns the counters.
func (s *Simulator) Stats() Stats {
	c := &s.stats
	return Stats{
		Profile: s.profile.name, Seed: s.config.Seed,
		Posts: c.posts.Load(), Accepted: c.accepted.Load(), Held: c.held.Load(), Refused: c.refused.Load(),
		Faults: c.faults.Load(), Unauthorized: c.unauthorized.Load(),
		WebhooksDelivered: c.webhooksDelivered.Load(), WebhooksWaiting: s.backlog(), WebhooksDropped: c.webhooksDropped.Load(),
		WebhooksWithoutTarget: c.webhooksWithoutTarget.Load(), WebhookFailures: c.webhookFailures.Load(),
		LedgerFailed: s.ledger.failed.Load(),
	}
}
