package relation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Edit changes members of a document: it writes the next version. The version
// that it began from stays as it is. Of one document's versions only the newest
// may be edited, by one goroutine at a time.
type Edit struct {
	doc   *Document
	b     *Builder
	root  *openEdit
	count int
	// freed are parts that nothing refers to after the edit. They are not used again
	// within it: what it began from still names them.
	freed map[int]bool
}

// openEdit is an object whose members are being changed.
type openEdit struct {
	part  int // its place in parts
	base  *table
	set   map[string][]byte    // nil removes
	below map[string]*openEdit // members that are changed in their turn
}

// Edit begins the next version. The limits are of what is added.
func (d *Document) Edit(l Limits) (*Edit, error) {
	if !d.cursor().isObject() {
		return nil, fmt.Errorf("editing the data: the document %w", errNotObject)
	}
	e := &Edit{doc: d, b: &Builder{vocabulary: d.vocabulary, parts: slices.Clone(d.parts), unused: slices.Clone(d.unused), limits: l.orDefault()}, freed: map[int]bool{}}
	d.vocabulary.Lock()
	defer d.vocabulary.Unlock()
	e.root = e.openAt(d.root)
	return e, nil
}

// openAt makes the object that stands there editable.
func (e *Edit) openAt(at []byte) *openEdit {
	o := &openEdit{set: map[string][]byte{}, below: map[string]*openEdit{}}
	if at != nil {
		c := cursor{&Document{parts: e.b.parts, words: e.doc.vocabulary.words}, at}.settle()
		if c.at[0] == tagTable {
			o.part, _ = uvarint(c.at[1:])
			o.base = e.b.parts[o.part].(*table)
			return o
		}
		c.members(func(key []byte, v cursor) bool {
			o.set[string(key)] = slices.Clone(v.at[:size(v.at)])
			return true
		})
	}
	o.base = &table{shards: []*shard{{}}}
	o.part = e.place(o.base)
	return o
}

func (e *Edit) place(p any) int {
	if n := len(e.b.unused); n > 0 {
		id := e.b.unused[n-1]
		e.b.unused = e.b.unused[:n-1]
		e.b.parts[id] = p
		return id
	}
	e.b.parts = append(e.b.parts, p)
	return len(e.b.parts) - 1
}

// now returns the bytes of a member as it stands, nil when there is none.
func (o *openEdit) now(key string) []byte {
	if v, ok := o.set[key]; ok {
		return v
	}
	return o.base.find(key)
}

// Set writes the value at a path of one or more keys; objects on the way are
// made where there are none.
func (e *Edit) Set(path []string, write func(*Builder)) error {
	e.doc.vocabulary.Lock()
	defer e.doc.vocabulary.Unlock()
	o, err := e.descend(path, true)
	if err != nil {
		return err
	}
	b := e.b
	b.buf, b.open, b.values = b.buf[:0], b.open[:0], 0
	write(b)
	if b.err == nil && (len(b.open) > 0 || len(b.buf) == 0) {
		b.fail(fmt.Errorf("the value of %s is not whole", strings.Join(path, "/")))
	}
	if b.err != nil {
		return b.err
	}
	key := path[len(path)-1]
	e.forget(o, key)
	o.set[key] = slices.Clone(b.buf)
	e.count++
	return nil
}

// Delete removes the value at a path, and the objects on the way that it leaves
// empty. That there is none is no error.
func (e *Edit) Delete(path []string) error {
	e.doc.vocabulary.Lock()
	defer e.doc.vocabulary.Unlock()
	o, err := e.descend(path, false)
	if err != nil || o == nil {
		return err
	}
	key := path[len(path)-1]
	if o.now(key) == nil {
		return nil
	}
	e.forget(o, key)
	o.set[key] = nil
	e.count++
	return nil
}

// descend finds the object that holds the last key of a path.
func (e *Edit) descend(path []string, create bool) (*openEdit, error) {
	if len(path) == 0 {
		return nil, errors.New("editing the data: a path of no key")
	}
	o := e.root
	for i, key := range path[:len(path)-1] {
		next := o.below[key]
		if next == nil {
			at := o.now(key)
			if at == nil && !create {
				return nil, nil
			}
			if at != nil && !(cursor{&Document{parts: e.b.parts, words: e.doc.vocabulary.words}, at}).isObject() {
				return nil, fmt.Errorf("%s %w", strings.Join(path[:i+1], "/"), errNotObject)
			}
			next = e.openAt(at)
			o.below[key] = next
			o.set[key] = binary.AppendUvarint([]byte{tagTable}, uint64(next.part))
		}
		o = next
	}
	return o, nil
}

// forget lets go of the parts of a member that is replaced.
func (e *Edit) forget(o *openEdit, key string) {
	if at := o.now(key); at != nil {
		e.release(at)
	}
	if below := o.below[key]; below != nil {
		delete(o.below, key)
		for k := range below.set {
			e.forget(below, k)
		}
	}
}

// release lets go of the parts within the value at the beginning of b.
func (e *Edit) release(b []byte) {
	switch b[0] {
	case tagTable, tagList:
		id, _ := uvarint(b[1:])
		switch p := e.b.parts[id].(type) {
		case *table:
			p.each(func(s *shard) bool {
				for rest := s.entries; len(rest) > 0; {
					var value []byte
					_, value, rest = entry(rest)
					e.release(value)
				}
				return true
			})
		case *list:
			for i := range p.runs {
				for _, at := range p.runs[i].at {
					e.release(p.runs[i].entries[at:])
				}
			}
		}
		e.freed[id] = true
	case tagArray, tagObject, tagShaped:
		n, rest := uvarint(b[1:])
		if b[0] == tagShaped {
			n = len(e.doc.vocabulary.words.shapes[n].keys)
		}
		_, rest = uvarint(rest)
		for range n {
			if b[0] == tagObject {
				_, rest = text(rest)
			}
			e.release(rest)
			rest = rest[size(rest):]
		}
	}
}

// Commit makes the next version.
func (e *Edit) Commit() (*Document, error) {
	e.doc.vocabulary.Lock()
	defer e.doc.vocabulary.Unlock()
	if e.b.err != nil {
		return nil, e.b.err
	}
	if err := e.close(e.root); err != nil {
		return nil, err
	}
	for id := range e.freed {
		e.b.parts[id] = nil
		e.b.unused = append(e.b.unused, id)
	}
	return &Document{
		root:  binary.AppendUvarint([]byte{tagTable}, uint64(e.root.part)),
		parts: e.b.parts, unused: e.b.unused, words: e.doc.vocabulary.words, vocabulary: e.doc.vocabulary,
		values: e.doc.values, edits: e.doc.edits + e.count,
	}, nil
}

func (e *Edit) close(o *openEdit) error {
	for key, below := range o.below {
		if err := e.close(below); err != nil {
			return err
		}
		if e.b.parts[below.part].(*table).count == 0 {
			e.freed[below.part] = true
			o.set[key] = nil
		}
	}
	if len(o.set) == 0 {
		return nil
	}
	t, err := o.base.with(o.set)
	if err != nil {
		return err
	}
	e.b.parts[o.part] = t
	return nil
}

// with returns the table with members set, or removed where the value is nil.
// Shards that hold none of them are shared.
func (t *table) with(set map[string][]byte) (*table, error) {
	touched := map[*shard][]string{}
	prefix := map[*shard]uint64{}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		h := hashText(key)
		s := t.shardOf(h)
		touched[s] = append(touched[s], key)
		prefix[s] = h
	}
	out := &table{shards: slices.Clone(t.shards), depth: t.depth, count: t.count}
	for s, keys := range touched {
		open := &openShard{depth: s.depth, entries: make([]byte, 0, len(s.entries)+64*len(keys))}
		for b := s.entries; len(b) > 0; {
			key, _, rest := entry(b)
			if _, replaced := set[string(key)]; !replaced {
				open.entries = append(open.entries, b[:len(b)-len(rest)]...)
				open.count++
			}
			b = rest
		}
		for _, key := range keys {
			if v := set[key]; v != nil {
				open.entries = append(appendText(open.entries, key), v...)
				open.count++
			}
		}
		out.count += open.count - s.count
		if err := out.replace(open, prefix[s]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// replace puts a shard, split as often as it must be, where the hash leads.
func (t *table) replace(open *openShard, hash uint64) error {
	if len(open.entries) <= shardSize || open.count <= 1 || open.depth >= maxDepth {
		s, err := open.seal()
		if err != nil {
			return err
		}
		for s.depth > t.depth {
			doubled := make([]*shard, 2*len(t.shards))
			for i, s := range t.shards {
				doubled[2*i], doubled[2*i+1] = s, s
			}
			t.shards = doubled
			t.depth++
		}
		span := 1 << (t.depth - s.depth)
		first := 0
		if t.depth > 0 {
			first = place(hash, t.depth) &^ (span - 1)
		}
		for i := range span {
			t.shards[first+i] = s
		}
		return nil
	}
	half := open.halves()
	bit := uint64(1) << (63 - open.depth)
	if err := t.replace(half[0], hash&^bit); err != nil {
		return err
	}
	return t.replace(half[1], hash|bit)
}
