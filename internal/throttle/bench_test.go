package throttle

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// BenchmarkUnlimited is a whole passage of a channel without a limit, from as
// many goroutines as sending uses.
func BenchmarkUnlimited(b *testing.B) {
	c := New(Config{})
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
		defer cancel()
		for pb.Next() {
			ticket, err := c.Wait(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			if err := ticket.Pace(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkMillionPerSecond shows the cost of a limit that is hardly one.
func BenchmarkMillionPerSecond(b *testing.B) {
	c := New(Config{Rate: 1e6})
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
		defer cancel()
		for pb.Next() {
			ticket, err := c.Wait(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			if err := ticket.Pace(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkRate runs on the real clock, with one goroutine that waits and claims
// that commit every 5 ms, and reports how much of the limit was used and how near the
// fullest second came to the bound (1 is the bound). Run it with -benchtime 10s
// or, as ns/op is only the interval, a number of messages: -benchtime 5000x.
func BenchmarkRate(b *testing.B) {
	for _, r := range []float64{10, 39, 80, 1000, 5000} {
		b.Run(fmt.Sprint(r), func(b *testing.B) {
			c := New(Config{Rate: r})
			var mu sync.Mutex
			var posts []time.Time
			var group sync.WaitGroup
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			for {
				ticket, err := c.Wait(ctx)
				if err != nil {
					break
				}
				group.Go(func() {
					time.Sleep(time.Until(time.Now().Truncate(5 * time.Millisecond).Add(5 * time.Millisecond)))
					if err := ticket.Pace(context.Background()); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if posts = append(posts, time.Now()); len(posts) == b.N {
						cancel()
					}
				})
			}
			group.Wait()
			took := posts[len(posts)-1].Sub(posts[0]).Seconds()
			if took > 2 {
				b.ReportMetric(float64(len(posts)-1)/took/r, "used/limit")
				b.ReportMetric(float64(mostWithin(posts, time.Second))/float64(windowBound(rate.Limit(r))), "fullest/bound")
			}
		})
	}
}
