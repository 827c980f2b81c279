package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/campaignd/campaignd/internal/campaign"
)

// program is what every command works with: the terminal and the settings that
// hold for all of them.
type program struct {
	stdin  io.Reader
	stdout io.Writer // results; a quiet program's go nowhere unless they are asked for
	stderr io.Writer // everything else

	quiet       bool
	databaseURL string
	home        string
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer) *program {
	return &program{stdin: stdin, stdout: stdout, stderr: stderr}
}

// globalFlags are understood by every command, before or after its name.
func (p *program) globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "database-url", EnvVars: []string{"CAMPAIGN_DATABASE_URL"}, Destination: &p.databaseURL,
			Usage: "the PostgreSQL database, as `URL`; without it the server under --home is used",
		},
		&cli.StringFlag{
			Name: "home", EnvVars: []string{"CAMPAIGN_HOME"}, Destination: &p.home,
			Usage: "the `FOLDER` of our own PostgreSQL server (default: a per-user data folder)",
		},
		&cli.BoolFlag{
			Name: "quiet", DisableDefaultText: true, Aliases: []string{"q"}, EnvVars: []string{"CAMPAIGN_QUIET"}, Destination: &p.quiet,
			Usage: "print nothing when all is well, for cron; --json and export still print their result",
		},
	}
}

// run carries out one command line.
func (p *program) run(ctx context.Context, args []string) error {
	app := newApp(p)
	call, err := arrange(app, args)
	if err != nil {
		return err
	}
	switch {
	case call.version:
		_, err := fmt.Fprintln(p.stdout, "campaignctl", version())
		return err
	case call.help:
		return printHelp(p.stdout, app, call.path)
	case len(call.path) == 0:
		if err := printHelp(p.stderr, app, nil); err != nil {
			return err
		}
		return errUsageShown
	}
	return app.RunContext(ctx, call.words)
}

// version is what the build knows of itself.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel " + s.Value
		}
	}
	return "devel"
}

// out is where a command prints what a person asked for.
func (p *program) out() io.Writer {
	if p.quiet {
		return io.Discard
	}
	return p.stdout
}

// jsonFlag is on every command that prints a result.
func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print exactly one JSON value", Category: categoryOutput}
}

// The groups of flags in help texts.
const (
	categoryOutput = "Output"
	categoryGuard  = "Confirmation"
	categoryWait   = "Waiting"
	categorySimple = "Instead of a campaign file"
)

// result prints value with --json, and otherwise lets print write for a person.
func (p *program) result(c *cli.Context, value any, print func(w io.Writer) error) error {
	if c.Bool("json") {
		return printJSON(p.stdout, value)
	}
	w := newPage(p.out(), color(p.stdout))
	if err := print(w); err != nil {
		return err
	}
	return w.Flush()
}

// printJSON writes one JSON value and a newline. Numbers and names come out as
// they are stored: no HTML escapes.
func printJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// printJSONLine is printJSON on one line, for streams of values.
func printJSONLine(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// note tells the person something beside the result; a quiet program does not.
func (p *program) note(format string, args ...any) {
	if !p.quiet {
		p.warn(format, args...)
	}
}

// warn tells the person about something that may be wrong, quiet or not.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.stderr, "campaignctl: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// oneLine keeps a message on its line, whatever the text in it.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// color reports whether a stream may be coloured (https://no-color.org).
func color(stream any) bool {
	return terminal(stream) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// maxInput bounds what is read into memory from a file that is not streamed: the
// largest webhook body the provider sends has 3 MB, template lists have less.
const maxInput = 64 << 20

// read gives the content of a file, "-" being stdin.
func (p *program) read(name string) ([]byte, error) {
	r, closeFile, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", label(name), err)
	}
	if len(data) > maxInput {
		return nil, campaign.ErrInvalid.With(fmt.Sprintf("%s is larger than %d MB", label(name), maxInput>>20), "")
	}
	return data, nil
}

// open gives a file for streaming, "-" being stdin.
func (p *program) open(name string) (io.Reader, func(), error) {
	if name == "-" {
		return p.stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fileError(name, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, nil, campaign.ErrInvalid.With(fmt.Sprintf("%s is a folder, not a file", name), "")
	}
	return f, func() { f.Close() }, nil
}

// label names a file in messages.
func label(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}
