package throttle

import (
	"container/list"
	"time"
)

// line is who waits, in the order of arrival.
type line struct{ waiters list.List }

// waiter is one goroutine in a line. done is closed when it is served or sent
// away; err is written before that and says why it was sent away.
type waiter struct {
	place *list.Element // nil when it has left
	done  chan struct{}
	err   error
}

func (l *line) len() int    { return l.waiters.Len() }
func (l *line) empty() bool { return l.waiters.Len() == 0 }

func (l *line) join() *waiter {
	w := &waiter{done: make(chan struct{})}
	w.place = l.waiters.PushBack(w)
	return w
}

// next serves the first in line.
func (l *line) next() { l.dismiss(l.waiters.Front(), nil) }

// leave takes w out of the line and says whether it was still there.
func (l *line) leave(w *waiter) bool {
	if w.place == nil {
		return false
	}
	l.waiters.Remove(w.place)
	w.place = nil
	return true
}

// clear sends everybody away.
func (l *line) clear(reason error) {
	for !l.empty() {
		l.dismiss(l.waiters.Front(), reason)
	}
}

func (l *line) dismiss(place *list.Element, reason error) {
	w := l.waiters.Remove(place).(*waiter)
	w.place, w.err = nil, reason
	close(w.done)
}

// grain is the least time a timer is set to. The runtime's timers are no finer
// on Linux: set to 0.2 ms they fired 0.9 ms late (p50), set to 1 ms 0.07 ms.
// Above 1000/s several are then served by one firing instead of each by its
// own; bucket and pacer make up for a delay of this size at every rate.
const grain = time.Millisecond

// timer calls fire once, after the time last set. The zero timer with fire
// filled in is ready.
type timer struct {
	fire  func()
	timer *time.Timer
}

func (t *timer) set(wait time.Duration) {
	if wait == never {
		t.stop()
		return
	}
	wait = max(wait, grain)
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.fire)
		return
	}
	t.timer.Reset(wait)
}

func (t *timer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}
