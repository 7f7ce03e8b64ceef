package schema

import (
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
	case !declared && !sh.open, sub.writeOnly:
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
		return rewrite.State{}, rewrite.Pass
	}
	return rewrite.State{Ref: sub}, rewrite.Keep
}

// Scalar implements rewrite.Filter.
func (f filter) Scalar(rewrite.State, value.Kind, string) ([]byte, rewrite.Action) {
	return nil, rewrite.Keep
}
