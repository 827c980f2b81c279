package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

// audienceStore gives a store on a database of the test's own.
func audienceStore(t testing.TB) (*postgres.Store, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.DB(t)
	store, err := postgres.Open(context.Background(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return store, pool
}

func contactRow(n int, attributes map[string]string) campaign.ContactRow {
	phone := fmt.Sprintf("+4915%08d", n)
	yes := true
	return campaign.ContactRow{Number: int64(n + 2), Phone: phone, MatchKey: phone, Country: "DE", Attributes: attributes, OptIn: &yes}
}

func rowsOf(rows ...campaign.ContactRow) iter.Seq2[campaign.ContactRow, error] {
	return func(yield func(campaign.ContactRow, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func manyRows(n int) iter.Seq2[campaign.ContactRow, error] {
	return func(yield func(campaign.ContactRow, error) bool) {
		for i := range n {
			if !yield(contactRow(i, map[string]string{"first_name": fmt.Sprintf("Name %d", i), "voucher": fmt.Sprintf("V%06d", i)}), nil) {
				return
			}
		}
	}
}

func mustImport(t testing.TB, store *postgres.Store, o postgres.ImportOptions, rows iter.Seq2[campaign.ContactRow, error]) campaign.ImportResult {
	t.Helper()
	result, err := store.ImportContacts(context.Background(), o, rows)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// versions gives the physical versions of all rows that an import may write.
func versions(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var v string
	err := pool.QueryRow(t.Context(), `
		SELECT md5(string_agg(v, ',' ORDER BY v)) FROM (
			SELECT 'c' || id || ' ' || xmin || ' ' || xmax || ' ' || ctid || ' ' || updated_at AS v FROM campaign.contacts
			UNION ALL SELECT 'm' || contact_id || ' ' || xmin || ' ' || ctid FROM campaign.list_members
			UNION ALL SELECT 'l' || id || ' ' || xmin || ' ' || ctid FROM campaign.lists) AS all_rows`).Scan(&v)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestImportingTheSameRowsTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	store, pool := audienceStore(t)
	yes := true
	rows := func() iter.Seq2[campaign.ContactRow, error] {
		return func(yield func(campaign.ContactRow, error) bool) {
			for row := range manyRows(25_000) { // more than two chunks
				row.OptIn, row.Language, row.TimeZone = &yes, "de", "Europe/Berlin"
				if !yield(row, nil) {
					return
				}
			}
		}
	}
	o := postgres.ImportOptions{List: "vips", Columns: []string{"first_name", "voucher", "never_filled"}}
	first := mustImport(t, store, o, rows())
	if want := (campaign.ImportResult{Rows: 25_000, Created: 25_000}); first != want {
		t.Fatalf("first import: %+v, want %+v", first, want)
	}
	before := versions(t, pool)
	second := mustImport(t, store, o, rows())
	if want := (campaign.ImportResult{Rows: 25_000, Unchanged: 25_000}); second != want {
		t.Errorf("second import: %+v, want %+v", second, want)
	}
	if versions(t, pool) != before {
		t.Error("the second import wrote rows")
	}
	list, err := store.List(t.Context(), "vips")
	if err != nil {
		t.Fatal(err)
	}
	if list.Contacts != 25_000 || !slices.Equal(list.Columns, o.Columns) {
		t.Errorf("list: %+v", list)
	}
}

func TestImportMerges(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	yes, no := true, false
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	row := contactRow(1, map[string]string{"a": "1", "b": "1"})
	row.Language, row.TimeZone, row.OptIn, row.OptInSource, row.OptInAt = "de", "Europe/Berlin", &yes, "shop", &at
	mustImport(t, store, postgres.ImportOptions{}, rowsOf(row))

	find := func() campaign.Contact {
		t.Helper()
		c, err := store.Contact(t.Context(), row.Phone, row.MatchKey)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	result := mustImport(t, store, postgres.ImportOptions{}, rowsOf(contactRow(1, map[string]string{"b": "2", "c": "3"})))
	if result.Updated != 1 {
		t.Errorf("result %+v, want one updated", result)
	}
	c := find()
	if c.Attributes["a"] != "1" || c.Attributes["b"] != "2" || c.Attributes["c"] != "3" || len(c.Attributes) != 3 {
		t.Errorf("attributes %v: new keys win, old keys stay", c.Attributes)
	}
	if c.Language != "de" || c.TimeZone != "Europe/Berlin" || c.OptIn == nil || !*c.OptIn || c.OptInSource != "shop" || c.OptInAt == nil || !c.OptInAt.Equal(at) {
		t.Errorf("an empty cell erased a fact: %+v", c)
	}

	row = contactRow(1, nil)
	row.OptIn = &no
	mustImport(t, store, postgres.ImportOptions{Source: "crm"}, rowsOf(row))
	c = find()
	if c.OptIn == nil || *c.OptIn || c.OptInSource != "crm" || c.OptInAt.Equal(at) {
		t.Errorf("a new answer needs its own source and time: %+v", c)
	}
}

func TestImportCountsEveryRowOnce(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	result := mustImport(t, store, postgres.ImportOptions{List: "l"}, rowsOf(
		contactRow(1, map[string]string{"a": "1"}),
		contactRow(2, map[string]string{"a": "1"}),
		contactRow(1, map[string]string{"a": "2"}), // says something else
		contactRow(2, map[string]string{"a": "1"}), // says the same
	))
	want := campaign.ImportResult{Rows: 4, Created: 2, Updated: 1, Unchanged: 1}
	if result != want {
		t.Errorf("result %+v, want %+v", result, want)
	}
	c, err := store.Contact(t.Context(), contactRow(1, nil).Phone, "")
	if err != nil || c.Attributes["a"] != "2" {
		t.Errorf("the last row wins: %+v, %v", c.Attributes, err)
	}
}

func TestARepeatedNumberIsNoUpdateWhereTheEndIsStored(t *testing.T) {
	t.Parallel()
	store, pool := audienceStore(t)
	rows := func(last string) iter.Seq2[campaign.ContactRow, error] {
		return rowsOf(contactRow(1, map[string]string{"a": "1"}), contactRow(2, map[string]string{"a": "1"}), contactRow(1, map[string]string{"a": last}))
	}
	mustImport(t, store, postgres.ImportOptions{List: "l"}, rows("2"))
	before := versions(t, pool)
	if got, want := mustImport(t, store, postgres.ImportOptions{List: "l"}, rows("2")), (campaign.ImportResult{Rows: 3, Unchanged: 3}); got != want {
		t.Errorf("the same rows again: %+v, want %+v", got, want)
	}
	if versions(t, pool) != before {
		t.Error("the second import wrote rows")
	}
	if got, want := mustImport(t, store, postgres.ImportOptions{List: "l"}, rows("3")), (campaign.ImportResult{Rows: 3, Updated: 2, Unchanged: 1}); got != want {
		t.Errorf("another end: %+v, want %+v", got, want)
	}
}

func TestImportKeepsWhatCameBeforeAnError(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	broken := errors.New("the disk is gone")
	result, err := store.ImportContacts(t.Context(), postgres.ImportOptions{}, func(yield func(campaign.ContactRow, error) bool) {
		if yield(contactRow(1, nil), nil) {
			yield(campaign.ContactRow{}, broken)
		}
	})
	if !errors.Is(err, broken) || result.Created != 1 {
		t.Errorf("result %+v, error %v", result, err)
	}
}

func TestImportStoresTextThatPostgresRefuses(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	mustImport(t, store, postgres.ImportOptions{List: "l"}, rowsOf(contactRow(1, map[string]string{"a\x00": "x\x00y\xff"})))
	c, err := store.Contact(t.Context(), contactRow(1, nil).Phone, "")
	if err != nil || c.Attributes["a"] != "xy" {
		t.Errorf("attributes %q, %v", c.Attributes, err)
	}
}

func TestConcurrentImportsDoNotLoseRows(t *testing.T) {
	t.Parallel()
	store, pool := audienceStore(t)
	const imports, people = 6, 12_000
	var wait sync.WaitGroup
	results := make([]campaign.ImportResult, imports)
	failures := make([]error, imports)
	for i := range imports {
		wait.Go(func() {
			// Everybody imports the same people in another order, with an attribute of
			// their own.
			results[i], failures[i] = store.ImportContacts(t.Context(), postgres.ImportOptions{List: "shared"},
				func(yield func(campaign.ContactRow, error) bool) {
					for n := range people {
						row := contactRow((n*7919+i*1000)%people, map[string]string{fmt.Sprintf("from_%d", i): "1"})
						if !yield(row, nil) {
							return
						}
					}
				})
		})
	}
	wait.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	var created int64
	for _, r := range results {
		created += r.Created
		if r.Rows != people || r.Created+r.Updated+r.Unchanged != people {
			t.Errorf("result %+v does not add up to %d", r, people)
		}
	}
	if created != people {
		t.Errorf("%d contacts created by all imports together, want %d", created, people)
	}
	var complete int
	err := pool.QueryRow(t.Context(), `
		SELECT count(*) FROM campaign.contacts AS c JOIN campaign.list_members AS m ON m.contact_id = c.id
		 WHERE (SELECT count(*) FROM jsonb_object_keys(c.attributes)) = $1`, imports).Scan(&complete)
	if err != nil || complete != people {
		t.Errorf("%d contacts have every import's attribute, want %d (%v)", complete, people, err)
	}
}

func TestOptOutHoldsForEveryFormOfANumber(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	long := campaign.ContactRow{Phone: "+5541987654321", MatchKey: "+5541987654321", Country: "BR"}
	short := campaign.ContactRow{Phone: "+554187654321", MatchKey: "+5541987654321", Country: "BR"}
	stranger := campaign.ContactRow{Phone: "+5541987654322", MatchKey: "+5541987654322", Country: "BR"}
	mustImport(t, store, postgres.ImportOptions{}, rowsOf(long, stranger))
	if n, err := store.SetOptOut(t.Context(), []campaign.ContactRow{short}, "person"); err != nil || n != 1 {
		t.Fatalf("%d contacts opted out, %v; want the one known form", n, err)
	}
	optedOut := func(row campaign.ContactRow) bool {
		t.Helper()
		c, err := store.Contact(t.Context(), row.Phone, row.MatchKey)
		if err != nil {
			t.Fatal(err)
		}
		if c.Phone != row.Phone {
			t.Fatalf("found %s, want %s", c.Phone, row.Phone)
		}
		return c.OptedOutAt != nil
	}
	mustImport(t, store, postgres.ImportOptions{}, rowsOf(short)) // imported afterwards under its other form
	if !optedOut(long) || !optedOut(short) || optedOut(stranger) {
		t.Errorf("opted out: long %v, short %v, stranger %v; want true, true, false", optedOut(long), optedOut(short), optedOut(stranger))
	}
	yes := true
	again := short
	again.OptIn = &yes
	mustImport(t, store, postgres.ImportOptions{}, rowsOf(again))
	if !optedOut(short) {
		t.Error("a file took an opt-out back")
	}
	if n, err := store.SetOptIn(t.Context(), []campaign.ContactRow{long}, "person"); err != nil || n != 2 || optedOut(long) || optedOut(short) {
		t.Errorf("opt-in changed %d contacts (%v), want both forms", n, err)
	}

	// Somebody we never heard of is remembered.
	unknown := campaign.ContactRow{Phone: "+4915100000000", MatchKey: "+4915100000000", Country: "DE"}
	if n, err := store.SetOptOut(t.Context(), []campaign.ContactRow{unknown}, "person"); err != nil || n != 1 {
		t.Fatalf("%d contacts opted out, %v", n, err)
	}
	mustImport(t, store, postgres.ImportOptions{List: "l"}, rowsOf(unknown))
	if !optedOut(unknown) {
		t.Error("an opt-out of somebody who was no contact yet is lost")
	}
}

func TestContactNotFoundDoesNotRepeatTheNumber(t *testing.T) {
	t.Parallel()
	store, _ := audienceStore(t)
	_, err := store.Contact(t.Context(), "+4915100000001", "+4915100000001")
	if !errors.Is(err, campaign.ErrNotFound) {
		t.Fatalf("error %v, want not found", err)
	}
	if err.Error() != "no contact has this number" {
		t.Errorf("error %q", err)
	}
}

// BenchmarkImport shows rows a second and that memory does not grow with the
// file: go test -bench Import -benchtime 1x.
func BenchmarkImport(b *testing.B) {
	store, _ := audienceStore(b)
	const n = 200_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		mustImport(b, store, postgres.ImportOptions{List: "bench"}, manyRows(n))
		b.ReportMetric(n/time.Since(began).Seconds(), "rows/s")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "MiB-kept")
	}
}
