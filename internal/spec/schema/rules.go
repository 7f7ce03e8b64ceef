package schema

import "github.com/crenel-project/crenel/internal/value"

// Rules is what one schema says itself, taken apart: for those who build values
// rather than check them. Nothing here may be changed.
type Rules struct {
	Types  []string // allowed
	Enum   []*value.Value
	Bounds Bounds

	Pattern string
	Format  string // asserted; "" where it is not

	Properties        []Property
	Required          []string
	Patterns          []PatternProperty
	Additional        *Schema // nil: not stated
	PropertyNames     *Schema
	DependentRequired map[string][]string

	Prefix                   []*Schema
	Items                    *Schema
	Contains                 *Schema
	MinContains, MaxContains int // max -1: none

	Applied          []*Schema // by $ref, $dynamicRef and allOf
	AnyOf, OneOf     []*Schema
	Not              *Schema
	If, Then, Else   *Schema
	DependentSchemas map[string]*Schema
	Choices          []Choice // of a discriminator
	RestProperties   *Schema  // unevaluatedProperties
	RestItems        *Schema  // unevaluatedItems
}

// PatternProperty is one entry of patternProperties.
type PatternProperty struct {
	Pattern string
	Schema  *Schema
	match   *pattern
}

// Matches reports whether the entry applies to a name.
func (p *PatternProperty) Matches(name string) bool {
	ok, _ := p.match.match(name)
	return ok
}

// Choice is one value of a discriminator's property and the schema it picks.
type Choice struct {
	Property, Value string
	Schema          *Schema
}

// Rules takes s apart.
func (s *Schema) Rules() Rules {
	own := &Schema{kinds: s.kinds, whole: s.whole, num: s.num, str: s.str, arr: s.arr, obj: s.obj}
	r := Rules{Types: own.Types(), Bounds: own.Bounds(), MaxContains: -1}
	if s.constant != nil {
		r.Enum = s.constant.values
	} else if s.enum != nil {
		r.Enum = s.enum.values
	}
	if s.str != nil {
		if s.str.pattern != nil {
			r.Pattern = s.str.pattern.source
		}
		if s.str.format != nil {
			r.Format = s.str.format.name
		}
	}
	if s.num != nil {
		r.Format = s.num.format
	}
	if o := s.obj; o != nil {
		r.Properties, r.Required = own.Properties(), own.Required()
		r.Additional, r.PropertyNames = o.additional, o.names
		for _, p := range o.patterns {
			r.Patterns = append(r.Patterns, PatternProperty{p.pattern.source, p.schema, p.pattern})
		}
		for _, d := range o.dependent {
			if r.DependentRequired == nil {
				r.DependentRequired = map[string][]string{}
			}
			name := o.table.list[d.name]
			for _, n := range d.needs {
				r.DependentRequired[name] = append(r.DependentRequired[name], o.table.list[n])
			}
		}
	}
	if a := s.arr; a != nil {
		r.Prefix, r.Items, r.Contains = a.prefix, a.items, a.contains
		r.MinContains, r.MaxContains = a.minContains, a.maxContains
	}
	s.applied(&r)
	return r
}

func (s *Schema) applied(r *Rules) {
	a := s.app
	if a == nil {
		return
	}
	if a.ref != nil {
		r.Applied = append(r.Applied, a.ref)
	}
	if a.dynamic != nil {
		r.Applied = append(r.Applied, a.dynamic)
	}
	r.Applied = append(r.Applied, a.allOf...)
	r.AnyOf, r.OneOf, r.Not = a.anyOf, a.oneOf, a.not
	r.If, r.Then, r.Else = a.ifs, a.then, a.otherwise
	r.RestProperties, r.RestItems = a.restProps, a.restItems
	for i := range a.dependent {
		if r.DependentSchemas == nil {
			r.DependentSchemas = map[string]*Schema{}
		}
		r.DependentSchemas[a.dependent[i].name] = a.dependent[i].schema
	}
	if d := a.chooser; d != nil {
		for i, text := range d.table.list {
			r.Choices = append(r.Choices, Choice{d.property, text, d.schemas[i]})
		}
	}
}
