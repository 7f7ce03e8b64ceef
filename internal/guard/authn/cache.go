package authn

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// digest is the keyed digest of a credential and of the place where it stood.
type digest [sha256.Size]byte

// verified is a token that was verified, and for how long that holds: until it
// expires, and while its issuer's keys are those that verified it.
type verified struct {
	identity    *exchange.Identity
	method      *jwtMethod // of the guard that verified it; nil for what a server vouches for
	number      int        // of the method in the config
	guard       uint64     // whose Memo the identity has
	bound       binding
	generation  uint64
	from, until time.Time // until is zero when the token never expires
}

// holds reports whether the token is still to be believed now.
func (v *verified) holds(now time.Time) bool {
	if now.Before(v.from) || !v.until.IsZero() && !now.Before(v.until) {
		return false
	}
	generation, ok := v.method.keys.generation(now, v.method.maxAge)
	return ok && generation == v.generation
}

// cache holds the tokens verified lately, the least recently used leaving first.
// Only verified tokens come in, so strangers cannot push others out.
type cache struct{ shards [cacheShards]cacheShard }

const cacheShards = 32

type cacheShard struct {
	mu   sync.Mutex
	most int
	m    map[digest]*cacheNode
	head cacheNode // of the ring: next is the most recently used
}

type cacheNode struct {
	key        digest
	value      *verified
	prev, next *cacheNode
}

func newCache(entries int) *cache {
	c := new(cache)
	for i := range c.shards {
		s := &c.shards[i]
		s.most = max(1, entries/cacheShards)
		s.m = make(map[digest]*cacheNode)
		s.head.prev, s.head.next = &s.head, &s.head
	}
	return c
}

// get returns the entry, or nil. One that no longer holds is dropped.
func (c *cache) get(k *digest, now time.Time) *verified {
	s := &c.shards[k[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.m[*k]
	if n == nil {
		return nil
	}
	if !n.value.holds(now) {
		n.unlink()
		delete(s.m, n.key)
		return nil
	}
	n.unlink()
	s.front(n)
	return n.value
}

func (c *cache) put(k *digest, v *verified) {
	s := &c.shards[k[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.m[*k]; n != nil {
		n.value = v
		n.unlink()
		s.front(n)
		return
	}
	if len(s.m) >= s.most {
		last := s.head.prev
		last.unlink()
		delete(s.m, last.key)
	}
	n := &cacheNode{key: *k, value: v}
	s.m[*k] = n
	s.front(n)
}

func (n *cacheNode) unlink() { n.prev.next, n.next.prev = n.next, n.prev }

func (s *cacheShard) front(n *cacheNode) {
	n.prev, n.next = &s.head, s.head.next
	s.head.next.prev = n
	s.head.next = n
}
