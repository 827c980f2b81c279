package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/queue"
	"github.com/campaignd/campaignd/internal/sender"
)

// noopConfig is River with our jobs and nothing to do.
type noopConfig struct {
	URL         string             `json:"url"`
	Connections int                `json:"connections"`
	Workers     int                `json:"workers"`
	Channel     campaign.ChannelID `json:"channel"`
	Jobs        int64              `json:"jobs"` // that the channel's campaign has
}

// noopDone is what it took, from the first fan-out to the last completion.
type noopDone struct {
	Elapsed time.Duration `json:"elapsed"`
}

type noopWorker struct {
	river.WorkerDefaults[queue.Send]
	done *atomic.Int64
}

func (w *noopWorker) Work(context.Context, *river.Job[queue.Send]) error {
	w.done.Add(1)
	return nil
}

// The window, slice and tick of package sender's fan-out on a channel without a limit.
const (
	fanOutWindow = 20_000
	fanOutSlice  = 5_000
	fanOutTick   = 200 * time.Millisecond
)

// runNoop is the ceiling of everything that is a River job: the same fan-out, in
// the same window, the same queues and indexes, and a worker that returns.
func runNoop(ctx context.Context, c noopConfig, say func(any) error, stderr io.Writer) error {
	pool, err := postgres.Connect(ctx, c.URL, postgres.Options{MaxConns: int32(c.Connections), Name: "campaignctl bench"}) //nolint:gosec // a few dozen
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := postgres.Open(ctx, pool)
	if err != nil {
		return err
	}
	var done atomic.Int64
	workers := river.NewWorkers()
	river.AddWorker(workers, &noopWorker{done: &done})
	client, err := queue.Worker(pool, queue.Config{ID: "noop", Workers: workers,
		Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return fmt.Errorf("prepare the queue: %w", err)
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	defer func() { _ = client.Stop(context.WithoutCancel(ctx)) }()
	if c.Workers == 0 {
		c.Workers = sender.DefaultMaxWorkers
	}
	// As often as River can be asked: jobs are taken in hundreds.
	err = client.Queues().Add(queue.Name(c.Channel, false),
		river.QueueConfig{MaxWorkers: c.Workers, FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond})
	if err != nil {
		return fmt.Errorf("work the queue: %w", err)
	}
	if err := say(struct{}{}); err != nil {
		return err
	}
	started := time.Now()
	for queued := int64(0); queued < c.Jobs; {
		// Nobody lowers the counter of queued messages here: the window moves instead.
		n, err := store.FanOut(ctx, c.Channel, int(done.Load())+fanOutWindow, fanOutSlice)
		if err != nil {
			return err
		}
		queued += int64(n)
		if n < fanOutSlice {
			time.Sleep(fanOutTick)
		}
	}
	for left := int64(1); left > 0; {
		if done.Load() < c.Jobs {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if left, err = store.JobsLeft(ctx, c.Channel); err != nil {
			return err
		}
	}
	if err := say(noopDone{time.Since(started)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
