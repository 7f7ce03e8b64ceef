package relation

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Tree is a Sink that makes one value as encoding/json does, with json.Number.
type Tree struct {
	value any
	whole bool
	open  []branch
	depth int
	err   error
}

type branch struct {
	object map[string]any // nil: an array
	array  []any
	key    string
}

// NewTree takes values nested no deeper than depth.
func NewTree(depth int) *Tree { return &Tree{depth: depth} }

// Err is the first mistake, nil when there was none.
func (t *Tree) Err() error { return t.err }

// Take returns the value and makes the tree ready for another.
func (t *Tree) Take() any {
	v := t.value
	t.value, t.whole, t.open = nil, false, t.open[:0]
	return v
}

func (t *Tree) add(v any) {
	if len(t.open) == 0 {
		if t.whole && t.err == nil {
			t.err = errors.New("a document is one value")
		}
		t.value, t.whole = v, true
		return
	}
	b := &t.open[len(t.open)-1]
	if b.object == nil {
		b.array = append(b.array, v)
		return
	}
	if _, twice := b.object[b.key]; twice && t.err == nil {
		t.err = &DuplicateError{b.key}
	}
	b.object[b.key] = v
}

// Null takes null.
func (t *Tree) Null() { t.add(nil) }

// Bool takes true or false.
func (t *Tree) Bool(v bool) { t.add(v) }

// Number takes a number as JSON text.
func (t *Tree) Number(s string) { t.add(json.Number(s)) }

// String takes a string.
func (t *Tree) String(s string) { t.add(s) }

// Key takes the name of the next member.
func (t *Tree) Key(k string) { t.open[len(t.open)-1].key = k }

// Object begins an object.
func (t *Tree) Object() { t.down(branch{object: map[string]any{}}) }

// Array begins an array.
func (t *Tree) Array() { t.down(branch{array: []any{}}) }

func (t *Tree) down(b branch) {
	if len(t.open) >= t.depth && t.err == nil {
		t.err = fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, t.depth)
	}
	t.open = append(t.open, b)
}

// End ends the object or array begun last.
func (t *Tree) End() {
	b := t.open[len(t.open)-1]
	t.open = t.open[:len(t.open)-1]
	if b.object != nil {
		t.add(b.object)
	} else {
		t.add(b.array)
	}
}
