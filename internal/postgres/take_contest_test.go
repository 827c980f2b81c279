package postgres_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/postgres"
)

func TestStoreTakePassesOverLockedJobs(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	ctx := t.Context()
	var ids []campaign.MessageID
	for range 4 {
		ids = append(ids, f.queueOne(t, f.source(), normal))
	}
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	tag, err := tx.Exec(ctx, `SELECT FROM river.river_job WHERE (args->>'message')::bigint IN ($1, $2) FOR UPDATE`, ids[0], ids[1])
	if err != nil || tag.RowsAffected() != 2 {
		t.Fatalf("%d jobs are locked, %v", tag.RowsAffected(), err)
	}
	wantIDs(t, "while two are locked", mustTake(t, f.Store, wantsMany(f.channel, 3)), ids[2], ids[3], 0)
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "afterwards", mustTake(t, f.Store, wantsMany(f.channel, 3)), ids[0], ids[1], 0)
}

// Two nodes take at once: what the first holds between its locks and its commit,
// the second neither has nor waits for.
func TestStoreTakesAtOnceShareNoMessage(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	ctx := t.Context()
	var ids []campaign.MessageID
	for range 4 {
		ids = append(ids, f.queueOne(t, f.source(), normal))
	}
	s := &stall{before: []byte("p.opted_in, c.nanp"), reached: make(chan struct{}), goOn: make(chan struct{})}
	node := f.node(t, func(conn net.Conn) net.Conn { return &stallConn{conn, s} })
	wants := wantsMany(f.channel, 2)
	type result struct {
		taken []campaign.Taken
		err   error
	}
	done := make(chan result, 1)
	go func() {
		taken, err := node.Take(ctx, wants)
		done <- result{taken, err}
	}()
	<-s.reached
	other := mustTake(t, f.Store, wantsMany(f.channel, 4))
	close(s.goOn)
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	wantIDs(t, "the first node", claimedOf(t, wants, r.taken), ids[0], ids[1])
	wantIDs(t, "the second node", other, ids[2], ids[3], 0, 0)
}

func TestStoreManyTakersClaimEachMessageOnce(t *testing.T) {
	t.Parallel()
	const messages, takers = 120, 6
	f := newFixture(t, messages)
	f.fanOut(t)
	var mu sync.Mutex
	times := map[campaign.MessageID]int{}
	var group sync.WaitGroup
	for range takers {
		group.Go(func() {
			for range messages {
				taken, err := f.Take(t.Context(), wantsMany(f.channel, 5))
				if err != nil {
					t.Error(err)
					return
				}
				if taken[0].Message == 0 {
					return // what is left is another's
				}
				mu.Lock()
				for _, k := range taken {
					if k.OK {
						times[k.Message]++
					}
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for id, n := range times {
		if n != 1 {
			t.Errorf("message %d was claimed %d times", id, n)
		}
	}
	if got := f.counts(t); len(times) != messages || got["sending"] != messages || len(f.jobs(t)) != 0 {
		t.Errorf("%d messages were claimed, %v, jobs %d", len(times), got, f.jobs(t))
	}
}

// cut ends a connection at its commit, once: before it was sent or when its reply
// comes.
type cut struct {
	reply bool
	then  func()      // what others do before the node comes back
	armed atomic.Bool // set when the node is ready, unset by the cut
}

type cutConn struct {
	net.Conn
	cut *cut
}

func (c *cutConn) Write(p []byte) (int, error) {
	if !c.cut.reply && bytes.Contains(p, []byte("COMMIT")) && c.end() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.cut.reply && bytes.Contains(p[:n], []byte("COMMIT\x00")) && c.end() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *cutConn) end() bool {
	if !c.cut.armed.CompareAndSwap(true, false) {
		return false
	}
	c.Conn.Close()
	c.cut.then()
	return true
}

// node opens the store anew, with connections of its own.
func (f *fixture) node(t *testing.T, wrap func(net.Conn) net.Conn) *postgres.Store {
	t.Helper()
	config := f.pool.Config()
	config.MinConns, config.MaxConns = 0, 1
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	store, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// A connection that ends at the commit leaves the node in the dark about it. It
// asks again for the same messages with the same claims: either way they are its
// own once, and no other job is touched.
func TestStoreTakeThatLostItsCommitIsRepeated(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]bool{"TheCommitWasLost": false, "ItsReplyWasLost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newEmpty(t)
			var ids []campaign.MessageID
			for range 5 {
				ids = append(ids, f.queueOne(t, f.source(), normal))
			}
			c := &cut{reply: reply, then: func() {}}
			node := f.node(t, func(conn net.Conn) net.Conn { return &cutConn{conn, c} })
			c.armed.Store(true)
			wants := wantsMany(f.channel, 2)
			wantIDs(t, "taken", mustTake(t, node, wants), ids[0], ids[1])
			if c.armed.Load() {
				t.Fatal("the connection was not cut")
			}
			wantIDs(t, "jobs", f.jobs(t), ids[2:]...)
			if got := f.counts(t); got["sending"] != 2 || got["queued"] != 3 {
				t.Errorf("got %v", got)
			}
			var claimed, noted int
			err := f.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM campaign.messages WHERE claim_id IN ($1, $2)), (SELECT count(*) FROM campaign.claims)`,
				[16]byte(wants[0].Claim), [16]byte(wants[1].Claim)).Scan(&claimed, &noted)
			if err != nil || claimed != 2 || noted != 1 {
				t.Errorf("%d rows have these claims, %d batches are noted, %v", claimed, noted, err)
			}
			wantIDs(t, "the others", mustTake(t, node, wantsMany(f.channel, 4)), ids[2], ids[3], ids[4], 0)
		})
	}
}

// While the node that lost its commit is away, another takes the messages: they
// are that one's alone.
func TestStoreTakeThatLostItsCommitLosesToAnother(t *testing.T) {
	t.Parallel()
	f := newEmpty(t)
	var ids []campaign.MessageID
	for range 2 {
		ids = append(ids, f.queueOne(t, f.source(), normal))
	}
	var other []campaign.MessageID
	c := &cut{then: func() {
		for range 1000 { // until the server has noticed
			for _, id := range mustTake(t, f.Store, wantsMany(f.channel, 2)) {
				if id != 0 {
					other = append(other, id)
				}
			}
			if len(other) == len(ids) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}}
	node := f.node(t, func(conn net.Conn) net.Conn { return &cutConn{conn, c} })
	c.armed.Store(true)
	taken, err := node.Take(t.Context(), wantsMany(f.channel, 2))
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "the other node", other, ids...)
	for i, k := range taken {
		if k.OK || k.Again || k.Err != nil {
			t.Errorf("want %d: %+v", i, k)
		}
	}
	if got := f.counts(t); got["sending"] != 2 || len(f.jobs(t)) != 0 {
		t.Errorf("got %v, jobs %d", got, f.jobs(t))
	}
}
