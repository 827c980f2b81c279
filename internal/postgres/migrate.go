package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/queue"
	"github.com/campaignd/campaignd/migrations"
)

// Migration is one step of the schema.
type Migration struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	sql     string
}

// String names the step.
func (m Migration) String() string {
	if m.Version == 0 {
		return "River's tables"
	}
	return fmt.Sprintf("migration %04d_%s", m.Version, m.Name)
}

// Version is the newest migration this program knows; an older schema is
// refused, a newer one works (migrations work with the code before them).
func Version() int {
	all := known()
	return all[len(all)-1].Version
}

func known() []Migration {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	all := make([]Migration, 0, len(names))
	for _, name := range names {
		sql, err := migrations.Files.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		number, title, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			panic("migrations: " + name + " does not begin with a number")
		}
		all = append(all, Migration{Version: version, Name: title, sql: string(sql)})
	}
	return all
}

// migrateLock is the advisory lock of migrations; the number is arbitrary.
const migrateLock = 7_402_201

// Migrate brings schema campaign and River's to this program's version, each
// step in a transaction of its own, and returns what it did. Two at once wait
// for each other. With dryRun it only says what it would do.
func Migrate(ctx context.Context, pool *pgxpool.Pool, dryRun bool) ([]Migration, error) {
	if !dryRun {
		lock, err := lockMigrations(ctx, pool)
		if err != nil {
			return nil, fmt.Errorf("wait for another migration: %w", err)
		}
		defer lock.Rollback(context.WithoutCancel(ctx)) // it only unlocks
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Release()

	if dryRun {
		return pending(ctx, conn.Conn())
	}
	if _, err := conn.Exec(ctx, `
		CREATE SCHEMA IF NOT EXISTS `+queue.Schema+`;
		CREATE SCHEMA IF NOT EXISTS campaign;
		CREATE TABLE IF NOT EXISTS campaign.migrations (
			version    integer PRIMARY KEY,
			name       text NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return nil, fmt.Errorf("create the schemas: %w", translate(err))
	}
	todo, err := pending(ctx, conn.Conn())
	if err != nil {
		return nil, err
	}
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: queue.Schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("prepare River's migrations: %w", err)
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("run River's migrations: %w", err)
	}
	for _, m := range todo {
		if m.Version == 0 {
			continue // River's, done above
		}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, m.sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO campaign.migrations (version, name) VALUES ($1, $2)`, m.Version, m.Name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("migration %04d_%s: %w", m.Version, m.Name, translate(err))
		}
	}
	if err := makePartitions(ctx, conn.Conn(), 0); err != nil {
		return nil, err
	}
	return todo, nil
}

// lockMigrations waits until nobody else migrates. The lock is a transaction's and
// not a session's: that goes through a pooler. Whoever waits holds no connection,
// which the one who migrates may need.
func lockMigrations(ctx context.Context, pool *pgxpool.Pool) (pgx.Tx, error) {
	for {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return nil, err
		}
		var locked bool
		err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1) FROM set_config('idle_in_transaction_session_timeout', '0', true)`, int64(migrateLock)).Scan(&locked)
		if locked && err == nil {
			return tx, nil
		}
		_ = tx.Rollback(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pending lists what Migrate would do. Version 0 stands for River's own.
func pending(ctx context.Context, conn *pgx.Conn) ([]Migration, error) {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('campaign.migrations') IS NOT NULL`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for the schema: %w", translate(err))
	}
	done := map[int]bool{}
	if exists {
		rows, err := conn.Query(ctx, `SELECT version FROM campaign.migrations`)
		if err != nil {
			return nil, fmt.Errorf("read the schema's version: %w", translate(err))
		}
		versions, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			return nil, fmt.Errorf("read the schema's version: %w", translate(err))
		}
		for _, v := range versions {
			done[v] = true
		}
	}
	var todo []Migration
	var river bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, queue.Schema+".river_job").Scan(&river); err != nil {
		return nil, fmt.Errorf("look for River's schema: %w", translate(err))
	}
	if !river {
		todo = append(todo, Migration{Name: "river"})
	}
	for _, m := range known() {
		if !done[m.Version] {
			todo = append(todo, m)
		}
	}
	return todo, nil
}

// SchemaVersion gives the newest migration that a database has had, 0 before the
// first: a newer program may have brought it further than this one knows.
func SchemaVersion(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('campaign.migrations') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return 0, wrap("look for the schema", err)
	}
	version := 0
	err := pool.QueryRow(ctx, `SELECT COALESCE(max(version), 0) FROM campaign.migrations`).Scan(&version)
	return version, wrap("read the schema's version", err)
}

// wrap says what was being done when an error came, if one came.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, translate(err))
}

// checkSchema returns ErrSchema when the database is not migrated far enough.
func checkSchema(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	todo, err := pending(ctx, conn.Conn())
	if err != nil {
		return err
	}
	if len(todo) > 0 {
		lacks := todo[0].String()
		if more := len(todo) - 1; more > 0 {
			lacks = fmt.Sprintf("%d migrations, the first is %s", len(todo), lacks)
		}
		return campaign.ErrSchema.With("the database schema lacks "+lacks, "run: campaignctl migrate")
	}
	return nil
}
