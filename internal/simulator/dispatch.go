package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the webhook side (whatsapp-facts §6.1).
const (
	maxBatch         = 1000 // statuses in one request
	webhookTimeout   = 10 * time.Second
	webhookRetry     = time.Second    // first delay after an answer other than 200, times Pace
	webhookRetryMost = time.Minute    // times Pace, but at least one second
	webhookGiveUp    = 24 * time.Hour // after which an event is dropped
	webhookLinger    = 10 * time.Millisecond
	maxPending       = 4_000_000 // events that wait for a target; about 150 bytes each
)

// destination is where the webhooks of a number go.
type destination struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
}

// dispatcher sends the webhooks of one number: it collects events into batches,
// keeps a few requests under way and tries failed batches again, later and later.
type dispatcher struct {
	sim     *Simulator
	number  *number
	target  atomic.Pointer[destination]
	client  *http.Client
	slots   chan struct{}
	wake    chan struct{}
	batchNo atomic.Uint64

	mu      sync.Mutex
	pending []event
	retries []batch
	waiting int // events in pending and retries
	// While the target fails, new events gather instead of each few becoming
	// a batch that is retried by itself.
	failures int
	quiet    time.Time
}

type batch struct {
	events []event
	tries  int
	first  time.Time
	due    time.Time
}

func newDispatcher(s *Simulator, n *number, concurrency int) *dispatcher {
	return &dispatcher{
		sim: s, number: n,
		client: &http.Client{
			Timeout: webhookTimeout,
			Transport: &http.Transport{
				MaxIdleConns: concurrency, MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency,
				IdleConnTimeout: time.Minute,
			},
			// Only a 200 is a success; a redirect is a failure like any other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots: make(chan struct{}, concurrency),
		wake:  make(chan struct{}, 1),
	}
}

// add takes events to be reported now.
func (d *dispatcher) add(events ...event) {
	if d.target.Load() == nil {
		d.sim.stats.webhooksWithoutTarget.Add(int64(len(events)))
		return
	}
	d.mu.Lock()
	if room := maxPending - d.waiting; len(events) > room {
		d.sim.dropped(len(events)-room, "too many webhooks wait for their target")
		events = events[:room]
	}
	d.pending = append(d.pending, events...)
	d.waiting += len(events)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run sends until the context ends; what waits then is lost, and counted.
func (d *dispatcher) run(ctx context.Context) {
	var inFlight sync.WaitGroup
	defer d.client.CloseIdleConnections()
	defer inFlight.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		b, next, ok := d.take(time.Now())
		if !ok {
			timer.Reset(next)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			case <-d.wake:
				// Others will come at once: let a batch of them gather.
				if !sleep(ctx, webhookLinger) {
					return
				}
			}
			continue
		}
		select {
		case <-ctx.Done():
			d.putBack(b)
			return
		case d.slots <- struct{}{}:
		}
		inFlight.Add(1)
		go func() {
			defer inFlight.Done()
			defer func() { <-d.slots }()
			d.deliver(ctx, b)
		}()
	}
}

// take returns a batch that is due, or how long to wait.
func (d *dispatcher) take(now time.Time) (batch, time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := time.Hour
	for i, b := range d.retries {
		if wait := b.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		d.retries = slices.Delete(d.retries, i, i+1)
		return b, 0, true
	}
	if wait := d.quiet.Sub(now); wait > 0 && len(d.pending) > 0 {
		return batch{}, min(next, wait), false
	}
	if len(d.pending) == 0 {
		d.pending = nil // let the array of a great crowd go
		return batch{}, next, false
	}
	size := min(len(d.pending), d.size())
	if d.pending[0].change != nil {
		size = 1
	} else if i := slices.IndexFunc(d.pending[:size], func(e event) bool { return e.change != nil }); i > 0 {
		size = i
	}
	events := d.pending[:size:size]
	d.pending = d.pending[size:]
	return batch{events: events, first: now}, 0, true
}

// size is how many events the next batch may hold: uneven where the profile is
// odd, larger when a crowd waits.
func (d *dispatcher) size() int {
	if !d.sim.profile.odd || len(d.pending) > 2*maxBatch {
		return maxBatch
	}
	roll := dice(hash(d.sim.config.Seed, "batch", d.number.phoneID) + d.batchNo.Add(1))
	if roll.share() < 0.3 {
		return 1
	}
	return int(roll.between(2, 200))
}

func (d *dispatcher) deliver(ctx context.Context, b batch) {
	err := d.post(ctx, b)
	if err == nil {
		d.mu.Lock()
		d.waiting -= len(b.events)
		recovered := d.failures > 0
		d.failures, d.quiet = 0, time.Time{}
		d.mu.Unlock()
		if recovered {
			d.sim.logger.Info("the webhook target answers again", "phone_number_id", d.number.phoneID)
		}
		d.sim.stats.webhooksDelivered.Add(int64(len(b.events)))
		return
	}
	if ctx.Err() != nil {
		d.putBack(b)
		return
	}
	d.sim.stats.webhookFailures.Add(1)
	now := time.Now()
	if now.Sub(b.first) > webhookGiveUp {
		d.mu.Lock()
		d.waiting -= len(b.events)
		d.mu.Unlock()
		d.sim.dropped(len(b.events), "the target did not take them in time")
		return
	}
	b.due = now.Add(d.retryDelay(b.tries))
	b.tries++
	d.mu.Lock()
	d.quiet = now.Add(d.retryDelay(d.failures))
	first := d.failures == 0
	d.failures++
	d.mu.Unlock()
	if first {
		d.sim.logger.Warn("the webhook target does not answer 200; events are kept and sent again", "phone_number_id", d.number.phoneID, "error", err)
	}
	d.putBack(b)
}

// retryDelay doubles with every try.
func (d *dispatcher) retryDelay(tries int) time.Duration {
	delay := max(d.sim.paced(webhookRetry), 20*time.Millisecond) << min(tries, 12)
	return min(delay, max(d.sim.paced(webhookRetryMost), time.Second))
}

func (d *dispatcher) putBack(b batch) {
	d.mu.Lock()
	d.retries = append(d.retries, b)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// post sends one batch; anything but a 200 is an error. Errors do not show the
// URL, which may hold a secret.
func (d *dispatcher) post(ctx context.Context, b batch) error {
	target := d.target.Load()
	if target == nil {
		return errors.New("no target is set")
	}
	var body []byte
	var err error
	if b.events[0].change != nil {
		body, err = encodeChange(d.number, b.events[0])
	} else {
		var cut func() int
		if d.sim.profile.odd {
			roll := dice(hash(d.sim.config.Seed, "cut", b.events[0].message.id))
			cut = func() int { return int(roll.between(1, 50)) }
		}
		body, err = encode(d.number, b.events, cut)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range target.Headers {
		request.Header.Set(name, value)
	}
	answer, err := d.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	// The connection is used again only when the answer was read.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", answer.StatusCode)
	}
	return nil
}

func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// backlog is the number of events that wait for the target.
func (d *dispatcher) backlog() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting
}

// sleep waits and tells whether the context is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
