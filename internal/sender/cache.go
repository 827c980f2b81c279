package sender

import (
	"context"
	"sync"
	"time"
)

// cache keeps what every message needs and what rarely changes. When a value is
// old one caller reads it anew and the others go on with what is known: all
// workers at once used to ask the database for the same template every 2 s.
type cache[K comparable, V any] struct {
	keep time.Duration
	now  func() time.Time
	load func(context.Context, K) (V, error)

	mu      sync.RWMutex
	values  map[K]cached[V]
	loading chan struct{} // held by who reads what nobody knows yet
}

type cached[V any] struct {
	value V // shared by every message: it is not copied and not changed
	read  time.Time
}

func newCache[K comparable, V any](keep time.Duration, now func() time.Time, load func(context.Context, K) (V, error)) *cache[K, V] {
	return &cache[K, V]{keep: keep, now: now, load: load, values: map[K]cached[V]{}, loading: make(chan struct{}, 1)}
}

func (c *cache[K, V]) get(ctx context.Context, key K) (V, error) {
	now := c.now()
	known, ok := c.known(key)
	switch {
	case ok && now.Sub(known.read) < c.keep:
		return known.value, nil
	case ok && !c.renews(key, now):
		return known.value, nil
	case !ok:
		c.loading <- struct{}{}
		defer func() { <-c.loading }()
		if known, ok = c.known(key); ok {
			return known.value, nil
		}
	}
	value, err := c.load(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if ok {
			c.values[key] = cached[V]{value: known.value} // the next caller tries again
		}
		return value, err
	}
	c.values[key] = cached[V]{value, now}
	return value, nil
}

func (c *cache[K, V]) known(key K) (cached[V], bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	known, ok := c.values[key]
	return known, ok
}

// renews reports whether it is this caller who reads an old value anew.
func (c *cache[K, V]) renews(key K, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.values[key]
	if now.Sub(known.read) < c.keep {
		return false
	}
	known.read = now
	c.values[key] = known
	return true
}
