// Command campaignctl is the operator's side of campaignd: it imports contacts,
// plans, launches and follows campaigns, and explains what the provider says.
// Sending is the daemon's work; the two programs meet in Postgres.
//
// Rules of the terminal: results go to stdout and everything else to stderr, as
// "campaignctl: lower case, no full stop" with a "hint:" line where the remedy
// is known. With --json a command prints exactly one JSON value. What a program
// may rely on (names, JSON keys, exit codes) is tested in this package.
//
// This package wires; it must not know SQL, HTTP or the rules of a campaign.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// buildVersion is set by the linker.
var buildVersion string

func main() {
	// A reader that has seen enough (| head) must not kill us between two
	// writes to the database: its going is an error of the next write instead.
	// Caught and not ignored, because programs that we start inherit what is
	// ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it carries out the command line args, which lack the
// program's name, and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := newProgram(stdin, stdout, stderr)
	if len(args) > 0 && args[0] == completeWord {
		p.complete(newApp(p), args[1:])
		return 0
	}
	if len(args) > 0 && args[0] == benchChildWord {
		return p.exit(ctx, p.benchChild(ctx, args[1:]))
	}
	return p.exit(ctx, p.run(ctx, args))
}

// newApp gives the command tree. Help and version are ours: see arrange.
func newApp(p *program) *cli.App {
	app := &cli.App{
		Name:                      "campaignctl",
		Usage:                     "plan, launch and follow WhatsApp template campaigns",
		Description:               appDescription,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // a parameter may hold a comma
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return badValue(err) },
		Flags:                     p.globalFlags(),
		Commands: []*cli.Command{
			migrateCommand(p),
			channelCommand(p),
			templateCommand(p),
			contactCommand(p),
			listCommand(p),
			suppressCommand(p),
			campaignCommand(p),
			scheduleCommand(p),
			messageCommand(p),
			sendCommand(p),
			webhookCommand(p),
			phoneCommand(p),
			errorCommand(p),
			nodeCommand(p),
			auditCommand(p),
			simulatorCommand(p),
			benchCommand(p),
			completionCommand(p),
		},
	}
	prepare("", app.Commands)
	return app
}

// prepare does for the whole tree what every command needs.
func prepare(path string, commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelp = true
		for _, f := range c.Flags {
			if b, ok := f.(*cli.BoolFlag); ok {
				b.DisableDefaultText = true // that a switch is off needs no saying
			}
		}
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return badValue(err) }
		note(path+c.Name, c)
		prepare(path+c.Name+" ", c.Subcommands)
	}
}

// later are commands of coming versions. They are refused by name, so that a
// script learns why, and are not listed.
var later = [...]string{
	"doctor",
}
