package webhook

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Store applies what was stored.
type Store interface {
	Unapplied(ctx context.Context, limit int, maxBytes int64) ([]campaign.Delivery, error)
	ApplyDeliveries(ctx context.Context, channel campaign.ChannelID, ds []campaign.Parsed) (campaign.Applied, error)
	RetryUnmatched(ctx context.Context, explain func(code int) campaign.Failure) (int, error)
	Forgotten(ctx context.Context, people []string) (map[string]bool, error)
	DeleteDeliveries(ctx context.Context, keep time.Duration) (int64, error)
}

// Applier applies stored deliveries until its context ends. What is left then is
// applied by the next start.
type Applier struct {
	Store   Store
	Parse   func(body []byte) ([]campaign.Event, error)
	Explain func(code int) campaign.Failure
	// Erase gives a body without people of these match keys and user ids, and
	// whether they were in it.
	Erase  func(body []byte, people []string) ([]byte, bool)
	Stored <-chan struct{} // woken by; a tick finds what other nodes stored
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

// pass applies one batch and returns how many deliveries it was; those that stay,
// because somebody else keeps their person's row, do not count.
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
	kept := 0
	for channel, parsed := range byChannel {
		if err := a.forget(ctx, parsed); err != nil {
			return 0, err
		}
		applied, err := a.Store.ApplyDeliveries(ctx, channel, parsed)
		if err != nil {
			return 0, err
		}
		kept += applied.Kept
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
	return len(ds) - kept, nil
}

// forget takes people who were forgotten out of what is to be applied and kept: a
// late report still counts for its message, which names nobody, and nothing else
// of them comes back.
func (a *Applier) forget(ctx context.Context, ds []campaign.Parsed) error {
	seen := map[string]bool{}
	var people []string
	for _, d := range ds {
		for _, e := range d.Events {
			for _, who := range []string{e.MatchKey, e.UserID} {
				if who != "" && !seen[who] {
					seen[who] = true
					people = append(people, who)
				}
			}
		}
	}
	if len(people) == 0 {
		return nil
	}
	forgotten, err := a.Store.Forgotten(ctx, people)
	if err != nil || len(forgotten) == 0 {
		return err
	}
	for i := range ds {
		d := &ds[i]
		named := map[string]bool{}
		kept := d.Events[:0]
		for _, e := range d.Events {
			theirs := false
			for _, who := range []string{e.MatchKey, e.UserID} {
				if forgotten[who] {
					named[who], theirs = true, true
				}
			}
			switch {
			case !theirs:
				kept = append(kept, e)
			case e.Kind == campaign.EventStatus && e.Opaque != "":
				e.ID, e.Recipient, e.UserID, e.MatchKey = "", "", "", ""
				kept = append(kept, e)
			}
		}
		if len(named) == 0 {
			continue
		}
		d.Events = kept
		d.Body, d.Erased = a.Erase(d.Body, slices.Sorted(maps.Keys(named)))
	}
	return nil
}
