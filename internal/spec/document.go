package spec

import (
	"sort"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// document is one file of an API's description, read into a tree.
type document struct {
	uri    string // absolute, without a fragment; what $ref is resolved against
	name   string // as people know it
	root   *value.Value
	lines  []uint32 // offset of each line's first byte
	origin string   // pointer of the root in the document it was made from, "" for a whole one

	byName map[*value.Value]map[string]*value.Value // members of large objects
	byPtr  map[string]*value.Value                  // where $refs lead
}

func newDocument(uri, name, src string) *document {
	return &document{uri: uri, name: name, lines: lineStarts(src),
		byName: map[*value.Value]map[string]*value.Value{}, byPtr: map[string]*value.Value{}}
}

func lineStarts(src string) []uint32 {
	lines := make([]uint32, 1, 1+strings.Count(src, "\n"))
	for i := range len(src) {
		if src[i] == '\n' {
			lines = append(lines, uint32(i+1))
		}
	}
	return lines
}

// line is the 1-based line of a byte offset.
func (d *document) line(offset int) int {
	return sort.Search(len(d.lines), func(i int) bool { return int(d.lines[i]) > offset })
}

func (d *document) place(v *value.Value, pointer string) Place {
	p := Place{File: d.name, Pointer: d.origin + pointer}
	if v != nil {
		p.Line = d.line(int(v.Start))
	}
	return p
}

// member finds a member by name. Components of large documents have thousands,
// and are asked for by every $ref, so those are indexed.
func (d *document) member(v *value.Value, name string) *value.Value {
	if v == nil || v.Kind != value.Object {
		return nil
	}
	if len(v.Kids) < 32 {
		return v.Get(name)
	}
	m := d.byName[v]
	if m == nil {
		m = make(map[string]*value.Value, len(v.Kids))
		for i := range v.Kids {
			m[v.Kids[i].Name] = &v.Kids[i]
		}
		d.byName[v] = m
	}
	return m[name]
}

// at follows a JSON pointer.
func (d *document) at(pointer string) *value.Value {
	if v, ok := d.byPtr[pointer]; ok {
		return v
	}
	v := d.root
	for rest := pointer; rest != "" && v != nil; {
		if rest[0] != '/' {
			v = nil
			break
		}
		tok := rest[1:]
		if i := strings.IndexByte(tok, '/'); i >= 0 {
			tok, rest = tok[:i], tok[i:]
		} else {
			rest = ""
		}
		switch v.Kind {
		case value.Object:
			v = d.member(v, value.UnescapeToken(tok))
		case value.Array:
			n, err := strconv.Atoi(tok)
			if err != nil || n < 0 || n >= len(v.Kids) {
				v = nil
			} else {
				v = &v.Kids[n]
			}
		default:
			v = nil
		}
	}
	d.byPtr[pointer] = v
	return v
}

// node is a value and where it stands.
type node struct {
	doc *document
	v   *value.Value
	ptr string
}

func (n node) ok() bool               { return n.v != nil }
func (n node) isObject() bool         { return n.v != nil && n.v.Kind == value.Object }
func (n node) place() Place           { return n.doc.place(n.v, n.ptr) }
func (n node) uri() string            { return n.doc.uri + "#" + n.ptr }
func (n node) has(name string) bool   { return n.doc.member(n.v, name) != nil }
func (n node) get(name string) node   { return n.child(n.doc.member(n.v, name), name) }
func (n node) str(name string) string { return n.doc.member(n.v, name).Str() }

func (n node) child(v *value.Value, name string) node {
	if v == nil {
		return node{doc: n.doc, ptr: n.ptr}
	}
	return node{doc: n.doc, v: v, ptr: n.ptr + "/" + value.EscapeToken(name)}
}

// each calls f for every member or element, in document order.
func (n node) each(f func(name string, kid node)) {
	if n.v == nil {
		return
	}
	for i := range n.v.Kids {
		k := &n.v.Kids[i]
		name := k.Name
		if n.v.Kind == value.Array {
			name = strconv.Itoa(i)
		}
		f(name, n.child(k, name))
	}
}

// cloneValue copies a tree, with its strings, so that it can outlive its document.
func cloneValue(v *value.Value) *value.Value {
	c := copyTree(v)
	return &c
}

func copyTree(v *value.Value) value.Value {
	c := value.Value{Name: strings.Clone(v.Name), Text: strings.Clone(v.Text), Kind: v.Kind}
	if len(v.Kids) > 0 {
		c.Kids = make([]value.Value, len(v.Kids))
		for i := range v.Kids {
			c.Kids[i] = copyTree(&v.Kids[i])
		}
	}
	return c
}
