package throttle

import (
	"container/heap"
	"time"
)

// line is who waits: by priority, then in the order of arrival. Priorities are
// strict, a low one may starve; callers bound their wait and come again.
type line struct {
	heap    waiters
	arrived uint64
}

// waiter is one goroutine in a line. done is closed when it is served or sent
// away; err is written before that and says why it was sent away.
type waiter struct {
	turn  Turn
	order uint64
	index int // in the heap, -1 when it has left
	done  chan struct{}
	err   error
}

func (l *line) len() int    { return len(l.heap) }
func (l *line) empty() bool { return len(l.heap) == 0 }

func (l *line) join(turn Turn) *waiter {
	l.arrived++
	w := &waiter{turn: turn, order: l.arrived, done: make(chan struct{})}
	heap.Push(&l.heap, w)
	return w
}

// next serves the first in line.
func (l *line) next() {
	w := heap.Pop(&l.heap).(*waiter)
	close(w.done)
}

// leave takes w out of the line and says whether it was still there.
func (l *line) leave(w *waiter) bool {
	if w.index < 0 {
		return false
	}
	heap.Remove(&l.heap, w.index)
	return true
}

// drop sends a campaign's waiters away.
func (l *line) drop(campaign int64, reason error) {
	kept := l.heap[:0]
	for _, w := range l.heap {
		if w.turn.Campaign != campaign {
			w.index = len(kept)
			kept = append(kept, w)
			continue
		}
		w.sendAway(reason)
	}
	clear(l.heap[len(kept):])
	l.heap = kept
	heap.Init(&l.heap)
}

// clear sends everybody away.
func (l *line) clear(reason error) {
	for _, w := range l.heap {
		w.sendAway(reason)
	}
	l.heap = nil
}

func (w *waiter) sendAway(reason error) {
	w.index = -1
	w.err = reason
	close(w.done)
}

// waiters implements heap.Interface.
type waiters []*waiter

func (h waiters) Len() int { return len(h) }

func (h waiters) Less(i, j int) bool {
	if h[i].turn.Priority != h[j].turn.Priority {
		return h[i].turn.Priority < h[j].turn.Priority
	}
	return h[i].order < h[j].order
}

func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index = i
	h[j].index = j
}

func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *waiters) Pop() any {
	old := *h
	last := len(old) - 1
	w := old[last]
	old[last] = nil
	*h = old[:last]
	w.index = -1
	return w
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
