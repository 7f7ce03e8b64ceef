package world

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/call"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// unsent is a world whose client sends nothing.
func unsent(api *spec.API, seed uint64) *World {
	return New(graph.Build(api), &crowd{actors: pair()}, nil, Options{Run: "pr0p", Seed: seed})
}

func documents(t testing.TB) map[string]*spec.API {
	t.Helper()
	out := map[string]*spec.API{}
	files, err := filepath.Glob("../../spec/testdata/good/*")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../../demo/harbour/openapi.yaml")
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.IsDir() {
			continue
		}
		api, err := spec.Load(context.Background(), f, spec.LoadOptions{})
		if err != nil {
			continue
		}
		out[filepath.Base(f)] = api
	}
	for _, s := range styles {
		api, err := spec.Parse([]byte(s.spec), s.name, spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out[s.name] = api
	}
	if len(out) < 6 {
		t.Fatalf("only %d documents", len(out))
	}
	return out
}

// Every value that a call holds fits the schema of its place, and a JSON body as
// a whole fits its own.
func TestValuesFitTheirSchemas(t *testing.T) {
	made, whole := 0, 0
	for name, api := range documents(t) {
		w := unsent(api, 3)
		for _, op := range w.g.Ops {
			for _, p := range []plan{{}, {fullness: onlyNeeded}, {fullness: everything}, {sober: true}, {fullness: likeExample}} {
				p.over = stubs(op)
				c, err := w.compose(op, w.people.All()[0], p)
				if err != nil {
					continue
				}
				made++
				for _, in := range op.Inputs {
					text, ok := c.Values[in.Where()]
					if !ok || in.Schema == nil || p.over[in.Where()] != "" || p.fullness == likeExample {
						continue
					}
					if !validText(text, in.Schema) {
						t.Errorf("%s %s: %s is %s", name, op.ID, in.Where(), text)
					}
				}
				mt := c.declared()
				n, ok := c.body()
				if mt == nil || mt.Schema == nil || !ok || !isJSON(c.Media) || p.fullness == likeExample {
					continue
				}
				v, err := value.JSON(n.write(nil), value.Limits{})
				if err != nil {
					t.Errorf("%s %s: the body %s: %v", name, op.ID, n.write(nil), err)
					continue
				}
				whole++
				if faults := mt.Schema.Validate(v, &schema.Options{Direction: schema.Request}); faults != nil && !w.changesAccount(op) {
					t.Errorf("%s %s (%+v): %s: %s %s", name, op.ID, p.fullness, n.write(nil), faults[0].Pointer, faults[0].Message)
				}
			}
		}
	}
	if made < 300 || whole < 100 {
		t.Errorf("only %d calls and %d bodies were made", made, whole)
	}
}

// stubs are identifiers for the paths of operations whose objects nobody has made.
func stubs(op *graph.Op) map[string]string {
	out := map[string]string{}
	for _, p := range op.PathParams {
		out["path."+p.Name] = `"stub"`
		if p.Schema != nil && (p.Schema.Type() == "integer" || p.Schema.Type() == "number") {
			out["path."+p.Name] = "7"
		}
	}
	return out
}

// A call's request is one that its document allows.
func TestRequestsAreAllowed(t *testing.T) {
	api, err := spec.Load(t.Context(), "../../../demo/harbour/openapi.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := unsent(api, 4)
	checked := 0
	for _, op := range w.g.Ops {
		c, err := w.compose(op, w.people.All()[0], plan{over: stubs(op)})
		if err != nil {
			continue
		}
		r, err := w.Request(c)
		if err != nil {
			t.Errorf("%s: %v", op.ID, err)
			continue
		}
		if m := api.Route(r.Method, "", r.Path); m.Operation != op.Operation {
			t.Errorf("%s: %s is routed elsewhere", op.ID, r.Path)
		}
		q := &call.Request{Operation: op.Operation, Method: r.Method, Path: r.Path, Query: r.Query, Header: map[string][]string{}, Body: r.Body, MediaType: c.Media}
		for _, f := range r.Header {
			q.Header[f.Name] = append(q.Header[f.Name], f.Value)
		}
		if r.Body != nil && !isJSON(c.Media) {
			continue
		}
		if err := call.Check(api, q); err != nil && !strings.Contains(err.Error(), "stub") && !stubbed(err) {
			t.Errorf("%s: %v\n%s %s?%s %s", op.ID, err, r.Method, r.Path, r.Query, r.Body)
		}
		checked++
	}
	if checked < 60 {
		t.Errorf("only %d were checked", checked)
	}
}

// stubbed: the complaint is about an identifier that the test made up.
func stubbed(err error) bool {
	var f *call.Fault
	return errors.As(err, &f) && f.Where == "path"
}

// Canaries are unique, over calls, fields and runs.
func TestCanariesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, run := range []string{"a1", "b2"} {
		for name, api := range documents(t) {
			w := New(graph.Build(api), &crowd{actors: pair()}, nil, Options{Run: run + squeezed(name), Seed: 5})
			for _, op := range w.g.Ops {
				for range 3 {
					c, err := w.compose(op, w.people.All()[0], plan{over: stubs(op)})
					if err != nil {
						continue
					}
					for where, token := range c.tokens {
						at := fmt.Sprint(run, name, op.ID, where)
						if other, taken := seen[token]; taken {
							t.Fatalf("%s is in %s and in %s", token, other, at)
						}
						seen[token] = at
						if !strings.Contains(c.Values[where], token) {
							t.Errorf("%s: %s is not in %s", at, token, c.Values[where])
						}
					}
				}
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d canaries", len(seen))
	}
}

// The same seed and run give the same calls.
func TestCallsRepeat(t *testing.T) {
	api, err := spec.Load(t.Context(), "../../../demo/harbour/openapi.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := func() (out []string) {
		w := unsent(api, 6)
		for _, op := range w.g.Ops {
			if c, err := w.compose(op, w.people.All()[0], plan{over: stubs(op)}); err == nil {
				r, err := w.Request(c)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, fmt.Sprintf("%s %s?%s %v %s", r.Method, r.Path, r.Query, r.Header, r.Body))
			}
		}
		return out
	}
	if a, b := all(), all(); !slices.Equal(a, b) {
		t.Error("two worlds of one seed make different calls")
	}
}

var testPlaceholder = regexp.MustCompile(`\$\{(v\d+)\}`)

// A step, its placeholders filled in, is the request that the call itself gives.
func TestStepRendersAsRequest(t *testing.T) {
	var worlds []*World
	for _, api := range documents(t) {
		worlds = append(worlds, unsent(api, 8))
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(worlds).Draw(t, "world")
		if len(w.g.Ops) == 0 {
			return
		}
		op := rapid.SampledFrom(w.g.Ops).Draw(t, "op")
		c, err := w.compose(op, w.people.All()[0], plan{over: stubs(op), fullness: fullness(rapid.IntRange(0, 3).Draw(t, "fullness"))})
		if err != nil {
			return
		}
		bind, values := map[string]string{}, map[string]string{}
		for i, where := range sortedKeys(c.Values) {
			if !rapid.Bool().Draw(t, where) || c.whole(where) {
				continue
			}
			name := fmt.Sprintf("v%d", i)
			v, err := value.JSON([]byte(c.Values[where]), value.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			switch v.Kind {
			case value.String:
				values[name], bind[where] = v.Text, `"${`+name+`}"`
			case value.Number, value.Bool:
				values[name], bind[where] = v.Text, "${"+name+"}"
			}
		}
		want, err := w.Request(c)
		if err != nil {
			t.Fatal(err)
		}
		step, err := w.Step(c, bind)
		if err != nil {
			t.Fatal(err)
		}
		s := step.Send
		fill := func(text string, escape func(string) string) string {
			return testPlaceholder.ReplaceAllStringFunc(text, func(p string) string { return escape(values[p[2:len(p)-1]]) })
		}
		same := func(x string) string { return x }
		if got := unescapedPath(fill(s.Path, url.PathEscape)); got != unescapedPath(want.Path) {
			t.Fatalf("path %s, want %s", got, want.Path)
		}
		var pairs []string
		for _, p := range s.Query {
			pairs = append(pairs, p.Name+"="+fill(p.Value, same))
		}
		if s.RawQ != "" {
			for p := range strings.SplitSeq(fill(s.RawQ, url.QueryEscape), "&") {
				name, text, _ := strings.Cut(p, "=")
				pairs = append(pairs, unescaped(name)+"="+unescaped(text))
			}
		}
		var wanted []string
		for p := range strings.SplitSeq(want.Query, "&") {
			if p != "" {
				name, text, _ := strings.Cut(p, "=")
				wanted = append(wanted, unescaped(name)+"="+unescaped(text))
			}
		}
		if !slices.Equal(pairs, wanted) {
			t.Fatalf("query %q, want %q", pairs, wanted)
		}
		headers := map[string]string{}
		for _, h := range s.Header {
			headers[h.Name] = fill(h.Value, same)
		}
		if s.Type != "" {
			headers["Content-Type"] = s.Type
		}
		for _, f := range want.Header {
			if headers[f.Name] != f.Value {
				t.Fatalf("header %s is %q, want %q", f.Name, headers[f.Name], f.Value)
			}
		}
		body := []byte(fill(s.Body, same))
		if isJSON(s.Type) {
			body = []byte(fill(s.Body, func(x string) string {
				q := quoted(x)
				return q[1 : len(q)-1]
			}))
		}
		if s.Type == formType {
			body = []byte(fill(s.Body, url.QueryEscape))
		}
		if isXML(s.Type) {
			body = []byte(fill(s.Body, func(x string) string {
				var b strings.Builder
				xmlText(&b, x)
				return b.String()
			}))
		}
		if s.Base64 != "" {
			raw, err := base64.StdEncoding.DecodeString(s.Base64)
			if err != nil {
				t.Fatal(err)
			}
			body = []byte(fill(string(raw), same))
		}
		if !bytes.Equal(body, want.Body) && !sameJSON(body, want.Body) && unescaped(string(body)) != unescaped(string(want.Body)) {
			t.Fatalf("body %s\nwant %s", body, want.Body)
		}
	})
}

func unescapedPath(p string) string {
	s, err := url.PathUnescape(p)
	if err != nil {
		return p
	}
	return s
}

func sameJSON(a, b []byte) bool {
	x, errX := value.JSON(a, value.Limits{})
	y, errY := value.JSON(b, value.Limits{})
	return errX == nil && errY == nil && value.Equal(x, y)
}

// Overrides: in place of what is there and below, beside what is there, and away.
func TestOverride(t *testing.T) {
	api, err := spec.Parse([]byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /o:
    post:
      parameters: [{in: query, name: q, required: true, schema: {type: string, example: "a b"}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [items, note], properties: {note: {type: string, enum: [x]}, items: {type: array, minItems: 2, items: {type: object, required: [sku], properties: {sku: {type: integer, minimum: 1, maximum: 1}}}}}}}}}
      responses: {"200": {description: ok}}
`), "o", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := unsent(api, 1)
	for _, tc := range []struct {
		over  map[string]string
		query string
		body  string
	}{
		{nil, "q=a+b", `{"note":"x","items":[{"sku":1},{"sku":1}]}`},
		{map[string]string{"body./items/*/sku": "9"}, "q=a+b", `{"note":"x","items":[{"sku":9},{"sku":1}]}`},
		{map[string]string{"body./items/1/sku": `"s"`, "query.q": `"c&d"`}, "q=c%26d", `{"note":"x","items":[{"sku":1},{"sku":"s"}]}`},
		{map[string]string{"body./items": "[]"}, "q=a+b", `{"note":"x","items":[]}`},
		{map[string]string{"body./note": ""}, "q=a+b", `{"items":[{"sku":1},{"sku":1}]}`},
		{map[string]string{"body./is_admin": "true", "body./a/b": `{"c":null}`}, "q=a+b", `{"note":"x","items":[{"sku":1},{"sku":1}],"a":{"b":{"c":null}},"is_admin":true}`},
		{map[string]string{"body.": `[1]`, "query.r": "2", "query.q": ""}, "r=2", `[1]`},
	} {
		c, err := w.Call(t.Context(), w.g.Ops[0], nil, tc.over)
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.Request(c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Query != tc.query || !sameJSON(r.Body, []byte(tc.body)) {
			t.Errorf("%v: %s %s, want %s %s", tc.over, r.Query, r.Body, tc.query, tc.body)
		}
	}
}

// A literal "${" is not taken for a placeholder.
func TestStepKeepsLiteralPlaceholders(t *testing.T) {
	api, err := spec.Parse([]byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /o:
    post:
      parameters: [{in: query, name: q, required: true, schema: {type: string, enum: ["${x}"]}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, enum: ["Dear ${name}"]}}}}}}
      responses: {"200": {description: ok}}
`), "o", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := unsent(api, 1)
	c, err := w.Call(t.Context(), w.g.Ops[0], nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	step, err := w.Step(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(step.Send.Body, "${") || strings.Contains(step.Send.RawQ, "${") || len(step.Send.Query) > 0 {
		t.Errorf("%+v", step.Send)
	}
	if v, err := value.JSON([]byte(step.Send.Body), value.Limits{}); err != nil || v.Get("text").Str() != "Dear ${name}" {
		t.Errorf("%s", step.Send.Body)
	}
}

// What nobody of the run owns is neither changed nor deleted, not even tried.
func TestOthersThingsAreLeftAlone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		owners []string
		object *Object
		kind   graph.Kind
		method string
		want   bool
	}{
		{"reading is harmless", []string{"owner_id"}, &Object{}, graph.Read, "GET", true},
		{"changing what the run made", []string{"owner_id"}, &Object{Made: true}, graph.Update, "PUT", true},
		{"changing what an actor owns", []string{"owner_id"}, &Object{owner: &actor.Actor{}}, graph.Update, "PUT", true},
		{"changing somebody's", []string{"owner_id"}, &Object{}, graph.Update, "PUT", false},
		{"acting on somebody's", []string{"owner_id"}, &Object{}, graph.Action, "POST", false},
		{"acting on what is nobody's", nil, &Object{}, graph.Action, "POST", true},
		{"deleting what is nobody's", nil, &Object{}, graph.Delete, "DELETE", false},
		{"turning off what is nobody's", nil, &Object{}, graph.Action, "POST /switch-off", false},
		{"archiving what is nobody's", nil, &Object{}, graph.Action, "PUT /archive", false},
		{"turning off what the run made", nil, &Object{Made: true}, graph.Action, "POST /switch-off", true},
		{"a word that only holds one of those", nil, &Object{}, graph.Action, "POST /offers", true},
	} {
		method, below, _ := strings.Cut(tc.method, " ")
		api, err := spec.Parse([]byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /o/{id}`+below+`:
    `+strings.ToLower(method)+`:
      parameters: [{in: path, name: id, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
`), "o", spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w := unsent(api, 1)
		op := w.g.Ops[0]
		op.Kind = tc.kind
		tc.object.Resource = &graph.Resource{Name: "o", Owners: tc.owners}
		if got := w.honest(op.Input("path.id"), tc.object); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
