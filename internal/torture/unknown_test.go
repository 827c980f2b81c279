package torture

import (
	"context"
	"sync"
	"time"
)

// unknowns are the messages that were seen in the state unknown.
type unknowns struct {
	mu  sync.Mutex
	ids map[int64]bool
}

// watchUnknown looks twice a second; what was unknown for less is not counted.
func (w *world) watchUnknown(ctx context.Context, u *unknowns) {
	for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		ids, err := query[int64](ctx, w, `SELECT id FROM campaign.messages WHERE state = 'unknown'`)
		if err != nil {
			continue // the server is away
		}
		u.mu.Lock()
		for _, id := range ids {
			u.ids[id] = true
		}
		u.mu.Unlock()
	}
}

func (u *unknowns) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.ids)
}
