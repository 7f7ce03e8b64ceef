package straight

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// term gives a term's value; nil: undefined, or the machine has given up.
type term func(m *machine, f []*ast.Term) *ast.Term

// term compiles a term whose variables all have values.
func (s *scope) term(t *ast.Term) (term, error) {
	switch v := t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return func(*machine, []*ast.Term) *ast.Term { return t }, nil
	case ast.Var:
		if v.Equal(ast.InputRootDocument.Value) {
			return func(m *machine, _ []*ast.Term) *ast.Term { return m.input }, nil
		}
		if _, free := s.free(t); free || v.Equal(ast.DefaultRootDocument.Value) {
			return nil, left("%s is not one value", v)
		}
		i := s.slot(v)
		return func(_ *machine, f []*ast.Term) *ast.Term { return f[i] }, nil
	case ast.Ref:
		return s.ref(v)
	case *ast.Array, ast.Object, ast.Set:
		if calls(t) {
			return nil, left("%s holds what is computed", t)
		}
		if v.IsGround() {
			return func(*machine, []*ast.Term) *ast.Term { return t }, nil
		}
		return s.composite(v)
	}
	return nil, left("%s", t)
}

// composite is an array, object or set with variables in it.
func (s *scope) composite(v ast.Value) (term, error) {
	var parts []term
	var err error
	add := func(t *ast.Term) {
		var p term
		if err == nil {
			p, err = s.term(t)
		}
		parts = append(parts, p)
	}
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	case ast.Object:
		v.Foreach(func(k, v *ast.Term) { add(k); add(v) })
	}
	if err != nil {
		return nil, err
	}
	all := func(m *machine, f []*ast.Term) []*ast.Term {
		out := make([]*ast.Term, len(parts))
		for i, p := range parts {
			if out[i] = p(m, f); out[i] == nil {
				return nil
			}
		}
		return out
	}
	return func(m *machine, f []*ast.Term) *ast.Term {
		list := all(m, f)
		if list == nil {
			return nil
		}
		switch v.(type) {
		case *ast.Array:
			return ast.ArrayTerm(list...)
		case ast.Set:
			return ast.SetTerm(list...)
		}
		members := make([][2]*ast.Term, len(list)/2)
		for i := range members {
			members[i] = [2]*ast.Term{list[2*i], list[2*i+1]}
			for j := range i {
				if members[j][0].Equal(list[2*i]) {
					return m.giveUp() // the same key twice
				}
			}
		}
		return ast.ObjectTerm(members...)
	}, nil
}

// loops: a reference has variables without value, and so may be had in several ways.
func (s *scope) loops(r ast.Ref) bool {
	for _, t := range r[1:] {
		if _, free := s.free(t); free {
			return true
		}
	}
	return false
}

// ref is a reference all of which has a value.
func (s *scope) ref(r ast.Ref) (term, error) {
	if r[0].Value.Compare(ast.DefaultRootDocument.Value) == 0 {
		return s.data(r)
	}
	root, err := s.term(r[0])
	if err != nil {
		return nil, err
	}
	return s.below(root, r[1:])
}

// below is what lies below a value.
func (s *scope) below(root term, path []*ast.Term) (term, error) {
	keys := make([]term, len(path))
	for i, t := range path {
		var err error
		if keys[i], err = s.term(t); err != nil {
			return nil, err
		}
	}
	return func(m *machine, f []*ast.Term) *ast.Term {
		v := root(m, f)
		for _, k := range keys {
			if v == nil {
				return nil
			}
			key := k(m, f)
			if key == nil {
				return nil
			}
			v = member(v, key)
		}
		return v
	}, nil
}

// member is what a value has at a key; nil: nothing.
func member(v, key *ast.Term) *ast.Term {
	switch c := v.Value.(type) {
	case ast.Object:
		return c.Get(key)
	case *ast.Array:
		return c.Get(key)
	case ast.Set:
		if c.Contains(key) {
			return key
		}
	}
	return nil
}

// split says where a reference below data leads: to a rule, and what is left
// below it; or, with rule -1, into data alone.
func (s *scope) split(r ast.Ref) (rule int, rest []*ast.Term, err error) {
	node := s.cc.c.RuleTree.Child(ast.DefaultRootDocument.Value)
	for i := 1; i < len(r); i++ {
		if node == nil {
			return -1, nil, nil
		}
		if len(node.Values) > 0 {
			n, err := s.cc.named(r[:i])
			return n, r[i:], err
		}
		if _, constant := r[i].Value.(ast.String); !constant {
			return 0, nil, left("%s may lead to a rule or to data", r)
		}
		node = node.Child(r[i].Value)
	}
	switch {
	case node == nil:
		return -1, nil, nil
	case len(node.Values) > 0:
		n, err := s.cc.named(r)
		return n, nil, err
	}
	return 0, nil, left("%s is a package", r)
}

// data is a reference below data.
func (s *scope) data(r ast.Ref) (term, error) {
	rule, rest, err := s.split(r)
	if err != nil {
		return nil, err
	}
	if rule >= 0 {
		return s.below(func(m *machine, _ []*ast.Term) *ast.Term { return m.rule(rule) }, rest)
	}
	return s.stored(r[1:])
}

// stored is what lies at a path of data.
func (s *scope) stored(path []*ast.Term) (term, error) {
	if len(path) == 0 {
		return nil, left("all data")
	}
	keys := make([]term, len(path))
	for i, t := range path {
		var err error
		if keys[i], err = s.term(t); err != nil {
			return nil, err
		}
	}
	return func(m *machine, f []*ast.Term) *ast.Term {
		from := len(m.path)
		defer func() { m.path = m.path[:from] }()
		for _, k := range keys {
			key := k(m, f)
			if key == nil {
				return nil
			}
			text, ok := key.Value.(ast.String)
			if !ok {
				return m.giveUp() // OPA makes a step of a path of it in its own way
			}
			m.path = append(m.path, string(text))
		}
		v, found, sure := m.data.Find(m.path[from:])
		switch {
		case !sure:
			return m.giveUp()
		case !found:
			return nil
		}
		return ast.NewTerm(v)
	}, nil
}

// each goes through all that a reference can be, and asks accept about each.
func (s *scope) each(r ast.Ref, accept func(m *machine, f []*ast.Term, v *ast.Term) bool) (step, error) {
	first := 1
	for ; ; first++ {
		if _, free := s.free(r[first]); free {
			break
		}
	}
	l := &loop{accept: accept}
	var err error
	if l.root, err = s.prefix(r[:first]); err != nil {
		return nil, err
	}
	for _, t := range r[first:] {
		if v, free := s.free(t); free {
			l.levels = append(l.levels, level{slot: s.slot(v)})
			s.bound[v] = true // also where it stands again in the same reference
			continue
		}
		key, err := s.term(t)
		if err != nil {
			return nil, err
		}
		l.levels = append(l.levels, level{key: key})
	}
	return l, nil
}

// prefix is the part of a reference that is looped over.
func (s *scope) prefix(r ast.Ref) (term, error) {
	if len(r) == 1 {
		return s.term(r[0])
	}
	return s.ref(r)
}

// loop is a reference with variables.
type loop struct {
	root   term
	levels []level
	accept func(m *machine, f []*ast.Term, v *ast.Term) bool
}

// level is a step of a reference: a key that is known, or a variable that takes each.
type level struct {
	key  term
	slot int
}

func (l *loop) solve(m *machine, f []*ast.Term, next func() bool) bool {
	root := l.root(m, f)
	if root == nil {
		return m.unsure
	}
	return l.descend(m, f, root, 0, next)
}

// descend reports whether it is enough.
func (l *loop) descend(m *machine, f []*ast.Term, v *ast.Term, i int, next func() bool) bool {
	if !m.step() {
		return true
	}
	if i == len(l.levels) {
		return l.accept(m, f, v) && next()
	}
	at := l.levels[i]
	if at.key != nil {
		key := at.key(m, f)
		if key == nil {
			return m.unsure
		}
		if v = member(v, key); v == nil {
			return false
		}
		return l.descend(m, f, v, i+1, next)
	}
	one := func(k, v *ast.Term) bool {
		f[at.slot] = k
		return l.descend(m, f, v, i+1, next)
	}
	switch c := v.Value.(type) {
	case *ast.Array:
		for j := range c.Len() {
			if one(ast.InternedTerm(j), c.Elem(j)) {
				return true
			}
		}
	case ast.Object:
		return c.Until(one)
	case ast.Set:
		return c.Until(func(t *ast.Term) bool { return one(t, t) })
	}
	return false
}
