package main

import (
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

const appDescription = `campaignctl is the operator's side of campaignd, a campaign engine for WhatsApp
templates through 360dialog. The daemon, campaignd, does the sending; the two
meet in a PostgreSQL database.

A campaign from the beginning:

  campaignctl migrate
  campaignctl channel add sales-eu --phone +4930123456 --base-url https://waba-v2.360dialog.io \
              --key-ref env:D360_KEY --webhook-secret-ref env:WEBHOOK_SECRET --rate 50
  campaignctl template sync sales-eu
  campaignctl contact import vips.csv --list vips --country DE
  campaignctl campaign plan -f spring.yaml
  campaignctl campaign launch -f spring.yaml --wait
  campaignctl campaign report spring-sale-2026

Results go to standard output, everything else to standard error. Flags may
stand before or after arguments; "--" ends them. Every flag with a CAMPAIGN_…
name beside it can be set in the environment.

Exit codes: 0 all is well, 1 error, 2 wrong usage or input, 3 not found,
4 permission denied, 5 conflict, 6 findings (rows refused, verification or
template problems, recipients that ended failed or unknown), 7 refused by a
guard, 8 waiting timed out.`

// helpFlags shows flags in their groups and in the order they are declared in.
const helpFlags = `{{range groups .Flags}}
{{.Name}}:
{{range .Flags}}  {{flag .}}
{{end}}{{end}}`

// flagText is a flag in a help text: its short form, its name and value, what it
// is for, its default and its environment name.
func flagText(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return f.String()
	}
	names := make([]string, len(f.Names()))
	for i, name := range f.Names() {
		names[len(names)-1-i] = dashed(name)
	}
	line := strings.Join(names, ", ")
	switch {
	case switchLike(f) && placeholder(f) != "VALUE":
		line += "[=" + placeholder(f) + "]"
	case !switchLike(f):
		line += " " + placeholder(f)
	}
	line += "\t" + strings.ReplaceAll(d.GetUsage(), "`", "")
	value := strings.Trim(d.GetDefaultText(), `"`)
	if !switchLike(f) && value != "" && value != "0" && value != "0s" && !strings.Contains(d.GetUsage(), "(default") {
		line += " (default: " + value + ")"
	}
	for _, env := range d.GetEnvVars() {
		line += " [$" + env + "]"
	}
	return line
}

// flagGroup is a heading of the flags in a help text.
type flagGroup struct {
	Name  string
	Flags []cli.Flag
}

// groups sorts flags under their headings; the library would put both into
// alphabetical order, which hides what belongs together.
func groups(flags []cli.Flag) []flagGroup {
	var all []flagGroup
	for _, f := range flags {
		name := "Flags"
		if c, ok := f.(cli.CategorizableFlag); ok && c.GetCategory() != "" {
			name = c.GetCategory()
		}
		i := slices.IndexFunc(all, func(g flagGroup) bool { return g.Name == name })
		if i < 0 {
			i, all = len(all), append(all, flagGroup{Name: name})
		}
		all[i].Flags = append(all[i].Flags, f)
	}
	return all
}

const helpApp = `{{.Name}} - {{.Usage}}

Usage: {{.Name}} COMMAND [ARGUMENTS] [FLAGS]

{{.Description}}

Commands:
{{range .VisibleCommands}}  {{.Name}}{{"\t"}}{{.Usage}}
{{end}}  help COMMAND{{"\t"}}the same as COMMAND --help

Flags of every command:
{{range .VisibleFlags}}  {{flag .}}
{{end}}  -h, --help{{"\t"}}show help
  --version{{"\t"}}print the version
`

const helpGroup = `campaignctl {{.HelpName}} - {{.Usage}}

Usage: campaignctl {{.HelpName}} COMMAND [ARGUMENTS] [FLAGS]
{{if .Description}}
{{.Description}}
{{end}}
Commands:
{{range .VisibleCommands}}  {{.Name}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{"\t"}}{{.Usage}}
{{end}}
"campaignctl {{.HelpName}} COMMAND --help" says more about each.
`

const helpCommandText = `campaignctl {{.HelpName}} - {{.Usage}}

Usage: campaignctl {{.HelpName}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}} [FLAGS]

{{.Description}}
` + helpFlags + `
Flags of every command: --database-url URL, --home FOLDER, --quiet, --help
`

// printHelp prints the help of the program or of a command.
func printHelp(w io.Writer, app *cli.App, path []*cli.Command) error {
	out := &errWriter{w: w}
	functions := map[string]any{"groups": groups, "flag": flagText}
	if len(path) == 0 {
		app.Setup()
		cli.HelpPrinterCustom(out, helpApp, app, functions)
		return out.err
	}
	c := path[len(path)-1]
	c.HelpName = pathName(path)
	text := helpCommandText
	if len(c.Subcommands) > 0 {
		text = helpGroup
	}
	cli.HelpPrinterCustom(out, text, c, functions)
	return out.err
}

// errWriter remembers the first error of a printer that swallows them.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(b []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(b)
	e.err = err
	return n, err
}

// text joins the parts of a description: paragraphs, an indented list of
// examples, and the exit codes that are special to the command.
func text(paragraphs ...string) string { return strings.Join(paragraphs, "\n\n") }

// examples formats commands to try.
func examples(lines ...string) string {
	return "Examples:\n\n  campaignctl " + strings.Join(lines, "\n  campaignctl ")
}
