package value

import "hash/maphash"

// seed is new in each process, so that nobody can prepare names that collide.
var seed = maphash.MakeSeed()

// linearNames is how many names are compared each with each: below it that is
// faster than hashing.
const linearNames = 8

// nameSet finds a name that occurs twice. Its table is reused.
type nameSet struct {
	table []uint32 // open addressing; 0 is empty, else the index of a kid + 1
}

func (s *nameSet) trim() {
	if cap(s.table) > keepNodes {
		s.table = nil
	}
}

// duplicate returns the index of the first kid whose name an earlier one has, or -1.
func (s *nameSet) duplicate(kids []Value) int {
	if len(kids) <= linearNames {
		for i := 1; i < len(kids); i++ {
			name := kids[i].Name
			for j := range i {
				if kids[j].Name == name {
					return i
				}
			}
		}
		return -1
	}
	size := 32
	for size < 2*len(kids) {
		size *= 2
	}
	if cap(s.table) < size {
		s.table = make([]uint32, size)
	}
	table := s.table[:size]
	clear(table)
	mask := uint64(size - 1)
	for i := range kids {
		name := kids[i].Name
		at := maphash.String(seed, name) & mask
		for table[at] != 0 {
			if kids[table[at]-1].Name == name {
				return i
			}
			at = (at + 1) & mask
		}
		table[at] = uint32(i + 1)
	}
	return -1
}
