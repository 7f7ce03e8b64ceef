package value

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func decode(t testing.TB, src string) *Value {
	t.Helper()
	v, err := JSON([]byte(src), Limits{Keys: 1 << 30, Items: 1 << 30, Nodes: 1 << 30})
	if err != nil {
		t.Fatalf("%.80s: %v", src, err)
	}
	return v
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`null`, `null`, true}, {`null`, `false`, false}, {`0`, `false`, false}, {`""`, `null`, false}, {`1`, `"1"`, false},
		{`1`, `1.0`, true}, {`100`, `1e2`, true}, {`-0`, `0`, true}, {`1`, `-1`, false}, {`9007199254740993`, `9007199254740992`, false},
		{`"a"`, `"\u0061"`, true}, {`"a"`, `"A"`, false}, {`true`, `true`, true}, {`true`, `false`, false},
		{`[1,2]`, `[1,2.0]`, true}, {`[1,2]`, `[2,1]`, false}, {`[1]`, `[1,1]`, false}, {`[]`, `{}`, false},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true}, {`{"a":1,"b":2}`, `{"a":1,"c":2}`, false}, {`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"a":1,"b":1}`, false}, {`{"a":null}`, `{"b":null}`, false}, {`{"a":{"b":[1]}}`, `{"a":{"b":[1e0]}}`, true},
		{`{"a":1,"b":1}`, `{"b":1,"c":1}`, false},
	} {
		a, b := decode(t, c.a), decode(t, c.b)
		if Equal(a, b) != c.want || Equal(b, a) != c.want {
			t.Errorf("%s = %s: want %v", c.a, c.b, c.want)
		}
		if (a.Hash() == b.Hash()) != c.want {
			t.Errorf("hashes of %s and %s", c.a, c.b)
		}
	}
}

// shuffled is v with the members of each object in another order.
func shuffled(v Value, r *rand.Rand) Value {
	kids := make([]Value, len(v.Kids))
	for i := range v.Kids {
		kids[i] = shuffled(v.Kids[i], r)
	}
	if v.Kind == Object {
		r.Shuffle(len(kids), func(i, j int) { kids[i], kids[j] = kids[j], kids[i] })
	}
	v.Kids = kids
	return v
}

func TestEqualIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := FromAny(anyJSON(4).Draw(t, "a"))
		b := shuffled(a, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		if !Equal(&a, &b) || a.Hash() != b.Hash() {
			t.Fatalf("%s\n%s", Append(nil, &a), Append(nil, &b))
		}
		other := FromAny(anyJSON(4).Draw(t, "other"))
		if Equal(&a, &other) && a.Hash() != other.Hash() {
			t.Fatal("equal values hash apart")
		}
	})
}

func TestRepeated(t *testing.T) {
	for _, c := range []struct {
		src          string
		first, again int
		ok           bool
	}{
		{`[]`, 0, 0, false}, {`[1]`, 0, 0, false}, {`[1,1.0]`, 0, 1, true}, {`[1,true]`, 0, 0, false}, {`[{"a":1,"b":2},{"b":2,"a":1}]`, 0, 1, true},
		{`[1,2,3,4,5,6,3,2]`, 2, 6, true}, {`[1,2,3,4,5,6,"3",[2]]`, 0, 0, false}, {`[[0],[false],[""],[null],[{}],[[]]]`, 0, 0, false},
		{`[1,2,3,4,5,6,{"x":[1]},{"x":[1.0]}]`, 6, 7, true}, {`[5,5,5,5,5,5]`, 0, 1, true},
	} {
		first, again, ok := Repeated(decode(t, c.src).Kids)
		if first != c.first || again != c.again || ok != c.ok {
			t.Errorf("%s: %d %d %v", c.src, first, again, ok)
		}
	}
}

// Ten times the input may take about ten times as long, not a hundred times.
func TestLinearTime(t *testing.T) {
	cost := func(n int, f func(a, b *Value)) time.Duration {
		var x, y []string
		for i := range n {
			x = append(x, fmt.Sprintf(`"k%d":%d`, i, i))
			y = append(y, fmt.Sprintf(`"k%d":%d.0`, n-1-i, n-1-i))
		}
		a, b := decode(t, "{"+strings.Join(x, ",")+"}"), decode(t, "{"+strings.Join(y, ",")+"}")
		best := time.Hour
		for range 3 {
			start := time.Now()
			f(a, b)
			best = min(best, time.Since(start))
		}
		return best
	}
	for name, f := range map[string]func(a, b *Value){
		"Equal": func(a, b *Value) {
			if !Equal(a, b) {
				t.Error("not equal")
			}
		},
		"Repeated": func(a, _ *Value) {
			if _, _, ok := Repeated(a.Kids); ok {
				t.Error("repeated")
			}
		},
		"JSON": func(a, _ *Value) { decode(t, string(Append(nil, a))) },
	} {
		small, large := cost(3_000, f), cost(60_000, f)
		if large > 120*small && large > 500*time.Millisecond {
			t.Errorf("%s: %v for 3,000 and %v for 60,000", name, small, large)
		}
	}
}
