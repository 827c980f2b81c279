package sender

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCacheIsReadByOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		loads, fail := 0, error(nil)
		c := newCache(time.Second, time.Now, func(context.Context, int) (int, error) {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			loads++
			return loads, fail
		})
		all := func() (values map[int]int, failed int) {
			values = map[int]int{}
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 50 {
				wg.Go(func() {
					v, err := c.get(t.Context(), 7)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed++
						return
					}
					values[v]++
				})
			}
			wg.Wait()
			return values, failed
		}
		if got, _ := all(); got[1] != 50 {
			t.Errorf("at first %v", got)
		}
		time.Sleep(time.Second)
		if got, _ := all(); got[1] != 49 || got[2] != 1 {
			t.Errorf("when it was old %v", got)
		}
		if got, _ := all(); got[2] != 50 {
			t.Errorf("afterwards %v", got)
		}
		time.Sleep(time.Second)
		fail = errors.New("no database")
		if got, failed := all(); got[2] != 49 || failed != 1 {
			t.Errorf("without a database %v, %d failed", got, failed)
		}
		fail = nil
		if got, _ := all(); got[2] != 49 || got[4] != 1 {
			t.Errorf("it is not tried again: %v", got)
		}
	})
}
