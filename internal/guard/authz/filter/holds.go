package filter

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// ruling is what a condition says of a row. OPA fails where a function is given
// a type that it does not take; unknown stands for that, and a row of which
// nothing is known does not pass, also not under a negation.
type ruling uint8

const (
	no ruling = iota
	yes
	unknown
)

func ruled(b bool) ruling {
	if b {
		return yes
	}
	return no
}

// Holds reports whether a row fulfils the condition.
func (c *Cond) Holds(row *value.Value) bool { return c.rule(row) == yes }

func (c *Cond) rule(row *value.Value) ruling {
	switch c.Op {
	case False:
		return no
	case True:
		return yes
	case Not:
		switch c.Kids[0].rule(row) {
		case yes:
			return no
		case no:
			return yes
		case unknown:
		}
		return unknown
	case And, Or:
		out, end := yes, no
		if c.Op == Or {
			out, end = no, yes
		}
		for i := range c.Kids {
			switch c.Kids[i].rule(row) {
			case end:
				return end
			case unknown:
				out = unknown
			default:
			}
		}
		return out
	default:
	}
	v := at(row, c.Field)
	if v == nil {
		return no
	}
	if c.Other == nil {
		return c.on(v)
	}
	o := at(row, c.Other)
	if o == nil {
		return no
	}
	with := *c
	with.Value, with.Other = *o, nil
	return with.on(v)
}

func at(row *value.Value, f Field) *value.Value {
	for _, name := range f {
		if row = row.Get(name); row == nil {
			return nil
		}
	}
	return row
}

// on rules on the field's value.
func (c *Cond) on(v *value.Value) ruling {
	switch c.Op {
	case Not:
		switch c.Kids[0].on(v) {
		case yes:
			return no
		case no:
			return yes
		case unknown:
		}
		return unknown
	case Eq:
		return ruled(value.Equal(v, &c.Value))
	case Ne:
		return ruled(!value.Equal(v, &c.Value))
	case Lt, Le, Gt, Ge:
		n, ok := order(v, &c.Value)
		if !ok {
			return unknown
		}
		return ruled(c.Op == Lt && n < 0 || c.Op == Le && n <= 0 || c.Op == Gt && n > 0 || c.Op == Ge && n >= 0)
	case In:
		return ruled(slices.ContainsFunc(c.Value.Kids, func(e value.Value) bool { return value.Equal(v, &e) }))
	case Has:
		if v.Kind != value.Array && v.Kind != value.Object {
			return no // as OPA has it: nothing is in a scalar
		}
		return ruled(slices.ContainsFunc(v.Kids, func(e value.Value) bool { return value.Equal(&e, &c.Value) }))
	case StartsWith, EndsWith, Contains:
		if v.Kind != value.String {
			return unknown
		}
		return ruled(c.Op == StartsWith && strings.HasPrefix(v.Text, c.Value.Text) || c.Op == EndsWith && strings.HasSuffix(v.Text, c.Value.Text) ||
			c.Op == Contains && strings.Contains(v.Text, c.Value.Text))
	case Exists:
		return yes
	case Truthy:
		return ruled(v.Kind != value.Bool || v.Text == "true")
	case Type:
		return ruled(v.Kind.String() == c.Value.Text)
	default:
		return unknown
	}
}

// order compares by OPA's order of types and values; ok is false for arrays and
// objects, which nobody compares on purpose.
func order(a, b *value.Value) (n int, ok bool) {
	if a.Kind >= value.Array || b.Kind >= value.Array {
		return 0, false
	}
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind), true
	}
	switch a.Kind {
	case value.Number:
		return value.CompareNumber(a.Text, b.Text), true
	case value.Null:
		return 0, true
	default:
		return strings.Compare(a.Text, b.Text), true // "false" is before "true"
	}
}
