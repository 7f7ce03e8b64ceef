package login

import (
	"crypto/sha256"
	"sync"
)

// Bounds of the cache: sessions differ much in size.
const (
	cacheEntries = 8192
	cacheBytes   = 64 << 20
)

// cache keeps opened sessions by the digest of what they were opened from, so
// that a session which is used again and again is decrypted and read once. Only
// what could be opened comes in. When it is full it begins anew: what is in use
// is back with its next call.
type cache struct {
	mu    sync.RWMutex
	m     map[[sha256.Size]byte]*session
	bytes int
}

func newCache() *cache { return &cache{m: map[[sha256.Size]byte]*session{}} }

func (c *cache) get(k [sha256.Size]byte) *session {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[k]
}

func (c *cache) put(k [sha256.Size]byte, s *session) {
	size := 1024 + 2*(len(s.Issued)+len(s.Access)+len(s.Refresh)+len(s.Userinfo))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= cacheEntries || c.bytes+size > cacheBytes {
		c.m, c.bytes = map[[sha256.Size]byte]*session{}, 0
	}
	c.m[k] = s
	c.bytes += size
}
