package value

import (
	"math/big"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func number(s string) *Value { return &Value{Kind: Number, Text: s} }

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text    string
		integer bool
		n       int64
		fits    bool
	}{
		{"0", true, 0, true}, {"-0", true, 0, true}, {"0.0", true, 0, true}, {"0e5", true, 0, true}, {"0.000e-9", true, 0, true},
		{"1", true, 1, true}, {"1.0", true, 1, true}, {"1e2", true, 100, true}, {"1.5e1", true, 15, true}, {"150e-1", true, 15, true},
		{"1.5", false, 0, false}, {"15e-1", false, 0, false}, {"1e-1", false, 0, false}, {"-2.50", false, 0, false},
		{"9223372036854775807", true, 9223372036854775807, true}, {"9223372036854775808", true, 0, false},
		{"-9223372036854775808", true, -9223372036854775808, true}, {"-9223372036854775809", true, 0, false},
		{"92233720368547758.07e2", true, 9223372036854775807, true},
		{"1e18", true, 1e18, true}, {"1e19", true, 0, false}, {"1e308", true, 0, false},
		{"123456789012345678901234567890", true, 0, false}, {"0.1e30", true, 0, false},
		{"100000000000000000000.5", false, 0, false}, {"10000000000000000000e-19", true, 1, true},
		{"1e99999999999999999999", true, 0, false}, {"1e-99999999999999999999", false, 0, false},
	} {
		v := number(c.text)
		n, fits := v.Int64()
		if v.IsInteger() != c.integer || n != c.n || fits != c.fits {
			t.Errorf("%s: integer %v, int64 %d %v; want %v, %d %v", c.text, v.IsInteger(), n, fits, c.integer, c.n, c.fits)
		}
	}
	for _, v := range []*Value{nil, {}, {Kind: String, Text: "1"}} {
		if _, ok := v.Int64(); ok || v.IsInteger() || v.Float64() != 0 || !v.Decimal().Zero() {
			t.Errorf("%v is taken for a number", v)
		}
	}
}

func TestIsNumber(t *testing.T) {
	for s, want := range map[string]bool{
		"1": true, "-0.5e+3": true, "": false, "-": false, "01": false, "1 ": false, " 1": false, "1e999": false, "1e-999": false,
		"NaN": false, "0x1": false, "1_0": false, "+1": false, "1.": false, ".1": false, "0e999": true, "१": false,
	} {
		if IsNumber(s) != want {
			t.Errorf("IsNumber(%q) = %v", s, !want)
		}
	}
}

// literal draws a JSON number whose exact value fits a big.Rat cheaply.
var literal = rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`)

func rat(t *rapid.T, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("big.Rat refuses %q", s)
	}
	return r
}

func TestDecimalIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := literal.Draw(t, "a"), literal.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") { // the same number written otherwise, or its neighbour
			b = rat(t, a).FloatString(rapid.IntRange(20, 60).Draw(t, "places"))
		}
		ra, rb := rat(t, a), rat(t, b)
		da, ok := ParseDecimal(a)
		if !ok {
			t.Fatalf("%q refused", a)
		}
		db, _ := ParseDecimal(b)
		if got, want := da.Cmp(db), ra.Cmp(rb); got != want {
			t.Fatalf("%s cmp %s = %d, want %d", a, b, got, want)
		}
		if got := da.IsInteger(); got != ra.IsInt() {
			t.Fatalf("%s integer: %v", a, got)
		}
		if got := da.MultipleOf(db); got != (rb.Sign() != 0 && new(big.Rat).Quo(ra, nonZero(rb)).IsInt()) {
			t.Fatalf("%s multipleOf %s: %v", a, b, got)
		}
		n, fits := da.Int64()
		if want := ra.IsInt() && ra.Num().IsInt64(); fits != want || (fits && n != ra.Num().Int64()) {
			t.Fatalf("%s int64: %d %v", a, n, fits)
		}
		if Equal(number(a), number(b)) != (ra.Cmp(rb) == 0) {
			t.Fatalf("%s equal %s", a, b)
		}
		if ra.Cmp(rb) == 0 && number(a).Hash() != number(b).Hash() {
			t.Fatalf("%s and %s are equal and hash apart", a, b)
		}
		f, _ := strconv.ParseFloat(a, 64)
		if number(a).Float64() != f {
			t.Fatalf("%s float64", a)
		}
	})
}

func nonZero(r *big.Rat) *big.Rat {
	if r.Sign() == 0 {
		return big.NewRat(1, 1)
	}
	return r
}

func TestMultipleOf(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		a, of string
		want  bool
	}{
		{"10", "0.01", true}, {"19.99", "0.01", true}, {"0.0075", "0.0001", true}, {"0.00751", "0.0001", false},
		{"1e308", "0.01", true}, {"1e308", "0.123456789", false}, {"1e308", "0.5", true}, {"4.07", "0.01", true},
		{"9007199254740993", "2", false}, {"1e308", "7", false}, {"12391239123", "1e-8", true}, {"-6", "2", true}, {"6", "-2", true},
		{"0", "3", true}, {"3", "0", false}, {"5", "10", false}, {"1e1000000000000", "3", false}, {"1e1000000000000", "1e-1000000000000", true},
		{"123456789012345678901234567890", "10", true}, {"123456789012345678901234567890", "11", false}, {"1", "1e1000000000000", false},
	} {
		a, _ := ParseDecimal(c.a)
		of, _ := ParseDecimal(c.of)
		if got := a.MultipleOf(of); got != c.want {
			t.Errorf("%s multipleOf %s = %v", c.a, c.of, got)
		}
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v: an exponent was written out", d)
	}
}

func BenchmarkDecimal(b *testing.B) {
	bound, _ := ParseDecimal("1000")
	v := number("48213.25")
	b.ReportAllocs()
	for b.Loop() {
		if v.Decimal().Cmp(bound) <= 0 {
			b.Fatal("order")
		}
	}
}
