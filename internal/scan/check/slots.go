package check

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// slots are how many elements of checks are tried at once. Whose check is more
// urgent is served first: where the time or the requests do not reach for all, what
// is left undone is what matters least.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting [4][]chan struct{} // by urgency, the most urgent first
}

// urgency is which checks go first when there is not room for all: those of whose
// objects they are, by reading, which take few requests and which nothing but two
// accounts finds; then by writing, of who somebody is and of whose functions they
// are; then of what objects hold, and of ways round what was refused.
func (c *Check) urgency() int {
	around := strings.HasSuffix(c.ID, "-variant")
	switch {
	case c.OWASP == "API1:2023" && c.Mode == Safe:
		return 0
	case !around && (c.OWASP == "API1:2023" || c.OWASP == "API2:2023" || c.OWASP == "API5:2023"):
		return 1
	case around, c.OWASP == "API3:2023":
		return 2
	}
	return 3
}

// take waits for a slot; false: the context ended first.
func (s *slots) take(ctx context.Context, urgency int) bool {
	if ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	mine := make(chan struct{}, 1)
	s.waiting[urgency] = append(s.waiting[urgency], mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.waiting[urgency], mine)
	if i >= 0 {
		s.waiting[urgency] = slices.Delete(s.waiting[urgency], i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		s.give() // it was given meanwhile
	}
	return false
}

// give hands a slot to the most urgent who waits.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, list := range s.waiting {
		if len(list) > 0 {
			s.waiting[i] = list[1:]
			list[0] <- struct{}{}
			return
		}
	}
	s.free++
}
