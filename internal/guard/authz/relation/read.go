package relation

import (
	"errors"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// DefaultMost is how many values one read may make, unless told otherwise: some
// 15 MB, and less time than a decision may take.
const DefaultMost = 100_000

// Table is a document as policies read it. It is immutable and safe for
// concurrent use.
type Table struct {
	doc  *Document
	at   string
	most int
	memo *memo
}

// NewTable gives a document to policies at a path such as "relations/owners".
// One read makes at most so many values; 0: DefaultMost.
func NewTable(d *Document, at string, most int) *Table { return newTable(d, at, most, new(memo)) }

func newTable(d *Document, at string, most int, m *memo) *Table {
	if most == 0 {
		most = DefaultMost
	}
	return &Table{doc: d, at: at, most: most, memo: m}
}

// With is the table of another version of its document. What was made of parts
// that both versions share need not be made again.
func (t *Table) With(d *Document) *Table {
	m := t.memo
	if d.vocabulary != t.doc.vocabulary {
		m = new(memo) // they share nothing: what is kept would keep the old version in memory
	}
	return newTable(d, t.at, t.most, m)
}

// Document is what the table gives out.
func (t *Table) Document() *Document { return t.doc }

// Size is how many members are at the top, and what all of it takes in memory.
func (t *Table) Size() (members int, bytes int64) { return t.doc.Count(), t.doc.Bytes() }

// errNotFound is made once: policies ask for what is not there all the time.
var errNotFound = &storage.Error{Code: storage.NotFoundErr, Message: "there are no data at this path"}

// Read returns the value at a path below the table's own. An object that is too
// large to be made for one decision can only be asked for its members and their
// number; an array is a *TooManyValuesError.
func (t *Table) Read(path storage.Path) (ast.Value, error) {
	c, ok := t.doc.cursor().find(path)
	if !ok {
		return nil, errNotFound
	}
	return t.value(c)
}

// value makes the value at a cursor; of an object that is too large a view.
func (t *Table) value(c cursor) (ast.Value, error) {
	if c.count() < memoFrom {
		v, err := t.make(c)
		return v, err
	}
	key := t.doc.key(c)
	if v := t.memo.get(key); v != nil {
		return v, nil
	}
	whole, _ := key.(*table)
	if whole != nil && (whole.count >= t.most || whole.exceeds.Load() >= int64(t.most)) {
		return &view{table: t, at: c}, nil
	}
	m := maker{left: t.most}
	made, err := m.term(c)
	if err != nil && whole != nil {
		whole.exceeds.Store(int64(t.most))
		return &view{table: t, at: c}, nil
	}
	if err != nil {
		return nil, t.named(err)
	}
	if !m.nested {
		order(made.Value)
		t.memo.put(key, made.Value, t.most-m.left, 2*t.most)
	}
	return made.Value, nil
}

func (t *Table) make(c cursor) (ast.Value, error) {
	m := maker{left: t.most}
	made, err := m.term(c)
	if err != nil {
		return nil, t.named(err)
	}
	return made.Value, nil
}

func (t *Table) named(err error) error {
	var many *TooManyValuesError
	if errors.As(err, &many) {
		return &TooManyValuesError{Path: t.at, Most: t.most}
	}
	return err
}

// Has reports whether there is a value at a path below the table's own.
func (t *Table) Has(path storage.Path) bool { return t.doc.Has(path) }

// key is what a value is known by as long as it is the same: the bytes that it
// begins with, or the part that it is.
func (d *Document) key(c cursor) any {
	c = c.settle()
	if c.at[0] == tagTable || c.at[0] == tagList {
		id, _ := uvarint(c.at[1:])
		return d.parts[id]
	}
	return &c.at[0]
}

// memo keeps some of the values that were made, so that a small collection which
// many decisions read (the permissions of roles) is made once and not each time.
type memo struct {
	slots [memoSlots]atomic.Pointer[kept]
	used  atomic.Int64 // values
}

type kept struct {
	key   any
	value ast.Value
	size  int
}

const (
	memoSlots = 1 << 10
	memoFrom  = 12 // members or elements: smaller ones are made quickly
)

func (m *memo) slot(key any) *atomic.Pointer[kept] {
	return &m.slots[hashKey(key)%memoSlots]
}

func (m *memo) get(key any) ast.Value {
	if k := m.slot(key).Load(); k != nil && k.key == key {
		return k.value
	}
	return nil
}

// put keeps a value in the place of another, as long as there is room for all.
func (m *memo) put(key any, v ast.Value, size, most int) {
	s := m.slot(key)
	old := s.Load()
	grow := int64(size)
	if old != nil {
		grow -= int64(old.size)
	}
	if m.used.Add(grow) > int64(most) {
		m.used.Add(-grow)
		// Make room for those that come after: what nobody asks for must not stay.
		if old != nil && s.CompareAndSwap(old, nil) {
			m.used.Add(-int64(old.size))
		}
		return
	}
	if !s.CompareAndSwap(old, &kept{key, v, size}) {
		m.used.Add(-grow)
	}
}
