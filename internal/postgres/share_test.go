package postgres_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/campaignd/campaignd/internal/campaign"
)

// Whatever nodes do, die, pause or do not hear, and whatever becomes of the rate:
// what those whose lease runs may use never sums to more than the rate; after it
// fell (a change, a slow-down) the sum never grows until it fits again, which is
// when the last lease of before has ended.
func TestStoreSharesNeverSumAboveTheRate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	type node struct {
		share float64
		until float64 // on the nodes' clock, in seconds
	}
	rapid.Check(t, func(r *rapid.T) {
		f.exec(t, `TRUNCATE campaign.channel_shares, campaign.channel_slowdowns`)
		f.exec(t, `UPDATE campaign.channels SET rate = 100`)
		nodes := make([]node, rapid.IntRange(1, 8).Draw(r, "nodes"))
		rate, allowed := 100.0, 100.0
		// The nodes' clock: what is drawn, and what the steps themselves take, which the
		// database's leases lose as well.
		begun, drawn := time.Now(), 0.0
		clock := func() float64 { return drawn + time.Since(begun).Seconds() }
		sum := func() (total float64) {
			for _, n := range nodes {
				if clock() < n.until {
					total += n.share
				}
			}
			return total
		}
		former, fitsAt := 0.0, 0.0
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			i := rapid.IntRange(0, len(nodes)-1).Draw(r, "node")
			switch what := rapid.SampledFrom([]string{"renew", "renew", "renew", "renew", "refused", "lost", "pass", "pause", "die", "rate"}).Draw(r, "what"); what {
			case "pass", "pause":
				seconds := rapid.Float64Range(0.1, 4).Draw(r, "seconds")
				drawn += seconds
				if what == "pause" {
					// The database's machine stood still; or its clock was set back.
					seconds -= rapid.Float64Range(0, seconds).Draw(r, "lost seconds")
				}
				f.exec(t, `UPDATE campaign.channel_shares SET expires_at = expires_at - make_interval(secs => $1)`, seconds)
				f.exec(t, `UPDATE campaign.channel_slowdowns SET cut_at = cut_at - make_interval(secs => $1), quiet_at = quiet_at - make_interval(secs => $1)`, seconds)
			case "die":
				nodes[i] = node{}
			case "rate":
				rate = rapid.SampledFrom([]float64{100, 80, 10, 1}).Draw(r, "rate")
				f.exec(t, `UPDATE campaign.channels SET rate = $1`, rate)
			default:
				d := campaign.Demand{Weight: rapid.Float64Range(1, 50).Draw(r, "weight")}
				asked := clock()
				if asked < nodes[i].until {
					d.Using = nodes[i].share
				}
				if what == "refused" {
					d.Refused = time.Now()
				}
				share, err := f.RenewShare(t.Context(), f.channel, fmt.Sprint(i), d)
				if err != nil {
					r.Fatal(err)
				}
				if share.Allowed < allowed-1e-9 {
					fitsAt = clock() + campaign.ShareLease.Seconds()
				}
				if allowed = share.Allowed; share.Rate > allowed+1e-9 || allowed > rate {
					r.Fatalf("%v/s were given, %v/s are allowed of %v/s", share.Rate, allowed, rate)
				}
				if what != "lost" { // otherwise the database has it, the node never hears of it
					nodes[i] = node{share: share.Rate, until: asked + campaign.ShareLease.Seconds()}
				}
			}
			at, total := clock(), sum()
			if total > allowed+1e-6 && (total > former+1e-6 || at >= fitsAt) {
				r.Fatalf("%v/s may be used, before it was %v/s, of %v/s: %+v at %v", total, former, allowed, nodes, at)
			}
			former = total
		}
	})
}

// renewals are the shares of nodes that renew in turns.
type renewals struct {
	f     *fixture
	share []float64
}

func (n *renewals) renew(t *testing.T, i int, weight float64, refused time.Time) campaign.Share {
	t.Helper()
	share, err := n.f.RenewShare(t.Context(), n.f.channel, fmt.Sprint(i), campaign.Demand{Weight: weight, Using: n.share[i], Refused: refused})
	if err != nil {
		t.Fatal(err)
	}
	n.share[i] = share.Rate
	return share
}

func (n *renewals) sum() (total float64) {
	for _, s := range n.share {
		total += s
	}
	return total
}

func TestStoreSharesAreDividedAndGivenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.channels SET rate = 90`)
	n := &renewals{f: f, share: make([]float64, 2)}
	const a, b = 0, 1
	want := func(who int, weight, want float64, why string) {
		t.Helper()
		if got := n.renew(t, who, weight, time.Time{}).Rate; got != want {
			t.Fatalf("%s: %v, want %v", why, got, want)
		}
	}
	want(a, 1, 90, "alone")
	want(b, 2, 0, "before the other goes slower")
	want(a, 1, 30, "a goes slower")
	want(b, 2, 0, "a has not confirmed yet")
	want(a, 1, 30, "a confirms")
	want(b, 2, 60, "b has its share")
	// Weights change with every renewal: a share that moved each time would be used
	// by nobody for most of it.
	want(a, 1.2, 30, "a little more weight takes nothing from anybody")
	want(b, 2, 60, "b has no less than before")
	want(a, 8, 30, "much more weight: b must go slower first")
	want(b, 2, 18, "b goes slower")
	want(b, 2, 18, "b confirms")
	want(a, 8, 72, "a has it")
	if err := f.DropShares(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	want(a, 1, 90, "alone again")
}

// Every live node keeps a small share, however much the others have to do, and
// all of the rate is in use.
func TestStoreEightNodesShareOneChannel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.channels SET rate = 80`)
	n := &renewals{f: f, share: make([]float64, 8)}
	for round := range 20 {
		for i := range n.share {
			weight := 1.0
			if i >= 4 {
				weight = 100 + float64((round*7+i*13)%20)
			}
			n.renew(t, i, weight, time.Time{})
			if n.sum() > 80+1e-6 {
				t.Fatalf("%v of 80", n.share)
			}
		}
		if round > 3 && n.sum() < 0.99*80 {
			t.Errorf("round %d: only %v of 80 are in use: %v", round, n.sum(), n.share)
		}
	}
	if least := slices.Min(n.share); least < 0.15 {
		t.Errorf("an idle node is left %v: %v", least, n.share)
	}
	if busy := slices.Min(n.share[4:]); busy < 10 {
		t.Errorf("a busy node has %v: %v", busy, n.share)
	}
}

// Two nodes that are refused at the same moment halve the rate once, for all; it
// comes back by a tenth every ten seconds.
func TestStoreSlowDownIsShared(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.channels SET rate = 80`)
	n := &renewals{f: f, share: make([]float64, 4)}
	pass := func(seconds float64) {
		f.exec(t, `UPDATE campaign.channel_slowdowns SET cut_at = cut_at - make_interval(secs => $1), quiet_at = quiet_at - make_interval(secs => $1)`, seconds)
	}
	round := func() {
		for range 3 {
			for i := range n.share {
				n.renew(t, i, 1, time.Time{})
			}
		}
	}
	round()
	if n.sum() != 80 {
		t.Fatalf("before: %v", n.share)
	}
	begun := time.Now()
	if s := n.renew(t, 0, 1, begun); !s.Cut || s.Allowed != 40 || s.CutAge != 0 || s.Rate != 10 {
		t.Errorf("the first: %+v", s)
	}
	if s := n.renew(t, 1, 1, begun); s.Cut || s.Allowed != 40 || s.CutAge <= 0 || s.Rate != 10 {
		t.Errorf("the second of the same moment: %+v", s)
	}
	if s := n.renew(t, 2, 1, time.Now().Add(time.Second)); s.Cut || s.Allowed != 40 {
		t.Errorf("a later one within ten seconds: %+v", s)
	}
	n.renew(t, 3, 1, time.Time{})
	if n.sum() != 40 {
		t.Errorf("one renewal later: %v", n.share)
	}
	pass(10)
	round()
	if math.Abs(n.sum()-44) > 1e-6 {
		t.Errorf("ten seconds later: %v", n.share)
	}
	if s := n.renew(t, 1, 1, begun.Add(-10*time.Second)); s.Cut || math.Abs(s.Allowed-44) > 1e-6 {
		t.Errorf("an echo: %+v", s)
	}
	if s := n.renew(t, 1, 1, time.Now()); !s.Cut || math.Abs(s.Allowed-22) > 1e-6 {
		t.Errorf("refused once more: %+v", s)
	}
	pass(1000)
	round()
	if n.sum() != 80 {
		t.Errorf("in the end: %v", n.share)
	}
}

// Without a limit nothing is divided until the provider asks to slow down: then
// from what all nodes sent together.
func TestStoreSlowDownWithoutALimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.exec(t, `UPDATE campaign.channels SET rate = 0`)
	renew := func(node string, using, sent float64, refused time.Time) campaign.Share {
		t.Helper()
		s, err := f.RenewShare(t.Context(), f.channel, node, campaign.Demand{Weight: 1, Using: using, Sent: sent, Refused: refused})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, node := range []string{"a", "b"} {
		if s := renew(node, 500, 500, time.Time{}); !math.IsInf(s.Rate, 1) || s.CutAge >= 0 {
			t.Fatalf("without a limit: %+v", s)
		}
	}
	if s := renew("a", 500, 500, time.Now()); !s.Cut || s.Allowed != 500 || s.Rate != 250 {
		t.Errorf("the cut: %+v", s)
	}
	if s := renew("b", 500, 500, time.Time{}); s.Rate != 250 {
		t.Errorf("the other: %+v", s)
	}
	f.exec(t, `UPDATE campaign.channel_slowdowns SET quiet_at = quiet_at - interval '150 seconds'`) // 1.1¹⁵ > 4
	if s := renew("a", 250, 250, time.Time{}); !math.IsInf(s.Rate, 1) {
		t.Errorf("recovered: %+v", s)
	}
}

// Who gives its shares back tells the others, once for each channel; they would
// otherwise leave that part of the rate unused until their next renewal.
func TestStoreDroppedSharesAreHeardOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	if _, err := f.RenewShare(t.Context(), f.channel, "leaves", campaign.Demand{Weight: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	freed, ended := make(chan campaign.ChannelID, 10), make(chan struct{})
	go func() {
		defer close(ended)
		f.Listen(ctx, func(campaign.ChannelID, bool) {}, func(id campaign.ChannelID) { freed <- id }, func(err error) { t.Error(err) })
	}()
	defer func() { cancel(); <-ended }()
	for listens := false; !listens; time.Sleep(5 * time.Millisecond) {
		if err := f.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN%')`).Scan(&listens); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.DropShares(t.Context(), "leaves"); err != nil {
		t.Fatal(err)
	}
	if err := f.DropShares(t.Context(), "leaves"); err != nil { // has none any more
		t.Fatal(err)
	}
	if id := <-freed; id != f.channel {
		t.Errorf("channel %d was freed, want %d", id, f.channel)
	}
	f.exec(t, `SELECT pg_notify('campaign_shares', 'no number'), pg_notify('campaign_shares', '77')`)
	if id := <-freed; id != 77 {
		t.Errorf("channel %d was freed, want only 77", id)
	}
}
