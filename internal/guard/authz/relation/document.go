package relation

import (
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Document is data in compact form. It never changes and is safe for concurrent use.
type Document struct {
	root   []byte
	parts  []any // *table, *list; nil where one was let go
	unused []int // places in parts
	words  words
	values int // as built; edits do not count
	edits  int // members written by edits since it was built

	vocabulary *vocabulary
}

// Count is how many members or elements the document has at its top.
func (d *Document) Count() int { return d.cursor().count() }

// Bytes is the memory that the document takes, about.
func (d *Document) Bytes() int64 {
	n := int64(len(d.root)+16*len(d.parts)) + d.vocabulary.size()
	for _, p := range d.parts {
		switch p := p.(type) {
		case *table:
			n += p.bytes()
		case *list:
			n += p.bytes()
		}
	}
	return n
}

// Has reports whether there is a value at a path.
func (d *Document) Has(path []string) bool {
	_, ok := d.cursor().find(path)
	return ok
}

// Value makes the value at a path, nil when there is none. It is an error when
// the value holds more scalars, objects and arrays than most.
func (d *Document) Value(path []string, most int) (ast.Value, error) {
	c, ok := d.cursor().find(path)
	if !ok {
		return nil, nil
	}
	m := maker{left: most}
	t, err := m.term(c)
	if err != nil {
		return nil, err
	}
	return t.Value, nil
}

func (d *Document) cursor() cursor { return cursor{d, d.root} }

// members visits the members of an object in no order, until f returns false.
func (c cursor) members(f func(key []byte, value cursor) bool) {
	c = c.settle()
	switch c.at[0] {
	case tagTable:
		id, _ := uvarint(c.at[1:])
		c.doc.parts[id].(*table).each(func(s *shard) bool {
			for b := s.entries; len(b) > 0; {
				key, value, rest := entry(b)
				if !f(key, cursor{c.doc, value}) {
					return false
				}
				b = rest
			}
			return true
		})
	case tagObject:
		n, rest := uvarint(c.at[1:])
		_, rest = uvarint(rest)
		for range n {
			var key []byte
			key, rest = text(rest)
			if !f(key, cursor{c.doc, rest}) {
				return
			}
			rest = rest[size(rest):]
		}
	case tagShaped:
		id, rest := uvarint(c.at[1:])
		_, rest = uvarint(rest)
		for _, k := range c.doc.words.shapes[id].keys {
			if !f([]byte(k), cursor{c.doc, rest}) {
				return
			}
			rest = rest[size(rest):]
		}
	}
}

// elements visits the elements of an array in their order, until f returns false.
func (c cursor) elements(f func(cursor) bool) {
	c = c.settle()
	switch c.at[0] {
	case tagList:
		id, _ := uvarint(c.at[1:])
		l := c.doc.parts[id].(*list)
		for i := range l.runs {
			for _, at := range l.runs[i].at {
				if !f(cursor{c.doc, l.runs[i].entries[at:]}) {
					return
				}
			}
		}
	case tagArray:
		n, rest := uvarint(c.at[1:])
		_, rest = uvarint(rest)
		for range n {
			if !f(cursor{c.doc, rest}) {
				return
			}
			rest = rest[size(rest):]
		}
	}
}

// copyTo writes the value at a cursor into a builder.
func (c cursor) copyTo(b *Builder) {
	c = c.settle()
	switch c.at[0] {
	case tagNull:
		b.Null()
	case tagFalse, tagTrue:
		b.Bool(c.at[0] == tagTrue)
	case tagInt, tagNumber:
		b.Number(c.number())
	case tagString:
		s, _ := text(c.at[1:])
		b.String(string(s))
	case tagArray, tagList:
		b.Array()
		c.elements(func(e cursor) bool {
			e.copyTo(b)
			return b.err == nil
		})
		b.End()
	default:
		b.Object()
		c.members(func(key []byte, v cursor) bool {
			b.Key(string(key))
			v.copyTo(b)
			return b.err == nil
		})
		b.End()
	}
}

// Rebuild writes the document anew, without what edits have left behind.
func (d *Document) Rebuild(l Limits) (*Document, error) {
	b := NewBuilder(l)
	d.cursor().copyTo(b)
	out, err := b.Finish()
	if err != nil {
		return nil, fmt.Errorf("rebuilding the data: %w", err)
	}
	return out, nil
}

// Worn reports whether edits have changed so much that a Rebuild is due.
func (d *Document) Worn() bool { return d.edits > 10_000 && d.edits > 2*d.Count() }

var errNotObject = errors.New("is not an object")
