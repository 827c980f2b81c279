package postgres_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

// stall stops a program, once, where it is about to write something to the
// database: what SIGSTOP does, seen from the server.
type stall struct {
	before  []byte
	once    sync.Once
	reached chan struct{}
	goOn    chan struct{}
}

type stallConn struct {
	net.Conn
	stall *stall
}

func (c *stallConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, c.stall.before) {
		c.stall.once.Do(func() {
			close(c.stall.reached)
			<-c.stall.goOn
		})
	}
	return c.Conn.Write(p)
}

// A node that is stopped between its locks and its commit loses them after a
// while: nobody's pause waits for it, and when it goes on it does the whole anew
// and sees that pause.
func TestStoreStalledClaimLosesItsLocks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	f.fanOut(t)
	s := &stall{before: []byte("p.opted_in, c.nanp"), reached: make(chan struct{}), goOn: make(chan struct{})}
	config := f.pool.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &stallConn{conn, s}, nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	node, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		claimed []campaign.Claimed
		err     error
	}
	done := make(chan result, 1)
	go func() {
		claimed, err := node.Claim(ctx, f.turns())
		done <- result{claimed, err}
	}()
	<-s.reached
	if err := f.Pause(ctx, f.campaign, "lunch"); err != nil { // returns, although the node never goes on
		t.Fatal(err)
	}
	close(s.goOn)
	if r := <-done; r.err != nil || r.claimed[0].OK {
		t.Errorf("%+v, %v", r.claimed, r.err)
	}
	if got := f.counts(t); got["pending"] != 1 {
		t.Errorf("got %v", got)
	}
}
