package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/localpg"
)

// server is a PostgreSQL server that can be killed at any moment and started
// again on the same data. It keeps what it committed: fsync and
// synchronous_commit are on, because the promise holds on such a database only.
type server struct {
	bin, data, run, log string
	credential          *syscall.Credential
	cmd                 *exec.Cmd
	exited              chan struct{}
}

const serverPort = 5432 // of the socket's name; nothing listens on TCP

// newServer makes the data directory under dir and starts the server.
func newServer(ctx context.Context, dir string) (*server, error) {
	bin, err := localpg.Find()
	if err != nil {
		return nil, err
	}
	s := &server{bin: bin, data: filepath.Join(dir, "data"), run: filepath.Join(dir, "run"), log: filepath.Join(dir, "postgres.log")}
	if err := s.account(); err != nil {
		return nil, err
	}
	for _, d := range []string{s.data, s.run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
		if s.credential != nil {
			if err := os.Chown(d, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
				return nil, err
			}
		}
	}
	// Only this user and root can enter the socket's directory.
	initdb := s.command("initdb", "-D", s.data, "--username=torture", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, s.start(ctx)
}

// account chooses who runs the server: PostgreSQL refuses root.
func (s *server) account() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return errors.Join(errUID, errGID)
	}
	return errors.New(`PostgreSQL refuses to run as root, and there is no user "postgres" or "nobody" to run it as`)
}

func (s *server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.credential}
	return cmd
}

func (s *server) socket() string { return filepath.Join(s.run, fmt.Sprintf(".s.PGSQL.%d", serverPort)) }

// url is the server's own address, past every proxy.
func (s *server) url(database string) string {
	return fmt.Sprintf("postgres://torture@/%s?host=%s&port=%d", database, s.run, serverPort)
}

var errMemoryInUse = errors.New("the memory of the killed server is still in use")

// start returns when the server answers: after recovery, where it was killed.
func (s *server) start(ctx context.Context) error {
	for {
		err := s.startOnce(ctx)
		if !errors.Is(err, errMemoryInUse) {
			return err
		}
		// Processes of the killed server end as soon as they look up.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *server) startOnce(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	from, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	cmd := s.command("postgres", "-D", s.data, "-p", strconv.Itoa(serverPort), "-k", s.run,
		"-c", "listen_addresses=", "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on",
		"-c", "max_connections=200", "-c", "shared_buffers=128MB", "-c", "max_wal_size=1GB", "-c", "jit=off",
		"-c", "log_line_prefix=%m [%p] %a ")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // killed or told to stop: its state says nothing new
		close(exited)
	}(s.exited)
	for {
		if s.ping(ctx) == nil {
			return nil
		}
		select {
		case <-s.exited:
			said, _ := os.ReadFile(s.log)
			said = said[min(int64(len(said)), from):]
			if bytes.Contains(said, []byte("still in use")) {
				return errMemoryInUse
			}
			return fmt.Errorf("the server ended at once:\n%s", said)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "SELECT 1")
	return err
}

// stop ends the server: SIGKILL takes every process of it in the same moment, as
// a power cut does; SIGQUIT makes it give up at once; SIGINT makes it end open
// transactions and write a checkpoint.
func (s *server) stop(signal syscall.Signal) {
	var children []int
	if signal == syscall.SIGKILL {
		children = childrenOf(s.cmd.Process.Pid)
	}
	_ = s.cmd.Process.Signal(signal)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
}

// crash kills one backend, whereupon the server ends all of them and recovers by
// itself. It reports whether there was one.
func (s *server) crash(pick func(n int) int) bool {
	children := childrenOf(s.cmd.Process.Pid)
	if len(children) == 0 {
		return false
	}
	return syscall.Kill(children[pick(len(children))], syscall.SIGKILL) == nil
}

// childrenOf lists the processes whose parent is pid. Where there is no /proc the
// children of a killed server are left to notice its death themselves.
func childrenOf(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var children []int
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// "42 (postgres: walwriter ) S 7 ...": the name may hold anything.
		head, rest, _ := strings.Cut(string(text), " (")
		rest = rest[strings.LastIndex(rest, ")")+1:]
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(head); err == nil {
			children = append(children, child)
		}
	}
	return children
}
