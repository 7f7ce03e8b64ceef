package spec

import (
	"math/bits"
	"slices"
	"strings"
)

// Match is what routing found.
type Match struct {
	// Operation is nil when none was found.
	Operation *Operation
	// Params are the values of the template's variables, percent-decoded, in the
	// order of Operation.PathParams. Styles (label, matrix) are not taken off.
	Params []string
	// Allowed lists the methods that the path has, when it has not the one asked for.
	Allowed []string
	// PathKnown reports whether the path exists, whatever the method.
	PathKnown bool
	// HeadOfGet reports that a HEAD request was matched with a declared GET.
	HeadOfGet bool
	// Rival reports that a server which reads paths more loosely (ignoring case, path
	// parameters, extensions) would run another, more specific operation.
	Rival bool
}

// methods are the HTTP methods a path item can declare, in the order of Match.Allowed.
var methods = [...]string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}

const (
	methodGET  = 0
	methodHEAD = 5
)

func methodIndex(m string) int {
	switch m {
	case "GET":
		return methodGET
	case "PUT":
		return 1
	case "POST":
		return 2
	case "DELETE":
		return 3
	case "OPTIONS":
		return 4
	case "HEAD":
		return methodHEAD
	case "PATCH":
		return 6
	case "TRACE":
		return 7
	}
	return -1
}

// router finds the operation of a method, host and path.
//
// Templates are grouped by their number of segments. In a group each template
// has one bit, the most specific the lowest. A place in the path knows for each
// literal text which templates have it there, and which have a variable there;
// a request's segments each narrow the set by an AND. There is no backtracking
// whatever the templates: the cost is the length of the path, plus one AND per
// segment and 64 templates. A trie that tries the literal child and then the
// variable child visits 2^n nodes for templates made to spite it.
type router struct {
	mounts []mount // longest base path first
}

// mount is the operations under one base path.
type mount struct {
	base  string
	hosts []string // lower case; empty: any
	table *table
}

// table routes paths whose base path was taken off.
type table struct {
	groups []*group // by number of segments; nil where there is none
}

type group struct {
	words   int
	entries []entry
	places  []place
}

type entry struct {
	tmpl *template
	ops  [len(methods)]*Operation
	wary bool // it has a variable where another has literal text
}

// place is one position in the path: which templates of the group take what there.
type place struct {
	literals map[string][]uint64
	plain    []uint64 // templates with a whole variable here
	patterns []pattern
	// prefixed are the patterns that start with literal text, found by it.
	prefixed map[string][]pattern
	lengths  []int           // lengths of the keys of prefixed, ascending
	loose    map[string]bool // literals as the loosest server reads them
}

// pattern is a segment that mixes literal text and variables.
type pattern struct {
	seg *segment
	set []uint64
}

// Route finds the operation of a request. The path is percent-encoded and
// already normalised: it starts with a slash and has no dot segments. A trailing
// slash counts: "/pets/" and "/pets" are two paths. Where several templates
// match, the most specific one that has the method is taken. A variable never
// matches an empty segment.
//
// host narrows the base paths to those of the servers of that name, when the
// document names it; an unknown host is tried under all of them. Which hosts a
// gateway serves is the gateway's to decide.
func (a *API) Route(method, host, path string) Match {
	if a.router == nil {
		return Match{}
	}
	return a.router.route(methodIndex(method), host, path)
}

func (r *router) route(method int, host, path string) Match {
	var best Match
	var allowed uint
	narrowed := host != "" && r.namesHost(host)
	for i := range r.mounts {
		m := &r.mounts[i]
		if narrowed && len(m.hosts) > 0 && !slices.ContainsFunc(m.hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			continue
		}
		if !strings.HasPrefix(path, m.base) {
			continue
		}
		rest := path[len(m.base):]
		if rest == "" || rest[0] != '/' {
			continue
		}
		got, has := m.table.find(method, rest[1:])
		if got.Operation != nil {
			return got
		}
		best.PathKnown = best.PathKnown || got.PathKnown
		allowed |= has
	}
	for i, name := range methods {
		if allowed&(1<<i) != 0 {
			best.Allowed = append(best.Allowed, name)
		}
	}
	return best
}

func (r *router) namesHost(host string) bool {
	for i := range r.mounts {
		for _, h := range r.mounts[i].hosts {
			if strings.EqualFold(h, host) {
				return true
			}
		}
	}
	return false
}

// find routes path, its leading slash taken off. When there is no operation it
// returns the set of methods that the path has.
func (t *table) find(method int, path string) (Match, uint) {
	n := strings.Count(path, "/") + 1
	if n >= len(t.groups) || t.groups[n] == nil {
		return Match{}, 0
	}
	g := t.groups[n]

	var segmentsOnStack [24]string
	segments := segmentsOnStack[:0]
	if n > len(segmentsOnStack) {
		segments = make([]string, 0, n)
	}
	var setOnStack [16]uint64
	set := setOnStack[:]
	if g.words > len(setOnStack) {
		set = make([]uint64, g.words)
	}
	set = set[:g.words]
	for i := range set {
		set[i] = ^uint64(0)
	}

	for i := range g.places {
		seg := path
		if at := strings.IndexByte(path, '/'); at >= 0 {
			seg, path = path[:at], path[at+1:]
		}
		seg, ok := unescapePath(seg)
		if !ok || !g.places[i].narrow(set, seg) {
			return Match{}, 0
		}
		segments = append(segments, seg)
	}
	return g.choose(set, segments, method)
}

// narrow keeps in set the templates that take seg here. It reports whether any is left.
func (p *place) narrow(set []uint64, seg string) bool {
	lits := p.literals[seg]
	if seg == "" {
		return intersect(set, lits, nil)
	}
	if len(p.patterns) == 0 && len(p.lengths) == 0 {
		return intersect(set, lits, p.plain)
	}
	var keepOnStack [16]uint64
	keep := keepOnStack[:]
	if len(set) > len(keepOnStack) {
		keep = make([]uint64, len(set))
	}
	keep = keep[:len(set)]
	copy(keep, p.plain)
	for i := range p.patterns {
		p.patterns[i].add(keep, set, seg)
	}
	for _, l := range p.lengths {
		if l > len(seg) {
			break
		}
		list := p.prefixed[seg[:l]]
		for i := range list {
			list[i].add(keep, set, seg)
		}
	}
	return intersect(set, lits, keep)
}

// add puts the templates of p into keep when seg fits it and one of them is still in set.
func (p *pattern) add(keep, set []uint64, seg string) {
	live := uint64(0)
	for i, w := range p.set {
		live |= w & set[i]
	}
	if live == 0 || !p.seg.match(seg, nil) {
		return
	}
	for i, w := range p.set {
		keep[i] |= w
	}
}

// intersect sets set to set AND (a OR b); a nil set is empty.
func intersect(set, a, b []uint64) bool {
	left := uint64(0)
	for i := range set {
		w := uint64(0)
		if a != nil {
			w = a[i]
		}
		if b != nil {
			w |= b[i]
		}
		set[i] &= w
		left |= set[i]
	}
	return left != 0
}

// choose takes the first template in set that has the method, and for HEAD, when
// none has it, the first that has GET.
func (g *group) choose(set []uint64, segments []string, method int) (Match, uint) {
	var allowed uint
	get := -1
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			at := w*64 + bits.TrailingZeros64(word)
			e := &g.entries[at]
			if method >= 0 && e.ops[method] != nil {
				return Match{Operation: e.ops[method], Params: e.values(segments), PathKnown: true, Rival: g.rival(at, method, segments)}, 0
			}
			if method == methodHEAD && get < 0 && e.ops[methodGET] != nil {
				get = at
			}
			for i, op := range e.ops {
				if op != nil {
					allowed |= 1 << i
				}
			}
		}
	}
	if get >= 0 {
		e := &g.entries[get]
		return Match{Operation: e.ops[methodGET], Params: e.values(segments), PathKnown: true, HeadOfGet: true, Rival: g.rival(get, method, segments)}, 0
	}
	return Match{PathKnown: allowed != 0}, allowed
}

func (e *entry) values(segments []string) []string {
	if len(e.tmpl.vars) == 0 {
		return nil
	}
	values := make([]string, 0, len(e.tmpl.vars))
	for i := range e.tmpl.segments {
		s := &e.tmpl.segments[i]
		switch {
		case s.vars() == 0:
		case s.plain():
			values = append(values, segments[i])
		default:
			s.match(segments[i], &values)
		}
	}
	return values
}
