package batch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGathererSharesCalls(t *testing.T) {
	t.Parallel()
	const askers = 50
	var calls []int
	gate := make(chan struct{})
	b := New(t.Context(), 1, 40, 0, func(_ context.Context, in []int) ([]int, error) {
		<-gate
		calls = append(calls, len(in))
		out := make([]int, len(in))
		for i, v := range in {
			out[i] = -v
		}
		return out, nil
	})
	var wg sync.WaitGroup
	for i := range askers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if out, err := b.Do(t.Context(), i); err != nil || out != -i {
				t.Errorf("asked %d, got %d, %v", i, out, err)
			}
		}()
	}
	for len(b.in) < askers-40 { // the first call waits, everybody else gathers
		runtime.Gosched()
	}
	close(gate)
	wg.Wait()
	b.Close()
	sum := 0
	for _, n := range calls {
		sum += n
		if n > 40 {
			t.Errorf("a call of %d", n)
		}
	}
	if sum != askers || len(calls) == askers {
		t.Errorf("%d askers in calls of %v", askers, calls)
	}
}

func TestGathererGivesErrorsToEachAsker(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	b := New(t.Context(), 2, 10, 0, func(context.Context, []int) ([]int, error) { return nil, broken })
	defer b.Close()
	if _, err := b.Do(t.Context(), 1); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	full := &Gatherer[int, int]{in: make(chan item[int, int])}
	if _, err := full.Do(over, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody took it and its caller went away: %v", err)
	}
}

// Who is alone does not wait; who comes soon after a batch began waits for company;
// a full batch waits for nothing.
func TestGathererKeepsBatchesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Millisecond
		type call struct {
			at time.Duration
			n  int
		}
		start := time.Now()
		var calls []call
		b := New(t.Context(), 1, 40, every, func(_ context.Context, in []int) ([]int, error) {
			calls = append(calls, call{time.Since(start), len(in)})
			return in, nil
		})
		var wg sync.WaitGroup
		ask := func(n int) {
			for i := range n {
				wg.Go(func() {
					if _, err := b.Do(t.Context(), i); err != nil {
						t.Error(err)
					}
				})
			}
		}
		at := func(d time.Duration) { time.Sleep(d - time.Since(start)) }
		at(100 * time.Millisecond)
		ask(1)
		for i := range 3 {
			at(102*time.Millisecond + time.Duration(i)*2*time.Millisecond)
			ask(2)
		}
		at(150 * time.Millisecond)
		ask(1)
		at(151 * time.Millisecond)
		ask(100)
		wg.Wait()
		b.Close()
		want := []call{{100 * time.Millisecond, 1}, {110 * time.Millisecond, 6}, {150 * time.Millisecond, 1}}
		if len(calls) < 5 || !slices.Equal(calls[:3], want) {
			t.Fatalf("calls %v, want %v and then those of 100", calls, want)
		}
		left := 0
		for i, c := range calls[3:] {
			left += c.n
			if c.n < 40 && i+4 < len(calls) && calls[i+4].at-c.at < every {
				t.Errorf("a batch of %d began at %v and the next one at %v", c.n, c.at, calls[i+4].at)
			}
		}
		if left != 100 {
			t.Errorf("%d answered of the last 100", left)
		}
	})
}
