package world

import (
	"context"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// Operations that do not depend on each other are tried side by side: a slow
// target would otherwise cost the run its time with one request under way. A run
// is the same each time nevertheless, because only the waiting is side by side:
// between two answers those who try go on one at a time, in their order, and
// nobody sends before all have something to send, or are done.

// attempt is one of those who try.
type attempt struct {
	op     *graph.Op
	place  int           // among those that are tried
	turn   chan struct{} // it may go on
	parked chan bool     // true: it has something to send; false: it is done
	leave  chan struct{} // it may send
	back   chan struct{} // it has its answer
	err    error
}

type attempting struct{}

// abroad runs f, which waits for the target, beside what others wait for.
func abroad(ctx context.Context, f func()) {
	a, _ := ctx.Value(attempting{}).(*attempt)
	if a == nil {
		f()
		return
	}
	a.parked <- true
	<-a.leave
	f()
	a.back <- struct{}{}
	<-a.turn
}

// abreast calls try for each operation, as many side by side as there are workers
// and as do not touch the same things; those that do keep their order. It returns
// the first error; none is begun after one, nor after the context's end.
func (b *builder) abreast(ctx context.Context, ops []*graph.Op, try func(ctx context.Context, op *graph.Op) error) error {
	line := queue(ops)
	var under []*attempt
	var failed error
	for {
		if failed == nil {
			failed = ctx.Err()
		}
		for failed == nil && len(under) < b.w.o.Workers && len(line.ready) > 0 {
			n := line.next()
			a := &attempt{op: ops[n], place: n, turn: make(chan struct{}), parked: make(chan bool), leave: make(chan struct{}), back: make(chan struct{})}
			under = append(under, a)
			go func() {
				<-a.turn
				a.err = try(context.WithValue(ctx, attempting{}, a), a.op)
				a.parked <- false
			}()
		}
		if len(under) == 0 {
			return failed
		}
		under = slices.DeleteFunc(under, func(a *attempt) bool {
			a.turn <- struct{}{}
			if <-a.parked {
				return false
			}
			line.done(a.place)
			if failed == nil {
				failed = a.err
			}
			return true
		})
		for _, a := range under {
			a.leave <- struct{}{}
		}
		for _, a := range under {
			<-a.back
		}
	}
}

// touches names what an operation is about, by the resource at the top; the
// beginning of its path where nobody knows.
func touches(op *graph.Op) []string {
	var out []string
	for _, r := range append([]*graph.Resource{op.About}, op.Objects...) {
		for n := 0; r != nil && r.Parent != nil && r.Parent != r && n < 8; n++ {
			r = r.Parent
		}
		if r != nil && !slices.Contains(out, r.Name) {
			out = append(out, r.Name)
		}
	}
	if len(out) == 0 {
		for s := range strings.SplitSeq(op.Path, "/") {
			if s != "" && !version(s) {
				return []string{"/" + s}
			}
		}
		out = []string{"/"}
	}
	return out
}

// version reports whether a segment says nothing of what is below it: "api", "v2".
func version(s string) bool {
	return s == "api" || s == "rest" || len(s) <= 4 && (s[0] == 'v' || s[0] == 'V') && strings.Trim(s[1:], "0123456789.") == ""
}
