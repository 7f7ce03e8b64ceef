package relation

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// TooManyValuesError says that a policy reads so much of the data at once that
// making OPA's values of it would take too much memory and time.
type TooManyValuesError struct {
	Path string // such as "owners", when it is known
	Most int    // how many values one evaluation may have made
}

func (e *TooManyValuesError) Error() string {
	return fmt.Sprintf("the policy reads more than %d values of data.%s in one decision: look members up by their key", e.Most, e.Path)
}

// maker makes OPA's values, and counts them.
type maker struct {
	left int
	// nested says that there was a table or list within another value: an edit may
	// replace it while what is around it stays.
	nested bool
	depth  int
}

func (m *maker) take(n int) error {
	if m.left -= n; m.left < 0 {
		return &TooManyValuesError{}
	}
	return nil
}

// number is the text of a number.
func (c cursor) number() string {
	if c.at[0] == tagInt {
		n, _ := binary.Varint(c.at[1:])
		return strconv.FormatInt(n, 10)
	}
	s, _ := text(c.at[1:])
	return string(s)
}

// term makes the value at a cursor.
func (m *maker) term(c cursor) (*ast.Term, error) {
	switch c.at[0] {
	case tagNull:
		return ast.NullTerm(), m.take(1)
	case tagFalse, tagTrue:
		return ast.InternedTerm(c.at[0] == tagTrue), m.take(1)
	case tagInt:
		n, _ := binary.Varint(c.at[1:])
		return ast.InternedTerm(n), m.take(1)
	case tagNumber:
		return ast.NewTerm(ast.Number(c.number())), m.take(1)
	case tagString:
		s, _ := text(c.at[1:])
		return ast.StringTerm(string(s)), m.take(1)
	case tagWord:
		return m.word(c)
	case tagArray, tagList:
		return m.array(c)
	}
	return m.object(c)
}

// word makes the value of an entry, once for all where it is one that repeats often.
func (m *maker) word(c cursor) (*ast.Term, error) {
	id, _ := uvarint(c.at[1:])
	kept := c.doc.words.hot.remembered(id)
	if kept != nil {
		if t := kept.Load(); t != nil {
			return t, m.take(1)
		}
	}
	t, err := m.term(c.settle())
	if err == nil && kept != nil {
		order(t.Value)
		kept.Store(t)
	}
	return t, err
}

// order has objects sort their members now: a value that evaluations share is
// better left alone after.
func order(v ast.Value) {
	switch v := v.(type) {
	case ast.Object:
		v.Foreach(func(_, t *ast.Term) { order(t.Value) })
	case *ast.Array:
		v.Foreach(func(t *ast.Term) { order(t.Value) })
	}
}

func (m *maker) array(c cursor) (*ast.Term, error) {
	n := c.count()
	m.nested = m.nested || m.depth > 0 && c.at[0] == tagList
	m.depth++
	defer func() { m.depth-- }()
	if err := m.take(n + 1); err != nil {
		return nil, err
	}
	m.left += n // each is counted when it is made
	terms := make([]*ast.Term, 0, n)
	var err error
	c.elements(func(e cursor) bool {
		var t *ast.Term
		if t, err = m.term(e); err == nil {
			terms = append(terms, t)
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(ast.NewArray(terms...)), nil
}

func (m *maker) object(c cursor) (*ast.Term, error) {
	n := c.count()
	m.nested = m.nested || m.depth > 0 && c.at[0] == tagTable
	m.depth++
	defer func() { m.depth-- }()
	if err := m.take(n + 1); err != nil {
		return nil, err
	}
	m.left += n
	var few [16][2]*ast.Term
	members := few[:0]
	if n > len(few) {
		members = make([][2]*ast.Term, 0, n)
	}
	var keys []*ast.Term
	if c.at[0] == tagShaped {
		id, _ := uvarint(c.at[1:])
		keys = c.doc.words.shapes[id].terms
	}
	var err error
	c.members(func(key []byte, v cursor) bool {
		var t, k *ast.Term
		if t, err = m.term(v); err != nil {
			return false
		}
		if keys != nil {
			k = keys[len(members)]
		} else {
			k = ast.InternedTerm(string(key))
		}
		members = append(members, [2]*ast.Term{k, t})
		return true
	})
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(ast.NewObject(members...)), nil
}
