package main

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

var placeholderWords = regexp.MustCompile(`(?i)\b(todo|tbd|fixme|xxx|lorem|not implemented|placeholder)\b`)

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()

	for _, l := range leaves() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()

			got := runInProcess(append(append([]string{}, l.words...), "--help")...)
			if got.code != exitOK || got.stderr != "" {
				t.Fatalf("exit code %d, stderr %q", got.code, got.stderr)
			}
			if other := runInProcess(append([]string{"help"}, l.words...)...); other != got {
				t.Errorf("\"help %s\" says something else: %+v", l, other)
			}
			if !strings.HasPrefix(got.stdout, "campaignctl "+l.String()+" - ") {
				t.Errorf("help begins with %q", strings.SplitN(got.stdout, "\n", 2)[0])
			}
			if l.command.Usage == "" || len(l.command.Description) < 60 {
				t.Errorf("the help says too little: usage %q, description %q", l.command.Usage, l.command.Description)
			}
			if !strings.Contains(l.command.Description, "Examples:") {
				t.Error("the help shows no example")
			}
			for _, f := range l.command.Flags {
				if !strings.Contains(got.stdout, dashed(f.Names()[0])) {
					t.Errorf("the help does not show %s", dashed(f.Names()[0]))
				}
				d, ok := f.(cli.DocGenerationFlag)
				if !ok || d.GetUsage() == "" {
					t.Errorf("%s has no help", dashed(f.Names()[0]))
				} else if d.TakesValue() && !strings.Contains(d.GetUsage(), "`") {
					t.Errorf("%s does not name its value", dashed(f.Names()[0]))
				}
			}
			if word := placeholderWords.FindString(got.stdout); word != "" {
				t.Errorf("the help holds %q", word)
			}
			for line := range strings.Lines(l.command.Description) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
					t.Errorf("a line of the description is %d wide: %s", n, line)
				}
			}
		})
	}
}

// The examples in help texts are read as they will be typed.
func TestExamplesInHelpAreUnderstood(t *testing.T) {
	t.Parallel()

	texts := map[string]string{"campaignctl": appDescription}
	for _, l := range leaves() {
		texts[l.String()] = l.command.Description
	}
	seen := 0
	for name, text := range texts {
		text = strings.ReplaceAll(text, "\\\n", " ")
		for line := range strings.Lines(text) {
			_, example, found := strings.Cut(line, "  campaignctl ")
			if !found || strings.HasPrefix(strings.TrimSpace(line), "source") {
				continue
			}
			seen++
			example, _, _ = strings.Cut(example, " < ")
			example, _, _ = strings.Cut(example, " > ")
			example, _, _ = strings.Cut(example, " | ")
			example, _, _ = strings.Cut(example, "  #")
			if _, err := arrange(testApp(), shellWords(example)); err != nil {
				t.Errorf("%s: campaignctl %s: %v", name, example, err)
			}
		}
	}
	if seen < len(texts) {
		t.Errorf("%d examples in %d help texts", seen, len(texts))
	}
}

// shellWords splits a line as a shell does, as far as our examples need it.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && r == ' ':
			if word.Len() > 0 || open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
		}
	}
	if word.Len() > 0 || open {
		words = append(words, word.String())
	}
	return words
}

func TestGroupsAndTheProgramHaveHelp(t *testing.T) {
	t.Parallel()

	got := runInProcess("--help")
	if got.code != exitOK {
		t.Errorf("exit code %d", got.code)
	}
	for _, c := range testApp().Commands {
		if !strings.Contains(got.stdout, "\n  "+c.Name+" ") {
			t.Errorf("the help of the program does not list %s", c.Name)
		}
		if len(c.Subcommands) == 0 {
			continue
		}
		group := runInProcess(c.Name, "-h")
		for _, sub := range c.Subcommands {
			if group.code != exitOK || !strings.Contains(group.stdout, "\n  "+sub.Name) || sub.Usage == "" {
				t.Errorf("the help of %s does not list %s", c.Name, sub.Name)
			}
		}
	}
	if bare := runInProcess(); bare.code != exitUsage || bare.stdout != "" || bare.stderr != got.stdout {
		t.Errorf("without a command: exit code %d, stdout %q", bare.code, bare.stdout)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()

	got := runInProcess("--version")
	if got.code != exitOK || !strings.HasPrefix(got.stdout, "campaignctl ") {
		t.Errorf("exit code %d, stdout %q", got.code, got.stdout)
	}
}
