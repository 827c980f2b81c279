package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

// sharesChannel is where a node that gives its shares back says so.
const sharesChannel = "campaign_shares"

// Listen calls jobs for each channel that was given jobs, until ctx ends: a
// committed job of high priority is taken milliseconds later. It calls shares for
// each channel of whose rate a node gave its share back. It holds one connection
// and makes a new one where that is lost; lost is told each time, and nothing is
// missed for good, because who listens also looks by himself.
func (s *Store) Listen(ctx context.Context, jobs func(id campaign.ChannelID, high bool), shares func(campaign.ChannelID), lost func(error)) {
	for ctx.Err() == nil {
		if err := s.listen(ctx, jobs, shares); ctx.Err() == nil {
			lost(fmt.Errorf("listen for jobs: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *Store) listen(ctx context.Context, jobs func(campaign.ChannelID, bool), shares func(campaign.ChannelID)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// Not returned to the pool: what listens gets notifications for ever.
	own := conn.Hijack()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = own.Close(closing) // nothing of it is kept
	}()
	if _, err := own.Exec(ctx, `LISTEN "`+queue.NotifyChannel+`"; LISTEN `+sharesChannel); err != nil {
		return err
	}
	for {
		n, err := own.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Channel == sharesChannel {
			if id, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
				shares(campaign.ChannelID(id))
			}
			continue
		}
		var told struct {
			Queue string `json:"queue"`
		}
		if json.Unmarshal([]byte(n.Payload), &told) != nil {
			continue // somebody else's
		}
		if id, ok := queue.ChannelOf(told.Queue); ok {
			jobs(id, told.Queue == queue.Name(id, true))
		}
	}
}
