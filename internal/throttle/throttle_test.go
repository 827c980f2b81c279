package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/campaignd/campaignd/internal/throttle"
)

// recorder is the order in which goroutines got their turns, and when.
type recorder struct {
	mu    sync.Mutex
	names []string
	times []time.Time
}

func (r *recorder) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
	r.times = append(r.times, time.Now())
}

// order returns the names since the last call.
func (r *recorder) order() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := r.names
	r.names = nil
	return names
}

// enter starts a goroutine that waits for a turn, and returns once it is in
// line. The goroutine records its name when it has its turn, its name and the
// error when it has not.
func enter(ctx context.Context, c *throttle.Channel, r *recorder, name string) {
	go func() {
		if _, err := c.Wait(ctx); err != nil {
			r.add(name + ": " + short(err))
			return
		}
		r.add(name)
	}()
	synctest.Wait()
}

func short(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{throttle.ErrClosed, "closed"},
		{throttle.ErrSpent, "spent"},
		{context.Canceled, "cancelled"},
		{context.DeadlineExceeded, "too late"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return err.Error()
}

// exhaust takes turns until the next one has to wait.
func exhaust(t *testing.T, c *throttle.Channel) (taken int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var r recorder
	for {
		enter(ctx, c, &r, "taken")
		if len(r.order()) == 0 {
			cancel()
			synctest.Wait()
			return taken
		}
		taken++
	}
}

func wantOrder(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if got := r.order(); !slices.Equal(got, want) {
		t.Fatalf("order at %v: got %q, want %q", time.Now().Format("05.000"), got, want)
	}
}

func wantRate(t *testing.T, c *throttle.Channel, wantLimit, wantNow float64) {
	t.Helper()
	limit, now := c.Rate()
	if math.Abs(limit-wantLimit) > 1e-9 || math.Abs(now-wantNow) > 1e-9 {
		t.Fatalf("rate: got limit %v, now %v; want limit %v, now %v", limit, now, wantLimit, wantNow)
	}
}

// pass goes through Wait and Pace n times, one after the other.
func pass(t *testing.T, c *throttle.Channel, n int) {
	t.Helper()
	for range n {
		ticket, err := c.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.Pace(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChannelWait(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]func(*testing.T){
		"TurnsComeAtTheRate": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			exhaust(t, c)
			start := time.Now()
			for i := 1; i <= 400; i++ {
				if _, err := c.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				want := time.Duration(i) * 12500 * time.Microsecond
				if got := time.Since(start); (got - want).Abs() > time.Millisecond {
					t.Fatalf("turn %d after %v, want %v", i, got, want)
				}
			}
		},

		"FirstInFirstOut": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 10})
			exhaust(t, c)
			var r recorder
			var want []string
			for i := range 40 {
				name := fmt.Sprint(i)
				enter(t.Context(), c, &r, name)
				want = append(want, name)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			wantOrder(t, &r, want...)
		},

		"CancelledOnesLeaveTheLineAndNoTokenIsLost": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			exhaust(t, c)
			start := time.Now()
			var r recorder
			ctx, cancel := context.WithCancel(t.Context())
			enter(ctx, c, &r, "first")
			enter(t.Context(), c, &r, "second")
			time.Sleep(900 * time.Millisecond)
			cancel()
			synctest.Wait()
			wantOrder(t, &r, "first: cancelled")
			time.Sleep(100*time.Millisecond + time.Microsecond)
			synctest.Wait()
			wantOrder(t, &r, "second")
			if got := time.Since(start); got > 1001*time.Millisecond {
				t.Fatalf("the second turn came after %v", got)
			}
		},

		"TheReservationOfAnEmptyLineIsUndone": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			exhaust(t, c)
			var r recorder
			for range 3 { // each would push the next token a second away
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				enter(ctx, c, &r, "a")
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				cancel()
				wantOrder(t, &r, "a: too late")
			}
			enter(t.Context(), c, &r, "b")
			time.Sleep(700*time.Millisecond + time.Microsecond)
			synctest.Wait()
			wantOrder(t, &r, "b")
		},

		"NoTurnComesAfterTheDeadline": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 0.1})
			exhaust(t, c)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			ticket, err := c.Wait(ctx)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got error %v", err)
			}
			if got := time.Since(start); got != 5*time.Second {
				t.Fatalf("it came after %v", got)
			}
			ticket.Cancel() // as a deferred call would
			if err := ticket.Pace(t.Context()); !errors.Is(err, throttle.ErrSpent) {
				t.Fatalf("a ticket that came with an error let a POST go: %v", err)
			}
		},

		"AnEndedContextGetsNoTurn": func(t *testing.T) {
			for _, rate := range []float64{0, 10} {
				c := throttle.New(throttle.Config{Rate: rate})
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
					t.Fatalf("rate %v: got error %v", rate, err)
				}
			}
		},

		"AnIdleChannelSavesNoMoreThanItsBurst": func(t *testing.T) {
			for rate, want := range map[float64]int{1: 1, 10: 1, 39: 3, 80: 8, 1000: 100} {
				c := throttle.New(throttle.Config{Rate: rate})
				time.Sleep(time.Hour)
				if got := exhaust(t, c); got != want {
					t.Errorf("rate %v: %d turns at once, want %d", rate, got, want)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestTicketCancel(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]func(*testing.T){
		"TheNextInLineTakesTheTurn": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			ticket, err := c.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var r recorder
			enter(t.Context(), c, &r, "a")
			enter(t.Context(), c, &r, "b")
			time.Sleep(100 * time.Millisecond)
			ticket.Cancel()
			ticket.Cancel() // gives nothing back a second time
			synctest.Wait()
			wantOrder(t, &r, "a")
			time.Sleep(900*time.Millisecond + time.Microsecond)
			synctest.Wait()
			wantOrder(t, &r, "b") // and the token under way was not disturbed
		},

		"ARefusedBatchCostsThoseBehindItNothing": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			var tickets []*throttle.Ticket
			for range 84 {
				ticket, err := c.Wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tickets = append(tickets, &ticket)
			}
			for _, ticket := range tickets {
				ticket.Cancel()
			}
			if got := exhaust(t, c); got != 84 {
				t.Fatalf("%d turns were there again, want 84", got)
			}
		},

		"WithoutALineTheTurnIsKeptForASecond": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 0.01})
			for wait, want := range map[time.Duration]int{999 * time.Millisecond: 1, time.Second: 0} {
				time.Sleep(time.Hour)
				ticket, err := c.Wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ticket.Cancel()
				time.Sleep(wait)
				if got := exhaust(t, c); got != want {
					t.Fatalf("after %v: %d turns, want %d", wait, got, want)
				}
			}
		},

		"AfterPaceItDoesNothing": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			ticket, err := c.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := ticket.Pace(t.Context()); err != nil {
				t.Fatal(err)
			}
			ticket.Cancel()
			if got := exhaust(t, c); got != 0 {
				t.Fatalf("%d turns were given back", got)
			}
			if err := ticket.Pace(t.Context()); !errors.Is(err, throttle.ErrSpent) {
				t.Fatalf("a second POST went on one turn: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestTicketPace(t *testing.T) {
	t.Parallel()

	// turns collects n tickets without letting any POST go, as a commit that
	// takes long does.
	turns := func(t *testing.T, c *throttle.Channel, n int) []*throttle.Ticket {
		t.Helper()
		var tickets []*throttle.Ticket
		for range n {
			ticket, err := c.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tickets = append(tickets, &ticket)
		}
		return tickets
	}
	post := func(ctx context.Context, r *recorder, name string, ticket *throttle.Ticket) {
		go func() {
			if err := ticket.Pace(ctx); err != nil {
				name += ": " + short(err)
			}
			r.add(name)
		}()
		synctest.Wait()
	}

	for name, test := range map[string]func(*testing.T){
		"EvenTurnsAreNotDelayed": func(t *testing.T) {
			for _, rate := range []float64{1, 7.5, 19.99, 39, 80, 1000} {
				c := throttle.New(throttle.Config{Rate: rate})
				exhaust(t, c)
				time.Sleep(time.Duration(float64(time.Second) / rate))
				for range 100 {
					tickets := turns(t, c, 1)
					start := time.Now()
					if err := tickets[0].Pace(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := time.Since(start); got != 0 {
						t.Fatalf("rate %v: delayed by %v", rate, got)
					}
				}
			}
		},

		"ABunchIsSpacedInItsOrder": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 5})
			tickets := turns(t, c, 5)
			var r recorder
			for i, ticket := range tickets {
				post(t.Context(), &r, fmt.Sprint(i), ticket)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			wantOrder(t, &r, "0", "1", "2", "3", "4")
			for i := 1; i < len(r.times); i++ {
				// 5 % drift at most, and 50 ms tolerance once.
				if got := r.times[i].Sub(r.times[0]); got < time.Duration(i)*190*time.Millisecond-50*time.Millisecond {
					t.Fatalf("POST %d went %v after the first", i, got)
				}
			}
		},

		"ItsDeadlineLeavesTheTurnToBeGivenBack": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			tickets := turns(t, c, 2)
			if err := tickets[0].Pace(t.Context()); err != nil {
				t.Fatal(err)
			}
			exhaust(t, c)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := tickets[1].Pace(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got error %v", err)
			}
			tickets[1].Cancel()
			if got := exhaust(t, c); got != 1 {
				t.Fatalf("%d turns were there again, want 1", got)
			}
		},

		"AnEndedContextPostsNothing": func(t *testing.T) {
			for _, rate := range []float64{0, 10} {
				c := throttle.New(throttle.Config{Rate: rate})
				ticket := turns(t, c, 1)[0]
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := ticket.Pace(ctx); !errors.Is(err, context.Canceled) {
					t.Fatalf("rate %v: got error %v", rate, err)
				}
				if err := ticket.Pace(t.Context()); err != nil { // it is still held
					t.Fatalf("rate %v: got error %v", rate, err)
				}
			}
		},

		"NothingIsPostedAfterTheShareEnded": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			c.SetShare(throttle.Share{Rate: 20, Until: time.Now().Add(6 * time.Second)})
			tickets := turns(t, c, 1)
			time.Sleep(6 * time.Second)
			var r recorder
			post(t.Context(), &r, "a", tickets[0])
			time.Sleep(time.Minute)
			synctest.Wait()
			wantOrder(t, &r)
			c.SetShare(throttle.Share{Rate: 20, Until: time.Now().Add(6 * time.Second)})
			synctest.Wait()
			wantOrder(t, &r, "a")
		},

		"CloseEndsIt": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			tickets := turns(t, c, 3)
			var r recorder
			post(t.Context(), &r, "a", tickets[0])
			post(t.Context(), &r, "b", tickets[1])
			c.Close()
			synctest.Wait()
			post(t.Context(), &r, "c", tickets[2])
			wantOrder(t, &r, "a", "b: closed", "c: closed")
		},

		"ARaisedRateDoesNotWaitForTheFormerInterval": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			tickets := turns(t, c, 2)
			c.SetRate(0.01)
			for _, ticket := range tickets {
				var r recorder
				post(t.Context(), &r, "a", ticket)
				if len(r.order()) == 0 {
					c.SetRate(80)
					time.Sleep(20 * time.Millisecond)
					synctest.Wait()
					wantOrder(t, &r, "a")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestChannelSetRate(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]func(*testing.T){
		"ARaisedRateReachesThoseWhoWait": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 0.01})
			exhaust(t, c)
			var r recorder
			enter(t.Context(), c, &r, "a")
			enter(t.Context(), c, &r, "b")
			c.SetRate(10)
			time.Sleep(100*time.Millisecond + time.Microsecond)
			synctest.Wait()
			wantOrder(t, &r, "a")
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r, "b")
			wantRate(t, c, 10, 10)
		},

		"ALoweredRateReachesThoseWhoWait": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 10})
			exhaust(t, c)
			var r recorder
			enter(t.Context(), c, &r, "a")
			time.Sleep(50 * time.Millisecond) // half a token
			c.SetRate(1)
			time.Sleep(499 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r)
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r, "a")
		},

		"LiftingTheLimitLetsEverybodyGo": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1})
			exhaust(t, c)
			var r recorder
			enter(t.Context(), c, &r, "a")
			enter(t.Context(), c, &r, "b")
			c.SetRate(0)
			synctest.Wait()
			if got := r.order(); len(got) != 2 {
				t.Fatalf("went: %q", got)
			}
			wantRate(t, c, 0, 0)
			start := time.Now()
			pass(t, c, 10_000)
			if got := time.Since(start); got != 0 {
				t.Fatalf("10,000 messages without a limit took %v", got)
			}
			c.SetRate(1)
			if got := exhaust(t, c); got > 1 {
				t.Fatalf("%d turns at once after a limit was set", got)
			}
		},

		"WhatIsNoRateSendsNothing": func(t *testing.T) {
			for _, rate := range []float64{-1, math.Inf(-1), math.NaN()} {
				c := throttle.New(throttle.Config{Rate: rate})
				if got := exhaust(t, c); got != 0 {
					t.Errorf("rate %v: %d turns", rate, got)
				}
				c.SetRate(10)
				if got := exhaust(t, c); got != 1 {
					t.Errorf("from %v to 10/s: %d turns, want 1", rate, got)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestChannelSetShare(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]func(*testing.T){
		"TheShareBoundsTheRate": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			c.SetShare(throttle.Share{Rate: 20, Until: time.Now().Add(time.Hour)})
			wantRate(t, c, 80, 20)
			c.SetShare(throttle.Share{Rate: 200, Until: time.Now().Add(time.Hour)})
			wantRate(t, c, 80, 80)
			c.SetShare(throttle.Share{})
			wantRate(t, c, 80, 80)
		},

		"AfterItsEndNobodyGoesUntilItIsRenewed": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			c.SetShare(throttle.Share{Rate: 1, Until: time.Now().Add(2500 * time.Millisecond)})
			exhaust(t, c)
			var r recorder
			for _, name := range []string{"a", "b", "c", "d"} {
				enter(t.Context(), c, &r, name)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			wantOrder(t, &r, "a", "b")
			wantRate(t, c, 80, 0)
			c.SetShare(throttle.Share{Rate: 1, Until: time.Now().Add(time.Minute)})
			synctest.Wait()
			wantOrder(t, &r, "c")
			time.Sleep(1001 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r, "d")
		},

		"RenewalDoesNotDisturbTheLine": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			renew := func() { c.SetShare(throttle.Share{Rate: 1, Until: time.Now().Add(time.Second)}) }
			renew()
			exhaust(t, c)
			var r recorder
			enter(t.Context(), c, &r, "a")
			for range 10 {
				time.Sleep(99 * time.Millisecond)
				renew()
			}
			synctest.Wait()
			wantOrder(t, &r)
			time.Sleep(11 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r, "a")
		},

		"NoShareSendsNothing": func(t *testing.T) {
			for _, rate := range []float64{0, -1, math.NaN()} {
				c := throttle.New(throttle.Config{})
				c.SetShare(throttle.Share{Rate: rate, Until: time.Now().Add(time.Hour)})
				if got := exhaust(t, c); got != 0 {
					t.Errorf("share %v: %d turns", rate, got)
				}
			}
		},

		"AnEndlessShareEndsToo": func(t *testing.T) {
			c := throttle.New(throttle.Config{})
			c.SetShare(throttle.Share{Rate: math.Inf(1), Until: time.Now().Add(time.Second)})
			pass(t, c, 1000)
			time.Sleep(time.Second)
			if got := exhaust(t, c); got != 0 {
				t.Errorf("%d turns after its end", got)
			}
		},

		"AnEndWithoutAMonotonicReadingHolds": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			c.SetShare(throttle.Share{Rate: 20, Until: time.Now().Round(0).Add(-time.Millisecond)})
			if got := exhaust(t, c); got != 0 {
				t.Errorf("%d turns after its end", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestChannelSlowDown(t *testing.T) {
	t.Parallel()

	wantCut := func(t *testing.T, c *throttle.Channel, begun time.Time, want bool) {
		t.Helper()
		if cut := c.SlowDown(begun); cut != want {
			t.Fatalf("slow down: got %v, want %v", cut, want)
		}
	}
	// share is what the division answers to what is asked now.
	share := func(rate float64, cutAt time.Time) throttle.Share {
		return throttle.Share{Rate: rate, Asked: time.Now(), Until: time.Now().Add(time.Hour), CutAt: cutAt}
	}

	for name, test := range map[string]func(*testing.T){
		"HalvesAtMostOnceInTenSeconds": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 80, 40)
			time.Sleep(9999 * time.Millisecond)
			wantCut(t, c, time.Now(), false)
			wantRate(t, c, 80, 40)
			time.Sleep(time.Millisecond)
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 80, 20)
		},

		"AnswersToPostsBegunBeforeTheLastCutAreItsEchoes": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			begun := time.Now()
			time.Sleep(time.Second)
			wantCut(t, c, begun, true)
			cutAt := time.Now()
			time.Sleep(10 * time.Second)
			wantCut(t, c, begun, false)
			wantCut(t, c, cutAt, false)
			wantCut(t, c, cutAt.Add(1), true)
		},

		"TheNextShareTakesItsPlace": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			c.SetShare(share(40, time.Time{}))
			time.Sleep(time.Second)
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 80, 20)
			time.Sleep(time.Millisecond)
			c.SetShare(share(30, time.Now())) // the others need less
			wantRate(t, c, 80, 30)
			c.SetShare(share(80, time.Now()))
			wantRate(t, c, 80, 80)
		},

		"AShareThatWasAskedForBeforeKnowsNothingOfIt": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			late := share(40, time.Time{})
			c.SetShare(late)
			time.Sleep(time.Millisecond)
			wantCut(t, c, time.Now(), true)
			c.SetShare(late)
			wantRate(t, c, 80, 20)
		},

		"ACutByAnotherNodeMakesOurAnswersItsEchoes": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			begun := time.Now()
			time.Sleep(time.Second)
			c.SetShare(share(20, time.Now()))
			wantCut(t, c, begun, false)
			time.Sleep(9 * time.Second)
			wantCut(t, c, time.Now(), false)
			wantRate(t, c, 80, 20)
			time.Sleep(time.Second)
			wantCut(t, c, begun, false)
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 80, 10)
		},

		"NeverBelowOnePerSecond": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 1.5})
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 1.5, 1)
		},

		"ALimitBelowOnePerSecondIsNotRaised": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 0.5})
			wantCut(t, c, time.Now(), false)
			wantRate(t, c, 0.5, 0.5)
		},

		"ReachesThoseWhoWait": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 10})
			exhaust(t, c)
			var r recorder
			enter(t.Context(), c, &r, "a")
			c.SlowDown(time.Now())
			time.Sleep(199 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r)
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			wantOrder(t, &r, "a")
		},

		"WithoutALimitStartsFromTheLastSecond": func(t *testing.T) {
			c := throttle.New(throttle.Config{})
			c.SetShare(throttle.Share{})
			for range 300 { // 3 s at 500/s
				pass(t, c, 5)
				time.Sleep(10 * time.Millisecond)
			}
			if sent := c.Sent(); sent < 480 || sent > 520 {
				t.Fatalf("%v/s were sent, want 500/s", sent)
			}
			wantCut(t, c, time.Now(), true)
			_, now := c.Rate()
			if now < 240 || now > 260 {
				t.Fatalf("cut to %v/s, want half of 500/s", now)
			}
			exhaust(t, c)
			start := time.Now()
			pass(t, c, 500)
			if got := 500 / time.Since(start).Seconds(); got > now*1.02 {
				t.Fatalf("sent at %v/s, %v/s were allowed", got, now)
			}
			c.SetShare(throttle.Share{Asked: time.Now(), CutAt: start})
			start = time.Now()
			pass(t, c, 10_000)
			if got := time.Since(start); got != 0 {
				t.Fatalf("10,000 messages took %v after the limit was lifted", got)
			}
		},

		"CutsAShareThatHasEndedToo": func(t *testing.T) {
			c := throttle.New(throttle.Config{Rate: 80})
			asked := time.Now()
			c.SetShare(throttle.Share{Rate: 20, Until: time.Now().Add(5 * time.Second)})
			time.Sleep(5 * time.Second)
			wantCut(t, c, time.Now(), true)
			wantRate(t, c, 80, 0)
			c.SetShare(throttle.Share{Rate: 20, Asked: asked, Until: time.Now().Add(5 * time.Second)})
			wantRate(t, c, 80, 10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

func TestChannelClose(t *testing.T) {
	t.Parallel()

	for _, rate := range []float64{0, 1} {
		t.Run(fmt.Sprintf("Rate%v", rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := throttle.New(throttle.Config{Rate: rate})
				var r recorder
				if rate > 0 {
					exhaust(t, c)
					enter(t.Context(), c, &r, "a")
				}
				start := time.Now()
				c.Close()
				c.Close()
				synctest.Wait()
				if rate > 0 {
					wantOrder(t, &r, "a: closed")
				}
				// Nothing reopens it.
				c.SetRate(0)
				c.SetShare(throttle.Share{})
				c.SlowDown(time.Now())
				c.Rate()
				enter(t.Context(), c, &r, "b")
				wantOrder(t, &r, "b: closed")
				if time.Since(start) != 0 {
					t.Fatal("it took time")
				}
			})
		})
	}
}
