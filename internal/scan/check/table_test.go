package check

import (
	"fmt"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// What a run did not come to is told row by row up to a bound, and counted beyond it;
// what it did come to is told always.
func TestTableOfWhatWasNotComeTo(t *testing.T) {
	g := &graph.Graph{}
	for i := range maxUnfinished + 5 {
		g.Ops = append(g.Ops, &graph.Op{Operation: &spec.Operation{Method: "GET", Path: fmt.Sprintf("/buoys/%d", i), Index: i}})
	}
	l := &Lab{Graph: g}
	l.begin()
	p := &Probe{Lab: l, Check: All()[0]}
	for _, op := range g.Ops {
		p.unfinished(op)
	}
	last := g.Ops[len(g.Ops)-1]
	p.Note(last, Clean)
	table := l.Table()
	if len(table) != maxUnfinished+1 || l.Untold() != 5 {
		t.Errorf("%d rows, %d left out", len(table), l.Untold())
	}
	if end := table[len(table)-1]; end.Path != last.Path || end.State != Clean {
		t.Errorf("the last row is %v", end)
	}
}
