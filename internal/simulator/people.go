package simulator

import (
	"sync"
	"time"
)

// people remembers of each recipient of a number how often he was sent to and
// when. Keys are hashes: a few dozen bytes a person, however long the list.
type people struct {
	shards [64]peopleShard
}

type peopleShard struct {
	mu     sync.Mutex
	people map[uint64]person
}

type person struct {
	attempts uint32
	pairFull int64 // Unix nanoseconds at which the pair's quota is whole again
	wrote    int64 // Unix nanoseconds of the person's last message; 0: never
}

// serviceWindow is how long after a person's last message anything but a template
// may be sent.
const serviceWindow = 24 * time.Hour

// heard notes that a person wrote.
func (p *people) heard(key uint64, now time.Time) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people == nil {
		s.people = map[uint64]person{}
	}
	one := s.people[key]
	one.wrote = now.UnixNano()
	s.people[key] = one
}

// open tells whether a person's service window is open.
func (p *people) open(key uint64, now time.Time) bool {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := s.people[key].wrote
	return wrote != 0 && now.UnixNano()-wrote < int64(serviceWindow)
}

func (p *people) shard(key uint64) *peopleShard { return &p.shards[key%uint64(len(p.shards))] }

// attempt counts a send to a recipient and returns its number, from 1. With
// limited it refuses, and does not count, what is over the pair rate limit: a
// send that was refused for its timing must not shift what the seed has in store
// for the next.
func (p *people) attempt(key uint64, now time.Time, limited bool) (uint32, bool) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people == nil {
		s.people = map[uint64]person{}
	}
	one := s.people[key]
	if limited {
		at := now.UnixNano()
		full := max(one.pairFull, at) + int64(pairInterval)
		if full-at > int64(pairBurst*pairInterval) {
			return one.attempts, false
		}
		one.pairFull = full
	}
	one.attempts++
	s.people[key] = one
	return one.attempts, true
}
