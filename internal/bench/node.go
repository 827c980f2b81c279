package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/daemon"
	"github.com/campaignd/campaignd/internal/postgres"
	"github.com/campaignd/campaignd/internal/sender"
)

// nodeConfig is a campaignd.
type nodeConfig struct {
	URL         string        `json:"url"`
	Connections int           `json:"connections"` // to the database
	Workers     int           `json:"workers"`
	Null        bool          `json:"null"`
	Latency     time.Duration `json:"latency"` // of the null provider
	Profile     string        `json:"profile"` // a file
}

// nodeReady is what it says when it runs.
type nodeReady struct {
	URL string `json:"url"` // of its webhooks and health
}

// benchKey is the channel's key, and benchKeyName the variable that holds it.
const (
	benchKey     = "bench-key"
	benchKeyName = "CAMPAIGN_BENCH_KEY"
)

// runNode is "campaignd run", told by a line instead of flags.
func runNode(ctx context.Context, c nodeConfig, say func(any) error, stderr io.Writer) (err error) {
	if err := os.Setenv(benchKeyName, benchKey); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	guard := postgres.NewGuard("", func(reason string) { log.Error("every channel is held: " + reason) })
	pool, err := postgres.Connect(ctx, c.URL, postgres.Options{MaxConns: int32(c.Connections), Name: "campaignd", Guard: guard}) //nolint:gosec // a few dozen
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := postgres.Open(ctx, pool)
	if err != nil {
		return err
	}
	config := daemon.Config{Store: store, Guard: guard, Roles: daemon.AllRoles(), Listen: "127.0.0.1:0", MaxWorkers: c.Workers, Logger: log, Version: "bench"}
	if c.Null {
		null := &nullProvider{latency: c.Latency}
		config.Connect = func(campaign.Channel) (sender.Provider, error) { return null, nil }
	}
	d, err := daemon.New(ctx, config)
	if err != nil {
		return err
	}
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return fmt.Errorf("write the profile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(fmt.Errorf("profile: %w", err), f.Close())
		}
		defer func() { pprof.StopCPUProfile(); err = errors.Join(err, f.Close()) }()
	}
	if err := say(nodeReady{"http://" + d.Addr().String()}); err != nil {
		return err
	}
	return d.Run(ctx)
}

// nullProvider takes every message without sending it anywhere.
type nullProvider struct {
	latency time.Duration
	n       atomic.Int64
}

func (p *nullProvider) Send(_ context.Context, r *campaign.Request) campaign.Answer {
	if !r.Validity.Begin() {
		return campaign.Answer{Kind: campaign.AnswerAbandoned}
	}
	if p.latency > 0 {
		time.Sleep(p.latency)
	}
	id := appendProviderID(nil, time.Now().UnixNano(), p.n.Add(1))
	return campaign.Answer{Kind: campaign.AnswerAccepted, RawStatus: "accepted", ProviderID: string(id)}
}

func (p *nullProvider) Close() {}
