package schema

import (
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// decimal is a JSON number literal taken apart without loss: floats would let
// 9007199254740993 pass an enum of 9007199254740992. Its value is
// 0.d1d2d3… × 10^point, where the digits are those of span ('.' skipped).
type decimal struct {
	span  string // from the first to the last significant digit; may hold one '.'
	count int    // digits in span
	point int64
	neg   bool
	valid bool
}

// maxExponent bounds exponents so that sums of them cannot overflow.
const maxExponent = 1 << 40

// parseDecimal reads a JSON number (RFC 8259, section 6). Leading zeros and a
// leading plus are accepted in what comes from a schema; the decoders of
// instances refuse them before.
func parseDecimal(text string) decimal {
	var d decimal
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		d.neg = text[i] == '-'
		i++
	}
	first, last, dot, digits := -1, -1, -1, 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' {
			if dot >= 0 {
				return decimal{}
			}
			dot = i
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if c != '0' {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if digits == 0 {
		return decimal{}
	}
	end := i
	var exp int64
	if i < len(text) {
		if text[i] != 'e' && text[i] != 'E' || i+1 == len(text) {
			return decimal{}
		}
		e, err := strconv.ParseInt(strings.TrimPrefix(text[i+1:], "+"), 10, 64)
		if err != nil && e == 0 {
			return decimal{}
		}
		exp = min(max(e, -maxExponent), maxExponent)
	}
	d.valid = true
	if first < 0 {
		d.neg = false // -0 equals 0
		return d
	}
	if dot < 0 {
		dot = end
	}
	d.span = text[first : last+1]
	d.count = len(d.span)
	if dot > first && dot < last {
		d.count--
	}
	if first < dot {
		d.point = int64(dot - first)
	} else {
		d.point = int64(dot - first + 1)
	}
	d.point += exp
	return d
}

func (d *decimal) zero() bool { return d.count == 0 }

// whole reports whether the number has no fractional part.
func (d *decimal) whole() bool { return d.count == 0 || int64(d.count) <= d.point }

// compare returns -1, 0 or +1 as a is less than, equal to or greater than b.
func compare(a, b *decimal) int {
	if a.count == 0 || b.count == 0 {
		switch {
		case a.count == 0 && b.count == 0:
			return 0
		case a.count == 0:
			return sign(!b.neg)
		default:
			return -sign(!a.neg)
		}
	}
	if a.neg != b.neg {
		return -sign(!a.neg)
	}
	c := compareMagnitude(a, b)
	if a.neg {
		return -c
	}
	return c
}

// sign is -1 for true, +1 for false: the order of zero and a positive number.
func sign(positive bool) int {
	if positive {
		return -1
	}
	return 1
}

func compareMagnitude(a, b *decimal) int {
	if a.point != b.point {
		if a.point < b.point {
			return -1
		}
		return 1
	}
	i, j := 0, 0
	for i < len(a.span) && j < len(b.span) {
		if a.span[i] == '.' {
			i++
		}
		if b.span[j] == '.' {
			j++
		}
		if a.span[i] != b.span[j] {
			if a.span[i] < b.span[j] {
				return -1
			}
			return 1
		}
		i, j = i+1, j+1
	}
	switch {
	case i < len(a.span):
		return 1
	case j < len(b.span):
		return -1
	}
	return 0
}

// multipleOf reports whether a is an exact multiple of m, m not zero.
func multipleOf(a, m *decimal) bool {
	if a.zero() {
		return true
	}
	// a = A·10^x, m = M·10^y with A and M free of factors of ten.
	e := (a.point - int64(a.count)) - (m.point - int64(m.count))
	if e < 0 {
		return false // a would need a factor of ten that it does not have
	}
	if m.count <= 19 {
		mod := m.uint64()
		r := a.mod(mod)
		return mulMod(r, powMod(10, uint64(e), mod), mod) == 0
	}
	mod := m.bigInt()
	r := a.bigInt()
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(e), mod)
	r.Mul(r, p).Mod(r, mod)
	return r.Sign() == 0
}

func (d *decimal) uint64() uint64 {
	var n uint64
	for i := 0; i < len(d.span); i++ {
		if c := d.span[i]; c != '.' {
			n = n*10 + uint64(c-'0')
		}
	}
	return n
}

func (d *decimal) mod(m uint64) uint64 {
	var r uint64
	for i := 0; i < len(d.span); i++ {
		if c := d.span[i]; c != '.' {
			r = addMod(mulMod(r, 10, m), uint64(c-'0')%m, m)
		}
	}
	return r
}

func (d *decimal) bigInt() *big.Int {
	n, _ := new(big.Int).SetString(strings.ReplaceAll(d.span, ".", ""), 10)
	return n
}

func addMod(a, b, m uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	_, r := bits.Div64(carry, sum, m)
	return r
}

func mulMod(a, b, m uint64) uint64 {
	hi, lo := bits.Mul64(a%m, b%m)
	_, r := bits.Div64(hi, lo, m)
	return r
}

func powMod(base, exp, m uint64) uint64 {
	r := 1 % m
	base %= m
	for ; exp > 0; exp >>= 1 {
		if exp&1 == 1 {
			r = mulMod(r, base, m)
		}
		base = mulMod(base, base, m)
	}
	return r
}

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
	exact decimal
	n     int64
	isInt bool
}

func newBound(text string) (*bound, bool) {
	d := parseDecimal(text)
	if !d.valid {
		return nil, false
	}
	b := &bound{text: text, exact: d}
	if d.whole() && d.point <= 18 {
		n := int64(d.uint64())
		for i := int64(d.count); i < d.point; i++ {
			n *= 10
		}
		if d.neg {
			n = -n
		}
		b.n, b.isInt = n, true
	}
	return b, true
}

// compareTo orders the number sent against the bound.
func (b *bound) compareTo(n int64, isSmall bool, d *decimal) int {
	if isSmall && b.isInt {
		switch {
		case n < b.n:
			return -1
		case n > b.n:
			return 1
		}
		return 0
	}
	return compare(d, &b.exact)
}
