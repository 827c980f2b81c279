package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/queue"
)

// enqueueAgain is when a job is tried again that failed for a reason of ours.
const enqueueAgain = 5 * time.Second

// enqueueWorker enqueues the messages that services ask for by jobs. Running
// twice gives the same message, by its idempotency key.
type enqueueWorker struct {
	river.WorkerDefaults[queue.EnqueueMessage]
	store *postgres.Store
	log   *slog.Logger
}

// Work notes the message's id as the job's output. Arguments that can never be
// right cancel the job, whose error says what is wrong with which of them;
// anything else is tried again without an end, and spends no attempt.
func (w *enqueueWorker) Work(ctx context.Context, job *river.Job[queue.EnqueueMessage]) error {
	id, err := w.store.EnqueueJob(ctx, job.ID)
	var known *campaign.Error
	switch {
	case errors.Is(err, campaign.ErrInvalid) && errors.As(err, &known):
		return river.JobCancel(fmt.Errorf("%s; hint: %s", known.Message, known.Hint))
	case err != nil:
		w.log.Error("cannot enqueue the message of a job", "job_id", job.ID, "error", err)
		return river.JobSnooze(enqueueAgain)
	}
	return river.RecordOutput(ctx, map[string]campaign.MessageID{"message_id": id})
}
