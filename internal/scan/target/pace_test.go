package target

import (
	"context"
	"errors"
	"testing"
	"time"
)

// What waits for its turn and is not sent after all takes nothing of the budget, and
// no two requests have one number.
func TestGivenUpTurnsCountForNothing(t *testing.T) {
	p := newPace(&Options{MaxRequests: 3, Rate: 5}, time.Now())
	p.burst = 0
	p.next = time.Now()
	if seq, err := p.take(t.Context(), 1); err != nil || seq != 1 {
		t.Fatalf("%d, %v", seq, err)
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := p.take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
	}
	if p.sent != 1 {
		t.Errorf("%d requests count as sent, and one was", p.sent)
	}
	p.next = time.Now()
	if seq, err := p.take(t.Context(), 1); err != nil || seq != 7 {
		t.Errorf("%d, %v", seq, err)
	}

	// A turn that comes after the end of the time is not waited for.
	p = newPace(&Options{MaxTime: time.Minute, Rate: 0.001}, time.Now())
	p.next = time.Now().Add(time.Hour)
	if _, err := p.take(t.Context(), 1); !errors.Is(err, ErrTime) || p.sent != 0 {
		t.Errorf("%v, %d sent", err, p.sent)
	}
}
