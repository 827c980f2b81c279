package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// chaos strikes at random moments, in an order that the seed decides.
type chaos struct {
	w    *world
	dice *rand.Rand

	mu         sync.Mutex
	kinds      map[string]int
	recoveries []recovery
	complaints []string
	background sync.WaitGroup
	done       int // rounds
}

// recovery is how long after its victim was back the next POST was made.
type recovery struct {
	kind      string
	took      time.Duration
	held      bool // a hold stood meanwhile: the channel was not to send
	overtaken bool // the next strike, or the end of the list, came first
}

// strike is one way to hurt. It returns when its victim is back at work, with
// the moment from which on it could be; the zero time where nothing was killed.
type strike struct {
	name   string
	weight int
	do     func(ctx context.Context) (back time.Time, err error)
}

// kills end at least one process each.
func (c *chaos) kills() []strike {
	return []strike{
		{"campaignd kill -9", 30, func(ctx context.Context) (time.Time, error) { return c.killNode(ctx, syscall.SIGKILL) }},
		{"campaignd SIGTERM", 15, func(ctx context.Context) (time.Time, error) { return c.killNode(ctx, syscall.SIGTERM) }},
		{"campaignd SIGTERM, kill -9", 8, c.killStoppingNode},
		{"Postgres kill -9", 15, func(ctx context.Context) (time.Time, error) { return c.killPostgres(ctx, syscall.SIGKILL) }},
		{"Postgres immediate stop", 6, func(ctx context.Context) (time.Time, error) { return c.killPostgres(ctx, syscall.SIGQUIT) }},
		{"Postgres fast stop", 8, func(ctx context.Context) (time.Time, error) { return c.killPostgres(ctx, syscall.SIGINT) }},
		{"Postgres backend kill -9", 6, c.killBackend},
		{"both kill -9", 12, c.killBoth},
	}
}

// troubles leave every process alive.
func (c *chaos) troubles() []strike {
	trouble := func(do func()) func(context.Context) (time.Time, error) {
		return func(context.Context) (time.Time, error) { do(); return time.Time{}, nil }
	}
	w := c.w
	return []strike{
		{"campaignd SIGSTOP", 10, c.pauseNode},
		{"backends terminated", 10, func(ctx context.Context) (time.Time, error) { return time.Time{}, c.terminate(ctx) }},
		{"database connections cut", 10, trouble(func() { w.toPostgres.cut(c.dice.Float64()) })},
		{"database connections silent", 6, trouble(func() { w.toPostgres.silence(0.5, 5, c.span(500, 8_000)) })},
		{"database unreachable", 5, trouble(func() { w.toPostgres.away(c.span(200, 4_000)) })},
		{"POSTs cut", 10, trouble(func() { w.toProvider.cutUpTo(1 + c.dice.IntN(3)) })},
		{"POSTs silent", 8, trouble(func() { w.toProvider.silence(0.5, 1+c.dice.IntN(3), c.span(1_000, 25_000)) })},
		{"provider unreachable", 1, trouble(func() { w.toProvider.away(c.span(200, 1_500)) })},
		{"webhooks cut", 6, trouble(func() { w.toDaemons.cut(1) })},
		{"webhooks silent", 4, trouble(func() { w.toDaemons.silence(1, 4, c.span(500, 12_000)) })},
	}
}

func (c *chaos) span(low, high int) time.Duration {
	return time.Duration(low+c.dice.IntN(high-low)) * time.Millisecond
}

func pick(dice *rand.Rand, list []strike) strike {
	sum := 0
	for _, s := range list {
		sum += s.weight
	}
	roll := dice.IntN(sum)
	for _, s := range list {
		if roll -= s.weight; roll < 0 {
			return s
		}
	}
	panic("the weights add up")
}

// run strikes until the rounds are over or everybody was posted to. Each round
// kills once, in the busy time for most of them.
func (c *chaos) run(ctx context.Context, rounds int) {
	defer c.background.Wait()
	back, kind := time.Now(), "launch"
	for c.done < rounds {
		// One in four comes while the last one is still being recovered from.
		if c.dice.IntN(4) > 0 {
			if !c.awaitPOST(ctx, kind, back) {
				return
			}
			c.sleep(ctx, c.span(300, 3_000))
		} else {
			c.note(recovery{kind: kind, overtaken: true})
			c.sleep(ctx, c.span(0, 500))
		}
		if c.dice.IntN(2) == 0 {
			c.strike(ctx, pick(c.dice, c.troubles()))
			c.sleep(ctx, c.span(0, 1_500))
		}
		kill := pick(c.dice, c.kills())
		at := c.strike(ctx, kill)
		if c.done++; !at.IsZero() {
			back, kind = at, kill.name
		}
		if c.failed() || ctx.Err() != nil {
			return
		}
	}
	c.awaitPOST(ctx, kind, back)
}

func (c *chaos) strike(ctx context.Context, s strike) time.Time {
	c.w.t.Logf("%s %s", time.Now().Format("15:04:05.000"), s.name)
	back, err := s.do(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[s.name]++
	if err != nil && ctx.Err() == nil {
		c.complaints = append(c.complaints, fmt.Sprintf("%s: %v", s.name, err))
	}
	return back
}

func (c *chaos) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.complaints) > 0
}

func (c *chaos) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

func (c *chaos) note(r recovery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recoveries = append(c.recoveries, r)
}

func (c *chaos) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// doubtful bounds the messages that may ever have been unknown: answers that say
// nothing, cut connections, and for each daemon that died or stood still as many
// as it had workers (design §4).
func (c *chaos) doubtful(entries []entry) int {
	n := int(c.w.toProvider.cuts.Load())
	for _, e := range entries {
		switch e.Outcome {
		case "cut_before", "cut_after", "slow", "half_answer", "empty_502", "html_504", "garbage_200", "no_id_200", "abandoned":
			n++
		}
	}
	for _, kind := range []string{"campaignd kill -9", "campaignd SIGTERM, kill -9", "both kill -9", "campaignd SIGSTOP"} {
		n += maxWorkers * c.kinds[kind]
	}
	return n
}

// recoverWithin is what the design allows what a dead node held (§4.10);
// everything else goes on at once.
const recoverWithin = 90 * time.Second

// awaitPOST waits for the next POST after a moment, notes how long it took, and
// reports whether there is still somebody to post to.
func (c *chaos) awaitPOST(ctx context.Context, kind string, since time.Time) bool {
	held := false
	for looked := time.Now(); ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if at, ok := c.w.ledger.firstAfter(since); ok {
			c.note(recovery{kind: kind, took: at.Sub(since), held: held})
			return true
		}
		if time.Since(looked) < 500*time.Millisecond {
			continue
		}
		looked = time.Now()
		if how := c.w.ended(); how != "" {
			c.complain("%s", how)
			return false
		}
		waiting, err := query[int64](ctx, c.w, `SELECT count(*) FROM campaign.messages WHERE state IN ('pending', 'queued')`)
		if err == nil && waiting[0] <= int64(2*maxWorkers*len(c.w.nodes)) { // no more than dead daemons may hold
			c.note(recovery{kind: kind, overtaken: true})
			return false
		}
		if holds, err := query[string](ctx, c.w, `SELECT reason FROM campaign.holds WHERE until IS NULL OR until > clock_timestamp()`); err == nil && len(holds) > 0 {
			held = true
		}
		if !held && time.Since(since) > recoverWithin+10*time.Second {
			c.complain("no POST within %v of the end of %q", time.Since(since).Round(time.Second), kind)
			return false
		}
	}
	return false
}

// victim picks a daemon that is not stopped by SIGSTOP: nil when all are.
func (c *chaos) victim() *node {
	awake := slices.DeleteFunc(slices.Clone(c.w.nodes), func(n *node) bool { return n.paused.Load() })
	if len(awake) == 0 {
		return nil
	}
	return awake[c.dice.IntN(len(awake))]
}

// killNode ends a daemon and starts it again after a while.
func (c *chaos) killNode(ctx context.Context, signal syscall.Signal) (time.Time, error) {
	n := c.victim()
	if n == nil {
		return time.Time{}, nil
	}
	if err := n.stop(signal); err != nil {
		return time.Time{}, err
	}
	if signal == syscall.SIGTERM {
		if err := c.leftNothing(ctx, n); err != nil {
			return time.Time{}, err
		}
	}
	return c.restart(ctx, n, c.pause())
}

// leftNothing checks that a clean stop left no claim: of claims since the
// daemon's start every POST has an outcome (design §4.9). Where others send, too,
// nobody can tell whose claim it is.
func (c *chaos) leftNothing(ctx context.Context, n *node) error {
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d after a clean stop", n.name, code)
	}
	if len(c.w.nodes) > 1 {
		return nil
	}
	left, err := insist[int64](ctx, c.w, `SELECT count(*) FROM campaign.messages WHERE state = 'sending' AND claimed_at > $1`, n.started)
	if err != nil {
		return err
	}
	if left[0] > 0 {
		return fmt.Errorf("%s left %d claims behind after a clean stop", n.name, left[0])
	}
	return nil
}

// pause is how long a victim stays away: most come back at once.
func (c *chaos) pause() time.Duration {
	if c.dice.IntN(3) > 0 {
		return 0
	}
	return c.span(0, 3_000)
}

func (c *chaos) restart(ctx context.Context, n *node, after time.Duration) (time.Time, error) {
	c.sleep(ctx, after)
	back := time.Now()
	return back, n.start(ctx)
}

// killStoppingNode kills a daemon in the middle of its clean stop.
func (c *chaos) killStoppingNode(ctx context.Context) (time.Time, error) {
	n := c.victim()
	if n == nil {
		return time.Time{}, nil
	}
	n.expect.Store(true)
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	c.sleep(ctx, c.span(0, 150))
	if err := n.stop(syscall.SIGKILL); err != nil {
		return time.Time{}, err
	}
	return c.restart(ctx, n, c.pause())
}

func (c *chaos) killPostgres(ctx context.Context, signal syscall.Signal) (time.Time, error) {
	c.w.pg.stop(signal)
	c.sleep(ctx, c.pause())
	err := c.w.pg.start(ctx)
	return time.Now(), err
}

// killBackend makes the server end every session and recover by itself.
func (c *chaos) killBackend(ctx context.Context) (time.Time, error) {
	if !c.w.pg.crash(c.dice.IntN) {
		return time.Time{}, nil
	}
	for ctx.Err() == nil && c.w.pg.ping(ctx) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	return time.Now(), ctx.Err()
}

// killBoth kills the server and a daemon at once, and starts them in either order.
func (c *chaos) killBoth(ctx context.Context) (time.Time, error) {
	n := c.victim()
	if n == nil {
		return time.Time{}, nil
	}
	stopped := make(chan error, 1)
	go func() { stopped <- n.stop(syscall.SIGKILL) }()
	c.w.pg.stop(syscall.SIGKILL)
	if err := <-stopped; err != nil {
		return time.Time{}, err
	}
	first, later := c.pause(), c.pause()
	started := make(chan error, 1)
	go func() {
		c.sleep(ctx, first)
		started <- n.start(ctx)
	}()
	c.sleep(ctx, later)
	err := c.w.pg.start(ctx)
	if failed := <-started; err == nil {
		err = failed
	}
	return time.Now(), err
}

// pauseNode stops a daemon for a while by SIGSTOP, sometimes for longer than a
// claim is good for. With others to carry on, it may be for longer than a claim
// is taken for alive; they are struck meanwhile.
func (c *chaos) pauseNode(ctx context.Context) (time.Time, error) {
	n := c.victim()
	if n == nil {
		return time.Time{}, nil
	}
	d := c.span(500, 5_000)
	if c.dice.IntN(5) == 0 {
		d = c.span(10_000, 15_000)
	}
	alone := len(c.w.nodes) == 1
	if !alone && n.sends && c.dice.IntN(3) == 0 {
		d = c.span(65_000, 80_000)
	}
	_ = n.cmd.Process.Signal(syscall.SIGSTOP)
	n.paused.Store(true)
	wait := func() {
		c.sleep(ctx, d)
		_ = n.cmd.Process.Signal(syscall.SIGCONT)
		n.paused.Store(false)
	}
	if alone {
		wait()
	} else {
		c.background.Go(wait)
	}
	return time.Time{}, nil
}

// terminate ends some of the daemons' sessions in the database.
func (c *chaos) terminate(ctx context.Context) error {
	share := c.dice.Float64()
	_, err := insist[bool](ctx, c.w, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < $1`, share)
	return err
}
