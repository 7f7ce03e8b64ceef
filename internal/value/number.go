package value

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"unsafe"
)

// Decimal is a number exactly as its literal says: sign × digits × 10^exponent.
// A schema's bounds are parsed once and compared with many values; nothing here
// ever writes out a power of ten, so 1e308 costs what 1 costs.
//
// The zero Decimal is 0.
type Decimal struct {
	neg   bool
	small uint64 // the digits when there are at most 19, without trailing zeros
	large []byte // the digits when there are more, without leading or trailing zeros; else nil
	exp   int64
}

// maxExp is where an exponent is cut off: further out the order of two numbers
// no longer depends on it, and sums of exponents cannot overflow.
const maxExp = 1 << 40

// ParseDecimal reads a number in JSON's grammar.
func ParseDecimal(literal string) (Decimal, bool) {
	if end, _, ok := numberEnd(unsafe.Slice(unsafe.StringData(literal), len(literal)), 0); !ok || end != len(literal) {
		return Decimal{}, false
	}
	return decimalOf(literal), true
}

// decimalOf reads a literal that is known to be a JSON number. On anything else
// it returns some Decimal, and does not panic.
func decimalOf(s string) Decimal {
	var (
		d       Decimal
		i       int
		n       int   // significant digits in d.small
		zeros   int64 // zeros seen since the last digit that is none
		after   bool  // past the decimal point
		started bool  // past the leading zeros
	)
	if i < len(s) && s[i] == '-' {
		d.neg = true
		i++
	}
scan:
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			after = true
		case c == '0':
			if after {
				d.exp--
			}
			if started {
				zeros++
			}
		case c >= '1' && c <= '9':
			if after {
				d.exp--
			}
			if d.large == nil && n+int(zeros)+1 > 19 {
				d.large = make([]byte, 0, len(s))
				if n > 0 {
					d.large = strconv.AppendUint(d.large, d.small, 10)
				}
				d.small = 0
			}
			if d.large != nil {
				for ; zeros > 0; zeros-- {
					d.large = append(d.large, '0')
				}
				d.large = append(d.large, c)
				continue
			}
			n += int(zeros) + 1
			for ; zeros > 0; zeros-- {
				d.small *= 10
			}
			d.small = d.small*10 + uint64(c-'0')
			started = true
		default:
			break scan
		}
	}
	d.exp += zeros
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		d.exp += exponentOf(s[i+1:])
	}
	if d.small == 0 && d.large == nil {
		return Decimal{}
	}
	return d
}

func exponentOf(s string) int64 {
	neg := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		neg = s[0] == '-'
		s = s[1:]
	}
	var e int64
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if e = e*10 + int64(s[i]-'0'); e > maxExp {
			e = maxExp
			break
		}
	}
	if neg {
		return -e
	}
	return e
}

// Zero reports whether d is 0 (or -0, which is the same number).
func (d Decimal) Zero() bool { return d.small == 0 && d.large == nil }

// IsInteger reports whether d has no fractional part: 1.0 and 1e2 have none.
func (d Decimal) IsInteger() bool { return d.exp >= 0 }

// digits returns d's digits, without leading or trailing zeros.
func (d Decimal) digits(buf []byte) []byte {
	if d.large != nil {
		return d.large
	}
	return strconv.AppendUint(buf[:0], d.small, 10)
}

// count is how many digits d has before its exponent is applied.
func (d Decimal) count() int64 {
	if d.large != nil {
		return int64(len(d.large))
	}
	return int64(digitCount(d.small))
}

func digitCount(m uint64) int {
	n := 1
	for ; m >= 10; m /= 10 {
		n++
	}
	return n
}

// Sign returns -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.Zero():
		return 0
	case d.neg:
		return -1
	}
	return 1
}

// Cmp returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d Decimal) Cmp(e Decimal) int {
	sd, se := d.Sign(), e.Sign()
	if sd != se || sd == 0 {
		return cmp.Compare(sd, se)
	}
	return sd * d.cmpAbs(e)
}

func (d Decimal) cmpAbs(e Decimal) int {
	nd, ne := d.count(), e.count()
	switch md, me := nd+d.exp, ne+e.exp; { // where the first digit stands
	case md < me:
		return -1
	case md > me:
		return 1
	}
	if d.large == nil && e.large == nil {
		a, b := d.small, e.small
		for ; nd < ne; nd++ {
			a *= 10 // at most 19 digits: a uint64 holds them
		}
		for ; ne < nd; ne++ {
			b *= 10
		}
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	}
	var bufD, bufE [20]byte
	return bytes.Compare(d.digits(bufD[:]), e.digits(bufE[:]))
}

// MultipleOf reports whether d is an integer multiple of e, exactly. Nothing is
// a multiple of 0.
func (d Decimal) MultipleOf(e Decimal) bool {
	if e.Zero() {
		return false
	}
	if d.Zero() {
		return true
	}
	k := d.exp - e.exp
	if k < 0 {
		return false // d's digits end in no zero, so they hold no factor 10^-k
	}
	// d/e = (digits of d × 10^k) / digits of e; 10^k is taken modulo the divisor.
	if d.large == nil && e.large == nil {
		m := e.small
		return mulMod(d.small%m, powMod(10, uint64(k), m), m) == 0
	}
	var bufD, bufE [20]byte
	a, _ := new(big.Int).SetString(string(d.digits(bufD[:])), 10)
	m, _ := new(big.Int).SetString(string(e.digits(bufE[:])), 10)
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(k), m)
	return p.Mul(p, a).Mod(p, m).Sign() == 0
}

func mulMod(a, b, m uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return bits.Rem64(hi, lo, m)
}

func powMod(base, k, m uint64) uint64 {
	out := 1 % m
	for base %= m; k > 0; k >>= 1 {
		if k&1 == 1 {
			out = mulMod(out, base, m)
		}
		base = mulMod(base, base, m)
	}
	return out
}

// Int64 returns d when it is an integer that an int64 holds.
func (d Decimal) Int64() (int64, bool) {
	if d.exp < 0 || d.large != nil || d.exp > 18 {
		return 0, false
	}
	m := d.small
	for k := d.exp; k > 0; k-- {
		hi, lo := bits.Mul64(m, 10)
		if hi != 0 {
			return 0, false
		}
		m = lo
	}
	switch {
	case d.neg && m <= 1<<63:
		return -int64(m), true // -(1<<63) is its own negative
	case !d.neg && m <= math.MaxInt64:
		return int64(m), true
	}
	return 0, false
}

// IsNumber reports whether s is a number that the JSON decoder would accept: in
// its grammar, and in the range of a float64.
func IsNumber(s string) bool {
	end, exponent, ok := numberEnd(unsafe.Slice(unsafe.StringData(s), len(s)), 0)
	return ok && end == len(s) && ((!exponent && len(s) <= 300) || inRange(s))
}

// Decimal returns a Number's exact value; 0 for any other kind.
func (v *Value) Decimal() Decimal {
	if v == nil || v.Kind != Number {
		return Decimal{}
	}
	return decimalOf(v.Text)
}

// Int64 returns a Number's value when it is an integer that an int64 holds:
// "7", "7.0" and "7e0" are all 7.
func (v *Value) Int64() (int64, bool) {
	if v == nil || v.Kind != Number {
		return 0, false
	}
	return decimalOf(v.Text).Int64()
}

// Float64 returns the float64 nearest to a Number; 0 for any other kind.
func (v *Value) Float64() float64 {
	if v == nil || v.Kind != Number {
		return 0
	}
	f, _ := strconv.ParseFloat(v.Text, 64)
	return f
}

// IsInteger reports whether v is a Number without a fractional part, as JSON
// Schema counts: 1.0 and 1e2 are integers.
func (v *Value) IsInteger() bool {
	if v == nil || v.Kind != Number {
		return false
	}
	if isPlainInteger(v.Text) {
		return true
	}
	return decimalOf(v.Text).IsInteger()
}

func isPlainInteger(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

// CompareNumber compares two JSON number literals by value, exactly.
func CompareNumber(a, b string) int { return decimalOf(a).Cmp(decimalOf(b)) }
