package batch

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
)

func TestGathererSharesCalls(t *testing.T) {
	t.Parallel()
	const askers = 50
	var calls []int
	gate := make(chan struct{})
	b := New(t.Context(), 1, 40, func(_ context.Context, in []int) ([]int, error) {
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
	b := New(t.Context(), 2, 10, func(context.Context, []int) ([]int, error) { return nil, broken })
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
