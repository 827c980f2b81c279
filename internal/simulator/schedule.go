package simulator

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// scheduler holds the messages that have statuses to come, ordered by the next
// one: an entry a message, not an entry a status.
type scheduler struct {
	pace func(time.Duration) time.Duration
	wake chan struct{}

	mu    sync.Mutex
	queue timeline
}

type scheduled struct {
	due     time.Time
	message *message
}

type timeline []scheduled

func (t timeline) Len() int           { return len(t) }
func (t timeline) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timeline) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timeline) Push(x any)        { *t = append(*t, x.(scheduled)) }
func (t *timeline) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = scheduled{}
	*t = old[:len(old)-1]
	return last
}

func newScheduler(pace func(time.Duration) time.Duration) *scheduler {
	return &scheduler{pace: pace, wake: make(chan struct{}, 1)}
}

// add takes a message whose script is in the order of reporting.
func (s *scheduler) add(m *message) {
	due := s.due(m, m.script[0])
	s.mu.Lock()
	first := len(s.queue) == 0 || due.Before(s.queue[0].due)
	heap.Push(&s.queue, scheduled{due, m})
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *scheduler) due(m *message, next step) time.Time {
	return m.accepted.Add(s.pace(next.after + next.lag))
}

// run hands every status to its number's dispatcher when its time has come.
func (s *scheduler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	batches := map[*dispatcher][]event{}
	for {
		wait := s.collect(time.Now(), batches)
		for d, events := range batches {
			if len(events) > 0 {
				d.add(events...)
				batches[d] = events[:0]
			}
		}
		timer.Reset(max(wait, 2*time.Millisecond)) // thousands a second come due: not one by one
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// collect takes out what is due and returns how long until the next.
func (s *scheduler) collect(now time.Time, batches map[*dispatcher][]event) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		top := &s.queue[0]
		if wait := top.due.Sub(now); wait > 0 {
			return wait
		}
		m := top.message
		next := m.script[0]
		batches[m.number.webhooks] = append(batches[m.number.webhooks],
			event{message: m, step: next, at: m.accepted.Add(s.pace(next.after))})
		if m.script = m.script[1:]; len(m.script) > 0 {
			top.due = s.due(m, m.script[0])
			heap.Fix(&s.queue, 0)
		} else {
			heap.Pop(&s.queue)
		}
	}
	return time.Hour
}

func (s *scheduler) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}
