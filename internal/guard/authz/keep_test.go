package authz

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/filter"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

func TestReadKeepAndMasks(t *testing.T) {
	for src, want := range map[string]string{
		`{"keep": [{"at": "/items", "where": {"operator": "eq", "field": "a", "value": 1}}]}`: "",
		`{"keep": {{"at": "", "where": {}}}}`:                                                 "",
		`{"keep": [{"at": "items", "where": {}}]}`:                                            "begin with a slash",
		`{"keep": [{"where": {}}]}`:                                                           "both at and where",
		`{"keep": [{"at": "/x"}]}`:                                                            "both at and where",
		`{"keep": [{"at": "/x", "where": {"operator": "eq"}}]}`:                               "where: a condition does not say of which field",
		`{"keep": [{"at": "/x", "where": {}, "if": 1}]}`:                                      `"if" is not known`,
		`{"keep": "/x"}`:   "is not a list of {at, where}",
		`{"keep": ["/x"]}`: "not an object {at, where}",
		`{"keep": [{"at": "/x", "where": {}, "optional": 1}]}`:                                    "optional is not a boolean",
		`{"masks": [{"at": "/x", "kind": "last4"}, {"at": "/y", "kind": "fixed", "value": "-"}]}`: "",
		`{"masks": {{"at": "/x", "kind": "drop"}}}`:                                               "",
		`{"masks": [{"at": "/x", "kind": "stars"}]}`:                                              `kind "stars" is not known`,
		`{"masks": [{"at": "/x"}]}`:                                                               `kind "" is not known`,
		`{"masks": [{"at": "x", "kind": "null"}]}`:                                                "begins with a slash",
		`{"masks": [{"at": "/x", "kind": "fixed"}]}`:                                              "fixed needs a value",
		`{"masks": [{"at": "/x", "kind": "fixed", "value": [1]}]}`:                                "fixed needs a value",
		`{"masks": [{"at": "/x", "kind": "null", "value": 1}]}`:                                   "takes no value",
		`{"masks": [{"at": "/x", "kind": "null", "of": 1}]}`:                                      `"of" is not known`,
	} {
		_, err := readDecision(ast.MustParseTerm(`{"allow": true, "obligations": ` + src + `}`).Value)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
	d, err := readDecision(ast.MustParseTerm(`{"allow": true, "obligations": {"strip": ["/a"], "masks": [{"at": "/b", "kind": "drop"}, {"at": "/c", "kind": "fixed", "value": null}]}}`).Value)
	if err != nil {
		t.Fatal(err)
	}
	want := exchange.Obligations{Strip: []string{"/a", "/b"}, Masks: []exchange.Mask{{At: "/c", Kind: "fixed", Text: "null"}}}
	slicesSorted(d.obligations.Strip)
	if diff := cmp.Diff(want, d.obligations); diff != "" {
		t.Error(diff)
	}
}

func slicesSorted(s []string) {
	if len(s) == 2 && s[0] > s[1] {
		s[0], s[1] = s[1], s[0]
	}
}

func where(t testing.TB, src string) *filter.Cond {
	t.Helper()
	v, err := value.JSON([]byte(src), value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := filter.ParseUCAST(v)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestKeepOnly(t *testing.T) {
	mine := where(t, `{"operator": "eq", "field": "o", "value": 7}`)
	for name, c := range map[string]struct{ at, body, want string }{
		"optional, there":     {"?/items", `{"items":[{"o":8}]}`, `{"items":[]}`},
		"optional, not there": {"?/items", `{"id":1}`, `{"id":1}`},
		"optional, no list":   {"?/items", `{"items":5}`, ``},
		"optional, no object": {"?/items", `[{"o":8}]`, ``},
		"list":                {"/items", `{"items":[{"o":7,"n":1},{"o":8},{"o":7,"n":3}],"total":3}`, `{"items":[{"o":7,"n":1},{"o":7,"n":3}],"total":3}`},
		"root":                {"", `[{"o":8},{"o":7},5,null,"x",[{"o":7}]]`, `[{"o":7}]`},
		"nested":              {"/g/*/items", `{"g":[{"items":[{"o":8}]},{"items":[{"o":7}]}]}`, `{"g":[{"items":[]},{"items":[{"o":7}]}]}`},
		"map":                 {"/by", `{"by":{"a":{"o":8},"b/c":{"o":7}}}`, `{"by":{"b/c":{"o":7}}}`},
		"maps of lists":       {"/by/*/l", `{"by":{"a/b":{"l":[{"o":8},{"o":7}]}}}`, `{"by":{"a/b":{"l":[{"o":7}]}}}`},
		"escaped":             {"/a~1b", `{"a/b":[{"o":8}]}`, `{"a/b":[]}`},
		"null":                {"/items", `{"items":null}`, `{"items":null}`},
		"numbers as ids":      {"/items", `{"items":[{"o":7.0},{"o":"7"}]}`, `{"items":[{"o":7.0}]}`},
		"no list":             {"/items", `{"results":[{"o":8}]}`, ``},
		"a scalar":            {"/items", `{"items":5}`, ``},
		"an inner scalar":     {"/g/*/items", `{"g":[{"items":7}]}`, ``},
		"an inner absence":    {"/g/*/items", `{"g":[{"item":[{"o":8}]}]}`, ``},
		"list of scalars":     {"/g/*/items", `{"g":5}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := value.JSON([]byte(c.body), value.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			at, optional := strings.CutPrefix(c.at, "?")
			x := &exchange.Exchange{Obligations: exchange.Obligations{Keep: []exchange.Keep{{At: at, Where: mine, Optional: optional}}}}
			x.Response.Status, x.Response.Body = 200, &exchange.Body{Bytes: []byte(c.body), Root: root}
			v := checkAnswer(t.Context(), x)
			if c.want == "" {
				if v.Code != "authz.not_owner" {
					t.Errorf("%+v", v)
				}
				return
			}
			if v.Action != exchange.Allow {
				t.Fatalf("%+v", v)
			}
			out, _, err := rewrite.Bytes([]byte(c.body), rewrite.Options{Filters: x.Response.Filters})
			if err != nil || string(out) != c.want {
				t.Errorf("%s, %v; want %s", out, err, c.want)
			}
		})
	}
}

// Whatever an answer looks like: what is left of the list fulfils the condition, and
// nothing that fulfils it is lost.
func TestKeepIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.SampledFrom([]any{json.Number("7"), "7", nil, true, json.Number("8"), []any{}, map[string]any{"o": json.Number("7")}})
		element := rapid.Custom(func(t *rapid.T) any {
			if rapid.IntRange(0, 5).Draw(t, "odd") == 0 {
				return field.Draw(t, "element")
			}
			return map[string]any{"o": field.Draw(t, "owner"), "n": json.Number("1")}
		})
		list := rapid.SliceOfN(element, 0, 8).Draw(t, "list")
		src, err := json.Marshal(map[string]any{"items": list, "items2": list})
		if err != nil {
			t.Fatal(err)
		}
		root, err := value.JSON(src, value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		c := filter.Cond{Op: filter.In, Field: filter.Field{"o"}, Value: value.FromAny([]any{"7", 7})}
		gone := &elements{}
		if at, ok := gone.keepOnly(root, []string{"items"}, &exchange.Keep{Where: &c}, ""); !ok {
			t.Fatal(at)
		}
		out, _, err := rewrite.Bytes(src, rewrite.Options{Filters: []rewrite.Filter{gone}})
		if err != nil {
			t.Fatal(err)
		}
		var want []any
		for _, e := range list {
			if m, ok := e.(map[string]any); ok && (m["o"] == any("7") || m["o"] == any(json.Number("7"))) {
				want = append(want, e)
			}
		}
		left, err := value.JSON(out, value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := left.Get("items").ToAny().([]any)
		if len(got) != len(want) || len(want) > 0 && cmp.Diff(want, got) != "" {
			t.Fatalf("%s became %s", src, out)
		}
		if len(left.Get("items2").Kids) != len(list) {
			t.Fatalf("%s lost of another list", out)
		}
	})
}
