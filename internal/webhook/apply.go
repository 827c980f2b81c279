package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Store applies what was stored.
type Store interface {
	Unapplied(ctx context.Context, limit int, maxBytes int64) ([]campaign.Delivery, error)
	ApplyDeliveries(ctx context.Context, channel campaign.ChannelID, ds []campaign.Parsed) (campaign.Applied, error)
	RetryUnmatched(ctx context.Context, explain func(code int) campaign.Failure) (int, error)
	DeleteDeliveries(ctx context.Context, keep time.Duration) (int64, error)
}

// Applier applies stored deliveries until its context ends. What is left then is
// applied by the next start.
type Applier struct {
	Store   Store
	Parse   func(body []byte) ([]campaign.Event, error)
	Explain func(code int) campaign.Failure
	Stored  <-chan struct{} // woken by; a tick finds what other nodes stored
	// Dropped is told of templates of which the provider dropped held messages; nil
	// when nobody looks.
	Dropped func(ctx context.Context, d campaign.Dropped)
	Logger  *slog.Logger
}

const (
	// applyEvery finds what other nodes stored and what a crash left.
	applyEvery = time.Second
	// applyRows and applyBytes bound a batch: about ten thousand statuses.
	applyRows  = 500
	applyBytes = 4 << 20
	// retryEvery is how often statuses that matched nothing are tried again.
	retryEvery = 5 * time.Second
	// keepFor is how long raw bodies are kept (design §8).
	keepFor = 14 * 24 * time.Hour
)

// Run applies deliveries until ctx ends.
func (a *Applier) Run(ctx context.Context) error {
	tick := time.NewTicker(applyEvery)
	defer tick.Stop()
	var retried, deleted time.Time
	for {
		n, err := a.pass(ctx)
		if err != nil && ctx.Err() == nil {
			a.Logger.Error("cannot apply webhooks", "error", err)
		}
		if now := time.Now(); now.Sub(retried) >= retryEvery {
			retried = now
			if _, err := a.Store.RetryUnmatched(ctx, a.Explain); err != nil && ctx.Err() == nil {
				a.Logger.Error("cannot match statuses again", "error", err)
			}
		}
		if now := time.Now(); now.Sub(deleted) >= time.Minute {
			deleted = now
			if _, err := a.Store.DeleteDeliveries(ctx, keepFor); err != nil && ctx.Err() == nil {
				a.Logger.Error("cannot delete old webhooks", "error", err)
			}
		}
		if n > 0 && err == nil && ctx.Err() == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.Stored:
		case <-tick.C:
		}
	}
}

// pass applies one batch and returns how many deliveries it was.
func (a *Applier) pass(ctx context.Context) (int, error) {
	ds, err := a.Store.Unapplied(ctx, applyRows, applyBytes)
	if err != nil || len(ds) == 0 {
		return 0, err
	}
	byChannel := map[campaign.ChannelID][]campaign.Parsed{}
	for _, d := range ds {
		p := campaign.Parsed{Delivery: d}
		if p.Events, err = a.Parse(d.Body); err != nil {
			p.Problem = err.Error()
			a.Logger.Warn("a stored webhook cannot be read", "webhook_id", d.ID, "channel_id", d.Channel)
		}
		byChannel[d.Channel] = append(byChannel[d.Channel], p)
	}
	for channel, parsed := range byChannel {
		applied, err := a.Store.ApplyDeliveries(ctx, channel, parsed)
		if err != nil {
			return 0, err
		}
		if applied.Lost > 0 {
			a.Logger.Error("the provider reports attempts that the database does not know: it lost what it had committed; the channel is held",
				"channel_id", channel, "attempts", applied.Lost)
		}
		a.Logger.Debug("webhooks applied", "channel_id", channel, "deliveries", len(parsed), "statuses", applied.Statuses, "unmatched", applied.Unmatched)
		for _, d := range applied.Dropped {
			if a.Dropped != nil {
				a.Dropped(ctx, d)
			}
		}
	}
	return len(ds), nil
}
