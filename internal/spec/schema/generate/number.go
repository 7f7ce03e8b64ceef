package generate

import (
	"math/big"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// span is where a number may lie.
type span struct {
	low, high    *big.Rat // nil: no bound
	above, below bool     // the bound itself is out
	step         *big.Rat // nil: any
}

func rat(text string) *big.Rat {
	// Exponents are bounded, so that no literal makes a number of a million digits.
	if d, ok := value.ParseDecimal(text); !ok || strings.ContainsAny(text, "eE") && tooFar(d) {
		return nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}
	return r
}

func tooFar(d value.Decimal) bool {
	low, _ := value.ParseDecimal("1e-400")
	high, _ := value.ParseDecimal("1e400")
	if d.Sign() < 0 {
		neg, _ := value.ParseDecimal("-1e400")
		return d.Cmp(neg) < 0
	}
	return d.Sign() > 0 && (d.Cmp(high) > 0 || d.Cmp(low) < 0)
}

// spanOf merges the bounds of all rules.
func (n *need) spanOf(integer bool) *span {
	s := &span{}
	raise := func(text string, out bool) {
		if r := rat(text); text != "" && r != nil && (s.low == nil || r.Cmp(s.low) > 0 || r.Cmp(s.low) == 0 && out) {
			s.low, s.above = r, out
		}
	}
	lower := func(text string, out bool) {
		if r := rat(text); text != "" && r != nil && (s.high == nil || r.Cmp(s.high) < 0 || r.Cmp(s.high) == 0 && out) {
			s.high, s.below = r, out
		}
	}
	if integer {
		s.step = big.NewRat(1, 1)
	}
	for _, r := range n.rules {
		raise(r.Bounds.Minimum, false)
		raise(r.Bounds.ExclusiveMinimum, true)
		lower(r.Bounds.Maximum, false)
		lower(r.Bounds.ExclusiveMaximum, true)
		for _, m := range r.Bounds.MultipleOf {
			if step := rat(m); step != nil {
				s.step = common(s.step, step)
			}
		}
	}
	return s
}

// common is the least common multiple of two steps.
func common(a, b *big.Rat) *big.Rat {
	if a == nil {
		return b
	}
	num := new(big.Int).Mul(a.Num(), b.Denom())
	other := new(big.Int).Mul(b.Num(), a.Denom())
	den := new(big.Int).Mul(a.Denom(), b.Denom())
	gcd := new(big.Int).GCD(nil, nil, num, other)
	lcm := new(big.Int).Div(new(big.Int).Mul(num, other), gcd)
	return new(big.Rat).SetFrac(lcm, den)
}

// number makes a number within the bounds.
func (g *maker) number(n *need, integer bool) (value.Value, error) {
	s := n.spanOf(integer)
	low, high := s.low, s.high
	width := big.NewRat(1000, 1)
	if s.step != nil && s.step.Cmp(big.NewRat(1, 1)) > 0 {
		width.Mul(width, s.step)
	}
	zero := new(big.Rat)
	switch {
	case low == nil && high == nil:
		low, high = zero, width
	case low == nil:
		low = new(big.Rat).Sub(high, width)
	case high == nil:
		high = new(big.Rat).Add(low, width)
	}
	if low.Cmp(high) > 0 {
		return value.Value{}, ErrNoValue
	}
	if spread := new(big.Rat).Sub(high, low); spread.Cmp(width) > 0 { // stay near zero
		switch {
		case low.Sign() < 0 && high.Sign() > 0:
			if high.Cmp(width) > 0 {
				high = width
			}
			low = zero
		case low.Sign() >= 0:
			high = new(big.Rat).Add(low, width)
		default:
			low = new(big.Rat).Sub(high, width)
		}
	}
	step := s.step
	if step == nil {
		step = big.NewRat(1, 100)
		if room := new(big.Rat).Sub(high, low); room.Sign() > 0 {
			for room.Cmp(new(big.Rat).Mul(step, big.NewRat(4, 1))) < 0 && step.Denom().BitLen() < 2000 {
				step = new(big.Rat).Mul(step, big.NewRat(1, 10))
			}
		} else if !s.above && !s.below {
			return numberOf(low)
		}
	}
	first := ceil(new(big.Rat).Quo(low, step))
	last := floor(new(big.Rat).Quo(high, step))
	if s.above && low == s.low && new(big.Rat).Mul(new(big.Rat).SetInt(first), step).Cmp(low) == 0 {
		first.Add(first, big.NewInt(1))
	}
	if s.below && high == s.high && new(big.Rat).Mul(new(big.Rat).SetInt(last), step).Cmp(high) == 0 {
		last.Sub(last, big.NewInt(1))
	}
	count := new(big.Int).Sub(last, first)
	if count.Sign() < 0 {
		return value.Value{}, ErrNoValue
	}
	k := new(big.Int).Set(first)
	if count.IsInt64() {
		k.Add(k, big.NewInt(g.rng.Int64N(min(count.Int64(), 1<<40)+1)))
	}
	return numberOf(new(big.Rat).Mul(new(big.Rat).SetInt(k), step))
}

func floor(r *big.Rat) *big.Int {
	q, _ := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	return q
}

func ceil(r *big.Rat) *big.Int {
	q := floor(new(big.Rat).Neg(r))
	return q.Neg(q)
}

// numberOf writes a number as a JSON literal.
func numberOf(r *big.Rat) (value.Value, error) {
	if r.IsInt() {
		return value.Value{Kind: value.Number, Text: r.Num().String()}, nil
	}
	digits, exact := r.FloatPrec()
	if !exact || digits > 400 {
		return value.Value{}, ErrNoValue
	}
	return value.Value{Kind: value.Number, Text: r.FloatString(digits)}, nil
}
