package sqli

import "strings"

// Table is the library's table, to be looked up whatever a word's case is.
type Table struct {
	// slots holds tags of entries at the place that their hash says or behind it; 0 is
	// empty. With a quarter of them taken most words that are not in the table are told by
	// one look.
	slots   [tableSize]uint16
	entries [tableSize]uint16 // of each slot, from 1 on
	list    []entry
	usable  bool
	// dead are beginnings of two or three values, see spell, with which no fingerprint of SQL
	// begins.
	dead [64]bool
}

const tableSize = 1 << 15

// entry is a word or a phrase.
type entry struct {
	key  string // in upper case
	kind byte   // 0: it only begins phrases
	// opens says that a phrase begins with this.
	opens bool
}

// NewTable reads the library's table: kinds by words and phrases in upper case, and
// 'F' by fingerprints behind a 0.
func NewTable(words map[string]byte) *Table {
	t := &Table{list: make([]entry, 1, len(words)+1), usable: len(words) > 0}
	for key, kind := range words {
		t.usable = t.usable && key != "" && ascii(key) && kind != 0 && strings.ToUpper(key) == key && strings.Trim(key, " ") == key
		t.add(key).kind = kind
		if i := strings.LastIndexByte(key, ' '); i > 0 {
			t.add(key[:i]).opens = true
		}
	}
	t.usable = t.usable && len(t.list) < tableSize/2
	for i := range t.dead {
		t.dead[i] = t.usable
	}
	for key := range words {
		if len(key) > 2 && key[0] == '0' {
			t.dead[spell(key[1], key[2], 0)] = false
			if len(key) > 3 {
				t.dead[spell(key[1], key[2], key[3])] = false
			}
		}
	}
	t.dead[0] = false
	return t
}

// spell numbers two or three kinds of tokens, of which the third may be 0; it is 0 where one
// of them is no value.
func spell(a, b, c byte) byte {
	x, y, z := values[a], values[b], values[c]
	if x == 0 || y == 0 || z == 0 && c != 0 {
		return 0
	}
	return x | y<<2 | z<<4
}

// values are the kinds of tokens that keep their place and their kind: see folder.dead.
var values = [256]byte{bareWord: 1, 'N': 1, quoted: 2, 'S': 2, number: 3}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// add returns the entry of a key, a new one if need be.
func (t *Table) add(key string) *entry {
	if len(t.list) >= tableSize/2 {
		return new(entry) // not usable
	}
	if e := t.find(hash(hashSeed, key), key, ""); e != nil {
		return e
	}
	t.list = append(t.list, entry{key: key})
	h := hash(hashSeed, key)
	i := place(h)
	for t.slots[i] != 0 {
		i = (i + 1) % tableSize
	}
	t.slots[i], t.entries[i] = tag(h), uint16(len(t.list)-1)
	return &t.list[len(t.list)-1]
}

const (
	hashSeed  uint32 = 2166136261
	hashPrime uint32 = 16777619
)

func fold(h uint32, c byte) uint32 { return (h ^ uint32(upper[c])) * hashPrime }

func hash(h uint32, s string) uint32 {
	for i := range len(s) {
		h = fold(h, s[i])
	}
	return h
}

func place(h uint32) uint32 { return (h ^ h>>15) % tableSize }

func tag(h uint32) uint16 { return uint16(h>>16) | 1 }

// upper makes upper case of ASCII letters.
var upper = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'a' && i <= 'z' {
			t[i] -= 'a' - 'A'
		}
	}
	return t
}()

// find returns the entry of a word, or of two with a space between them, or nil. h is
// their hash.
func (t *Table) find(h uint32, first, second string) *entry {
	want := tag(h)
	for i := place(h); t.slots[i] != 0; i = (i + 1) % tableSize {
		if t.slots[i] == want {
			if e := &t.list[t.entries[i]]; e.is(first, second) {
				return e
			}
		}
	}
	return nil
}

func (e *entry) is(first, second string) bool {
	if second == "" {
		return equal(e.key, first)
	}
	n := len(first)
	return len(e.key) == n+1+len(second) && e.key[n] == ' ' && equal(e.key[:n], first) && equal(e.key[n+1:], second)
}

// equal reports whether a text is a key in whatever case.
func equal(key, s string) bool {
	if len(key) != len(s) {
		return false
	}
	for i := range len(s) {
		if upper[s[i]] != key[i] {
			return false
		}
	}
	return true
}
