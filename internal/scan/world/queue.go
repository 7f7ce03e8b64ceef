package world

import (
	"container/heap"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// line holds operations that wait for those before them which touch the same
// things: then they are not tried at once. Two that only look never wait for each
// other. What it costs grows with the operations, not with their square: a
// description may have a hundred thousand.
type line struct {
	ready  places  // who waits for nobody, the first of them on top
	before []int   // for how many each waits
	after  [][]int // who waits for each
}

// user is who touches a thing, so far.
type user struct {
	change int   // the last that may change it, -1: none
	looks  []int // those that looked at it since
}

func queue(ops []*graph.Op) *line {
	l := &line{before: make([]int, len(ops)), after: make([][]int, len(ops))}
	users := map[string]*user{}
	for n, op := range ops {
		follow := func(first int) {
			if first >= 0 && first != n && !slices.Contains(l.after[first][max(0, len(l.after[first])-1):], n) {
				l.after[first] = append(l.after[first], n)
				l.before[n]++
			}
		}
		for _, name := range touches(op) {
			u := users[name]
			if u == nil {
				u = &user{change: -1}
				users[name] = u
			}
			if op.Method == http.MethodGet {
				follow(u.change)
				u.looks = append(u.looks, n)
				continue
			}
			if len(u.looks) == 0 {
				follow(u.change)
			}
			for _, first := range u.looks { // which wait for the last change themselves
				follow(first)
			}
			u.change, u.looks = n, nil
		}
		if l.before[n] == 0 {
			heap.Push(&l.ready, n)
		}
	}
	return l
}

// next takes the first of those that wait for nobody.
func (l *line) next() int { return heap.Pop(&l.ready).(int) }

// done lets those go on that waited for one.
func (l *line) done(n int) {
	for _, later := range l.after[n] {
		if l.before[later]--; l.before[later] == 0 {
			heap.Push(&l.ready, later)
		}
	}
}

// places is a heap.
type places []int

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return p[i] < p[j] }
func (p places) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *places) Push(x any)        { *p = append(*p, x.(int)) }
func (p *places) Pop() any {
	last := len(*p) - 1
	n := (*p)[last]
	*p = (*p)[:last]
	return n
}
