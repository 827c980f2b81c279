package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/pgtest"
)

// Every statement in sql/ is prepared against the migrated schema: a misspelt
// column fails here, before anyone calls it.
func TestEveryStatementFitsTheSchema(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	ctx := t.Context()
	table, err := os.ReadFile("sql/import_table.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, string(table)); err != nil { // other statements read it
		t.Fatal(err)
	}
	files, err := filepath.Glob("sql/*.sql")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d statements (%v)", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		query, _, err := pgx.NamedArgs{}.RewriteQuery(ctx, tx.Conn(), string(text), nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if _, err := tx.Exec(ctx, `SAVEPOINT statement`); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Prepare(ctx, file, query); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := tx.Exec(ctx, `ROLLBACK TO statement`); err != nil {
			t.Fatal(err)
		}
	}
}
