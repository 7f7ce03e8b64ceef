package filter

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// Op is what a Cond says.
type Op uint8

// The operations. Of the comparisons of a field that a row lacks none holds.
const (
	False      Op = iota
	True          //
	And           // of Kids
	Or            // of Kids
	Not           // of the one of Kids
	Eq            // Field = Value, or Field = Other
	Ne            //
	Lt            // by OPA's order: null, booleans, numbers, strings
	Le            //
	Gt            //
	Ge            //
	In            // Field is one of Value's elements
	Has           // Field is an array, of which Value is an element
	StartsWith    // Field is a string that starts with Value
	EndsWith      //
	Contains      //
	Exists        // Field is there
	Truthy        // Field is there, and is not false
	Type          // Field is of the JSON type that Value names
)

// names are those of UCAST; OPA's compile API has the first ten of them.
var names = map[Op]string{
	Eq: "eq", Ne: "ne", Lt: "lt", Le: "lte", Gt: "gt", Ge: "gte", In: "in", StartsWith: "startswith", EndsWith: "endswith", Contains: "contains",
	Has: "has", Exists: "exists", Truthy: "truthy", Type: "type", And: "and", Or: "or", Not: "not",
}

// Cond is a condition on one row. It is immutable.
type Cond struct {
	Op    Op
	Kids  []Cond
	Field Field
	Value value.Value
	Other Field // compared with Field in place of Value, when it is not nil
}

// Field is the path to a value of a row.
type Field []string

func (f Field) String() string { return strings.Join(f, ".") }

var (
	never  = Cond{Op: False}
	always = Cond{Op: True}
)

// Always and Never report whether the condition does not depend on the row.
func (c *Cond) Always() bool { return c.Op == True }

// Never reports whether no row fulfils the condition.
func (c *Cond) Never() bool { return c.Op == False }

// and joins conditions that must all hold.
func and(list ...Cond) Cond {
	var kids []Cond
	for _, c := range list {
		switch c.Op {
		case False:
			return never
		case True:
		case And:
			kids = append(kids, c.Kids...)
		default:
			kids = append(kids, c)
		}
	}
	kids, possible := pinned(distinct(kids))
	switch {
	case !possible:
		return never
	case len(kids) == 0:
		return always
	case len(kids) == 1:
		return kids[0]
	}
	return Cond{Op: And, Kids: kids}
}

// or joins conditions of which one must hold.
func or(list ...Cond) Cond {
	var kids []Cond
	for _, c := range list {
		switch c.Op {
		case True:
			return always
		case False:
		case Or:
			kids = append(kids, c.Kids...)
		default:
			kids = append(kids, c)
		}
	}
	kids = distinct(kids)
	switch len(kids) {
	case 0:
		return never
	case 1:
		return kids[0]
	}
	return Cond{Op: Or, Kids: kids}
}

func not(c Cond) Cond {
	switch c.Op {
	case True:
		return never
	case False:
		return always
	}
	return Cond{Op: Not, Kids: []Cond{c}}
}

func distinct(list []Cond) []Cond {
	var out []Cond
	for _, c := range list {
		if !slices.ContainsFunc(out, func(o Cond) bool { return c.equal(&o) }) {
			out = append(out, c)
		}
	}
	return out
}

func (c *Cond) equal(o *Cond) bool {
	return c.Op == o.Op && slices.Equal(c.Field, o.Field) && slices.Equal(c.Other, o.Other) && value.Equal(&c.Value, &o.Value) &&
		slices.EqualFunc(c.Kids, o.Kids, func(a, b Cond) bool { return a.equal(&b) })
}

// pinned decides conditions on fields whose value another condition fixes:
// owner = "7" and owner is a string. possible is false when two cannot both hold.
func pinned(list []Cond) (out []Cond, possible bool) {
	for i := range list {
		c := &list[i]
		inner := c
		if c.Op == Not {
			inner = &c.Kids[0]
		}
		at := slices.IndexFunc(list, func(p Cond) bool {
			return p.Op == Eq && p.Other == nil && slices.Equal(p.Field, inner.Field)
		})
		if at < 0 || at == i || inner.Other != nil || inner.Field == nil {
			out = append(out, *c)
			continue
		}
		switch c.on(&list[at].Value) {
		case yes:
		case no:
			return nil, false
		case unknown:
			out = append(out, *c)
		}
	}
	return out, true
}

// Typed decides what only values of another type could fulfil, for fields whose
// JSON type is known: "string", "integer", "number" or "boolean". Null is of every type.
func (c Cond) Typed(types map[string]string) Cond {
	switch c.Op {
	case And, Or, Not:
		kids := make([]Cond, len(c.Kids))
		for i := range c.Kids {
			kids[i] = c.Kids[i].Typed(types)
		}
		switch c.Op {
		case And:
			return and(kids...)
		case Or:
			return or(kids...)
		default:
			return not(kids[0])
		}
	default:
	}
	want, known := types[c.Field.String()]
	if !known || c.Other != nil {
		return c
	}
	switch c.Op {
	case Eq:
		if !fits(&c.Value, want) {
			return never
		}
	case In:
		kept := c.Value
		kept.Kids = slices.DeleteFunc(slices.Clone(c.Value.Kids), func(v value.Value) bool { return !fits(&v, want) })
		if len(kept.Kids) == 0 {
			return never
		}
		c.Value = kept
	case StartsWith, EndsWith, Contains:
		if want != "string" {
			return never
		}
	case Type:
		if c.Value.Text == "null" {
			return Cond{Op: Eq, Field: c.Field, Value: value.Value{Kind: value.Null}}
		}
		if !ofType(c.Value.Text, want) {
			return never
		}
		return Cond{Op: Ne, Field: c.Field, Value: value.Value{Kind: value.Null}}
	default:
	}
	return c
}

func ofType(jsonType, want string) bool {
	return jsonType == want || jsonType == "number" && want == "integer"
}

func fits(v *value.Value, want string) bool {
	return v.Kind == value.Null || ofType(v.Kind.String(), want) && (want != "integer" || v.IsInteger())
}

// Rename gives each field another path. It fails on the first field that f does
// not know.
func (c Cond) Rename(f func(Field) (Field, error)) (Cond, error) {
	var err error
	if c.Field != nil {
		if c.Field, err = f(c.Field); err != nil {
			return Cond{}, err
		}
	}
	if c.Other != nil {
		if c.Other, err = f(c.Other); err != nil {
			return Cond{}, err
		}
	}
	kids := make([]Cond, len(c.Kids))
	for i := range c.Kids {
		if kids[i], err = c.Kids[i].Rename(f); err != nil {
			return Cond{}, err
		}
	}
	if c.Kids = kids; len(kids) == 0 {
		c.Kids = nil
	}
	return c, nil
}
