package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestJSONAccepts(t *testing.T) {
	for _, src := range []string{
		`null`, ` true `, `false`, `0`, `-0`, `1`, `-12.5e+3`, `1e2`, `1E-2`, `0.0`, `0e999`, `5e-324`, `1.7976931348623157e308`,
		`""`, `"a"`, `"\u0000"`, `"\"\\\/\b\f\n\r\t"`, `"\ud83d\ude00"`, `"😀 é"`, `"é\n😀"`, `"exactly8"`, `"more than eight é and on"`,
		`[]`, `{}`, `[[]]`, `[{}]`, `{"a":{}}`, `{"a":[],"b":{}}`, "\t[ 1 ,\r\n2 ]", `{"":1}`, `{"a":1,"A":2,"\u0062":3}`,
		`{"a":[1,{"b":[true,null,"x"]},[2,[3]]],"c":{"d":{"e":"f"}},"g":"h"}`,
		`{"k0":0,"k1":1,"k2":2,"k3":3,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9,"k10":[{"k0":1}]}`,
	} {
		v, err := JSON([]byte(src), Limits{})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if d := cmp.Diff(stdlib(t, src), v.ToAny()); d != "" {
			t.Errorf("%s: (-encoding/json +ours)\n%s", src, d)
		}
		if err := checkTree(src, v); err != nil {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// stdlib is what encoding/json makes of src.
func stdlib(t testing.TB, src string) any {
	t.Helper()
	a, err := stdlibDecode([]byte(src))
	if err != nil {
		t.Fatalf("encoding/json on %q: %v", src, err)
	}
	return a
}

func stdlibDecode(src []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var a any
	if err := d.Decode(&a); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("trailing data: %w", err)
	}
	return a, nil
}

// checkTree holds each value's offsets against the source: decoding the bytes
// there alone gives the same value.
func checkTree(src string, v *Value) error {
	again, err := JSON([]byte(src[v.Start:v.End]), Limits{})
	if err != nil {
		return fmt.Errorf("source[%d:%d]: %w", v.Start, v.End, err)
	}
	if !reflect.DeepEqual(again.ToAny(), v.ToAny()) {
		return fmt.Errorf("source[%d:%d] is not the value at %q", v.Start, v.End, v.Name)
	}
	for i := range v.Kids {
		if err := checkTree(src, &v.Kids[i]); err != nil {
			return err
		}
	}
	return nil
}

func TestJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for _, c := range []struct {
		src     string
		fault   Fault
		offset  int
		pointer string
	}{
		{``, FaultSyntax, 0, ""},
		{`  `, FaultSyntax, 2, ""},
		{"\xEF\xBB\xBF{}", FaultSyntax, 0, ""},
		{`{`, FaultSyntax, 1, ""},
		{`[`, FaultSyntax, 1, ""},
		{`[1`, FaultSyntax, 2, "/0"},
		{`[1,]`, FaultSyntax, 3, "/1"},
		{`[,1]`, FaultSyntax, 1, "/0"},
		{`[1 2]`, FaultSyntax, 3, "/0"},
		{`[1}`, FaultSyntax, 2, "/0"},
		{`{"a":1]`, FaultSyntax, 6, "/a"},
		{`{"a":1,}`, FaultSyntax, 7, ""},
		{`{"a" 1}`, FaultSyntax, 5, ""},
		{`{"a":}`, FaultSyntax, 5, "/a"},
		{`{a:1}`, FaultSyntax, 1, ""},
		{`{'a':1}`, FaultSyntax, 1, ""},
		{`{"a":1 "b":2}`, FaultSyntax, 7, "/a"},
		{`{1:2}`, FaultSyntax, 1, ""},
		{`tru`, FaultSyntax, 0, ""},
		{`nul`, FaultSyntax, 0, ""},
		{`True`, FaultSyntax, 0, ""},
		{`NaN`, FaultSyntax, 0, ""},
		{`Infinity`, FaultSyntax, 0, ""},
		{`-Infinity`, FaultSyntax, 0, ""},
		{`/* */1`, FaultSyntax, 0, ""},
		{`[1,/* */2]`, FaultSyntax, 3, "/1"},
		{"\x00", FaultSyntax, 0, ""},
		{"\u00a01", FaultSyntax, 0, ""},
		{"\f1", FaultSyntax, 0, ""},
		{`"`, FaultSyntax, 1, ""},
		{`"abc`, FaultSyntax, 4, ""},
		{`"abc\`, FaultSyntax, 4, ""},
		{`"\x41"`, FaultSyntax, 1, ""},
		{`"\u12"`, FaultSyntax, 1, ""},
		{`"\u12G4"`, FaultSyntax, 1, ""},
		{`"\'"`, FaultSyntax, 1, ""},
		{"\"a\nb\"", FaultSyntax, 2, ""},
		{"\"a\x00b\"", FaultSyntax, 2, ""},
		{"\"\\n\x1f\"", FaultSyntax, 3, ""},
		{`+1`, FaultSyntax, 0, ""},
		{`01`, FaultSyntax, 0, ""},
		{`-01`, FaultSyntax, 0, ""},
		{`-`, FaultSyntax, 0, ""},
		{`1.`, FaultSyntax, 0, ""},
		{`.5`, FaultSyntax, 0, ""},
		{`1e`, FaultSyntax, 0, ""},
		{`1e+`, FaultSyntax, 0, ""},
		{`--1`, FaultSyntax, 0, ""},
		{`0x10`, FaultTrailing, 1, ""},
		{`1_000`, FaultTrailing, 1, ""},
		{`{} {}`, FaultTrailing, 3, ""},
		{`{}x`, FaultTrailing, 2, ""},
		{`1 2`, FaultTrailing, 2, ""},
		{"{}\x00", FaultTrailing, 2, ""},
		{`{}]`, FaultTrailing, 2, ""},
		{`{"a":1,"a":1}`, FaultDuplicateKey, 11, "/a"},
		{`{"a":1,"\u0061":2}`, FaultDuplicateKey, 16, "/a"},
		{`{"":1,"":2}`, FaultDuplicateKey, 9, "/"},
		{`{"x":[0,{"y/z":{"a":1,"b":2,"a":3}}]}`, FaultDuplicateKey, 32, "/x/1/y~1z/a"},
		{`[{"a":1,"b":{},"b":[]}]`, FaultDuplicateKey, 19, "/0/b"},
		{`{"0":0,"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9,"3":3}`, FaultDuplicateKey, 65, "/3"},
		{"\"\xff\"", FaultInvalidUTF8, 1, ""},
		{"\"ab\xc3\"", FaultInvalidUTF8, 3, ""},
		{"\"\xc0\xaf\"", FaultInvalidUTF8, 1, ""},         // overlong
		{"\"\xed\xa0\x80\"", FaultInvalidUTF8, 1, ""},     // a surrogate in UTF-8
		{"\"\xf4\x90\x80\x80\"", FaultInvalidUTF8, 1, ""}, // past U+10FFFF
		{"\"\\n\xff\"", FaultInvalidUTF8, 3, ""},
		{"{\"\xff\":1}", FaultInvalidUTF8, 2, ""},
		{`"\ud800"`, FaultInvalidUTF8, 1, ""},
		{`"\udc00"`, FaultInvalidUTF8, 1, ""},
		{`"\ud800\u0041"`, FaultInvalidUTF8, 1, ""},
		{`"\ud800\ud800"`, FaultInvalidUTF8, 1, ""},
		{`"\ud83dx"`, FaultInvalidUTF8, 1, ""},
		{`1e999`, FaultNumberRange, 0, ""},
		{`-1e309`, FaultNumberRange, 0, ""},
		{`[0,1e-400]`, FaultNumberRange, 3, "/1"},
		{strings.Repeat("9", 65), FaultNumberRange, 0, ""},
		{`{"a":` + deep, FaultDepth, 5 + 63, "/a" + strings.Repeat("/0", 63)},
	} {
		v, err := JSON([]byte(c.src), Limits{})
		short := c.src[:min(len(c.src), 80)]
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: accepted as %s", short, Append(nil, v))
			continue
		}
		if e.Fault != c.fault || e.Offset != c.offset || e.Pointer != c.pointer {
			t.Errorf("%q: got %v; want %s at byte %d (%q)", short, e, c.fault, c.offset, c.pointer)
		}
	}
}

func TestJSONLimits(t *testing.T) {
	for _, c := range []struct {
		good, bad string
		lim       Limits
		fault     Fault
	}{
		{`[[]]`, `[[[]]]`, Limits{Depth: 2}, FaultDepth},
		{`{"a":{}}`, `{"a":{"b":{}}}`, Limits{Depth: 2}, FaultDepth},
		{`[1,2]`, `[1,2,3]`, Limits{Items: 2}, FaultItems},
		{`{"a":1,"b":2}`, `{"a":1,"b":2,"c":3}`, Limits{Keys: 2}, FaultKeys},
		{`[1,[2]]`, `[1,[2,3]]`, Limits{Nodes: 4}, FaultKeys},
		{`"abc"`, `"abcd"`, Limits{String: 3}, FaultString},
		{`"a\n\u00e9"`, `"a\n\u00e9b"`, Limits{String: 4}, FaultString},
		{`{"abc":1}`, `{"abcd":1}`, Limits{String: 3}, FaultString},
		{`{"a\tc":1}`, `{"a\tcd":1}`, Limits{String: 3}, FaultString},
		{`-123`, `-1234`, Limits{Digits: 4}, FaultNumberRange},
		{`1` + strings.Repeat("0", 308), `1` + strings.Repeat("0", 309), Limits{Digits: 1000}, FaultNumberRange},
		{`0.` + strings.Repeat("0", 320) + `1`, `0.` + strings.Repeat("0", 330) + `1`, Limits{Digits: 1000}, FaultNumberRange},
	} {
		if _, err := JSON([]byte(c.good), c.lim); err != nil {
			t.Errorf("%s with %+v: %v", c.good, c.lim, err)
		}
		var e *Error
		if _, err := JSON([]byte(c.bad), c.lim); !errors.As(err, &e) || e.Fault != c.fault {
			t.Errorf("%s with %+v: got %v, want %s", c.bad, c.lim, err, c.fault)
		}
	}
}

// A pointer in an error must stay short whatever the document's names are.
func TestJSONErrorPointerIsBounded(t *testing.T) {
	name := strings.Repeat("n", 200)
	src := strings.Repeat(`{"`+name+`":`, 20) + "!"
	var e *Error
	if _, err := JSON([]byte(src), Limits{}); !errors.As(err, &e) || len(e.Pointer) > 2*maxPointer || e.Pointer[:201] != "/"+name {
		t.Fatalf("pointer of %d bytes", len(e.Pointer))
	}
}

func TestDecoderReuses(t *testing.T) {
	var d Decoder
	for i, src := range []string{`{"a":[1,2,{"b":"c"}]}`, `[]`, `{"x`, `{"a":{"b":"\n"},"c":[3]}`, `7`} {
		got, err := d.JSON([]byte(src), Limits{})
		want, wantErr := JSON([]byte(src), Limits{})
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err, wantErr) {
			t.Errorf("%d: got %v, %v; want %v, %v", i, got, err, want, wantErr)
		}
	}
	src := []byte(`{"a":[1,2,{"b":"c"}]}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.JSON(src, Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a reused Decoder allocates %v times", n)
	}
}

// anyJSON draws a document as encoding/json knows it.
func anyJSON(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		top := 6
		if depth <= 0 {
			top = 4
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return json.Number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number"))
		case 3, 4:
			return rapid.String().Draw(t, "string")
		case 5:
			return rapid.SliceOfN(anyJSON(depth-1), 0, 6).Draw(t, "array")
		default:
			return rapid.MapOfN(rapid.String(), anyJSON(depth-1), 0, 14).Draw(t, "object")
		}
	})
}

func TestJSONAgreesWithStdlib(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyJSON(4).Draw(t, "document")
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(rapid.Bool().Draw(t, "html"))
		if rapid.Bool().Draw(t, "indent") {
			enc.SetIndent(" ", "\t")
		}
		if err := enc.Encode(a); err != nil {
			t.Fatal(err)
		}
		v, err := JSON(buf.Bytes(), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", buf.Bytes(), err)
		}
		if d := cmp.Diff(a, v.ToAny()); d != "" {
			t.Fatal(d)
		}
		again, err := JSON(Append(nil, v), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a, again.ToAny()); d != "" {
			t.Fatalf("round trip: %s", d)
		}
		built := FromAny(a)
		if d := cmp.Diff(a, built.ToAny()); d != "" {
			t.Fatalf("FromAny: %s", d)
		}
	})
}

// FuzzJSON holds our decoder against encoding/json: what we accept it accepts,
// with the same value; what we refuse and it accepts is of a class that we
// refuse on purpose.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\n",null,true,{"b":{}}]}`, `"\ud83d\ude00"`, `[1e999]`, `{"a":1,"a":2}`, "\"\xff\"", `[[[[`, `01`, `{} {}`} {
		f.Add([]byte(s))
	}
	lim := Limits{Depth: 8, Nodes: 200, Keys: 20, Items: 30, String: 40, Digits: 20}
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := JSON(src, lim)
		std, stdErr := stdlibDecode(src)
		if err == nil {
			if stdErr != nil {
				t.Fatalf("%q: we accept, encoding/json: %v", src, stdErr)
			}
			if d := cmp.Diff(std, v.ToAny()); d != "" {
				t.Fatalf("%q: (-encoding/json +ours)\n%s", src, d)
			}
			if err := checkTree(string(src), v); err != nil {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%q: %v is no *Error", src, err)
		}
		if e.Offset < 0 || e.Offset > len(src) {
			t.Fatalf("%q: offset %d", src, e.Offset)
		}
		switch e.Fault {
		case FaultSyntax, FaultTrailing:
			if stdErr == nil {
				t.Fatalf("%q: encoding/json accepts what we call %v", src, err)
			}
		case FaultDuplicateKey, FaultInvalidUTF8, FaultNumberRange, FaultDepth, FaultKeys, FaultItems, FaultString:
		default:
			t.Fatalf("%q: fault %q is not one of JSON", src, e.Fault)
		}
	})
}
