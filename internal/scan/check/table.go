package check

import (
	"cmp"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// State is what became of a check on an operation.
type State string

// The states, each outranking those before it.
const (
	Unfinished   State = "unfinished"   // the run ended (budget, time, target, user) before it could be told
	Skipped      State = "skipped"      // does not apply, or nothing to try it with
	Inconclusive State = "inconclusive" // tried, and could not be told
	Clean        State = "clean"        // tried, and refuted
	Open         State = "open"         // proven
)

var states = []State{Unfinished, Skipped, Inconclusive, Clean, Open}

type cell struct {
	check string
	op    *graph.Op
}

// Cell is one cell of the table operation × check.
type Cell struct {
	Check  string `json:"check"`
	Method string `json:"method"`
	Path   string `json:"path"`
	State  State  `json:"state"`
}

// Table is what became of each check on each operation, in the graph's order.
func (l *Lab) Table() []Cell {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	place := map[string]int{}
	for i, c := range slices.Concat(All(), l.written) {
		place[c.ID] = i + 1
	}
	keys := make([]cell, 0, len(l.cells)) // not operations times checks, of which most may be empty
	for k, s := range l.cells {
		if s != "" && place[k.check] > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b cell) int {
		return cmp.Or(a.op.Index-b.op.Index, place[a.check]-place[b.check])
	})
	var out []Cell
	for _, k := range keys {
		out = append(out, Cell{Check: k.check, Method: k.op.Method, Path: k.op.Path, State: l.cells[k]})
	}
	return out
}

// maxUnfinished bounds the rows of what the run did not come to: a description of a
// hundred thousand operations has ten million.
const maxUnfinished = 100_000

// Untold is how many rows of what the run did not come to are left out of the table.
func (l *Lab) Untold() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.untold
}

// Note records what became of the check on an operation; a state never
// replaces one that outranks it.
func (p *Probe) Note(op *graph.Op, s State) {
	if op == nil || p.Leave != nil && p.Leave(op) {
		return
	}
	over := p.Client != nil && p.Client.Over() != nil
	if over && s != Open {
		s = Unfinished // nothing could be sent, so nothing was refuted
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !over {
		p.lately[p.Check.ID] = op
	}
	k := cell{p.Check.ID, op}
	if was := p.cells[k]; was != s && slices.Index(states, s) >= slices.Index(states, was) {
		p.cells[k] = s
		if p.Diary != nil {
			p.Diary.Noted(Cell{Check: p.Check.ID, Method: op.Method, Path: op.Path, State: s})
		}
	}
}

func (p *Probe) unfinished(op *graph.Op) {
	if op == nil || p.Leave != nil && p.Leave(op) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := (cell{p.Check.ID, op}); p.cells[k] != Open && p.cells[k] != Unfinished {
		if p.cells[k] == "" {
			if p.unfinishedCells == maxUnfinished {
				p.untold++
				return
			}
			p.unfinishedCells++
		}
		p.cells[k] = Unfinished
		if p.Diary != nil {
			p.Diary.Noted(Cell{Check: p.Check.ID, Method: op.Method, Path: op.Path, State: Unfinished})
		}
	}
}
