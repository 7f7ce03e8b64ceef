package turn_test

import (
	"context"
	"testing"

	"github.com/crenel-project/crenel/internal/guard/authn/turn"
)

// now is over: what cannot be had at once is not waited for.
func now() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// fill takes leaves until there are none, and says how many it got. With an ended
// ctx a leave that is there may be missed: it asks often enough.
func fill(q *turn.Queue, remembered bool) (done []func()) {
	for tries := 0; tries < 64; tries++ {
		if d, ok := q.Take(now(), remembered); ok {
			done = append(done, d)
			tries = 0
		}
	}
	return done
}

func TestBounds(t *testing.T) {
	for _, c := range []struct{ most, all, strangers int }{{0, 1, 1}, {1, 1, 1}, {4, 4, 3}, {32, 32, 24}} {
		q := turn.New(c.most)
		if q.Most() != c.all {
			t.Errorf("of %d: at most %d", c.most, q.Most())
		}
		for range 2 { // what is given back can be had again
			strangers := fill(q, false)
			if len(strangers) != c.strangers {
				t.Errorf("of %d strangers have %d, want %d", c.most, len(strangers), c.strangers)
			}
			known := fill(q, true)
			if len(strangers)+len(known) != c.all {
				t.Errorf("of %d there are %d beside %d strangers, want %d in all", c.most, len(known), len(strangers), c.all)
			}
			for _, done := range append(strangers, known...) {
				done()
			}
		}
		// Known ones may have all; a stranger that gets none leaves nothing behind.
		known := fill(q, true)
		if len(known) != c.all || len(fill(q, false)) != 0 {
			t.Errorf("of %d the known have %d", c.most, len(known))
		}
		for _, done := range known {
			done()
		}
		if strangers := fill(q, false); len(strangers) != c.strangers {
			t.Errorf("of %d, after they had none, strangers have %d", c.most, len(strangers))
		}
	}
}

func TestWaits(t *testing.T) {
	q := turn.New(1)
	first, ok := q.Take(t.Context(), true)
	if !ok {
		t.Fatal("no leave though nobody asks")
	}
	given := make(chan struct{})
	go func() {
		defer close(given)
		if done, ok := q.Take(context.WithoutCancel(t.Context()), false); ok {
			done()
		} else {
			t.Error("no leave though it was given back")
		}
	}()
	first()
	<-given
}
