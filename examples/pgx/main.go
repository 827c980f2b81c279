// Command pgx is a service that writes an order and enqueues its notice in one
// transaction, with the Go driver pgx and nothing of campaignd's.
//
//	SHOP_DATABASE_URL=postgres://shop:…@host/db go run ./examples/pgx +4915112345678
//
// The login role is a member of campaign_enqueuer and owns schema shop.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: pgx RECIPIENT")
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
	conn, err := pgx.Connect(ctx, os.Getenv("SHOP_DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS shop.orders (id text PRIMARY KEY, total numeric NOT NULL)`); err != nil {
		return fmt.Errorf("create the table of orders: %w", err)
	}

	// The payment fails after all: no order and no message.
	declined := errors.New("the card was declined")
	if err := order(ctx, conn, "pgx-1", recipient, func() error { return declined }); !errors.Is(err, declined) {
		return fmt.Errorf("a declined order: %w", err)
	}
	// Twice, as after a lost answer: one order and one message.
	for range 2 {
		if err := order(ctx, conn, "pgx-2", recipient, func() error { return nil }); err != nil {
			return err
		}
	}

	// Errors name the argument and the remedy.
	err = order(ctx, conn, "pgx-3", "01511 2345678", func() error { return nil })
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "WA005" || refused.ColumnName != "recipient" {
		return fmt.Errorf("a bad number: %w", err)
	}
	fmt.Println("refused:", refused.Message, "-", refused.Hint)

	// What became of it? The same key gives the message's id again.
	id, err := enqueue(ctx, conn, "pgx-2", recipient)
	if err != nil {
		return err
	}
	for {
		var state, reason, code string
		if err := conn.QueryRow(ctx, `SELECT state, reason, error_code FROM campaign.message_status($1)`, id).Scan(&state, &reason, &code); err != nil {
			return fmt.Errorf("ask for the status: %w", err)
		}
		switch state {
		case "sent", "delivered", "read":
			fmt.Println("message", id, "is", state)
			return nil
		case "failed", "skipped", "cancelled", "unknown":
			return fmt.Errorf("message %d is %s %s %s", id, state, reason, code)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("message %d is still %s", id, state)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// order stores an order and enqueues its notice; pay is the last thing that may
// go wrong.
func order(ctx context.Context, conn *pgx.Conn, id, recipient string, pay func() error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO shop.orders VALUES ($1, 12.50) ON CONFLICT DO NOTHING`, id); err != nil {
			return fmt.Errorf("store order %s: %w", id, err)
		}
		if _, err := enqueue(ctx, tx, id, recipient); err != nil {
			return err
		}
		return pay()
	})
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func enqueue(ctx context.Context, q querier, order, recipient string) (int64, error) {
	var id int64
	err := q.QueryRow(ctx, `SELECT campaign.enqueue(channel => 'sales', template => 'order_update', language => 'en_US',
		recipient => $1, parameters => $2, idempotency_key => $3)`,
		recipient, map[string]string{"body.1": order, "body.2": "Tuesday"}, order+"-shipped").Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("enqueue the notice of order %s: %w", order, err)
	}
	return id, nil
}
