package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxLog is where a log is set aside at the next start; one former log is kept.
const maxLog = 10 << 20

// initialConf goes into postgresql.conf when the database is created: enough for
// a campaign on a laptop, and free to be edited afterwards.
const initialConf = `
# campaignd: a moderate start for one machine. Edit freely; campaignd does not
# write to this file again.
max_connections = 200
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = on
random_page_cost = 1.1
jit = off                               # short statements only
autovacuum_naptime = 15s                # the job table turns over quickly
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
`

// settings are those of every start, in the order of precedence: what the server
// cannot do without, the caller's, and ours.
func (s *Server) settings(socketDir string) map[string]string {
	all := map[string]string{
		// What was committed stays committed, whatever the file says.
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
		// Statements and key values hold phone numbers and have no business in a log.
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
		"log_line_prefix":         "%m [%p] ",
		"log_destination":         "stderr",
		"logging_collector":       "off",
	}
	maps.Copy(all, s.config.Settings)
	maps.Copy(all, map[string]string{
		"listen_addresses":        "",
		"port":                    port,
		"unix_socket_directories": `"` + strings.ReplaceAll(socketDir, `"`, `""`) + `"`, // a list, so quoted
		"unix_socket_permissions": "0777",                                               // the directory decides
		"hba_file":                s.home.path("pg_hba.conf"),
		"ident_file":              s.home.path("pg_ident.conf"),
	})
	return all
}

// child is a server that this program started.
type child struct {
	cmd        *exec.Cmd
	exited     chan struct{} // closed once cmd has been waited for
	postmaster postmaster
}

// launch starts the server and returns when it accepts connections. It runs
// under the turn lock, and no server runs.
func (s *Server) launch(ctx context.Context) (*child, error) {
	h := s.home
	runAs, err := h.account()
	if err != nil {
		return nil, err
	}
	bin, err := s.choose(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.checkReach(ctx, runAs, bin); err != nil {
		return nil, err
	}
	if err := s.createCluster(ctx, runAs, bin); err != nil {
		return nil, err
	}
	if err := h.writeAccess(runAs); err != nil {
		return nil, err
	}
	socketDir := h.socketDir()
	if err := runAs.makePrivate(socketDir); err != nil {
		return nil, fmt.Errorf("make the socket directory: %w", err)
	}
	if err := h.clearStaleLocks(socketDir); err != nil {
		return nil, err
	}

	args := []string{"-D", h.dataDir()}
	settings := s.settings(socketDir)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	for {
		began := time.Now()
		child, err := h.run(ctx, runAs, filepath.Join(bin.dir, "postgres"), args)
		// The backends of a killed server hold its memory until they notice.
		if errors.Is(err, errMemoryInUse) && ctx.Err() == nil {
			if err := sleep(ctx, 200*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		s.config.Logger.InfoContext(ctx, "started a PostgreSQL server",
			"version", bin.version, "home", h.dir, "user", runAs.name, "took", time.Since(began).Round(time.Millisecond))
		return child, nil
	}
}

var errMemoryInUse = errors.New("the memory of a former server is still in use")

// run starts the server program and waits until it is ready, it ends, or the
// context does.
func (h home) run(ctx context.Context, runAs account, program string, args []string) (*child, error) {
	log, err := h.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}

	cmd := exec.Command(program, args...) // not CommandContext: it outlives the start
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = runAs.sysProcAttr()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server program: %w", err)
	}
	c := &child{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state says it all
		close(c.exited)
	}()

	err = poll(ctx, func() (bool, error) {
		select {
		case <-c.exited:
			said := tail(h.logFile(), from)
			if strings.Contains(said, "shared memory block") && strings.Contains(said, "still in use") {
				return false, errMemoryInUse
			}
			return false, fmt.Errorf("the server ended at once (%s); it said:\n%s", cmd.ProcessState, said)
		default:
		}
		pm, ok := h.readPidFile()
		if !ok || pm.pid != cmd.Process.Pid || !pm.ready {
			return false, nil
		}
		c.postmaster = pm
		return pm.answers(), nil
	})
	if err != nil {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-c.exited
		return nil, err
	}
	return c, nil
}

// createCluster makes the database the first time. It is built beside its place
// and moved there when complete, so that a start cut short leaves nothing behind
// that looks like a database.
func (s *Server) createCluster(ctx context.Context, runAs account, bin installation) error {
	h := s.home
	if _, err := os.Stat(filepath.Join(h.dataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	if entries, err := os.ReadDir(h.dataDir()); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s exists but holds no PostgreSQL database: move it away, or choose another CAMPAIGN_HOME", h.dataDir())
	}
	leftovers, _ := filepath.Glob(h.path("data.new-*"))
	for _, dir := range leftovers {
		_ = os.RemoveAll(dir)
	}
	draft, err := os.MkdirTemp(h.dir, "data.new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	if os.Geteuid() == 0 {
		if err := os.Chown(draft, runAs.uid, runAs.gid); err != nil {
			return err
		}
	}

	s.config.Logger.InfoContext(ctx, "creating a PostgreSQL database", "home", h.dir, "version", bin.version)
	if err := s.initdb(ctx, runAs, bin, draft); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(draft, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString(initialConf)
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}

	create := exec.CommandContext(ctx, filepath.Join(bin.dir, "postgres"), "--single", "-D", draft, "-c", "exit_on_error=on", "postgres")
	create.Stdin = strings.NewReader("CREATE DATABASE " + databaseName + "\n")
	if err := runAs.execute(create); err != nil {
		return fmt.Errorf("create database %s: %w", databaseName, err)
	}
	_ = os.Remove(h.dataDir()) // an empty one
	return os.Rename(draft, h.dataDir())
}

// initdb prefers a locale that knows letters beyond ASCII; where the system has
// none, "C" does. Text is compared as bytes, which sorts alike on every machine
// and makes the indexes on numbers a third faster (an import of a million new
// contacts: 8.9 s in the table with C.UTF-8, 6.9 s with C, PostgreSQL 15).
func (s *Server) initdb(ctx context.Context, runAs account, bin installation, dir string) error {
	args := []string{"-D", dir, "--username=" + userName, "--encoding=UTF8",
		"--auth-local=peer", "--auth-host=reject", "--data-checksums"}
	if s.config.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	var errs []error
	for _, locale := range []string{"C.UTF-8", "C"} {
		err := runAs.execute(exec.CommandContext(ctx, filepath.Join(bin.dir, "initdb"), append(args, "--locale="+locale, "--lc-collate=C")...))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if !strings.Contains(err.Error(), "invalid locale") {
			break
		}
	}
	return errors.Join(errs...)
}

// writeAccess lets exactly us in (see the package comment).
func (h home) writeAccess(runAs account) error {
	self, err := currentUserName()
	if err != nil {
		return err
	}
	const hba = "# Written by campaignd at each start.\n" +
		"local all " + userName + " peer map=campaignd\n" +
		"local all all scram-sha-256\n"
	ident := &strings.Builder{}
	ident.WriteString("# Written by campaignd at each start.\n")
	names := []string{self, runAs.name, "root"}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(ident, "campaignd %q %s\n", name, userName)
	}
	for file, text := range map[string]string{"pg_hba.conf": hba, "pg_ident.conf": ident.String()} {
		if err := os.WriteFile(h.path(file), []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(h.path(file), 0o644); err != nil { // the server's user reads it, whatever the umask
			return err
		}
	}
	return nil
}

// checkReach tries what the server will have to do: enter the home and run a
// program of the installation. An error names the home and what to do.
func (h home) checkReach(ctx context.Context, runAs account, bin installation) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin.dir, "postgres"), "--version")
	cmd.Dir = h.dir
	err := runAs.execute(cmd)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the user %s, who runs the server because PostgreSQL refuses root, cannot enter %s: "+
			"choose a CAMPAIGN_HOME whose parent directories everybody may pass, such as %s: %w", runAs.name, h.dir, rootHome, err)
	}
	return err
}

// execute runs a program of the server as the account and puts what it said on
// standard error into the error.
func (a account) execute(cmd *exec.Cmd) error {
	said := &bytes.Buffer{}
	cmd.Stderr = said
	cmd.Env = environment()
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = a.sysProcAttr()
	err := cmd.Run()
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}

// environment is ours without what steers PostgreSQL: a PGPORT or PGDATA set
// for another server must not reach this one.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG")
	})
}

func (h home) openLog() (*os.File, error) {
	if info, err := os.Stat(h.logFile()); err == nil && info.Size() > maxLog {
		if err := os.Rename(h.logFile(), h.logFile()+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(h.logFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// maxTail is how much of the log an error repeats, in bytes.
const maxTail = 2000

// tail is the end of what was written to a file since an offset.
func tail(path string, from int64) string {
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) <= from {
		return "(nothing)"
	}
	text = text[from:]
	if len(text) > maxTail {
		text = text[len(text)-maxTail:]
	}
	return strings.TrimSpace(string(text))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
