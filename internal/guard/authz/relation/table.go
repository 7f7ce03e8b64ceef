package relation

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
)

// An object of many members is an extendible hash table: a directory of shards,
// chosen by the first bits of a key's hash. A shard that grows too large splits
// in two; the directory doubles when a shard is split that it cannot tell apart.

const (
	// shardSize is the most bytes of a shard of more than one entry. An offset
	// fits 16 bits, so an entry's place in the index costs some three bytes.
	shardSize = 1<<16 - 2
	maxDepth  = 30 // of a directory: beyond it a shard just grows
)

// seed makes hashes that nobody outside can choose collisions for.
var seed = maphash.MakeSeed()

func hashText(s string) uint64       { return maphash.String(seed, s) }
func hashKey(key any) uint64         { return maphash.Comparable(seed, key) }
func hashBytes(b []byte) uint64      { return maphash.Bytes(seed, b) }
func slot(hash uint64, n int) int    { return int((hash & 0xffffffff) * uint64(n) >> 32) }
func place(hash uint64, d uint8) int { return int(hash >> (64 - d)) }

// table is an object of many members; it never changes.
type table struct {
	shards []*shard // 1<<depth; one that is not split as deep stands more than once
	depth  uint8
	count  int
	// exceeds is a number of values that all of it was found to have more of; 0: not known.
	exceeds atomic.Int64
}

// shard is some of a table's entries: a key as text, then its value, and so on.
type shard struct {
	entries []byte
	narrow  []uint16 // place of an entry in entries, plus one; open addressing
	wide    []uint32 // the same where entries is larger than 16 bits can say
	count   int
	depth   uint8 // bits of the hash that all keys of the shard share
}

func (t *table) shardOf(hash uint64) *shard {
	if t.depth == 0 {
		return t.shards[0]
	}
	return t.shards[place(hash, t.depth)]
}

// find returns the bytes that begin with a key's value, nil when there is none.
func (t *table) find(key string) []byte {
	h := hashText(key)
	return t.shardOf(h).find(key, h)
}

func (s *shard) find(key string, hash uint64) []byte {
	if s.count == 0 {
		return nil
	}
	if s.narrow != nil {
		for i := slot(hash, len(s.narrow)); ; i++ {
			if i == len(s.narrow) {
				i = 0
			}
			at := s.narrow[i]
			if at == 0 {
				return nil
			}
			if k, value := text(s.entries[at-1:]); string(k) == key {
				return value
			}
		}
	}
	for i := slot(hash, len(s.wide)); ; i++ {
		if i == len(s.wide) {
			i = 0
		}
		at := s.wide[i]
		if at == 0 {
			return nil
		}
		if k, value := text(s.entries[at-1:]); string(k) == key {
			return value
		}
	}
}

// bytes is the memory that the table takes, about.
func (t *table) bytes() int64 {
	n := int64(8*len(t.shards) + 64)
	t.each(func(s *shard) bool {
		n += int64(len(s.entries) + 2*len(s.narrow) + 4*len(s.wide) + 96)
		return true
	})
	return n
}

// each visits every shard once, until f returns false.
func (t *table) each(f func(*shard) bool) {
	for i := 0; i < len(t.shards); i += 1 << (t.depth - t.shards[i].depth) {
		if !f(t.shards[i]) {
			return
		}
	}
}

// entry cuts the first entry off b.
func entry(b []byte) (key, value, rest []byte) {
	key, rest = text(b)
	n := size(rest)
	return key, rest[:n], rest[n:]
}

// openTable is a table that is being written.
type openTable struct {
	shards []*openShard
	depth  uint8
}

type openShard struct {
	entries []byte
	count   int
	depth   uint8
}

func newOpenTable() *openTable { return &openTable{shards: []*openShard{{}}} }

// put adds an entry. That a key stands twice is found by seal.
func (t *openTable) put(key, value []byte) {
	h := hashBytes(key)
	for {
		s := t.shards[0]
		if t.depth > 0 {
			s = t.shards[place(h, t.depth)]
		}
		if s.count == 0 || len(s.entries)+len(key)+len(value)+4 <= shardSize || s.depth >= maxDepth {
			s.entries = append(appendText(s.entries, key), value...)
			s.count++
			return
		}
		t.split(s, h)
	}
}

// split parts a shard, to which the hash leads, by one more bit.
func (t *openTable) split(s *openShard, hash uint64) {
	if s.depth == t.depth {
		doubled := make([]*openShard, 2*len(t.shards))
		for i, s := range t.shards {
			doubled[2*i], doubled[2*i+1] = s, s
		}
		t.shards = doubled
		t.depth++
	}
	half := s.halves()
	span := 1 << (t.depth - s.depth)
	first := place(hash, t.depth) &^ (span - 1)
	for i := range span {
		t.shards[first+i] = half[i/(span/2)]
	}
}

// halves parts the entries by the next bit of their keys' hashes.
func (s *openShard) halves() [2]*openShard {
	half := [2]*openShard{{depth: s.depth + 1}, {depth: s.depth + 1}}
	for i := range half {
		half[i].entries = make([]byte, 0, len(s.entries)*3/4)
	}
	for b := s.entries; len(b) > 0; {
		key, _, rest := entry(b)
		h := half[hashBytes(key)>>(63-s.depth)&1]
		h.entries = append(h.entries, b[:len(b)-len(rest)]...)
		h.count++
		b = rest
	}
	return half
}

// DuplicateError says that a key stands twice in one object.
type DuplicateError struct{ Key string }

func (e *DuplicateError) Error() string { return fmt.Sprintf("the key %q stands twice", e.Key) }

// seal finishes the table.
func (t *openTable) seal() (*table, error) {
	out := &table{shards: make([]*shard, len(t.shards)), depth: t.depth}
	for i := 0; i < len(t.shards); {
		open := t.shards[i]
		s, err := open.seal()
		if err != nil {
			return nil, err
		}
		out.count += s.count
		for span := 1 << (t.depth - s.depth); span > 0; span-- {
			out.shards[i] = s
			t.shards[i] = nil // what is sealed need not be held twice
			i++
		}
	}
	return out, nil
}

func (s *openShard) seal() (*shard, error) {
	out := &shard{entries: make([]byte, len(s.entries)), count: s.count, depth: s.depth}
	copy(out.entries, s.entries)
	slots := s.count*10/7 + 1
	if len(out.entries) <= shardSize {
		out.narrow = make([]uint16, slots)
	} else {
		out.wide = make([]uint32, slots)
	}
	at := 0
	for b := out.entries; len(b) > 0; {
		key, _, rest := entry(b)
		if err := out.place(key, at); err != nil {
			return nil, err
		}
		at += len(b) - len(rest)
		b = rest
	}
	return out, nil
}

// place enters the entry at a place of entries into the index.
func (s *shard) place(key []byte, at int) error {
	h := hashBytes(key)
	n := len(s.narrow) + len(s.wide)
	for i := slot(h, n); ; i = (i + 1) % n {
		var taken uint32
		if s.narrow != nil {
			taken = uint32(s.narrow[i])
		} else {
			taken = s.wide[i]
		}
		if taken == 0 {
			if s.narrow != nil {
				s.narrow[i] = uint16(at + 1)
			} else {
				s.wide[i] = uint32(at + 1)
			}
			return nil
		}
		if k, _ := text(s.entries[taken-1:]); string(k) == string(key) {
			return &DuplicateError{string(key)}
		}
	}
}
