package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/queue"
)

// janitor keeps the books between messages: it starts what is due, ends what is
// over, folds counters and repairs what a crash left.
type janitor struct {
	store    *postgres.Store
	log      *slog.Logger
	guard    *postgres.Guard
	schedule bool // this node starts scheduled campaigns
}

const (
	// booksEvery bounds how late a campaign is completed, swept or started.
	booksEvery = 500 * time.Millisecond
	// repairEvery is design §4.7's.
	repairEvery = 15 * time.Second
	// forgetEvery bounds how long what was kept long enough is kept on.
	forgetEvery = time.Minute
)

func (j *janitor) Run(ctx context.Context) error {
	tick := time.NewTicker(booksEvery)
	defer tick.Stop()
	var repaired, forgot time.Time
	first := true
	for {
		if time.Since(repaired) >= repairEvery {
			repaired = time.Now()
			j.report(ctx, "cannot forget holds", j.store.DropExpiredHolds(ctx))
			j.report(ctx, "cannot remember how far the database was written", j.guard.Witness(ctx, j.store))
			done, err := j.store.Repair(ctx, first)
			j.report(ctx, "cannot repair", err)
			if err == nil {
				first = false
			}
			if done.Unknown+done.Requeued > 0 {
				j.log.Warn("repaired what a crash left", "unknown", done.Unknown, "requeued", done.Requeued)
			}
		}
		if time.Since(forgot) >= forgetEvery {
			forgot = time.Now()
			_, err := j.store.ForgetKeys(ctx)
			j.report(ctx, "cannot forget idempotency keys", err)
		}
		j.books(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (j *janitor) books(ctx context.Context) {
	j.report(ctx, "cannot fold the counters", j.store.FoldCounts(ctx))
	if j.schedule {
		started, err := j.store.StartDue(ctx)
		j.report(ctx, "cannot start scheduled campaigns", err)
		for _, id := range started {
			j.log.Info("campaign started at its time", "campaign_id", id)
		}
	}
	ending, err := j.store.Ending(ctx)
	j.report(ctx, "cannot look for ending campaigns", err)
	for _, id := range ending {
		n, err := j.store.Sweep(ctx, id)
		j.report(ctx, "cannot sweep a campaign", err)
		if n > 0 {
			j.log.Info("ended what waited", "campaign_id", id, "messages", n)
		}
	}
	resent, failed, err := j.store.ResolveDue(ctx)
	j.report(ctx, "cannot decide about unknown messages", err)
	if resent+failed > 0 {
		j.log.Info("decided about unknown messages as on_unknown orders", "resent", resent, "failed", failed)
	}
	completed, err := j.store.Complete(ctx)
	j.report(ctx, "cannot complete campaigns", err)
	for _, id := range completed {
		j.log.Info("campaign completed", "campaign_id", id)
	}
}

func (j *janitor) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		j.log.Error(what, "error", err)
	}
}

// partitionWorker makes message partitions ahead of need, and drops those that
// are older than the retention.
type partitionWorker struct {
	river.WorkerDefaults[queue.Partitions]
	store     *postgres.Store
	log       *slog.Logger
	retention time.Duration
}

func (w *partitionWorker) Work(ctx context.Context, _ *river.Job[queue.Partitions]) error {
	if err := w.store.MakePartitions(ctx, 0); err != nil {
		return err
	}
	if w.retention == 0 {
		return nil
	}
	longest, err := w.store.LongestCap(ctx)
	if err != nil {
		return err
	}
	if longest > w.retention {
		w.log.Warn("the message retention is shorter than the period of a frequency cap: messages are kept while the cap counts them; lengthen --message-retention",
			"retention", w.retention.String(), "cap_period", longest.String())
	}
	dropped, err := w.store.DropPartitions(ctx, time.Now().Add(-w.retention))
	if len(dropped) > 0 {
		w.log.Info("dropped old partitions", "partitions", dropped)
	}
	return err
}
