// Package batch gathers what many goroutines ask for into few calls: one
// transaction for hundreds of claims, outcomes or webhooks, each of which waits
// for its own answer. It knows nothing of what it gathers.
package batch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Gatherer gathers what many workers ask for into batches, each one call of run,
// and hands every worker its own answer. While a batch is under way the next one
// fills, so batches are as large as the load asks for; where they are quick, a
// distance from one's beginning to the next one's lets more come together. A lone
// request is not held up.
type Gatherer[I, O any] struct {
	in    chan item[I, O]
	run   func(context.Context, []I) ([]O, error)
	max   int
	every time.Duration
	wg    sync.WaitGroup

	mu     sync.RWMutex // held for reading while an element is handed in
	closed bool
}

// ErrClosed is what Do returns after Close.
var ErrClosed = errors.New("the batches are closed: the program stops")

type item[I, O any] struct {
	value I
	reply chan<- answer[O]
}

type answer[O any] struct {
	value O
	err   error
}

// New starts flights goroutines that each carry one batch at a time, of at most
// max elements, and begin one at most every so often; a full batch does not wait
// for that. ctx bounds the calls, not the goroutines: they end with Close.
func New[I, O any](ctx context.Context, flights, max int, every time.Duration, run func(context.Context, []I) ([]O, error)) *Gatherer[I, O] {
	b := &Gatherer[I, O]{in: make(chan item[I, O], 4*max), run: run, max: max, every: every}
	for range flights {
		b.wg.Add(1)
		go b.loop(ctx)
	}
	return b
}

func (b *Gatherer[I, O]) loop(ctx context.Context) {
	defer b.wg.Done()
	items := make([]item[I, O], 0, b.max)
	values := make([]I, 0, b.max)
	var began time.Time
	for first := range b.in {
		if early := b.every - time.Since(began); early > 0 && len(b.in) < b.max-1 {
			time.Sleep(early)
		}
		began = time.Now()
		items, values = append(items[:0], first), append(values[:0], first.value)
		for full := false; !full && len(items) < b.max; {
			select {
			case next, ok := <-b.in:
				if !ok {
					full = true
					break
				}
				items, values = append(items, next), append(values, next.value)
			default:
				full = true
			}
		}
		results, err := b.run(ctx, values)
		for i, it := range items {
			a := answer[O]{err: err}
			if err == nil {
				a.value = results[i]
			}
			it.reply <- a
		}
	}
}

// Do hands one element in and waits for its answer: until ctx ends only while
// the element was not taken; afterwards its fate is known only by its answer.
func (b *Gatherer[I, O]) Do(ctx context.Context, value I) (O, error) {
	reply := make(chan answer[O], 1)
	if err := b.handIn(ctx, item[I, O]{value, reply}); err != nil {
		var none O
		return none, err
	}
	a := <-reply
	return a.value, a.err
}

func (b *Gatherer[I, O]) handIn(ctx context.Context, it item[I, O]) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	select {
	case b.in <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the gatherer after everything handed in was answered. Who calls Do
// later, because a stop did not wait for it, gets ErrClosed.
func (b *Gatherer[I, O]) Close() {
	b.mu.Lock()
	already := b.closed
	b.closed = true
	b.mu.Unlock()
	if !already {
		close(b.in)
	}
	b.wg.Wait()
}
