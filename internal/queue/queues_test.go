package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/queue"
)

type working struct {
	river.WorkerDefaults[queue.Send]
	done chan struct{}
}

func (w *working) Work(context.Context, *river.Job[queue.Send]) error {
	w.done <- struct{}{}
	return nil
}

// A connection that is lost while a queue is added must not leave it unworked and
// reported as worked.
func TestQueueWhoseStartLostItsConnectionIsAnError(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	// The second connection that Add asks for is River's; it dies in its hands.
	var adding, asked atomic.Int32
	config.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		if adding.Load() == 1 && asked.Add(1) == 2 {
			_ = conn.Close(ctx)
		}
		return true, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	worker := &working{done: make(chan struct{}, 1)}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := queue.Worker(pool, queue.Config{ID: t.Name(), Logger: slog.New(slog.DiscardHandler), Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Stop(context.Background()) })

	q, name := queue.QueuesOf(client), queue.Name(1, false)
	refused := false
	for range 50 { // the client's own work may be the second to ask
		adding.Store(1)
		err := q.Add(name, river.QueueConfig{MaxWorkers: 1, FetchPollInterval: 100 * time.Millisecond})
		adding.Store(0)
		asked.Store(0)
		refused = err != nil
		if refused {
			break
		}
		if err := q.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("a queue that did not start was reported as started")
	}

	var unknown *river.QueueNotFoundError
	if err := q.Remove(t.Context(), name); err != nil && !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if err := q.Add(name, river.QueueConfig{MaxWorkers: 1, FetchPollInterval: 100 * time.Millisecond}); err != nil {
		t.Fatalf("added again: %v", err)
	}
	if _, err := client.Insert(t.Context(), queue.Send{Message: 1}, &river.InsertOpts{Queue: name}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-worker.done:
	case <-time.After(30 * time.Second):
		t.Error("the queue is not worked")
	}
}
