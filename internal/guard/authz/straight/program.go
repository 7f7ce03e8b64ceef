package straight

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Data is what a program reads below data.
type Data interface {
	// Find returns what lies at a path, or that nothing does. sure is false where
	// OPA might see it otherwise, or it could not be read.
	Find(path []string) (v ast.Value, found, sure bool)
}

// Program is a rule that decides and all that it leans on, as steps. It is
// immutable and safe for concurrent use.
type Program struct {
	rules []*rule // the first decides
	pool  sync.Pool
}

// maxSteps bounds an evaluation; what takes longer is OPA's, which looks at the clock.
const maxSteps = 20_000

// Run decides. sure is false when it cannot be told what OPA would say; a nil
// value is no decision at all (undefined).
func (p *Program) Run(input ast.Value, data Data) (v ast.Value, sure bool) {
	m := p.pool.Get().(*machine)
	m.input, m.data = ast.NewTerm(input), data // a term of its own: it may be part of the result
	defer func() {
		if r := recover(); r != nil {
			v, sure = nil, false // the machine is not used again
			return
		}
		m.clear()
		p.pool.Put(m)
	}()
	// OPA may come to a rule that is in error where this would have known enough
	// before: all are evaluated.
	for i := range p.rules {
		if m.rule(i); m.unsure {
			return nil, false
		}
	}
	t := m.known[0].value
	if t == nil {
		return nil, true
	}
	return t.Value, true
}

// machine is one evaluation.
type machine struct {
	p      *Program
	input  *ast.Term
	data   Data
	known  []known // by rule
	stack  []*ast.Term
	path   []string
	args   []*ast.Term
	steps  int
	unsure bool
}

// known is what a rule gave.
type known struct {
	done  bool
	value *ast.Term // nil: undefined
}

func (m *machine) clear() {
	clear(m.known)
	clear(m.stack[:cap(m.stack)])
	clear(m.path[:cap(m.path)])
	clear(m.args[:cap(m.args)])
	m.stack, m.path, m.args, m.steps, m.unsure, m.data, m.input = m.stack[:0], m.path[:0], m.args[:0], 0, false, nil, nil
}

// giveUp ends the evaluation: OPA is asked.
func (m *machine) giveUp() *ast.Term {
	m.unsure = true
	return nil
}

// step counts; false ends the evaluation.
func (m *machine) step() bool {
	if m.steps++; m.steps > maxSteps {
		m.unsure = true
	}
	return !m.unsure
}

// charge counts what is to be looked at: a step for eight elements, or 64 bytes.
func (m *machine) charge(list []*ast.Term) bool {
	for _, t := range list {
		switch v := t.Value.(type) {
		case ast.String:
			m.steps += len(v) / 64
		case *ast.Array:
			m.steps += v.Len() / 8
		case ast.Object:
			m.steps += v.Len() / 8
		case ast.Set:
			m.steps += v.Len() / 8
		}
	}
	return m.step()
}

// frame has room for the variables of a body.
func (m *machine) frame(n int) []*ast.Term {
	from := len(m.stack)
	if from+n > cap(m.stack) {
		return make([]*ast.Term, n)
	}
	m.stack = m.stack[:from+n]
	return m.stack[from : from+n : from+n]
}

// rule is what a rule gives, evaluated once.
func (m *machine) rule(i int) *ast.Term {
	k := &m.known[i]
	if k.done {
		return k.value
	}
	v := m.p.rules[i].evaluate(m)
	if m.unsure {
		return nil
	}
	k.done, k.value = true, v
	return v
}

// rule is a complete rule: all that share its name.
type rule struct {
	clauses  []*clause
	fallback *ast.Term // of a default rule; nil: none
}

// clause is one rule as it was written, and what follows else.
type clause struct {
	body  *body
	head  term
	elses *clause
}

// evaluate looks at all clauses, as two that give different values are an error.
func (r *rule) evaluate(m *machine) *ast.Term {
	var v *ast.Term
	for _, c := range r.clauses {
		for ; c != nil; c = c.elses {
			one, solved := c.body.values(m, c.head)
			if m.unsure {
				return nil
			}
			if !solved {
				continue
			}
			if v != nil && v.Value.Compare(one.Value) != 0 {
				return m.giveUp()
			}
			v = one
			break
		}
	}
	if v == nil {
		return r.fallback
	}
	return v
}

// body is a conjunction.
type body struct {
	steps []step
	size  int // of its frame
}

// step is one expression of a body: solve calls next for each way in which it holds,
// until next says that it is enough.
type step interface {
	solve(m *machine, f []*ast.Term, next func() bool) (enough bool)
}

// test is a step that holds in one way or not at all, and may set variables.
type test func(m *machine, f []*ast.Term) bool

func (t test) solve(m *machine, f []*ast.Term, next func() bool) bool {
	return m.step() && t(m, f) && next()
}

// values is the one value that all solutions of a body give to a head.
func (b *body) values(m *machine, head term) (v *ast.Term, solved bool) {
	from := len(m.stack)
	f := m.frame(b.size)
	defer func() { m.stack = m.stack[:from] }()
	i := b.tests(m, f)
	if i < 0 {
		return nil, false
	}
	if i == len(b.steps) { // as most bodies: nothing to go through
		v = head(m, f)
		return v, v != nil
	}
	b.solve(m, f, i, func() bool {
		one := head(m, f)
		switch {
		case m.unsure:
			return true
		case one == nil:
			return false
		case v != nil && v.Value.Compare(one.Value) != 0:
			m.unsure = true
			return true
		}
		v = one
		return false
	})
	return v, v != nil
}

// holds reports whether a body has any solution.
func (b *body) holds(m *machine, f []*ast.Term) bool {
	i := b.tests(m, f)
	if i < 0 {
		return false
	}
	if i == len(b.steps) {
		return true
	}
	found := false
	b.solve(m, f, i, func() bool { found = true; return true })
	return found
}

// tests runs the tests up to the first step that may hold in several ways; -1: one fails.
func (b *body) tests(m *machine, f []*ast.Term) int {
	for i, s := range b.steps {
		t, ok := s.(test)
		if !ok {
			return i
		}
		if !m.step() || !t(m, f) || m.unsure {
			return -1
		}
	}
	return len(b.steps)
}

func (b *body) solve(m *machine, f []*ast.Term, i int, found func() bool) bool {
	if m.unsure {
		return true
	}
	if i == len(b.steps) {
		return found()
	}
	return b.steps[i].solve(m, f, func() bool { return b.solve(m, f, i+1, found) })
}
