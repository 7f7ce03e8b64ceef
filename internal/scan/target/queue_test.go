package target

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Who is more urgent is served first, whoever came first; who goes away leaves no
// turn taken.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewQueue(2)
		for range 2 {
			if !s.Take(t.Context(), 3) {
				t.Fatal("a free turn was not given")
			}
		}
		var mu sync.Mutex
		var order []int
		for _, urgency := range []int{3, 1, 2, 0, 1} {
			go func() {
				if s.Take(t.Context(), urgency) {
					mu.Lock()
					order = append(order, urgency)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		go func() {
			if s.Take(gone, 0) {
				t.Error("a turn was given to who had gone")
			}
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		for range 5 {
			s.Give()
			synctest.Wait()
		}
		if want := []int{0, 1, 1, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
		s.Give()
		s.Give()
		if s.free != 2 {
			t.Errorf("%d turns are free, want 2", s.free)
		}
		if s.Take(gone, 0) {
			t.Error("a turn was given though the context had ended")
		}
	})
}
