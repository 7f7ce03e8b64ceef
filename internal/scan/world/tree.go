package world

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// node is a JSON document under construction, whose leaves are JSON texts taken
// as they are: so that a placeholder can stand where a value will.
type node struct {
	name string
	kind value.Kind // Object, Array; anything else is a leaf
	text string     // of a leaf
	kids []*node
}

func leaf(text string) *node { return &node{kind: value.String, text: text} }

// parsed makes a tree of a JSON text; what is no JSON is a leaf.
func parsed(text string) *node {
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil {
		return leaf(text)
	}
	return nodeOf(v)
}

func nodeOf(v *value.Value) *node {
	n := &node{name: v.Name, kind: v.Kind}
	if v.Kind != value.Object && v.Kind != value.Array {
		n.kind, n.text = value.String, string(value.Append(nil, v))
		return n
	}
	for i := range v.Kids {
		n.kids = append(n.kids, nodeOf(&v.Kids[i]))
	}
	return n
}

func (n *node) container() bool { return n.kind == value.Object || n.kind == value.Array }

// tokens splits a JSON pointer.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	out := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range out {
		out[i] = value.UnescapeToken(out[i])
	}
	return out
}

// maxIndex bounds the lists that a pointer can ask for.
const maxIndex = 1000

// index reads a token as a place in a list: "*" is the first.
func index(token string) (int, bool) {
	if token == "*" {
		return 0, true
	}
	i, err := strconv.Atoi(token)
	return i, err == nil && i >= 0 && i < maxIndex && strconv.Itoa(i) == token
}

// set puts text at a place, making what lies above it.
func (n *node) set(path []string, text string) {
	if len(path) == 0 {
		name := n.name
		*n = *parsed(text)
		n.name = name
		return
	}
	i, isIndex := index(path[0])
	if !n.container() {
		n.kind, n.text, n.kids = value.Object, "", nil
		if isIndex {
			n.kind = value.Array
		}
	}
	if n.kind == value.Array {
		if !isIndex {
			n.kind, n.kids = value.Object, nil
		} else {
			for len(n.kids) <= i {
				n.kids = append(n.kids, leaf("null"))
			}
			n.kids[i].set(path[1:], text)
			return
		}
	}
	for _, k := range n.kids {
		if k.name == path[0] {
			k.set(path[1:], text)
			return
		}
	}
	k := leaf("null")
	k.name = path[0]
	k.set(path[1:], text)
	n.kids = append(n.kids, k)
}

// get is the member called name, or nil.
func (n *node) get(name string) *node {
	for _, k := range n.kids {
		if n.kind == value.Object && k.name == name {
			return k
		}
	}
	return nil
}

// put adds or replaces a member.
func (n *node) put(name string, k *node) {
	k.name = name
	for i := range n.kids {
		if n.kids[i].name == name {
			n.kids[i] = k
			return
		}
	}
	n.kids = append(n.kids, k)
}

func (n *node) write(dst []byte) []byte {
	switch n.kind {
	case value.Object:
		dst = append(dst, '{')
		for i, k := range n.kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(value.AppendString(dst, k.name), ':')
			dst = k.write(dst)
		}
		return append(dst, '}')
	case value.Array:
		dst = append(dst, '[')
		for i, k := range n.kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = k.write(dst)
		}
		return append(dst, ']')
	}
	return append(dst, n.text...)
}

// flatten lists the leaves of a tree by pointer: "*" is a list's first element,
// numbers are the others. What a pointer cannot tell from a list stays whole.
func (n *node) flatten(pointer string, to map[string]string) {
	if len(n.kids) == 0 || n.kind == value.Object && slices.ContainsFunc(n.kids, func(k *node) bool { _, is := index(k.name); return is }) {
		to[pointer] = string(n.write(nil))
		return
	}
	for i, k := range n.kids {
		token := value.EscapeToken(k.name)
		if n.kind == value.Array {
			token = "*"
			if i > 0 {
				token = strconv.Itoa(i)
			}
		}
		k.flatten(pointer+"/"+token, to)
	}
}

// pattern writes "*" for each index of a pointer that stands in a list.
func pattern(pointer string) string {
	if pointer == "" {
		return ""
	}
	parts := strings.Split(pointer, "/")
	for i, p := range parts {
		if _, is := index(p); is && i > 0 {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// body puts the values of a call's body together: those that the description
// knows in its order, then the others by name.
func (c *Call) body() (*node, bool) {
	var order []string
	for _, in := range c.Op.Inputs {
		if in.In == "body" {
			if _, ok := c.Values[in.Where()]; ok && !slices.Contains(order, in.Where()) {
				order = append(order, in.Where())
			}
		}
	}
	var rest []string
	for where := range c.Values {
		if strings.HasPrefix(where, "body.") && !slices.Contains(order, where) {
			rest = append(rest, where)
		}
	}
	slices.SortFunc(rest, byPointer)
	if len(order)+len(rest) == 0 {
		return nil, false
	}
	n := leaf("null")
	all := append(order, rest...)
	// A value for a whole goes before what is put into it.
	slices.SortStableFunc(all, func(a, b string) int {
		x, y := c.whole(a), c.whole(b)
		switch {
		case x && y:
			return len(a) - len(b)
		case x:
			return -1
		case y:
			return 1
		}
		return 0
	})
	for _, where := range all {
		n.set(tokens(strings.TrimPrefix(where, "body.")), c.Values[where])
	}
	return n, true
}

// whole reports whether other values lie under a place of the body.
func (c *Call) whole(where string) bool {
	for w := range c.Values {
		if w != where && under(w, where) {
			return true
		}
	}
	return false
}

// under reports whether a place of the body lies at or under another.
func under(where, top string) bool {
	return where == top || strings.HasPrefix(where, strings.TrimSuffix(top, "/")+"/") || top == "body." && strings.HasPrefix(where, "body.")
}

// byPointer sorts lists' elements by number.
func byPointer(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(as), len(bs)) {
		if as[i] == bs[i] {
			continue
		}
		x, isX := index(as[i])
		y, isY := index(bs[i])
		if isX && isY && x != y {
			return x - y
		}
		return strings.Compare(as[i], bs[i])
	}
	return len(as) - len(bs)
}

// override puts a value in place of what is there and below; "" takes it away.
func (c *Call) override(where, text string) {
	if c.Values == nil {
		c.Values = map[string]string{}
	}
	drop := func(w string) {
		delete(c.Values, w)
		delete(c.Uses, w)
		delete(c.Fresh, w)
		delete(c.tokens, w)
		delete(c.Files, w)
	}
	drop(where)
	if strings.HasPrefix(where, "body.") {
		for w := range c.Values {
			if under(w, where) {
				drop(w)
			}
		}
		for w := range c.Files {
			if under(w, where) {
				drop(w)
			}
		}
	}
	if text != "" {
		c.Values[where] = text
	}
}

// clone copies a call, so that it can be changed.
func (c *Call) clone() *Call {
	d := *c
	d.Values, d.Uses, d.Fresh, d.tokens, d.Files = map[string]string{}, map[string]*Object{}, map[string]string{}, map[string]string{}, map[string]File{}
	for k, v := range c.Values {
		d.Values[k] = v
	}
	for k, v := range c.Uses {
		d.Uses[k] = v
	}
	for k, v := range c.Fresh {
		d.Fresh[k] = v
	}
	for k, v := range c.tokens {
		d.tokens[k] = v
	}
	for k, v := range c.Files {
		d.Files[k] = v
	}
	return &d
}
