package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// A worker that a stop did not wait for must not bring the program down.
func TestGathererRefusesWhoComesAfterClose(t *testing.T) {
	t.Parallel()
	g := New(context.Background(), 2, 3, 0, func(_ context.Context, in []int) ([]int, error) { return in, nil })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if got, err := g.Do(context.Background(), i); err != nil && !errors.Is(err, ErrClosed) || err == nil && got != i {
				t.Errorf("asked %d, got %d, %v", i, got, err)
			}
		}()
	}
	g.Close()
	wg.Wait()
	if _, err := g.Do(context.Background(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	g.Close()
}
