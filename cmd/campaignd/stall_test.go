package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// stall is when this machine stood still, or had no time for us.
type stall struct{ from, to time.Time }

// heart beats a hundred times a second and notes when it could not: whoever
// measures how the product keeps time must not take the machine's pauses for its.
type heart struct {
	mu     sync.Mutex
	stalls []stall
}

// A beat that is later than this is a stall: what a test allows a busy machine to
// delay a POST is as much (nobodyTwice).
const latest = 50 * time.Millisecond

// machine has the only heart, which beats from the first test on.
var machine = sync.OnceValue(func() *heart {
	const beat = 10 * time.Millisecond
	h := &heart{}
	go func() {
		// By the clock on the wall, as in the provider's ledger: the other one stands
		// still while a virtual machine does.
		last := time.Now().Round(0)
		for range time.NewTicker(beat).C {
			now := time.Now().Round(0)
			if now.Sub(last) > beat+latest {
				h.mu.Lock()
				h.stalls = append(h.stalls, stall{last, now})
				h.mu.Unlock()
			}
			last = now
		}
	}()
	return h
})

// during gives the stalls between two moments, cut to them.
func (h *heart) during(from, to time.Time) []stall {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []stall
	i, _ := slices.BinarySearchFunc(h.stalls, from, func(s stall, at time.Time) int { return s.to.Compare(at) })
	for _, s := range h.stalls[i:] {
		if !s.from.Before(to) {
			break
		}
		if s.from.Before(from) {
			s.from = from
		}
		if s.to.After(to) {
			s.to = to
		}
		list = append(list, s)
	}
	return list
}

// stood is for how long it stood still between two moments.
func (h *heart) stood(from, to time.Time) (sum time.Duration) {
	for _, s := range h.during(from, to) {
		sum += s.to.Sub(s.from)
	}
	return sum
}

// ran is for how long it did not.
func (h *heart) ran(from, to time.Time) time.Duration {
	return to.Sub(from) - h.stood(from, to)
}

// overload is how many processes want to run for each processor, over the last
// minute: a heart needs so little that it beats in time where others wait. 0 where
// the system does not tell.
func overload() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return 0
	}
	return load / float64(runtime.NumCPU())
}

// undisturbed takes a measurement, which returns what it does not like. Where the
// machine stood still meanwhile, or had more to do than it could, it is taken again,
// at most twice: what the product does wrong it does wrong each time, and on a
// machine that has time for it the first time counts.
func undisturbed(t *testing.T, measure func(t *testing.T) []string) {
	t.Helper()
	const rounds = 3
	for round := 1; ; round++ {
		begun := time.Now()
		var wrong []string
		t.Run(fmt.Sprint("Round", round), func(t *testing.T) { wrong = measure(t) })
		end := time.Now()
		stalls, load := machine().during(begun, end), overload()
		if len(stalls) > 0 || load > 1 {
			t.Logf("the machine stood still %d times in %v, for %v in all; %.1f processes wanted each processor", len(stalls), end.Sub(begun).Round(time.Second),
				machine().stood(begun, end).Round(time.Millisecond), load)
		}
		if t.Failed() || len(wrong) == 0 {
			return
		}
		if len(stalls) == 0 && load <= 1 || round == rounds {
			for _, what := range wrong {
				t.Error(what)
			}
			return
		}
		t.Logf("measured again, because of that: %q", wrong)
	}
}

// TestHeartKnowsWhenItStoodStill makes sure that stalls are found, and nothing else
// is taken for one.
func TestHeartKnowsWhenItStoodStill(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1_000_000, 0)
	at := func(s float64) time.Time { return begun.Add(time.Duration(s * float64(time.Second))) }
	h := &heart{stalls: []stall{{at(1), at(1.5)}, {at(3), at(5)}}}
	for _, c := range []struct {
		from, to float64
		stood    time.Duration
		stalls   int
	}{
		{0, 1, 0, 0}, {0, 2, 500 * time.Millisecond, 1}, {1.25, 1.3, 50 * time.Millisecond, 1}, {1.25, 4, 1250 * time.Millisecond, 2},
		{1.6, 2.9, 0, 0}, {0, 9, 2500 * time.Millisecond, 2}, {5.1, 9, 0, 0},
	} {
		if stood, stalls := h.stood(at(c.from), at(c.to)), len(h.during(at(c.from), at(c.to))); stood != c.stood || stalls != c.stalls {
			t.Errorf("%v to %v: %v in %d stalls, want %v in %d", c.from, c.to, stood, stalls, c.stood, c.stalls)
		}
	}
	// 40 POSTs a second but in the stall, and after it all that it held up at once.
	s := seen{}
	for i := range 9 * 40 {
		p := at(float64(i) / 40)
		if p.After(at(3)) && p.Before(at(5)) {
			p = at(5)
		}
		s.at = append(s.at, p)
	}
	slices.SortFunc(s.at, time.Time.Compare)
	if most, judged := s.most(h); most > 41 || judged < 100 {
		t.Errorf("%d POSTs within a second, by %d windows", most, judged)
	}
	if most, _ := s.most(&heart{}); most < 80 {
		t.Errorf("%d POSTs within a second, though 80 came at once", most)
	}
	if gap := s.gap(h); gap > 200*time.Millisecond {
		t.Errorf("nothing was sent for %v", gap)
	}
	if gap := s.gap(&heart{}); gap < 1900*time.Millisecond {
		t.Errorf("nothing was sent only for %v", gap)
	}
}
