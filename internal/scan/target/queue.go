package target

import (
	"context"
	"slices"
	"sync"
)

// Queue is how many do something at once. The more urgent are served first, and
// those of one urgency in their order: where the time does not reach for all, what is
// left undone is what matters least.
type Queue struct {
	mu      sync.Mutex
	free    int
	size    int                        // how many there are to be
	surplus int                        // how many are out that shall not come back
	waiting [Urgencies][]chan struct{} // the most urgent first
}

// Urgencies is how many there are: 0, the most urgent, to one less.
const Urgencies = 4

// NewQueue makes one of so many at once.
func NewQueue(n int) *Queue { return &Queue{free: n, size: n} }

// Narrow halves how many do something at once, down to one.
func (q *Queue) Narrow() {
	q.mu.Lock()
	defer q.mu.Unlock()
	less := q.size / 2
	q.size -= less
	idle := min(less, q.free)
	q.free -= idle
	q.surplus += less - idle
}

// Size is how many may do something at once.
func (q *Queue) Size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

// Take waits for a turn; false: the context ended first.
func (q *Queue) Take(ctx context.Context, urgency int) bool {
	if ctx.Err() != nil {
		return false
	}
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return true
	}
	mine := make(chan struct{}, 1)
	q.waiting[urgency] = append(q.waiting[urgency], mine)
	q.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting[urgency], mine)
	if i >= 0 {
		q.waiting[urgency] = slices.Delete(q.waiting[urgency], i, i+1)
	}
	q.mu.Unlock()
	if i < 0 {
		q.Give() // it was given meanwhile
	}
	return false
}

// Give hands a turn to the most urgent who waits.
func (q *Queue) Give() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.surplus > 0 {
		q.surplus--
		return
	}
	for i, list := range q.waiting {
		if len(list) > 0 {
			q.waiting[i] = list[1:]
			list[0] <- struct{}{}
			return
		}
	}
	q.free++
}
