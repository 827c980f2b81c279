package throttle

import (
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
