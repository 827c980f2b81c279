package sender

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/campaignd/campaignd/internal/campaign"
)

func run(t *testing.T, s *Sender) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

func ids(n int) []campaign.MessageID {
	list := make([]campaign.MessageID, n)
	for i := range list {
		list[i] = campaign.MessageID(i + 1)
	}
	return list
}

// An idle channel asks rarely, a busy one for many at a time, and what comes while
// nothing was there is taken at once when somebody says so.
func TestPumpFollowsTheJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := start(t, m, 0, func(ctx context.Context, r *campaign.Request) campaign.Answer {
			time.Sleep(10 * time.Millisecond)
			return accept(ctx, r)
		})
		defer s.Close()
		defer run(t, s)()
		time.Sleep(10*lookEvery + lookEvery/2)
		if len(m.questions()) > 12 {
			t.Errorf("an idle channel asked %d times in %v", len(m.questions()), 10*lookEvery)
		}
		for _, n := range m.questions() {
			if n != 1 {
				t.Errorf("an idle channel asked for %v", m.questions())
				break
			}
		}

		m.add(ids(5000)...)
		begun := time.Now()
		s.Wake(1, false)
		time.Sleep(lookEvery / 2)
		synctest.Wait()
		if m.posted() != 5000 {
			t.Errorf("%d of 5000 were sent within %v of the word", m.posted(), time.Since(begun))
		}

		before := m.posted()
		m.add(9999)
		s.Wake(1, false)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if m.posted() != before+1 {
			t.Error("a message on an idle channel was not taken at once")
		}
	})
}

// No more than the channel's workers are under way, and none is begun after a stop:
// it waits for what was begun, and leaves the rest in the queue.
func TestPumpKeepsToItsWorkersAndLeavesTheRestAtAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := start(t, m, 0, func(ctx context.Context, r *campaign.Request) campaign.Answer {
			time.Sleep(10 * time.Second)
			return accept(ctx, r)
		})
		s.MaxWorkers = 7
		s.channel(1).workers = 7
		defer s.Close()
		m.add(ids(100)...)
		stop := run(t, s)
		time.Sleep(5*lookEvery + lookEvery/2) // at a whole second the channel's other pump is asking
		stop()
		if got := s.Flows()[0].Busy; got != 7 {
			t.Errorf("%d turns are under way, want 7", got)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Drain(short); err == nil {
			t.Error("did not wait for the POSTs under way")
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if m.posted() != 7 || m.left() != 93 {
			t.Errorf("%d posted, %d left in the queue", m.posted(), m.left())
		}
	})
}

// While the limiter has no room nothing is claimed, and a stop need not wait.
func TestPumpClaimsNothingWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := start(t, m, 0.1, accept) // one in ten seconds
		defer s.Close()
		m.add(1, 2, 3)
		stop := run(t, s)
		time.Sleep(5*lookEvery + lookEvery/2)
		begun := time.Now()
		stop()
		if err := s.Drain(t.Context()); err != nil || time.Since(begun) > time.Second {
			t.Errorf("the stop took %v, %v", time.Since(begun), err)
		}
		if m.posted() > 2 || m.left()+m.posted() != 3 {
			t.Errorf("%d posted, %d left", m.posted(), m.left())
		}
	})
}

// A claim that fails is not asked for again and again without a pause.
func TestPumpRestsAfterAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{failure: context.DeadlineExceeded}
		s := start(t, m, 0, accept)
		defer s.Close()
		m.add(ids(1000)...)
		defer run(t, s)()
		time.Sleep(3*lookEvery + lookEvery/2)
		synctest.Wait()
		if n := len(m.questions()); n == 0 || n > 5 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A message of high priority does not wait for the batch of a campaign.
func TestPumpOfHighPriorityDoesNotWaitForTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		m.claim = func(turn campaign.Turn) campaign.Claimed {
			if turn.Message != 9999 {
				time.Sleep(2 * time.Second) // the batch that is under way
			}
			return ok(turn)
		}
		s := start(t, m, 0, accept)
		defer s.Close()
		m.add(1)
		stop := run(t, s)
		defer func() {
			stop()
			if err := s.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(100 * time.Millisecond)
		m.mu.Lock()
		m.high = append(m.high, 9999)
		m.mu.Unlock()
		s.Wake(1, true)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if m.posted() != 1 {
			t.Error("it was not taken at once")
		}
	})
}
