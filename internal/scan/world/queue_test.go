package world

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// clash is what the line must keep apart, written down as it is meant.
func clash(x, y *graph.Op) bool {
	return (x.Method != http.MethodGet || y.Method != http.MethodGet) &&
		slices.ContainsFunc(touches(y), func(name string) bool { return slices.Contains(touches(x), name) })
}

// What waits for nobody is exactly what clashes with none before it that is not done.
func TestLineKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		things := []*graph.Resource{{Name: "kite"}, {Name: "reel"}, {Name: "tail"}}
		ops := make([]*graph.Op, rapid.IntRange(0, 30).Draw(t, "ops"))
		for i := range ops {
			ops[i] = &graph.Op{
				Operation: &spec.Operation{Method: rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method"), Path: "/wind"},
				About:     rapid.SampledFrom(append(things, nil)).Draw(t, "about"),
				Objects:   rapid.SliceOfN(rapid.SampledFrom(things), 0, 2).Draw(t, "objects"),
			}
		}
		l := queue(ops)
		open := map[int]bool{} // waiting, or under way
		for i := range ops {
			open[i] = true
		}
		var under []int
		for len(open) > 0 {
			var free []int
			for i, op := range ops {
				if open[i] && !slices.ContainsFunc(ops[:i], func(o *graph.Op) bool { return open[slices.Index(ops, o)] && clash(o, op) }) {
					free = append(free, i)
				}
			}
			for len(l.ready) > 0 {
				under = append(under, l.next())
			}
			slices.Sort(under)
			if !slices.Equal(under, free) {
				t.Fatalf("%v may be tried, and %v clash with nobody before them", under, free)
			}
			n := rapid.IntRange(0, len(under)-1).Draw(t, "done")
			delete(open, under[n])
			l.done(under[n])
			under = slices.Delete(under, n, n+1)
		}
	})
}

// Who waits for whom is kept in what grows with the operations: ten thousand on one
// thing are no fifty million pairs.
func TestLineIsAsLongAsItsOperations(t *testing.T) {
	var ops []*graph.Op
	for i := range 10000 {
		ops = append(ops, &graph.Op{Operation: &spec.Operation{Method: []string{"GET", "GET", "PUT"}[i%3], Path: fmt.Sprintf("/kites/%d", i)}})
	}
	pairs := 0
	for _, after := range queue(ops).after {
		pairs += len(after)
	}
	if pairs > 2*len(ops) {
		t.Errorf("%d operations wait %d times", len(ops), pairs)
	}
}
