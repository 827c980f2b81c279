// Package pgtest gives a test a migrated PostgreSQL database. It must not know
// what the tables mean: it calls the migrations and clones the result.
//
// The server is the one of CAMPAIGN_TEST_DATABASE_URL when that is set, else a
// container where a Docker engine answers, else server binaries found on the
// machine. With none of them tests fail and say what to do; they never skip.
//
//	CAMPAIGN_TEST_DATABASE_URL   a server for the tests; its role needs CREATEDB and CREATEROLE
//	CAMPAIGN_TEST_CONTAINERS     "require": containers or nothing; "never": no containers
//	POSTGRES_IMAGE               the container image
//
// All test processes share one server, and a database that was migrated once is
// cloned for each test. A server that this package started runs without fsync
// and goes away when nobody has used it for a minute.
package pgtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// poolSize is the ceiling of connections per database: several tests run at a
// time, in several processes, and a given server may allow 100 in all.
const poolSize = 10

// cleanupTimeout bounds what is done after a test.
const cleanupTimeout = 30 * time.Second

// DB returns a pool on a migrated database of the test's own. When the test
// ends, the pool is closed and the database dropped; a connection that is still
// held then fails the test.
func DB(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := newPool(context.Background(), URL(t))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(cleanupTimeout):
			t.Errorf("pgtest: %d connections were not given back to the pool", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// URL returns the connection string of a migrated database of the test's own,
// for programs that connect by themselves. It is dropped when the test ends,
// whoever is connected to it.
func URL(t testing.TB) string {
	t.Helper()
	s := theServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	name, err := s.clone(ctx)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s.urlOf(name)
}

// Tx returns a transaction that is rolled back when the test ends, on a migrated
// database that all tests of the process share. It is the cheapest way to a
// database; two tests that insert the same unique key wait for each other.
func Tx(t testing.TB) pgx.Tx {
	t.Helper()
	pool, err := theServer(t).shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatalf("pgtest: begin: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("pgtest: roll back: %v", err)
		}
	})
	return tx
}

func newPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = poolSize
	return pgxpool.NewWithConfig(ctx, config)
}
