package schema

import (
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// keywords reads every keyword of the object p into s.
func (c *Compiler) keywords(s *Schema, p place) {
	d, old := p.res.dialect, p.res.dialect.old()
	s.app = &applicators{}
	if d.openAPI() {
		c.annotations(s, p)
	}
	if ref := p.v.Get("$ref"); ref != nil {
		s.app.ref = c.reference(p, "$ref")
		if old {
			return
		}
	}
	if d == OpenAPI31 || d == Draft202012 {
		if p.v.Get("$dynamicRef") != nil {
			c.dynamicReference(s, p)
		}
	}
	var seen objectNames
	for i := range p.v.Kids {
		v := &p.v.Kids[i]
		switch {
		case p.res.vocab.validation && c.assertion(s, p, v, &seen):
		case p.res.vocab.applicator && c.applicator(s, p, v, &seen):
		case p.res.vocab.unevaluated:
			c.unevaluated(s, p, v)
		}
	}
	s.exclude()
	c.objectTable(s, p, &seen)
	c.arrayDefaults(s)
	if d.openAPI() || p.res.vocab.validation {
		c.types(s, p)
	}
	if p.res.vocab.applicator {
		c.conditionals(s, p)
	}
	if d.openAPI() {
		c.discriminator(s, p)
	}
	c.formats(s, p)
}

// exclude turns draft 4's boolean exclusiveMinimum into a bound of its own.
func (s *Schema) exclude() {
	n := s.num
	if n == nil {
		return
	}
	if n.minOut && n.min != nil {
		n.above, n.min = raise(n.above, n.min), nil
	}
	if n.maxOut && n.max != nil {
		n.below, n.max = lower(n.below, n.max), nil
	}
}

// objectNames gathers what the one look-up table of an object is made from.
type objectNames struct {
	properties *value.Value
	required   []string
	dependent  []struct {
		name  string
		needs []string
	}
}

// assertion reads one keyword of the validation vocabulary.
func (c *Compiler) assertion(s *Schema, p place, v *value.Value, seen *objectNames) bool {
	d := p.res.dialect
	switch v.Name {
	case "enum":
		if v.Kind != value.Array {
			c.report(p, v.Name, Degraded, "bad_keyword", "enum is an array, not %s; ignored", v.Kind)
			return true
		}
		if len(v.Kids) == 0 && d.openAPI() {
			c.report(p, v.Name, Degraded, "empty_enum", "an empty enum would refuse every value; ignored")
			return true
		}
		s.enum = newEnum(pointers(v))
	case "const":
		if d == Draft4 {
			return false
		}
		c.later(p, v.Name)
		s.constant = newEnum([]*value.Value{v})
	case "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		c.numeric(s, p, v)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		c.limit(s, p, v)
	case "minContains", "maxContains":
		if d == Draft4 {
			return false
		}
		c.limit(s, p, v)
	case "pattern":
		if v.Kind != value.String {
			c.report(p, v.Name, Degraded, "bad_keyword", "pattern is a string, not %s; ignored", v.Kind)
			return true
		}
		if pt := c.pattern(p, v.Name, v.Text); pt != nil {
			s.strings().pattern = pt
		}
	case "uniqueItems":
		if b, ok := c.boolean(p, v); ok && b {
			s.arrays().unique = true
		}
	case "required":
		c.required(p, v, seen)
	case "dependentRequired":
		if d.old() && !c.laterOpenAPI(p, v.Name) {
			return false
		}
		c.dependentRequired(p, v, seen)
	default:
		return false
	}
	return true
}

// later notes a keyword that the document's version does not have yet, and that
// is honoured because its author can have meant nothing else.
func (c *Compiler) later(p place, keyword string) {
	if p.res.dialect == OpenAPI20 || p.res.dialect == OpenAPI30 {
		c.report(p, keyword, Warning, "later_keyword", "%s does not have %s; honoured as in OpenAPI 3.1", p.res.dialect, keyword)
	}
}

// laterOpenAPI is later for the keywords that plain draft 4 must ignore.
func (c *Compiler) laterOpenAPI(p place, keyword string) bool {
	if !p.res.dialect.openAPI() {
		return false
	}
	c.later(p, keyword)
	return true
}

func pointers(v *value.Value) []*value.Value {
	list := make([]*value.Value, len(v.Kids))
	for i := range v.Kids {
		list[i] = &v.Kids[i]
	}
	return list
}

func (s *Schema) numbers() *numberRules {
	if s.num == nil {
		s.num = &numberRules{}
	}
	return s.num
}

func (s *Schema) strings() *stringRules {
	if s.str == nil {
		s.str = &stringRules{max: -1}
	}
	return s.str
}

func (s *Schema) arrays() *arrayRules {
	if s.arr == nil {
		s.arr = &arrayRules{max: -1, minContains: 1, maxContains: -1}
	}
	return s.arr
}

func (s *Schema) objects() *objectRules {
	if s.obj == nil {
		s.obj = &objectRules{max: -1}
	}
	return s.obj
}

// boolean reads true or false, also as a string, which is reported.
func (c *Compiler) boolean(p place, v *value.Value) (b, ok bool) {
	if v.Kind == value.Bool {
		return v.IsTrue(), true
	}
	if v.Kind == value.String && (v.Text == "true" || v.Text == "false") {
		c.report(p, v.Name, Warning, "quoted_boolean", "%s is a boolean, not a string", v.Name)
		return v.Text == "true", true
	}
	c.report(p, v.Name, Degraded, "bad_keyword", "%s is a boolean, not %s; ignored", v.Name, v.Kind)
	return false, false
}

// numeric reads the bounds of numbers.
func (c *Compiler) numeric(s *Schema, p place, v *value.Value) {
	d := p.res.dialect
	exclusive := v.Name == "exclusiveMinimum" || v.Name == "exclusiveMaximum"
	if exclusive && v.Kind == value.Bool {
		if !d.old() {
			if d == Draft202012 {
				c.report(p, v.Name, Degraded, "bad_keyword", "%s is a number in %s; ignored", v.Name, d)
				return
			}
			c.report(p, v.Name, Warning, "old_keyword", "%s is a number in %s; honoured as in OpenAPI 3.0", v.Name, d)
		}
		if v.IsTrue() {
			if v.Name == "exclusiveMinimum" {
				s.numbers().minOut = true
			} else {
				s.numbers().maxOut = true
			}
		}
		return
	}
	if exclusive && d == Draft4 {
		c.report(p, v.Name, Degraded, "bad_keyword", "%s is a boolean in %s; ignored", v.Name, d)
		return
	}
	if exclusive {
		c.later(p, v.Name)
	}
	b, ok := newBound(v.Text)
	if !ok || v.Kind != value.Number && v.Kind != value.String {
		c.report(p, v.Name, Degraded, "bad_keyword", "%s is a number, not %s; ignored", v.Name, v.Kind)
		return
	}
	if v.Kind == value.String {
		c.report(p, v.Name, Warning, "quoted_number", "%s is a number, not a string; read as %s", v.Name, v.Text)
	}
	n := s.numbers()
	switch v.Name {
	case "multipleOf":
		if b.exact.Sign() <= 0 {
			c.report(p, v.Name, Degraded, "bad_keyword", "multipleOf is greater than 0; ignored")
			return
		}
		n.multiple = b
	case "minimum":
		n.min = raise(n.min, b)
	case "maximum":
		n.max = lower(n.max, b)
	case "exclusiveMinimum":
		n.above = raise(n.above, b)
	case "exclusiveMaximum":
		n.below = lower(n.below, b)
	}
}

// raise takes over a lower bound when it is the tighter one.
func raise(old, b *bound) *bound {
	if old != nil && b.exact.Cmp(old.exact) <= 0 {
		return old
	}
	return b
}

// lower takes over an upper bound when it is the tighter one.
func lower(old, b *bound) *bound {
	if old != nil && b.exact.Cmp(old.exact) >= 0 {
		return old
	}
	return b
}

// limit reads the bounds of sizes.
func (c *Compiler) limit(s *Schema, p place, v *value.Value) {
	n, err := count(v)
	if err != nil {
		c.report(p, v.Name, Degraded, "bad_keyword", "%s: %v; ignored", v.Name, err)
		return
	}
	if v.Kind == value.String {
		c.report(p, v.Name, Warning, "quoted_number", "%s is a number, not a string; read as %d", v.Name, n)
	}
	switch v.Name {
	case "minLength":
		s.strings().min = n
	case "maxLength":
		s.strings().max = n
	case "minItems":
		s.arrays().min = n
	case "maxItems":
		s.arrays().max = n
	case "minContains":
		s.arrays().minContains = n
	case "maxContains":
		s.arrays().maxContains = n
	case "minProperties":
		s.objects().min = n
	case "maxProperties":
		s.objects().max = n
	}
}

func (c *Compiler) required(p place, v *value.Value, seen *objectNames) {
	switch v.Kind {
	case value.Array:
		for i := range v.Kids {
			if v.Kids[i].Kind != value.String {
				c.report(p, v.Name, Degraded, "bad_keyword", "required lists names; element %d is %s and is ignored", i, v.Kids[i].Kind)
				continue
			}
			seen.required = append(seen.required, v.Kids[i].Text)
		}
	case value.Bool:
		if p.v.Get("in").Str() != "" && p.v.Get("name").Str() != "" {
			return // a parameter of OpenAPI 2.0, which is its own schema
		}
		sev := Warning
		if v.IsTrue() {
			sev = Degraded
		}
		c.report(p, v.Name, sev, "required_boolean",
			"required is a list of names in the object's schema, not a boolean in the property's; ignored")
	default:
		c.report(p, v.Name, Degraded, "bad_keyword", "required is a list of names, not %s; ignored", v.Kind)
	}
}

func (c *Compiler) dependentRequired(p place, v *value.Value, seen *objectNames) {
	if v.Kind != value.Object {
		c.report(p, v.Name, Degraded, "bad_keyword", "%s is an object, not %s; ignored", v.Name, v.Kind)
		return
	}
	for i := range v.Kids {
		c.dependentNames(p, v.Name, &v.Kids[i], seen)
	}
}

func (c *Compiler) dependentNames(p place, keyword string, v *value.Value, seen *objectNames) {
	if v.Kind != value.Array {
		c.report(p, keyword, Degraded, "bad_keyword", "%s lists names for %q, not %s; ignored", keyword, v.Name, v.Kind)
		return
	}
	var needs []string
	for i := range v.Kids {
		if v.Kids[i].Kind == value.String {
			needs = append(needs, v.Kids[i].Text)
		}
	}
	seen.dependent = append(seen.dependent, struct {
		name  string
		needs []string
	}{v.Name, needs})
}

// annotations reads the OpenAPI annotations that act.
func (c *Compiler) annotations(s *Schema, p place) {
	for i := range p.v.Kids {
		v := &p.v.Kids[i]
		switch v.Name {
		case "readOnly":
			if p.v.Get("$ref") == nil || !p.res.dialect.old() {
				s.noted.readOnly, _ = c.boolean(p, v)
			}
		case "writeOnly":
			if p.v.Get("$ref") == nil || !p.res.dialect.old() {
				s.noted.writeOnly, _ = c.boolean(p, v)
			}
		case "x-crenel-writable-by":
			roles, ok := roleNames(v)
			if !ok {
				c.report(p, v.Name, Warning, "bad_keyword", "x-crenel-writable-by is a list of roles; read as a list of none, so that nobody may write")
			}
			s.noted.writableBy = append(s.noted.writableBy, roles)
		}
	}
	if s.noted.readOnly && s.noted.writeOnly {
		c.report(p, "readOnly", Warning, "read_and_write_only", "readOnly and writeOnly together leave no direction for the value")
	}
}

// roleNames reads a list of strings or one string; what is neither gives no role.
func roleNames(v *value.Value) ([]string, bool) {
	if v.Kind == value.String {
		return []string{v.Text}, true
	}
	roles, ok := []string{}, v.Kind == value.Array
	if v.Kind == value.Array {
		for i := range v.Kids {
			if v.Kids[i].Kind != value.String {
				ok = false
				continue
			}
			roles = append(roles, v.Kids[i].Text)
		}
	}
	return roles, ok
}

// typeAliases are the words for types that occur in real documents and are no
// JSON Schema types; each has one meaning.
var typeAliases = map[string]string{
	"int": "integer", "int32": "integer", "int64": "integer", "long": "integer", "short": "integer",
	"float": "number", "double": "number", "decimal": "number",
	"bool": "boolean", "list": "array", "dict": "object", "map": "object", "hash": "object",
	"str": "string", "text": "string", "uuid": "string", "date": "string", "datetime": "string", "date-time": "string",
}

// types reads type, nullable and x-nullable.
func (c *Compiler) types(s *Schema, p place) {
	d := p.res.dialect
	v := p.v.Get("type")
	var kinds kindSet
	var number, whole, unknown bool
	one := func(t string) {
		if meant, ok := typeAliases[strings.ToLower(t)]; ok && d.openAPI() {
			c.report(p, "type", Warning, "type_alias", "%q is no type of JSON Schema; read as %q", t, meant)
			t = meant
		} else if low := strings.ToLower(t); low != t && d.openAPI() {
			c.report(p, "type", Warning, "type_alias", "types are lower case: %q", low)
			t = low
		}
		switch t {
		case "null":
			kinds |= kindOf(value.Null)
			if d == OpenAPI20 || d == OpenAPI30 {
				c.report(p, "type", Warning, "later_keyword", "%s has no type null; honoured as in OpenAPI 3.1", d)
			}
		case "boolean":
			kinds |= kindOf(value.Bool)
		case "number":
			kinds |= kindOf(value.Number)
			number = true
		case "integer":
			kinds |= kindOf(value.Number)
			whole = true
		case "string":
			kinds |= kindOf(value.String)
		case "array":
			kinds |= kindOf(value.Array)
		case "object":
			kinds |= kindOf(value.Object)
		case "file":
			if d != OpenAPI20 {
				c.report(p, "type", Warning, "type_alias", "type file is OpenAPI 2.0's; here a file is a string of format binary")
			}
			kinds |= kindOf(value.String)
		default:
			unknown = true
			c.report(p, "type", Degraded, "unknown_type", "%q is no type; any type is accepted", t)
		}
	}
	switch {
	case v == nil:
		c.nullable(s, p, false)
		return
	case v.Kind == value.String:
		one(v.Text)
	case v.Kind == value.Array:
		if d == OpenAPI20 || d == OpenAPI30 {
			c.report(p, "type", Warning, "later_keyword", "%s has one type, not a list; honoured as in OpenAPI 3.1", d)
		}
		for i := range v.Kids {
			if v.Kids[i].Kind != value.String {
				unknown = true
				c.report(p, "type", Degraded, "bad_keyword", "type lists names of types; element %d is %s, so any type is accepted", i, v.Kids[i].Kind)
				continue
			}
			one(v.Kids[i].Text)
		}
		if len(v.Kids) == 0 {
			unknown = true
			c.report(p, "type", Degraded, "bad_keyword", "an empty list of types would refuse every value; ignored")
		}
	default:
		unknown = true
		c.report(p, "type", Degraded, "bad_keyword", "type is a string or a list of strings, not %s; ignored", v.Kind)
	}
	if unknown {
		kinds, number = anyKind, true
	}
	s.kinds = kinds
	s.whole = whole && !number
	c.nullable(s, p, true)
}

// nullable reads OpenAPI 3.0's nullable and 2.0's x-nullable.
func (c *Compiler) nullable(s *Schema, p place, typed bool) {
	d := p.res.dialect
	if !d.openAPI() {
		return
	}
	v := p.v.Get("nullable")
	if v == nil {
		v = p.v.Get("x-nullable")
	}
	if v == nil {
		return
	}
	on, ok := c.boolean(p, v)
	if !ok || !on {
		return
	}
	if d == OpenAPI31 && v.Name == "nullable" {
		c.report(p, v.Name, Degraded, "old_keyword", "OpenAPI 3.1 has no nullable: list \"null\" among the types; null is accepted")
	}
	if typed {
		s.kinds |= kindOf(value.Null)
		if s.enum != nil && !s.enum.null {
			c.report(p, "enum", Warning, "nullable_enum", "nullable adds null to the type, not to enum: null is refused until enum lists it")
		}
		return
	}
	if s.app.allOf != nil || s.app.anyOf != nil || s.app.oneOf != nil {
		c.report(p, v.Name, Degraded, "nullable_without_type",
			"nullable needs a type beside it to mean anything; null is accepted here, as its author seems to mean")
		s.nullWins = true
	}
}
