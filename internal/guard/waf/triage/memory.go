package triage

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// memory remembers which rules match a text: names, header fields and
// common values come again and again. A text is known by a keyed digest of 128
// bits, so that nobody can make another that is taken for it.
type memory struct {
	seeds  [2]maphash.Seed
	shards *[memoryShards]memoryShard
}

type textKey [2]uint64

const (
	memoryShards = 16
	memoryHalf   = 2048 // in a shard: 2 generations of 32,768 in all, about 3 MB
	memoryLength = 1024 // longer texts do not come again
	memoryValue  = 64   // longer values hardly do
)

type memoryShard struct {
	mu         sync.RWMutex
	young, old map[textKey][]*rule
}

func newMemory() memory {
	n := memory{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, shards: new([memoryShards]memoryShard)}
	for i := range n.shards {
		n.shards[i].young = map[textKey][]*rule{}
	}
	return n
}

// key digests all that decides whether a rule matches.
func (n *memory) key(t *Text) (k textKey) {
	for i := range k {
		h := maphash.String(n.seeds[i], t.Text)
		if t.Name != t.Text { // a name is its own name
			h += bits.RotateLeft64(maphash.String(n.seeds[i], t.Name), 32) * 0x9e3779b97f4a7c15
		}
		k[i] = h + uint64(t.Kind)*0xd1342543de82ef95
	}
	return k
}

// get returns the rules that match the text, if it is known.
func (n *memory) get(k textKey) (rules []*rule, known bool) {
	s := &n.shards[k[0]%memoryShards]
	s.mu.RLock()
	rules, known = s.young[k]
	if known {
		s.mu.RUnlock()
		return rules, true
	}
	rules, known = s.old[k]
	s.mu.RUnlock()
	if known {
		s.store(k, rules)
	}
	return rules, known
}

// keeps reports whether a text is worth remembering.
func (n *memory) keeps(t *Text) bool {
	return len(t.Text)+len(t.Name) <= memoryLength && (t.Kind != Arg || len(t.Text) <= memoryValue)
}

func (n *memory) put(k textKey, rules []*rule) {
	n.shards[k[0]%memoryShards].store(k, rules)
}

func (s *memoryShard) store(k textKey, rules []*rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= memoryHalf {
		s.old, s.young = s.young, make(map[textKey][]*rule, memoryHalf)
	}
	s.young[k] = rules
}

// silences remembers texts in which no rule finds anything, be it whatever their name is
// or with it: most texts are of these. Who looks something up waits for nobody.
type silences struct {
	seeds [2]maphash.Seed
	// slots hold digests of 128 bits, each where its first half says, or beside. A
	// digest that is read while another takes its place is neither of the two.
	slots *[silenceSlots][2]atomic.Uint64
}

const silenceSlots = 1 << 14 // 256 KB

func newSilences() silences {
	return silences{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, slots: new([silenceSlots][2]atomic.Uint64)}
}

// key digests a text whose name does not matter.
func (n *silences) key(kind Kind, text string) (k textKey) {
	for i := range k {
		k[i] = maphash.String(n.seeds[i], text) ^ (uint64(kind)+1)*0x9e3779b97f4a7c15
	}
	return k
}

func (n *silences) has(k textKey) bool {
	i := k[0] % silenceSlots
	a, b := &n.slots[i], &n.slots[i^1]
	return a[0].Load() == k[0] && a[1].Load() == k[1] || b[0].Load() == k[0] && b[1].Load() == k[1]
}

func (n *silences) put(k textKey) {
	s := &n.slots[k[0]%silenceSlots^k[1]&1]
	s[0].Store(k[0])
	s[1].Store(k[1])
}
