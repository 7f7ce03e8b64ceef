package relation

import (
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A vocabulary keeps values that repeat, and the keys that many objects share.
// It only grows, and is shared by all versions of a document: a version sees
// the entries that there were when it was made. A rebuilt document has a new one.

const (
	wordMin  = 4       // bytes of a value that is worth a word
	wordMax  = 256     // longer ones are rarely alike
	wordsMax = 1 << 22 // entries
	wordRoom = 256 << 20
	shapeMax = 4096
	// hotChunk is how many entries' values are remembered together, hotMost how
	// many can be: those that came to repeat first, which are those that repeat most.
	hotChunk = 256
	hotMost  = 1 << 14
)

// words is what one version sees of a vocabulary.
type words struct {
	text   []byte
	ends   []uint32 // where each entry ends
	shapes []*shape
	hot    *hot
}

// hot are values made of entries, so that those which repeat are made once.
type hot [hotMost / hotChunk]atomic.Pointer[[hotChunk]atomic.Pointer[ast.Term]]

func (w *words) bytes(id int) []byte {
	from := uint32(0)
	if id > 0 {
		from = w.ends[id-1]
	}
	return w.text[from:w.ends[id]]
}

// remembered returns where the value of an entry is kept, nil when it is not.
func (h *hot) remembered(id int) *atomic.Pointer[ast.Term] {
	if id >= hotMost {
		return nil
	}
	chunk := h[id/hotChunk].Load()
	if chunk == nil {
		chunk = new([hotChunk]atomic.Pointer[ast.Term])
		if !h[id/hotChunk].CompareAndSwap(nil, chunk) {
			chunk = h[id/hotChunk].Load()
		}
	}
	return &chunk[id%hotChunk]
}

// vocabulary is the growing one, for its one writer.
type vocabulary struct {
	sync.Mutex // held while a builder writes

	words   words
	index   []uint32 // of entries, plus one; open addressing
	shapeOf map[string]int
	once    sieve
}

func newVocabulary() *vocabulary {
	return &vocabulary{words: words{hot: new(hot)}, shapeOf: map[string]int{}}
}

// word returns the number of an entry that is this value. A value is entered
// when it is met for the second time.
func (v *vocabulary) word(value []byte) (int, bool) {
	h := hashBytes(value)
	if len(v.index) > 0 {
		for i := slot(h, len(v.index)); v.index[i] != 0; i = (i + 1) % len(v.index) {
			if id := int(v.index[i] - 1); string(v.words.bytes(id)) == string(value) {
				return id, true
			}
		}
	}
	if !v.once.seen(h) || len(v.words.ends) >= wordsMax || len(v.words.text)+len(value) > wordRoom {
		return 0, false
	}
	id := len(v.words.ends)
	v.words.text = append(v.words.text, value...)
	v.words.ends = append(v.words.ends, uint32(len(v.words.text)))
	if (id+1)*10 > len(v.index)*7 {
		v.reindex()
	} else {
		v.enter(h, id)
	}
	return id, true
}

func (v *vocabulary) enter(h uint64, id int) {
	i := slot(h, len(v.index))
	for v.index[i] != 0 {
		i = (i + 1) % len(v.index)
	}
	v.index[i] = uint32(id + 1)
}

func (v *vocabulary) reindex() {
	v.index = make([]uint32, max(64, len(v.words.ends)*2))
	for id := range v.words.ends {
		v.enter(hashBytes(v.words.bytes(id)), id)
	}
}

// shape returns the number of a list of keys that was met before.
func (v *vocabulary) shape(keys []string) (int, bool) {
	var few [256]byte
	joined := few[:0]
	for _, k := range keys {
		joined = appendText(joined, k)
	}
	if id, ok := v.shapeOf[string(joined)]; ok {
		return id, true
	}
	if len(v.words.shapes) >= shapeMax || !v.once.seen(hashBytes(joined)) {
		return 0, false
	}
	own := make([]string, len(keys))
	for i, k := range keys {
		own[i] = string(append([]byte(nil), k...))
	}
	id := len(v.words.shapes)
	v.words.shapes = append(v.words.shapes, newShape(own))
	v.shapeOf[string(joined)] = id
	return id, true
}

// trim lets go of the room that growing left over.
func (v *vocabulary) trim() {
	v.words.text = append(make([]byte, 0, len(v.words.text)), v.words.text...)
	v.words.ends = append(make([]uint32, 0, len(v.words.ends)), v.words.ends...)
	v.once = sieve{}
}

func (v *vocabulary) size() int64 {
	v.Lock()
	defer v.Unlock()
	return int64(cap(v.words.text) + 4*cap(v.words.ends) + 4*len(v.index) + 8*len(v.once.bits))
}

// sieve remembers hashes, not surely: it may take a new one for an old one, at
// most one in eight, and forgets all when it grows.
type sieve struct {
	bits  []uint64
	count int
}

const sieveMost = 1 << 26 // bits: 8 MiB

// seen reports whether the hash was met before, and remembers it.
func (s *sieve) seen(h uint64) bool {
	if s.bits == nil || s.count > len(s.bits)*64/8 && len(s.bits)*64 < sieveMost {
		s.bits = make([]uint64, max(1<<10, 4*len(s.bits)))
		s.count = 0
	}
	i := h % uint64(len(s.bits)*64)
	if s.bits[i/64]&(1<<(i%64)) != 0 {
		return true
	}
	s.bits[i/64] |= 1 << (i % 64)
	s.count++
	return false
}
