package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Bounds of a Memory.
const (
	maxMarks   = 4 << 20 // replay marks: some 400 MB at worst
	maxEntries = 1 << 20 // of one set
	sweepEvery = 30 * time.Second
)

// Memory is a Store in this process, and in a folder when it has one.
type Memory struct {
	now  func() time.Time
	log  *slog.Logger
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	marks   marks
	sets    map[string]*set
	journal *journal // nil: nothing outlives the process
	failure error    // of the last write; nil when it went well
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty Memory that keeps nothing on disk; now may be nil.
func NewMemory(now func() time.Time) *Memory {
	m := newMemory(now)
	m.marks.until = map[string]time.Time{}
	m.done.Go(m.sweep)
	return m
}

func newMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, log: slog.New(slog.DiscardHandler), stop: make(chan struct{}), sets: map[string]*set{}}
}

// OpenMemory makes a Memory that keeps its sets and marks in a folder, which it
// makes: what was revoked stays revoked when the process is killed and started
// again. One process may have a folder open. now may be nil.
func OpenMemory(folder string, log *slog.Logger, now func() time.Time) (*Memory, error) {
	m := newMemory(now)
	if log != nil {
		m.log = log
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("state: making its folder: %w", err)
	}
	m.marks.folder = folder
	if err := m.marks.load(m.now()); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	j := &journal{path: filepath.Join(folder, "sets.jsonl")}
	if err := readJournal(j.path, m.replay); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	m.journal = j
	if err := m.rewrite(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	m.done.Go(m.sweep)
	return m, nil
}

// replay makes a change that the journal remembers.
func (m *Memory) replay(r *record) error {
	s := m.set(r.Set)
	if r.Drop {
		s.drop(r.Key)
		return nil
	}
	e := r.entry()
	if e.over(m.now()) {
		s.drop(r.Key)
		return nil
	}
	return s.put(r.Key, e.value, e.expires)
}

// rewrite makes the journal anew, of what there is; m.mu is held.
func (m *Memory) rewrite() error {
	var all []record
	for name, s := range m.sets {
		for key, e := range s.live() {
			all = append(all, newRecord(name, key, &e))
		}
	}
	return m.journal.rewrite(all)
}

// keep writes a change down; m.mu is held.
func (m *Memory) keep(r *record) error {
	if m.journal == nil {
		return nil
	}
	entries := 0
	for _, s := range m.sets {
		entries += s.Len()
	}
	var err error
	if m.journal.file == nil || m.journal.lines > entries+rewriteAfter {
		err = m.rewrite()
	}
	if err == nil {
		err = m.journal.add(r)
	}
	if err != nil {
		err = fmt.Errorf("state: writing to %s: %w", m.journal.path, err)
	}
	m.failure = err
	return err
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
	if err := m.marks.expire(now); err != nil {
		m.log.Warn("old replay marks cannot be removed", "error", err)
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
	return m.marks.first(key, now, now.Add(ttl))
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

// Put implements [Store]. What cannot be written down is held all the same, and
// the error says that it will not outlive the process.
func (m *Memory) Put(_ context.Context, set, key string, value []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return m.put(set, key, value, expires)
}

// put is Put; m.mu is held.
func (m *Memory) put(set, key string, value []byte, expires time.Time) error {
	if err := m.set(set).put(key, value, expires); err != nil {
		return err
	}
	r := newRecord(set, key, &entry{value, expires})
	return m.keep(&r)
}

// PutIf implements [Store].
func (m *Memory) PutIf(_ context.Context, set, key string, was, value []byte, expires time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, ErrClosed
	}
	if !m.set(set).holds(key, was) {
		return false, nil
	}
	return true, m.put(set, key, value, expires)
}

// Drop implements [Store].
func (m *Memory) Drop(_ context.Context, set, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	// First on disk: what is dropped here and comes back after a restart would be
	// stricter than was asked for, and what is kept here and dropped there not.
	if err := m.keep(&record{Set: set, Key: key, Drop: true}); err != nil {
		return err
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
func (m *Memory) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

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
	errs := []error{m.marks.close()}
	if m.journal != nil {
		errs = append(errs, m.journal.close())
	}
	m.mu.Unlock()
	m.done.Wait()
	for _, s := range sets {
		s.close()
	}
	return errors.Join(errs...)
}
