package localpg

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// testSettings keep the many short-lived servers of these tests light.
func testSettings() map[string]string {
	return map[string]string{"fsync": "off", "shared_buffers": "16MB", "max_connections": "20"}
}

// TestMain also is the other program: with helperHome set it starts a server,
// says so, and stops when its standard input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helperHome); dir != "" {
		os.Exit(helper(dir))
	}
	os.Exit(m.Run())
}

const helperHome = "LOCALPG_TEST_HELPER_HOME"

func helper(dir string) int {
	server, err := Start(context.Background(), Config{Home: dir, Settings: testSettings()})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(server.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := server.Stop(context.Background()); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// startHelper runs the helper in a process of its own and returns the URL it
// printed. Closing stdin lets it stop orderly.
func startHelper(t *testing.T, program, dir string, attr *syscall.SysProcAttr) (cmd *exec.Cmd, stdin io.Closer, url string) {
	t.Helper()
	cmd = exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), helperHome+"="+dir)
	cmd.SysProcAttr = attr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	if url = lines.Text(); !strings.HasPrefix(url, "postgres://") {
		rest, _ := io.ReadAll(stdout)
		t.Fatalf("the other program said %q %q", url, rest)
	}
	return cmd, stdin, url
}

func self(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// newHome is a home that the server's user can enter when the tests run as root,
// which t.TempDir is not. Whatever server is left in it ends with the test.
func newHome(t *testing.T, name ...string) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "localpg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(append([]string{parent, "home"}, name...)...)
	t.Cleanup(func() {
		if pm, running := resolveHome(dir).postmaster(); running {
			if err := resolveHome(dir).stop(context.Background(), pm); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	server, err := Start(t.Context(), Config{Home: dir, Settings: testSettings()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t *testing.T, server *Server) {
	t.Helper()
	if err := server.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// query runs one statement that gives one text.
func query(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var answer string
	err = conn.QueryRow(ctx, sql).Scan(&answer)
	return answer, err
}

func wantAnswer(t *testing.T, url, sql, want string) {
	t.Helper()
	got, err := query(t.Context(), url, sql)
	if err != nil || got != want {
		t.Fatalf("%s: got %q, %v; want %q", sql, got, err, want)
	}
}

func postmasterOf(t *testing.T, dir string) postmaster {
	t.Helper()
	pm, running := resolveHome(dir).postmaster()
	if !running {
		t.Fatal("no server runs")
	}
	return pm
}

const (
	remember = "CREATE TABLE kept AS SELECT 'still here' AS word"
	recall   = "SELECT word FROM kept"
)

func keep(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), remember); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("GivesADatabaseOnlyItsUserCanReach", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		url := start(t, dir).URL()

		wantAnswer(t, url, "SELECT current_user || ' ' || current_database()", "campaignd campaignd")
		wantAnswer(t, url, "SHOW listen_addresses", "")
		wantAnswer(t, url, "SHOW server_encoding", "UTF8")
		wantAnswer(t, url, "SHOW TimeZone", "UTC")
		wantAnswer(t, url, "SHOW synchronous_commit", "on")
		wantAnswer(t, url, "SHOW data_checksums", "on")

		socketDir := postmasterOf(t, dir).socketDir
		info, err := os.Stat(socketDir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the socket directory has mode %v, %v; want 0700", info.Mode().Perm(), err)
		}
		group, err := syscall.Getpgid(postmasterOf(t, dir).pid)
		if err != nil || group == syscall.Getpgrp() {
			t.Errorf("the server is in our process group %d, %v: Ctrl-C would reach it", group, err)
		}
		if uid, _ := owner(filepath.Join(dir, "data")); uid == 0 {
			t.Error("the data belongs to root")
		}
	})

	t.Run("DefaultsAreDurable", func(t *testing.T) {
		t.Parallel()
		s := &Server{home: home{"/h"}}
		settings := s.settings("/s")
		for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
			if settings[name] != "on" {
				t.Errorf("%s is %q, want on", name, settings[name])
			}
		}
	})

	t.Run("KeepsDataOverARestart", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		first := start(t, dir)
		keep(t, first.URL())
		pid := postmasterOf(t, dir).pid
		stop(t, first)
		if _, ok := Running(dir); ok || isPostgres(pid, filepath.Join(dir, "data")) {
			t.Fatal("the server runs after Stop")
		}
		second := start(t, dir)
		if !second.Started() {
			t.Error("the second start says that it joined")
		}
		wantAnswer(t, second.URL(), recall, "still here")
	})

	t.Run("ManyAtOnceShareOneServerAndTheLastOneStopsIt", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		servers := make([]*Server, 4)
		var wg sync.WaitGroup
		for i := range servers {
			wg.Go(func() {
				server, err := Start(t.Context(), Config{Home: dir, Settings: testSettings()})
				if err != nil {
					t.Error(err)
					return
				}
				servers[i] = server
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		started := 0
		for _, server := range servers {
			if server.Started() {
				started++
			}
		}
		if started != 1 {
			t.Errorf("%d of them started the server, want 1", started)
		}
		for i, server := range servers {
			wantAnswer(t, server.URL(), "SELECT 'up'", "up")
			alone, err := server.Alone(t.Context())
			if last := i == len(servers)-1; err != nil || alone != last {
				t.Errorf("server %d: alone is %v, %v", i, alone, err)
			}
			stop(t, server)
		}
		if _, ok := Running(dir); ok {
			t.Error("the server runs after the last one left")
		}
	})

	t.Run("IsFoundAndJoinedByAnotherProgram", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		if url, ok := Running(dir); ok {
			t.Fatalf("a server runs before the start: %s", url)
		}
		cmd, stdin, url := startHelper(t, self(t), dir, nil)
		if found, ok := Running(dir); !ok || found != url {
			t.Errorf("Running gives %q, %v; want %q", found, ok, url)
		}
		joined := start(t, dir)
		if joined.Started() {
			t.Error("started a second server")
		}
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, joined.URL(), "SELECT 'up'", "up") // the one who started it has gone
	})

	t.Run("TakesOverFromAKilledProgram", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		cmd, _, url := startHelper(t, self(t), dir, nil)
		keep(t, url)
		before := postmasterOf(t, dir).pid
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		wantAnswer(t, url, recall, "still here") // left running

		server := start(t, dir)
		wantAnswer(t, server.URL(), recall, "still here")
		if after := postmasterOf(t, dir).pid; after == before {
			t.Error("the server that was left behind still runs")
		}
	})

	t.Run("RecoversFromAKilledServer", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		cmd, _, url := startHelper(t, self(t), dir, nil)
		keep(t, url)
		pid := postmasterOf(t, dir).pid
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		wantAnswer(t, start(t, dir).URL(), recall, "still here")
	})

	t.Run("StartsAgainAServerThatIsKilledInUse", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t)
		server := start(t, dir)
		keep(t, server.URL())
		_ = syscall.Kill(postmasterOf(t, dir).pid, syscall.SIGKILL)
		var err error
		for range 1000 {
			var word string
			if word, err = query(t.Context(), server.URL(), recall); err == nil && word == "still here" {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("the server did not come back: %v", err)
	})

	t.Run("StalePidFile", func(t *testing.T) {
		t.Parallel()
		for name, pid := range map[string]int{
			"OfAProcessThatIsGone":    1 << 30, // above any system's limit
			"OfAProcessOfAnotherName": os.Getpid(),
			"OfTheFirstProcessOfAll":  1,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := newHome(t)
				server := start(t, dir)
				pidFile := filepath.Join(dir, "data", "postmaster.pid")
				text, err := os.ReadFile(pidFile)
				if err != nil {
					t.Fatal(err)
				}
				stop(t, server)
				_, rest, _ := strings.Cut(string(text), "\n")
				if err := os.WriteFile(pidFile, []byte(strconv.Itoa(pid)+"\n"+rest), 0o600); err != nil {
					t.Fatal(err)
				}
				if uid, _ := owner(filepath.Dir(pidFile)); uid != os.Geteuid() {
					if err := os.Chown(pidFile, uid, -1); err != nil {
						t.Fatal(err)
					}
				}
				if url, ok := Running(dir); ok {
					t.Fatalf("a dead server is said to run at %s", url)
				}
				wantAnswer(t, start(t, dir).URL(), "SELECT 'up'", "up")
			})
		}
	})

	t.Run("HomeWithSpacesAndQuotes", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t, `it's "my", home`)
		url := start(t, dir).URL()
		wantAnswer(t, url, "SELECT 'up'", "up")
		if found, ok := Running(dir); !ok || found != url {
			t.Errorf("Running gives %q, %v; want %q", found, ok, url)
		}
	})

	t.Run("HomeTooLongForASocket", func(t *testing.T) {
		t.Parallel()
		dir := newHome(t, strings.Repeat("long ", 20), strings.Repeat("longer", 20))
		url := start(t, dir).URL()
		wantAnswer(t, url, "SELECT 'up'", "up")
		socketDir := postmasterOf(t, dir).socketDir
		t.Cleanup(func() { _ = os.RemoveAll(socketDir) })
		if strings.HasPrefix(socketDir, dir) || !fits(socketDir) {
			t.Errorf("the socket is in %s", socketDir)
		}
		if found, ok := Running(dir); !ok || found != url {
			t.Errorf("Running gives %q, %v; want %q", found, ok, url)
		}
	})

	t.Run("AsAnOrdinaryUser", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			wantAnswer(t, start(t, newHome(t)).URL(), "SELECT 'up'", "up")
			return
		}
		runAs, err := home{"/nonexistent"}.account()
		if err != nil {
			t.Fatal(err)
		}
		dir := newHome(t, "theirs")
		theirs := filepath.Dir(dir)
		program := filepath.Join(theirs, "localpg.test") // the original is not theirs to run
		if err := os.Mkdir(theirs, 0o755); err != nil {
			t.Fatal(err)
		}
		copyFile(t, self(t), program)
		if err := os.Chown(theirs, runAs.uid, runAs.gid); err != nil {
			t.Fatal(err)
		}
		cmd, stdin, url := startHelper(t, program, dir, &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(runAs.uid), Gid: uint32(runAs.gid)},
		})
		wantAnswer(t, url, "SELECT 'up'", "up") // root may always
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the home has mode %v, %v; want 0700", info.Mode().Perm(), err)
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
}
