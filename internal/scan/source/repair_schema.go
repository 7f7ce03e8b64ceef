package source

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// typeWords are types as people of many languages write them: JSON Schema's
// type, and the format that goes with it.
var typeWords = map[string][2]string{
	"int": {"integer", ""}, "int32": {"integer", "int32"}, "int64": {"integer", "int64"}, "long": {"integer", "int64"}, "short": {"integer", ""}, "bigint": {"integer", "int64"}, "uint": {"integer", ""}, "byte": {"integer", ""}, "serial": {"integer", ""},
	"float": {"number", "float"}, "double": {"number", "double"}, "decimal": {"number", ""}, "numeric": {"number", ""}, "real": {"number", ""}, "num": {"number", ""}, "money": {"number", ""}, "currency": {"number", ""},
	"bool": {"boolean", ""}, "str": {"string", ""}, "text": {"string", ""}, "char": {"string", ""}, "varchar": {"string", ""}, "enum": {"string", ""}, "symbol": {"string", ""},
	"date": {"string", "date"}, "datetime": {"string", "date-time"}, "date-time": {"string", "date-time"}, "timestamp": {"string", "date-time"}, "time": {"string", "time"},
	"uuid": {"string", "uuid"}, "guid": {"string", "uuid"}, "objectid": {"string", ""}, "id": {"string", ""}, "email": {"string", "email"}, "url": {"string", "uri"}, "uri": {"string", "uri"}, "password": {"string", "password"}, "phone": {"string", ""}, "ip": {"string", "ipv4"},
	"binary": {"string", "binary"}, "blob": {"string", "binary"}, "base64": {"string", "byte"},
	"list": {"array", ""}, "arr": {"array", ""}, "set": {"array", ""}, "tuple": {"array", ""}, "collection": {"array", ""},
	"dict": {"object", ""}, "map": {"object", ""}, "json": {"object", ""}, "obj": {"object", ""}, "hash": {"object", ""}, "struct": {"object", ""}, "model": {"object", ""}, "mapping": {"object", ""},
}

var goodTypes = map[string]bool{"string": true, "integer": true, "number": true, "boolean": true, "array": true, "object": true, "null": true, "file": true}

// typeOf repairs the type of a schema.
func (d *repairer) typeOf(s *value.Value, at string) {
	t := s.Get("type")
	if !isText(t) || goodTypes[t.Text] {
		return
	}
	word := strings.ToLower(strings.TrimSpace(t.Text))
	elem, isArray := strings.CutSuffix(word, "[]")
	if !isArray && strings.HasPrefix(word, "list<") || strings.HasPrefix(word, "array<") || strings.HasPrefix(word, "list[") || strings.HasPrefix(word, "array[") {
		elem, isArray = strings.Trim(word[strings.IndexAny(word, "<[")+1:], "<>[]"), true
	}
	typeFor := func(w string) (typ, format string, ok bool) {
		if goodTypes[w] {
			return w, "", true
		}
		if p, ok := typeWords[w]; ok {
			return p[0], p[1], true
		}
		return "", "", false
	}
	was := t.Text
	switch typ, format, ok := typeFor(word); {
	case isArray:
		items := object()
		if typ, format, ok := typeFor(elem); ok {
			put(&items, "type", text(typ))
			if format != "" {
				put(&items, "format", text(format))
			}
		} else if ref := d.schemas[plainName(elem)]; ref != "" {
			put(&items, "$ref", text(ref))
		}
		put(s, "type", text("array"))
		if s.Get("items") == nil {
			put(s, "items", items)
		}
	case ok:
		put(s, "type", text(typ))
		if format != "" && s.Get("format") == nil {
			put(s, "format", text(format))
		}
	case d.schemas[plainName(word)] != "" && s.Get("properties") == nil:
		ref := d.schemas[plainName(word)]
		drop(s, "type")
		put(s, "$ref", text(ref))
	default:
		drop(s, "type")
		d.repaired(s, at+"/type", "%q is no type; anything is taken", was)
		return
	}
	d.repaired(s, at+"/type", "%q is no type; it was read as %s", was, wordFor(s))
}

func wordFor(s *value.Value) string {
	if r := strOf(s, "$ref"); r != "" {
		return r
	}
	return strOf(s, "type")
}

const maxSchemaDepth = 200

// schema repairs one schema and those inside it; references are not followed,
// what they lead to is repaired where it stands.
func (d *repairer) schema(s *value.Value, at string, depth int) {
	if depth > maxSchemaDepth || s == nil {
		return
	}
	if isText(s) { // "User" for {"$ref": …}, "string" for {"type": "string"}
		if ref := d.schemas[plainName(strings.TrimPrefix(s.Text, "#/definitions/"))]; ref != "" {
			d.become(s, object(named("$ref", text(ref))))
			d.repaired(s, at, "a name stands where a schema should; %s is meant", ref)
		} else if w := strings.ToLower(s.Text); goodTypes[w] || typeWords[w][0] != "" {
			d.become(s, object(named("type", text(w))))
			d.typeOf(s, at)
			d.repaired(s, at, "a type stands where a schema should; it was read as {type: %s}", w)
		}
		return
	}
	if isList(s) && len(s.Kids) > 0 { // [{…}] for a list of them
		inner := s.Kids[0]
		inner.Name = ""
		d.become(s, object(named("type", text("array")), named("items", inner)))
		d.repaired(s, at, "a list stands where a schema should; it was read as an array of its first")
	}
	if !isObject(s) {
		return
	}
	d.typeOf(s, at)
	if props := s.Get("properties"); isList(props) { // [{"name": "a", "type": "string"}]
		out := object()
		for _, p := range props.Kids {
			if n := strOf(&p, "name"); n != "" {
				put(&out, n, p)
			} else if p.Kind == value.Object && len(p.Kids) == 1 {
				put(&out, p.Kids[0].Name, p.Kids[0])
			}
		}
		d.repaired(props, at+"/properties", "properties is a list; it was read as an object")
		put(s, "properties", out)
	}
	d.requiredFlags(s, at)
	d.membersOfExample(s, s.Get("example"), at)
	if e := s.Get("enum"); e != nil && e.Kind != value.Array && e.Kind != value.Null && e.Kind != value.Object {
		d.repaired(e, at+"/enum", "enum is no list; it was read as one")
		one := *e
		one.Name = ""
		kids := []value.Value{one}
		if e.Kind == value.String && strings.Contains(e.Text, ",") {
			kids = nil
			for w := range strings.SplitSeq(e.Text, ",") {
				kids = append(kids, text(strings.TrimSpace(w)))
			}
		}
		put(s, "enum", list(kids...))
	}
	for _, k := range []string{"allOf", "oneOf", "anyOf"} {
		v := s.Get(k)
		if isObject(v) {
			one := *v
			one.Name = ""
			d.repaired(v, at+"/"+k, "%s is no list; it was read as a list of one", k)
			put(s, k, list(one))
			v = s.Get(k)
		}
		if isList(v) {
			for i := range v.Kids {
				d.schema(&v.Kids[i], index(at+"/"+k, i), depth+1)
			}
		}
	}
	if props := s.Get("properties"); isObject(props) {
		for i := range props.Kids {
			d.schema(&props.Kids[i], join(at+"/properties", props.Kids[i].Name), depth+1)
		}
	}
	if it := s.Get("items"); it != nil && (isObject(it) || isText(it) || isList(it) && d.v2) {
		d.schema(it, at+"/items", depth+1)
	}
	for _, k := range []string{"additionalProperties", "not"} {
		if v := s.Get(k); isObject(v) {
			d.schema(v, at+"/"+k, depth+1)
		}
	}
}

// become changes what a node is; its name and place stay.
func (d *repairer) become(v *value.Value, to value.Value) {
	to.Name, to.Start, to.End = v.Name, v.Start, v.End
	*v = to
}

// requiredFlags moves "required: true" of properties into the list of the object
// that has them.
func (d *repairer) requiredFlags(s *value.Value, at string) {
	props := s.Get("properties")
	var names []string
	if isObject(props) {
		for i := range props.Kids {
			p := &props.Kids[i]
			if !isObject(p) {
				continue
			}
			r := p.Get("required")
			if r == nil || r.Kind == value.Array || r.Kind == value.Object {
				continue
			}
			if r.Kind != value.Null && (strings.EqualFold(r.Text, "true") || strings.EqualFold(r.Text, "yes")) {
				names = append(names, p.Name)
			}
			d.repaired(r, join(at+"/properties", p.Name)+"/required", "required stands in a property; it was read into the list of the object around it")
			drop(p, "required")
		}
	}
	r := s.Get("required")
	if r != nil && r.Kind == value.String { // "name, email"
		for w := range strings.FieldsFuncSeq(r.Text, func(c rune) bool { return c == ',' || c == ' ' || c == ';' }) {
			if isObject(props) && props.Get(w) != nil {
				names = append(names, w)
			}
		}
		drop(s, "required")
		d.repaired(s, at+"/required", "required is a text; it was read as a list of names")
		r = nil
	}
	if r != nil && r.Kind == value.Bool {
		if !strings.Contains(at, "/properties/") { // of a whole body: that is for the body to say
			drop(s, "required")
			d.repaired(s, at+"/required", "required is a flag on a schema that is nobody's property; it was left out")
		}
		r = nil
	}
	if len(names) == 0 {
		return
	}
	all := list()
	if isList(r) {
		all.Kids = slices.Clone(r.Kids)
	}
	for _, n := range names {
		if !slices.ContainsFunc(all.Kids, func(k value.Value) bool { return k.Text == n }) {
			all.Kids = append(all.Kids, text(n))
		}
	}
	put(s, "required", all)
}

// components repairs what operations share.
func (d *repairer) components() {
	each := func(v *value.Value, at string, f func(k *value.Value, at string)) {
		if !isObject(v) {
			return
		}
		for i := range v.Kids {
			if !strings.HasPrefix(v.Kids[i].Name, "x-") {
				f(&v.Kids[i], join(at, v.Kids[i].Name))
			}
		}
	}
	schema := func(k *value.Value, at string) { d.schema(k, at, 0) }
	parameter := func(k *value.Value, at string) { d.parameter(k, at, "") }
	response := func(k *value.Value, at string) {
		if isObject(k) && k.Get("$ref") == nil {
			d.response(k, at)
		}
	}
	if d.v2 {
		each(d.root.Get("definitions"), "/definitions", schema)
		each(d.root.Get("parameters"), "/parameters", parameter)
		each(d.root.Get("responses"), "/responses", response)
		return
	}
	c := d.root.Get("components")
	each(c.Get("schemas"), "/components/schemas", schema)
	each(c.Get("parameters"), "/components/parameters", parameter)
	each(c.Get("responses"), "/components/responses", response)
	each(c.Get("requestBodies"), "/components/requestBodies", func(k *value.Value, at string) {
		if isObject(k) && k.Get("$ref") == nil {
			d.body(k, at)
		}
	})
}
