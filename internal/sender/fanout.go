package sender

import (
	"context"
	"slices"
	"time"
)

const (
	// fanOutEvery bounds the time from launch to the first job.
	fanOutEvery = 200 * time.Millisecond
	// windowSeconds of a channel's rate have jobs at a time.
	windowSeconds = 60
	// windowMost bounds the jobs of a channel without a limit: a second or two of
	// the fastest sending measured (15 thousand a second).
	windowMost = 20_000
	// sliceMost is what one pass queues of one campaign: 5,000 rows are some 50 ms
	// of Postgres, in which the other campaigns of the channel wait.
	sliceMost = 5_000
)

// fanOut queues due messages of every channel this node sends for, until ctx
// ends.
func (s *Sender) fanOut(ctx context.Context) {
	tick := time.NewTicker(fanOutEvery)
	defer tick.Stop()
	for {
		more := false
		for _, ch := range s.sending() {
			n, err := s.Store.FanOut(ctx, ch.ID, window(ch.Rate), sliceMost)
			if err != nil {
				if ctx.Err() == nil {
					s.Logger.Error("cannot fan out", "channel_id", ch.ID, "error", err)
				}
				continue
			}
			more = more || n >= sliceMost
		}
		if more && ctx.Err() == nil {
			continue // there is room in the window: do not wait for the tick
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func window(rate float64) int {
	if rate == 0 {
		return windowMost
	}
	return min(max(int(rate*windowSeconds), 10), windowMost)
}

// sending lists the channels that this node can send for, in order.
func (s *Sender) sending() []*channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*channel
	for _, ch := range s.channels {
		if ch.provider != nil {
			list = append(list, ch)
		}
	}
	slices.SortFunc(list, func(a, b *channel) int { return int(a.ID - b.ID) })
	return list
}
