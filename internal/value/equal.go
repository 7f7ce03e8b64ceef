package value

import (
	"hash/maphash"
)

// Equal reports whether a and b are the same instance by JSON Schema's rules:
// numbers by value, objects without order. It takes time linear in their size.
func Equal(a, b *Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Bool, String:
		return a.Text == b.Text
	case Number:
		return a.Text == b.Text || CompareNumber(a.Text, b.Text) == 0
	case Array:
		if len(a.Kids) != len(b.Kids) {
			return false
		}
		for i := range a.Kids {
			if !Equal(&a.Kids[i], &b.Kids[i]) {
				return false
			}
		}
	case Object:
		return len(a.Kids) == len(b.Kids) && sameMembers(a, b)
	}
	return true
}

// sameMembers compares objects of as many members. Names are unique in each, so
// each member of a found in b is enough.
func sameMembers(a, b *Value) bool {
	same := 0
	for same < len(a.Kids) && a.Kids[same].Name == b.Kids[same].Name {
		if !Equal(&a.Kids[same], &b.Kids[same]) {
			return false
		}
		same++
	}
	restA, restB := a.Kids[same:], b.Kids[same:]
	if len(restA) <= linearNames {
		for i := range restA {
			if kid := b.Get(restA[i].Name); kid == nil || !Equal(&restA[i], kid) {
				return false
			}
		}
		return true
	}
	byName := make(map[string]*Value, len(restB))
	for i := range restB {
		byName[restB[i].Name] = &restB[i]
	}
	for i := range restA {
		if kid := byName[restA[i].Name]; kid == nil || !Equal(&restA[i], kid) {
			return false
		}
	}
	return true
}

// Hash returns a hash that Equal values share. It differs from process to
// process, so that nobody can prepare values that collide.
func (v *Value) Hash() uint64 {
	if v == nil {
		return 0
	}
	h := mix(uint64(v.Kind) + 1)
	switch v.Kind {
	case Bool, String:
		h = mix(h ^ maphash.String(seed, v.Text))
	case Number:
		d := decimalOf(v.Text)
		if d.neg {
			h = ^h
		}
		if d.large != nil {
			h = mix(h ^ maphash.Bytes(seed, d.large))
		} else {
			h = mix(h ^ d.small)
		}
		h = mix(h ^ uint64(d.exp))
	case Array:
		for i := range v.Kids {
			h = mix(h ^ v.Kids[i].Hash())
		}
	case Object:
		var sum uint64 // a sum, because members have no order
		for i := range v.Kids {
			sum += mix(maphash.String(seed, v.Kids[i].Name) ^ mix(v.Kids[i].Hash()))
		}
		h = mix(h ^ sum)
	}
	return h
}

// salt keys mix, which alone is public and can be run backwards.
var salt = maphash.String(seed, "value")

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += salt
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Repeated returns the indexes of the first element that equals an earlier one,
// earlier one first, or ok false when all differ. It takes time linear in the
// elements' size.
func Repeated(items []Value) (first, again int, ok bool) {
	if len(items) <= 4 {
		for i := 1; i < len(items); i++ {
			for j := range i {
				if Equal(&items[j], &items[i]) {
					return j, i, true
				}
			}
		}
		return 0, 0, false
	}
	seen := make(map[uint64]int, len(items)) // hash to the last index that has it
	var chain []int                          // index to the one before it with the same hash, +1
	for i := range items {
		h := items[i].Hash()
		j, found := seen[h]
		for found {
			if Equal(&items[j], &items[i]) {
				return j, i, true
			}
			if j >= len(chain) || chain[j] == 0 {
				break
			}
			j = chain[j] - 1
		}
		if found {
			if chain == nil {
				chain = make([]int, len(items))
			}
			chain[i] = seen[h] + 1
		}
		seen[h] = i
	}
	return 0, 0, false
}
