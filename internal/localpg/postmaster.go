package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is what postmaster.pid says of a running server.
// The file's lines are described in PostgreSQL's src/include/utils/pidfile.h.
type postmaster struct {
	pid       int
	socketDir string
	ready     bool // accepts connections
}

// postmaster reads postmaster.pid; false means that no server runs, be it that
// there is no such file or that it is a dead server's.
func (h home) postmaster() (postmaster, bool) {
	pm, ok := h.readPidFile()
	if !ok || !isPostgres(pm.pid, h.dataDir()) {
		return postmaster{}, false
	}
	return pm, true
}

func (h home) pidFile() string { return filepath.Join(h.dataDir(), "postmaster.pid") }

func (h home) readPidFile() (postmaster, bool) {
	text, err := os.ReadFile(h.pidFile())
	if err != nil {
		return postmaster{}, false
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return postmaster{}, false
	}
	pm := postmaster{pid: pid}
	if len(lines) > 4 {
		pm.socketDir = lines[4]
	}
	if len(lines) > 7 {
		pm.ready = strings.TrimSpace(lines[7]) == "ready"
	}
	return pm, true
}

// clearStaleLocks deals with the lock files of a dead server whose process number
// exists nevertheless, as a zombie or as another program: PostgreSQL would take
// that for the server and refuse to start. The socket's lock can go. The one of
// the data must stay, because it names the shared memory by which PostgreSQL
// notices that processes of the dead server are still at work; it gets our own
// number instead, which PostgreSQL, being our child, knows to be stale.
//
// Called under the turn lock when no server runs.
func (h home) clearStaleLocks(socketDir string) error {
	if err := os.Remove(socketIn(socketDir) + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pm, ok := h.readPidFile()
	if !ok || !alive(pm.pid) {
		return nil
	}
	text, err := os.ReadFile(h.pidFile())
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return os.WriteFile(h.pidFile(), fmt.Appendf(nil, "%d\n%s", os.Getpid(), rest), 0o600)
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || err == syscall.EPERM
}

// isPostgres tells whether the process is a server on this data directory. In
// doubt it says yes: two servers on one directory would destroy it.
func isPostgres(pid int, dataDir string) bool {
	if !alive(pid) {
		return false
	}
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
		return err != nil || strings.Contains(string(out), "postgres")
	}
	// "42 (postgres) S 1 ...": a zombie (Z) has nobody to reap it but is gone.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	name, rest, _ := strings.Cut(string(stat), ") ")
	if strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X") {
		return false
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		return cwd == dataDir // the server lives in its data directory
	}
	return strings.Contains(name, "postgres") || strings.Contains(name, "postmaster")
}

// answers asks the server on its socket whether it does TLS, the one question
// that needs no login, and waits for the single letter of the answer.
func (pm postmaster) answers() bool {
	conn, err := net.DialTimeout("unix", socketIn(pm.socketDir), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return false
	}
	answer := make([]byte, 1)
	_, err = conn.Read(answer)
	return err == nil && (answer[0] == 'N' || answer[0] == 'S')
}

// url names everything that PGHOST, PGPORT and their like could change.
func (pm postmaster) url() string {
	query := url.Values{"host": {pm.socketDir}, "port": {port}, "sslmode": {"disable"}}
	// libpq reads %20 as a space, but not "+".
	encoded := strings.ReplaceAll(query.Encode(), "+", "%20")
	return "postgres://" + userName + "@/" + databaseName + "?" + encoded
}

// awaitReady waits for a server that another program has started.
func (h home) awaitReady(ctx context.Context, pm postmaster) (postmaster, error) {
	err := poll(ctx, func() (bool, error) {
		var running bool
		if pm, running = h.postmaster(); !running {
			return false, fmt.Errorf("the server ended while it was starting; its log is %s", h.logFile())
		}
		return pm.ready && pm.answers(), nil
	})
	return pm, err
}

func (h home) awaitGone(ctx context.Context, pm postmaster) error {
	return poll(ctx, func() (bool, error) { return !isPostgres(pm.pid, h.dataDir()), nil })
}
