package state

import (
	"context"
	"sync"
	"time"
)

// Bounds of a Memory.
const (
	maxMarks   = 4 << 20 // replay marks: some 400 MB at worst
	maxEntries = 1 << 20 // of one set
	sweepEvery = 30 * time.Second
)

// Memory is a Store in this process.
type Memory struct {
	now  func() time.Time
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	closed bool
	marks  map[string]time.Time // until when
	sets   map[string]*set
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty Memory; now may be nil.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{now: now, stop: make(chan struct{}), marks: map[string]time.Time{}, sets: map[string]*set{}}
	m.done.Go(m.sweep)
	return m
}

func (m *Memory) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			m.expire()
		}
	}
}

func (m *Memory) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for k, until := range m.marks {
		if !until.After(now) {
			delete(m.marks, k)
		}
	}
	for _, s := range m.sets {
		s.expire(now)
	}
}

// First implements [Store].
func (m *Memory) First(_ context.Context, key string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, ErrClosed
	}
	now := m.now()
	if until, ok := m.marks[key]; ok && until.After(now) {
		return false, nil
	}
	if len(m.marks) >= maxMarks {
		return false, ErrFull
	}
	m.marks[key] = now.Add(ttl)
	return true, nil
}

// set returns the set of a name; m.mu is held.
func (m *Memory) set(name string) *set {
	s := m.sets[name]
	if s == nil {
		s = newSet(m.now)
		m.sets[name] = s
	}
	return s
}

// Put implements [Store].
func (m *Memory) Put(_ context.Context, set, key string, value []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return m.set(set).put(key, value, expires)
}

// Drop implements [Store].
func (m *Memory) Drop(_ context.Context, set, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.set(set).drop(key)
	return nil
}

// View implements [Store].
func (m *Memory) View(_ context.Context, set string) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return m.set(set), nil
}

// Ready implements [Store].
func (m *Memory) Ready() error { return nil }

// Close implements [Store].
func (m *Memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.stop)
	sets := m.sets
	m.mu.Unlock()
	m.done.Wait()
	for _, s := range sets {
		s.close()
	}
	return nil
}
