package throttle

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

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// mostWithin returns the most times in any window of the given length, its end
// included.
func mostWithin(times []time.Time, window time.Duration) (most int) {
	first := 0
	for i := range times {
		for times[i].Sub(times[first]) > window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// almostSecond is a half-open window of one second, less what rounding to
// nanoseconds moves.
const almostSecond = time.Second - time.Microsecond

func rates() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.SampledFrom([]float64{1, 10, 20, 39, 80, 250, 1000}),
		rapid.Float64Range(0.3, 60),
		rapid.Float64Range(60, 1500),
	)
}

func TestWindowBound(t *testing.T) {
	t.Parallel()

	for r, want := range map[rate.Limit]int{0.3: 2, 1: 2, 10: 11, 19.99: 21, 20: 21, 39: 40, 40: 42, 80: 84, 1000: 1050} {
		if got := windowBound(r); got != want {
			t.Errorf("%v/s: got %d, want %d", r, got, want)
		}
	}
}

func TestBucketKeepsAReservationThatIsDue(t *testing.T) {
	t.Parallel()

	now := time.Unix(1_800_000_000, 0)
	for name, late := range map[string]time.Duration{"BeforeItIsDue": -time.Millisecond, "AfterItWasDue": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bucket
			b.setRate(now, 1)
			b.take(now)
			wait := b.take(now)
			if wait != time.Second {
				t.Fatalf("the second turn is due in %v", wait)
			}
			left := now.Add(wait + late)
			b.idle(left) // the last in line gave up
			if got := b.take(left); got != max(-late, 0) {
				t.Fatalf("the next one waits %v, want %v", got, max(-late, 0))
			}
		})
	}
}

func TestPacerLeaksAtTheFormerRateUntilTheChange(t *testing.T) {
	t.Parallel()

	now := time.Unix(1_800_000_000, 0)
	var p pacer
	p.setRate(now, 10)
	p.take(now)
	now = now.Add(time.Second)
	p.setRate(now, 0.1)
	if wait := p.take(now); wait != 0 {
		t.Fatalf("a POST a second after the last one, at 10/s, waits %v", wait)
	}
}

// A turn that comes while its waiter gives up belongs to the next.
func TestATurnThatComesTooLateIsGivenBack(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Rate: 0.001})
		if _, err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := c.Wait(ctx)
			failed <- err
		}()
		synctest.Wait()

		c.mu.Lock()
		cancel()       // wakes it
		c.turns.next() // before it can leave
		c.mu.Unlock()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v", err)
		}
		start := time.Now()
		if _, err := c.Wait(t.Context()); err != nil || time.Since(start) != 0 {
			t.Fatalf("the turn was lost: the next one waited %v, error %v", time.Since(start), err)
		}
	})
}

// Late timers are what synctest does not have: here each wait is overslept.
func TestLateTimersCostNoRateAndBreakNoBound(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		r := rate.Limit(rates().Draw(rt, "rate"))
		var b bucket
		var p pacer
		now := time.Unix(1_800_000_000, 0)
		b.setRate(now, r)
		p.setRate(now, r)

		// Half of what is tolerated, by all: what both make up for without loss.
		most := time.Duration(p.tolerance / p.rate * float64(time.Second) / 2)
		late := rapid.Custom(func(rt *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, int(most)).Draw(rt, "late"))
		})
		run := func(start time.Time, r rate.Limit, take func(time.Time) time.Duration) []time.Time {
			now, end := start, start.Add(20*time.Second+time.Duration(20/float64(r)*float64(time.Second)))
			lates := rapid.SliceOfN(late, 1, 50).Draw(rt, "lates")
			var taken []time.Time
			for i := 0; now.Before(end); {
				if wait := take(now); wait > 0 {
					now = now.Add(max(wait, grain) + lates[i%len(lates)])
					i++
					continue
				}
				taken = append(taken, now)
			}
			used := float64(len(taken)) / (float64(r) * end.Sub(taken[0]).Seconds())
			if used < 0.99 {
				rt.Fatalf("%v/s: only %.3f of the rate was used", r, used)
			}
			return taken
		}

		turns := run(now, r, b.take)
		inSecond := int(math.Ceil(float64(r))) + burst(r)
		if got := mostWithin(turns, almostSecond); got > inSecond {
			rt.Fatalf("%v/s: %d turns in a second, at most %d", r, got, inSecond)
		}
		end := turns[len(turns)-1].Sub(turns[0]).Seconds()
		if got, most := float64(len(turns)), float64(r)*end+float64(burst(r))+1; got > most+1e-6 {
			rt.Fatalf("%v/s: %v turns in %v s, at most %v", r, got, end, most)
		}
		posts := run(now, r, p.take)
		if got := mostWithin(posts, time.Second); got > windowBound(r) {
			rt.Fatalf("%v/s: %d POSTs in a second, at most %d", r, got, windowBound(r))
		}

		// After a cut the lower bound holds from the first message on.
		cut := max(r/2, 0.3)
		last := posts[len(posts)-1]
		p.setRate(last, cut)
		posts = run(last, cut, p.take)
		if got := mostWithin(posts, time.Second); got > windowBound(cut) {
			rt.Fatalf("%v/s, cut to %v/s: %d POSTs in a second, at most %d", r, cut, got, windowBound(cut))
		}
	})
}

// Whatever arrives, however long claims take, whoever gives up and whatever is
// given back: the provider never sees more than the bound in any second, every
// turn that was asked for ends in exactly one way, and a close ends all waits at
// once and lets nothing go afterwards.
func TestNoSecondHoldsMoreThanTheBound(t *testing.T) {
	t.Parallel()

	type job struct {
		Arrive   time.Duration
		Patience time.Duration
		Claim    time.Duration
		Refused  bool // by the claim
	}
	type change struct {
		At   time.Duration
		Kind int
	}

	rapid.Check(t, func(rt *rapid.T) {
		r := rates().Draw(rt, "rate")
		millis := func(most int) *rapid.Generator[time.Duration] {
			return rapid.Map(rapid.IntRange(0, most), func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
		}
		stall := millis(2000).Draw(rt, "stall")
		// Shapes are drawn, jobs repeat them: thousands of draws would be slow.
		shapes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) job {
			return job{
				Arrive:   millis(3000).Draw(rt, "arrive"),
				Patience: millis(5000).Draw(rt, "patience"),
				Claim:    millis(50).Draw(rt, "claim"),
				Refused:  rapid.IntRange(0, 3).Draw(rt, "refused") == 0,
			}
		}), 1, 20).Draw(rt, "jobs")
		changes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) change {
			return change{At: millis(4000).Draw(rt, "at"), Kind: rapid.IntRange(0, 1).Draw(rt, "kind")}
		}), 0, 5).Draw(rt, "changes")
		closes := rapid.IntRange(0, 2).Draw(rt, "closes") == 0
		closeAt := millis(4000).Draw(rt, "close at")
		jobs := min(int(4*r)+5, 2000)

		var mu sync.Mutex
		var posts []time.Time
		ended := map[string]int{}
		synctest.Test(t, func(t *testing.T) {
			c := New(Config{Rate: r})
			start := time.Now()
			var group sync.WaitGroup
			// closed checks what a wait that was begun at the given time came to.
			closed := func(begun time.Time, err error) {
				end, now := start.Add(closeAt), time.Now()
				switch {
				case errors.Is(err, ErrClosed) && (!closes || now.Before(end)):
					t.Errorf("told that it is closed after %v", now.Sub(start))
				case closes && now.After(end) && now.After(begun):
					t.Errorf("a wait went on until %v after the start: %v", now.Sub(start), err)
				case closes && now.After(end) && err == nil:
					t.Errorf("it let go %v after the start", now.Sub(start))
				}
			}
			if closes {
				group.Go(func() {
					time.Sleep(closeAt)
					c.Close()
				})
			}
			for i := range jobs {
				j := shapes[i%len(shapes)]
				group.Go(func() {
					time.Sleep(j.Arrive)
					ctx, cancel := context.WithTimeout(t.Context(), j.Patience)
					defer cancel()
					end := func(how string) {
						mu.Lock()
						defer mu.Unlock()
						ended[how]++
						if how == "posted" {
							posts = append(posts, time.Now())
						}
					}
					asked := time.Now()
					ticket, err := c.Wait(ctx)
					closed(asked, err)
					defer ticket.Cancel()
					if err != nil {
						end("no turn")
						return
					}
					// Commits that stall for everybody, and end together.
					time.Sleep(j.Claim)
					if into := time.Since(start); into < stall {
						time.Sleep(stall - into)
					}
					if j.Refused {
						end("refused")
						return
					}
					ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					asked = time.Now()
					err = ticket.Pace(ctx)
					closed(asked, err)
					if err != nil {
						end("not paced")
						return
					}
					end("posted")
				})
			}
			for _, ch := range changes {
				group.Go(func() {
					time.Sleep(ch.At)
					switch ch.Kind {
					case 0:
						c.SetRate(r / 2)
						time.Sleep(300 * time.Millisecond)
						c.SetRate(r)
					case 1:
						c.SetShare(Share{Rate: r / 3, Until: time.Now().Add(200 * time.Millisecond)})
						time.Sleep(400 * time.Millisecond)
						c.SetShare(Share{})
					}
				})
			}
			group.Wait()
			if !c.turns.empty() || !c.posts.empty() {
				t.Errorf("%d and %d still wait", c.turns.len(), c.posts.len())
			}
			c.Close()
		})

		if total := ended["no turn"] + ended["refused"] + ended["not paced"] + ended["posted"]; total != jobs {
			rt.Fatalf("%d jobs ended, of %d: %v", total, jobs, ended)
		}
		if got := mostWithin(posts, time.Second); got > windowBound(rate.Limit(r)) {
			rt.Fatalf("%v/s: %d POSTs in a second, at most %d", r, got, windowBound(rate.Limit(r)))
		}
	})
}

// The limit is used to the last message, though claims commit in batches and now
// and then stall for 100 ms.
func TestSlowConsumersUseTheWholeRate(t *testing.T) {
	t.Parallel()

	for _, r := range []float64{1, 10, 39, 80, 1000} {
		t.Run(fmt.Sprint(r), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := New(Config{Rate: r})
				start := time.Now()
				length := time.Minute
				ctx, cancel := context.WithTimeout(t.Context(), length)
				defer cancel()

				var mu sync.Mutex
				var posts []time.Time
				var longest time.Duration
				var group sync.WaitGroup
				for {
					ticket, err := c.Wait(ctx)
					if err != nil {
						break
					}
					group.Go(func() {
						// A commit every 10 ms, one in 50 of them takes 100 ms.
						into := time.Since(start)
						batch := into.Truncate(10*time.Millisecond) + 10*time.Millisecond
						if second := into.Truncate(500 * time.Millisecond); into-second < 100*time.Millisecond {
							batch = second + 100*time.Millisecond
						}
						time.Sleep(batch - into)
						claimed := time.Now()
						if err := ticket.Pace(t.Context()); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						posts = append(posts, time.Now())
						longest = max(longest, time.Since(claimed))
					})
				}
				group.Wait()
				c.Close()

				if used := float64(len(posts)) / (r * length.Seconds()); used < 0.99 {
					t.Errorf("only %.4f of the rate was used", used)
				}
				if got := mostWithin(posts, time.Second); got > windowBound(rate.Limit(r)) {
					t.Errorf("%d POSTs in a second, at most %d", got, windowBound(rate.Limit(r)))
				}
				// A stall of 100 ms must not leave a line at the pacer that grows.
				if longest > 250*time.Millisecond {
					t.Errorf("a claim waited %v for its POST", longest)
				}
			})
		})
	}
}

// Everybody who stays in a line that is always full has the same number of turns
// and waits no longer than those before it need; and neither those who give up
// again and again nor those who give their turns back cost a turn.
func TestNobodyStarvesAndNoTurnIsLost(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		const (
			crowd  = 30
			perSec = 100
			length = 30 * time.Second
		)
		c := New(Config{Rate: perSec})
		for range burst(perSec) { // or whoever asks first has these
			if _, err := c.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		var group sync.WaitGroup
		for range crowd { // leave long before their turn
			group.Go(func() {
				for ctx.Err() == nil {
					turn, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
					if ticket, err := c.Wait(turn); err == nil {
						ticket.Cancel()
					}
					cancel()
				}
			})
		}
		for range crowd { // have nothing to send when it is their turn
			group.Go(func() {
				for ctx.Err() == nil {
					if ticket, err := c.Wait(ctx); err == nil {
						ticket.Cancel()
					}
				}
			})
		}
		turns, longest := make([]int, crowd), make([]time.Duration, crowd)
		for i := range crowd {
			group.Go(func() {
				for {
					asked := time.Now()
					if _, err := c.Wait(ctx); err != nil {
						return
					}
					turns[i]++
					longest[i] = max(longest[i], time.Since(asked))
				}
			})
		}
		group.Wait()
		total := 0
		for _, n := range turns {
			total += n
		}
		if want := perSec * int(length.Seconds()); total < want-1 || total > want {
			t.Errorf("%d turns were used, want %d", total, want)
		}
		if slices.Max(turns)-slices.Min(turns) > 1 {
			t.Errorf("turns were divided as %d", turns)
		}
		if got, most := slices.Max(longest), crowd*time.Second/perSec; got > most+2*grain {
			t.Errorf("somebody waited %v, at most %v", got, most)
		}
	})
}

func TestMeter(t *testing.T) {
	t.Parallel()

	start := time.Now()
	for _, step := range []time.Duration{time.Millisecond, 3 * time.Millisecond, 50 * time.Millisecond} {
		m := meter{start: start}
		for at := time.Duration(0); at < 10*time.Second; at += step {
			m.add(start.Add(at))
		}
		want := time.Second.Seconds() / step.Seconds()
		if got := m.lastSecond(start.Add(10 * time.Second)); math.Abs(got-want) > want/10 {
			t.Errorf("every %v: got %v/s, want %v/s", step, got, want)
		}
		if got := m.lastSecond(start.Add(12 * time.Second)); got != 0 {
			t.Errorf("every %v: got %v/s two seconds later", step, got)
		}
	}

	t.Run("CountsEveryoneOfMany", func(t *testing.T) {
		t.Parallel()
		m := meter{start: start}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 1000 {
					m.add(start.Add(time.Second))
				}
			})
		}
		group.Wait()
		if got := m.lastSecond(start.Add(time.Second)); got != 8000 {
			t.Fatalf("got %v, want 8000", got)
		}
	})
}

func TestLineKeepsItsOrderThroughRemovals(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		var l line
		var model []*waiter
		rt.Repeat(map[string]func(*rapid.T){
			"join": func(rt *rapid.T) {
				model = append(model, l.join())
			},
			"leave": func(rt *rapid.T) {
				if len(model) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(rt, "who")
				if !l.leave(model[i]) || l.leave(model[i]) {
					rt.Fatal("leaving works once")
				}
				model = slices.Delete(model, i, i+1)
			},
			"clear": func(rt *rapid.T) {
				reason := errors.New("closed")
				l.clear(reason)
				for _, w := range model {
					select {
					case <-w.done:
					default:
						rt.Fatal("somebody was left waiting")
					}
					if w.err != reason || l.leave(w) {
						rt.Fatalf("sent away with %v", w.err)
					}
				}
				model = nil
			},
			"next": func(rt *rapid.T) {
				if len(model) == 0 {
					rt.Skip()
				}
				l.next()
				select {
				case <-model[0].done:
				default:
					rt.Fatal("not the first was served")
				}
				if model[0].err != nil || l.leave(model[0]) {
					rt.Fatalf("served with %v", model[0].err)
				}
				model = model[1:]
			},
			"": func(rt *rapid.T) {
				if l.len() != len(model) {
					rt.Fatalf("%d in line, want %d", l.len(), len(model))
				}
			},
		})
	})
}
