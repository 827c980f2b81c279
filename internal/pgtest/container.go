package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// defaultImage is the one of docker-compose.yml.
const defaultImage = "postgres:17.6-alpine"

var errNoEngine = errors.New("no Docker engine answers")

// container returns the URL of a server in a container, which all test processes
// of one `go test` share: the first one starts it, and testcontainers' reaper
// removes it after the last.
func container(ctx context.Context) (url string, err error) {
	defer func() {
		if r := recover(); r != nil { // testcontainers panics where it finds no engine to ask
			err = fmt.Errorf("%w: %v", errNoEngine, r)
		}
	}()
	if err := engineAnswers(ctx); err != nil {
		return "", err
	}
	image := os.Getenv("POSTGRES_IMAGE")
	if image == "" {
		image = defaultImage
	}
	c, err := postgres.Run(ctx, image,
		testcontainers.WithReuseByName("campaignd-test-"+testcontainers.SessionID()[:16]),
		testcontainers.WithLogger(tclog.NewNoopLogger()),
		postgres.WithUsername("campaignd"),
		postgres.WithPassword(rand.Text()), // of the process that starts it; the others read it from the container
		postgres.WithDatabase("campaignd"),
		testcontainers.WithCmdArgs("-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=400"),
		postgres.BasicWaitStrategies(),
	)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", image, err)
	}
	return c.ConnectionString(ctx, "sslmode=disable")
}

// engineAnswers is quick: an engine on this machine answers at once.
func engineAnswers(ctx context.Context) error {
	provider, err := testcontainers.ProviderDefault.GetProvider(testcontainers.WithLogger(tclog.NewNoopLogger()))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoEngine, err)
	}
	defer provider.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := provider.Health(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNoEngine, err)
	}
	return nil
}
