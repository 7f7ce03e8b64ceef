package schema

import (
	"hash/maphash"

	"github.com/crenel-project/crenel/internal/value"
)

// equal is JSON Schema's equality (core, section 4.2.2): numbers by their
// mathematical value, objects without regard to order.
func equal(a, b *value.Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case value.Null:
		return true
	case value.Bool, value.String:
		return a.Text == b.Text
	case value.Number:
		if a.Text == b.Text {
			return true
		}
		x, y := parseDecimal(a.Text), parseDecimal(b.Text)
		return x.valid && y.valid && compare(&x, &y) == 0
	case value.Array:
		if len(a.Kids) != len(b.Kids) {
			return false
		}
		for i := range a.Kids {
			if !equal(&a.Kids[i], &b.Kids[i]) {
				return false
			}
		}
		return true
	case value.Object:
		if len(a.Kids) != len(b.Kids) {
			return false
		}
		if len(a.Kids) > 16 {
			return equalLarge(a, b)
		}
		for i := range a.Kids {
			o := b.Get(a.Kids[i].Name)
			if o == nil || !equal(&a.Kids[i], o) {
				return false
			}
		}
		return true
	}
	return false
}

func equalLarge(a, b *value.Value) bool {
	index := make(map[string]*value.Value, len(b.Kids))
	for i := range b.Kids {
		index[b.Kids[i].Name] = &b.Kids[i]
	}
	for i := range a.Kids {
		o := index[a.Kids[i].Name]
		if o == nil || !equal(&a.Kids[i], o) {
			return false
		}
	}
	return true
}

// seed is random for each process, so that a caller cannot prepare collisions.
var seed = maphash.MakeSeed()

// hash gives equal values equal hashes.
func hash(v *value.Value) uint64 {
	const k = 0x9E3779B97F4A7C15
	h := (uint64(v.Kind) + 1) * k
	switch v.Kind {
	case value.Bool, value.String:
		h ^= maphash.String(seed, v.Text)
	case value.Number:
		h ^= hashNumber(v.Text)
	case value.Array:
		for i := range v.Kids {
			h = (h<<5 | h>>59) ^ hash(&v.Kids[i])
			h *= k
		}
	case value.Object:
		var sum uint64 // order must not matter
		for i := range v.Kids {
			m := maphash.String(seed, v.Kids[i].Name)
			m = (m<<7 | m>>57) ^ hash(&v.Kids[i])
			sum += m * k
		}
		h ^= sum
	}
	return h
}

func hashNumber(text string) uint64 {
	d := parseDecimal(text)
	if !d.valid {
		return maphash.String(seed, text)
	}
	var m maphash.Hash
	m.SetSeed(seed)
	for i := 0; i < len(d.span); i++ {
		if d.span[i] != '.' {
			_ = m.WriteByte(d.span[i])
		}
	}
	h := m.Sum64() ^ uint64(d.point)*0xff51afd7ed558ccd
	if d.neg {
		h = ^h
	}
	return h
}

// unique reports whether no two of the values are equal.
func unique(kids []value.Value) bool {
	if len(kids) <= 8 {
		for i := range kids {
			for j := i + 1; j < len(kids); j++ {
				if equal(&kids[i], &kids[j]) {
					return false
				}
			}
		}
		return true
	}
	seen := make(map[uint64][]int32, len(kids))
	for i := range kids {
		h := hash(&kids[i])
		for _, j := range seen[h] {
			if equal(&kids[i], &kids[j]) {
				return false
			}
		}
		seen[h] = append(seen[h], int32(i))
	}
	return true
}

// enumSet is the values of enum or const, arranged for look-up.
type enumSet struct {
	strings *names // nil: none
	numbers []*bound
	others  []*value.Value // objects and arrays
	kinds   kindSet        // kinds that occur
	null    bool
	yes, no bool
	values  []*value.Value // as written
}

func newEnum(values []*value.Value) *enumSet {
	e := &enumSet{values: values}
	var text []string
	for _, v := range values {
		e.kinds |= kindOf(v.Kind)
		switch v.Kind {
		case value.Null:
			e.null = true
		case value.Bool:
			if v.IsTrue() {
				e.yes = true
			} else {
				e.no = true
			}
		case value.Number:
			if b, ok := newBound(v.Text); ok {
				e.numbers = append(e.numbers, b)
			}
		case value.String:
			text = append(text, v.Text)
		case value.Array, value.Object:
			e.others = append(e.others, v)
		}
	}
	if text != nil {
		e.strings = newNames(text)
	}
	return e
}

func (e *enumSet) has(v *value.Value) bool {
	if e.kinds&kindOf(v.Kind) == 0 {
		return false
	}
	switch v.Kind {
	case value.Null:
		return e.null
	case value.Bool:
		return v.IsTrue() && e.yes || !v.IsTrue() && e.no
	case value.String:
		return e.strings.find(v.Text) >= 0
	case value.Number:
		n, isSmall := small(v.Text)
		var d decimal
		if !isSmall {
			d = parseDecimal(v.Text)
		} else if len(e.numbers) > 0 {
			d = parseDecimal(v.Text)
		}
		for _, b := range e.numbers {
			if b.compareTo(n, isSmall, &d) == 0 {
				return true
			}
		}
		return false
	}
	for _, o := range e.others {
		if equal(o, v) {
			return true
		}
	}
	return false
}
