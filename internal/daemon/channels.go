package daemon

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/dialog360"
	"github.com/campaignd/campaignd/internal/secret"
	"github.com/campaignd/campaignd/internal/sender"
)

// connect makes the provider of a channel: the one place where its key is read.
func connect(maxWorkers int) func(campaign.Channel) (sender.Provider, error) {
	if maxWorkers == 0 {
		maxWorkers = sender.DefaultMaxWorkers
	}
	return func(c campaign.Channel) (sender.Provider, error) {
		client, err := newClient(c, maxWorkers)
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// fingerprint tells one key of a channel from the next; it is never stored.
func fingerprint(c campaign.Channel) string {
	key, _, err := secret.Resolve("the key", c.KeyRef)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}

func newClient(c campaign.Channel, connections int) (*dialog360.Client, error) {
	key, _, err := secret.Resolve(fmt.Sprintf("the key of channel %q", c.Name), c.KeyRef)
	if err != nil {
		return nil, err
	}
	return dialog360.New(dialog360.Config{BaseURL: c.BaseURL, Key: key, Dialect: c.Dialect, Connections: connections})
}

// directory knows the channels' webhook secrets, for the handler.
type directory struct {
	list func(context.Context) ([]campaign.Channel, error)
	log  *slog.Logger

	mu     sync.RWMutex
	byName map[string]entry
}

type entry struct {
	id     campaign.ChannelID
	secret string
}

// directoryEvery is how soon an added channel's webhooks are taken (design §10:
// within 2 s).
const directoryEvery = time.Second

func (d *directory) Run(ctx context.Context) error {
	tick := time.NewTicker(directoryEvery)
	defer tick.Stop()
	for {
		if err := d.refresh(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("cannot read the channels", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *directory) refresh(ctx context.Context) error {
	channels, err := d.list(ctx)
	if err != nil {
		return err
	}
	next := make(map[string]entry, len(channels))
	for _, c := range channels {
		// A secret that cannot be resolved stays empty; the handler says so when a
		// webhook comes.
		key, _, _ := secret.Resolve(fmt.Sprintf("the webhook secret of channel %q", c.Name), c.WebhookSecretRef)
		next[c.Name] = entry{c.ID, key}
	}
	d.mu.Lock()
	d.byName = next
	d.mu.Unlock()
	return nil
}

// known says whether a channel has that name.
func (d *directory) known(name string) bool {
	_, _, ok := d.lookup(name)
	return ok
}

func (d *directory) lookup(name string) (campaign.ChannelID, string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.byName[name]
	return e.id, e.secret, ok
}
