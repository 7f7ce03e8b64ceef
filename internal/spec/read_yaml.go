package spec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/crenel-project/crenel/internal/value"
)

// maxYAMLNesting is how deep brackets, and dashes of one line, may nest before
// the YAML parser, which recurses, sees them.
const maxYAMLNesting = 5_000

// yamlReader turns a YAML syntax tree into values. Aliases share the children
// of what they name, and each use is counted as if it were written out, so that
// a bomb of aliases (CWE-776) meets the limit before anyone walks it.
type yamlReader struct {
	lines   []uint32
	limits  treeLimits
	nodes   int
	path    []string
	anchors map[string]yamlAnchor
	report  func(severity Severity, code string, offset int, pointer, message string)
	err     *readError
}

type yamlAnchor struct {
	v     value.Value
	nodes int
}

func readYAML(src string, lines []uint32, limits treeLimits, report func(Severity, string, int, string, string)) (v *value.Value, failed *readError) {
	if at, ok := nestingWithin(src, maxYAMLNesting); !ok {
		return nil, &readError{offset: at, message: fmt.Sprintf("brackets or dashes nest deeper than %d levels", maxYAMLNesting)}
	}
	r := &yamlReader{lines: lines, limits: limits, anchors: map[string]yamlAnchor{}, report: report}
	// The parser is not ours and has panicked on odd input before.
	defer func() {
		if p := recover(); p != nil {
			v, failed = nil, &readError{message: fmt.Sprintf("the YAML parser gave up: %v", p)}
		}
	}()
	file, err := parser.ParseBytes([]byte(src), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, r.syntax(err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			r.report(Warning, "spec.yaml_documents", r.offset(doc.Body), "", "the file holds several YAML documents; only the first is read")
			break
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &readError{message: "the document is empty"}
	}
	out := r.value(body, 0)
	if r.err != nil {
		return nil, r.err
	}
	return &out, nil
}

// nestingWithin bounds how deep a recursive parser can be led by text alone.
func nestingWithin(src string, most int) (int, bool) {
	open, dashes, leading := 0, 0, true
	for i := range len(src) {
		switch src[i] {
		case '\n':
			dashes, leading = 0, true
			continue
		case ' ', '\t':
			continue
		case '-', '?', '!', '&':
			if dashes++; leading && dashes > most {
				return i, false
			}
			continue
		case '[', '{':
			if open++; open > most {
				return i, false
			}
		case ']', '}':
			open = max(0, open-1)
		}
		leading = false
	}
	return 0, true
}

func (r *yamlReader) syntax(err error) *readError {
	var y yaml.Error
	if errors.As(err, &y) {
		at := 0
		if tk := y.GetToken(); tk != nil && tk.Position != nil {
			at = r.position(tk.Position)
		}
		return &readError{offset: at, message: y.GetMessage()}
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return &readError{message: first}
}

func (r *yamlReader) position(p *token.Position) int {
	if p == nil || p.Line < 1 || p.Line > len(r.lines) {
		return 0
	}
	return int(r.lines[p.Line-1]) + max(0, p.Column-1)
}

func (r *yamlReader) offset(n ast.Node) int {
	if tk := n.GetToken(); tk != nil {
		return r.position(tk.Position)
	}
	return 0
}

func (r *yamlReader) pointer() string {
	var b strings.Builder
	for _, t := range r.path {
		b.WriteByte('/')
		b.WriteString(value.EscapeToken(t))
	}
	return b.String()
}

func (r *yamlReader) count(n int, at int) {
	if r.nodes += n; r.nodes > r.limits.nodes && r.err == nil {
		r.err = &readError{offset: at, pointer: r.pointer(), message: fmt.Sprintf("more than %d values, aliases written out", r.limits.nodes)}
	}
}

func (r *yamlReader) value(n ast.Node, depth int) value.Value {
	if n == nil || r.err != nil {
		return value.Value{}
	}
	at := r.offset(n)
	if depth > r.limits.depth {
		r.err = &readError{offset: at, pointer: r.pointer(), message: fmt.Sprintf("nested deeper than %d levels", r.limits.depth)}
		return value.Value{}
	}
	v := value.Value{Start: uint32(at), End: uint32(at)}
	switch n := n.(type) {
	case *ast.AnchorNode:
		before := r.nodes
		v = r.value(n.Value, depth+1)
		r.anchors[n.Name.GetToken().Value] = yamlAnchor{v: v, nodes: r.nodes - before}
		return v
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		a, ok := r.anchors[name]
		if !ok {
			r.report(Degraded, "spec.unknown_alias", at, r.pointer(), "the alias *"+name+" names no anchor that stands before it; it is read as null")
			return v
		}
		r.count(a.nodes, at)
		return a.v
	case *ast.TagNode:
		v = r.value(n.Value, depth+1)
		if n.Start != nil && n.Start.Value == "!!str" && v.Kind != value.String && len(v.Kids) == 0 {
			v.Kind, v.Text = value.String, n.Value.GetToken().Value
		}
		return v
	}
	r.count(1, at)
	switch n := n.(type) {
	case *ast.MappingNode:
		v.Kind = value.Object
		v.Kids = r.members(n.Values, depth)
	case *ast.MappingValueNode:
		v.Kind = value.Object
		v.Kids = r.members([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		v.Kind = value.Array
		v.Kids = make([]value.Value, 0, len(n.Values))
		r.path = append(r.path, "")
		for i, kid := range n.Values {
			r.path[len(r.path)-1] = strconv.Itoa(i)
			if text, ok := plainWithColon(kid); ok {
				r.count(1, r.offset(kid))
				start := uint32(r.offset(kid))
				v.Kids = append(v.Kids, value.Value{Kind: value.String, Text: text, Start: start, End: start})
				continue
			}
			v.Kids = append(v.Kids, r.value(kid, depth+1))
		}
		r.path = r.path[:len(r.path)-1]
	case *ast.StringNode:
		v.Kind, v.Text = value.String, n.Value
	case *ast.LiteralNode:
		v.Kind, v.Text = value.String, n.Value.Value
	case *ast.BoolNode:
		v.Kind, v.Text = value.Bool, strconv.FormatBool(n.Value)
	case *ast.NullNode:
	case *ast.IntegerNode:
		v.Kind, v.Text = value.Number, n.Token.Value
		if !isNumber(v.Text) {
			v.Text = fmt.Sprint(n.Value)
			if !isNumber(v.Text) {
				v.Kind, v.Text = value.String, n.Token.Value
			}
		}
	case *ast.FloatNode:
		v.Kind, v.Text = value.Number, n.Token.Value
		switch {
		case isNumber(v.Text):
		case math.IsInf(n.Value, 0) || math.IsNaN(n.Value):
			v.Kind = value.String
		default:
			v.Text = strconv.FormatFloat(n.Value, 'g', -1, 64)
		}
	case *ast.InfinityNode, *ast.NanNode:
		v.Kind, v.Text = value.String, n.GetToken().Value
		r.report(Degraded, "spec.bad_number", at, r.pointer(), "JSON has no infinity and no not-a-number; write a number")
	default:
		v.Kind, v.Text = value.String, n.GetToken().Value
	}
	return v
}

// plainWithColon recognises a plain scalar such as pets:read that stands in
// brackets inside of braces: the YAML parser takes it for a mapping there, though
// a colon without a space behind it separates nothing (YAML 1.2.2 section 7.3.3).
func plainWithColon(n ast.Node) (string, bool) {
	var pair *ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingValueNode:
		pair = n
	case *ast.MappingNode:
		if n.Start != nil && n.Start.Type == token.MappingStartType || len(n.Values) != 1 {
			return "", false
		}
		pair = n.Values[0]
	}
	if pair == nil || pair.Start == nil || pair.Start.Position == nil {
		return "", false
	}
	key, value := pair.Key.GetToken(), pair.Value.GetToken()
	if key == nil || value == nil || value.Position == nil || key.Type != token.StringType {
		return "", false
	}
	switch pair.Value.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
	default:
		return "", false
	}
	colon := pair.Start.Position
	if value.Type == token.DoubleQuoteType || value.Type == token.SingleQuoteType || value.Position.Line != colon.Line || value.Position.Column != colon.Column+1 {
		return "", false
	}
	return key.Value + ":" + value.Value, true
}

func (r *yamlReader) members(pairs []*ast.MappingValueNode, depth int) []value.Value {
	kids := make([]value.Value, 0, len(pairs))
	var merged []value.Value
	r.path = append(r.path, "")
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			r.path[len(r.path)-1] = "<<"
			m := r.value(p.Value, depth+1)
			sources := []value.Value{m}
			if m.Kind == value.Array {
				sources = m.Kids
			}
			for _, s := range sources {
				merged = append(merged, s.Kids...)
			}
			continue
		}
		name := keyText(p.Key)
		r.path[len(r.path)-1] = name
		kid := r.value(p.Value, depth+1)
		// A member stands where its name does: a block starts a line later, an
		// alias's value somewhere else.
		kid.Start = uint32(r.offset(p.Key))
		kid.Name, kid.End = name, kid.Start
		kids = append(kids, kid)
	}
	r.path = r.path[:len(r.path)-1]
	kids = dropDuplicates(kids, func(kid *value.Value) {
		r.report(Degraded, "spec.duplicate_key", int(kid.Start), r.pointer()+"/"+value.EscapeToken(kid.Name),
			"the name stands twice in one mapping; the last one counts, remove the other")
	})
	if len(merged) > 0 {
		has := make(map[string]bool, len(kids))
		for i := range kids {
			has[kids[i].Name] = true
		}
		for _, m := range merged {
			if !has[m.Name] {
				has[m.Name] = true
				kids = append(kids, m)
			}
		}
	}
	return kids
}

// keyText is a mapping key as the string that JSON would have: response codes
// (200:), booleans and dates are keys by their text.
func keyText(k ast.Node) string {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value
	case *ast.LiteralNode:
		return k.Value.Value
	case *ast.MappingKeyNode:
		return keyText(k.Value)
	case *ast.TagNode:
		return keyText(k.Value)
	case *ast.AnchorNode:
		return keyText(k.Value)
	}
	return k.GetToken().Value
}
