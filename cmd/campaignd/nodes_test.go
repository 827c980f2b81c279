package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

// another starts a daemon beside those that run, at an address of its own. The
// first one takes the webhooks.
func (w *world) another(args ...string) *process {
	w.t.Helper()
	beside := *w
	beside.listen = freeAddr(w.t)
	return beside.daemon(args...)
}

// kill ends a process without a warning.
func (w *world) kill(processes ...*process) {
	w.t.Helper()
	for _, p := range processes {
		if err := p.Process.Kill(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// seen is what the provider saw: when it got a POST, and who got how many
// messages that it took.
type seen struct {
	at    []time.Time
	taken map[string]int
}

// provider reads the provider's ledger.
func (w *world) provider() seen {
	w.t.Helper()
	s := seen{taken: map[string]int{}}
	for _, e := range w.entries() {
		s.at = append(s.at, e.At)
		if e.ID != "" {
			s.taken[e.To]++
		}
	}
	slices.SortFunc(s.at, time.Time.Compare)
	return s
}

// most is the most POSTs within any second, and how many seconds were looked at,
// each of which ends with a POST. Left out are those in which the machine stood
// still, or shortly after: what was let go before arrives together then.
func (s seen) most(h *heart) (most, judged int) {
	i := 0
	for j, at := range s.at {
		for at.Sub(s.at[i]) >= time.Second {
			i++
		}
		if len(h.during(at.Add(-2*time.Second), at)) == 0 {
			most = max(most, j-i+1)
			judged++
		}
	}
	return most, judged
}

// gap is the longest time without a POST in which the machine ran.
func (s seen) gap(h *heart) (longest time.Duration) {
	for i := 1; i < len(s.at); i++ {
		longest = max(longest, h.ran(s.at[i-1], s.at[i]))
	}
	return longest
}

// rate is the POSTs per second between two moments in which the machine ran.
func (s seen) rate(h *heart, from, to time.Time) float64 {
	n := 0
	for _, at := range s.at {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) / h.ran(from, to).Seconds()
}

// nobodyTwice checks that, and says what it does not like of the rate: that no
// second held more POSTs than the limit and one for each node or 5 %, which is what
// the nodes keep when they let a POST go (TestNoSecondHoldsMoreThanTheBound). As
// many again are what a busy machine delays on the way to the provider.
func (w *world) nobodyTwice(s seen, limit, nodes int) (wrong []string) {
	w.t.Helper()
	for _, n := range s.taken {
		if n > 1 {
			w.t.Errorf("somebody got %d messages", n)
		}
	}
	most, judged := s.most(machine())
	if bound := limit + 2*max(nodes, limit/20); most > bound {
		wrong = append(wrong, fmt.Sprintf("%d POSTs within a second, at most %d are right", most, bound))
	}
	if judged < 3*limit {
		wrong = append(wrong, fmt.Sprintf("of %d POSTs only %d came while the machine ran", len(s.at), judged))
	}
	return wrong
}

func (w *world) nodes() []campaign.NodeStatus {
	w.t.Helper()
	var nodes []campaign.NodeStatus
	if err := json.Unmarshal([]byte(w.ctl(0, "node", "list", "--json")), &nodes); err != nil {
		w.t.Fatal(err)
	}
	return nodes
}

// nodesUntil waits for a state of the nodes.
func (w *world) nodesUntil(what string, within time.Duration, ok func([]campaign.NodeStatus) bool) {
	w.t.Helper()
	var nodes []campaign.NodeStatus
	for begun := time.Now(); machine().ran(begun, time.Now()) < within; time.Sleep(200 * time.Millisecond) {
		if nodes = w.nodes(); ok(nodes) {
			return
		}
	}
	w.t.Fatalf("%s: not within %v; the nodes were %+v", what, within, nodes)
}

// Four daemons share a channel; two are killed. The provider never sees more than
// the rate, all of it again once the leases of the dead have ended, and nobody
// gets anything twice.
func TestFourDaemonsTwoKilled(t *testing.T) {
	t.Parallel()
	undisturbed(t, fourDaemonsTwoKilled)
}

func fourDaemonsTwoKilled(t *testing.T) (wrong []string) {
	const limit = 80
	w := newWorldAt(t, limit, "--profile", "clean", "--latency", "50ms")
	w.audience(9200) // for 86 s
	w.daemon()
	daemons := []*process{w.another(), w.another(), w.another()}
	shared := func(by int) func([]campaign.NodeStatus) bool {
		return func(nodes []campaign.NodeStatus) bool {
			sum, have := 0.0, 0
			for _, n := range nodes {
				if len(n.Channels) == 1 && n.Channels[0].Share != nil && *n.Channels[0].Share > 0 {
					sum += *n.Channels[0].Share
					have++
				}
			}
			return have == by && len(nodes) == 4 && sum > limit*0.99
		}
	}
	w.nodesUntil("all have a part of the rate", 15*time.Second, shared(4))
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	time.Sleep(6 * time.Second)
	w.kill(daemons[0], daemons[2])
	killed := time.Now()
	w.nodesUntil("two have all of the rate", 15*time.Second, shared(2))
	alone := time.Now()
	w.nodesUntil("two are shown as lost", 10*time.Second, func(nodes []campaign.NodeStatus) bool {
		lost := 0
		for _, n := range nodes {
			if n.State == campaign.NodeIsLost {
				lost++
			}
		}
		return lost == 2
	})

	// All of the rate for some 8 seconds: a slow machine may need a few more for that.
	const span = 8 * time.Second
	var s seen
	after := 0.0
	for from := killed.Add(15 * time.Second); after < 0.97*limit && from.Before(killed.Add(time.Minute)); from = from.Add(time.Second) {
		time.Sleep(time.Until(from.Add(span + time.Second)))
		s = w.provider()
		after = max(after, s.rate(machine(), from, from.Add(span)))
	}
	w.ctl(0, "campaign", "pause", "spring")
	if after < 0.97*limit {
		wrong = append(wrong, fmt.Sprintf("a minute after the kills only %.1f/s of %d/s", after, limit))
	}
	wrong = append(wrong, w.nobodyTwice(s, limit, 4)...)
	most, _ := s.most(machine())
	t.Logf("%d POSTs, %.1f/s before the kills, after which the rate was shared again in %v, %.1f/s in the 15 s after, %.1f/s then; at most %d within a second",
		len(s.at), s.rate(machine(), killed.Add(-3*time.Second), killed), alone.Sub(killed).Round(time.Second),
		s.rate(machine(), killed, killed.Add(15*time.Second)), after, most)
	return wrong
}

// Daemons that are restarted one after the other leave no pause, and whoever stops
// leaves nothing in doubt.
func TestRollingRestartLeavesNoPause(t *testing.T) {
	t.Parallel()
	undisturbed(t, rollingRestart)
}

func rollingRestart(t *testing.T) (wrong []string) {
	const limit = 40
	w := newWorldAt(t, limit, "--profile", "clean", "--latency", "100ms")
	w.audience(1600)
	other := *w
	other.listen = freeAddr(t)
	first, second := w.daemon(), other.daemon()
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.until("something sent", func(s campaign.Status) bool { return s.Counts[campaign.Read] > 50 })
	for range 2 { // each of them, twice
		w.stop(first)
		if n := w.nodes(); len(n) != 1 {
			t.Errorf("after a clean stop %d nodes are listed", len(n))
		}
		first = w.daemon()
		time.Sleep(2 * time.Second)
		w.stop(second)
		second = other.daemon()
		time.Sleep(2 * time.Second)
	}
	s := w.until("completed", func(s campaign.Status) bool { return s.State == campaign.Completed })
	if n := s.Counts[campaign.Unknown]; n != 0 {
		t.Errorf("%d unknown", n)
	}
	p := w.provider()
	wrong = w.nobodyTwice(p, limit, 2)
	gap := p.gap(machine())
	if gap > time.Second {
		wrong = append(wrong, fmt.Sprintf("nothing was sent for %v", gap))
	}
	begun, end := p.at[0], p.at[len(p.at)-1]
	rate := p.rate(machine(), begun, end)
	if used := rate / limit; used < 0.9 {
		wrong = append(wrong, fmt.Sprintf("only %.2f of the rate was used", used))
	}
	most, _ := p.most(machine())
	t.Logf("%d POSTs in %v, %.1f/s; at most %d within a second, none for at most %v", len(p.at), end.Sub(begun).Round(time.Second),
		rate, most, gap.Round(time.Millisecond))
	w.until("everything read", func(s campaign.Status) bool { return s.Counts[campaign.Read] == 1200 })
	w.adds(1600)
	return wrong
}

// The provider takes less than the channel's limit. Of two daemons that are refused
// at the same moment both go slower at once, and the rate of all is halved once;
// then it comes back by tenths.
func TestTwoDaemonsSlowDownOnce(t *testing.T) {
	t.Parallel()
	undisturbed(t, twoDaemonsSlowDownOnce)
}

func twoDaemonsSlowDownOnce(t *testing.T) []string {
	const limit, takes = 80, 60
	w := newWorldAt(t, limit, "--profile", "clean", "--rate", fmt.Sprint(takes))
	w.audience(3200)
	daemons := []*process{w.daemon(), w.another()}
	allowed := func(least, most float64) func([]campaign.NodeStatus) bool {
		return func(nodes []campaign.NodeStatus) bool {
			shared := 0.0
			for _, n := range nodes {
				if len(n.Channels) != 1 || n.Channels[0].Share == nil || *n.Channels[0].Limit < least || *n.Channels[0].Limit > most {
					return false
				}
				shared += *n.Channels[0].Share
			}
			return len(nodes) == 2 && shared > least*0.98 && shared < most*1.02
		}
	}
	w.nodesUntil("all of the rate is shared", 15*time.Second, allowed(limit, limit))
	w.ctl(0, "campaign", "launch", "-f", "spring.yaml", "--yes")
	w.nodesUntil("half of it", 25*time.Second, allowed(limit/2, limit/2))
	w.nodesUntil("a tenth more", 15*time.Second, allowed(limit/2*1.1-0.01, limit/2*1.1+0.01))
	cut := 0
	for _, d := range daemons {
		w.stop(d)
		cut += strings.Count(d.log.String(), "asks us to slow down")
	}
	if cut != 1 {
		t.Errorf("the rate was cut %d times", cut)
	}
	return w.nobodyTwice(w.provider(), limit, 2)
}
