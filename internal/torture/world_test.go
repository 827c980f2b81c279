package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// world is everything that takes part: real programs, a real server, and the
// proxies between them.
type world struct {
	t      *testing.T
	dir    string
	env    []string
	pg     *server
	ledger *ledger
	nodes  []*node

	toPostgres *proxy // from the daemons
	toProvider *proxy // from the daemons
	toDaemons  *proxy // from the provider: webhooks, to each sending node in turn
	simulator  string // its address

	operated atomic.Int64 // holds that a person had to lift
}

const (
	database    = "torture"
	channelName = "sales"
	campaignKey = "spring"
)

func newWorld(t *testing.T, ctx context.Context, o options) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "campaignd-torture-")
	must(t, err)
	must(t, os.Chmod(dir, 0o711)) //nolint:gosec // the server's user passes through it
	w := &world{t: t, dir: dir}
	t.Cleanup(func() {
		if t.Failed() || o.keep {
			t.Logf("the files of this run are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	w.build()

	w.pg, err = newServer(ctx, dir)
	must(t, err)
	t.Cleanup(func() { w.pg.stop(syscall.SIGQUIT) })
	w.sql(ctx, "postgres", "CREATE DATABASE "+database)

	simulator := w.freeAddr()
	w.simulator = "http://" + simulator
	for i := range o.nodes {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprintf("node-%d", i+1), listen: w.freeAddr(), sends: true})
	}
	if o.leader {
		w.nodes = append([]*node{{w: w, name: "leader", listen: w.freeAddr(), args: []string{"--roles", "webhook"}}}, w.nodes...)
	}
	w.toPostgres, err = newProxy(func() (net.Conn, error) { return net.Dial("unix", w.pg.socket()) })
	must(t, err)
	w.toProvider, err = newProxy(func() (net.Conn, error) { return net.Dial("tcp", simulator) })
	must(t, err)
	var turn atomic.Int64
	w.toDaemons, err = newProxy(func() (net.Conn, error) {
		return net.Dial("tcp", w.nodes[int(turn.Add(1))%len(w.nodes)].listen)
	})
	must(t, err)
	t.Cleanup(func() { w.toPostgres.close(); w.toProvider.close(); w.toDaemons.close() })

	w.env = append(os.Environ(), "CAMPAIGN_DATABASE_URL="+w.pg.url(database), "CAMPAIGN_HOME="+filepath.Join(dir, "home"),
		"TORTURE_KEY=key-of-the-channel", "TORTURE_SECRET=secret-of-the-webhook")
	w.ctl("migrate")
	w.people(o)
	w.simulate(ctx, simulator, o)
	w.ctl("channel", "add", channelName, "--phone", "+12045550100", "--base-url", "http://"+w.toProvider.addr(),
		"--key-ref", "env:TORTURE_KEY", "--webhook-secret-ref", "env:TORTURE_SECRET", "--rate", fmt.Sprint(o.rate()))
	w.ctl("template", "sync", channelName)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) build() {
	w.t.Helper()
	out, err := exec.Command("go", "build", "-o", w.dir, "github.com/campaignd/campaignd/cmd/...").CombinedOutput()
	if err != nil {
		w.t.Fatalf("build: %v\n%s", err, out)
	}
}

func (w *world) freeAddr() string {
	w.t.Helper()
	l, err := listen()
	must(w.t, err)
	defer l.Close()
	return l.Addr().String()
}

func (w *world) write(name, text string) {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

// simulate starts the provider, which is never struck: its ledger is the truth.
func (w *world) simulate(ctx context.Context, address string, o options) {
	w.t.Helper()
	file := filepath.Join(w.dir, "ledger.jsonl")
	cmd := exec.Command(filepath.Join(w.dir, "campaignctl"), "simulator", "--listen", address,
		"--webhook", "http://"+w.toDaemons.addr()+"/webhooks/"+channelName,
		"--key-ref", "env:TORTURE_KEY", "--webhook-secret-ref", "env:TORTURE_SECRET",
		"--profile", "clean", "--latency", "40ms", "--pace", "0.2", "--seed", fmt.Sprint(o.seed),
		"--behaviours", filepath.Join(w.dir, "behaviours.csv"), "--ledger", file)
	log, err := os.Create(filepath.Join(w.dir, "simulator.log"))
	must(w.t, err)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.env, w.dir, log, log
	must(w.t, cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	w.waitFor(30*time.Second, "the simulator", func() bool { return answers(w.simulator + "/simulator/stats") })
	w.ledger = followLedger(ctx, file)
}

// answers reports whether a GET gives 200.
func answers(url string) bool {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// reports gives how many webhook events the provider still has to deliver, and
// how many it gave up.
func (w *world) reports() (waiting, dropped int) {
	w.t.Helper()
	resp, err := http.Get(w.simulator + "/simulator/stats")
	must(w.t, err)
	defer resp.Body.Close()
	var stats struct {
		Waiting      int `json:"webhooks_waiting"`
		Dropped      int `json:"webhooks_dropped"`
		LedgerFailed int `json:"ledger_failed"`
	}
	must(w.t, json.NewDecoder(resp.Body).Decode(&stats))
	if stats.LedgerFailed > 0 {
		w.t.Fatalf("the ledger lacks %d entries", stats.LedgerFailed)
	}
	return stats.Waiting, stats.Dropped
}

// try runs campaignctl, past the proxies.
func (w *world) try(args ...string) (stdout string, exit int, stderr string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "campaignctl"), args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.env, w.dir, &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), cmd.ProcessState.ExitCode(), errs.String()
}

func (w *world) ctl(args ...string) string {
	w.t.Helper()
	out, exit, errs := w.try(args...)
	if exit != 0 {
		w.t.Fatalf("campaignctl %s: exit %d\n%s%s", strings.Join(args, " "), exit, out, errs)
	}
	return out
}

func (w *world) waitFor(most time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(most); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatalf("%s: not within %v", what, most)
}

// query reads a value for an assertion, past the proxies; an error means that the
// server is away.
func query[T any](ctx context.Context, w *world, sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.pg.url(database))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// insist is query for a server that is up, but may still recover from the last
// strike.
func insist[T any](ctx context.Context, w *world, sql string, args ...any) (values []T, err error) {
	for range 20 {
		if values, err = query[T](ctx, w, sql, args...); err == nil || ctx.Err() != nil {
			return values, err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil, err
}

// sql carries out a statement on a server that is up.
func (w *world) sql(ctx context.Context, name, statement string) {
	w.t.Helper()
	conn, err := pgx.Connect(ctx, w.pg.url(name))
	must(w.t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	must(w.t, err)
}

// node is one campaignd, started again whenever it was killed.
type node struct {
	w      *world
	name   string
	listen string
	args   []string
	sends  bool

	cmd     *exec.Cmd
	exited  chan struct{}
	expect  *atomic.Bool // somebody is killing or stopping this process
	started time.Time
	ready   atomic.Bool            // it has taken work since its start
	paused  atomic.Bool            // stopped by SIGSTOP
	ended   atomic.Pointer[string] // how it ended although nobody here asked it to
}

const maxWorkers = 50

// start starts the daemon and returns when it takes work; where the database is
// away it ends by itself and is started again, as a service manager would.
func (n *node) start(ctx context.Context) error {
	for began := time.Now(); ; {
		if err := n.startOnce(); err != nil {
			return err
		}
		for !n.ready.Load() {
			select {
			case <-n.exited:
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
				n.ready.Store(answers("http://" + n.listen + "/healthz"))
				continue
			}
			break
		}
		if n.ready.Load() {
			go n.watch(n.cmd, n.exited, n.expect)
			return nil
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%s does not start; its log ends:\n%s", n.name, n.tail())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (n *node) startOnce() error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"run", "--listen", n.listen, "--log-format", "text", "--max-workers", fmt.Sprint(maxWorkers)}, n.args...)
	cmd := exec.Command(filepath.Join(n.w.dir, "campaignd"), args...)
	cmd.Env = append(append([]string{}, n.w.env...),
		fmt.Sprintf("CAMPAIGN_DATABASE_URL=postgres://torture@%s/%s?sslmode=disable", n.w.toPostgres.addr(), database),
		"CAMPAIGN_HOME="+filepath.Join(n.w.dir, n.name))
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.w.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is the test's to handle
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	n.cmd, n.exited, n.expect, n.started = cmd, exited, new(atomic.Bool), time.Now()
	n.ready.Store(false)
	go func() {
		_ = cmd.Wait() // read from the state
		close(exited)
	}()
	return nil
}

// watch notes a daemon that took work and then ended although nobody here asked
// it to: a daemon outlives its database. Its successor may have been started when
// this is read, so everything here belongs to the process and not to the node.
func (n *node) watch(cmd *exec.Cmd, exited chan struct{}, expect *atomic.Bool) {
	<-exited
	if !expect.Load() {
		how := fmt.Sprintf("%s ended at %s although it was not asked to: %v", n.name, time.Now().Format("15:04:05.000"), cmd.ProcessState)
		n.ended.CompareAndSwap(nil, &how)
	}
}

// stop ends the daemon by a signal; a clean stop must end within its budget of
// 45 s, and a little for a busy machine.
func (n *node) stop(signal syscall.Signal) error {
	n.expect.Store(true)
	_ = n.cmd.Process.Signal(signal)
	select {
	case <-n.exited:
		return nil
	case <-time.After(60 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.exited
		return fmt.Errorf("%s did not stop within 60 s of %v", n.name, signal)
	}
}

func (n *node) logFile() string { return filepath.Join(n.w.dir, n.name+".log") }

func (n *node) tail() string {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-20):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), 250)]
	}
	return strings.Join(lines, "\n")
}
