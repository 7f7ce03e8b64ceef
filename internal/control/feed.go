package control

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// backlog is how many events a slow reader may be behind before it loses some.
const backlog = 1024

// feed fans events out to its followers.
type feed struct {
	mu        sync.Mutex
	followers map[*follower]struct{}
	closed    bool
	count     atomic.Int64
}

type follower struct {
	lines chan []byte
	lost  atomic.Int64
}

func newFeed() *feed { return &feed{followers: map[*follower]struct{}{}} }

func (f *feed) followed() bool { return f.count.Load() > 0 }

func (f *feed) follow() *follower {
	fo := &follower{lines: make(chan []byte, backlog)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(fo.lines)
		return fo
	}
	f.followers[fo] = struct{}{}
	f.count.Store(int64(len(f.followers)))
	return fo
}

func (f *feed) leave(fo *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, fo)
	f.count.Store(int64(len(f.followers)))
}

func (f *feed) publish(event any) {
	if !f.followed() {
		return
	}
	line, err := json.Marshal(event)
	if err != nil {
		line = []byte(`{"type":"unencodable"}`)
	}
	line = append(line, '\n')
	f.mu.Lock()
	defer f.mu.Unlock()
	for fo := range f.followers {
		select {
		case fo.lines <- line:
		default:
			fo.lost.Add(1)
		}
	}
}

// close ends every feed; events that are still queued are delivered first.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for fo := range f.followers {
		close(fo.lines)
		delete(f.followers, fo)
	}
	f.count.Store(0)
}
