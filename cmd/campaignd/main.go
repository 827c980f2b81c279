// Campaignd sends campaigns: it fans out due messages, posts them, takes the
// provider's webhooks and keeps the books. What it is told to do comes through
// Postgres, from campaignctl.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

// buildVersion is set by the linker.
var buildVersion string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	os.Exit(run(ctx, os.Args))
}

func run(ctx context.Context, args []string) int {
	err := app().RunContext(ctx, args)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "campaignd: interrupted")
		return 1
	}
	fmt.Fprintln(os.Stderr, "campaignd:", err)
	var known *campaign.Error
	if errors.As(err, &known) && known.Hint != "" {
		fmt.Fprintln(os.Stderr, "hint:", known.Hint)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// usageError is a mistake on the command line: exit 2.
type usageError struct{ error }

func app() *cli.App {
	return &cli.App{
		Name:            "campaignd",
		Usage:           "sends WhatsApp template campaigns through 360dialog",
		Version:         versionText(),
		HideHelpCommand: true,
		Description: "campaignd is the daemon. It sends the campaigns that campaignctl launches, takes the provider's\n" +
			"webhooks, and keeps everything it must remember in Postgres. Stop it with SIGTERM or Ctrl-C:\n" +
			"it takes no new turns, lets what is on the wire end, and writes every outcome.",
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("there is no command %q: run, demo or healthcheck", c.Args().First())}
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{runCommand(), demoCommand(), healthcheckCommand()},
	}
}

func versionText() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

func healthcheckCommand() *cli.Command {
	return &cli.Command{
		Name:         "healthcheck",
		Usage:        "exit 0 when a daemon answers, 1 when it does not",
		Description:  "For containers, which have no other program to ask with.",
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "url", Value: "http://127.0.0.1:8080/readyz", Usage: "ask `URL`"},
		},
		Action: func(c *cli.Context) error {
			client := http.Client{Timeout: 3 * time.Second}
			resp, err := client.Get(c.String("url"))
			if err != nil {
				return errors.New("the daemon does not answer")
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("the daemon answers %s", resp.Status)
			}
			return nil
		},
	}
}
