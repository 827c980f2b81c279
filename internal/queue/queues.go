package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Queues adds queues to a client that runs, and removes them.
//
// River's own Add takes a connection that was closed just then for its client's
// shutdown: it reports success, and nobody works the queue until the process
// ends. A database that restarts while a channel is taken up is enough for that.
type Queues struct {
	client *river.Client[pgx.Tx]
}

// QueuesOf gives the queues of a client.
func QueuesOf(client *river.Client[pgx.Tx]) *Queues { return &Queues{client} }

// addTimeout bounds the look at a queue before and after it is added.
const addTimeout = 10 * time.Second

// Add begins to work a queue. The client must have been started. After an error
// the queue may be known to the client without being worked: Remove it and add it
// again.
func (q *Queues) Add(name string, config river.QueueConfig) error {
	before, err := q.startedAt(name)
	if err != nil {
		return err
	}
	if err := q.client.Queues().Add(name, config); err != nil {
		return err
	}
	// A start writes the queue's row, so an unchanged row is a start that failed.
	after, err := q.startedAt(name)
	if err != nil {
		return err
	}
	if !after.After(before) {
		return fmt.Errorf("queue %s did not start: the database connection was lost", name)
	}
	return nil
}

// startedAt is when somebody last began to work a queue, or reported that he does;
// zero when nobody ever did.
func (q *Queues) startedAt(name string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), addTimeout)
	defer cancel()
	row, err := q.client.QueueGet(ctx, name)
	if errors.Is(err, rivertype.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at queue %s: %w", name, err)
	}
	return row.UpdatedAt, nil
}

// Remove ends the work on a queue and waits for its jobs, until ctx ends.
func (q *Queues) Remove(ctx context.Context, name string) error {
	return q.client.Queues().Remove(ctx, name)
}
