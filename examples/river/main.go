// Command river is a service that uses River already and asks for its messages by
// jobs, with an insert-only client, in the transaction of its order.
//
//	SHOP_DATABASE_URL=postgres://shop_river:…@host/db go run ./examples/river +4915112345678
//
// The login role is a member of campaign_river_enqueuer and owns schema
// shop_river. It can insert jobs of kind enqueue_message into queue enqueue, see
// its own, and nothing else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// EnqueueMessage is the job's contract: the arguments of campaign.enqueue.
type EnqueueMessage struct {
	Channel        string         `json:"channel"`
	Template       string         `json:"template"`
	Language       string         `json:"language"`
	Recipient      string         `json:"recipient"`
	Parameters     map[string]any `json:"parameters,omitempty"`
	IdempotencyKey string         `json:"idempotency_key"`
	SendAfter      *time.Time     `json:"send_after,omitempty"`
	Priority       string         `json:"priority,omitempty"`
	ExpiresAt      *time.Time     `json:"expires_at,omitempty"`
}

// Kind and InsertOpts are the contract too.
func (EnqueueMessage) Kind() string { return "enqueue_message" }

// InsertOpts chooses the queue that campaignd works.
func (EnqueueMessage) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: "enqueue"} }

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: river RECIPIENT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Print(err)
		cancel()
		os.Exit(1) //nolint:gocritic // cancelled above
	}
}

func run(ctx context.Context, recipient string) error {
	pool, err := pgxpool.New(ctx, os.Getenv("SHOP_DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("open the pool: %w", err)
	}
	defer pool.Close()
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: "river"})
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS shop_river.orders (id text PRIMARY KEY, total numeric NOT NULL)`); err != nil {
		return fmt.Errorf("create the table of orders: %w", err)
	}

	// The payment fails after all: no order and no message.
	declined := errors.New("the card was declined")
	if _, err := order(ctx, pool, client, "river-1", recipient, declined); !errors.Is(err, declined) {
		return fmt.Errorf("a declined order: %w", err)
	}
	job, err := order(ctx, pool, client, "river-2", recipient, nil)
	if err != nil {
		return err
	}
	done, err := wait(ctx, client, job)
	if err != nil {
		return err
	}
	var output struct {
		MessageID int64 `json:"message_id"`
	}
	if err := json.Unmarshal(done.Output(), &output); err != nil || done.State != rivertype.JobStateCompleted {
		return fmt.Errorf("job %d is %s: %v %w", job, done.State, done.Errors, err)
	}
	fmt.Println("job", job, "is", done.State, "and enqueued message", output.MessageID)

	// Bad arguments cancel the job; its error names them.
	if job, err = order(ctx, pool, client, "river-3", "12", nil); err != nil {
		return err
	}
	if done, err = wait(ctx, client, job); err != nil {
		return err
	}
	if done.State != rivertype.JobStateCancelled || len(done.Errors) == 0 {
		return fmt.Errorf("a bad job is %s", done.State)
	}
	fmt.Println("refused:", done.Errors[0].Error)
	return nil
}

// order stores an order and the job that asks for its notice.
func order(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], id, recipient string, pay error) (job int64, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO shop_river.orders VALUES ($1, 12.50) ON CONFLICT DO NOTHING`, id); err != nil {
			return fmt.Errorf("store order %s: %w", id, err)
		}
		inserted, err := client.InsertTx(ctx, tx, EnqueueMessage{
			Channel: "sales", Template: "order_update", Language: "en_US", Recipient: recipient,
			Parameters: map[string]any{"body.1": id, "body.2": "Thursday"}, IdempotencyKey: id + "-shipped",
		}, nil)
		if err != nil {
			return fmt.Errorf("ask for the notice of order %s: %w", id, err)
		}
		job = inserted.Job.ID
		return pay
	})
	return job, err
}

// wait asks for a job until it is over.
func wait(ctx context.Context, client *river.Client[pgx.Tx], id int64) (*rivertype.JobRow, error) {
	for {
		job, err := client.JobGet(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look at job %d: %w", id, err)
		}
		if job.FinalizedAt != nil {
			return job, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("job %d is still %s", id, job.State)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
