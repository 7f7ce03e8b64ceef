// Package turn bounds how many questions about credentials are under way at a
// server, so that whoever makes credentials up cannot keep those that are known
// from being asked about.
//
// In: a question, and whether anything is remembered of its credential. Out: leave
// to ask it, once there is room. It must never give more leaves than its bound,
// and never all of them to strangers.
package turn

import "context"

// Queue gives leaves. It is safe for concurrent use.
type Queue struct{ all, strangers chan struct{} }

// New makes a Queue of at most most leaves at once, three quarters of them for
// credentials of which nothing is remembered; at least one.
func New(most int) *Queue {
	most = max(1, most)
	return &Queue{all: make(chan struct{}, most), strangers: make(chan struct{}, max(1, most*3/4))}
}

// Most is how many leaves there are at once.
func (q *Queue) Most() int { return cap(q.all) }

// Take waits for a leave until ctx ends; ok says that it was given, and then done
// must be called.
func (q *Queue) Take(ctx context.Context, remembered bool) (done func(), ok bool) {
	if !remembered {
		if !enter(ctx, q.strangers) {
			return nil, false
		}
		if !enter(ctx, q.all) {
			<-q.strangers
			return nil, false
		}
		return func() { <-q.all; <-q.strangers }, true
	}
	if !enter(ctx, q.all) {
		return nil, false
	}
	return func() { <-q.all }, true
}

func enter(ctx context.Context, room chan struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
