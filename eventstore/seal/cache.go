package seal

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// cache keeps at most about size values in memory. What was not used since the
// hand last passed goes first (the CLOCK rule), so a hit takes no exclusive lock.
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards [cacheShards]shard[K, V]
	gone   func(V) // called with each value that leaves
}

const cacheShards = 16 // a power of two

type shard[K comparable, V any] struct {
	mu    sync.RWMutex
	slots map[K]*slot[K, V]
	ring  []*slot[K, V]
	hand  int
	size  int
}

type slot[K comparable, V any] struct {
	key   K
	value V
	used  atomic.Bool
	at    int // in ring
}

func newCache[K comparable, V any](size int, gone func(V)) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), gone: gone}
	for i := range c.shards {
		c.shards[i].slots = map[K]*slot[K, V]{}
		c.shards[i].size = max(1, size/cacheShards)
	}
	return c
}

func (c *cache[K, V]) shard(k K) *shard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

func (c *cache[K, V]) get(k K) (value V, ok bool) {
	s := c.shard(k)
	s.mu.RLock()
	found := s.slots[k]
	if found != nil {
		value, ok = found.value, true
	}
	s.mu.RUnlock()
	if ok && !found.used.Load() {
		found.used.Store(true)
	}
	return value, ok
}

// put stores a value if valid, asked under the lock that remove takes too, says
// so, and reports whether it did. A value that is replaced leaves.
func (c *cache[K, V]) put(k K, v V, valid func() bool) bool {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !valid() {
		return false
	}
	if found := s.slots[k]; found != nil {
		s.drop(found)
		c.gone(found.value)
	}
	fresh := &slot[K, V]{key: k, value: v}
	s.slots[k] = fresh
	if len(s.ring) >= s.size {
		for s.ring[s.hand].used.Swap(false) {
			s.hand = (s.hand + 1) % len(s.ring)
		}
		victim := s.ring[s.hand]
		delete(s.slots, victim.key)
		c.gone(victim.value)
		fresh.at, s.ring[s.hand] = s.hand, fresh
		s.hand = (s.hand + 1) % len(s.ring)
		return true
	}
	fresh.at = len(s.ring)
	s.ring = append(s.ring, fresh)
	return true
}

// drop takes a slot out; the caller holds the lock.
func (s *shard[K, V]) drop(out *slot[K, V]) {
	delete(s.slots, out.key)
	last := s.ring[len(s.ring)-1]
	s.ring[out.at], last.at = last, out.at
	s.ring[len(s.ring)-1] = nil
	s.ring = s.ring[:len(s.ring)-1]
	if s.hand >= len(s.ring) {
		s.hand = 0
	}
}

func (c *cache[K, V]) remove(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.slots[k]; found != nil {
		s.drop(found)
		c.gone(found.value)
	}
}

// removeIf removes every value that match accepts; it looks at all of them.
func (c *cache[K, V]) removeIf(match func(V) bool) {
	c.removeSlots(func(s *slot[K, V]) bool { return match(s.value) })
}

// removeKeyIf is removeIf by key.
func (c *cache[K, V]) removeKeyIf(match func(K) bool) {
	c.removeSlots(func(s *slot[K, V]) bool { return match(s.key) })
}

func (c *cache[K, V]) removeSlots(match func(*slot[K, V]) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for j := len(s.ring) - 1; j >= 0; j-- {
			if found := s.ring[j]; match(found) {
				s.drop(found)
				c.gone(found.value)
			}
		}
		s.mu.Unlock()
	}
}
