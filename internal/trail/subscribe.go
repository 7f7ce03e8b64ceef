package trail

import (
	"sync"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Event is one record: exactly one of its fields is set. It is shared by all
// subscribers and read only.
type Event struct {
	Decision   *exchange.Decision
	Completion *exchange.Completion
}

// Subscription is a lossy copy of what is recorded.
type Subscription struct {
	// C carries events; it is closed by Cancel and by the Log's Close.
	C       <-chan Event
	c       chan Event
	dropped atomic.Uint64
	fan     *fan
}

// Dropped is how many events the subscriber was too slow for.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Cancel ends the subscription.
func (s *Subscription) Cancel() { s.fan.remove(s) }

// Subscribe gives a copy of every record from now on, as far as the subscriber
// keeps up: when its buffer is full the event is dropped and counted.
func (l *Log) Subscribe(buffer int) *Subscription {
	c := make(chan Event, max(buffer, 1))
	s := &Subscription{C: c, c: c, fan: &l.subs}
	l.subs.add(s)
	return s
}

// fan hands events to subscribers. With none it costs one atomic load.
type fan struct {
	count   atomic.Int32
	dropped atomic.Uint64
	mu      sync.RWMutex
	list    []*Subscription
	closed  bool
}

func (f *fan) add(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(s.c)
		return
	}
	f.list = append(f.list, s)
	f.count.Store(int32(len(f.list)))
}

func (f *fan) remove(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, have := range f.list {
		if have == s {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
			f.count.Store(int32(len(f.list)))
			close(s.c)
			return
		}
	}
}

func (f *fan) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.list {
		close(s.c)
	}
	f.list, f.closed = nil, true
	f.count.Store(0)
}

func (f *fan) send(e Event) {
	if f.count.Load() == 0 {
		return
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, s := range f.list {
		select {
		case s.c <- e:
		default:
			s.dropped.Add(1)
			f.dropped.Add(1)
		}
	}
}
