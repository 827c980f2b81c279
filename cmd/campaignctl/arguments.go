package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/campaignd/campaignd/internal/campaign"
)

// call is a command line that was understood.
type call struct {
	path    []*cli.Command // from the noun to the verb; empty for the program itself
	words   []string       // what the library is given: flags first, each as --name=value
	help    bool
	version bool
}

// command is the last of the path, nil for the program itself.
func (c call) command() *cli.Command {
	if len(c.path) == 0 {
		return nil
	}
	return c.path[len(c.path)-1]
}

// arrange reads a command line as people write it and writes it as urfave/cli v2
// reads it. The library stops looking for flags at the first argument, so that
// in "campaign status spring --json" it would take --json for an argument. Here
// flags may stand anywhere up to "--". What is wrong with the words themselves
// (unknown commands and flags, missing values, too few arguments) is said here,
// with what was probably meant; the library checks the values.
func arrange(app *cli.App, args []string) (call, error) {
	r := reader{app: app}
	for r.rest = args; len(r.rest) > 0; {
		word := r.rest[0]
		r.rest = r.rest[1:]
		if err := r.take(word); err != nil {
			return call{}, err
		}
	}
	return r.finish()
}

// reader goes through the words of a command line.
type reader struct {
	app       *cli.App
	rest      []string // not yet read
	call      call
	given     []givenFlag
	arguments []string
	plain     bool // after "--"
}

type givenFlag struct {
	word     string // as it was written, without a value
	name     string
	value    string
	hasValue bool
}

func (r *reader) take(word string) error {
	switch {
	case r.plain:
		return r.argument(word)
	case word == "--":
		r.plain = true
		return nil
	case len(word) > 1 && word[0] == '-' && !negative(word):
		return r.flag(word)
	}
	return r.argument(word)
}

// negative reports whether a word is a negative number and so no flag.
func negative(word string) bool {
	_, err := strconv.ParseFloat(word, 64)
	return err == nil
}

// argument takes a word that is no flag: the name of a command, or an argument.
func (r *reader) argument(word string) error {
	commands := r.app.Commands
	if c := r.call.command(); c != nil {
		commands = c.Subcommands
		if len(commands) == 0 {
			r.arguments = append(r.arguments, word)
			return nil
		}
	}
	if word == "help" {
		r.call.help = true
		return nil
	}
	for _, c := range commands {
		if c.HasName(word) {
			r.call.path = append(r.call.path, c)
			return nil
		}
	}
	full := strings.TrimSpace(pathName(r.call.path) + " " + word)
	if slices.Contains(later[:], full) {
		return campaign.ErrNotImplemented.With(strconv.Quote(full)+" is not part of this version", "")
	}
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Name
	}
	hint := "see: campaignctl " + strings.TrimSpace(pathName(r.call.path)+" --help")
	if meant := campaign.Closest(word, names); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", strings.TrimSpace(pathName(r.call.path)+" "+meant))
	}
	return usage(hint, "%q is not a command", full)
}

// flag takes a flag and, where it needs one and none is attached, the next word
// as its value.
func (r *reader) flag(word string) error {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	written, _, _ := strings.Cut(word, "=")
	switch name {
	case "help", "h":
		r.call.help = true
		return nil
	case "version":
		if r.call.command() == nil {
			r.call.version = true
			return nil
		}
	}
	flag := r.find(name)
	if flag == nil {
		return r.unknownFlag(written, name)
	}
	if !hasValue && !switchLike(flag) {
		if len(r.rest) == 0 {
			return usage("write "+written+" "+placeholder(flag), "flag %s needs a value", written)
		}
		value = r.rest[0]
		// A known flag in the place of a value is a forgotten value. Who means
		// it writes --name=--value.
		if strings.HasPrefix(value, "--") && r.find(strings.TrimPrefix(value, "--")) != nil {
			return usage(fmt.Sprintf("write %s=%s if %q is the value", written, value, value), "flag %s needs a value", written)
		}
		r.rest, hasValue = r.rest[1:], true
	}
	r.given = append(r.given, givenFlag{written, name, value, hasValue})
	return nil
}

// find looks a flag up where it may be written: on the commands of the path, the
// program itself, and the commands that may still follow. Names mean the same
// kind of flag in the whole tree (a test holds us to it).
func (r *reader) find(name string) cli.Flag {
	for _, c := range r.call.path {
		if f := named(c.Flags, name); f != nil {
			return f
		}
	}
	if f := named(r.app.Flags, name); f != nil {
		return f
	}
	if c := r.call.command(); c != nil {
		return below(c.Subcommands, name)
	}
	return below(r.app.Commands, name)
}

func below(commands []*cli.Command, name string) cli.Flag {
	for _, c := range commands {
		if f := named(c.Flags, name); f != nil {
			return f
		}
		if f := below(c.Subcommands, name); f != nil {
			return f
		}
	}
	return nil
}

func allBelow(commands []*cli.Command) []cli.Flag {
	var flags []cli.Flag
	for _, c := range commands {
		flags = append(append(flags, c.Flags...), allBelow(c.Subcommands)...)
	}
	return flags
}

func named(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// switchLike reports whether a flag stands for itself, without a value.
func switchLike(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return true
	case *cli.GenericFlag:
		b, ok := f.Value.(interface{ IsBoolFlag() bool })
		return ok && b.IsBoolFlag()
	}
	return false
}

// placeholder is what help writes for a flag's value.
func placeholder(f cli.Flag) string {
	if d, ok := f.(cli.DocGenerationFlag); ok {
		if _, rest, ok := strings.Cut(d.GetUsage(), "`"); ok {
			word, _, _ := strings.Cut(rest, "`")
			return word
		}
	}
	return "VALUE"
}

func (r *reader) unknownFlag(written, name string) error {
	flags := slices.Clone(r.app.Flags)
	commands := r.app.Commands
	for _, c := range r.call.path {
		flags, commands = append(flags, c.Flags...), c.Subcommands
	}
	flags = append(flags, allBelow(commands)...)
	of := strconv.Quote(pathName(r.call.path))
	if len(r.call.path) == 0 {
		of = "campaignctl"
	}
	hint := "see: " + strings.TrimSpace("campaignctl "+pathName(r.call.path)) + " --help"
	names := []string{"help"}
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	if meant := campaign.Closest(name, names); meant != "" {
		hint = fmt.Sprintf("did you mean %s?", dashed(meant))
	}
	return usage(hint, "%s has no flag %s", of, written)
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func pathName(path []*cli.Command) string {
	names := make([]string, len(path))
	for i, c := range path {
		names[i] = c.Name
	}
	return strings.Join(names, " ")
}

// finish puts every flag where it belongs and checks that nothing is missing.
func (r *reader) finish() (call, error) {
	if r.call.help || r.call.version {
		return r.call, nil
	}
	c := r.call.command()
	if c != nil && len(c.Subcommands) > 0 {
		var names []string
		for _, sub := range c.Subcommands {
			names = append(names, sub.Name)
		}
		return call{}, usage("one of "+strings.Join(names, ", "), "%q needs a command", pathName(r.call.path))
	}

	root := []string{r.app.Name}
	var own []string
	given := map[string]bool{}
	for _, g := range r.given {
		flag, home := cli.Flag(nil), &own
		if c != nil {
			flag = named(c.Flags, g.name)
		}
		if flag == nil {
			flag, home = named(r.app.Flags, g.name), &root
		}
		if flag == nil {
			return call{}, r.unknownFlag(g.word, g.name)
		}
		name := flag.Names()[0]
		given[name] = true
		word := "--" + name
		if g.hasValue {
			word += "=" + g.value
		}
		*home = append(*home, word)
	}
	if c == nil {
		return r.call, nil
	}
	if err := missing(c, r.call.path, given); err != nil {
		return call{}, err
	}
	if err := r.count(c); err != nil {
		return call{}, err
	}
	words := root
	for _, step := range r.call.path {
		words = append(words, step.Name)
	}
	words = append(words, own...)
	words = append(words, "--")
	r.call.words = append(words, r.arguments...)
	return r.call, nil
}

// missing names the required flags that neither the command line nor the
// environment gives. The library would print the whole help instead.
func missing(c *cli.Command, path []*cli.Command, given map[string]bool) error {
	var names []string
	for _, f := range c.Flags {
		required, ok := f.(cli.RequiredFlag)
		if !ok || !required.IsRequired() || given[f.Names()[0]] {
			continue
		}
		if d, ok := f.(cli.DocGenerationFlag); ok && slices.ContainsFunc(d.GetEnvVars(), isSet) {
			continue
		}
		names = append(names, dashed(f.Names()[0])+" "+placeholder(f))
	}
	if len(names) == 0 {
		return nil
	}
	verb := "is"
	if len(names) > 1 {
		verb = "are"
	}
	return usage("see: campaignctl "+pathName(path)+" --help", "%s %s missing", strings.Join(names, ", "), verb)
}

func isSet(name string) bool {
	value, found := os.LookupEnv(name)
	return found && value != ""
}

// count holds the arguments against the command's ArgsUsage: NAME is one, [NAME]
// may be left out, NAME… may be repeated.
func (r *reader) count(c *cli.Command) error {
	least, most := 0, 0
	for word := range strings.FieldsSeq(c.ArgsUsage) {
		if !strings.HasPrefix(word, "[") {
			least++
		}
		most++
		if strings.Contains(word, "…") {
			most = len(r.arguments) + least
		}
	}
	see := "see: campaignctl " + pathName(r.call.path) + " --help"
	switch n := len(r.arguments); {
	case n < least:
		return usage(see, "%q needs %s", pathName(r.call.path), strings.ReplaceAll(c.ArgsUsage, "…", ""))
	case n > most && most == 0:
		return usage(see, "%q takes no argument, and %q is one", pathName(r.call.path), r.arguments[0])
	case n > most:
		return usage(see, "%q takes %s, and %q is one too many", pathName(r.call.path), c.ArgsUsage, r.arguments[most])
	}
	return nil
}
