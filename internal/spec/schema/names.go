package schema

import "github.com/crenel-project/crenel/internal/value"

// kindSet is a set of value.Kinds, one bit each.
type kindSet uint8

const anyKind kindSet = 1<<(value.Object+1) - 1

func kindOf(k value.Kind) kindSet { return 1 << k }

// names looks strings up among a fixed set: a table in which no two of them
// collide under a hash of their length and three of their bytes, found when the
// schema is compiled; a map where no such hash exists.
type names struct {
	list  []string
	slots []int32 // index into list plus one
	mul   uint32
	shift uint32
	index map[string]int32
}

// newNames arranges the set; duplicates keep their first place.
func newNames(list []string) *names {
	n := &names{list: list}
	if len(list) <= 256 && n.perfect() {
		return n
	}
	n.slots = nil
	n.index = make(map[string]int32, len(list))
	for i, s := range list {
		if _, dup := n.index[s]; !dup {
			n.index[s] = int32(i)
		}
	}
	return n
}

func (n *names) perfect() bool {
	size, log := 4, uint32(2)
	for size < 2*len(n.list) {
		size, log = size*2, log+1
	}
	for grow := 0; grow < 3; grow++ {
		n.shift = 32 - log
		for try := uint32(0); try < 64; try++ {
			n.mul = 2654435761 + try*2246822518 | 1
			if n.fill(size) {
				return true
			}
		}
		size, log = size*2, log+1
	}
	return false
}

func (n *names) fill(size int) bool {
	n.slots = make([]int32, size)
	for i, s := range n.list {
		h := n.hash(s)
		if at := n.slots[h]; at != 0 {
			if n.list[at-1] == s {
				continue
			}
			return false
		}
		n.slots[h] = int32(i) + 1
	}
	return true
}

func (n *names) hash(s string) uint32 {
	h := uint32(len(s)) * 31
	if len(s) > 0 {
		h += uint32(s[0]) | uint32(s[len(s)-1])<<8 | uint32(s[len(s)/2])<<16
		h ^= uint32(s[len(s)/3]) << 24
	}
	return (h * n.mul) >> n.shift
}

// find returns the index of s, or -1.
func (n *names) find(s string) int {
	if n == nil {
		return -1
	}
	if n.slots != nil {
		if i := n.slots[n.hash(s)]; i != 0 && n.list[i-1] == s {
			return int(i - 1)
		}
		return -1
	}
	if i, ok := n.index[s]; ok {
		return int(i)
	}
	return -1
}
