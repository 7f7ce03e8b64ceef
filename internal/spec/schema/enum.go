package schema

import "github.com/crenel-project/crenel/internal/value"

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
		d := v.Decimal()
		for _, b := range e.numbers {
			if b.compareTo(n, isSmall, &d) == 0 {
				return true
			}
		}
		return false
	}
	for _, o := range e.others {
		if value.Equal(o, v) {
			return true
		}
	}
	return false
}
