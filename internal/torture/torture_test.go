package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// options are the size of a run; see the package's documentation.
type options struct {
	rounds, recipients, nodes int
	leader, keep              bool
	seed                      uint64
}

// secondsPerRound is how much of sending falls into a round; the rest of its time
// somebody is away.
const secondsPerRound = 2.2

// rate is the channel's, in messages per second: it spreads the campaign over the
// rounds, so that all of them find it busy. It is small enough for that also where
// every daemon keeps it for itself.
func (o options) rate() int {
	return max(20, int(float64(o.recipients)/(float64(o.rounds*o.nodes)*secondsPerRound)))
}

func readOptions(t *testing.T) options {
	t.Helper()
	number := func(name string, otherwise int) int {
		text := os.Getenv("CAMPAIGN_TORTURE_" + name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			t.Fatalf("CAMPAIGN_TORTURE_%s is %q: a number is wanted", name, text)
		}
		return n
	}
	o := options{
		rounds: number("ROUNDS", 4), nodes: max(1, number("NODES", 1)),
		leader: number("LEADER", 0) > 0, keep: number("KEEP", 0) > 0,
		seed: uint64(number("SEED", int(time.Now().UnixNano()%1_000_000_000))),
	}
	o.recipients = number("RECIPIENTS", 300*max(1, o.rounds))
	if o.recipients > 7_000_000 {
		t.Fatalf("CAMPAIGN_TORTURE_RECIPIENTS is %d: there are 7,000,000 numbers", o.recipients)
	}
	return o
}

// settleWithin bounds the wait after the last strike: what the last dead node
// held, claims that nobody answered, retries, and a hold or two.
const settleWithin = 8 * time.Minute

func TestTorture(t *testing.T) {
	t.Parallel()
	o := readOptions(t)
	t.Logf("seed %d: %d rounds, %d recipients at %d/s, %d nodes, leader candidate %v", o.seed, o.rounds, o.recipients, o.rate(), o.nodes, o.leader)
	defer func() {
		if t.Failed() {
			t.Logf("the seed was CAMPAIGN_TORTURE_SEED=%d", o.seed)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	t.Cleanup(func() { cancel(); watchers.Wait() })
	w := newWorld(t, ctx, o)
	for _, n := range w.nodes {
		must(t, n.start(ctx))
		t.Cleanup(func() {
			_ = n.cmd.Process.Signal(syscall.SIGCONT)
			_ = n.stop(syscall.SIGKILL)
		})
	}
	seen := &unknowns{ids: map[int64]bool{}}
	watch, watching := context.WithCancel(ctx)
	defer watching()
	watchers.Go(func() { w.watchUnknown(watch, seen) })
	watchers.Go(func() { w.operate(watch) })
	w.ctl("campaign", "launch", "-f", "campaign.yaml", "--yes")
	began := time.Now()

	w.toPostgres.cutting.Store(4_000)
	w.toProvider.cutting.Store(400)
	w.toDaemons.cutting.Store(200)
	c := &chaos{w: w, dice: rand.New(rand.NewPCG(o.seed, 2)), kinds: map[string]int{}}
	c.run(ctx, o.rounds)
	struck := time.Since(began)
	for _, p := range []*proxy{w.toPostgres, w.toProvider, w.toDaemons} {
		p.cutting.Store(0)
	}
	for _, complaint := range c.complaints {
		t.Error(complaint)
	}
	if t.Failed() {
		w.logs()
		t.FailNow()
	}
	settled := time.Now()
	var held time.Duration
	watchers.Go(func() { held = w.awaitDead(ctx, settled) })
	w.settle(ctx)
	tail := time.Since(settled)
	watching()
	watchers.Wait()

	// To show its ledger the provider writes what it has of it.
	w.waitFor(30*time.Second, "the whole ledger", func() bool { return answers(w.simulator + "/simulator/ledger") })
	w.ledger.readOn()
	v := compare(newRecipients(o.recipients, o.seed), w.exported(), w.ledger.all())
	t.Logf("\n%s", table(o, c, w, v, seen.count(), struck, tail, held))
	for _, complaint := range v.complaints {
		t.Error(complaint)
	}
	if !v.ok() {
		t.Error("report and ledger do not agree")
	}
	if c.done < o.rounds {
		t.Errorf("everybody was posted to after %d of %d rounds", c.done, o.rounds)
	}
	if out, exit, errs := w.try("campaign", "verify", campaignKey, "--ledger", w.ledger.path); exit != 0 {
		t.Errorf("campaign verify: exit %d\n%s%s", exit, out, errs)
	}
	if how := w.ended(); how != "" {
		t.Error(how)
	}
	if held > recoverWithin+10*time.Second {
		t.Errorf("what dead daemons held ran again only after %v", held)
	}
	if bound := c.doubtful(w.ledger.all()); seen.count() > bound {
		t.Errorf("%d messages were unknown; what the provider did, cut connections and dead workers explain %d", seen.count(), bound)
	}
	if t.Failed() {
		w.logs()
	}
}

// ended says which daemon ended by itself, if one did.
func (w *world) ended() string {
	for _, n := range w.nodes {
		if how := n.ended.Load(); how != nil {
			return *how
		}
	}
	return ""
}

// logs shows how every daemon's log ends.
func (w *world) logs() {
	for _, n := range w.nodes {
		w.t.Logf("the log of %s ends:\n%s", n.name, n.tail())
	}
}

// awaitDead waits until no job is left that began before a moment: what dead
// daemons held runs again within 90 s (design §4.10).
func (w *world) awaitDead(ctx context.Context, since time.Time) time.Duration {
	for ; ctx.Err() == nil && time.Since(since) < settleWithin; time.Sleep(500 * time.Millisecond) {
		left, err := query[int64](ctx, w, `SELECT count(*) FROM river.river_job WHERE state = 'running' AND attempted_at < $1`, since)
		if err == nil && left[0] == 0 {
			return time.Since(since)
		}
	}
	return time.Since(since)
}

// settle waits until nothing moves any more: the campaign is completed, the
// provider has reported everything, and every report is applied.
func (w *world) settle(ctx context.Context) {
	w.t.Helper()
	quiet, last := 0, ""
	for deadline := time.Now().Add(settleWithin); time.Now().Before(deadline); time.Sleep(time.Second) {
		waiting, dropped := w.reports()
		if dropped > 0 {
			w.t.Fatalf("the provider gave up %d webhook events", dropped)
		}
		open, err := query[string](ctx, w, `
			SELECT 'campaign ' || state FROM campaign.campaigns WHERE state <> 'completed'
			UNION ALL SELECT 'webhooks to apply' WHERE EXISTS (SELECT FROM campaign.webhooks WHERE applied_at IS NULL)
			UNION ALL SELECT count(*) || ' ' || state FROM campaign.messages
			           WHERE state IN ('pending', 'queued', 'sending', 'deferred', 'accepted', 'held') GROUP BY state`)
		if err != nil { // the server still recovers from the last strike
			quiet, last = 0, err.Error()
			continue
		}
		if waiting > 0 {
			open = append(open, fmt.Sprintf("%d reports to come", waiting))
		}
		if how := w.ended(); how != "" {
			w.t.Fatal(how)
		}
		if last = strings.Join(open, ", "); last != "" {
			quiet = 0
			continue
		}
		if quiet++; quiet == 3 {
			return
		}
	}
	w.logs()
	w.t.Fatalf("not settled within %v: %s", settleWithin, last)
}

// operate is the person who lifts what only a person can: holds without an end.
func (w *world) operate(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(time.Second) {
		holds, err := query[string](ctx, w, `SELECT reason FROM campaign.holds WHERE until IS NULL`)
		if err != nil || len(holds) == 0 || ctx.Err() != nil {
			continue
		}
		w.operated.Add(int64(len(holds)))
		w.t.Logf("a person lifts: %s", strings.Join(holds, "; "))
		w.try("channel", "resume", channelName) // the server may be away: again in a second
	}
}

// table is the result of a run.
func table(o options, c *chaos, w *world, v verdict, unknown int, struck, tail, held time.Duration) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("seed", o.seed)
	nodes := fmt.Sprint(o.nodes)
	if o.leader {
		nodes += " and a leader candidate without sending"
	}
	row("sending nodes", nodes)
	kills := 0
	for _, s := range c.kills() {
		kills += c.kinds[s.name]
	}
	row("kills", kills)
	for _, list := range [][]strike{c.kills(), c.troubles()} {
		for _, s := range list {
			if n := c.kinds[s.name]; n > 0 {
				row("  "+s.name, n)
			}
		}
	}
	row("connections cut", fmt.Sprintf("%d database, %d provider, %d webhooks", w.toPostgres.cuts.Load(), w.toProvider.cuts.Load(), w.toDaemons.cuts.Load()))
	row("holds lifted by a person", w.operated.Load())
	row("time under fire, then to settle", fmt.Sprintf("%v, %v", struck.Round(time.Second), tail.Round(time.Second)))
	row("recipients", fmt.Sprintf("%d, %d skipped", v.eligible, v.skipped))
	row("POSTs", fmt.Sprintf("%d, %d of them cut off before the provider could read them", v.posts, v.parts))
	row("taken by the provider", v.taken)
	row("unknown seen", unknown)
	row("unknown left", fmt.Sprintf("%d, %d of them never seen by the provider", v.unknownLeft, v.unknownUnposted))
	var took []time.Duration
	paused, overtaken := 0, 0
	for _, r := range c.recoveries {
		switch {
		case r.overtaken:
			overtaken++
		case r.held:
			paused++
		default:
			took = append(took, r.took)
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		row("next POST after a kill", fmt.Sprintf("median %v, max %v (%d measured, %d while held, %d overtaken by the next strike)",
			took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took), paused, overtaken))
	}
	row("what dead daemons held ran again", fmt.Sprintf("%v after the last kill", held.Round(time.Second)))
	row("lost", v.lost)
	row("accepted twice", v.twice)
	row("second POST for one attempt", v.repeated)
	row("unaccounted", v.unaccounted)
	row("unknown although reported", v.unknownReported)
	_ = t.Flush() // a strings.Builder does not fail
	return text.String()
}
