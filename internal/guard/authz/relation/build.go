package relation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// Builder writes a document from its beginning to its end, as a reader of JSON
// or of rows meets it. What does not belong is an error of Finish. It is not
// safe for concurrent use.
type Builder struct {
	vocabulary *vocabulary
	parts      []any // *table, *list; nil where one was let go
	unused     []int // places in parts

	buf    []byte // of values that are not finished
	open   []*level
	limits Limits
	values int
	room   int64 // bytes of finished tables and lists
	err    error
	keys   []string // scratch
}

// Limits bound what a Builder takes.
type Limits struct {
	Values int   // scalars, objects and arrays; default 50 million
	Bytes  int64 // of the compact form; default 1 GiB
	Depth  int   // of nesting; default 64
}

func (l Limits) orDefault() Limits {
	if l.Values == 0 {
		l.Values = 50_000_000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	return l
}

// ErrTooLarge is the error of a document that is larger than its Limits.
var ErrTooLarge = errors.New("the data are larger than their limit")

// level is an object or array that is not finished.
type level struct {
	object  bool
	begin   int // in buf
	key     []byte
	named   bool // a key waits for its value
	members []memberAt
	count   int
	large   *openTable // an object of many members
	long    *list      // an array of many elements
	parts   bool       // a value within is a part
}

// memberAt is where a member's key (length, bytes) and value lie in buf.
type memberAt struct{ key, value, end int }

// NewBuilder begins an empty document.
func NewBuilder(l Limits) *Builder {
	return &Builder{vocabulary: newVocabulary(), limits: l.orDefault()}
}

// Err is the first mistake, nil when there was none. A reader may ask it now
// and then, so as not to read on in vain.
func (b *Builder) Err() error { return b.err }

func (b *Builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// begin prepares for one value.
func (b *Builder) begin() bool {
	if b.err != nil {
		return false
	}
	if b.values++; b.values > b.limits.Values {
		b.fail(fmt.Errorf("%w: more than %d values", ErrTooLarge, b.limits.Values))
		return false
	}
	if n := len(b.open); n > 0 {
		if l := b.open[n-1]; l.object && !l.named {
			b.fail(errors.New("a value in an object has no key"))
			return false
		}
	} else if len(b.buf) > 0 {
		b.fail(errors.New("a document is one value"))
		return false
	}
	return true
}

// Null writes null.
func (b *Builder) Null() {
	if b.begin() {
		b.scalar(append(b.buf, tagNull))
	}
}

// Bool writes true or false.
func (b *Builder) Bool(v bool) {
	if b.begin() {
		tag := byte(tagFalse)
		if v {
			tag = tagTrue
		}
		b.scalar(append(b.buf, tag))
	}
}

// Number writes a number, given as JSON text.
func (b *Builder) Number(s string) {
	if b.begin() {
		b.scalar(appendNumber(b.buf, s))
	}
}

// String writes a string of valid UTF-8.
func (b *Builder) String(s string) {
	if b.begin() {
		b.scalar(appendText(append(b.buf, tagString), s))
	}
}

func (b *Builder) scalar(buf []byte) {
	from := len(b.buf)
	b.buf = buf
	b.finish(from, false)
}

// Object begins an object; members follow, then End.
func (b *Builder) Object() { b.down(true) }

// Array begins an array; elements follow, then End.
func (b *Builder) Array() { b.down(false) }

func (b *Builder) down(object bool) {
	if !b.begin() {
		return
	}
	if len(b.open) >= b.limits.Depth {
		b.fail(fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, b.limits.Depth))
		return
	}
	n := len(b.open)
	if n < cap(b.open) {
		b.open = b.open[:n+1]
	} else {
		b.open = append(b.open, nil)
	}
	if b.open[n] == nil {
		b.open[n] = &level{}
	}
	l := b.open[n]
	*l = level{object: object, begin: len(b.buf), key: l.key[:0], members: l.members[:0]}
}

// Key names the next value of an object.
func (b *Builder) Key(k string) {
	if b.err != nil {
		return
	}
	n := len(b.open)
	if n == 0 || !b.open[n-1].object || b.open[n-1].named {
		b.fail(fmt.Errorf("the key %q stands where none may", k))
		return
	}
	l := b.open[n-1]
	l.key = append(l.key[:0], k...)
	l.named = true
	l.members = append(l.members, memberAt{key: len(b.buf)})
	b.buf = appendText(b.buf, k)
	l.members[len(l.members)-1].value = len(b.buf)
}

// finish ends the value that begins at from.
func (b *Builder) finish(from int, parts bool) {
	if n := len(b.buf) - from; !parts && n >= wordMin && n <= wordMax {
		if id, ok := b.vocabulary.word(b.buf[from:]); ok {
			b.buf = binary.AppendUvarint(append(b.buf[:from], tagWord), uint64(id))
		}
	}
	if len(b.open) == 0 {
		return
	}
	l := b.open[len(b.open)-1]
	l.parts = l.parts || parts
	if l.object {
		l.named = false
		m := &l.members[len(l.members)-1]
		m.end = len(b.buf)
		switch {
		case l.large != nil:
			b.put(l, m)
		case len(l.members) > inlineMembers:
			l.large = newOpenTable()
			for i := range l.members {
				b.put(l, &l.members[i])
			}
		default:
			return
		}
		l.members = l.members[:0]
		b.buf = b.buf[:l.begin]
		return
	}
	l.count++
	switch {
	case l.long != nil:
		b.room += int64(len(b.buf) - from)
		l.long.add(b.buf[from:])
	case l.count > inlineElements:
		l.long = &list{}
		for v := b.buf[l.begin:]; len(v) > 0; {
			n := size(v)
			l.long.add(v[:n])
			v = v[n:]
		}
	default:
		return
	}
	b.buf = b.buf[:l.begin]
	b.checkRoom()
}

func (b *Builder) put(l *level, m *memberAt) {
	key, _ := text(b.buf[m.key:])
	b.room += int64(m.end - m.key + 3)
	l.large.put(key, b.buf[m.value:m.end])
	b.checkRoom()
}

func (b *Builder) checkRoom() {
	if b.room+int64(len(b.vocabulary.words.text)) > b.limits.Bytes {
		b.fail(fmt.Errorf("%w: more than %d bytes", ErrTooLarge, b.limits.Bytes))
	}
}

// End ends the object or array begun last.
func (b *Builder) End() {
	if b.err != nil {
		return
	}
	if len(b.open) == 0 || b.open[len(b.open)-1].named {
		b.fail(errors.New("an end stands where none may"))
		return
	}
	l := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	switch {
	case l.large != nil:
		t, err := l.large.seal()
		if err != nil {
			b.fail(err)
			return
		}
		b.part(tagTable, t)
	case l.long != nil:
		l.long.trim()
		b.part(tagList, l.long)
	case l.object:
		b.endObject(l)
	default:
		b.frame(l, tagArray, l.count)
	}
	b.finish(l.begin, l.parts || l.large != nil || l.long != nil)
}

func (b *Builder) part(tag byte, p any) {
	id := len(b.parts)
	if n := len(b.unused); n > 0 {
		id, b.unused = b.unused[n-1], b.unused[:n-1]
		b.parts[id] = p
	} else {
		b.parts = append(b.parts, p)
	}
	b.buf = binary.AppendUvarint(append(b.buf, tag), uint64(id))
}

// frame puts tag, number and length before what lies in buf since l began.
func (b *Builder) frame(l *level, tag byte, number int) {
	var few [2*binary.MaxVarintLen64 + 1]byte
	head := binary.AppendUvarint(append(few[:0], tag), uint64(number))
	head = binary.AppendUvarint(head, uint64(len(b.buf)-l.begin))
	b.buf = slices.Insert(b.buf, l.begin, head...)
}

// endObject writes an object of few members, sorted by key; of known keys only
// the values.
func (b *Builder) endObject(l *level) {
	body := b.buf[l.begin:]
	key := func(i int) []byte {
		k, _ := text(b.buf[l.members[i].key:])
		return k
	}
	sort.Slice(l.members, func(i, j int) bool { return string(key(i)) < string(key(j)) })
	b.keys = b.keys[:0]
	for i := range l.members {
		k := string(key(i))
		if i > 0 && k == b.keys[i-1] {
			b.fail(&DuplicateError{k})
			return
		}
		b.keys = append(b.keys, k)
	}
	id, shaped := 0, false
	if len(l.members) > 0 {
		id, shaped = b.vocabulary.shape(b.keys)
	}
	sorted := make([]byte, 0, len(body))
	for _, m := range l.members {
		from := m.key
		if shaped {
			from = m.value
		}
		sorted = append(sorted, b.buf[from:m.end]...)
	}
	b.buf = append(b.buf[:l.begin], sorted...)
	if shaped {
		b.frame(l, tagShaped, id)
	} else {
		b.frame(l, tagObject, len(l.members))
	}
}

// Finish ends the document.
func (b *Builder) Finish() (*Document, error) {
	if b.err == nil && (len(b.open) > 0 || len(b.buf) == 0) {
		b.fail(errors.New("the document ends too soon"))
	}
	if b.err != nil {
		return nil, b.err
	}
	b.vocabulary.trim()
	return b.document(), nil
}

func (b *Builder) document() *Document {
	return &Document{root: slices.Clone(b.buf), parts: slices.Clip(b.parts), unused: b.unused, words: b.vocabulary.words, vocabulary: b.vocabulary, values: b.values}
}
