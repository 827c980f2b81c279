package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// empty gives a pool on a database without any schema of ours.
func empty(t *testing.T) *pgxpool.Pool {
	t.Helper()
	admin := pgtest.DB(t)
	name := fmt.Sprintf("empty_%d", time.Now().UnixNano())
	if _, err := admin.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(admin.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/" + name
	pool, err := postgres.Connect(t.Context(), at.String(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		if _, err := admin.Exec(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	return pool
}

func TestMigrateByTwoAtOnce(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	ctx := t.Context()
	if _, err := postgres.Open(ctx, pool); err == nil {
		t.Fatal("a database without a schema was opened")
	}
	planned, err := postgres.Migrate(ctx, pool, true)
	if err != nil || len(planned) != postgres.Version()+1 {
		t.Fatalf("a dry run plans %d steps, %v", len(planned), err)
	}
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('campaign.messages') IS NOT NULL`).Scan(&exists); err != nil || exists {
		t.Fatalf("the dry run did something, %v", err)
	}
	var wg sync.WaitGroup
	done := make([]int, 4)
	for i := range done {
		wg.Add(1)
		go func() {
			defer wg.Done()
			steps, err := postgres.Migrate(ctx, pool, false)
			if err != nil {
				t.Error(err)
			}
			done[i] = len(steps)
		}()
	}
	wg.Wait()
	slices.Sort(done)
	if !slices.Equal(done, []int{0, 0, 0, len(planned)}) {
		t.Errorf("four at once did %v steps", done)
	}
	if _, err := postgres.Open(ctx, pool); err != nil {
		t.Error(err)
	}
	var gin int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_indexes WHERE schemaname = 'river' AND indexdef LIKE '%USING gin%'`).Scan(&gin); err != nil || gin != 0 {
		t.Errorf("River has %d GIN indexes, %v", gin, err)
	}
}

func TestPartitionsAreMadeAheadAndDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ctx := t.Context()
	names := func() []string {
		rows, err := f.pool.Query(ctx, `SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		                                 WHERE i.inhparent = 'campaign.messages'::regclass ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := names()
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f.MakePartitions(ctx, 100_000_000); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if after := names(); len(after) != len(before)+4 {
		t.Errorf("%v became %v", before, after)
	}
	// A third of a billion ids later, the first partition holds only an old campaign.
	f.exec(t, `SELECT setval('campaign.message_ids', 330000000)`)
	if err := f.MakePartitions(ctx, 0); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO campaign.messages (channel_id, template_id, phone, state, reason) VALUES ($1, 1, '+1', 'skipped', 'expired')`, f.channel)
	old := time.Now().Add(time.Hour)
	if dropped, err := f.DropPartitions(ctx, old); err != nil || slices.Contains(dropped, "messages_00000") {
		t.Fatalf("with an open campaign: %v, %v", dropped, err)
	}
	f.exec(t, `UPDATE campaign.campaigns SET state = $1`, campaign.Completed)
	if dropped, err := f.DropPartitions(ctx, time.Now().Add(-time.Hour)); err != nil || slices.Contains(dropped, "messages_00000") {
		t.Fatalf("of this hour: %v, %v", dropped, err)
	}
	// What a cap still counts is kept, however short the retention.
	f.exec(t, `UPDATE campaign.messages SET claimed_at = now() - interval '2 hours' WHERE id = (SELECT min(id) FROM campaign.messages)`)
	f.setCap(t, 1, 3*time.Hour, campaign.CapSkip)
	if dropped, err := f.DropPartitions(ctx, old); err != nil || slices.Contains(dropped, "messages_00000") {
		t.Fatalf("which a cap counts: %v, %v", dropped, err)
	}
	f.setCap(t, 1, time.Hour, campaign.CapSkip)
	dropped, err := f.DropPartitions(ctx, old)
	if err != nil || !slices.Contains(dropped, "messages_00000") {
		t.Fatalf("%v, %v", dropped, err)
	}
	var left int
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM campaign.messages`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d messages left, %v", left, err)
	}
}
