package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// beatEvery is how often a node says that it runs; three beats missed are
// campaign.NodeLost.
const beatEvery = 5 * time.Second

// heartbeat keeps this node's row, for people who look at "node list". Nothing
// else depends on it: work is divided by shares, claims and River's jobs.
type heartbeat struct {
	store   *postgres.Store
	log     *slog.Logger
	node    campaign.Node
	working func() []campaign.ChannelID
}

func (h *heartbeat) Run(ctx context.Context) error {
	began := time.Now()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		h.node.Channels = h.working()
		if err := h.store.BeatNode(ctx, h.node, time.Since(began)); err != nil && ctx.Err() == nil {
			h.log.Error("cannot tell that this node runs", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := h.store.DropNode(last, h.node.Name); err != nil {
				h.log.Warn("this node will be shown as lost", "error", err)
			}
			return nil
		}
	}
}
