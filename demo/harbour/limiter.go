package harbour

import (
	"sync"
	"time"
)

// limiter counts failures of a key (an account, an address) in a window that
// begins with the first one.
type limiter struct {
	mu     sync.Mutex
	max    int
	window time.Duration
	now    func() time.Time
	seen   map[string]*failures
}

type failures struct {
	count int
	since time.Time
}

// maxKeys bounds the limiter's memory; past it, lapsed windows are dropped.
const maxKeys = 50_000

func newLimiter(most int, window time.Duration, now func() time.Time) *limiter {
	return &limiter{max: most, window: window, now: now, seen: map[string]*failures{}}
}

// blocked says whether the key has used up its failures.
func (l *limiter) blocked(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.seen[key]
	return f != nil && f.count >= l.max && l.now().Sub(f.since) < l.window
}

func (l *limiter) fail(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	f := l.seen[key]
	if f == nil || now.Sub(f.since) >= l.window {
		if len(l.seen) >= maxKeys {
			l.drop(now)
		}
		f = &failures{since: now}
		l.seen[key] = f
	}
	f.count++
}

func (l *limiter) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

func (l *limiter) drop(now time.Time) {
	for key, f := range l.seen {
		if now.Sub(f.since) >= l.window {
			delete(l.seen, key)
		}
	}
}
