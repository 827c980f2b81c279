package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// startTimeout covers pulling an image and a first migration on a busy machine.
const startTimeout = 5 * time.Minute

// server is the server of this process and the template on it.
type server struct {
	url      string
	token    string // marks this process and its databases
	template string
	strategy string // how databases are copied

	admin    *pgxpool.Pool // its application name says that this process is alive
	clones   atomic.Int64
	keepOpen any // what must live as long as the server is used

	// shared is the pool of Tx. Its database is dropped by a later process.
	shared func() (*pgxpool.Pool, error)
}

// start decides once per process; its error is every test's.
var start = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	url, keepOpen, err := find(ctx)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, url)
	if err != nil && url == os.Getenv("CAMPAIGN_TEST_DATABASE_URL") {
		return nil, fmt.Errorf("the one of CAMPAIGN_TEST_DATABASE_URL: %w", err)
	}
	if err != nil {
		return nil, err
	}
	s.keepOpen = keepOpen
	s.shared = sync.OnceValues(s.openShared)
	return s, nil
})

func theServer(t testing.TB) *server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatalf("pgtest: no PostgreSQL server for the tests: %v", err)
	}
	return s
}

func (s *server) openShared() (*pgxpool.Pool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	name, err := s.clone(ctx)
	if err != nil {
		return nil, err
	}
	return newPool(ctx, s.urlOf(name))
}

// find returns the URL of a server, and what keeps it up.
func find(ctx context.Context) (url string, keepOpen any, err error) {
	if url := os.Getenv("CAMPAIGN_TEST_DATABASE_URL"); url != "" {
		return url, nil, nil
	}
	containers := os.Getenv("CAMPAIGN_TEST_CONTAINERS")
	switch containers {
	case "", "require", "never":
	default:
		return "", nil, fmt.Errorf(`CAMPAIGN_TEST_CONTAINERS is %q; it may be "require", "never" or unset`, containers)
	}

	var containerErr error
	if containers != "never" {
		if url, containerErr = container(ctx); containerErr == nil {
			return url, nil, nil
		}
		if containers == "require" {
			return "", nil, fmt.Errorf("CAMPAIGN_TEST_CONTAINERS asks for containers: %w", containerErr)
		}
		if !errors.Is(containerErr, errNoEngine) {
			fmt.Fprintf(os.Stderr, "pgtest: using server binaries, because the container did not come up: %v\n", containerErr)
		}
	}
	url, keepOpen, err = local(ctx)
	if err != nil {
		return "", nil, errors.Join(err, containerErr,
			errors.New("any one of these helps: install PostgreSQL's server binaries, start a Docker engine, or set CAMPAIGN_TEST_DATABASE_URL"))
	}
	return url, keepOpen, nil
}
