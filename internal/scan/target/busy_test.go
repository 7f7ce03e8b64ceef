package target

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A database that takes one call at a time: whatever comes beside another fails, with words
// or without. All calls are answered in the end, fewer are sent at once, and a call that
// always fails is not sent for ever.
func TestATargetThatFailsUnderParallelCalls(t *testing.T) {
	for name, c := range map[string]struct {
		method, words string
		status        int
	}{
		"said by a write":    {http.MethodPost, "SQLITE_BUSY: database is locked", 409},
		"said by a read":     {http.MethodGet, "Deadlock found when trying to get lock", 500},
		"not said by a read": {http.MethodGet, "", 500},
	} {
		t.Run(name, func(t *testing.T) {
			var inside, calls, broken atomic.Int64
			client := eased(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				if r.URL.Path == "/broken" {
					broken.Add(1)
					http.Error(w, "out of order", 500)
					return
				}
				if inside.Add(1) > 1 {
					time.Sleep(2 * time.Millisecond)
					inside.Add(-1)
					http.Error(w, c.words, c.status)
					return
				}
				time.Sleep(5 * time.Millisecond)
				inside.Add(-1)
				fmt.Fprint(w, "{}")
			})
			failed := func(n int) int64 {
				var bad atomic.Int64
				done := make(chan struct{})
				for range n {
					go func() {
						x, err := client.Do(t.Context(), "user", &Request{Method: c.method, Path: "/things"})
						if err != nil || x.Status != 200 {
							bad.Add(1)
						}
						done <- struct{}{}
					}()
				}
				for range n {
					<-done
				}
				return bad.Load()
			}
			failed(60) // is learned from
			if n := failed(60); n > 0 {
				t.Errorf("%d of 60 calls failed after it was seen that few at once are borne", n)
			}
			if size := client.slots.Size(); size > 2 {
				t.Errorf("%d at once are sent still", size)
			}
			if x, err := client.Do(t.Context(), "user", &Request{Method: http.MethodGet, Path: "/broken"}); err != nil || x.Status != 500 || broken.Load() > 2 {
				t.Errorf("what is broken for good: %v, %v, asked for %d times", x, err, broken.Load())
			}
		})
	}
}
