package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/campaignd/campaignd/internal/campaign"
)

// openTerminal gives both ends of a pseudo-terminal: what a person types and
// sees, and what the program has.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// onTerminal runs a command at a terminal, types what is to be typed once it
// asks, and gives what the person saw.
func (s *session) onTerminal(typed string, args ...string) (seen string, code int) {
	s.t.Helper()
	person, program := openTerminal(s.t.(*testing.T))
	cmd := exec.Command(builtProgram, args...)
	cmd.Dir, cmd.Env = s.dir, append([]string{"TERM=xterm"}, s.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	program.Close()
	guard := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer guard.Stop()
	var all strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := person.Read(buffer) // an error when the program has ended
		all.Write(buffer[:n])
		if typed != "" && strings.Contains(all.String(), "Type ") {
			fmt.Fprint(person, typed+"\n")
			typed = ""
		}
		if err != nil {
			break
		}
	}
	cmd.Wait()
	return all.String(), cmd.ProcessState.ExitCode()
}

func TestLaunchAsksForTheNumberOfRecipients(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.plan(campaignFile)
	if seen, code := w.onTerminal("3", "campaign", "launch", "spring"); code != 7 || !strings.Contains(seen, "2 recipients") || !strings.Contains(seen, `"3" is not "2": nothing was done`) {
		t.Errorf("with the wrong number: exit code %d\n%s", code, seen)
	}
	if s := decode[campaign.Status](t, w.want(0, "campaign", "status", "spring", "--json")); s.State != campaign.Draft {
		t.Fatalf("the campaign is %s", s.State)
	}
	if seen, code := w.onTerminal("2", "campaign", "launch", "spring"); code != 0 || !strings.Contains(seen, "campaign 1 spring is running") {
		t.Errorf("with the right number: exit code %d\n%s", code, seen)
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	const escape = "\x1b["
	if seen, _ := w.onTerminal("", "campaign", "status", "spring"); !strings.Contains(seen, escape) {
		t.Errorf("no colour on a terminal: %q", seen)
	}
	if seen, _ := w.with("NO_COLOR=1").onTerminal("", "campaign", "status", "spring"); strings.Contains(seen, escape) {
		t.Errorf("colour in spite of NO_COLOR: %q", seen)
	}
	if got := w.want(0, "campaign", "status", "spring"); strings.Contains(got.stdout, escape) {
		t.Errorf("colour in a pipe: %q", got.stdout)
	}
}

func TestWaitingDrawsABarOnATerminal(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.want(0, "campaign", "launch", "-f", w.write("spring.yaml", campaignFile), "--yes")
	seen, code := w.onTerminal("", "campaign", "launch", "spring", "--wait", "--timeout", "1s")
	if code != 8 || !strings.Contains(seen, "(0/2") {
		t.Errorf("exit code %d, seen %q", code, seen)
	}
	if seen, _ = w.onTerminal("", "campaign", "launch", "spring", "--wait", "--timeout", "1s", "--quiet"); strings.Contains(seen, "(0/2") {
		t.Errorf("a quiet program draws %q", seen)
	}
}
