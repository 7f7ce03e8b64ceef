package server

import (
	"sync"
	"time"
)

// linesPerSecond of one kind are logged: an attack must not write the log full,
// nor take the time that honest calls need.
const linesPerSecond = 10

// sampled bounds the log lines of one kind.
type sampled struct {
	mu     sync.Mutex
	second int64
	n      int
	more   int // that were not logged since the last that was
}

// may reports whether a line may be logged, and how many were not since the last.
func (s *sampled) may(now time.Time) (more int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := now.Unix(); t != s.second {
		s.second, s.n = t, 0
	}
	if s.n++; s.n > linesPerSecond {
		s.more++
		return 0, false
	}
	more, s.more = s.more, 0
	return more, true
}
