package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/localpg"
	"github.com/campaignd/campaignd/internal/postgres"
)

// stopTimeout bounds the end of our own server, whose last checkpoint waits for
// the disk.
const stopTimeout = 30 * time.Second

// connect gives a pool on the database: that of --database-url, else of the
// server under --home, which is joined when it runs and otherwise started for
// the time of the command. create says that a server that was never there may be
// made; a mere question must not make one. The returned function must be called.
func (p *program) connect(ctx context.Context, create bool) (*pgxpool.Pool, func(), error) {
	url, stop := p.databaseURL, func() {}
	if url == "" {
		var err error
		if url, stop, err = p.localServer(ctx, create); err != nil {
			return nil, nil, err
		}
	}
	pool, err := postgres.Connect(ctx, url, postgres.Options{Name: "campaignctl"})
	if err != nil {
		stop()
		return nil, nil, p.hintAsGiven(err)
	}
	return pool, func() { pool.Close(); stop() }, nil
}

// hintAsGiven lets a hint about the database's address name the flag where the
// flag gave it.
func (p *program) hintAsGiven(err error) error {
	const env = "CAMPAIGN_DATABASE_URL"
	var known *campaign.Error
	if !errors.As(err, &known) || p.databaseURL == "" || os.Getenv(env) == p.databaseURL {
		return err
	}
	return known.With(err.Error(), strings.ReplaceAll(known.Hint, env, "--database-url"))
}

func (p *program) localServer(ctx context.Context, create bool) (string, func(), error) {
	home := p.home
	if home == "" {
		dir, err := localpg.DefaultHome()
		if err != nil {
			return "", nil, failed("or set CAMPAIGN_DATABASE_URL", "%s", err)
		}
		home = dir
	}
	if _, err := os.Stat(filepath.Join(home, "data")); errors.Is(err, fs.ErrNotExist) {
		if !create {
			return "", nil, campaign.ErrNoDatabase.With("there is no database: CAMPAIGN_DATABASE_URL is not set and "+home+" holds none",
				"set CAMPAIGN_DATABASE_URL, or run: campaignctl migrate")
		}
		p.note("making a PostgreSQL server in %s, because CAMPAIGN_DATABASE_URL is not set", home)
	}
	server, err := localpg.Start(ctx, localpg.Config{Home: home})
	if err != nil {
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		return "", nil, failed("or set CAMPAIGN_DATABASE_URL", "%s", err)
	}
	return server.URL(), func() {
		// Also after Ctrl-C: a server without users is nobody's to stop.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			p.warn("%s", err)
		}
	}, nil
}

// store opens the migrated database. The returned function must be called.
func (p *program) store(ctx context.Context) (*postgres.Store, func(), error) {
	pool, closePool, err := p.connect(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	s, err := postgres.Open(ctx, pool)
	if err != nil {
		closePool()
		return nil, nil, err
	}
	return s, closePool, nil
}
