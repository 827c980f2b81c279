package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
)

// ListenJobs calls wake for each channel that was given jobs, until ctx ends: a
// committed job of high priority is taken milliseconds later. It holds one
// connection and makes a new one where that is lost; lost is told each time, and
// nothing is missed for good, because workers also look by themselves.
func (s *Store) ListenJobs(ctx context.Context, wake func(id campaign.ChannelID, high bool), lost func(error)) {
	for ctx.Err() == nil {
		if err := s.listenJobs(ctx, wake); ctx.Err() == nil {
			lost(fmt.Errorf("listen for jobs: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *Store) listenJobs(ctx context.Context, wake func(campaign.ChannelID, bool)) error {
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
	if _, err := own.Exec(ctx, `LISTEN "`+queue.NotifyChannel+`"`); err != nil {
		return err
	}
	for {
		n, err := own.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var told struct {
			Queue string `json:"queue"`
		}
		if json.Unmarshal([]byte(n.Payload), &told) != nil {
			continue // somebody else's
		}
		if id, ok := queue.ChannelOf(told.Queue); ok {
			wake(id, told.Queue == queue.Name(id, true))
		}
	}
}
