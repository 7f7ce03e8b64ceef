package check

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Who is more urgent is served first, whoever came first; who goes away leaves no
// slot taken.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slots{free: 2}
		for range 2 {
			if !s.take(t.Context(), 3) {
				t.Fatal("a free slot was not given")
			}
		}
		var mu sync.Mutex
		var order []int
		for _, urgency := range []int{3, 1, 2, 0, 1} {
			go func() {
				if s.take(t.Context(), urgency) {
					mu.Lock()
					order = append(order, urgency)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		go func() {
			if s.take(gone, 0) {
				t.Error("a slot was given to who had gone")
			}
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		for range 5 {
			s.give()
			synctest.Wait()
		}
		if want := []int{0, 1, 1, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
		s.give()
		s.give()
		if s.free != 2 {
			t.Errorf("%d slots are free, want 2", s.free)
		}
		if ctx, end := context.WithCancel(t.Context()); true {
			end()
			if s.take(ctx, 0) {
				t.Error("a slot was given though the context had ended")
			}
		}
	})
}
