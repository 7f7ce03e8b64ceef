package schema

import (
	"slices"

	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// Filter returns a filter that strips from an answer what the schema does not
// declare: members that no alternative knows, where Strict would refuse them,
// and writeOnly members. It is nil when nothing can ever be stripped. An answer
// is not known to fit its schema while it is stripped, so a member stays when
// any alternative declares it, also one that does not match.
func (s *Schema) Filter() rewrite.Filter {
	sh := s.Shape()
	if sh == sh.shapes.unknown {
		return nil
	}
	return filter{sh}
}

type filter struct{ root *Shape }

var _ rewrite.Filter = filter{}

// Root implements rewrite.Filter.
func (f filter) Root() rewrite.State { return rewrite.State{Ref: f.root} }

// Member implements rewrite.Filter.
func (f filter) Member(s rewrite.State, name string) (rewrite.State, rewrite.Action) {
	sh, ok := s.Ref.(*Shape)
	if !ok {
		return rewrite.State{}, rewrite.Drop
	}
	sub, declared := sh.Member(name)
	switch {
	case !declared && (!sh.open || !sh.takes(value.Object)), sub.writeOnly:
		return rewrite.State{}, rewrite.Drop
	case sub == sub.shapes.unknown:
		return rewrite.State{}, rewrite.Pass
	}
	return rewrite.State{Ref: sub}, rewrite.Keep
}

// Item implements rewrite.Filter.
func (f filter) Item(s rewrite.State, i int) (rewrite.State, rewrite.Action) {
	sh, ok := s.Ref.(*Shape)
	if !ok {
		return rewrite.State{}, rewrite.Drop
	}
	sub := sh.Item(i)
	if sub == sub.shapes.unknown {
		if !sh.takes(value.Array) || !sh.open && sh.untyped() {
			return rewrite.State{}, rewrite.Drop // an array where an object is declared
		}
		return rewrite.State{}, rewrite.Pass
	}
	return rewrite.State{Ref: sub}, rewrite.Keep
}

// takes reports whether some value of the kind may fit by its type.
func (sh *Shape) takes(k value.Kind) bool {
	for _, s := range sh.terms {
		if s.kinds&kindOf(k) == 0 {
			return false
		}
	}
	for i := range sh.groups {
		g := &sh.groups[i]
		if !g.optional && len(g.shapes) > 0 && !slices.ContainsFunc(g.shapes, func(b *Shape) bool { return b.takes(k) }) {
			return false
		}
	}
	return true
}

// untyped reports whether no type is said: where properties are declared, an
// object is meant.
func (sh *Shape) untyped() bool {
	return len(sh.groups) == 0 && !slices.ContainsFunc(sh.terms, func(s *Schema) bool { return s.kinds&anyKind != anyKind })
}

// Scalar implements rewrite.Filter.
func (f filter) Scalar(rewrite.State, value.Kind, string) ([]byte, rewrite.Action) {
	return nil, rewrite.Keep
}
