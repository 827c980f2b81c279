// Package localpg runs a PostgreSQL server of our own, for one machine and
// without any setup: it finds server binaries (or has them fetched), creates a
// database under a home directory, starts the server on a private socket and
// stops it when the last program that uses it is done.
//
// It knows processes, files and locks. It must not know what is kept in the
// database, and it speaks no SQL but the one statement that creates it.
//
// # Who gets in
//
// The server listens on a Unix socket only, in a directory of mode 0700. On top
// of that pg_hba.conf asks for peer authentication: the kernel tells the server
// which user is calling, and only the user who started it, and root, are mapped
// to the superuser. There is no password to keep, to leak or to lose. Other
// roles can log in with a password once somebody gives them one.
//
// # Who runs it
//
// PostgreSQL refuses to run as root. When we are root, the server runs as the
// user who owns its data; for new data that is "postgres" where there is such a
// user, else "nobody". The home must then be reachable for that user, which is
// why root's default home is /var/lib/campaignd and not below /root.
//
// # Several programs, one server
//
// Each program holds a shared lock for as long as it uses the server; the last
// one out stops it. The kernel drops the lock of a program that is killed, so a
// server left behind is recognised by the next Start and started afresh.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// userName and databaseName are the same on every machine, so that the URL
	// depends on the home alone.
	userName     = "campaignd"
	databaseName = "campaignd"

	// port is only part of the socket's file name; the server has no TCP port.
	port = "5432"

	// stopTimeout bounds a fast shutdown whose caller gave no deadline. It
	// includes a last checkpoint, which takes long on a slow disk.
	stopTimeout = 60 * time.Second
)

// Config says where the server lives and how it runs. The zero value is the
// default server of this user.
type Config struct {
	// Home is the directory that holds the data, the log and the locks.
	// Empty means DefaultHome.
	Home string

	// Settings are server settings (postgresql.conf names) that win over the
	// defaults, for example {"max_connections": "400"}. They take effect when
	// this call starts the server, not when it joins a running one.
	Settings map[string]string

	// Logger receives the server's story; nil means silence. The server's own
	// log is postgres.log in the home.
	Logger *slog.Logger

	// search lists the folders that may hold server binaries and repository is
	// where the last resort fetches them; tests set both.
	search     func() []string
	repository string
}

func (c Config) withDefaults() (Config, error) {
	if c.Home == "" {
		dir, err := DefaultHome()
		if err != nil {
			return c, err
		}
		c.Home = dir
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.search == nil {
		c.search = machineDirs
	}
	return c, nil
}

// Server is a running server that this program uses. Its methods may be called
// by several goroutines.
type Server struct {
	config  Config
	home    home
	url     string
	started bool
	users   *lock // shared while we use the server

	left atomic.Bool // Stop was called
}

// Start returns a server that answers. It joins the one running in the home
// when another program uses it, and otherwise starts one, creating the database
// the first time. Of several calls at once, in one program or in many, one
// starts the server and the others wait for it.
//
// A server that nobody uses was left by a program that was killed. It is
// stopped and started again: sessions of the dead program end, and the settings
// are those of this call.
//
// The context bounds the start only. Errors name what is missing and the remedy.
func Start(ctx context.Context, config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := makeHome(config.Home)
	if err != nil {
		return nil, err
	}

	turn, err := h.lockTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.release()

	users, err := openLock(h.path("users.lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, home: h, users: users}
	if err := s.joinOrLaunch(ctx); err != nil {
		users.release()
		return nil, fmt.Errorf("start the PostgreSQL server in %s: %w", h.dir, err)
	}
	return s, nil
}

// joinOrLaunch runs under the turn lock: nobody else starts or stops the server.
func (s *Server) joinOrLaunch(ctx context.Context) error {
	unused, err := s.users.tryExclusive()
	if err != nil {
		return err
	}
	pm, running := s.home.postmaster()
	if running && unused {
		s.config.Logger.InfoContext(ctx, "a PostgreSQL server was left running, starting it afresh", "pid", pm.pid)
		if err := s.home.stop(ctx, pm); err != nil {
			return err
		}
		running = false
	}
	if running {
		pm, err = s.home.awaitReady(ctx, pm)
		if err != nil {
			return err
		}
	} else {
		child, err := s.launch(ctx)
		if err != nil {
			return err
		}
		pm, s.started = child.postmaster, true
		go s.watch(child)
	}
	s.url = pm.url()
	return s.users.shared()
}

// URL is the connection string of the server's database, for this user and over
// its private socket. It holds no secret.
func (s *Server) URL() string { return s.url }

// Started tells whether this call of Start started the server; false means that
// it joined one that was running.
func (s *Server) Started() bool { return s.started }

// Alone tells whether no other program uses the server at this moment.
func (s *Server) Alone(ctx context.Context) (bool, error) {
	turn, err := s.home.lockTurn(ctx)
	if err != nil {
		return false, err
	}
	defer turn.release()
	alone, err := s.users.tryExclusive()
	return alone, errors.Join(err, s.users.shared())
}

// Stop ends the use of the server. When no other program uses it, it is shut
// down fast: open transactions are rolled back, everything committed is on disk.
// A context that ends earlier turns that into an immediate shutdown, which loses
// nothing either but needs recovery at the next start; this is reported as an
// error. Further calls do nothing.
func (s *Server) Stop(ctx context.Context) error {
	if s.left.Swap(true) {
		return nil
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopTimeout)
		defer cancel()
	}
	defer s.users.release()
	turn, err := s.home.lockTurn(ctx)
	if err != nil {
		return err
	}
	defer turn.release()

	unused, err := s.users.tryExclusive()
	if err != nil || !unused {
		return err
	}
	pm, running := s.home.postmaster()
	if !running {
		return nil
	}
	if err := s.home.stop(ctx, pm); err != nil {
		return fmt.Errorf("stop the PostgreSQL server in %s: %w", s.home.dir, err)
	}
	return nil
}

// watch reaps a server that this program started, and starts it again when it
// crashed while in use: a daemon must not be without its database for ever
// because the kernel ran out of memory once. An orderly shutdown was somebody's
// wish and is left alone.
func (s *Server) watch(child *child) {
	for {
		<-child.exited
		if s.left.Load() || child.cmd.ProcessState.Success() {
			return
		}
		s.config.Logger.Error("the PostgreSQL server ended unexpectedly, starting it again",
			"state", child.cmd.ProcessState.String(), "log", s.home.logFile())

		next, err := s.relaunch()
		for err != nil {
			s.config.Logger.Error("the PostgreSQL server could not be started again", "error", err)
			time.Sleep(relaunchPause)
			if s.left.Load() {
				return
			}
			next, err = s.relaunch()
		}
		if next == nil {
			return
		}
		child = next
	}
}

// relaunchPause keeps a server that cannot start from filling the log.
const relaunchPause = 5 * time.Second

// relaunch returns nil when there is nothing to watch: another program was
// faster, or Stop was called in the meantime.
func (s *Server) relaunch() (*child, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	turn, err := s.home.lockTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.release()
	if _, running := s.home.postmaster(); running || s.left.Load() {
		return nil, nil
	}
	return s.launch(ctx)
}

// Running returns the URL of the server that another program runs in the home
// (empty: DefaultHome), when there is one and it answers. It takes no part in
// keeping the server up.
func Running(homeDir string) (url string, ok bool) {
	if homeDir == "" {
		dir, err := DefaultHome()
		if err != nil {
			return "", false
		}
		homeDir = dir
	}
	pm, running := resolveHome(homeDir).postmaster()
	if !running || !pm.ready || !pm.answers() {
		return "", false
	}
	return pm.url(), true
}

// stop asks the server for a fast shutdown and waits until its process is gone.
func (h home) stop(ctx context.Context, pm postmaster) error {
	if err := syscall.Kill(pm.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", pm.pid, err)
	}
	err := h.awaitGone(ctx, pm)
	if err == nil {
		return nil
	}
	_ = syscall.Kill(pm.pid, syscall.SIGQUIT)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if goneErr := h.awaitGone(grace, pm); goneErr != nil {
		return fmt.Errorf("process %d does not end: %w", pm.pid, err)
	}
	return fmt.Errorf("shut down without a checkpoint, the next start recovers: %w", err)
}
