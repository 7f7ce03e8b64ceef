package state

import (
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

var _ View = (*set)(nil)

func newSet(now func() time.Time) *set {
	return &set{now: now, entries: map[string]entry{}}
}

func (s *set) put(key string, value []byte, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.entries[key]; !known && len(s.entries) >= maxEntries {
		return ErrFull
	}
	if value == nil {
		value = []byte{}
	}
	s.entries[key] = entry{value, expires}
	s.changed(key, value)
	return nil
}

func (s *set) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[key]; ok {
		delete(s.entries, key)
		s.changed(key, nil)
	}
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

// watch tells one watcher of changes from a goroutine of its own.
type watch struct {
	mu     sync.Mutex
	queue  []change
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

type change struct {
	key   string
	value []byte
}

func newWatch(f func(string, []byte)) *watch {
	w := &watch{wake: make(chan struct{}, 1), closed: make(chan struct{})}
	w.done.Go(func() { w.run(f) })
	return w
}

func (w *watch) add(key string, value []byte) {
	w.mu.Lock()
	w.queue = append(w.queue, change{key, value})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) run(f func(string, []byte)) {
	for {
		select {
		case <-w.closed:
			return
		case <-w.wake:
		}
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, c := range queue {
			f(c.key, c.value)
		}
	}
}

// close ends the watch and waits for a call that is under way. It must not be
// called from within the watcher.
func (w *watch) close() {
	w.once.Do(func() { close(w.closed) })
	w.done.Wait()
}
