package schema

import (
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// applicator reads one keyword of the applicator vocabulary.
func (c *Compiler) applicator(s *Schema, p place, v *value.Value, seen *objectNames) bool {
	d := p.res.dialect
	switch v.Name {
	case "allOf", "anyOf", "oneOf":
		if d == OpenAPI20 && v.Name != "allOf" {
			c.later(p, v.Name)
		}
		c.branches(s, p, v)
	case "not":
		if d == OpenAPI20 {
			c.later(p, v.Name)
		}
		s.app.not = c.at(p.child(v, v.Name))
	case "properties":
		if v.Kind != value.Object {
			c.report(p, v.Name, Degraded, "bad_keyword", "properties is an object, not %s; ignored", v.Kind)
			return true
		}
		seen.properties = v
	case "patternProperties":
		if d == OpenAPI20 || d == OpenAPI30 {
			c.later(p, v.Name)
		}
		c.patternProperties(s, p, v)
	case "additionalProperties":
		s.objects().additional = c.at(p.child(v, v.Name))
	case "propertyNames":
		if d.old() && !c.laterOpenAPI(p, v.Name) {
			return false
		}
		s.objects().names = c.at(p.child(v, v.Name))
	case "items":
		c.items(s, p, v)
	case "additionalItems":
		if !d.old() {
			return false
		}
		if items := p.v.Get("items"); items != nil && items.Kind == value.Array {
			s.arrays().items = c.at(p.child(v, v.Name))
		}
	case "prefixItems":
		if d.old() && !c.laterOpenAPI(p, v.Name) {
			return false
		}
		if v.Kind != value.Array {
			c.report(p, v.Name, Degraded, "bad_keyword", "prefixItems is a list of schemas, not %s; ignored", v.Kind)
			return true
		}
		s.arrays().prefix = c.list(p, v)
	case "contains":
		if d.old() && !c.laterOpenAPI(p, v.Name) {
			return false
		}
		s.arrays().contains = c.at(p.child(v, v.Name))
	case "dependentSchemas":
		if d.old() && !c.laterOpenAPI(p, v.Name) {
			return false
		}
		c.dependentSchemas(s, p, v)
	case "dependencies":
		if d != Draft4 && !d.openAPI() || v.Kind != value.Object {
			return false
		}
		for i := range v.Kids {
			k := &v.Kids[i]
			if k.Kind == value.Array {
				c.dependentNames(p, v.Name, k, seen)
				continue
			}
			q := p.child(v, v.Name).child(k, k.Name)
			s.app.dependent = append(s.app.dependent, dependentSchema{k.Name, c.at(q)})
		}
	default:
		return false
	}
	return true
}

func (c *Compiler) list(p place, v *value.Value) []*Schema {
	out := make([]*Schema, len(v.Kids))
	for i := range v.Kids {
		out[i] = c.at(p.index(&v.Kids[i], v.Name, i))
	}
	return out
}

func (c *Compiler) branches(s *Schema, p place, v *value.Value) {
	var list []*Schema
	switch {
	case v.Kind == value.Object && p.res.dialect.openAPI():
		c.report(p, v.Name, Warning, "bad_keyword", "%s is a list of schemas; read as a list of one", v.Name)
		list = []*Schema{c.at(p.child(v, v.Name))}
	case v.Kind != value.Array:
		c.report(p, v.Name, Degraded, "bad_keyword", "%s is a list of schemas, not %s; ignored", v.Name, v.Kind)
		return
	case len(v.Kids) == 0:
		c.report(p, v.Name, Degraded, "bad_keyword", "%s must not be empty; ignored", v.Name)
		return
	default:
		list = c.list(p, v)
	}
	switch v.Name {
	case "allOf":
		s.app.allOf = list
	case "anyOf":
		s.app.anyOf = list
	case "oneOf":
		s.app.oneOf = list
	}
}

func (c *Compiler) patternProperties(s *Schema, p place, v *value.Value) {
	if v.Kind != value.Object {
		c.report(p, v.Name, Degraded, "bad_keyword", "patternProperties is an object, not %s; ignored", v.Kind)
		return
	}
	o := s.objects()
	for i := range v.Kids {
		k := &v.Kids[i]
		q := p.child(v, v.Name)
		sub := c.at(q.child(k, k.Name))
		pt := c.pattern(q, k.Name, k.Name)
		if pt == nil {
			continue
		}
		o.patterns = append(o.patterns, patternProperty{pt, sub})
		o.declares = true
	}
}

func (c *Compiler) items(s *Schema, p place, v *value.Value) {
	if v.Kind == value.Array {
		if !p.res.dialect.old() {
			c.report(p, v.Name, Degraded, "bad_keyword", "items is one schema in %s; a list belongs in prefixItems; ignored", p.res.dialect)
			return
		}
		if p.res.dialect != Draft4 {
			c.later(p, "a list in items")
		}
		s.arrays().prefix = c.list(p, v)
		return
	}
	s.arrays().items = c.at(p.child(v, v.Name))
}

func (c *Compiler) dependentSchemas(s *Schema, p place, v *value.Value) {
	if v.Kind != value.Object {
		c.report(p, v.Name, Degraded, "bad_keyword", "%s is an object, not %s; ignored", v.Name, v.Kind)
		return
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		q := p.child(v, v.Name).child(k, k.Name)
		s.app.dependent = append(s.app.dependent, dependentSchema{k.Name, c.at(q)})
	}
}

// unevaluated reads the keywords of the unevaluated vocabulary.
func (c *Compiler) unevaluated(s *Schema, p place, v *value.Value) {
	if v.Name != "unevaluatedProperties" && v.Name != "unevaluatedItems" ||
		p.res.dialect.old() && !c.laterOpenAPI(p, v.Name) {
		return
	}
	if sub := c.at(p.child(v, v.Name)); v.Name == "unevaluatedItems" {
		s.app.restItems = sub
	} else {
		s.app.restProps = sub
	}
}

func (c *Compiler) conditionals(s *Schema, p place) {
	if p.res.dialect == Draft4 {
		return
	}
	v := p.v.Get("if")
	if v == nil {
		return
	}
	if p.res.dialect.old() {
		c.later(p, "if")
	}
	s.app.ifs = c.at(p.child(v, "if"))
	if v := p.v.Get("then"); v != nil {
		s.app.then = c.at(p.child(v, "then"))
	}
	if v := p.v.Get("else"); v != nil {
		s.app.otherwise = c.at(p.child(v, "else"))
	}
}

// objectTable makes the one look-up table of an object.
func (c *Compiler) objectTable(s *Schema, p place, seen *objectNames) {
	if seen.properties == nil && seen.required == nil && seen.dependent == nil {
		return
	}
	o := s.objects()
	at := map[string]int{}
	var list []string
	var props []*Schema
	index := func(name string) int {
		if i, ok := at[name]; ok {
			return i
		}
		at[name] = len(list)
		list, props = append(list, name), append(props, nil)
		return len(list) - 1
	}
	if seen.properties != nil {
		q := p.child(seen.properties, "properties")
		for i := range seen.properties.Kids {
			k := &seen.properties.Kids[i]
			if misplaced(k) {
				c.report(q, k.Name, Warning, "keyword_as_property", "%q looks like a keyword that slipped into properties; it declares nothing", k.Name)
				continue
			}
			props[index(k.Name)] = c.at(q.child(k, k.Name))
			o.declares = true
		}
	}
	for _, name := range seen.required {
		i := index(name)
		for d := range o.required {
			o.required[d] = setBit(o.required[d], i)
		}
		o.needsSeen = true
	}
	for _, dep := range seen.dependent {
		d := dependentNames{name: index(dep.name)}
		for _, n := range dep.needs {
			d.needs = append(d.needs, index(n))
		}
		o.dependent = append(o.dependent, d)
		o.needsSeen = true
	}
	words := (len(list) + 63) / 64
	for d := range o.required {
		for o.needsSeen && len(o.required[d]) < words {
			o.required[d] = append(o.required[d], 0)
		}
	}
	o.table, o.props = newNames(list), props
}

// misplaced spots required: [...], type: "object" and the like one level too
// deep: the property's schema is never a string, number or list.
func misplaced(v *value.Value) bool {
	switch v.Name {
	case "type", "format", "pattern", "title", "description", "$ref":
		return v.Kind == value.String
	case "required", "enum", "allOf", "oneOf", "anyOf", "examples":
		return v.Kind == value.Array
	case "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems":
		return v.Kind == value.Number
	}
	return strings.HasPrefix(v.Name, "x-") && v.Kind != value.Object
}

func setBit(set []uint64, i int) []uint64 {
	for len(set) <= i/64 {
		set = append(set, 0)
	}
	set[i/64] |= 1 << (i % 64)
	return set
}

// arrayDefaults drops minContains where contains is missing.
func (c *Compiler) arrayDefaults(s *Schema) {
	if s.arr != nil && s.arr.contains == nil {
		s.arr.minContains, s.arr.maxContains = 0, -1
	}
}

// discriminator reads OpenAPI's discriminator: beside oneOf or anyOf it picks
// the branch; on a base schema it adds the schema that extends it.
func (c *Compiler) discriminator(s *Schema, p place) {
	v := p.v.Get("discriminator")
	if v == nil {
		return
	}
	d := &discriminator{property: v.Get("propertyName").Str()}
	if v.Kind == value.String {
		d.property = v.Text // OpenAPI 2.0
	}
	if d.property == "" {
		c.report(p, "discriminator", Warning, "bad_keyword", "discriminator needs a propertyName; ignored, which changes no verdict")
		return
	}
	var texts []string
	add := func(text string, target *Schema) {
		texts, d.schemas = append(texts, text), append(d.schemas, target)
	}
	branches := s.app.oneOf
	keyword := "oneOf"
	if branches == nil {
		branches, keyword = s.app.anyOf, "anyOf"
	}
	isBranch := func(t *Schema) bool {
		for _, b := range branches {
			if b == t {
				return true
			}
		}
		return branches == nil
	}
	if m := v.Get("mapping"); m != nil && m.Kind == value.Object {
		for i := range m.Kids {
			target, ok := c.mapped(p, m.Kids[i].Str())
			if !ok || !isBranch(target) {
				c.report(p, "discriminator", Warning, "bad_mapping", "the mapping of %q names no schema that can apply here; left out", m.Kids[i].Name)
				continue
			}
			add(m.Kids[i].Name, target)
		}
	}
	if list := p.v.Get(keyword); branches != nil && list != nil && list.Kind == value.Array {
		for i := range list.Kids {
			if ref := list.Kids[i].Get("$ref").Str(); ref != "" && i < len(branches) {
				add(ref[strings.LastIndexByte(ref, '/')+1:], branches[i])
			}
		}
	}
	if branches == nil {
		c.extensions(p, add)
	}
	if texts == nil {
		return
	}
	d.table = newNames(texts)
	s.app.chooser = d
}

// mapped resolves a discriminator's mapping: a reference or a bare name.
func (c *Compiler) mapped(p place, ref string) (*Schema, bool) {
	if ref == "" {
		return nil, false
	}
	target, ok := c.named(p.res, ref)
	if !ok {
		var err error
		if target, err = c.resolve(p.res, ref); err != nil {
			return nil, false
		}
	}
	return c.at(target), true
}

// extensions lists the schemas of the document that extend p by allOf, at any
// distance: their names are the discriminator's implicit values.
func (c *Compiler) extensions(p place, add func(string, *Schema)) {
	doc := c.resources[p.res.doc]
	if doc == nil {
		return
	}
	at := "/components/schemas"
	all := doc.root.At(at)
	if all == nil {
		at = "/definitions"
		all = doc.root.At(at)
	}
	if all == nil || all.Kind != value.Object {
		return
	}
	if doc.children == nil {
		doc.children = map[string][]string{}
		for i := range all.Kids {
			k := &all.Kids[i]
			list := k.Get("allOf")
			if list == nil || list.Kind != value.Array {
				continue
			}
			for j := range list.Kids {
				if ref := list.Kids[j].Get("$ref").Str(); ref != "" {
					_, f := splitFragment(ref)
					doc.children[f] = append(doc.children[f], k.Name)
				}
			}
		}
	}
	done := map[string]bool{p.ptr: true}
	for queue := []string{p.ptr}; len(queue) > 0; queue = queue[1:] {
		for _, name := range doc.children[queue[0]] {
			ptr := at + "/" + value.EscapeToken(name)
			if done[ptr] {
				continue
			}
			done[ptr] = true
			queue = append(queue, ptr)
			add(name, c.at(place{v: all.Get(name), res: doc, ptr: ptr}))
		}
	}
}
