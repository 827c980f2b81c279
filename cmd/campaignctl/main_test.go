package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// builtProgram is the program under test, built once by TestMain.
var builtProgram string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "campaignctl")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builtProgram = filepath.Join(dir, "campaignctl")
	build := exec.Command("go", "build", "-o", builtProgram, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build campaignctl:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// session runs the built program as a script does: its own environment, pipes
// for a terminal.
type session struct {
	t   testing.TB
	dir string   // the working directory
	env []string // beside the few that every program has

	within time.Duration // a run ends
}

// outcome is what a run left.
type outcome struct {
	code           int
	stdout, stderr string
}

// newSession gives a session without any database.
func newSession(t testing.TB) *session {
	dir := t.TempDir()
	return &session{t: t, dir: dir, within: 2 * time.Minute, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "TZ=UTC", "CAMPAIGN_HOME=" + filepath.Join(dir, "home"),
	}}
}

// with gives the same session with more of an environment.
func (s *session) with(env ...string) *session {
	next := *s
	next.env = append(append([]string{}, s.env...), env...)
	return &next
}

// write makes a file in the session's folder and returns its path.
func (s *session) write(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *session) run(args ...string) outcome { return s.runInput("", args...) }

func (s *session) runInput(stdin string, args ...string) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, builtProgram, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = s.dir, s.env, strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		s.t.Fatalf("campaignctl %s does not end within %v; stderr: %s", strings.Join(args, " "), s.within, stderr.String())
	}
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want runs a command that must end with an exit code.
func (s *session) want(code int, args ...string) outcome {
	s.t.Helper()
	got := s.run(args...)
	if got.code != code {
		s.t.Fatalf("campaignctl %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
	}
	return got
}

// decode reads a run's standard output, which must be exactly one JSON value.
func decode[T any](t testing.TB, got outcome) T {
	t.Helper()
	var value T
	d := json.NewDecoder(strings.NewReader(got.stdout))
	if err := d.Decode(&value); err != nil {
		t.Fatalf("stdout is not JSON: %v\nstdout: %s\nstderr: %s", err, got.stdout, got.stderr)
	}
	if d.More() {
		t.Fatalf("stdout holds more than one JSON value: %s", got.stdout)
	}
	return value
}

// leaf is a command that does something, with the words that lead to it.
type leaf struct {
	words   []string
	command *cli.Command
}

func (l leaf) String() string { return strings.Join(l.words, " ") }

// leaves walks the command tree.
func leaves() (leaf []leaf) {
	app := newApp(newProgram(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}))
	return leavesOf(nil, app.Commands)
}

func leavesOf(words []string, commands []*cli.Command) []leaf {
	var all []leaf
	for _, c := range commands {
		here := append(append([]string{}, words...), c.Name)
		if len(c.Subcommands) == 0 {
			all = append(all, leaf{here, c})
			continue
		}
		all = append(all, leavesOf(here, c.Subcommands)...)
	}
	return all
}

// runInProcess is for tests of the command line that touch nothing outside.
func runInProcess(args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}
