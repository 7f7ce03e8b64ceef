package relation

import (
	"encoding/binary"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// A value in its compact form is a tag and what belongs to it. Lengths, counts
// and numbers of things are unsigned varints.
const (
	tagNull   = iota
	tagFalse  //
	tagTrue   //
	tagInt    // zigzag varint: an integer whose text is that of strconv
	tagNumber // length, text: any other number, as it was written
	tagString // length, bytes
	tagWord   // number of an entry in the vocabulary, whose value this is
	tagArray  // count, length of the rest, values
	tagObject // count, length of the rest, members: length, key, value; sorted by key
	tagShaped // number of a shape, length of the rest, values in the order of its keys
	tagTable  // number of a part: a *table
	tagList   // number of a part: a *list
)

// Bounds of what lies in one run of bytes: beyond them an object becomes a
// table and an array a list, so that one member is found without a walk.
const (
	inlineMembers  = 32
	inlineElements = 64
)

// uvarint reads a varint at the beginning of b.
func uvarint(b []byte) (int, []byte) {
	if len(b) > 0 && b[0] < 0x80 {
		return int(b[0]), b[1:]
	}
	n, size := binary.Uvarint(b)
	return int(n), b[size:]
}

// size returns how many bytes the value at the beginning of b takes.
func size(b []byte) int {
	var rest []byte
	var n int
	switch b[0] {
	case tagNull, tagFalse, tagTrue:
		return 1
	case tagInt:
		_, n = binary.Varint(b[1:])
		return 1 + n
	case tagWord, tagTable, tagList:
		_, rest = uvarint(b[1:])
		return len(b) - len(rest)
	case tagNumber, tagString:
		n, rest = uvarint(b[1:])
	default:
		_, rest = uvarint(b[1:])
		n, rest = uvarint(rest)
	}
	return len(b) - len(rest) + n
}

// text cuts a length and so many bytes off b.
func text(b []byte) (s, rest []byte) {
	n, rest := uvarint(b)
	return rest[:n], rest[n:]
}

// appendText writes what text reads.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendNumber writes a number; its text is a JSON number's.
func appendNumber(b []byte, s string) []byte {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return binary.AppendVarint(append(b, tagInt), n)
	}
	return appendText(append(b, tagNumber), s)
}

// cursor is a place in a document: the bytes that begin with a value.
type cursor struct {
	doc *Document
	at  []byte
}

// settle follows a word to the value that it stands for.
func (c cursor) settle() cursor {
	for c.at[0] == tagWord {
		id, _ := uvarint(c.at[1:])
		c.at = c.doc.words.bytes(id)
	}
	return c
}

// index reads a path's segment as the position in an array, as OPA's stores do.
func index(segment string, n int) (int, bool) {
	i, ok := util.Atoi(segment)
	return i, ok && i >= 0 && i < n
}

// member finds a member of an object or an element of an array.
func (c cursor) member(segment string) (cursor, bool) {
	c = c.settle()
	switch c.at[0] {
	case tagTable:
		id, _ := uvarint(c.at[1:])
		at := c.doc.parts[id].(*table).find(segment)
		return cursor{c.doc, at}, at != nil
	case tagList:
		id, _ := uvarint(c.at[1:])
		l := c.doc.parts[id].(*list)
		i, ok := index(segment, l.count)
		if !ok {
			return c, false
		}
		return cursor{c.doc, l.element(i)}, true
	case tagArray:
		n, rest := uvarint(c.at[1:])
		i, ok := index(segment, n)
		if !ok {
			return c, false
		}
		_, rest = uvarint(rest)
		for range i {
			rest = rest[size(rest):]
		}
		return cursor{c.doc, rest}, true
	case tagObject:
		n, rest := uvarint(c.at[1:])
		_, rest = uvarint(rest)
		for range n {
			var key []byte
			key, rest = text(rest)
			if string(key) == segment {
				return cursor{c.doc, rest}, true
			}
			rest = rest[size(rest):]
		}
	case tagShaped:
		id, rest := uvarint(c.at[1:])
		i, ok := c.doc.words.shapes[id].position(segment)
		if !ok {
			return c, false
		}
		_, rest = uvarint(rest)
		for range i {
			rest = rest[size(rest):]
		}
		return cursor{c.doc, rest}, true
	}
	return c, false
}

// find descends a path.
func (c cursor) find(path []string) (cursor, bool) {
	for _, segment := range path {
		next, ok := c.member(segment)
		if !ok {
			return c, false
		}
		c = next
	}
	return c, true
}

// count is how many members or elements the value has; 0 of a scalar.
func (c cursor) count() int {
	c = c.settle()
	switch c.at[0] {
	case tagTable:
		id, _ := uvarint(c.at[1:])
		return c.doc.parts[id].(*table).count
	case tagList:
		id, _ := uvarint(c.at[1:])
		return c.doc.parts[id].(*list).count
	case tagArray, tagObject:
		n, _ := uvarint(c.at[1:])
		return n
	case tagShaped:
		id, _ := uvarint(c.at[1:])
		return len(c.doc.words.shapes[id].keys)
	}
	return 0
}

func (c cursor) isObject() bool {
	switch c.settle().at[0] {
	case tagObject, tagShaped, tagTable:
		return true
	}
	return false
}

// shape is the keys that many objects share, sorted.
type shape struct {
	keys  []string
	terms []*ast.Term
}

func newShape(keys []string) *shape {
	s := &shape{keys: keys, terms: make([]*ast.Term, len(keys))}
	for i, k := range keys {
		s.terms[i] = ast.StringTerm(k)
	}
	return s
}

// position returns the place of a key's value.
func (s *shape) position(key string) (int, bool) {
	for i, k := range s.keys {
		if k == key {
			return i, true
		}
	}
	return 0, false
}
