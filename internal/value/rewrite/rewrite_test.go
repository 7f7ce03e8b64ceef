package rewrite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/value"
)

func pointerFilter(t testing.TB, drop, mask string) Filter {
	t.Helper()
	f, err := Pointers(strings.Fields(drop), strings.Fields(mask), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ src, drop, mask, want string }{
		{`{"a":1,"b":2,"c":3}`, "/a", "", `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "/b", "", `{"a":1,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "/c", "", `{"a":1,"b":2}`},
		{`{"a":1,"b":2,"c":3}`, "/a /b /c", "", `{}`},
		{`{"a":1,"b":2,"c":3}`, "/*", "", `{}`},
		{`{"a":1,"b":2,"c":3}`, "/a /c", "", `{"b":2}`},
		{"{\n  \"a\": 1,\n  \"b\" : [2],\n  \"c\": 3\n}\n", "/b", "", "{\n  \"a\": 1,\n  \"c\": 3\n}\n"},
		{"{\n  \"a\": 1,\n  \"b\": 2\n}", "/a", "", "{\n  \"b\": 2\n}"},
		{"{ \"a\": 1 , \"b\": 2 }", "/b", "", "{ \"a\": 1 }"},
		{`[1,2,3]`, "/0", "", `[2,3]`},
		{`[1,2,3]`, "/1", "", `[1,3]`},
		{`[1, 2, 3 ]`, "/2", "", `[1, 2 ]`},
		{`[1,[2,3],{"a":4}]`, "/*/*", "", `[1,[],{}]`},
		{`{"items":[{"card":{"number":"4111","exp":"1/30"}},{"card":null}]}`, "", "/items/*/card/number", `{"items":[{"card":{"number":"***","exp":"1/30"}},{"card":null}]}`},
		{`{"items":[{"card":{"number":"4111","exp":1}},{"card":null}]}`, "", "/items/*/card", `{"items":[{"card":{"number":"***","exp":null}},{"card":null}]}`},
		{`{"a":{"ssn":1,"b":[{"ssn":2,"x":3}]},"ssn":4}`, "/**/ssn", "", `{"a":{"b":[{"x":3}]}}`},
		{`{"a":{"b":1,"c":{"b":[true]}}}`, "", "/a/**/b", `{"a":{"b":null,"c":{"b":[null]}}}`},
		{`{"a":"x","b":["y",{"c":"z"}]}`, "", "/**", `{"a":"***","b":["***",{"c":"***"}]}`},
		{`"x"`, "", "/**", `"***"`},
		{`{"a":{"x":1},"b":2}`, "/a/**", "", `{"b":2}`},
		{`{"a/b":1,"m~n":2,"":3,"*":4}`, "/a~1b /m~0n /", "", `{"*":4}`},
		{`{"\u0061":1,"b":2}`, "/a", "", `{"b":2}`},
		{`{"a":[1,2],"b":1.50e+01,"c":"\u00e9\/"}`, "/x", "/y", `{"a":[1,2],"b":1.50e+01,"c":"\u00e9\/"}`},
		{`{"a":1,"b":"secret"}`, "/b", "/b", `{"a":1}`},
		{`{"0":1,"1":2}`, "/0", "", `{"1":2}`},
		{`{"01":1,"b":[1,2]}`, "/01 /b/01", "", `{"b":[1,2]}`},
		{` `, "", "", ``},
	} {
		o := Options{Filters: []Filter{pointerFilter(t, c.drop, c.mask)}, Many: c.src == " "}
		if o.Many {
			c.want = c.src
		}
		got, _, err := Bytes([]byte(c.src), o)
		if err != nil || string(got) != c.want {
			t.Errorf("%s drop %q mask %q: got %s, %v; want %s", c.src, c.drop, c.mask, got, err, c.want)
		}
		for name, r := range map[string]io.Reader{
			"one byte": iotest.OneByteReader(strings.NewReader(c.src)), "half": iotest.HalfReader(strings.NewReader(c.src)),
		} {
			var out bytes.Buffer
			if report, err := Copy(&out, r, o); err != nil || out.String() != c.want || report.In != int64(len(c.src)) || report.Out != int64(out.Len()) {
				t.Errorf("%s in chunks of %s: got %s, %v, %+v", c.src, name, out.String(), err, report)
			}
		}
	}
}

// evens drops odd numbers by their value and doubles the text of strings.
type evens struct{}

func (evens) Root() State                              { return State{} }
func (evens) Member(s State, _ string) (State, Action) { return s, Keep }
func (evens) Item(s State, _ int) (State, Action)      { return s, Keep }
func (evens) Scalar(_ State, kind value.Kind, text string) ([]byte, Action) {
	switch {
	case kind == value.Number && (text[len(text)-1]-'0')%2 == 1:
		return nil, Drop
	case kind == value.String:
		return value.AppendString(nil, text+text), Replace
	}
	return nil, Keep
}

func TestFiltersTogether(t *testing.T) {
	o := Options{Filters: []Filter{pointerFilter(t, "/z /*/q", "/s"), evens{}, pointerFilter(t, "", "/s /n")}}
	src := `{"s":"a\n","z":{"s":"x","y":[1]},"l":[1,2,3,4,"é",[5]],"n":8,"t":"q","o":{"p":7,"q":6}}`
	want := `{"s":"***","l":[2,4,"éé",[]],"n":null,"t":"qq","o":{}}`
	got, report, err := Bytes([]byte(src), o)
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if d := cmp.Diff(Report{
		Documents: 1, In: int64(len(src)), Out: int64(len(want)), Dropped: 6, Masked: 4,
		DroppedAt: []string{"/z", "/l/*", "/l/*/*", "/o/p", "/o/q"}, MaskedAt: []string{"/s", "/l/*", "/n", "/t"},
	}, report); d != "" {
		t.Error(d)
	}
	if got, _, err := Bytes([]byte(`7`), Options{Filters: []Filter{evens{}}}); string(got) != "null" || err != nil {
		t.Errorf("a dropped document: %s %v", got, err)
	}
}

type badMask struct{ evens }

func (badMask) Scalar(State, value.Kind, string) ([]byte, Action) { return []byte(`"a","b"`), Replace }

func TestReplacementMustBeScalar(t *testing.T) {
	if got, _, err := Bytes([]byte(`[1]`), Options{Filters: []Filter{badMask{}}}); err == nil {
		t.Errorf("accepted: %s", got)
	}
}

func TestMany(t *testing.T) {
	o := Options{Filters: []Filter{pointerFilter(t, "/a", "")}, Many: true, Limits: value.Limits{Nodes: 3}}
	got, report, err := Bytes([]byte("{\"a\":1,\"b\":2}\n{\"a\":3}\n[]{}\n1 2\ntrue \"x\""), o)
	if want := "{\"b\":2}\n{}\n[]{}\n1 2\ntrue \"x\""; string(got) != want || err != nil || report.Documents != 8 {
		t.Errorf("got %q, %v, %+v", got, err, report)
	}
	for _, bad := range []string{"1\"a\"", "truefalse", "{} x", "{},{}", "1,2", "{", "[1]\n[1,2,3]", "12{}"} {
		if got, _, err := Bytes([]byte(bad), o); err == nil {
			t.Errorf("%q: accepted as %q", bad, got)
		}
	}
	// A line must leave with its end, not with the next line.
	var out bytes.Buffer
	w := NewWriter(&out, o)
	if _, err := io.WriteString(w, "{\"b\":1}\n"); err != nil || out.String() != "{\"b\":1}\n" {
		t.Errorf("after one line: %q, %v", out.String(), err)
	}
}

func TestRewriteRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100)
	for _, c := range []struct {
		src     string
		fault   value.Fault
		offset  int
		pointer string
	}{
		{``, value.FaultSyntax, 0, ""}, {` `, value.FaultSyntax, 1, ""}, {`{`, value.FaultSyntax, 1, ""}, {`{"a":1`, value.FaultSyntax, 6, "/a"},
		{`{"a":1,}`, value.FaultSyntax, 7, ""}, {`[1,]`, value.FaultSyntax, 3, "/*"}, {`{"a" 1}`, value.FaultSyntax, 5, "/a"}, {`[1}`, value.FaultSyntax, 2, "/*"},
		{`{"a":1,"x":{"a":1},"a":2}`, value.FaultDuplicateKey, 19, "/a"}, {`{"a":1,"\u0061":2}`, value.FaultDuplicateKey, 7, "/a"},
		{`{"d":{"a":1,"a":2}}`, value.FaultDuplicateKey, 12, "/d/a"},
		{`{"d":{"x":"\ud800"}}`, value.FaultInvalidUTF8, 17, "/d/x"}, {"[\"\xff\"]", value.FaultInvalidUTF8, 2, "/*"}, {"{\"\xc3\":1}", value.FaultInvalidUTF8, 3, ""},
		{`[01]`, value.FaultSyntax, 1, "/*"}, {`[1e999]`, value.FaultNumberRange, 1, "/*"}, {`[-]`, value.FaultSyntax, 1, "/*"}, {`[nul]`, value.FaultSyntax, 4, "/*"},
		{`["` + "\n" + `"]`, value.FaultSyntax, 2, "/*"}, {`["\x"]`, value.FaultSyntax, 3, "/*"}, {`{} {}`, value.FaultTrailing, 3, ""}, {`1 2`, value.FaultTrailing, 2, ""},
		{`["` + strings.Repeat("x", 21) + `"]`, value.FaultString, 1, "/*"}, {`{"` + strings.Repeat("x", 21) + `":1}`, value.FaultString, 1, ""},
		{`[1,2,3,4]`, value.FaultItems, 6, ""}, {`{"a":1,"b":2,"c":3,"e":4}`, value.FaultKeys, 19, ""}, {`[[1,2,3],[1,2,3],[1,2,3]]`, value.FaultKeys, 22, "/*/*"},
		{`[` + strings.Repeat("1", 11) + `]`, value.FaultNumberRange, 1, "/*"},
		{deep, value.FaultDepth, 20, "/a/a/a/a"},
	} {
		// Dropping a value does not make its faults pass: each source is tried dropped as well.
		for _, drop := range []string{"/nothing", "/d"} {
			o := Options{
				Filters: []Filter{pointerFilter(t, drop, "/**")},
				Limits:  value.Limits{String: 20, Items: 3, Keys: 3, Depth: 4, Nodes: 12, Digits: 10},
			}
			for chunk := 1; chunk <= len(c.src)+1; chunk++ {
				var out bytes.Buffer
				_, err := Copy(&out, &chunks{src: []byte(c.src), sizes: []int{chunk}}, o)
				var e *value.Error
				if !errors.As(err, &e) || e.Fault != c.fault || e.Offset != c.offset || e.Pointer != c.pointer {
					t.Errorf("%.40q drop %s chunk %d: got %v; want %s at %d %q", c.src, drop, chunk, err, c.fault, c.offset, c.pointer)
				}
			}
		}
	}
}

// Objects of all sizes one after another, in the same memory: each name is found
// again, and none is found that was in another object.
func TestDuplicateNamesInLargeObjects(t *testing.T) {
	object := func(n, again int) string {
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, `,"k%d":%d`, i, i)
		}
		if again >= 0 {
			fmt.Fprintf(&s, `,"k%d":0`, again)
		}
		return "{" + strings.TrimPrefix(s.String(), ",") + "}"
	}
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 400), 1, 5).Draw(t, "sizes")
		var list []string
		for _, n := range sizes {
			list = append(list, object(n, -1))
		}
		if _, _, err := Bytes([]byte("["+strings.Join(list, ",")+"]"), Options{}); err != nil {
			t.Fatal(err)
		}
		last := max(1, sizes[len(sizes)-1])
		list = append(list, object(last, rapid.IntRange(0, last-1).Draw(t, "again")))
		var e *value.Error
		if _, _, err := Bytes([]byte("["+strings.Join(list, ",")+"]"), Options{}); !errors.As(err, &e) || e.Fault != value.FaultDuplicateKey {
			t.Fatalf("%v", err)
		}
	})
}

// chunks reads src in pieces of these sizes, over and over.
type chunks struct {
	src   []byte
	sizes []int
	n     int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.src) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(c.src), max(1, c.sizes[c.n%len(c.sizes)]))
	c.n++
	copy(p, c.src[:n])
	c.src = c.src[n:]
	return n, nil
}

func TestLongStringsPassInPieces(t *testing.T) {
	long := strings.Repeat("x😀\\n", 100_000)
	src := `{"a":"` + long + `","b":"` + long + `","c":1}`
	var out bytes.Buffer
	w := NewWriter(&out, Options{Filters: []Filter{pointerFilter(t, "/b", "/c")}, Limits: value.Limits{String: 100}})
	for i := 0; i < len(src); i += 1000 {
		if _, err := io.WriteString(w, src[i:min(len(src), i+1000)]); err != nil {
			t.Fatal(err)
		}
		if held := cap(w.out) + cap(w.pending) + cap(w.scalar); held > 100_000 {
			t.Fatalf("holds %d bytes", held)
		}
	}
	if err := w.Close(); err != nil || out.String() != `{"a":"`+long+`","c":null}` {
		t.Fatalf("%d bytes, %v", out.Len(), err)
	}
	if _, err := w.Write([]byte(" ")); err == nil {
		t.Error("write after Close")
	}
}

func TestBlankIsBounded(t *testing.T) {
	src := `{"a":1` + strings.Repeat(" ", 1<<20) + `,"b":2}`
	w := NewWriter(io.Discard, Options{})
	if _, err := io.WriteString(w, src); err != nil || cap(w.pending) > 8*maxBlank {
		t.Fatalf("%v, holds %d", err, cap(w.pending))
	}
}

func TestErrorsOfTheReader(t *testing.T) {
	if _, err := Copy(io.Discard, iotest.ErrReader(io.ErrUnexpectedEOF), Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	w := NewWriter(brokenPipe{}, Options{})
	if _, err := io.WriteString(w, "[1]"); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestPointersRefuses(t *testing.T) {
	_, err := Pointers([]string{"", "a", "/ok"}, []string{"/a~2", "/a~"}, nil)
	if err == nil || strings.Count(err.Error(), `pointer "`) != 4 {
		t.Errorf("want four mistakes, got %v", err)
	}
	if _, err := Pointers(nil, nil, nil); err != nil {
		t.Error(err)
	}
}

// matches is Pointers' meaning written down plainly, as its oracle.
func matches(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**":
		return matches(pattern[1:], path) || (len(path) > 0 && matches(pattern, path[1:]))
	case len(path) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == path[0]) && matches(pattern[1:], path[1:])
}

func oracle(a any, path []string, drop, mask [][]string, masked bool) any {
	hit := func(list [][]string, path []string) bool {
		return slices.ContainsFunc(list, func(p []string) bool { return matches(p, path) })
	}
	masked = masked || hit(mask, path)
	below := func(token string) []string { return append(slices.Clone(path), token) }
	switch a := a.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, kid := range a {
			if p := below(name); !hit(drop, p) {
				out[name] = oracle(kid, p, drop, mask, masked)
			}
		}
		return out
	case []any:
		out := []any{}
		for i, kid := range a {
			if p := below(strconv.Itoa(i)); !hit(drop, p) {
				out = append(out, oracle(kid, p, drop, mask, masked))
			}
		}
		return out
	case string:
		if masked {
			return "***"
		}
	default:
		if masked {
			return nil
		}
	}
	return a
}

func anyJSON(depth int) *rapid.Generator[any] {
	name := rapid.SampledFrom([]string{"a", "b", "c", "0", "1", "é", "x\"y"})
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 3+2*min(depth, 1)).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "literal")
		case 1:
			return json.Number(rapid.SampledFrom([]string{"0", "-1.50", "1e2", "12345678901234567890"}).Draw(t, "number"))
		case 2, 3:
			return rapid.String().Draw(t, "string")
		case 4:
			return rapid.SliceOfN(anyJSON(depth-1), 0, 5).Draw(t, "array")
		default:
			return rapid.MapOfN(name, anyJSON(depth-1), 0, 5).Draw(t, "object")
		}
	})
}

func TestPointersAgreeWithTheOracle(t *testing.T) {
	token := rapid.SampledFrom([]string{"a", "b", "c", "0", "1", "*", "**"})
	rapid.Check(t, func(t *rapid.T) {
		doc := anyJSON(4).Draw(t, "document")
		most := rapid.SampledFrom([]int{3, 40}).Draw(t, "most") // 40: more positions than a word has bits
		patterns := rapid.SliceOfN(rapid.SliceOfN(token, 1, 4), 0, most)
		drop, mask := patterns.Draw(t, "drop"), patterns.Draw(t, "mask")
		join := func(list [][]string) (out []string) {
			for _, p := range list {
				out = append(out, "/"+strings.Join(p, "/"))
			}
			return out
		}
		f, err := Pointers(join(drop), join(mask), nil)
		if err != nil {
			t.Fatal(err)
		}
		var src bytes.Buffer
		enc := json.NewEncoder(&src)
		if rapid.Bool().Draw(t, "indent") {
			enc.SetIndent("", "  ")
		}
		if err := enc.Encode(doc); err != nil {
			t.Fatal(err)
		}
		whole, report, err := Bytes(src.Bytes(), Options{Filters: []Filter{f}})
		if err != nil {
			t.Fatalf("%s: %v", src.Bytes(), err)
		}
		got, err := value.JSON(whole, value.Limits{})
		if err != nil {
			t.Fatalf("%s made of %s: %v", whole, src.Bytes(), err)
		}
		if d := cmp.Diff(oracle(doc, nil, drop, mask, false), got.ToAny()); d != "" {
			t.Fatalf("%s made of %s (-want +got)\n%s", whole, src.Bytes(), d)
		}
		if report.Dropped == 0 && report.Masked == 0 && !bytes.Equal(whole, src.Bytes()) {
			t.Fatalf("nothing done, and %q became %q", src.Bytes(), whole)
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 5).Draw(t, "chunks")
		var out bytes.Buffer
		pieces, err := Copy(&out, &chunks{src: src.Bytes(), sizes: sizes}, Options{Filters: []Filter{f}})
		if err != nil || !bytes.Equal(out.Bytes(), whole) {
			t.Fatalf("in chunks %v: %s, %v; whole: %s", sizes, out.Bytes(), err, whole)
		}
		if d := cmp.Diff(report, pieces); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzRewrite: the rewriter accepts what the decoder accepts, changes nothing
// that no Filter asked for, and any chunking gives the same.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"x"}],"c":null}`, "[ 1 , 2 ]\n", `"\ud83d\ude00é"`, `{"a":1,"a":2}`, `[1e999]`, `[-0.0e-0, true]`} {
		f.Add([]byte(s), uint8(3))
	}
	lim := value.Limits{Depth: 6, Nodes: 50, Keys: 20, Items: 10, String: 30, Digits: 12}
	drop := pointerFilter(f, "/a /*/b", "/c /**/d")
	look := evens{}
	f.Fuzz(func(t *testing.T, src []byte, chunk uint8) {
		if len(src) > maxBlank {
			return // white space may be cut
		}
		_, want := value.JSON(src, lim)
		same, _, err := Bytes(src, Options{Limits: lim})
		longString := errors.Is(faultOf(want), faultError(value.FaultString)) // passed on in pieces when no filter looks
		if (err == nil) != (want == nil) && !longString {
			t.Fatalf("%q: decoder %v, rewriter %v", src, want, err)
		}
		if err == nil && !bytes.Equal(same, src) {
			t.Fatalf("%q became %q", src, same)
		}
		o := Options{Limits: lim, Filters: []Filter{drop, look}}
		whole, report, err := Bytes(src, o)
		var out bytes.Buffer
		pieces, err2 := Copy(&out, &chunks{src: bytes.Clone(src), sizes: []int{int(chunk), 1, 7}}, o)
		if (err == nil) != (err2 == nil) || (err != nil && !errors.Is(faultOf(err), faultOf(err2))) {
			t.Fatalf("%q: whole %v, in pieces %v", src, err, err2)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(out.Bytes(), whole) || cmp.Diff(report, pieces) != "" {
			t.Fatalf("%q: whole %q, in pieces %q", src, whole, out.Bytes())
		}
		if _, err := value.JSON(whole, value.Limits{}); err != nil {
			t.Fatalf("%q became %q: %v", src, whole, err)
		}
	})
}

type faultError value.Fault

func (f faultError) Error() string { return string(f) }

// faultOf is the fault of an error and its place, comparable.
func faultOf(err error) error {
	var e *value.Error
	if !errors.As(err, &e) {
		return err
	}
	return faultError(e.Fault)
}

func BenchmarkRewrite(b *testing.B) {
	var src bytes.Buffer
	src.WriteString("[")
	for i := range 500 {
		if i > 0 {
			src.WriteString(",")
		}
		fmt.Fprintf(&src, `{"id":%d,"name":"Customer %d","email":"c%d@example.com","card":{"number":"4111111111111111","exp":"01/30"},"tags":["a","b"],"balance":12.50}`, i, i, i)
	}
	src.WriteString("]")
	for name, o := range map[string]Options{
		"pass": {},
		"mask": {Filters: []Filter{pointerFilter(b, "/*/email", "/*/card/number")}},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(src.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Copy(io.Discard, bytes.NewReader(src.Bytes()), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
