package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/campaignd/campaignd/internal/campaign"
	"github.com/campaignd/campaignd/internal/pgtest"
)

// binaries are campaignd and campaignctl, built once for all tests here.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "campaignd-e2e-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "github.com/campaignd/campaignd/cmd/...").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	machine()
	code := m.Run()
	if dir, err := binaries(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// world is a database, a simulated provider and a daemon, all real processes.
type world struct {
	t      *testing.T
	bin    string
	dir    string
	env    []string
	listen string // of the daemon
	base   string // of the provider
	ledger string
}

func newWorld(t *testing.T, simulator ...string) *world {
	t.Helper()
	return newWorldAt(t, 0, simulator...)
}

// newWorldAt is newWorld whose channel has a limit, in messages per second.
func newWorldAt(t *testing.T, rate int, simulator ...string) *world {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bin: bin, dir: t.TempDir(), listen: freeAddr(t)}
	w.ledger = filepath.Join(w.dir, "ledger.jsonl")
	w.env = append(os.Environ(), "CAMPAIGN_DATABASE_URL="+pgtest.URL(t), "E2E_KEY=key-of-the-channel", "E2E_SECRET=secret-of-the-webhook")
	w.ctl(0, "migrate")
	address := freeAddr(t)
	w.base = "http://" + address
	w.start("campaignctl", append([]string{"simulator", "--listen", address, "--webhook", "http://" + w.listen + "/webhooks/sales",
		"--key-ref", "env:E2E_KEY", "--webhook-secret-ref", "env:E2E_SECRET", "--seed", "1", "--ledger", w.ledger}, simulator...)...)
	w.reachable(w.base + "/simulator/stats")
	w.ctl(0, "channel", "add", "sales", "--phone", "+12045550100", "--base-url", w.base,
		"--key-ref", "env:E2E_KEY", "--webhook-secret-ref", "env:E2E_SECRET", "--rate", fmt.Sprint(rate))
	w.ctl(0, "template", "sync", "sales")
	return w
}

var givenPorts sync.Map

// freeAddr gives an address that nobody listens at. Its port lies below those that
// the kernel gives to outgoing connections: one of them could take it before the
// program under test does. None is given twice, and those of package torture, which
// may be tested at the same time, are others.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(10_000)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		return addr
	}
	t.Fatal("no port is free")
	return ""
}

// process is a started program.
type process struct {
	*exec.Cmd
	log  *bytes.Buffer
	done chan error
}

func (w *world) start(program string, args ...string) *process {
	w.t.Helper()
	p := &process{Cmd: exec.Command(filepath.Join(w.bin, program), args...), log: &bytes.Buffer{}, done: make(chan error, 1)}
	p.Env, p.Stdout, p.Stderr, p.Dir = w.env, p.log, p.log, w.dir
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.done <- p.Wait() }()
	w.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		if w.t.Failed() {
			w.t.Logf("%s %s:\n%s", program, args[0], p.log)
		}
	})
	return p
}

func (w *world) daemon(args ...string) *process {
	w.t.Helper()
	p := w.start("campaignd", append([]string{"run", "--listen", w.listen, "--log-format", "text"}, args...)...)
	w.reachable("http://" + w.listen + "/readyz")
	return p
}

// stop ends a process cleanly.
func (w *world) stop(p *process) {
	w.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	err := <-p.done
	p.done <- err
	if err != nil {
		w.t.Fatalf("a clean stop: %v\n%s", err, p.log)
	}
}

func (w *world) reachable(url string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	w.t.Fatalf("%s did not answer 200", url)
}

// ctl runs campaignctl and gives its output.
func (w *world) ctl(exit int, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(w.bin, "campaignctl"), args...)
	var stdout, stderr bytes.Buffer
	c.Env, c.Dir, c.Stdout, c.Stderr = w.env, w.dir, &stdout, &stderr
	_ = c.Run()
	if c.ProcessState.ExitCode() != exit {
		w.t.Fatalf("campaignctl %s: exit %d, want %d\n%s%s", strings.Join(args, " "), c.ProcessState.ExitCode(), exit, &stdout, &stderr)
	}
	return stdout.String()
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// audience imports n people, a part of them in the US, and writes a campaign
// file for them.
func (w *world) audience(n int) {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("phone,first_name,voucher\n")
	for i := range n {
		area := []string{"204", "416", "514", "212"}[i%4]
		fmt.Fprintf(&b, "+1%s%07d,Ann,V-%d\n", area, 2_000_000+i, i)
	}
	w.write("people.csv", b.String())
	w.write("spring.yaml", `name: spring
channel: sales
template: {name: spring_sale, language: en_US}
audience: {list: people}
parameters:
  body.1: {column: first_name, default: there}
  body.2: {column: voucher}
  button.0: {column: voucher}
retry: {code_131049: {first: 1s, factor: 1, attempts: 3}}
`)
	w.ctl(0, "contact", "import", "people.csv", "--list", "people", "--opted-in", "test")
}

func (w *world) status() campaign.Status {
	w.t.Helper()
	var s campaign.Status
	if err := json.Unmarshal([]byte(w.ctl(0, "campaign", "status", "spring", "--json")), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// until waits for a state of the campaign.
func (w *world) until(what string, ok func(campaign.Status) bool) campaign.Status {
	w.t.Helper()
	var s campaign.Status
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if s = w.status(); ok(s) {
			return s
		}
	}
	w.t.Fatalf("%s: never; the last status was %+v", what, s)
	return s
}

// adds checks that report, export, counters and the provider's ledger agree on
// every recipient.
func (w *world) adds(total int) {
	w.t.Helper()
	s := w.status()
	var sum int64
	for _, n := range s.Counts {
		sum += n
	}
	if sum != int64(total) || s.Total != int64(total) {
		w.t.Errorf("%d recipients: status has %d and counts %d", total, s.Total, sum)
	}
	rows, err := csv.NewReader(strings.NewReader(w.ctl(0, "campaign", "export", "spring"))).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	seen := map[string]bool{}
	states := map[campaign.MessageState]int64{}
	for _, row := range rows[1:] {
		if seen[row[1]] {
			w.t.Errorf("a number is exported twice")
		}
		seen[row[1]] = true
		states[campaign.MessageState(row[2])]++
	}
	for state, n := range s.Counts {
		if states[state] != n {
			w.t.Errorf("%s: status says %d, the export %d", state, n, states[state])
		}
	}
	if len(seen) != total {
		w.t.Errorf("%d recipients in the export, want %d", len(seen), total)
	}
	w.verify("spring")
}

func TestCampaignFromFileToReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean")
	w.audience(1000)
	d := w.daemon()
	out := w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes", "--wait=settled", "--timeout", "2m", "--json")
	var launched campaign.Launched
	if err := json.Unmarshal([]byte(out), &launched); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if launched.Total != 1000 || launched.Eligible != 750 || launched.Skipped["us_marketing"] != 250 {
		t.Errorf("%+v", launched)
	}
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes") // again: nothing happens
	s := w.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 750 })
	if s.State != campaign.Completed || s.Counts[campaign.Read] != 750 {
		t.Errorf("%+v", s)
	}
	w.stop(d)
	w.adds(1000)
}

func TestCampaignSurvivesAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean", "--latency", "50ms")
	w.audience(4000)
	const workers = 50
	d := w.daemon("--max-workers", fmt.Sprint(workers))
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("a thousand sent", func(s campaign.Status) bool {
		return s.Total-s.Counts[campaign.Pending]-s.Counts[campaign.Queued]-s.Counts[campaign.Skipped] > 500
	})
	if err := d.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.done <- <-d.done // its address is free only when it is gone
	w.daemon("--max-workers", fmt.Sprint(workers))
	s := w.until("completed after the kill", func(s campaign.Status) bool { return s.State == campaign.Completed })
	if n := s.Counts[campaign.Unknown]; n > workers {
		t.Errorf("%d unknown after the kill of %d workers", n, workers)
	}
	w.until("everything reported", func(s campaign.Status) bool {
		return s.Counts[campaign.Accepted]+s.Counts[campaign.Sent]+s.Counts[campaign.Delivered] == 0
	})
	w.adds(4000)
}

func TestCampaignWithARealisticProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "realistic", "--rate", "-1", "--pace", "0.01")
	w.audience(400)
	d := w.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("completed", func(s campaign.Status) bool {
		// One run in seven the provider drops a message that it held, which holds the
		// account until a person has looked.
		if slices.ContainsFunc(s.Holds, func(h campaign.Hold) bool { return strings.HasPrefix(h.Reason, "132015") }) {
			w.ctl(0, "channel", "resume", "sales")
		}
		return s.State == campaign.Completed
	})
	// Something always ends failed here: people who are not on WhatsApp.
	w.ctl(6, "campaign", "launch", "-f", "spring.yaml", "--yes", "--wait", "--timeout", "1m")
	w.stop(d)
	w.adds(400)
}

func TestPausedCampaignsSendNothing(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, 100, "--profile", "clean", "--latency", "20ms") // for half a minute
	w.audience(4000)
	w.daemon("--max-workers", "20")
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 100 })
	w.ctl(0, "campaign", "pause", "spring")
	w.until("nothing under way", func(s campaign.Status) bool { return s.Counts[campaign.Sending] == 0 })
	before := len(w.entries())
	time.Sleep(time.Second)
	if after := len(w.entries()); after != before {
		t.Errorf("%d POSTs after the pause", after-before)
	}
	if s := w.status(); s.State != campaign.Paused || len(s.Holds) != 1 {
		t.Errorf("%s with holds %+v", s.State, s.Holds)
	}
	w.ctl(0, "campaign", "resume", "spring")
	w.until("more sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 1000 })
	w.ctl(0, "campaign", "cancel", "spring", "--yes")
	w.until("nothing waits", func(s campaign.Status) bool {
		return s.Counts[campaign.Pending]+s.Counts[campaign.Queued]+s.Counts[campaign.Sending]+s.Counts[campaign.Deferred] == 0
	})
	w.until("everything reported", func(s campaign.Status) bool {
		return s.Counts[campaign.Accepted]+s.Counts[campaign.Sent]+s.Counts[campaign.Delivered] == 0
	})
	if s := w.status(); s.State != campaign.Cancelled || s.Counts[campaign.MessageCancelled] == 0 {
		t.Errorf("%+v", s)
	}
	w.adds(4000)
}

func TestCleanStopLeavesNothingInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean", "--latency", "300ms")
	w.audience(4000)
	d := w.daemon("--max-workers", "100")
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Sending] > 20 })
	begun := time.Now()
	w.stop(d)
	if took := time.Since(begun); took > 45*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if s := w.status(); s.Counts[campaign.Sending]+s.Counts[campaign.Unknown] != 0 {
		t.Errorf("after a clean stop: %+v", s.Counts)
	}
	w.verify("spring")
	w.daemon("--max-workers", "500")
	w.until("everything read after the start", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 3000 })
	w.adds(4000)
}

// A daemon that is suspended longer than a claim lives, and longer than it takes
// the other to believe it dead, must not post when it wakes up.
func TestSuspendedDaemonPostsNothingOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean", "--latency", "100ms")
	w.audience(8000)
	d := w.daemon("--max-workers", "50")
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Sending] > 20 })
	if err := d.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.listen = freeAddr(t)
	w.daemon("--max-workers", "50")
	time.Sleep(2 * time.Minute)
	if err := d.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	// The ledger alone decides: nobody was taken twice.
	w.verify("spring")
}

// Outcomes that cannot be written wait for the database for as long as it takes.
func TestOutcomesWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean", "--latency", "200ms")
	w.audience(4000)
	w.daemon("--max-workers", "50")
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Sending] > 20 })
	conn, err := pgx.Connect(t.Context(), valueOf(w.env, "CAMPAIGN_DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE campaign.messages IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Minute) // rescued meanwhile, and older than a stale claim
	if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	s := w.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	if s.Counts[campaign.Unknown] != 0 {
		t.Errorf("%d unknown although every answer was known", s.Counts[campaign.Unknown])
	}
	w.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 3000 })
	w.adds(4000)
}

// A second signal ends the daemon at once: what was on the wire is unknown until
// the provider reports it, and everything else goes on.
func TestHardStopLosesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--profile", "clean", "--latency", "10s")
	w.audience(400)
	const workers = 40
	d := w.daemon("--max-workers", fmt.Sprint(workers))
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something on the wire", func(s campaign.Status) bool { return s.Counts[campaign.Sending] > 20 })
	begun := time.Now()
	for range 2 {
		if err := d.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	err := <-d.done
	d.done <- err
	if took := machine().ran(begun, time.Now()); err == nil || took > 2*time.Second {
		t.Errorf("the second signal ended it with %v after %v", err, took)
	}
	w.daemon("--max-workers", "400")
	s := w.until("completed after the hard stop", func(s campaign.Status) bool { return s.State == campaign.Completed })
	if n := s.Counts[campaign.Unknown]; n > workers {
		t.Errorf("%d unknown after the stop of %d workers", n, workers)
	}
	w.until("everything reported", func(s campaign.Status) bool {
		return s.Counts[campaign.Accepted]+s.Counts[campaign.Sent]+s.Counts[campaign.Delivered] == 0
	})
	w.adds(400)
}

// Two daemons share a channel's rate; when one is killed the other has all of it
// once the lease has ended. The provider never sees more than the rate.
func TestTwoDaemonsKeepTheRateTogether(t *testing.T) {
	t.Parallel()
	undisturbed(t, twoDaemonsKeepTheRate)
}

func twoDaemonsKeepTheRate(t *testing.T) []string {
	const rate = 40
	w := newWorldAt(t, rate, "--profile", "clean")
	w.audience(1600)
	first := w.daemon()
	w.listen = freeAddr(t)
	w.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("a third sent", func(s campaign.Status) bool { return s.Counts[campaign.Pending]+s.Counts[campaign.Queued] < 800 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	w.verify("spring")

	s := w.provider()
	most, _ := s.most(machine())
	t.Logf("%d POSTs in %v, at most %d within a second", len(s.at), s.at[len(s.at)-1].Sub(s.at[0]).Round(time.Second), most)
	return w.nobodyTwice(s, rate, 2)
}

// post asks the simulated provider to do something.
func (w *world) post(path, body string) {
	w.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(w.base+path, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		w.t.Fatalf("%s answers %s", path, resp.Status)
	}
}

// holds waits until just these scopes are held, each by its source. A POST that
// met a paused template holds it as well, with its code, until it is approved.
func (w *world) holds(want ...string) {
	w.t.Helper()
	var got []string
	w.until(fmt.Sprintf("held by %q", want), func(s campaign.Status) bool {
		got = got[:0]
		for _, h := range s.Holds {
			if len(want) == 0 || h.Scope != campaign.HoldTemplate || h.Source != campaign.SourceCode {
				got = append(got, string(h.Scope)+" "+h.Source)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func TestTheProvidersWordsHoldAndLift(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, 5, "--profile", "clean")
	w.audience(4000)
	w.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 3 })

	w.post("/simulator/templates/spring_sale/en_US/status", `{"status":"PAUSED"}`)
	w.holds("template " + campaign.SourceTemplate)
	w.post("/simulator/templates/spring_sale/en_US/status", `{"status":"APPROVED"}`)
	w.holds()

	// What a person holds the provider does not lift.
	w.ctl(0, "campaign", "pause", "spring")
	w.post("/simulator/templates/spring_sale/en_US/status", `{"status":"PAUSED"}`)
	w.holds("campaign "+campaign.SourcePerson, "template "+campaign.SourceTemplate)
	w.post("/simulator/templates/spring_sale/en_US/status", `{"status":"APPROVED"}`)
	w.holds("campaign " + campaign.SourcePerson)
	w.ctl(0, "campaign", "resume", "spring")
	w.holds()

	w.post("/simulator/account", `{"event":"ACCOUNT_RESTRICTION"}`)
	w.holds("account " + campaign.SourceAccount)
	// What was claimed before the hold may be on its way.
	w.until("nothing under way", func(s campaign.Status) bool { return s.Counts[campaign.Sending] == 0 })
	before := len(w.entries())
	time.Sleep(time.Second)
	if after := len(w.entries()); after != before {
		t.Errorf("%d POSTs of a restricted account", after-before)
	}
}

// A message that the provider held and dropped: the template is not paused, so
// it is the portfolio that is paced, and the account is held. A failed payment
// stops the account too, however many messages were taken before.
func TestDroppedMessagesAndPaymentsHoldTheAccount(t *testing.T) {
	t.Parallel()
	for behaviour, want := range map[string]string{"held_dropped": "132015", "payment": "131042"} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fates := filepath.Join(dir, "fates.csv")
			if err := os.WriteFile(fates, []byte("phone,behaviour\n+12042000000,"+behaviour+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			w := newWorldAt(t, 5, "--profile", "clean", "--pace", "0.01", "--behaviours", fates)
			w.audience(2000)
			w.daemon()
			w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
			w.holds("account " + campaign.SourceCode)
			if s := w.status(); !strings.HasPrefix(s.Holds[0].Reason, want+":") || s.State != campaign.Paused {
				t.Errorf("%s: %+v", s.State, s.Holds)
			}
		})
	}
}
