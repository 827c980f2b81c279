package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/campaignd/campaignd/internal/campaign"
)

// host is a machine of its own as far as the network goes: a network namespace
// whose only way out is one link, to the address here.
type host struct {
	name string // of the namespace
	link string // our end of it
	here string // our address on the link
}

// newHost makes one. It skips where the kernel or our privileges refuse.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the ip command of iproute2")
	}
	id := os.Getpid() % 60000
	h := &host{name: fmt.Sprintf("campaignd-%d", id), link: fmt.Sprintf("cd%d", id), here: fmt.Sprintf("10.213.%d.1", id%250)}
	there := strings.TrimSuffix(h.here, ".1") + ".2/30"
	for i, args := range [][]string{
		{"netns", "add", h.name},
		{"link", "add", h.link, "type", "veth", "peer", "name", "up0", "netns", h.name},
		{"addr", "add", h.here + "/30", "dev", h.link},
		{"link", "set", h.link, "up"},
		{"-n", h.name, "addr", "add", there, "dev", "up0"},
		{"-n", h.name, "link", "set", "up0", "up"},
		{"-n", h.name, "link", "set", "lo", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made here: ip %s: %s", strings.Join(args, " "), out)
		}
		if i == 0 {
			t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.name).Run() })
		}
	}
	return h
}

// set takes the link up or down: down, packets vanish and nobody is told.
func (h *host) set(t *testing.T, state string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", h.link, state).CombinedOutput(); err != nil {
		t.Fatalf("set the link %s: %s", state, out)
	}
}

// in runs fn inside the namespace: sockets that it opens and processes that it
// starts stay there.
func (h *host) in(t *testing.T, fn func()) {
	t.Helper()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var f *os.File
		if f, err = os.Open("/run/netns/" + h.name); err != nil {
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			fn()
		}
	}()
	if <-done; err != nil {
		t.Fatalf("enter the namespace: %v", err)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// relay passes connections of a listener on, and remembers when requests came
// through: which POSTs were this host's.
type relay struct {
	mu    sync.Mutex
	posts []time.Time
}

func (r *relay) serve(t *testing.T, l net.Listener, network, address string) {
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial(network, address)
				if err != nil {
					return
				}
				defer server.Close()
				go func() {
					_, _ = io.Copy(client, server)
					_ = client.Close()
				}()
				_, _ = io.Copy(server, io.TeeReader(client, r))
			}()
		}
	}()
}

// Write sees what goes to the provider.
func (r *relay) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "POST ") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.posts = append(r.posts, time.Now())
	}
	return len(p), nil
}

func (r *relay) between(from, to time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.posts {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// A node on a host of its own is cut off from the database while it still reaches
// the provider. Its lease ends and it stops by itself; the other takes over its
// part of the rate; what it had claimed and posted is recorded when the link is
// up again, and it goes on. Nobody gets anything twice, and the rate is held all
// the time.
func TestNodeCutOffFromTheDatabase(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	undisturbed(t, func(t *testing.T) []string { return nodeCutOff(t, h) })
}

func nodeCutOff(t *testing.T, h *host) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	const limit = 40
	w := newWorldAt(t, limit, "--profile", "clean", "--latency", "200ms")
	w.audience(3200)
	w.daemon()

	// Its database is behind the link; the provider's address is the same on both
	// hosts, and does not go over the link.
	config, err := pgx.ParseConfig(valueOf(w.env, "CAMPAIGN_DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	database, err := net.Listen("tcp", h.here+":0")
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	(&relay{}).serve(t, database, network, address)
	provider := &relay{}
	there := *w
	there.env = append(slices.Clone(w.env), fmt.Sprintf("CAMPAIGN_DATABASE_URL=postgres://%s:%s@%s/%s?sslmode=disable",
		config.User, config.Password, database.Addr(), config.Database))
	h.in(t, func() {
		l, err := net.Listen("tcp", strings.TrimPrefix(w.base, "http://"))
		if err != nil {
			t.Error(err)
			return
		}
		provider.serve(t, l, "tcp", strings.TrimPrefix(w.base, "http://"))
		there.start("campaignd", "run", "--listen", "127.0.0.1:8080", "--log-format", "text", "--roles", "send")
	})
	half := func(nodes []campaign.NodeStatus) bool {
		parts := 0
		for _, n := range nodes {
			if n.State == campaign.NodeRunning && len(n.Channels) == 1 && n.Channels[0].Share != nil && *n.Channels[0].Share > limit/3 {
				parts++
			}
		}
		return parts == 2
	}
	w.nodesUntil("both have half of the rate", 20*time.Second, half)
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	posts := func(within, most time.Duration) {
		t.Helper()
		begun := time.Now()
		for from := begun; provider.between(from, time.Now()) < limit; time.Sleep(100 * time.Millisecond) {
			if machine().ran(begun, time.Now()) > most {
				t.Fatalf("the node posts only %d in %v", provider.between(from, time.Now()), within)
			}
			if late := time.Now().Add(-within); late.After(from) {
				from = late
			}
		}
	}
	posts(3*time.Second, 20*time.Second)

	h.set(t, "down")
	cut := time.Now()
	// A claim lives for 10 s, but without a lease nothing is posted on it.
	last := cut.Add(campaign.ShareLease + time.Second)
	time.Sleep(time.Until(cut.Add(12 * time.Second)))
	up := time.Now()
	h.set(t, "up")
	if n := provider.between(last, up); n != 0 {
		complain("%d POSTs of a node whose lease had ended", n)
	}
	w.nodesUntil("both have half of the rate again", 20*time.Second, half)
	again := time.Now()
	posts(4*time.Second, 20*time.Second)
	w.ctl(0, "campaign", "pause", "spring")
	w.until("every claim has its end", func(s campaign.Status) bool { return s.Counts[campaign.Sending]+s.Counts[campaign.Accepted] == 0 })

	s := w.provider()
	wrong = append(wrong, w.nobodyTwice(s, limit, 2)...)
	alone := s.rate(machine(), cut.Add(9*time.Second), up)
	if alone < 0.9*limit {
		complain("while the other was alone it sent %.1f/s of %d/s", alone, limit)
	}
	most, _ := s.most(machine())
	t.Logf("%d POSTs; %d of the node after the cut, %.1f/s when its lease had ended, back after %v; at most %d within a second",
		len(s.at), provider.between(cut, up), alone, again.Sub(up).Round(time.Second), most)
	w.verify("spring")
	return wrong
}
