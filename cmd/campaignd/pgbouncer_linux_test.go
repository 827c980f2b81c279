package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/campaignd/campaignd/internal/campaign"
)

// pgbouncer starts one in front of the world's database, in transaction mode, and
// gives the URL of the database through it.
func (w *world) pgbouncer() string {
	w.t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !executable(program) {
			w.t.Skip("there is no pgbouncer on this machine")
		}
	}
	config, err := pgx.ParseConfig(valueOf(w.env, "CAMPAIGN_DATABASE_URL"))
	if err != nil {
		w.t.Fatal(err)
	}
	// It runs as another user, whom the server may not know by its socket.
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	(&relay{}).serve(w.t, database, network, address)
	_, server, _ := net.SplitHostPort(database.Addr().String())
	front := freeAddr(w.t)
	_, port, _ := net.SplitHostPort(front)
	dir, err := os.MkdirTemp("", "pgbouncer-") // that user must reach it
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ini := filepath.Join(dir, "pgbouncer.ini")
	target := fmt.Sprintf("host=127.0.0.1 port=%s dbname=%s user=%s", server, config.Database, config.User)
	if config.Password != "" {
		target += " password='" + config.Password + "'"
	}
	text := fmt.Sprintf(`[databases]
%s = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
`, config.Database, target, port)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil { //nolint:gosec // a test's
		w.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // a test's
		w.t.Fatal(err)
	}
	args := []string{ini}
	if os.Geteuid() == 0 {
		args = []string{"-u", "nobody", ini}
	}
	c := exec.Command(program, args...)
	var log strings.Builder
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if w.t.Failed() {
			w.t.Logf("pgbouncer:\n%s", &log)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", front)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatal("pgbouncer takes no connections")
		}
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&default_query_exec_mode=cache_describe", config.User, front, config.Database)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// Behind a pooler that shares sessions campaignctl works and the daemon says what
// it needs, at once.
func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean")
	through := *w
	through.env = append(slices.Clone(w.env), "CAMPAIGN_DATABASE_URL="+w.pgbouncer())

	refused := through.start("campaignd", "run", "--listen", freeAddr(t))
	select {
	case err := <-refused.done:
		refused.done <- err
		if log := refused.log.String(); err == nil || !strings.Contains(log, "pool_mode = session") {
			t.Fatalf("a daemon behind the pooler ended with %v:\n%s", err, log)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a daemon runs behind the pooler")
	}

	w.daemon()
	for range 3 { // a lock that stays with a session would stop the next one
		through.ctl(0, "migrate")
	}
	through.audience(1000)
	through.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes", "--wait=settled", "--timeout", "1m")
	through.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 750 })
	through.ctl(0, "campaign", "report", "spring")
	through.ctl(0, "node", "list")
	through.adds(1000)
}
