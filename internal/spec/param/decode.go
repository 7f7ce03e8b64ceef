package param

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// Source is where a request carries its parameters. It is made once a request.
type Source struct {
	Operation *spec.Operation
	Path      []string     // spec.Match.Params
	Query     []value.Pair // of value.Query
	Header    http.Header  // names in canonical form
	Cookies   []value.Pair // of Cookies
	Limits    value.Limits
}

// The codes of an Error.
const (
	CodeDuplicate = "duplicate" // one value is allowed, several came
	CodeStyle     = "style"     // the text is not of the parameter's style
	CodeEncoding  = "encoding"  // not percent-encoded UTF-8
	CodeLimit     = "limit"     // more elements or deeper than the limits
	CodeContent   = "content"   // not a document of the parameter's content type
)

// Error is why a parameter that was sent has no value.
type Error struct {
	Code    string
	Param   *spec.Parameter
	Message string       // what is wrong and what would be right; never holds the value
	Body    *value.Error // of CodeContent: what is wrong with the JSON
}

func (e *Error) Error() string {
	return fmt.Sprintf("parameter %s in %s: %s", e.Param.Name, e.Param.In, e.Message)
}

// Decode reads the value of p from src, its texts typed by the parameter's
// schema. found is false when it was not sent. The empty text of a parameter
// that must be a list is an empty list.
func Decode(p *spec.Parameter, src *Source) (v value.Value, found bool, err *Error) {
	d := decoder{p: p, op: src.Operation, lim: src.Limits.WithDefaults()}
	switch p.In {
	case "path":
		i := slices.Index(src.Operation.PathParams, p)
		if i < 0 || i >= len(src.Path) {
			return value.Value{}, false, nil
		}
		return d.finish(d.text(src.Path[i]), true)
	case "query":
		return d.pairs(src.Query)
	case "cookie":
		return d.pairs(src.Cookies)
	case "header":
		lines := src.Header[http.CanonicalHeaderKey(p.Name)]
		if len(lines) == 0 {
			return value.Value{}, false, nil
		}
		if len(lines) > 1 && !d.wants(value.Array) && !d.wants(value.Object) {
			return d.fail(CodeDuplicate, "the header came more than once; it has one value")
		}
		// RFC 9110 section 5.3: several lines of one field are a list.
		return d.finish(d.text(strings.Join(lines, ",")), true)
	}
	return value.Value{}, false, nil
}

// Claims reports whether a query or cookie name belongs to p.
func Claims(p *spec.Parameter, name string) bool {
	if name == p.Name {
		return !exploded(p)
	}
	if p.Style == "deepObject" {
		return len(name) > len(p.Name) && name[len(p.Name)] == '[' && strings.HasPrefix(name, p.Name)
	}
	if exploded(p) {
		_, ok := p.Shape.Properties[name]
		return ok || p.Shape.Open
	}
	return false
}

// exploded: the members of the object are parameters themselves.
func exploded(p *spec.Parameter) bool {
	return p.Style == "form" && p.Explode && p.ContentType == "" && p.Shape != nil && p.Shape.Object && !p.Shape.Array && !p.Shape.Scalar
}

// Cookies splits Cookie header lines into pairs. Values are percent-decoded
// where the escapes are whole, and lose the quotes around them.
func Cookies(lines []string) []value.Pair {
	var out []value.Pair
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.Trim(part, " \t")
			if part == "" {
				continue
			}
			name, raw, ok := strings.Cut(part, "=")
			text := raw
			if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
				text = text[1 : len(text)-1]
			}
			if plain, ok := unescape(text); ok {
				text = plain
			}
			out = append(out, value.Pair{Name: strings.TrimRight(name, " \t"), RawName: name, Value: text, RawValue: raw, HasEquals: ok})
		}
	}
	return out
}

type decoder struct {
	p   *spec.Parameter
	op  *spec.Operation
	lim value.Limits
	err *Error
}

func (d *decoder) fail(code, message string) (value.Value, bool, *Error) {
	return value.Value{}, true, d.bad(code, message)
}

func (d *decoder) bad(code, message string) *Error {
	if d.err == nil {
		d.err = &Error{Code: code, Param: d.p, Message: message}
	}
	return d.err
}

func (d *decoder) finish(v value.Value, found bool) (value.Value, bool, *Error) {
	if d.err != nil {
		return value.Value{}, found, d.err
	}
	if found && !byShape(d.p.Shape, &v) {
		v = Typed(d.p.Schema, v)
	}
	return v, found, nil
}

// byShape types v where its shape alone says how, as nearly all parameters' do.
// It reports false when the schema must be asked; what it has done until then the
// schema would have done as well.
func byShape(s *spec.Shape, v *value.Value) bool {
	if s == nil {
		return false
	}
	switch v.Kind {
	case value.String:
		if s.Type == "" || !v.Untyped {
			return false
		}
		v.Kind = scalarKind(s.Type, v.Text)
		v.Untyped = v.Kind == value.String
		return true
	case value.Array:
		for i := range v.Kids {
			if !byShape(s.Items, &v.Kids[i]) {
				return false
			}
		}
		return true
	case value.Object:
		for i := range v.Kids {
			if !byShape(s.Properties[v.Kids[i].Name], &v.Kids[i]) {
				return false
			}
		}
		return true
	}
	return false
}

// scalarKind is what schema.Coerce makes of a text where one type is allowed,
// without asking the schema: most parameters are such, and each request has some.
func scalarKind(typ, text string) value.Kind {
	switch {
	case typ == "boolean" && (text == "true" || text == "false"):
		return value.Bool
	case (typ == "integer" || typ == "number") && value.IsNumber(text):
		return value.Number
	}
	return value.String
}

// wants reports whether the parameter's value may be of a kind. Of one of which
// nothing is known, anything may.
func (d *decoder) wants(k value.Kind) bool {
	s := d.p.Shape
	if d.p.ContentType != "" {
		return false
	}
	switch {
	case s.Any():
		return k == value.String
	case k == value.Array:
		return s.Array
	case k == value.Object:
		return s.Object
	}
	return s.Scalar
}

// pairs reads a parameter that comes as name=value.
func (d *decoder) pairs(pairs []value.Pair) (value.Value, bool, *Error) {
	switch {
	case d.p.Style == "deepObject" && d.p.ContentType == "":
		v, found := d.deepObject(pairs)
		return d.finish(v, found)
	case exploded(d.p):
		v, found := d.members(pairs)
		return d.finish(v, found)
	}
	first, n := -1, 0
	for i := range pairs {
		if pairs[i].Name == d.p.Name {
			if first < 0 {
				first = i
			}
			n++
		}
	}
	if n == 0 {
		return value.Value{}, false, nil
	}
	list := d.wants(value.Array) || (d.p.Shape.Any() && d.p.ContentType == "")
	if d.p.Style == "form" && d.p.Explode && list {
		if n == 1 && d.wants(value.String) {
			return d.finish(d.scalar(pairs[first].Value), true)
		}
		if n == 1 && pairs[first].Value == "" {
			return value.Value{Kind: value.Array}, true, nil
		}
		v := value.Value{Kind: value.Array, Kids: make([]value.Value, 0, n)}
		for i := range pairs {
			if pairs[i].Name == d.p.Name {
				v.Kids = append(v.Kids, d.scalar(pairs[i].Value))
			}
		}
		if len(v.Kids) > d.lim.Items {
			return d.fail(CodeLimit, "the list has too many elements")
		}
		return d.finish(v, true)
	}
	if n > 1 {
		return d.fail(CodeDuplicate, "it came more than once; it has one value")
	}
	return d.finish(d.text(pairs[first].Value), true)
}

// text takes one text apart by the parameter's style.
func (d *decoder) text(s string) value.Value {
	p := d.p
	if p.ContentType != "" {
		return d.content(s)
	}
	switch p.Style {
	case "label":
		if !strings.HasPrefix(s, ".") {
			d.bad(CodeStyle, "a value of style label should start with a dot")
			return value.Value{}
		}
		if p.Explode {
			return d.split(s[1:], ".", true)
		}
		return d.split(s[1:], ",", false)
	case "matrix":
		return d.matrix(s)
	case "spaceDelimited":
		return d.split(s, " ", false)
	case "pipeDelimited":
		return d.split(s, "|", false)
	case "tabDelimited":
		return d.split(s, "\t", false)
	}
	return d.split(s, ",", p.Explode)
}

// split makes a list, an object or a scalar of s, whichever the parameter may
// be. In an object pairs are "k=v" when assigned, else names and values in turn.
func (d *decoder) split(s, sep string, assigned bool) value.Value {
	cut := strings.Contains(s, sep)
	switch {
	case d.wants(value.Array) && (cut || !d.wants(value.String)) && !d.wants(value.Object):
		return d.list(s, sep)
	case d.wants(value.Object) && (cut || !d.wants(value.String)):
		return d.object(s, sep, assigned)
	}
	return d.scalar(s)
}

func (d *decoder) list(s, sep string) value.Value {
	v := value.Value{Kind: value.Array}
	if s == "" {
		return v
	}
	if n := strings.Count(s, sep) + 1; n > d.lim.Items {
		d.bad(CodeLimit, "the list has too many elements")
		return v
	} else {
		v.Kids = make([]value.Value, 0, n)
	}
	for part := range strings.SplitSeq(s, sep) {
		if d.p.In == "header" {
			part = strings.Trim(part, " \t") // RFC 9110 section 5.6.1: white space around the commas of a list is none of it
		}
		v.Kids = append(v.Kids, d.scalar(part))
	}
	return v
}

func (d *decoder) object(s, sep string, assigned bool) value.Value {
	v := value.Value{Kind: value.Object}
	if s == "" {
		return v
	}
	if strings.Count(s, sep) > 2*d.lim.Keys {
		d.bad(CodeLimit, "the object has too many members")
		return v
	}
	parts := strings.Split(s, sep)
	if !assigned && len(parts)%2 != 0 {
		d.bad(CodeStyle, "an object should be names and values in turn")
		return v
	}
	for i := 0; i < len(parts); i++ {
		var text string
		name, ok := parts[i], true
		if assigned {
			name, text, ok = strings.Cut(parts[i], "=")
		} else {
			i++
			text = parts[i]
		}
		if !ok {
			d.bad(CodeStyle, "a member should be written name=value")
			return v
		}
		d.add(&v, name, d.scalar(text))
	}
	return v
}

// matrix reads ";id=5", ";id=3,4", ";id=3;id=4", ";id=R,100", ";R=100;G=200".
func (d *decoder) matrix(s string) value.Value {
	p := d.p
	if !strings.HasPrefix(s, ";") {
		d.bad(CodeStyle, "a value of style matrix should start with a semicolon")
		return value.Value{}
	}
	if p.Explode && d.wants(value.Object) {
		return d.object(s[1:], ";", true)
	}
	if strings.Count(s, ";") > d.lim.Items {
		d.bad(CodeLimit, "the list has too many elements")
		return value.Value{}
	}
	var texts []string
	for part := range strings.SplitSeq(s[1:], ";") {
		name, text, _ := strings.Cut(part, "=")
		if name != p.Name {
			d.bad(CodeStyle, "a value of style matrix should be ;"+p.Name+"=value")
			return value.Value{}
		}
		texts = append(texts, text)
	}
	if p.Explode && d.wants(value.Array) {
		v := value.Value{Kind: value.Array}
		for _, t := range texts {
			v.Kids = append(v.Kids, d.scalar(t))
		}
		return v
	}
	if len(texts) > 1 {
		d.bad(CodeDuplicate, "it came more than once; it has one value")
		return value.Value{}
	}
	return d.split(texts[0], ",", false)
}

// members gathers an exploded object: its members are pairs of their own.
func (d *decoder) members(pairs []value.Pair) (value.Value, bool) {
	v := value.Value{Kind: value.Object}
	others := func(name string) bool {
		if _, mine := d.p.Shape.Properties[name]; mine {
			return false
		}
		return !d.p.Shape.Open || d.op != nil && slices.ContainsFunc(d.op.Parameters, func(o *spec.Parameter) bool {
			return o != d.p && o.In == d.p.In && o.Name == name
		})
	}
	for i := range pairs {
		name := pairs[i].Name
		if others(name) {
			continue
		}
		shape := d.p.Shape.Properties[name]
		at := slices.IndexFunc(v.Kids, func(k value.Value) bool { return k.Name == name })
		switch {
		case shape != nil && shape.Array && at < 0:
			v.Kids = append(v.Kids, value.Value{Name: name, Kind: value.Array, Kids: []value.Value{d.scalar(pairs[i].Value)}})
		case shape != nil && shape.Array:
			v.Kids[at].Kids = append(v.Kids[at].Kids, d.scalar(pairs[i].Value))
		default:
			d.add(&v, name, d.scalar(pairs[i].Value))
		}
	}
	return v, len(v.Kids) > 0
}

func (d *decoder) add(object *value.Value, name string, v value.Value) {
	for i := range object.Kids {
		if object.Kids[i].Name == name {
			d.bad(CodeDuplicate, "a member came more than once")
			return
		}
	}
	if len(object.Kids) >= d.lim.Keys {
		d.bad(CodeLimit, "the object has too many members")
		return
	}
	v.Name = name
	object.Kids = append(object.Kids, v)
}

func (d *decoder) scalar(s string) value.Value {
	if !utf8.ValidString(s) {
		d.bad(CodeEncoding, "the text is not UTF-8")
	}
	if len(s) > d.lim.String {
		d.bad(CodeLimit, "the text is too long")
	}
	return value.Value{Kind: value.String, Text: s, Untyped: true}
}

func (d *decoder) content(s string) value.Value {
	if !isJSON(d.p.ContentType) {
		return d.scalar(s)
	}
	v, err := value.JSON([]byte(s), d.lim)
	if err != nil {
		d.bad(CodeContent, "the value should be JSON")
		errors.As(err, &d.err.Body)
		return value.Value{}
	}
	return *v
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// unescape decodes percent-encoding; + stays +.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s, false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return s, false
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out), utf8.Valid(out)
}
