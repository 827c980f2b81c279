package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/postgres"
)

func migrateCommand(p *program) *cli.Command {
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring the database schema to this program's version",
		Description: text(
			`Creates or updates schema "campaign" and River's tables in schema "river". It only
goes forward, does nothing when there is nothing to do, may be run by two at
once, and daemons of the former version keep working meanwhile.`,
			`Without --database-url (CAMPAIGN_DATABASE_URL) the PostgreSQL server under --home
is used, and made the first time.`,
			examples(`migrate`, `migrate --dry-run --json`)),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be done"},
			jsonFlag(),
		},
		Action: p.migrate,
	}
}

type migrated struct {
	DryRun     bool                 `json:"dry_run"`
	Version    int                  `json:"version"` // of the database, after the migrations that ran
	Migrations []postgres.Migration `json:"migrations"`
}

func (p *program) migrate(c *cli.Context) error {
	dryRun := c.Bool("dry-run")
	pool, closePool, err := p.connect(c.Context, !dryRun)
	if err != nil {
		return err
	}
	defer closePool()
	done, err := postgres.Migrate(c.Context, pool, dryRun)
	if err != nil {
		return err
	}
	version, err := postgres.SchemaVersion(c.Context, pool)
	if err != nil {
		return err
	}
	value := migrated{DryRun: dryRun, Version: version, Migrations: append([]postgres.Migration{}, done...)}
	return p.result(c, value, func(w io.Writer) error {
		for _, m := range done {
			verb := map[bool]string{true: "would run", false: "ran"}[dryRun]
			if m.Version == 0 {
				fmt.Fprintf(w, "%s River's migrations\n", verb)
				continue
			}
			fmt.Fprintf(w, "%s %04d_%s\n", verb, m.Version, m.Name)
		}
		if len(done) == 0 {
			fmt.Fprintf(w, "the schema is at version %d, nothing to do\n", version)
			if version > postgres.Version() {
				p.note("a newer program made that schema; this one knows version %d and works with it", postgres.Version())
			}
		}
		return nil
	})
}
