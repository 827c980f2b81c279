package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/localpg"
	"github.com/campaignd/campaignd/internal/postgres"
)

// Session is what benches work with: a PostgreSQL server for all of them, and
// what each of them starts. Close removes everything.
type Session struct {
	config    Config
	url       string // of the server
	embedded  bool
	server    *localpg.Server
	home      string
	processes []*process
	databases []*database
}

// NewSession prepares for benches. A server of our own keeps its data in a
// temporary folder (TMPDIR), which must lie on a real disk for its figures to
// mean something.
func NewSession(ctx context.Context, c Config) (*Session, error) {
	s := &Session{config: c, url: c.DatabaseURL}
	if s.url != "" {
		return s, nil
	}
	s.embedded = true
	var err error
	if s.home, err = os.MkdirTemp("", "campaign-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the bench: %w", err)
	}
	// PostgreSQL may run as another user than we, and needs to reach its data.
	if err := os.Chmod(s.home, 0o755); err != nil { //nolint:gosec // the files in it have modes of their own
		return nil, errors.Join(fmt.Errorf("make a folder for the bench: %w", err), os.RemoveAll(s.home))
	}
	c.Progress("starting PostgreSQL in %s", s.home)
	s.server, err = localpg.Start(ctx, localpg.Config{Home: filepath.Join(s.home, "postgres"), Settings: c.Settings})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.home))
	}
	s.url = s.server.URL()
	return s, nil
}

// childGrace is more than a daemon's clean stop may take (design §4.9: 45 s).
const childGrace = 50 * time.Second

// Close ends what is left of a bench and removes the server of our own. Its
// errors leave something behind that a person has to remove.
func (s *Session) Close() error {
	err := s.clear()
	if s.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = errors.Join(err, s.server.Stop(ctx), os.RemoveAll(s.home))
	}
	return err
}

// Run runs one bench with everything it starts removed afterwards, whatever
// became of it.
func (s *Session) Run(ctx context.Context, b Bench, o Options) (*Result, error) {
	r, err := b.Run(ctx, s, o)
	if err := errors.Join(err, s.clear()); err != nil {
		return nil, fmt.Errorf("bench %s: %w", b.Name, err)
	}
	r.Commit = s.config.Commit
	if r.Figures == nil {
		r.Figures = []Figure{}
	}
	if r.Ratios == nil {
		r.Ratios = []Figure{}
	}
	return r, nil
}

func (s *Session) clear() error {
	var err error
	for _, p := range s.processes {
		err = errors.Join(err, p.stop(childGrace))
	}
	for _, d := range s.databases {
		err = errors.Join(err, d.drop())
	}
	s.processes, s.databases = nil, nil
	return err
}

func (s *Session) progress(format string, args ...any) { s.config.Progress(format, args...) }

// database is a migrated database of a bench's own.
type database struct {
	*postgres.Store
	name       string
	server     string // URL
	url        string
	pool       interface{ Close() }
	facts      postgres.ServerFacts
	machine    Machine
	postmaster int // 0 when the server is elsewhere
	dropped    bool
}

// database makes one. A server that may lose what it committed is refused: no
// figure of a bench is worth anything there.
func (s *Session) database(ctx context.Context) (*database, error) {
	d := &database{name: "campaign_bench_" + strings.ToLower(rand.Text()[:10]), server: s.url}
	var err error
	if d.url, err = postgres.CreateDatabase(ctx, s.url, d.name); err != nil {
		return nil, err
	}
	s.databases = append(s.databases, d)
	pool, err := postgres.Connect(ctx, d.url, postgres.Options{Name: "campaignctl bench"})
	if err != nil {
		return nil, err
	}
	d.pool = pool
	if _, err := postgres.Migrate(ctx, pool, false); err != nil {
		return nil, err
	}
	if d.Store, err = postgres.Open(ctx, pool); err != nil {
		return nil, err
	}
	if d.facts, err = d.ServerFacts(ctx); err != nil {
		return nil, err
	}
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if value := d.facts.Settings[setting]; value == "off" {
			return nil, campaign.ErrGuard.With(fmt.Sprintf("the server may lose what it committed: %s is %s", setting, value),
				"measure with durable settings: "+setting+"=on")
		}
	}
	d.postmaster, _ = postmasterOf(d.facts.Backend, d.name)
	kind := "configured"
	if s.embedded {
		kind = "embedded"
	}
	d.machine = machineOf(d.facts, kind)
	return d, nil
}

// drop is also called for what was never ready.
func (d *database) drop() error {
	if d.dropped {
		return nil
	}
	d.dropped = true
	if d.pool != nil {
		d.pool.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return postgres.DropDatabase(ctx, d.server, d.name)
}
