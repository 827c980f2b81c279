package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
)

// A pooler such as PgBouncer with pool_mode = transaction gives a connection's
// session to somebody else between two transactions. A daemon cannot live with
// that: it listens, and it looks at every new connection before it claims
// anything on it (see Guard), which says nothing where the server behind a
// connection is exchanged. What a program does in transactions works.

// sessionSettings of every connection. A plan that is kept for all parameters is
// made when the tables are empty and outlives the first million rows: the first
// messages of a campaign then left after minutes. Compiling statements costs more
// than it saves here: 200 ms of 320 for a chunk of an import. Behind a pooler
// nothing is set, because the session's next user would have it too.
func sessionSettings(conn *pgx.Conn) string {
	return fmt.Sprintf(`SELECT set_config('plan_cache_mode', 'force_custom_plan', false), set_config('jit', 'off', false)
		 WHERE pg_backend_pid() = %d`, conn.PgConn().PID())
}

// poolerTries are enough where nobody else uses the pool; where others do, the
// session of one connection changes by itself.
const (
	poolerTries   = 10
	poolerTimeout = 5 * time.Second
)

// refusePooler returns ErrInvalid when sessions are shared between connections.
// A connection that leads to its server by itself knows its process there, and
// costs one question.
func refusePooler(ctx context.Context, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	a, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return unreachable(err, config)
	}
	defer a.Close(context.WithoutCancel(ctx)) // nothing was done on it
	first, err := backend(ctx, a)
	if err != nil {
		return unreachable(err, config)
	}
	if first == a.PgConn().PID() {
		return nil
	}
	b, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return unreachable(err, config)
	}
	defer b.Close(context.WithoutCancel(ctx)) // nothing was done on it
	for range poolerTries {
		other, err := backend(ctx, b)
		if err != nil {
			return unreachable(err, config)
		}
		again, err := backend(ctx, a)
		if err != nil {
			return unreachable(err, config)
		}
		if other == first || again != first {
			return campaign.ErrInvalid.With("the database URL leads to a pooler that shares sessions between connections, such as PgBouncer with pool_mode = transaction",
				"campaignd needs sessions of its own: give it the server's own address, or a pool with pool_mode = session; campaignctl and the SQL functions work through the pooler")
		}
	}
	return nil
}

// backend gives the process of the server that answers on a connection, by the
// simple protocol, which every pooler passes on.
func backend(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	results, err := conn.PgConn().Exec(ctx, `SELECT pg_backend_pid()`).ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, fmt.Errorf("ask for the server's process: %d results", len(results))
	}
	pid, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	return uint32(pid), err
}
