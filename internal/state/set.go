package state

import (
	"bytes"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// set is a View: the entries of one set in this process.
type set struct {
	now func() time.Time

	count   atomic.Int64
	mu      sync.RWMutex
	entries map[string]entry
	watches []*watch
}

type entry struct {
	value   []byte
	expires time.Time // zero: never
}

func (e *entry) over(now time.Time) bool { return !e.expires.IsZero() && !e.expires.After(now) }

// same reports whether two entries say the same.
func (e *entry) same(o *entry) bool {
	return bytes.Equal(e.value, o.value) && e.expires.Equal(o.expires)
}

var _ View = (*set)(nil)

func newSet(now func() time.Time) *set {
	return &set{now: now, entries: map[string]entry{}}
}

// put makes key hold value. Watches are told unless it did so already.
func (s *set) put(key string, value []byte, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold(key, value, expires)
}

// hold is put; s.mu is held.
func (s *set) hold(key string, value []byte, expires time.Time) error {
	old, known := s.entries[key]
	if !known && len(s.entries) >= maxEntries {
		return ErrFull
	}
	if value == nil {
		value = []byte{}
	}
	e := entry{value, expires}
	s.entries[key] = e
	if !known || !old.same(&e) {
		s.changed(key, value)
	}
	return nil
}

// holds reports whether key holds was, nil being nothing.
func (s *set) holds(key string, was []byte) bool {
	now, ok := s.Get(key)
	return ok == (was != nil) && bytes.Equal(now, was)
}

func (s *set) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
}

// remove is drop; s.mu is held.
func (s *set) remove(key string) {
	if _, ok := s.entries[key]; ok {
		delete(s.entries, key)
		s.changed(key, nil)
	}
}

// replace makes the set hold exactly what is given, and tells of what that changes.
func (s *set) replace(entries map[string]entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.entries
	s.entries = entries
	for key, e := range entries {
		if was, ok := old[key]; !ok || !was.same(&e) {
			s.changed(key, e.value)
		}
	}
	for key := range old {
		if _, ok := entries[key]; !ok {
			s.changed(key, nil)
		}
	}
	s.count.Store(int64(len(entries)))
}

// entry returns what key holds, over or not.
func (s *set) entry(key string) (entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries[key]
	return e, ok
}

// live returns the entries that have not ended.
func (s *set) live() map[string]entry {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[string]entry, len(s.entries))
	for key, e := range s.entries {
		if !e.over(now) {
			out[key] = e
		}
	}
	return out
}

// changed tells the watches; s.mu is held, so that they hear it in order.
func (s *set) changed(key string, value []byte) {
	s.count.Store(int64(len(s.entries)))
	for _, w := range s.watches {
		w.add(key, value)
	}
}

func (s *set) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range s.entries {
		if e.over(now) {
			delete(s.entries, k)
		}
	}
	s.count.Store(int64(len(s.entries)))
}

// Get implements [View].
func (s *set) Get(key string) ([]byte, bool) {
	if s.count.Load() == 0 {
		return nil, false
	}
	s.mu.RLock()
	e, ok := s.entries[key]
	s.mu.RUnlock()
	if !ok || e.over(s.now()) {
		return nil, false
	}
	return e.value, true
}

// All implements [View].
func (s *set) All() iter.Seq2[string, []byte] {
	live := s.live()
	return func(yield func(string, []byte) bool) {
		for key, e := range live {
			if !yield(key, e.value) {
				return
			}
		}
	}
}

// Len implements [View].
func (s *set) Len() int { return int(s.count.Load()) }

// Stale implements [View].
func (s *set) Stale() time.Duration { return 0 }

// Watch implements [View].
func (s *set) Watch(f func(key string, value []byte)) (stop func()) {
	w := newWatch(f)
	s.mu.Lock()
	s.watches = append(s.watches, w)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.watches = slices.DeleteFunc(s.watches, func(o *watch) bool { return o == w })
		s.mu.Unlock()
		w.close()
	}
}

func (s *set) close() {
	s.mu.Lock()
	watches := s.watches
	s.watches = nil
	s.mu.Unlock()
	for _, w := range watches {
		w.close()
	}
}
