package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/daemon"
)

// config is what "campaignd run" is told by flags and the environment.
type config struct {
	DatabaseURL string
	Home        string
	Listen      string
	Metrics     string // address; "" and off are nowhere
	AskMetrics  bool   // the address was asked for, and is not the default
	Roles       daemon.Roles
	MaxConns    int
	MaxWorkers  int
	Retention   time.Duration
}

func databaseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "database-url", EnvVars: []string{"CAMPAIGN_DATABASE_URL"}, Usage: "use the database at `URL`; without it a PostgreSQL server under --home is started"},
		&cli.StringFlag{Name: "home", EnvVars: []string{"CAMPAIGN_HOME"}, Usage: "keep the data of that server in `FOLDER` (default: a per-user data folder)"},
	}
}

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-level", EnvVars: []string{"CAMPAIGN_LOG_LEVEL"}, Value: "info", Usage: "debug, info, warn or error; debug tells of every message"},
		&cli.StringFlag{Name: "log-format", EnvVars: []string{"CAMPAIGN_LOG_FORMAT"}, Value: "json", Usage: "json or text"},
	}
}

func runFlags() []cli.Flag {
	flags := append(databaseFlags(),
		&cli.StringFlag{Name: "listen", EnvVars: []string{"CAMPAIGN_LISTEN"}, Value: "127.0.0.1:8080", Usage: "take webhooks and health checks at `ADDR`"},
		metricsFlag(),
		&cli.StringFlag{Name: "roles", EnvVars: []string{"CAMPAIGN_ROLES"}, Value: "send,webhook,schedule", Usage: "what this node does: any of send, webhook, schedule"},
		&cli.IntFlag{Name: "max-connections", EnvVars: []string{"CAMPAIGN_MAX_CONNECTIONS"}, Value: 20, Usage: "open at most `N` database connections (at least 8)"},
		&cli.IntFlag{Name: "max-workers", EnvVars: []string{"CAMPAIGN_MAX_WORKERS"}, DefaultText: "1000", Usage: "have at most `N` messages of a channel on the wire at a time; it bounds the messages of unknown fate after a crash"},
		&cli.DurationFlag{Name: "message-retention", EnvVars: []string{"CAMPAIGN_MESSAGE_RETENTION"}, DefaultText: "keep for ever", Usage: "drop partitions of messages when all of it is older than `D`"},
	)
	return append(flags, logFlags()...)
}

func configOf(c *cli.Context) (config, error) {
	r, err := daemon.ParseRoles(c.String("roles"))
	if err != nil {
		return config{}, usageError{fmt.Errorf("--roles: %w", err)}
	}
	if n := c.Int("max-workers"); n < 0 {
		return config{}, usageError{fmt.Errorf("--max-workers: %d is less than 0", n)}
	}
	if n := c.Int("max-connections"); n < 8 || n > 1000 {
		return config{}, usageError{fmt.Errorf("--max-connections: %d is not between 8 and 1000: fan-out, claims, outcomes, webhooks and River need some each", n)}
	}
	if d := c.Duration("message-retention"); d != 0 && d < 24*time.Hour {
		return config{}, usageError{fmt.Errorf("--message-retention: %v is less than a day", d)}
	}
	return config{
		DatabaseURL: c.String("database-url"), Home: c.String("home"), Listen: c.String("listen"),
		Metrics: c.String("metrics-listen"), AskMetrics: c.IsSet("metrics-listen"),
		Roles: r, MaxConns: c.Int("max-connections"), MaxWorkers: c.Int("max-workers"), Retention: c.Duration("message-retention"),
	}, nil
}

func logger(c *cli.Context, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, usageError{fmt.Errorf("--log-level: %q is not one of debug, info, warn, error", c.String("log-level"))}
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.String("log-format") {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format: %q is not one of json, text", c.String("log-format"))}
}

func stderr() io.Writer { return os.Stderr }
