package sender

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/campaignd/campaignd/internal/campaign"
)

// fussyQueues are queues that refuse some of the time, as River's do when it
// stops or when a queue's workers do not end.
type fussyQueues struct {
	refuse  map[string]error // once
	worked  map[string]int
	removed []string // that were worked
}

func (q *fussyQueues) refused(name string) error {
	err := q.refuse[name]
	delete(q.refuse, name)
	return err
}

func (q *fussyQueues) Add(name string, c river.QueueConfig) error {
	if err := q.refused("add " + name); err != nil {
		return err
	}
	if _, known := q.worked[name]; known {
		return &river.QueueAlreadyAddedError{Name: name}
	}
	q.worked[name] = c.MaxWorkers
	return nil
}

func (q *fussyQueues) Remove(_ context.Context, name string) error {
	if err := q.refused("remove " + name); err != nil {
		return err
	}
	if _, known := q.worked[name]; !known {
		return &river.QueueNotFoundError{Name: name}
	}
	delete(q.worked, name)
	q.removed = append(q.removed, name)
	return nil
}

// To stop a queue is to wait for its POSTs, of which one may take 20 s: that one
// queue could not be added is no reason to stop the other.
func TestQueuesThatAreWorkedAreNotStoppedForOthers(t *testing.T) {
	t.Parallel()
	m := &memory{channels: []campaign.Channel{{ID: 1, Name: "a", Rate: 10}}}
	s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler),
		Connect: func(campaign.Channel) (Provider, error) { return providerFunc(accept), nil }})
	defer s.Close()
	q := &fussyQueues{worked: map[string]int{}, refuse: map[string]error{"add ch_1_high": errors.New("busy")}}
	s.Use(q)
	if err := s.refresh(t.Context()); err == nil {
		t.Error("a queue that could not be added is no error")
	}
	for range 2 {
		if err := s.refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(q.worked) != 2 || len(q.removed) > 0 {
		t.Errorf("worked %v, removed %v", q.worked, q.removed)
	}
}

// A queue that could not be added or changed is tried again, and no channel waits
// for another one's.
func TestChannelsQueuesAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"add ch_1", "add ch_1_high", "remove ch_1", "remove ch_1_high"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			m := &memory{channels: []campaign.Channel{{ID: 1, Name: "a", Rate: 10}, {ID: 2, Name: "b", Rate: 10}}}
			s := New(context.Background(), Config{Store: m, Logger: slog.New(slog.DiscardHandler),
				Connect: func(campaign.Channel) (Provider, error) { return providerFunc(accept), nil }})
			defer s.Close()
			q := &fussyQueues{worked: map[string]int{}, refuse: map[string]error{step: errors.New("busy")}}
			s.Use(q)
			first := s.refresh(t.Context())
			if q.worked["ch_2"] != 10 {
				t.Error("the second channel waits for the first")
			}
			m.channels[0].Rate, m.channels[0].UpdatedAt = 20, time.Now()
			second := s.refresh(t.Context())
			if (first == nil) == (second == nil) {
				t.Errorf("refreshes ended with %v and %v", first, second)
			}
			if err := s.refresh(t.Context()); err != nil {
				t.Error(err)
			}
			if q.worked["ch_1"] != 20 || q.worked["ch_1_high"] != 5 {
				t.Errorf("workers %v", q.worked)
			}
		})
	}
}

// Who lifts the hold without mending the template gets it back before the list
// is burned.
func TestRepeatedFailuresHoldTheTemplateAgain(t *testing.T) {
	t.Parallel()
	var s streaks
	var held []int
	for n := range 3 * repeatLimit {
		if s.failed(1, "132000") {
			held = append(held, n+1)
		}
	}
	if want := []int{repeatLimit, 2 * repeatLimit, 3 * repeatLimit}; !slices.Equal(held, want) {
		t.Errorf("held after %v, want %v", held, want)
	}
}
