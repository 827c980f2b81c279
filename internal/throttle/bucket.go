package throttle

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// allowance is how many messages a one-second window may hold above the rate:
// 5 %, at least one. It is what a provider that counts per second forgives at
// the edge of its window, and what our own bound is tested against.
func allowance(r rate.Limit) int {
	return max(1, int(float64(r)*0.05))
}

// windowBound is the most POSTs in any one-second window.
func windowBound(r rate.Limit) int {
	return int(math.Ceil(float64(r))) + allowance(r)
}

// burst is how many turns may be caught up, 100 ms of the rate and at least one:
// what was not taken because a timer was late, or because all workers were held
// up by one commit. A timer was 0.5–1 ms late on two idle cores, and 20–39 ms
// under four spinning goroutines. At 39/s on a machine busy with other things a
// burst of one (26 ms) once used 0.97 of the limit, all of it otherwise.
func burst(r rate.Limit) int {
	return max(1, int(float64(r)*0.1))
}

// bucket gives turns at a rate. At most one reservation of its limiter is
// outstanding, and it belongs to the bucket, not to a waiter: whoever is first in
// line when it is due gets it, so that one who gave up takes no token along.
//
// Not the bucket but the pacer keeps the provider's window.
type bucket struct {
	limiter     *rate.Limiter // nil before the first limit
	reservation *rate.Reservation

	// Turns given back, and until when they are good. The limiter cannot take
	// them: it restores no reservation whose time has come.
	returned      int
	returnedUntil time.Time
}

// returnedFor is how long turns that were given back may be taken again. While
// there is a line they are taken at once; without one they are unused time, and
// must not come out minutes later as a burst.
const returnedFor = time.Second

// take takes a turn, or says how long until one can be taken.
func (b *bucket) take(now time.Time) time.Duration {
	if b.returned > 0 {
		if now.Before(b.returnedUntil) {
			b.returned--
			return 0
		}
		b.returned = 0
	}
	if b.reservation == nil {
		if b.limiter.AllowN(now, 1) { // unlike ReserveN it does not allocate
			return 0
		}
		b.reservation = b.limiter.ReserveN(now, 1)
	}
	wait := b.reservation.DelayFrom(now)
	if wait == 0 {
		b.reservation = nil
	}
	return wait
}

// giveBack returns a turn that was taken and not used. There is no ceiling but
// the turns under way: claims are refused by whole batches (a campaign was just
// paused, or nothing was queued), and those behind them must not pay with their
// rate. Not the turns but the pacer keeps the provider's window.
func (b *bucket) giveBack(now time.Time) {
	b.returned++
	b.returnedUntil = now.Add(returnedFor)
}

// idle undoes the outstanding reservation, when nobody waits for it.
func (b *bucket) idle(now time.Time) {
	if b.reservation == nil {
		return
	}
	if b.reservation.DelayFrom(now) == 0 {
		b.giveBack(now) // due: too late for the limiter to take it back
	} else {
		b.reservation.CancelAt(now)
	}
	b.reservation = nil
}

// setRate changes the rate, which must be above 0 and finite. No reservation may
// be outstanding: one made at 1/s would keep the first in line for a second of
// the new rate. A new bucket is full.
func (b *bucket) setRate(now time.Time, r rate.Limit) {
	if b.limiter == nil {
		b.limiter = rate.NewLimiter(r, burst(r))
		return
	}
	b.limiter.SetLimitAt(now, r)
	b.limiter.SetBurstAt(now, burst(r))
}

// pacer spaces POSTs: a leaky bucket that counts when they really went. No
// window of one second, closed at both ends, holds more than windowBound, however
// late timers are and however often the rate changes, as long as no rate was
// above it. rate.Limiter cannot do this at low rates: its burst is a whole
// number, 1 loses each timer's lateness for good, so that the line here would
// grow, and 2 breaks the bound.
//
// The allowance is divided in three. One third is drift: POSTs may go that much
// faster than turns, so that a bunch dissolves (at 80/s a bunch of 30 in 23 s,
// each waiting less than 0.4 s). One is tolerance: so much may go early, to make
// up for late timers. One stays unused, for what the wire adds: at 80/s and
// above 16 ms.
//
// Counted: a window holds at most what leaks during it plus a full bucket,
// (rate + allowance/3) + (1 + allowance/3), which is less than one message above
// the bound. Both terms grow with the rate, hence the bound for changing rates.
type pacer struct {
	rate      float64 // messages per second that leak
	tolerance float64 // messages that may be in the bucket when the next one goes
	level     float64 // messages in the bucket
	at        time.Time
}

// Below 7/s a third of the allowance is more than is of use: 50 ms make up for
// every lateness measured (39 ms at most).
const (
	maxDrift     = 1.05
	maxTolerance = 50 * time.Millisecond
)

// setRate changes the rate, which must be above 0 and finite. The level is in
// messages and stays.
func (p *pacer) setRate(now time.Time, r rate.Limit) {
	p.leak(now)
	third := float64(allowance(r)) / 3
	p.rate = min(float64(r)+third, float64(r)*maxDrift)
	p.tolerance = min(third, p.rate*maxTolerance.Seconds())
}

func (p *pacer) leak(now time.Time) {
	if elapsed := now.Sub(p.at); elapsed > 0 {
		p.level = max(0, p.level-p.rate*elapsed.Seconds())
		p.at = now
	}
}

// take lets a POST go, or says how long until one may go.
func (p *pacer) take(now time.Time) time.Duration {
	p.leak(now)
	if above := p.level - p.tolerance; above > 0 {
		// Rounded up, or a wait of less than a nanosecond would be none.
		return time.Duration(min(above/p.rate, century.Seconds())*float64(time.Second)) + 1
	}
	p.level++
	return 0
}

// century bounds a wait that no Duration can hold: a rate may be as small as
// floats are.
const century = 100 * 365 * 24 * time.Hour
