package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func testApp() *cli.App {
	return newApp(newProgram(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}))
}

// sample gives words for a flag that are read without complaint.
func sample(f cli.Flag) []string {
	name := dashed(f.Names()[0])
	switch f := f.(type) {
	case *cli.BoolFlag:
		return []string{name}
	case *cli.GenericFlag:
		return []string{name}
	case *cli.IntFlag, *cli.Int64Flag, *cli.UintFlag, *cli.Uint64Flag, *cli.Float64Flag:
		return []string{name, "7"}
	case *cli.DurationFlag:
		return []string{name, "7s"}
	case *cli.StringSliceFlag:
		return []string{name, "body.1=a, b", name, "body.2=-c"}
	default:
		_ = f
		return []string{name, "-value"}
	}
}

// arguments gives words that satisfy the command's ArgsUsage.
func arguments(c *cli.Command) []string {
	var words []string
	for word := range strings.FieldsSeq(c.ArgsUsage) {
		words = append(words, strings.Trim(word, "[]…"))
	}
	return words
}

// Every command is understood in the same way wherever its flags stand, and the
// library reads what arrange makes of it.
func TestFlagsStandBeforeOrAfterArguments(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()

			var flags []string
			for _, f := range l.command.Flags {
				flags = append(flags, sample(f)...)
			}
			flags = append(flags, "--quiet", "--home", "h")
			args := arguments(l.command)
			verb := len(l.words)

			orders := map[string][]string{
				"after":   slices.Concat(l.words, args, flags),
				"before":  slices.Concat(l.words, flags, args),
				"between": slices.Concat(l.words[:verb-1], flags, l.words[verb-1:], args),
				"first":   slices.Concat(flags, l.words, args),
				"dashes":  slices.Concat(l.words, flags, []string{"--"}, args),
			}
			for where, words := range orders {
				app := testApp()
				var got *cli.Context
				capture(app.Commands, &got)
				call, err := arrange(app, words)
				if err != nil {
					t.Fatalf("%s: %v: %v", where, words, err)
				}
				if err := app.Run(call.words); err != nil {
					t.Fatalf("%s: the library refuses %q: %v", where, call.words, err)
				}
				if got == nil || got.Command.Name != l.words[verb-1] {
					t.Fatalf("%s: %q did not reach its action", where, words)
				}
				if !slices.Equal(got.Args().Slice(), args) {
					t.Errorf("%s: arguments %q, want %q", where, got.Args().Slice(), args)
				}
				for _, f := range l.command.Flags {
					if !got.IsSet(f.Names()[0]) {
						t.Errorf("%s: --%s is lost", where, f.Names()[0])
					}
				}
				if !got.Bool("quiet") || got.String("home") != "h" {
					t.Errorf("%s: the flags of every command are lost", where)
				}
			}
		})
	}
}

// capture replaces every action by one that notes its context.
func capture(commands []*cli.Command, got **cli.Context) {
	for _, c := range commands {
		if len(c.Subcommands) > 0 {
			capture(c.Subcommands, got)
			continue
		}
		c.Action = func(c *cli.Context) error {
			*got = c
			return nil
		}
	}
}

// A flag may be written before its command is known, so its name must mean the
// same kind of flag everywhere.
func TestFlagNamesMeanTheSameKindEverywhere(t *testing.T) {
	t.Parallel()

	kinds := map[string]bool{}
	owner := map[string]string{}
	check := func(where string, flags []cli.Flag) {
		for _, f := range flags {
			for _, name := range f.Names() {
				if kind, seen := kinds[name]; seen && kind != switchLike(f) {
					t.Errorf("%s of %q is a switch there and not in %q", dashed(name), where, owner[name])
				}
				kinds[name], owner[name] = switchLike(f), where
			}
		}
	}
	check("campaignctl", testApp().Flags)
	for _, l := range leaves() {
		check(l.String(), l.command.Flags)
		for _, f := range l.command.Flags {
			if named(testApp().Flags, f.Names()[0]) != nil {
				t.Errorf("%q has a flag of its own that every command has: %s", l, f.Names()[0])
			}
		}
	}
}

func TestWordsThatAreWrongAreExplained(t *testing.T) {
	t.Parallel()

	cases := []struct {
		args          []string
		message, hint string
	}{
		{[]string{"phnoe", "inspect", "1"}, `"phnoe" is not a command`, `did you mean "phone"?`},
		{[]string{"phone", "inspct", "1"}, `"phone inspct" is not a command`, `did you mean "phone inspect"?`},
		{[]string{"frobnicate"}, `"frobnicate" is not a command`, "see: campaignctl --help"},
		{[]string{"phone"}, `"phone" needs a command`, "one of inspect"},
		{[]string{"phone", "inspect"}, `"phone inspect" needs NUMBER`, "see: campaignctl phone inspect --help"},
		{[]string{"phone", "inspect", "1", "--jsn"}, `"phone inspect" has no flag --jsn`, "did you mean --json?"},
		{[]string{"--jsn", "phone", "inspect", "1"}, "campaignctl has no flag --jsn", "did you mean --json?"},
		{[]string{"--dry-run", "phone", "inspect", "1"}, `"phone inspect" has no flag --dry-run`, "see: campaignctl phone inspect --help"},
		{[]string{"phone", "inspect", "1", "--country"}, "flag --country needs a value", "write --country COUNTRY"},
		{[]string{"phone", "inspect", "1", "--country", "--json"}, "flag --country needs a value", `write --country=--json if "--json" is the value`},
		{[]string{"phone", "inspect", "1", "--country", "XX"}, "--country: ", "two letters"},
		{[]string{"template", "check", "a", "b"}, `"template check" takes FILE|-, and "b" is one too many`, "see: campaignctl template check --help"},
		{[]string{"migrate", "now"}, `"migrate" takes no argument, and "now" is one`, "see: campaignctl migrate --help"},
		{[]string{"error", "explain", "--body", "x", "--http", "four"}, `invalid value "four" for --http`, "--help"},
		{[]string{"migrate", "--quiet=perhaps"}, `invalid boolean value "perhaps" for --quiet`, "--help"},
		{[]string{"migrate", "--dry-run=perhaps"}, `invalid boolean value "perhaps" for --dry-run`, "--help"},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()

			got := runInProcess(c.args...)
			if got.code != exitUsage || got.stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q, want none", got.code, exitUsage, got.stdout)
			}
			lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
			if len(lines) != 2 || !strings.HasPrefix(lines[0], "campaignctl: "+c.message) || !strings.HasPrefix(lines[1], "hint: ") || !strings.Contains(lines[1], c.hint) {
				t.Errorf("stderr:\n%s\nwant:\ncampaignctl: %s\nhint: %s", got.stderr, c.message, c.hint)
			}
		})
	}
}

func TestCommandsOfLaterVersionsAreRefusedByName(t *testing.T) {
	t.Parallel()

	for _, name := range later {
		got := runInProcess(append(strings.Fields(name), "x", "--flag")...)
		if got.code != exitUsage || got.stderr != "campaignctl: \""+name+"\" is not part of this version\n" {
			t.Errorf("%s: exit code %d, stderr %q", name, got.code, got.stderr)
		}
		for _, l := range leaves() {
			if l.String() == name || strings.HasPrefix(l.String(), name+" ") {
				t.Errorf("%q is listed among the later commands and exists", name)
			}
		}
	}
}

func TestNegativeNumbersAndDashesAreArguments(t *testing.T) {
	t.Parallel()

	call, err := arrange(testApp(), []string{"phone", "inspect", "-5", "-", "--json", "-1e3", "--", "--country", "-q"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"campaignctl", "phone", "inspect", "--json", "--", "-5", "-", "-1e3", "--country", "-q"}
	if !slices.Equal(call.words, want) {
		t.Errorf("got %q, want %q", call.words, want)
	}
}

func FuzzArrange(f *testing.F) {
	f.Add("phone inspect --json 1")
	f.Add("--help campaign")
	f.Add("-p body.1=x -- -")
	f.Fuzz(func(t *testing.T, line string) {
		call, err := arrange(testApp(), strings.Split(line, " "))
		if err == nil && !call.help && !call.version && len(call.path) > 0 && call.words[0] != "campaignctl" {
			t.Errorf("%q became %q", line, call.words)
		}
	})
}
