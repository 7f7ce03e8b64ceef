package authz

import (
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// An evaluation remembers what rules gave and what data it read. OPA's own
// caches for that are tries that cost some twenty allocations a rule; a decision
// has a handful of entries, so these are short lists, reused from one decision
// to the next, that grow an index when a policy is large after all.

// indexFrom is the length at which a list is given an index.
const indexFrom = 16

// remembered is one entry: a reference, and its value or that it is undefined.
type remembered struct {
	ref       ast.Ref
	value     *ast.Term
	undefined bool
}

// frame is one level of the cache; OPA opens a new one where input or data are replaced.
type frame struct {
	list  []remembered
	index map[int][]int // by hash of the reference; nil while the list is short
}

func hash(ref ast.Ref) int {
	h := 0
	for _, t := range ref {
		h = h*31 + t.Hash()
	}
	return h
}

func equal(a, b ast.Ref) bool {
	if len(a) != len(b) {
		return false
	}
	// References differ mostly at their end.
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] && !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

func (f *frame) find(ref ast.Ref) *remembered {
	if f.index != nil {
		for _, i := range f.index[hash(ref)] {
			if equal(f.list[i].ref, ref) {
				return &f.list[i]
			}
		}
		return nil
	}
	for i := range f.list {
		if equal(f.list[i].ref, ref) {
			return &f.list[i]
		}
	}
	return nil
}

func (f *frame) add(r remembered) {
	f.list = append(f.list, r)
	if f.index == nil && len(f.list) > indexFrom {
		f.index = make(map[int][]int, 2*len(f.list))
		for i := range f.list {
			h := hash(f.list[i].ref)
			f.index[h] = append(f.index[h], i)
		}
	} else if f.index != nil {
		h := hash(r.ref)
		f.index[h] = append(f.index[h], len(f.list)-1)
	}
}

// ruleCache is a topdown.VirtualCache.
type ruleCache struct {
	frames []frame
	terms  []*ast.Term // that the references of entries are made of
}

var _ topdown.VirtualCache = (*ruleCache)(nil)

// Push opens a new frame.
func (c *ruleCache) Push() {
	if len(c.frames) < cap(c.frames) {
		c.frames = c.frames[:len(c.frames)+1]
		return
	}
	c.frames = append(c.frames, frame{})
}

// Pop forgets the top frame.
func (c *ruleCache) Pop() {
	c.frames[len(c.frames)-1].reset()
	c.frames = c.frames[:len(c.frames)-1]
}

// Get returns the value of a reference, or nil and whether it is known to be undefined.
func (c *ruleCache) Get(ref ast.Ref) (*ast.Term, bool) {
	r := c.frames[len(c.frames)-1].find(ref)
	switch {
	case r == nil:
		return nil, false
	case r.undefined:
		return nil, true
	}
	return r.value, false
}

// Put remembers a value; nil means that the reference is undefined. The
// evaluator goes on to use ref, so it is copied.
func (c *ruleCache) Put(ref ast.Ref, value *ast.Term) {
	f := &c.frames[len(c.frames)-1]
	r := f.find(ref)
	if r == nil {
		f.add(remembered{ref: c.keep(ref)})
		r = &f.list[len(f.list)-1]
	}
	if value == nil {
		r.undefined = true
	} else {
		r.value = value
	}
}

func (c *ruleCache) keep(ref ast.Ref) ast.Ref {
	from := len(c.terms)
	c.terms = append(c.terms, ref...)
	return ast.Ref(c.terms[from:len(c.terms):len(c.terms)])
}

// Keys lists the references of the top frame that have a value.
func (c *ruleCache) Keys() []ast.Ref {
	var out []ast.Ref
	for _, r := range c.frames[len(c.frames)-1].list {
		if r.value != nil {
			out = append(out, slices.Clone(r.ref))
		}
	}
	return out
}

func (f *frame) reset() {
	clear(f.list)
	f.list, f.index = f.list[:0], nil
}

// dataCache is a topdown.BaseCache: what was read of the data.
type dataCache struct {
	list  []readData
	terms []*ast.Term
}

type readData struct {
	ref   ast.Ref
	value ast.Value
}

var _ topdown.BaseCache = (*dataCache)(nil)

// Get returns the value of a reference, by itself or within what was read above it.
func (c *dataCache) Get(ref ast.Ref) ast.Value {
	for i := range c.list {
		r := &c.list[i]
		if n := len(r.ref); n <= len(ref) && equal(r.ref, ref[:n]) {
			v, err := r.value.Find(ref[n:])
			if err != nil {
				return nil
			}
			return v
		}
	}
	return nil
}

// Put remembers a value read. Past a few, reading again is as cheap as looking.
func (c *dataCache) Put(ref ast.Ref, value ast.Value) {
	if len(c.list) >= indexFrom {
		return
	}
	from := len(c.terms)
	c.terms = append(c.terms, ref...)
	c.list = append(c.list, readData{ast.Ref(c.terms[from:len(c.terms):len(c.terms)]), value})
}

// workspace is what one evaluation uses and the next one uses again.
type workspace struct {
	rules ruleCache
	data  dataCache
	stop  deadline
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// release empties the workspace and gives it back. One that grew large is let go.
func (w *workspace) release() {
	const most = 4096
	if cap(w.rules.terms) > most || cap(w.data.terms) > most || cap(w.rules.frames) > 64 {
		return
	}
	for i := range w.rules.frames {
		w.rules.frames[i].reset()
	}
	w.rules.frames = w.rules.frames[:0]
	clear(w.rules.terms)
	w.rules.terms = w.rules.terms[:0]
	clear(w.data.list)
	clear(w.data.terms)
	w.data.list, w.data.terms = w.data.list[:0], w.data.terms[:0]
	workspaces.Put(w)
}
