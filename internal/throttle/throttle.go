// Package throttle answers one question: may this sending number send now, and
// if not, when? (design "Rates".)
//
// A Channel is passed twice. Wait gives a turn, before it is known which message
// will have it: turns come at the channel's rate, in the order in which they were
// asked for. Ticket.Pace lets the message go, right before the POST: claims commit
// in batches, so turns that were given evenly arrive there in bunches, and the
// provider counts what it receives, not what we meant.
//
//	ticket, err := channel.Wait(ctx)
//	if err != nil { ... } // nothing was claimed
//	defer ticket.Cancel() // gives the turn back unless Pace let it go
//	... claim the channel's next message ...
//	if err := ticket.Pace(ctx); err != nil { ... } // release the claim: nothing was posted
//	... POST ...
//
// The package knows nothing of messages, priorities, jobs, databases or providers.
// It decides neither which message is next nor whether that may be sent at all
// (both are the claim's), and it keeps nothing: what several nodes may send
// together is divided elsewhere and told through SetShare.
package throttle

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

var (
	// ErrClosed says that the channel takes no more turns, because the node stops.
	ErrClosed = errors.New("the channel is closed to new sends")

	// ErrSpent says that a ticket was used before; posting on it again would
	// exceed the rate, and may message somebody twice.
	ErrSpent = errors.New("the turn was used or given back before")
)

// Config is what a Channel starts with.
type Config struct {
	// Rate is the channel's limit in messages per second, over all nodes;
	// see SetRate.
	Rate float64
}

// Share is what this node may use of its channel's rate.
type Share struct {
	// Rate is in messages per second. Zero or less sends nothing.
	Rate float64

	// Until is when the share ends; afterwards nothing is sent before the next
	// SetShare. Take it from a clock read before the share was asked for. A share
	// without rate and end is the whole rate, for good.
	Until time.Time

	// Asked is when the share was asked for: it obeys every SlowDown before that.
	Asked time.Time

	// CutAt is when what all nodes may send was last cut, by whichever of them;
	// answers to POSTs begun before are echoes of that. Zero: never.
	CutAt time.Time
}

func (s Share) whole() bool { return s.Rate == 0 && s.Until.IsZero() }

// Channel is one sending number's throttle on this node. Its methods may be
// called from any goroutine. It owns no goroutine; Close ends those that wait.
type Channel struct {
	// free is set while nothing limits this channel, so that the fastest
	// sending shares no lock: Wait and Pace took 0.08 µs together on two cores,
	// under a limit of a million per second 1 µs. It is only changed under mu.
	free atomic.Bool
	sent meter

	mu     sync.Mutex
	closed bool
	limit  rate.Limit // configured; rate.Inf for none
	share  Share
	slowed slowdown
	now    rate.Limit // what all of these allow now; 0 sends nothing, rate.Inf is no limit

	turns     line // before the claim
	turnTimer timer
	bucket    bucket

	posts     line // between claim and POST
	postTimer timer
	pacer     pacer
}

// New returns a channel with a limit and no lease: its share is the whole rate.
func New(config Config) *Channel {
	now := time.Now()
	c := &Channel{sent: meter{start: now}, limit: limitOf(config.Rate)}
	c.turnTimer.fire = c.wake
	c.postTimer.fire = c.wake
	c.serve(now)
	return c
}

// limitOf turns a rate as people write it, 0 for none, into a limit. What is no
// rate (negative, not a number) allows nothing: a mistake must not become the
// fastest sending there is.
func limitOf(r float64) rate.Limit {
	switch {
	case r == 0, math.IsInf(r, 1):
		return rate.Inf
	case r > 0:
		return rate.Limit(r)
	default:
		return 0
	}
}

// Wait waits until a message may be claimed, for as long as ctx allows; the line
// is served in the order of arrival. It returns ctx's error when that ended first,
// and ErrClosed; with an error no turn is held.
//
// It does not return early when the line looks too long for ctx's deadline: a
// raised rate may still make room.
func (c *Channel) Wait(ctx context.Context) (Ticket, error) {
	if err := ctx.Err(); err != nil {
		return Ticket{}, err
	}
	if c.free.Load() {
		return Ticket{channel: c}, nil
	}

	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Ticket{}, ErrClosed
	}
	now := time.Now()
	c.serve(now)
	if c.turns.empty() && c.takeTurn(now) == 0 {
		c.mu.Unlock()
		return Ticket{channel: c, counted: true}, nil
	}
	w := c.turns.join()
	c.serve(now)
	c.mu.Unlock()

	served, err := c.await(ctx, &c.turns, w)
	ticket := Ticket{channel: c, counted: true}
	if err != nil {
		if served {
			ticket.Cancel()
		}
		return Ticket{}, err
	}
	return ticket, nil
}

// await blocks until w is served or must leave its line. It may be served and
// end with an error too, when both happen at once: then ctx wins, and the
// caller gives back what w was served.
func (c *Channel) await(ctx context.Context, l *line, w *waiter) (served bool, err error) {
	select {
	case <-w.done:
		return w.err == nil, w.err
	case <-ctx.Done():
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if l.leave(w) {
		c.serve(time.Now()) // a reservation nobody waits for is undone
		return false, ctx.Err()
	}
	if w.err != nil {
		return false, w.err
	}
	return true, ctx.Err()
}

// SetRate changes the channel's limit, in messages per second over all nodes.
// 0 is no limit; what is negative or not a number sends nothing. Those who wait
// follow the new limit at once. A slow-down under way goes on below it.
func (c *Channel) SetRate(messagesPerSecond float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limitOf(messagesPerSecond)
	c.serve(time.Now())
}

// SetShare tells what this node may use of the rate, and until when. The zero
// Share is the whole rate without an end, as on a single node. The end is
// checked by the monotonic and by the wall clock, since a suspended machine
// stops the first; it binds turns and POSTs alike. A slow-down noted before the
// share was asked for is part of it, and ends here.
func (c *Channel) SetShare(share Share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.share = share
	c.slowed.settle(share)
	c.serve(time.Now())
}

// SlowDown takes note that the provider asked us to slow down, in its answer to
// a POST begun at the given time, and returns whether that cut the rate of this
// node: by half, at most once per 10 s and only by answers to POSTs begun after
// the last cut, never below one message per second (design "Errors", slow_down).
// Without a limit the cut starts from the rate of the last second.
//
// The cut holds until a share that was asked for later: how much all nodes may
// send together, and when they may send more again, is decided there.
func (c *Channel) SlowDown(begun time.Time) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.serve(now)
	allowed := c.allowedWithin() // also after the share's end: it will be renewed
	base := allowed
	if base == rate.Inf {
		base = rate.Limit(c.sent.lastSecond(now))
	}
	cut = c.slowed.note(now, begun, allowed, base)
	c.serve(now)
	return cut
}

// Sent returns how many messages went out in the last second, for what shares
// are divided by, and for people.
func (c *Channel) Sent() (messagesPerSecond float64) { return c.sent.lastSecond(time.Now()) }

// Rate returns the configured limit and what this node may send now, both in
// messages per second. A limit of 0 is none; then now is 0 as well, unless the
// provider asked us to slow down. With a limit, now is 0 when nothing may be
// sent, because the share has ended.
func (c *Channel) Rate() (limit, now float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serve(time.Now())
	return number(c.limit), number(c.now)
}

func number(l rate.Limit) float64 {
	if l == rate.Inf {
		return 0
	}
	return float64(l)
}

// Close ends every wait with ErrClosed, now and later, turns and POSTs alike,
// so that stopping waits for nobody. Messages that were claimed and not yet let
// go are for their workers to release.
func (c *Channel) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.free.Store(false)
	c.turns.clear(ErrClosed)
	c.posts.clear(ErrClosed)
	c.turnTimer.stop()
	c.postTimer.stop()
}

// wake is what the timers call. A late or needless call does no harm.
func (c *Channel) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serve(time.Now())
}

// serve brings the channel to the given time: the rate that holds now, and
// everybody whose time has come. Every method goes through it, so recovery and
// the end of a lease need no timers of their own. The caller holds mu.
func (c *Channel) serve(now time.Time) {
	if c.closed {
		return
	}
	c.adjust(now)
	serveLine(now, &c.turns, &c.turnTimer, c.takeTurn)
	if c.turns.empty() {
		c.bucket.idle(now)
	}
	serveLine(now, &c.posts, &c.postTimer, c.takePost)
}

func serveLine(now time.Time, l *line, t *timer, take func(time.Time) time.Duration) {
	for !l.empty() {
		wait := take(now)
		if wait > 0 {
			t.set(wait)
			return
		}
		l.next()
	}
	t.stop()
}

// adjust sets what is allowed now: the least of limit, slow-down and share.
func (c *Channel) adjust(now time.Time) {
	allowed := c.allowedWithin()
	leased := !c.share.whole()
	if leased && ended(now, c.share.Until) {
		allowed = 0
	}
	if allowed != c.now {
		c.now = allowed
		c.bucket.idle(now) // its reservation was made at the former rate
		if allowed > 0 && allowed != rate.Inf {
			c.bucket.setRate(now, allowed)
			c.pacer.setRate(now, allowed)
		}
	}
	// Under a lease even an infinite share is checked at each turn for its end.
	c.free.Store(allowed == rate.Inf && !leased)
}

// allowedWithin is what is allowed as long as the share lasts.
func (c *Channel) allowedWithin() rate.Limit {
	return c.slowed.allow(min(c.limit, c.share.limit()))
}

func (s Share) limit() rate.Limit {
	if s.whole() {
		return rate.Inf
	}
	if !(s.Rate > 0) { // true of NaN, too
		return 0
	}
	return rate.Limit(s.Rate)
}

// ended compares by both clocks: Round(0) strips the monotonic one.
func ended(now, until time.Time) bool {
	return !now.Before(until) || !now.Round(0).Before(until.Round(0))
}

// never is the wait of somebody whom only a call can let go, not time.
const never = time.Duration(math.MaxInt64)

func (c *Channel) takeTurn(now time.Time) time.Duration {
	switch c.now {
	case 0:
		return never
	case rate.Inf:
		return 0
	}
	return c.bucket.take(now)
}

func (c *Channel) takePost(now time.Time) time.Duration {
	switch c.now {
	case 0:
		return never
	case rate.Inf:
		c.sent.add(now)
		return 0
	}
	wait := c.pacer.take(now)
	if wait == 0 {
		c.sent.add(now)
	}
	return wait
}
