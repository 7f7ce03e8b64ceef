package schema

import "github.com/crenel-project/crenel/internal/value"

// small reads a literal of at most 18 plain digits: nearly every number sent.
func small(text string) (int64, bool) {
	i, neg := 0, false
	if len(text) > 0 && text[0] == '-' {
		i, neg = 1, true
	}
	if len(text) == i || len(text)-i > 18 {
		return 0, false
	}
	var n int64
	for ; i < len(text); i++ {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// bound is one limit of a number, exact and, where it fits, as an int64.
type bound struct {
	text  string
	exact value.Decimal
	n     int64
	isInt bool
}

func newBound(text string) (*bound, bool) {
	d, ok := value.ParseDecimal(text)
	if !ok {
		return nil, false
	}
	b := &bound{text: text, exact: d}
	b.n, b.isInt = d.Int64()
	return b, true
}

// compareTo orders the number sent, as an int64 when isSmall, against the bound.
func (b *bound) compareTo(n int64, isSmall bool, d *value.Decimal) int {
	if isSmall && b.isInt {
		switch {
		case n < b.n:
			return -1
		case n > b.n:
			return 1
		}
		return 0
	}
	return d.Cmp(b.exact)
}
