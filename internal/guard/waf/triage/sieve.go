package triage

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"weak"

	"github.com/crenel-project/crenel/internal/guard/waf/triage/automaton"
)

// group is kinds of texts that the same rules look at, or nearly. Each has patterns
// of its own, so that what rules look for in a header does not show in every value.
type group uint8

const (
	values group = iota
	headers
	lines
	groups
)

func groupOf(k Kind) group {
	switch k {
	case Header, HeaderName:
		return headers
	case Filename, Basename, URI, Line, Query, Whole:
		return lines
	}
	return values
}

// flavour is what patterns must have in common to be in one automaton: lists of
// words, added to expressions, make many more states than both have apart.
type flavour uint8

const (
	expressions flavour = iota
	wordLists
	bytewise // of bytes, not of characters
	flavours
)

// sieve finds the rules that match the texts of a group.
type sieve struct {
	plain, full view // what rules see of a plain text, and of any other
	books       [flavours]book
	single      []*rule       // evaluated text by text
	least       map[*view]int // the shortest match of the patterns of each
	gates       [kinds]gate
}

// book is the patterns of one flavour.
type book struct {
	list  []automaton.Expression
	rules []*rule // of each
	set   *automaton.Automaton
}

// pattern is an expression that matches at least whenever a rule's operator does;
// without a text there is none.
type pattern struct {
	text string
	flavour
}

// add takes a rule in.
func (v *sieve) add(r *rule, p pattern) {
	for kind := range v.gates {
		if r.at[kind] {
			for _, names := range r.names {
				v.gates[kind].opening.note(names)
			}
		}
	}
	if p.text == "" {
		v.single = append(v.single, r)
		return
	}
	b := &v.books[p.flavour]
	for i, names := range r.names {
		rest, lower := residual(names)
		chain, err := transformations(rest)
		if err != nil {
			panic(err) // each has been found already
		}
		names, lowerHere := caseless(names)
		rest, lowerThere := caseless(rest)
		v.want(v.full.path(names, r.chains[i]), p)
		v.want(v.plain.path(rest, chain), p)
		e := automaton.Expression{Text: p.text, Lower: lower || lowerHere || lowerThere}
		b.add(e, r)
		for kind := range v.gates {
			if !r.at[kind] {
				continue
			}
			if loose, ok := v.gates[kind].note(rest, p); ok {
				e.Loose = loose
				b.add(e, r)
			}
		}
	}
}

func (b *book) add(e automaton.Expression, r *rule) {
	for n := range b.list {
		if b.list[n] == e && b.rules[n] == r {
			return
		}
	}
	b.list, b.rules = append(b.list, e), append(b.rules, r)
}

// want notes that a pattern is looked for in a view.
func (v *sieve) want(at *view, p pattern) {
	if need, ok := needOf(p.text); !ok {
		at.any[p.flavour] = true
	} else {
		at.needs[p.flavour].join(&need)
	}
	at.wants[p.flavour] = true
	if v.least == nil {
		v.least = map[*view]int{}
	}
	n := shortest(p.text)
	if m, ok := v.least[at]; ok {
		n = min(n, m)
	}
	v.least[at] = n
}

// compile makes the automata. A pattern that none takes is evaluated text by text.
func (v *sieve) compile() error {
	v.plain.measure(v.least)
	v.full.measure(v.least)
	for fl := range v.books {
		b := &v.books[fl]
		for {
			var err error
			if b.set, err = setOf(b.list, flavour(fl) == bytewise); err == nil {
				break
			}
			bad := slices.IndexFunc(b.list, func(e automaton.Expression) bool {
				_, err := automaton.New([]automaton.Expression{e}, flavour(fl) == bytewise)
				return err != nil
			})
			if bad < 0 {
				return fmt.Errorf("compiling %d patterns: %w", len(b.list), err)
			}
			v.single = append(v.single, b.rules[bad])
			b.list, b.rules = slices.Delete(b.list, bad, bad+1), slices.Delete(b.rules, bad, bad+1)
		}
	}
	for kind := range v.gates {
		v.gates[kind].complete(v, Kind(kind))
	}
	return nil
}

// scan is the work on one request.
type scan struct {
	found [][]*rule // the rules that match, of each text
	todo  []int     // places of the texts that are not remembered
	keys  []textKey // by which memory knows them, or zero
	work  int       // bytes that operators have looked at, once for each rule

	// Of the text at hand:
	seen  [flavours][]string // what has been looked at
	ids   []int32
	arena []byte // what transformations have made
}

// maxWork is how much of a request is looked at with the engine's own operators,
// once an automaton has found something: 10 to 50 ms. Of what is beyond it, a rule is
// said to match where its automaton does.
const (
	maxWork  = 64 << 10
	workRule = 64 // bytes that take as long as to begin
)

func (s *scan) begin(list []Text) {
	s.found, s.todo, s.keys, s.work = s.found[:0], s.todo[:0], s.keys[:0], 0
	for range list {
		s.found = append(s.found, nil)
	}
}

// maxArena is what is kept from one request to the next.
const maxArena = 64 << 10

// end lets go of the request's texts.
func (s *scan) end() {
	clear(s.found)
	if cap(s.arena) > maxArena {
		s.arena = nil
	}
	for i := range s.seen {
		clear(s.seen[i][:cap(s.seen[i])])
	}
}

// find returns the rules that match a text. An error is that an automaton has given up.
func (v *sieve) find(s *scan, x *Text) ([]*rule, error) {
	p := profileOf(x.Text)
	root := &v.full
	if p.plain {
		root = &v.plain
	}
	for i := range s.seen {
		s.seen[i] = s.seen[i][:0]
	}
	s.arena = s.arena[:0]
	var rules []*rule
	var failed error
	v.look(s, root, x, x.Text, p, &rules, &failed)
	for _, r := range v.single {
		if r.quiet(x.Text, &p) || slices.Contains(rules, r) || !r.looksAt(x) {
			continue
		}
		if r.hit(x.Text, &p) {
			rules = append(rules, r)
		}
	}
	return rules, failed
}

// look searches what a rule sees of a text, and all that comes of it further on.
func (v *sieve) look(s *scan, at *view, x *Text, text string, p profile, rules *[]*rule, failed *error) {
	for fl := range v.books {
		if !at.asks(fl, &p) || slices.Contains(s.seen[fl], text) {
			continue
		}
		s.seen[fl] = append(s.seen[fl], text)
		b := &v.books[fl]
		ids, err := b.set.Find(text, s.ids[:0])
		s.ids = ids
		if err != nil {
			*failed = err
		}
		for _, id := range ids {
			r := b.rules[id]
			if slices.Contains(*rules, r) || !r.looksAt(x) {
				continue
			}
			s.work += len(x.Text) + workRule
			if s.work > maxWork || r.matches(x.Text) {
				*rules = append(*rules, r)
			}
		}
	}
	for _, kid := range at.kids {
		if len(text) < kid.least && kid.shrinks || kid.barren(&p) {
			continue // what comes of it is too short for every pattern, or lacks what they need
		}
		out, after := kid.apply(s, text, &p)
		v.look(s, kid, x, out, after, rules, failed)
	}
}

// sets are the automata in use, by what they were made of: a reload mostly brings
// the same rules, and APIs share them.
var (
	setsMu sync.Mutex
	sets   = map[[sha256.Size]byte]weak.Pointer[automaton.Automaton]{}
	recent [groups * group(flavours)]*automaton.Automaton // kept between two configs that use them
	next   int
)

func setOf(list []automaton.Expression, bytes bool) (*automaton.Automaton, error) {
	if len(list) == 0 {
		return automaton.New(nil, bytes)
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%v %+v", bytes, list) // it cannot fail
	key := [sha256.Size]byte(h.Sum(nil))
	setsMu.Lock()
	defer setsMu.Unlock()
	for k, w := range sets {
		if w.Value() == nil {
			delete(sets, k)
		}
	}
	if a := sets[key].Value(); a != nil {
		return a, nil
	}
	a, err := automaton.New(list, bytes)
	if err != nil {
		return nil, err
	}
	sets[key] = weak.Make(a)
	recent[next%len(recent)] = a
	next++
	return a, nil
}
