package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
	"github.com/campaignd/campaignd/internal/postgres"
)

var update = flag.Bool("update", false, "write the role table of docs/roles.md")

func roles() []string {
	return []string{"campaign_daemon", "campaign_operator", "campaign_viewer", "campaign_enqueuer", "campaign_river_enqueuer"}
}

func refusedStatement(t *testing.T, what string, err error, code string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// roleTable tries every table, sequence and function with every role: what a role
// may do is what the server answers when it does it, not what a catalogue says.
func roleTable(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	ctx := t.Context()
	rows, err := pool.Query(ctx, `
		SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END, format('%I.%I', n.nspname, c.relname),
		       (SELECT format('%I', a.attname) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' ORDER BY a.attname = 'kind' DESC, a.attnum LIMIT 1), '', ''
		  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		 WHERE n.nspname IN ('campaign', 'river') AND c.relkind IN ('r', 'p', 'v', 'S') AND NOT c.relispartition
		   AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND c.relkind = 'S' AND d.deptype = 'i')
		UNION ALL
		SELECT 'function', format('%I.%I', n.nspname, p.proname), pg_get_function_identity_arguments(p.oid),
		       array_to_string(ARRAY(SELECT format('NULL::%s', format_type(x, NULL)) FROM unnest(p.proargtypes) AS x), ', '), format_type(p.prorettype, NULL)
		  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
		 WHERE n.nspname = 'campaign'
		 ORDER BY 1 DESC, 2, 3`)
	if err != nil {
		t.Fatal(err)
	}
	type object struct{ kind, name, detail, call, result string }
	objects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (object, error) {
		var o object
		var detail *string
		err := row.Scan(&o.kind, &o.name, &detail, &o.call, &o.result)
		if detail != nil {
			o.detail = *detail
		}
		return o, err
	})
	if err != nil || len(objects) < 40 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}

	may := func(role, statement string) bool {
		t.Helper()
		conn, err := pool.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(ctx)) // whatever it did must go
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE `+role); err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(ctx, statement)
		var pg *pgconn.PgError
		if err != nil && !errors.As(err, &pg) {
			t.Fatalf("%s as %s: %v", statement, role, err)
		}
		switch {
		case err == nil:
			return true
		case pg.Code == "55000", pg.Code == "42809": // a view takes no rows
			return false
		}
		return pg.Code != "42501" || strings.Contains(pg.Message, "row-level security")
	}
	var b strings.Builder
	b.WriteString("| | daemon | operator | viewer | enqueuer | river enqueuer |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, o := range objects {
		name := o.name
		if o.kind == "function" {
			name += "(" + o.detail + ")"
		}
		cells := []string{"`" + name + "`"}
		for _, role := range roles() {
			var can []string
			try := func(word, statement string) {
				if may(role, statement) {
					can = append(can, word)
				}
			}
			switch o.kind {
			case "table", "view":
				try("read", `SELECT FROM `+o.name)
				// The right is checked before any constraint.
				try("insert", `INSERT INTO `+o.name+` DEFAULT VALUES`)
				if o.detail != "" {
					try("update", `UPDATE `+o.name+` SET `+o.detail+` = `+o.detail+` WHERE false`)
				}
				try("delete", `DELETE FROM `+o.name+` WHERE false`)
				try("truncate", `TRUNCATE `+o.name)
			case "sequence":
				try("use", `SELECT nextval('`+o.name+`')`)
			case "function":
				statement := `SELECT ` + o.name + `(` + o.call + `)`
				if o.result == "trigger" {
					continue // nobody calls these: the server fires them
				}
				try("call", statement)
			}
			cells = append(cells, strings.Join(can, ", "))
		}
		if len(cells) == 1 {
			continue
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

func TestRolesMayDoWhatTheirTableSays(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../docs/roles.md", "<!-- begin roles -->\n", "<!-- end roles -->\n"
	table := roleTable(t, pgtest.DB(t))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	stored, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil { //nolint:gosec // a page of the project
			t.Fatal(err)
		}
		return
	}
	if stored != table {
		was, is := strings.Split(stored, "\n"), strings.Split(table, "\n")
		for _, line := range is {
			if !slices.Contains(was, line) {
				t.Errorf("not in %s:\n%s", file, line)
			}
		}
		for _, line := range was {
			if !slices.Contains(is, line) {
				t.Errorf("no longer true in %s:\n%s", file, line)
			}
		}
		t.Error("look at every line, then: go test ./internal/postgres -run TestRolesMay -update")
	}
}

// login makes a role that has only what its groups have, and gives a connection
// string of it.
func login(t *testing.T, pool *pgxpool.Pool, groups ...string) (name, address string) {
	t.Helper()
	ctx := t.Context()
	var n int64
	if err := pool.QueryRow(ctx, `SELECT ('x' || substr(md5(random()::text), 1, 12))::bit(48)::bigint`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("pgtest_login_%d", n)
	if _, err := pool.Exec(ctx, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'test' IN ROLE %s`, name, strings.Join(groups, ", "))); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	// Registered after the pool's own end, so it runs before: roles outlive databases.
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), `DROP ROLE `+name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	u.User = url.UserPassword(name, "test")
	return name, u.String()
}

// as runs fn with a pool of a login role.
func as(t *testing.T, pool *pgxpool.Pool, groups ...string) *pgxpool.Pool {
	t.Helper()
	_, address := login(t, pool, groups...)
	own, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	return own
}

func TestEnqueuersSeeOnlyTheirOwnMessages(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ctx := t.Context()
	shop, billing := as(t, s.pool, "campaign_enqueuer"), as(t, s.pool, "campaign_enqueuer")
	id, err := enqueue(ctx, shop, order("1").with("priority", "high"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := enqueue(ctx, billing, order("1"))
	if err != nil || other == id {
		t.Fatalf("the same key of another role gave %d and %d, %v", other, id, err)
	}
	count := func(pool *pgxpool.Pool, id campaign.MessageID) (n int) {
		t.Helper()
		if err := pool.QueryRow(ctx, `SELECT count(*) FROM campaign.message_status($1)`, id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if count(shop, id) != 1 || count(billing, other) != 1 || count(shop, other) != 0 || count(billing, id) != 0 {
		t.Error("a role sees another's message, or not its own")
	}
	_, err = billing.Exec(ctx, `SELECT campaign.cancel_message($1)`, id)
	refusedAs(t, "another's message", err, "WA008", "id")
	for _, statement := range []string{
		`SELECT FROM campaign.messages`, `SELECT FROM campaign.contacts`, `SELECT FROM campaign.idempotency_keys`, `SELECT FROM river.river_job`,
		`INSERT INTO campaign.suppressions DEFAULT VALUES`, `SELECT campaign.enqueue_one('other', '', '', '', '', '', '{}', 'k', now(), 'high', NULL)`,
		`SELECT campaign.enqueue_job(1)`, `CREATE TABLE campaign.mine (x int)`, `SELECT nextval('campaign.message_ids')`,
	} {
		_, err := shop.Exec(ctx, statement)
		refusedStatement(t, statement, err, "42501")
	}
	// Neither its settings nor objects of its own change what the functions do.
	tx, err := shop.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(ctx, `CREATE TEMP TABLE messages (id int); CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
		CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
		SET LOCAL search_path = pg_temp, campaign, pg_catalog; SET LOCAL standard_conforming_strings = off; SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL row_security = off`); err != nil {
		t.Fatal(err)
	}
	if again, err := enqueue(ctx, tx, order("1").with("priority", "high")); err != nil || again != id {
		t.Errorf("%d, %v; want %d", again, err, id)
	}
}

func TestRiverEnqueuersAreHeldToTheirKindAndQueue(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ctx := t.Context()
	name, address := login(t, s.pool, "campaign_river_enqueuer")
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const insert = `INSERT INTO river.river_job (kind, queue, args, max_attempts, metadata, state) VALUES ($1, $2, $3, 25, $4, $5::river.river_job_state) RETURNING id`
	args := order("r").with("priority", "high")
	delete(args, "send_after")
	put := func(kind, queue, state string) (id int64, err error) {
		err = conn.QueryRow(ctx, insert, kind, queue, args, `{"enqueued_by":"somebody"}`, state).Scan(&id)
		return id, err
	}
	job, err := put("enqueue_message", "enqueue", "available")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][3]string{{"send", "enqueue", "available"}, {"enqueue_message", "ch_1_high", "available"}, {"send", "ch_1", "available"},
		{"enqueue_message", "enqueue", "running"}, {"partitions", "maintenance", "available"}} {
		_, err := put(bad[0], bad[1], bad[2])
		refusedStatement(t, fmt.Sprint(bad), err, "42501")
	}
	var rank int
	if err := conn.QueryRow(ctx, `SELECT priority FROM river.river_job WHERE id = $1`, job).Scan(&rank); err != nil || rank != 1 {
		t.Errorf("the job of a high message has priority %d, %v", rank, err)
	}
	// What River could not read, and what is River's to write, is put right.
	var odd int64
	if err := conn.QueryRow(ctx, `INSERT INTO river.river_job (id, kind, queue, args, max_attempts, attempt, attempted_at, attempted_by, errors, tags, scheduled_at, created_at)
		VALUES (4711, 'enqueue_message', 'enqueue', '{}', 1, 1, 'infinity', '{NULL}', '{"1"}', '{NULL}', '-infinity', 'infinity') RETURNING id`).Scan(&odd); err != nil {
		t.Fatal(err)
	}
	var whole bool
	if err := s.pool.QueryRow(ctx, `DELETE FROM river.river_job WHERE id = $1 RETURNING id <> 4711 AND max_attempts = 100 AND attempt = 0 AND attempted_at IS NULL AND attempted_by IS NULL
		AND errors IS NULL AND tags = '{}' AND isfinite(scheduled_at) AND isfinite(created_at)`, odd).Scan(&whole); err != nil || !whole {
		t.Errorf("job %d is as its client wrote it, %v", odd, err)
	}
	// A job of somebody else is not seen.
	if _, err := s.pool.Exec(ctx, `INSERT INTO river.river_job (kind, queue, args, max_attempts) VALUES ('enqueue_message', 'enqueue', '{}', 25), ('send', 'ch_1', '{}', 25)`); err != nil {
		t.Fatal(err)
	}
	var seen int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM river.river_job`).Scan(&seen); err != nil || seen != 1 {
		t.Errorf("%d jobs are seen, %v", seen, err)
	}
	for _, statement := range []string{`DELETE FROM river.river_job`, `UPDATE river.river_job SET args = '{}'`, `UPDATE river.river_job SET metadata = '{}'`, `SELECT FROM campaign.messages`,
		`SELECT FROM river.river_queue`, `SELECT campaign.enqueue_job(1)`} {
		_, err := conn.Exec(ctx, statement)
		refusedStatement(t, statement, err, "42501")
	}
	if _, err := conn.Exec(ctx, `UPDATE river.river_job SET kind = 'send'`); err == nil {
		t.Error("the kind of a job was changed")
	}

	// The daemon enqueues for who inserted the job, once.
	var ids []campaign.MessageID
	for range 2 {
		id, err := s.EnqueueJob(ctx, job)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	var caller string
	if err := s.pool.QueryRow(ctx, `SELECT caller FROM campaign.idempotency_keys WHERE message_id = $1`, ids[0]).Scan(&caller); err != nil || caller != name || ids[0] != ids[1] {
		t.Errorf("messages %v of %s, %v", ids, caller, err)
	}
	args = order("bad").with("priority", "urgent")
	if job, err = put("enqueue_message", "enqueue", "available"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnqueueJob(ctx, job); !errors.Is(err, campaign.ErrInvalid) || !strings.Contains(err.Error(), "priority") {
		t.Errorf("a bad job: %v", err)
	}
}

// Row security must not make a daemon sort the backlog for every few jobs.
func TestDaemonsFetchJobsInTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	tx, err := as(t, f.pool, "campaign_daemon").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), `EXPLAIN SELECT * FROM river.river_job WHERE state = 'available' AND queue = 'enqueue' AND scheduled_at <= now()
		ORDER BY priority, scheduled_at, id LIMIT 4 FOR UPDATE SKIP LOCKED`)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if text := strings.Join(plan, "\n"); err != nil || strings.Contains(text, "Sort") || !strings.Contains(text, "river_job_available_idx") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestForbiddenActsNameTheRemedy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	store, err := postgres.Open(t.Context(), as(t, f.pool, "campaign_viewer"))
	if err != nil {
		t.Fatal(err)
	}
	err = store.Pause(t.Context(), f.campaign, "")
	var known *campaign.Error
	if !errors.Is(err, campaign.ErrForbidden) || !errors.As(err, &known) || !strings.Contains(known.Hint, "campaign_operator") {
		t.Errorf("%v", err)
	}
}

// Whoever has the key can try numbers against the hashes of the suppression list.
func TestViewersDoNotSeeTheKeyOfTheSuppressionList(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ctx := t.Context()
	if _, err := f.Suppress(ctx, []campaign.Suppression{{Phone: phoneOf(0), MatchKey: phoneOf(0), Reason: "asked"}}); err != nil {
		t.Fatal(err)
	}
	f.setCap(t, 1, time.Hour, campaign.CapSkip) // is read by the dossier, too
	for group, sees := range map[string]bool{"campaign_daemon": true, "campaign_operator": true, "campaign_viewer": false, "pg_read_all_data": false} {
		pool := as(t, f.pool, group)
		var keys, others int
		err := pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE key = 'person_key'), count(*) FILTER (WHERE key <> 'person_key') FROM campaign.settings`).Scan(&keys, &others)
		if err != nil || (keys == 1) != sees || others < 2 {
			t.Errorf("%s sees %d keys and %d other settings, %v", group, keys, others, err)
		}
		store, err := postgres.Open(ctx, pool)
		if err != nil {
			t.Fatalf("%s: %v", group, err)
		}
		d, err := store.Dossier(ctx, phoneOf(0), phoneOf(0))
		if err != nil || d.SuppressionHidden == sees || (d.Suppression != nil) != sees || (d.SkipUtility == campaign.ReasonSuppressed) != sees {
			t.Errorf("%s reads %+v, %v", group, d, err)
		}
	}
	// A role that may write and does not see the key would write to who is suppressed.
	blind := as(t, f.pool, "campaign_viewer")
	if _, err := f.pool.Exec(ctx, `GRANT ALL ON ALL TABLES IN SCHEMA campaign TO `+pgx.Identifier{blind.Config().ConnConfig.User}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := f.pool.Exec(context.Background(), `REVOKE ALL ON ALL TABLES IN SCHEMA campaign FROM `+pgx.Identifier{blind.Config().ConnConfig.User}.Sanitize()); err != nil {
			t.Error(err)
		}
	})
	store, err := postgres.Open(ctx, blind)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Pause(ctx, f.campaign, ""); !errors.Is(err, campaign.ErrForbidden) {
		t.Errorf("without the key: %v", err)
	}
}

// The roles of one server serve all its databases, and are made by an
// administrator where the migrating role may not.
func TestMigrationWithoutTheRightToMakeRolesNamesTheRemedy(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t) // the roles exist: a plain owner may migrate
	ctx := t.Context()
	name, address := login(t, pool, "pg_monitor")
	database := name + "_db"
	if _, err := pool.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %s OWNER %s`, database, name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), `DROP DATABASE `+database+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	own, err := pgxpool.New(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := postgres.Migrate(ctx, own, false); err != nil {
		t.Fatalf("migrate as a plain owner: %v", err)
	}
	// What the guard of migration 0016 says when they are missing.
	guard, err := os.ReadFile("../../migrations/0016_roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	block, _, ok := strings.Cut(string(guard), "END $$;\n")
	if !ok {
		t.Fatal("the migration does not begin with its guard")
	}
	_, err = own.Exec(ctx, strings.ReplaceAll(block, "'campaign_daemon'", "'campaign_daemon_of_nobody'")+"END $$;")
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Hint, "CREATE ROLE campaign_daemon_of_nobody NOLOGIN;") {
		t.Errorf("%v", err)
	}
}
