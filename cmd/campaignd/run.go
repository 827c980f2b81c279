package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/daemon"
	"github.com/campaignd/campaignd/internal/localpg"
	"github.com/campaignd/campaignd/internal/postgres"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run the daemon",
		Description: "Takes up the channels, campaigns and stored webhooks of the database and goes on where the last\n" +
			"daemon stopped, however it stopped. The keys of channels are read here: whatever env:NAME or\n" +
			"file:PATH a channel refers to must be there for this program.",
		Flags:        runFlags(),
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("run takes no argument: %q", c.Args().First())}
			}
			config, err := configOf(c)
			if err != nil {
				return err
			}
			log, err := logger(c, stderr())
			if err != nil {
				return err
			}
			guard := newGuard(config, log)
			pool, stop, err := database(c.Context, config, guard, log)
			if err != nil {
				return err
			}
			defer stop()
			store, err := postgres.Open(c.Context, pool)
			if err != nil {
				return err
			}
			looking, err := listenMetrics(config.Metrics, config.AskMetrics, log)
			if err != nil {
				return err
			}
			d, err := daemon.New(c.Context, daemon.Config{
				Store: store, Guard: guard, Roles: config.Roles, Listen: config.Listen, Metrics: looking, MaxWorkers: config.MaxWorkers,
				Retention: config.Retention, Logger: log, Version: versionText(),
			})
			if err != nil {
				return err
			}
			return d.Run(c.Context)
		},
	}
}

// database gives the configured database, or starts a server of our own under
// the home and migrates it.
func database(ctx context.Context, config config, guard *postgres.Guard, log *slog.Logger) (*pgxpool.Pool, func(), error) {
	url, stop := config.DatabaseURL, func() {}
	if url == "" {
		server, err := localpg.Start(ctx, localpg.Config{Home: config.Home, Logger: log})
		if err != nil {
			return nil, nil, err
		}
		url = server.URL()
		stop = func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := server.Stop(ctx); err != nil {
				log.Error("cannot stop PostgreSQL", "error", err)
			}
		}
	}
	pool, err := postgres.Connect(ctx, url, postgres.Options{MaxConns: int32(config.MaxConns), Name: "campaignd", Guard: guard})
	if err != nil {
		stop()
		return nil, nil, err
	}
	if config.DatabaseURL == "" {
		if _, err := postgres.Migrate(ctx, pool, false); err != nil {
			pool.Close()
			stop()
			return nil, nil, err
		}
	}
	return pool, func() { pool.Close(); stop() }, nil
}

// newGuard gives the guard of the database, with its witness in the home where
// that can be written.
func newGuard(config config, log *slog.Logger) *postgres.Guard {
	home := config.Home
	if home == "" {
		home, _ = localpg.DefaultHome()
	}
	if home != "" {
		if err := os.MkdirAll(home, 0o755); err != nil { //nolint:gosec // PostgreSQL's user must reach its data below it
			log.Warn("there is no home to keep a witness of the database in: a restored snapshot would not be noticed", "error", err)
			home = ""
		}
	}
	return postgres.NewGuard(home, func(reason string) {
		log.Error("every channel is held: "+reason, "go_on", "look at what was sent since, then: campaignctl channel resume NAME")
	})
}
