package param_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/value"
)

var (
	scalar = &spec.Shape{Scalar: true}
	list   = &spec.Shape{Array: true, Items: scalar}
	object = &spec.Shape{Object: true, Properties: map[string]*spec.Shape{"R": scalar, "G": scalar, "tags": list, "in": {Object: true, Open: true}}}
	both   = &spec.Shape{Scalar: true, Array: true}
)

// source puts one text where p looks for it.
func source(t interface{ Fatalf(string, ...any) }, p *spec.Parameter, text string, present bool) *param.Source {
	src := &param.Source{Operation: &spec.Operation{}, Header: http.Header{}}
	if !present {
		return src
	}
	switch p.In {
	case "path":
		src.Operation.PathParams = []*spec.Parameter{p}
		plain, err := url.PathUnescape(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		src.Path = []string{plain}
	case "query":
		pairs, err := value.Query(text, value.Limits{})
		if err != nil {
			t.Fatalf("query %q: %v", text, err)
		}
		src.Query = pairs
	case "header":
		src.Header[http.CanonicalHeaderKey(p.Name)] = strings.Split(text, "\n")
	case "cookie":
		src.Cookies = param.Cookies([]string{text})
	}
	return src
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		in, style string
		explode   bool
		shape     *spec.Shape
		text      string
		want      string // JSON; "" for not found
		code      string
	}{
		// The examples of OpenAPI 3.1's style table.
		{"path", "simple", false, scalar, "blue", `"blue"`, ""},
		{"path", "simple", false, list, "blue,black,brown", `["blue","black","brown"]`, ""},
		{"path", "simple", false, object, "R,100,G,200", `{"R":"100","G":"200"}`, ""},
		{"path", "simple", true, object, "R=100,G=200", `{"R":"100","G":"200"}`, ""},
		{"path", "label", false, scalar, ".blue", `"blue"`, ""},
		{"path", "label", false, list, ".blue,black", `["blue","black"]`, ""},
		{"path", "label", true, list, ".blue.black", `["blue","black"]`, ""},
		{"path", "label", false, object, ".R,100,G,200", `{"R":"100","G":"200"}`, ""},
		{"path", "label", true, object, ".R=100.G=200", `{"R":"100","G":"200"}`, ""},
		{"path", "label", false, scalar, "blue", "", "style"},
		{"path", "matrix", false, scalar, ";c=blue", `"blue"`, ""},
		{"path", "matrix", false, scalar, ";d=blue", "", "style"},
		{"path", "matrix", false, list, ";c=blue,black", `["blue","black"]`, ""},
		{"path", "matrix", true, list, ";c=blue;c=black", `["blue","black"]`, ""},
		{"path", "matrix", false, object, ";c=R,100,G,200", `{"R":"100","G":"200"}`, ""},
		{"path", "matrix", true, object, ";R=100;G=200", `{"R":"100","G":"200"}`, ""},
		{"path", "matrix", false, scalar, ";c=a;c=b", "", "duplicate"},
		{"query", "form", true, scalar, "c=blue", `"blue"`, ""},
		{"query", "form", true, scalar, "c=a,b", `"a,b"`, ""},
		{"query", "form", true, scalar, "c=a&c=b", "", "duplicate"},
		{"query", "form", true, scalar, "d=a", "", ""},
		{"query", "form", true, scalar, "c", `""`, ""},
		{"query", "form", true, list, "c=blue&x=1&c=black", `["blue","black"]`, ""},
		{"query", "form", true, list, "c=blue", `["blue"]`, ""},
		{"query", "form", true, list, "c=", `[]`, ""},
		{"query", "form", false, list, "c=blue,black", `["blue","black"]`, ""},
		{"query", "form", false, list, "c=blue%2Cblack", `["blue","black"]`, ""},
		{"query", "form", false, list, "c=a&c=b", "", "duplicate"},
		{"query", "form", true, both, "c=blue", `"blue"`, ""},
		{"query", "form", true, both, "c=blue&c=black", `["blue","black"]`, ""},
		{"query", "form", true, nil, "c=blue", `"blue"`, ""},
		{"query", "form", true, nil, "c=a&c=b", `["a","b"]`, ""},
		{"query", "form", false, object, "c=R,100,G,200", `{"R":"100","G":"200"}`, ""},
		{"query", "form", false, object, "c=R,100,G", "", "style"},
		{"query", "form", false, object, "c=R,1,R,2", "", "duplicate"},
		{"query", "form", true, object, "R=100&x=1&G=200&tags=a&tags=b", `{"R":"100","G":"200","tags":["a","b"]}`, ""},
		{"query", "form", true, object, "R=1&R=2", "", "duplicate"},
		{"query", "spaceDelimited", false, list, "c=blue%20black+brown", `["blue","black","brown"]`, ""},
		{"query", "pipeDelimited", false, list, "c=blue%7Cblack", `["blue","black"]`, ""},
		{"query", "tabDelimited", false, list, "c=blue%09black", `["blue","black"]`, ""},
		{"query", "pipeDelimited", false, object, "c=R%7C100", `{"R":"100"}`, ""},
		{"query", "deepObject", true, object, "c[R]=100&c[G]=200", `{"R":"100","G":"200"}`, ""},
		{"query", "deepObject", true, object, "c%5BR%5D=100", `{"R":"100"}`, ""},
		{"query", "deepObject", true, object, "c[tags]=a&c[tags]=b", `{"tags":["a","b"]}`, ""},
		{"query", "deepObject", true, object, "c[tags][]=a&c[tags][]=b", `{"tags":["a","b"]}`, ""},
		{"query", "deepObject", true, object, "c[in][x][y]=1&c[in][z]=2", `{"in":{"x":{"y":"1"},"z":"2"}}`, ""},
		{"query", "deepObject", true, object, "c[R]=1&c[R]=2", "", "duplicate"},
		{"query", "deepObject", true, object, "c[in]=1&c[in][x]=2", "", "style"},
		{"query", "deepObject", true, object, "c[in][x]=1&c[in]=2", "", "style"},
		{"query", "deepObject", true, object, "c=1", "", "style"},
		{"query", "deepObject", true, object, "c[R=1", "", "style"},
		{"query", "deepObject", true, object, "c[]=1", "", "style"},
		{"query", "deepObject", true, object, "c[R]x=1", "", "style"},
		{"query", "deepObject", true, object, "cc[R]=1", "", ""},
		{"query", "deepObject", true, object, "c" + strings.Repeat("[a]", 17) + "=1", "", "style"},
		{"header", "simple", false, scalar, "blue", `"blue"`, ""},
		{"header", "simple", false, scalar, "a\nb", "", "duplicate"},
		{"header", "simple", false, list, "a,b\nc", `["a","b","c"]`, ""},
		{"header", "simple", true, object, "R=100,G=200", `{"R":"100","G":"200"}`, ""},
		{"header", "simple", false, scalar, "caf\xe9", "", "encoding"},
		{"cookie", "form", true, scalar, "x=1; c=blue", `"blue"`, ""},
		{"cookie", "form", true, scalar, `c="a b"`, `"a b"`, ""},
		{"cookie", "form", true, scalar, "c=a%20b", `"a b"`, ""},
		{"cookie", "form", true, scalar, "c=a; c=b", "", "duplicate"},
		{"cookie", "form", false, list, "c=a,b", `["a","b"]`, ""},
	} {
		t.Run(c.in+"/"+c.style+"/"+c.text, func(t *testing.T) {
			p := &spec.Parameter{Name: "c", In: c.in, Style: c.style, Explode: c.explode, Shape: c.shape}
			v, found, err := param.Decode(p, source(t, p, c.text, true))
			if c.code != "" {
				if err == nil || err.Code != c.code {
					t.Fatalf("got %v, want code %q", err, c.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if found != (c.want != "") {
				t.Fatalf("found is %v", found)
			}
			if got := string(value.Append(nil, &v)); found && got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDecodeContent(t *testing.T) {
	p := &spec.Parameter{Name: "q", In: "query", ContentType: "application/json"}
	v, found, err := param.Decode(p, source(t, p, `q=%7B%22a%22%3A%5B1%2Ctrue%5D%7D`, true))
	if err != nil || !found || string(value.Append(nil, &v)) != `{"a":[1,true]}` {
		t.Errorf("got %+v %v %v", v, found, err)
	}
	_, _, err = param.Decode(p, source(t, p, `q=%7B%22a%22%3A1%2C%22a%22%3A2%7D`, true))
	if err == nil || err.Code != param.CodeContent || err.Body == nil || err.Body.Fault != value.FaultDuplicateKey {
		t.Errorf("a duplicate key in a JSON parameter: got %+v", err)
	}
}

func TestLimits(t *testing.T) {
	for _, p := range []*spec.Parameter{
		{Name: "c", In: "query", Style: "form", Explode: true, Shape: list},
		{Name: "c", In: "query", Style: "form", Shape: list},
		{Name: "c", In: "path", Style: "matrix", Explode: true, Shape: list},
		{Name: "c", In: "path", Style: "label", Explode: true, Shape: list},
	} {
		text := map[string]string{"simple": strings.Repeat("1,", 50), "label": strings.Repeat(".1", 50), "matrix": strings.Repeat(";c=1", 50), "form": "c=" + strings.Repeat("1,", 50)}[p.Style]
		if p.Style == "form" && p.Explode {
			text = strings.Repeat("c=1&", 50)
		}
		src := source(t, p, text, true)
		src.Limits.Items = 20
		if _, _, err := param.Decode(p, src); err == nil || err.Code != param.CodeLimit {
			t.Errorf("%s: 50 elements of at most 20: got %v", p.Style, err)
		}
	}
}

func TestClaims(t *testing.T) {
	open := &spec.Shape{Object: true, Open: true}
	for _, c := range []struct {
		p    spec.Parameter
		name string
		want bool
	}{
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: scalar}, "c", true},
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: scalar}, "c[]", false},
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: object}, "c", false},
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: object}, "R", true},
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: object}, "B", false},
		{spec.Parameter{Name: "c", In: "query", Style: "form", Explode: true, Shape: open}, "B", true},
		{spec.Parameter{Name: "c", In: "query", Style: "deepObject", Explode: true, Shape: object}, "c[R]", true},
		{spec.Parameter{Name: "c", In: "query", Style: "deepObject", Explode: true, Shape: object}, "cR", false},
	} {
		if got := param.Claims(&c.p, c.name); got != c.want {
			t.Errorf("%s %s %s: got %v", c.p.Name, c.p.Style, c.name, got)
		}
	}
}

// TestOpenObjectLeavesOthers: an exploded object that may have any member does
// not swallow what another parameter declares.
func TestOpenObjectLeavesOthers(t *testing.T) {
	p := &spec.Parameter{Name: "filter", In: "query", Style: "form", Explode: true, Shape: &spec.Shape{Object: true, Open: true}}
	limit := &spec.Parameter{Name: "limit", In: "query", Style: "form", Explode: true, Shape: scalar}
	src := source(t, p, "limit=5&a=1", true)
	src.Operation.Parameters = []*spec.Parameter{p, limit}
	v, _, err := param.Decode(p, src)
	if err != nil || string(value.Append(nil, &v)) != `{"a":"1"}` {
		t.Errorf("got %s %v", value.Append(nil, &v), err)
	}
}

// TestRoundTrip: what Encode writes, Decode reads, in every style. Delimiters in
// texts are left out, since an encoded one is a delimiter.
func TestRoundTrip(t *testing.T) {
	styles := []spec.Parameter{
		{In: "path", Style: "simple"}, {In: "path", Style: "label"}, {In: "path", Style: "matrix"}, {In: "header", Style: "simple"},
		{In: "query", Style: "form"}, {In: "cookie", Style: "form"}, {In: "query", Style: "spaceDelimited"},
		{In: "query", Style: "pipeDelimited"}, {In: "query", Style: "tabDelimited"}, {In: "query", Style: "deepObject"},
	}
	text := rapid.StringMatching(`[a-zA-Z0-9äß€😀!*'()%+&?#/\\@:_-]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(styles).Draw(t, "style")
		p.Name = rapid.StringMatching(`[a-z_]{1,6}`).Draw(t, "name")
		p.Explode = rapid.Bool().Draw(t, "explode") && !strings.HasSuffix(p.Style, "Delimited") && p.In != "cookie"
		leaf := func(label string) value.Value {
			return value.Value{Kind: value.String, Text: text.Draw(t, label), Untyped: true}
		}
		var v value.Value
		switch kind := rapid.SampledFrom([]string{"scalar", "list", "object"}).Draw(t, "kind"); {
		case kind == "object" || p.Style == "deepObject":
			p.Shape = &spec.Shape{Object: true, Properties: map[string]*spec.Shape{}}
			v.Kind = value.Object
			for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9_]{1,5}`), 1, 4, func(s string) string { return s }).Draw(t, "names") {
				k := leaf(name)
				p.Shape.Properties[name] = scalar
				if (p.Style == "deepObject" || p.Style == "form" && p.Explode) && rapid.Bool().Draw(t, "nested") {
					k = value.Value{Kind: value.Array, Kids: []value.Value{leaf("a"), leaf("b")}}
					p.Shape.Properties[name] = list
				}
				k.Name = name
				v.Kids = append(v.Kids, k)
			}
		case kind == "list":
			p.Shape = list
			v.Kind = value.Array
			for range rapid.IntRange(1, 5).Draw(t, "n") {
				v.Kids = append(v.Kids, leaf("element"))
			}
		default:
			p.Shape = scalar
			v = leaf("value")
		}
		texts := param.Encode(&p, &v)
		joiner := map[string]string{"query": "&", "cookie": "; "}[p.In]
		got, found, err := param.Decode(&p, source(t, &p, strings.Join(texts, joiner), true))
		if err != nil || !found {
			t.Fatalf("%q: found %v, %v", texts, found, err)
		}
		if diff := cmp.Diff(string(value.Append(nil, &v)), string(value.Append(nil, &got))); diff != "" {
			t.Fatalf("%q: %s", texts, diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("c[a][b]=1&c=2", "a,b;c=1")
	f.Add("c=%7B%7D&c[]=1", ";c=1;c=2")
	f.Fuzz(func(t *testing.T, query, text string) {
		src := &param.Source{Operation: &spec.Operation{}, Header: http.Header{"C": {text}}, Path: []string{text}, Cookies: param.Cookies([]string{text}), Limits: value.Limits{Items: 10, Keys: 10}}
		src.Query, _ = value.Query(query, value.Limits{})
		for _, in := range []string{"path", "query", "header", "cookie"} {
			for _, style := range []string{"simple", "label", "matrix", "form", "spaceDelimited", "deepObject"} {
				for _, shape := range []*spec.Shape{nil, scalar, list, object, both} {
					for _, explode := range []bool{false, true} {
						p := &spec.Parameter{Name: "c", In: in, Style: style, Explode: explode, Shape: shape}
						src.Operation.PathParams = []*spec.Parameter{p}
						v, _, err := param.Decode(p, src)
						if err == nil && (len(v.Kids) > 10) {
							t.Fatalf("%s %s: %d elements of at most 10", in, style, len(v.Kids))
						}
					}
				}
			}
		}
	})
}

// TestTyped reads parameters as they come out of a document: texts become what
// their schema asks for, and what fits no type is left to be refused.
func TestTyped(t *testing.T) {
	const doc = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /a/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: ids, in: query, schema: {type: array, items: {type: integer}}}
        - {name: on, in: query, schema: {type: boolean}}
        - {name: code, in: query, schema: {type: string}}
        - {name: either, in: query, schema: {oneOf: [{type: integer}, {type: array, items: {type: integer}}]}}
        - {name: f, in: query, style: deepObject, schema: {type: object, properties: {n: {type: number}, deep: {type: object, properties: {b: {type: boolean}}}, list: {type: array, items: {type: integer}}}, additionalProperties: {type: integer}}}
        - {name: X-N, in: header, schema: {type: array, items: {type: number}}}
      responses: {}
`
	api, err := spec.Parse([]byte(doc), "typed.yaml", spec.LoadOptions{})
	if err != nil || len(api.Problems) > 0 {
		t.Fatal(err, api.Problems)
	}
	m := api.Route("GET", "", "/a/5")
	query, err := value.Query("ids=1&ids=02&on=true&code=12&either=3&either=4&f[n]=1.5&f[deep][b]=false&f[list]=7&f[x]=8&f[y]=no", value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	src := &param.Source{Operation: m.Operation, Path: m.Params, Query: query, Header: http.Header{"X-N": {"1, 2", "3"}}}
	want := map[string]string{"id": `5`, "ids": `[1,"02"]`, "on": `true`, "code": `"12"`, "either": `[3,4]`,
		"f": `{"n":1.5,"deep":{"b":false},"list":[7],"x":8,"y":"no"}`, "X-N": `[1,2,3]`}
	for _, p := range m.Operation.Parameters {
		v, found, perr := param.Decode(p, src)
		if perr != nil || !found {
			t.Errorf("%s: found %v, %v", p.Name, found, perr)
			continue
		}
		if got := string(value.Append(nil, &v)); got != want[p.Name] {
			t.Errorf("%s: got %s, want %s", p.Name, got, want[p.Name])
		}
		refused := p.Name == "ids" || p.Name == "f"
		if faults := p.Schema.Validate(&v, nil); (len(faults) > 0) != refused {
			t.Errorf("%s: %v", p.Name, faults)
		}
	}
}

func TestForm(t *testing.T) {
	const doc = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /a:
    post:
      requestBody:
        content:
          %s:
            encoding:
              csv: {style: form, explode: false}
              deep: {style: deepObject}
              json: {contentType: application/json}
            schema:
              type: object
              properties:
                n: {type: integer}
                tags: {type: array, items: {type: string}}
                csv: {type: array, items: {type: integer}}
                deep: {type: object, properties: {x: {type: boolean}}}
                json: {type: array, items: {type: integer}}
                point: {type: object, properties: {x: {type: integer}}}
      responses: {}
`
	for _, c := range []struct{ mediaType, form, want, code string }{
		{"application/x-www-form-urlencoded", "n=5&tags=a&csv=1,2&deep[x]=true&json=[1,2]&more=7", `{"n":5,"tags":["a"],"csv":[1,2],"json":[1,2],"more":"7","deep":{"x":true}}`, ""},
		{"application/x-www-form-urlencoded", "tags=a&tags=b", `{"tags":["a","b"]}`, ""},
		{"application/x-www-form-urlencoded", "n=5&n=6", "", "duplicate"},
		{"application/x-www-form-urlencoded", "csv=1&csv=2", "", "duplicate"},
		{"application/x-www-form-urlencoded", "deep[x]=1&deep[x]=2", "", "duplicate"},
		{"application/x-www-form-urlencoded", "json={", "", "content"},
		{"multipart/form-data", `n=x&point={"x":1}`, `{"n":"x","point":{"x":1}}`, ""},
		{"multipart/form-data", `point=x`, "", "content"},
	} {
		api, err := spec.Parse([]byte(strings.Replace(doc, "%s", c.mediaType, 1)), "form.yaml", spec.LoadOptions{})
		if err != nil || len(api.Problems) > 0 {
			t.Fatal(err, api.Problems)
		}
		v, err := value.Form([]byte(strings.NewReplacer("[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D", `"`, "%22").Replace(c.form)), value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, perr := param.Form(api.Operations[0].Body.Content[0], *v, value.Limits{})
		if c.code != "" {
			if perr == nil || perr.Code != c.code {
				t.Errorf("%s: got %v, want code %q", c.form, perr, c.code)
			}
			continue
		}
		if perr != nil || string(value.Append(nil, &got)) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.form, value.Append(nil, &got), perr, c.want)
		}
	}
}

// TestScalarKind: the short cut for parameters of one type takes no other way
// than the schema would.
func TestScalarKind(t *testing.T) {
	for _, typ := range []string{"string", "integer", "number", "boolean"} {
		api, err := spec.Parse([]byte(`
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /a:
    get:
      parameters: [{name: q, in: query, schema: {type: `+typ+`}}]
      responses: {}
`), "scalar.yaml", spec.LoadOptions{})
		if err != nil || len(api.Problems) > 0 {
			t.Fatal(err, api.Problems)
		}
		p := api.Operations[0].Parameters[0]
		if p.Shape.Type != typ {
			t.Fatalf("Type is %q, want %q", p.Shape.Type, typ)
		}
		for _, text := range []string{"", "5", "-5.0", "05", "1e3", "true", "True", "null", "text", " 5", "0x1", "NaN"} {
			src := &param.Source{Operation: api.Operations[0], Query: []value.Pair{{Name: "q", Value: text, HasEquals: true}}}
			got, _, perr := param.Decode(p, src)
			if perr != nil {
				t.Fatal(perr)
			}
			want := param.Typed(p.Schema, value.Value{Kind: value.String, Text: text, Untyped: true})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %q: %s", typ, text, diff)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	api, err := spec.Load(b.Context(), "../testdata/good/workshop-3.0.yaml", spec.LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	m := api.Route("GET", "", "/api/tools/5")
	query, err := value.Query("tag=ab&tag=cd&verbose=true&filter%5Bmin%5D=3", value.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	src := &param.Source{Operation: m.Operation, Path: m.Params, Query: query, Header: http.Header{"X-Api-Version": {"1"}}}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range m.Operation.Parameters {
			if _, _, err := param.Decode(p, src); err != nil {
				b.Fatal(err)
			}
		}
	}
}
