package spec

import (
	"fmt"
	"slices"
	"strings"
)

// route is what the router needs of one operation.
type route struct {
	op    *Operation
	tmpl  *template
	bases []basePath
	uri   string // where the operation stands in its document
}

// basePath is where a server mounts its operations.
type basePath struct {
	path string // "" or "/v1"
	host string // "" for any
}

// newRouter builds the router of operations, and reports those that cannot be
// told apart: of two operations of one method and one shape only the first is
// routed, since nothing in a request says which is meant.
func newRouter(routes []route, report func(Problem)) *router {
	routes = routable(routes, report)
	perBase := map[string][]int{}
	hosts := map[string]map[string]bool{}
	for i := range routes {
		for _, b := range routes[i].bases {
			if list := perBase[b.path]; len(list) == 0 || list[len(list)-1] != i {
				perBase[b.path] = append(list, i)
			}
			if hosts[b.path] == nil {
				hosts[b.path] = map[string]bool{}
			}
			hosts[b.path][strings.ToLower(b.host)] = true
		}
	}
	bases := make([]string, 0, len(perBase))
	for b := range perBase {
		bases = append(bases, b)
	}
	slices.SortFunc(bases, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	r := &router{}
	tables := map[string]*table{} // servers often differ in host alone: one table serves all base paths with the same operations
	for _, b := range bases {
		members := fmt.Sprint(perBase[b])
		t := tables[members]
		if t == nil {
			t = newTable(routes, perBase[b])
			tables[members] = t
		}
		m := mount{base: b, table: t}
		if !hosts[b][""] {
			for h := range hosts[b] {
				m.hosts = append(m.hosts, h)
			}
			slices.Sort(m.hosts)
		}
		r.mounts = append(r.mounts, m)
	}
	return r
}

// routable leaves out operations that share method and shape with another under
// the same base path, and operations that only a query or fragment tells apart.
func routable(routes []route, report func(Problem)) []route {
	type slot struct{ base, method, shape string }
	taken := map[slot]*route{}
	tailed := map[slot]int{}
	slots := func(r *route) []slot {
		shape := r.tmpl.shape()
		out := make([]slot, 0, len(r.bases))
		for _, b := range r.bases {
			if s := (slot{b.path, r.op.Method, shape}); !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		return out
	}
	for i := range routes {
		if routes[i].tmpl.tail != "" {
			for _, s := range slots(&routes[i]) {
				tailed[s]++
			}
		}
	}
	kept := routes[:0:0]
	refuse := func(r *route, code, why string) {
		r.op.Unroutable = why
		report(Problem{Severity: Degraded, Code: code, Place: r.op.Place, Message: r.op.Method + " " + r.op.Path + ": " + why})
	}
	add := func(r *route, tail bool) {
		var clash *route
		free := r.bases[:0:0]
		for _, b := range r.bases {
			s := slot{b.path, r.op.Method, r.tmpl.shape()}
			if other := taken[s]; other != nil && other.op != r.op {
				clash = other
				continue
			}
			if tail && tailed[s] > 1 {
				continue
			}
			free = append(free, b)
		}
		switch {
		case len(free) == 0 && clash != nil && tail:
			refuse(r, "spec.path_query", "a path ends before ? or #, and without them it is that of "+clash.op.Path+"; it cannot be reached: declare the part after it as a query parameter of one operation")
			return
		case len(free) == 0 && clash != nil:
			refuse(r, "spec.template_collision", "it matches the same requests as "+clash.op.Path+", which stands first and is the one that is routed; give one of them a path of its own")
			return
		case len(free) == 0:
			refuse(r, "spec.path_query", "a path ends before ? or #, and without them several operations share it; none of them is routed: declare the part after it as a query parameter of one operation")
			return
		case clash != nil:
			report(Problem{Severity: Degraded, Code: "spec.template_collision", Place: r.op.Place,
				Message: r.op.Method + " " + r.op.Path + ": under some of its servers it matches the same requests as " + clash.op.Path + ", which stands first and is the one that is routed there"})
		case tail:
			report(Problem{Severity: Degraded, Code: "spec.path_query", Place: r.op.Place,
				Message: r.op.Method + " " + r.op.Path + ": a path ends before ? or #; it is routed by what stands before: declare the rest as query parameters"})
		}
		r.bases = free
		for _, s := range slots(r) {
			taken[s] = r
		}
		kept = append(kept, *r)
	}
	// An operation whose path is a path goes before one that needs its tail taken off.
	for i := range routes {
		if routes[i].tmpl.tail == "" {
			add(&routes[i], false)
		}
	}
	for i := range routes {
		if routes[i].tmpl.tail != "" {
			add(&routes[i], true)
		}
	}
	return kept
}

func newTable(routes []route, members []int) *table {
	t := &table{}
	type shapeKey struct {
		n     int
		shape string
	}
	index := map[shapeKey]int{}
	byLen := map[int][]entry{}
	longest := 0
	for _, i := range members {
		r := &routes[i]
		n := len(r.tmpl.segments)
		longest = max(longest, n)
		k := shapeKey{n, r.tmpl.shape()}
		at, ok := index[k]
		if !ok {
			at = len(byLen[n])
			index[k] = at
			byLen[n] = append(byLen[n], entry{tmpl: r.tmpl})
		}
		if m := methodIndex(r.op.Method); byLen[n][at].ops[m] == nil {
			byLen[n][at].ops[m] = r.op
		}
	}
	t.groups = make([]*group, longest+1)
	for n, entries := range byLen {
		t.groups[n] = newGroup(n, entries)
	}
	return t
}

func newGroup(n int, entries []entry) *group {
	slices.SortStableFunc(entries, func(a, b entry) int { return compareTemplates(a.tmpl, b.tmpl) })
	g := &group{entries: entries, words: (len(entries) + 63) / 64, places: make([]place, n)}
	for i := range g.places {
		p := &g.places[i]
		p.literals = map[string][]uint64{}
		patterns := map[string]*pattern{}
		var order []string
		set := func(s *[]uint64, bit int) {
			if *s == nil {
				*s = make([]uint64, g.words)
			}
			(*s)[bit/64] |= 1 << (bit % 64)
		}
		for bit := range entries {
			seg := &entries[bit].tmpl.segments[i]
			switch {
			case seg.vars() == 0:
				s := p.literals[seg.lits[0]]
				set(&s, bit)
				p.literals[seg.lits[0]] = s
			case seg.plain():
				set(&p.plain, bit)
			default:
				key := strings.Join(seg.lits, "\x00")
				if patterns[key] == nil {
					patterns[key] = &pattern{seg: seg}
					order = append(order, key)
				}
				set(&patterns[key].set, bit)
			}
		}
		for _, key := range order {
			pat := patterns[key]
			prefix := pat.seg.lits[0]
			if prefix == "" {
				p.patterns = append(p.patterns, *pat)
				continue
			}
			if p.prefixed == nil {
				p.prefixed = map[string][]pattern{}
			}
			if !slices.Contains(p.lengths, len(prefix)) {
				p.lengths = append(p.lengths, len(prefix))
			}
			p.prefixed[prefix] = append(p.prefixed[prefix], *pat)
		}
		slices.Sort(p.lengths)
	}
	g.wary()
	return g
}
