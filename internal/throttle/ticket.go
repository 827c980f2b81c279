package throttle

import (
	"context"
	"time"
)

// Ticket is a turn that was given: good for one POST or to be given back. It
// belongs to one goroutine and is not copied. The zero Ticket is spent.
type Ticket struct {
	channel *Channel // nil once spent
	counted bool     // a token was taken for it
}

// Pace waits until the POST may go out, for as long as ctx allows, and spends
// the ticket. Call it right before the POST, with a ctx that ends before the
// claim does. It smooths what a slow commit bunched: usually it does not wait
// at all, and no longer than the turns under way need at the channel's rate.
//
// It returns ctx's error when that ended first, ErrClosed, and ErrSpent for a
// ticket that was used before; then nothing may be posted, and the claim is to be
// released. Except for ErrSpent the turn is still held, and Cancel gives it back.
func (t *Ticket) Pace(ctx context.Context) error {
	c := t.channel
	if c == nil {
		return ErrSpent
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.free.Load() {
		c.sent.add(time.Now())
		t.channel = nil
		return nil
	}

	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	now := time.Now()
	c.serve(now)
	if c.posts.empty() && c.takePost(now) == 0 {
		c.mu.Unlock()
		t.channel = nil
		return nil
	}
	w := c.posts.join()
	c.serve(now)
	c.mu.Unlock()

	// A pass that came together with the end of ctx is not given back: at worst
	// one POST's place stays empty, where the drift of the pacer has room.
	if _, err := c.await(ctx, &c.posts, w); err != nil {
		return err
	}
	t.channel = nil
	return nil
}

// Cancel gives the turn back when nothing was claimed or nothing was posted, so
// that somebody else takes it. After a successful Pace, or a second time, it
// does nothing: defer it.
func (t *Ticket) Cancel() {
	c := t.channel
	if c == nil {
		return
	}
	t.channel = nil
	if !t.counted {
		return
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.bucket.giveBack(now)
	c.serve(now)
}
