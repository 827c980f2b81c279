package pgtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/localpg"
)

func count(t *testing.T, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := q.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	ourTables   = `SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'campaign' AND relname = 'messages'`
	riverTables = `SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'river' AND relname = 'river_job'`
)

func TestDBIsMigratedAndTheTestsOwn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one, other := DB(t), DB(t)
	for _, pool := range []interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}{one, other} {
		if count(t, pool, ourTables) != 1 || count(t, pool, riverTables) != 1 {
			t.Error("the database is not migrated")
		}
	}
	if _, err := one.Exec(ctx, `CREATE TABLE mine (id int)`); err != nil {
		t.Fatal(err)
	}
	if count(t, other, `SELECT count(*) FROM pg_class WHERE relname = 'mine'`) != 0 {
		t.Error("two tests share a database")
	}
}

func TestDatabasesGoWithTheirTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("Test", func(t *testing.T) {
		pool := DB(t)
		name = pool.Config().ConnConfig.Database
		conn, err := pgx.Connect(t.Context(), URL(t)) // left open
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	})
	s := theServer(t)
	if count(t, s.admin, `SELECT count(*) FROM pg_database WHERE datname = $1`, name) != 0 {
		t.Errorf("database %s outlives its test", name)
	}
}

func TestTxIsRolledBack(t *testing.T) {
	t.Parallel()
	const made = `SELECT count(*) FROM pg_class WHERE relname = 'made_in_tx'`
	t.Run("Test", func(t *testing.T) {
		tx := Tx(t)
		if count(t, tx, ourTables) != 1 {
			t.Error("the database is not migrated")
		}
		if _, err := tx.Exec(t.Context(), `CREATE TABLE made_in_tx (id int)`); err != nil {
			t.Fatal(err)
		}
		if count(t, tx, made) != 1 {
			t.Error("the transaction does not see its own table")
		}
	})
	if count(t, Tx(t), made) != 0 {
		t.Error("another test sees what was made in a transaction")
	}
}

func TestConnectSweepsWhatDeadProcessesLeft(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := theServer(t)
	other, err := connect(ctx, s.url) // stands for another process
	if err != nil {
		t.Fatal(err)
	}
	left, err := other.clone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exists := func() bool {
		return count(t, s.admin, `SELECT count(*) FROM pg_database WHERE datname = $1`, left) == 1
	}
	if err := s.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if !exists() {
		t.Fatal("swept a database of a living process")
	}
	other.admin.Close()
	for range 250 { // the server notices a closed connection a moment later
		if err := s.sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if !exists() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the database of a dead process stays")
}

func TestUnusableServersAreNamedWithTheRemedy(t *testing.T) {
	t.Run("Containers", func(t *testing.T) {
		t.Setenv("CAMPAIGN_TEST_DATABASE_URL", "")
		t.Setenv("CAMPAIGN_TEST_CONTAINERS", "sometimes")
		_, _, err := find(t.Context())
		if err == nil || !strings.Contains(err.Error(), `"require", "never" or unset`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NoCreateDB", func(t *testing.T) {
		ctx := t.Context()
		s := theServer(t)
		conn, err := pgx.Connect(ctx, s.url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		role := "pgtest_poor_" + s.token
		if _, err := conn.Exec(ctx, `CREATE ROLE `+role+`; SET ROLE `+role); err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(ctx, `CREATE DATABASE `+role)
		if _, err := conn.Exec(ctx, `RESET ROLE; DROP ROLE `+role); err != nil {
			t.Error(err)
		}
		if err := explain(err); err == nil || !strings.Contains(err.Error(), "CREATEDB") {
			t.Errorf("got %v", err)
		}
	})
}

func TestURLOfKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"postgres://u:p@h:5433/postgres?sslmode=require":   "postgres://u:p@h:5433/x?sslmode=require",
		"postgresql://u@/a?host=%2Ftmp%2Fa%20b&port=5432":  "postgresql://u@/x?host=%2Ftmp%2Fa%20b&port=5432",
		"host=/tmp user=u dbname=postgres sslmode=disable": "host=/tmp user=u dbname=postgres sslmode=disable dbname=x",
	} {
		got := (&server{url: given}).urlOf("x")
		if got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
		if config, err := pgx.ParseConfig(got); err != nil || config.Database != "x" {
			t.Errorf("%s: pgx reads it as %v, %v", got, config, err)
		}
	}
}

// The keeper is this program once more, so its whole life can be watched.
func TestKeeperKeepsTheServerUntilNobodyUsesIt(t *testing.T) {
	t.Parallel()
	home, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	server, err := localpg.Start(t.Context(), localConfig(home))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	keeper := exec.Command(program)
	keeper.Env = append(os.Environ(), keeperHome+"="+home, keeperIdle+"=1s")
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { alone, err := server.Alone(t.Context()); return err == nil && !alone })
	if err := server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := localpg.Running(home); !ok {
		t.Error("the server went with its first user")
	}
	if err := keeper.Wait(); err != nil {
		t.Error(err)
	}
	if _, ok := localpg.Running(home); ok {
		t.Error("the server outlives its keeper")
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("it did not come to pass")
}

func TestFingerprint(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := fingerprint("token"); got != "token" {
		t.Errorf("without sources: got %q, want the process's token", got)
	}
	write := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x")
	write("migrations/0001.sql", "SELECT 1")
	first := fingerprint("token")
	if first == "token" || first != fingerprint("other") {
		t.Errorf("with sources: got %q and %q", first, fingerprint("other"))
	}
	write("migrations/0001.sql", "SELECT 2")
	if fingerprint("token") == first {
		t.Error("an edited migration has the same fingerprint")
	}
}
