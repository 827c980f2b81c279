package throttle

import (
	"math"
	"sync/atomic"
	"time"
)

// meter counts what was sent over the last second. It takes no lock: on a
// channel without a limit it is all that its senders share.
type meter struct {
	start time.Time
	// Each slot holds the number of its tick in the upper 40 bits (3,000 years)
	// and a count in the lower 24 (168 million messages per second). Slots are
	// used in turn; eleven are read, the rest are for late readers.
	slots [16]atomic.Uint64
}

const (
	tick      = 100 * time.Millisecond
	countBits = 24
)

func (m *meter) add(now time.Time) {
	number := uint64(now.Sub(m.start) / tick)
	slot := &m.slots[number%uint64(len(m.slots))]
	for {
		old := slot.Load()
		fresh := number<<countBits | 1
		switch {
		case old>>countBits == number:
			fresh = old + 1
		case old>>countBits > number:
			return // too late by more than a second to count
		}
		if slot.CompareAndSwap(old, fresh) {
			return
		}
	}
}

// lastSecond returns messages per second, over the last ten whole ticks and the
// current one.
func (m *meter) lastSecond(now time.Time) float64 {
	elapsed := now.Sub(m.start)
	current := uint64(elapsed / tick)
	var sent uint64
	for i := range m.slots {
		value := m.slots[i].Load()
		if number := value >> countBits; number <= current && number+10 >= current {
			sent += value & (1<<countBits - 1)
		}
	}
	return float64(sent) / (time.Second + elapsed%tick).Seconds()
}

// average is a moving average of durations, without a lock. Its weight makes
// the last 64 the larger part: a single 20 s timeout moves it by 0.3 s, and at
// 80/s it follows a change within a second or two.
type average struct {
	seconds atomic.Uint64 // bits of a float64; 0: nothing observed
}

const weight = 1.0 / 64

func (a *average) add(d time.Duration) {
	for {
		old := a.seconds.Load()
		value := d.Seconds()
		if old != 0 {
			last := math.Float64frombits(old)
			value = last + weight*(value-last)
		}
		if a.seconds.CompareAndSwap(old, math.Float64bits(value)) {
			return
		}
	}
}

func (a *average) value() (seconds float64, ok bool) {
	bits := a.seconds.Load()
	return math.Float64frombits(bits), bits != 0
}

const (
	// minWorkers keeps a slow channel from standing still behind one POST that
	// takes its 20 s.
	minWorkers = 4

	// usualLatency is taken before the first observation: at 80/s it gives 64
	// workers.
	usualLatency = 400 * time.Millisecond
)

// Observe takes the time from a message's turn to its recorded outcome, from
// which Workers is derived.
func (c *Channel) Observe(latency time.Duration) {
	c.latency.add(max(latency, time.Nanosecond))
}

// Workers suggests how many messages of this channel to work on at a time:
// twice what its rate and the observed latency need, so that there is a line
// while a commit is slow, at least 4 and at most the given number. Without a
// limit it is that number. A slow-down does not lower it: it passes, and those
// who wait cost nothing.
func (c *Channel) Workers(most int) int {
	c.mu.Lock()
	share := min(c.limit, c.share.limit())
	c.mu.Unlock()

	latency, ok := c.latency.value()
	if !ok {
		latency = usualLatency.Seconds()
	}
	// Compared before the conversion: an int cannot hold every float.
	workers := math.Ceil(2 * float64(share) * latency)
	if !(workers < float64(most)) {
		return most
	}
	return min(max(int(workers), minWorkers), most)
}
