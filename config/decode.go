package config

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of the file itself.
const (
	maxFile   = 1 << 20
	maxOpen   = 200 // brackets that are open at once, and indicators in a row
	maxDepth  = 50
	maxValues = 100_000
)

// decoder fills a Config from a YAML tree and collects every mistake.
type decoder struct {
	places
	dir      string
	env      func(string) (string, bool)
	anchors  map[string]ast.Node
	mistakes []Mistake
	warnings []Mistake
	bad      map[string]bool // paths whose value is already reported
	values   int             // left of maxValues
	unread   bool            // the file is not one YAML document: there is nothing to check
	// unopened are the paths of secrets that were not read; nil when they are.
	unopened map[string]bool
	// secretFiles are those that were named, readable or not.
	secretFiles []string
}

func (d *decoder) add(path, what, fix string) {
	d.bad[path] = true
	d.mistakes = append(d.mistakes, d.mistake(path, what, fix))
}

func (d *decoder) warn(path, what, fix string) {
	d.warnings = append(d.warnings, d.mistake(path, what, fix))
}

// variableInBraces is a variable that ends the mapping in which it stands: YAML
// takes its } for the mapping's.
var variableInBraces = regexp.MustCompile(`\{[^{}"'\n]*:[ \t]*\$\{[A-Za-z0-9_]+\}`)

// parse reads the bytes as one YAML document into c.
func (d *decoder) parse(data []byte, c *Config) {
	d.unread = true
	if len(data) > maxFile {
		d.add("", fmt.Sprintf("the file is larger than %s", Bytes(maxFile)), "")
		return
	}
	if !utf8.Valid(data) {
		d.add("", "the file is not UTF-8", "")
		return
	}
	if line := tooDeep(data); line > 0 {
		m := d.mistake("", "the file is nested too deeply", "")
		m.Line = line
		d.mistakes = append(d.mistakes, m)
		return
	}
	file, err := parseYAML(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		m := d.mistake("", "the file is not YAML: "+err.Error(), "")
		if ye := yaml.Error(nil); errors.As(err, &ye) {
			// Only the message: the error's own text would print lines of the file.
			m.What = "the file is not YAML: " + ye.GetMessage()
			if variableInBraces.Match(data) {
				m.Fix = `inside { } a variable needs quotes: {token: "${NAME}"}`
			}
			if tk := ye.GetToken(); tk != nil && tk.Position != nil {
				m.Line, m.Column = tk.Position.Line, tk.Position.Column
			}
		}
		d.mistakes = append(d.mistakes, m)
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.at["second document"] = position(doc.Body)
			d.mistakes = append(d.mistakes, d.mistake("second document", "the file holds more than one document", "remove the line ---"))
			return
		}
		body = doc.Body
	}
	if body == nil {
		d.add("", "the file is empty", "crenel init writes one")
		return
	}
	d.at[""] = position(body)
	if _, ok := members(body); ok {
		d.unread = false
	}
	d.value(body, reflect.ValueOf(c).Elem(), "", fieldInfo{}, 0)
}

// tooDeep is the line in which brackets, or indicators such as "- - -", nest
// deeper than any config does, or 0. The parser calls itself for each level and
// takes time by the square of them: a file may not use up its stack.
func tooDeep(data []byte) int {
	line, open, row := 1, 0, 0
	for i, c := range data {
		switch c {
		case '\n':
			line, row = line+1, 0
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '-', '?':
			if i+1 < len(data) && data[i+1] == ' ' {
				row++
			}
		case '&', '!':
			if i == 0 || data[i-1] == ' ' {
				row++
			}
		}
		if open > maxOpen || row > maxOpen {
			return line
		}
	}
	return 0
}

// parseYAML keeps a parser's panic on odd input from ending the process.
func parseYAML(data []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, errors.New("the parser gave up")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

func position(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			return place{line: tk.Position.Line, column: tk.Position.Column}
		}
	}
	return place{}
}

// value decodes one node into v.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, f fieldInfo, depth int) {
	if depth > maxDepth {
		d.add(path, "the file is nested too deeply", "")
		return
	}
	if d.values--; d.values < 0 {
		if d.values == -1 {
			d.add(path, "the file holds too many values", "")
		}
		return
	}
	switch x := n.(type) {
	case *ast.AnchorNode:
		d.anchors[x.Name.String()] = x.Value
		d.value(x.Value, v, path, f, depth+1)
		return
	case *ast.AliasNode:
		target, ok := d.anchors[x.Value.String()]
		if !ok {
			d.add(path, fmt.Sprintf("no anchor is called %q", x.Value.String()), "")
			return
		}
		d.value(target, v, path, f, depth+1)
		return
	case *ast.TagNode:
		d.add(path, fmt.Sprintf("a YAML tag (%s) has no meaning here", x.GetToken().Value), "remove it")
		return
	case nil, *ast.NullNode:
		return // as if it were not there
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			if f.inherit == "" {
				prefill(fresh.Elem())
			}
			v.Set(fresh)
		}
		d.value(n, v.Elem(), path, f, depth)
		return
	}
	switch {
	case v.Type() == typeSecret || v.Type() == typePrefix:
		d.scalar(n, v, path, f)
	case v.Kind() == reflect.Struct:
		d.object(n, v, path, depth)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, f, depth)
	case v.Kind() == reflect.Map:
		d.table(n, v, path, f, depth)
	default:
		d.scalar(n, v, path, f)
	}
}

// members returns a mapping's entries, in order.
func members(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// entries walks a mapping: each key once, as text, with its place noted.
func (d *decoder) entries(n ast.Node, path string, each func(key, at string, value ast.Node)) {
	list, ok := members(n)
	if !ok {
		d.add(path, "must be a mapping, is "+kindOf(n), "write key: value lines below it")
		return
	}
	seen := map[string]int{}
	for _, m := range list {
		key, ok := keyText(m.Key)
		if !ok {
			mistake := d.mistake(path, "a key must be a plain word", "merge keys, aliases and lists as keys are not read")
			if where := position(m.Key); where.line > 0 {
				mistake.Line, mistake.Column = where.line, where.column
			}
			d.mistakes = append(d.mistakes, mistake)
			continue
		}
		at := join(path, key)
		where := position(m.Key)
		if line, dup := seen[key]; dup {
			mistake := d.mistake(at, fmt.Sprintf("the key stands twice, first in line %d", line), "keep one")
			mistake.Line, mistake.Column = where.line, where.column
			d.mistakes = append(d.mistakes, mistake)
			continue
		}
		seen[key] = where.line
		d.at[at] = where
		each(key, at, m.Value)
	}
}

func keyText(k ast.MapKeyNode) (string, bool) {
	switch x := k.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return x.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) object(n ast.Node, v reflect.Value, path string, depth int) {
	fields := fieldsOf(v.Type())
	d.entries(n, path, func(key, at string, value ast.Node) {
		i, ok := fields.byKey[key]
		if !ok {
			fix := "known are " + strings.Join(fields.keys, ", ")
			if near := nearest(key, fields.keys); near != "" {
				fix = "did you mean " + near + "?"
				d.bad[join(path, near)] = true // that it is not set follows from this
			} else if homes := homesOf(key); len(homes) > 0 && len(homes) <= 3 {
				fix = "it belongs to " + either(homes)
			}
			d.add(at, "unknown key", fix)
			return
		}
		d.value(value, v.FieldByIndex(fields.list[i].index), at, fields.list[i], depth+1)
	})
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string, f fieldInfo, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(path, "must be a list, is "+kindOf(n), "write [one, two] or one - item a line")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		where := position(item)
		if where.line == 0 {
			where = d.at[path]
		}
		d.at[at] = where
		prefill(out.Index(i))
		if _, null := item.(*ast.NullNode); null || item == nil {
			d.add(at, "the list's item is empty", "remove it or fill it in")
			continue
		}
		d.value(item, out.Index(i), at, f, depth+1)
	}
	v.Set(out)
}

func (d *decoder) table(n ast.Node, v reflect.Value, path string, f fieldInfo, depth int) {
	out := reflect.MakeMap(v.Type())
	d.entries(n, path, func(key, at string, value ast.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, at, f, depth+1)
		out.SetMapIndex(reflect.ValueOf(key), e)
	})
	v.Set(out)
}

// text is a scalar as written.
func text(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return x.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}

var (
	typeSecret   = reflect.TypeFor[Secret]()
	typePrefix   = reflect.TypeFor[netip.Prefix]()
	typeDuration = reflect.TypeFor[time.Duration]()
	typeBytes    = reflect.TypeFor[Bytes]()
)

// scalar converts one value, expanded, and checks the bounds that its tags state.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string, f fieldInfo) {
	written, ok := text(n)
	if !ok {
		fix := ""
		if _, mapping := members(n); mapping {
			fix = "quote a value that holds a colon"
		}
		d.add(path, "must be a single value, is "+kindOf(n), fix)
		return
	}
	if where := position(n); where.line > 0 {
		d.at[path] = where
	}
	if v.Type() == typeSecret {
		if s, ok := d.secret(path, written); ok {
			v.Set(reflect.ValueOf(s))
		}
		return
	}
	s, ok := d.expand(path, written)
	if !ok {
		return
	}
	if s != written {
		at := d.at[path]
		at.raw = written
		d.at[path] = at
	}
	if what, fix := setScalar(v, s, f); what != "" {
		d.add(path, d.quote(path, s)+" "+what, fix)
		return
	}
	if what, fix := f.check(v); what != "" {
		d.add(path, d.quote(path, s)+" "+what, fix)
	}
}

// setScalar stores the text in v by v's type, or says what it is not.
func setScalar(v reflect.Value, s string, f fieldInfo) (what, fix string) {
	switch {
	case v.Type() == typeDuration:
		dur, err := ParseDuration(s)
		if err != nil {
			return "is not a duration", "write a number with its unit, such as 500ms, 30s, 5m, 2h or 1d"
		}
		v.SetInt(int64(dur))
	case v.Type() == typeBytes || f.unit == "bytes":
		b, err := ParseBytes(s)
		if errors.Is(err, errTooLarge) {
			return "is too large", "write bytes or a unit, such as 512, 64KiB or 1MiB"
		}
		if err != nil {
			return "is not a size", "write bytes or a unit, such as 512, 64KiB or 1MiB"
		}
		v.SetInt(int64(b))
	case v.Type() == typePrefix:
		p, err := parsePrefix(s)
		if err != nil {
			return err.Error(), "write such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
		}
		v.Set(reflect.ValueOf(p))
	case v.Kind() == reflect.Int:
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return "is not a whole number", ""
		}
		v.SetInt(i)
	case v.Kind() == reflect.Float64:
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return "is not a number", ""
		}
		v.SetFloat(x)
	case v.Kind() == reflect.Bool:
		switch s {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return "is not true or false", ""
		}
	case v.Kind() == reflect.String:
		v.SetString(s)
	default:
		panic("config: no way to decode " + v.Type().String())
	}
	return "", ""
}
