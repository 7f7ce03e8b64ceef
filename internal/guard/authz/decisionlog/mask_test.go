package decisionlog

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/spec"
)

const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func mask(t *testing.T, e *Event, own string, pointers ...string) error {
	t.Helper()
	m, err := NewMasker(pointers, []spec.DataClass{spec.ClassFinancial})
	if err != nil {
		t.Fatal(err)
	}
	var r Rules
	if own != "" {
		r = rules{mask: func(ast.Value) (ast.Value, error) { return ast.MustParseTerm(own).Value, nil }}
	}
	return m.Mask(t.Context(), e, r)
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		name, in, result, nd, own string
		pointers                  []string
		want                      string
	}{
		{name: "claims, sessions and tokens never leave",
			in:   `{"identity":{"subject":"alice","session":"s1","roles":["a"],"claims":{"email":"a@b.c"},"also":[{"subject":"bob","claims":{"x":1}}]}}`,
			want: `{"input":{"identity":{"also":[{"subject":"bob"}],"roles":["a"],"subject":"alice"}},"erased":["/input/identity/also/*/claims","/input/identity/claims","/input/identity/session"]}`},
		{name: "headers and cookies that are credentials",
			in:   `{"params":{"header":{"authorization":"Bearer abcdefghijkl","x-trace":"7"},"cookie":{"sid":"1"},"query":{}}}`,
			want: `{"input":{"params":{"header":{"x-trace":"7"},"query":{}}},"erased":["/input/params/cookie","/input/params/header/authorization"]}`},
		{name: "what is named like a secret",
			in:   `{"body":{"password":"hunter2","user":{"api_key":"k","name":"Al"},"page_token":"p"},"params":{"query":{"access_token":"t"}}}`,
			want: `{"input":{"body":{"page_token":"p","user":{"name":"Al"}},"params":{"query":{}}},"erased":["/input/body/password","/input/body/user/api_key","/input/params/query/access_token"]}`},
		{name: "what looks like one, wherever it is",
			in:     `{"body":{"note":"see ` + jwt + `","list":["ok","Bearer 0123456789abc"]},"identity":{"subject":"` + jwt + `"}}`,
			result: `{"allow":true,"obligations":{"headers":{"X-Up":"Bearer 0123456789abc"}}}`,
			want: `{"input":{"body":{"list":["ok","[masked]"],"note":"[masked]"},"identity":{"subject":"[masked]"}},"result":{"allow":true,"obligations":{"headers":{"X-Up":"[masked]"}}},` +
				`"masked":["/input/body/list/1","/input/body/note","/input/identity/subject","/result/obligations/headers/X-Up"]}`},
		{name: "classes of data",
			in:   `{"body":{"iban":"DE02","city":"Bonn"}}`,
			want: `{"input":{"body":{"city":"Bonn"}},"erased":["/input/body/iban"]}`},
		{name: "a secret in the path takes the path and the object with it",
			in:   `{"params":{"path":{"reset_token":"abc"}},"context":{"path":"/reset/abc","host":"h"},"object":{"id":"abc"}}`,
			want: `{"input":{"context":{"host":"h"},"params":{"path":{}}},"erased":["/input/context/path","/input/object","/input/params/path/reset_token"]}`},
		{name: "tokens that functions were given",
			nd:   `{"io.jwt.decode_verify":{"[\"` + jwt + `\",{}]":[true,{},{}]},"time.now_ns":{"[]":1}}`,
			want: `{"nd_builtin_cache":{"time.now_ns":{"[]":1}},"erased":["/nd_builtin_cache/io.jwt.decode_verify"]}`},
		{name: "pointers of the config",
			in: `{"body":{"items":[{"note":"a","n":1},{"note":"b"}],"note":"c"}}`, pointers: []string{"/input/body/items/*/note", "/input/body/none"},
			want: `{"input":{"body":{"items":[{"n":1},{}],"note":"c"}},"erased":["/input/body/items/*/note"]}`},
		{name: "OPA's rules: paths and objects",
			in: `{"a":{"b":1,"c":2},"d":[1,2,3],"e":5}`, result: `true`, own: `{"/input/a/b", {"op":"upsert","path":"/input/e","value":{"x":1}}, {"op":"remove","path":"/input/d/1"}, {"op":"upsert","path":"/input/new/deep","value":7}, "/input/none/at/all", "/result"}`,
			want: `{"input":{"a":{"c":2},"d":[1,3],"e":{"x":1},"new":{"deep":7}},"erased":["/input/a/b","/input/d/1","/result"],"masked":["/input/e","/input/new/deep"]}`},
		{name: "OPA's rules: the whole input",
			in: `{"a":1}`, own: `["/input"]`, want: `{"erased":["/input"]}`},
		{name: "OPA's rules: a star is a name there",
			in: `{"a":1,"*":2}`, own: `["/input/*"]`, want: `{"input":{"a":1},"erased":["/input/%2A"]}`},
		{name: "large numbers stay what they are",
			in: `{"n":12345678901234567890,"f":1.10}`, want: `{"input":{"f":1.10,"n":12345678901234567890}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &Event{DecisionID: "d", Input: json.RawMessage(c.in), Result: json.RawMessage(c.result), NDBuiltinCache: json.RawMessage(c.nd)}
			if err := mask(t, e, c.own, c.pointers...); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(struct {
				Input          json.RawMessage `json:"input,omitempty"`
				Result         json.RawMessage `json:"result,omitempty"`
				NDBuiltinCache json.RawMessage `json:"nd_builtin_cache,omitempty"`
				Erased         []string        `json:"erased,omitempty"`
				Masked         []string        `json:"masked,omitempty"`
			}{e.Input, e.Result, e.NDBuiltinCache, e.Erased, e.Masked})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A rule that cannot be read keeps the event back.
func TestMaskFails(t *testing.T) {
	for _, own := range []string{`true`, `"/input"`, `[7]`, `["input"]`, `["/labels/id"]`, `[{"op":"erase","path":"/input"}]`, `[{"op":"remove"}]`, `["/input/%zz"]`} {
		if err := mask(t, &Event{Input: json.RawMessage(`{}`)}, own); err == nil {
			t.Errorf("%s was taken", own)
		}
	}
	m, err := NewMasker(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Mask(t.Context(), &Event{}, rules{mask: func(ast.Value) (ast.Value, error) { return nil, errors.New("boom") }}); err == nil {
		t.Error("a rule that fails was ignored")
	}
	for _, p := range []string{"", "input", "/labels", "/custom/crenel"} {
		if _, err := NewMasker([]string{p}, nil); err == nil {
			t.Errorf("pointer %q was taken", p)
		}
	}
}

// What the encoder writes is what OPA would write of the same values.
func TestEncodesAsOPA(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue().Draw(t, "value")
		var c encoder
		c.value(v)
		want, err := ast.JSON(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeAny(c.b)
		if err != nil {
			t.Fatalf("%s: %v", c.b, err)
		}
		if d := cmp.Diff(want, got); d != "" && !c.inexact {
			t.Fatalf("%s: %s", c.b, d)
		}
		if c.inexact {
			return
		}
		// And it is read back as the value that it was, but for sets and keys.
		back, err := readValue(c.b)
		if err != nil {
			t.Fatal(err)
		}
		var again encoder
		again.value(back)
		if string(again.b) != string(c.b) {
			t.Fatalf("%s became %s", c.b, again.b)
		}
	})
}

func anyValue() *rapid.Generator[ast.Value] {
	scalar := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) ast.Value { return ast.String(s) }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) ast.Value { return ast.String(b) }),
		rapid.Map(rapid.Int64(), func(i int64) ast.Value { return ast.IntNumberTerm(int(i)).Value }),
		rapid.Map(rapid.Bool(), func(b bool) ast.Value { return ast.Boolean(b) }),
		rapid.Just[ast.Value](ast.Null{}),
	)
	return rapid.Custom(func(t *rapid.T) ast.Value { return nested(t, scalar, 3) })
}

func nested(t *rapid.T, scalar *rapid.Generator[ast.Value], depth int) ast.Value {
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if depth == 0 || kind < 2 {
		return scalar.Draw(t, "scalar")
	}
	var terms []*ast.Term
	for range rapid.IntRange(0, 4).Draw(t, "n") {
		terms = append(terms, ast.NewTerm(nested(t, scalar, depth-1)))
	}
	switch kind {
	case 2:
		return ast.NewArray(terms...)
	case 3:
		return ast.NewSet(terms...)
	}
	o := ast.NewObject()
	for _, v := range terms {
		o.Insert(ast.StringTerm(rapid.String().Draw(t, "key")), v)
	}
	return o
}

func FuzzReadSegment(f *testing.F) {
	k, err := NewKeys(keyOne)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"format":"crenel-decisions/1"}`+"\n"), false)
	f.Add([]byte("crenel-sealed/1 00 00\nxxxx"), true)
	f.Fuzz(func(t *testing.T, b []byte, blob bool) {
		if blob {
			if _, err := k.openBlob("head", b); err == nil {
				t.Fatal("something that nobody sealed was opened")
			}
			return
		}
		s, err := newScanner(strings.NewReader(string(b)), k)
		if err != nil {
			return
		}
		if _, err := s.next(); err == nil {
			t.Fatal("something that nobody sealed was opened")
		}
	})
}

func FuzzMask(f *testing.F) {
	m, err := NewMasker([]string{"/input/*/x"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"identity":{"claims":{}}}`, `["/input/a"]`)
	f.Add(`{"body":["`+jwt+`"]}`, `{{"op":"upsert","path":"/input/a/b/0","value":1}}`)
	f.Fuzz(func(t *testing.T, input, own string) {
		term, err := ast.ParseTerm(own)
		if err != nil || !term.IsGround() {
			return
		}
		e := &Event{Input: json.RawMessage(input)}
		if m.Mask(t.Context(), e, rules{mask: func(ast.Value) (ast.Value, error) { return term.Value, nil }}) != nil {
			return
		}
		if strings.Contains(string(e.Input), jwt) {
			t.Fatalf("a token left in %s", e.Input)
		}
		if len(e.Input) > 0 && !json.Valid(e.Input) {
			t.Fatalf("not JSON: %s", e.Input)
		}
	})
}
