package schema_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

var severities = map[schema.Severity]string{schema.Warning: "warning", schema.Degraded: "degraded", schema.Fatal: "fatal"}

// TestDirtySchemas: what real documents get wrong is reported, and what can be
// used still is.
func TestDirtySchemas(t *testing.T) {
	for _, tc := range []struct {
		dialect        schema.Dialect
		schema         string
		problems       string // "severity code pointer", sorted
		accept, refuse string // separated by ¦
	}{
		{schema.OpenAPI30, `{"type": "int"}`, "warning type_alias /type", `1`, `"a"`},
		{schema.OpenAPI30, `{"type": "String"}`, "warning type_alias /type", `"a"`, `1`},
		{schema.OpenAPI30, `{"type": "thing"}`, "degraded unknown_type /type", `1¦"a"`, ``},
		{schema.OpenAPI20, `{"type": "file"}`, "", `"a"`, `1`},
		{schema.OpenAPI30, `{"type": "file"}`, "warning type_alias /type", `"a"`, `1`},
		{schema.OpenAPI30, `{"type": ["string", "null"]}`, "warning later_keyword /type¦warning later_keyword /type", `"a"¦null`, `1`},
		{schema.OpenAPI30, `{"type": "string", "nullable": true}`, "", `"a"¦null`, `1`},
		{schema.OpenAPI30, `{"type": "string", "nullable": "true"}`, "warning quoted_boolean /nullable", `"a"¦null`, `1`},
		{schema.OpenAPI30, `{"type": "string", "nullable": true, "enum": ["a"]}`, "warning nullable_enum /enum", `"a"`, `null¦"b"`},
		{schema.OpenAPI30, `{"nullable": true, "allOf": [{"type": "string"}]}`, "degraded nullable_without_type /nullable", `"a"¦null`, `1`},
		{schema.OpenAPI31, `{"type": "string", "nullable": true}`, "degraded old_keyword /nullable", `"a"¦null`, `1`},
		{schema.Draft202012, `{"type": "string", "nullable": true}`, "", `"a"`, `null¦1`},
		{schema.OpenAPI20, `{"type": "string", "x-nullable": true}`, "", `"a"¦null`, `1`},
		{schema.OpenAPI30, `{"type": "object", "properties": {"a": {"type": "string", "required": true}}}`, "degraded required_boolean /properties/a/required", `{}`, `{"a": 1}`},
		{schema.OpenAPI20, `{"in": "query", "name": "q", "required": true, "type": "string"}`, "", `"a"`, `1`},
		{schema.OpenAPI30, `{"required": "a"}`, "degraded bad_keyword /required", `{}`, ``},
		{schema.OpenAPI30, `{"required": ["a", 1]}`, "degraded bad_keyword /required", `{"a": 1}`, `{}`},
		{schema.OpenAPI30, `{"minimum": "5"}`, "warning quoted_number /minimum", `5`, `4`},
		{schema.OpenAPI30, `{"maxLength": "3"}`, "warning quoted_number /maxLength", `"abc"`, `"abcd"`},
		{schema.OpenAPI30, `{"maxLength": -1}`, "degraded bad_keyword /maxLength", `"abc"`, ``},
		{schema.OpenAPI30, `{"maxLength": 2.5}`, "degraded bad_keyword /maxLength", `"abc"`, ``},
		{schema.OpenAPI30, `{"minimum": 5, "exclusiveMinimum": true}`, "", `6`, `5`},
		{schema.OpenAPI30, `{"exclusiveMinimum": true, "minimum": 5}`, "", `6`, `5`},
		{schema.OpenAPI30, `{"exclusiveMinimum": 5}`, "warning later_keyword /exclusiveMinimum", `6`, `5`},
		{schema.OpenAPI31, `{"minimum": 5, "exclusiveMinimum": true}`, "warning old_keyword /exclusiveMinimum", `6`, `5`},
		{schema.OpenAPI31, `{"multipleOf": 0}`, "degraded bad_keyword /multipleOf", `1`, ``},
		{schema.OpenAPI30, `{"pattern": "("}`, "degraded bad_pattern /pattern", `"a"`, ``},
		{schema.OpenAPI30, `{"pattern": 5}`, "degraded bad_keyword /pattern", `"a"`, ``},
		{schema.OpenAPI30, `{"pattern": "(?i)^abc$"}`, "warning pattern_dialect /pattern", `"ABC"`, `"abd"`},
		{schema.OpenAPI30, `{"$ref": "#/nothing"}`, "fatal unresolved_ref /$ref", `1¦"a"`, ``},
		{schema.OpenAPI30, `{"$ref": "other.json#/A"}`, "fatal unresolved_ref /$ref", `1`, ``},
		{schema.OpenAPI31, `{"$ref": 5, "type": "string"}`, "fatal bad_ref /$ref", `"a"`, `1`},
		{schema.OpenAPI30, `{"$ref": "#"}`, "fatal circular_ref /$ref", `1`, ``},
		{schema.OpenAPI30, `{"allOf": [{"$ref": "#"}]}`, "fatal circular_ref ", `1`, ``},
		{schema.OpenAPI30, `{"type": "string", "allOf": [{"$ref": "#"}]}`, "warning circular_ref ", `"a"`, `1`},
		{schema.OpenAPI30, `{"maxLength": 1, "anyOf": [{"$ref": "#"}, {"type": "string"}]}`, "degraded circular_ref ", `"a"`, `"ab"`},
		{schema.OpenAPI30, `{"properties": {"a": {"$ref": "#"}}, "maxProperties": 1}`, "", `{"a": {"a": {}}}`, `{"a": {"b": 1, "c": 2}}`},
		{schema.OpenAPI30, `{"$ref": "#/x", "x": {"type": "string"}, "maxLength": 1}`, "warning ref_siblings /$ref", `"abc"`, `1`},
		{schema.OpenAPI30, `{"properties": {"a": {"const": 5}}}`, "warning later_keyword /properties/a/const", `{"a": 5}`, `{"a": 6}`},
		{schema.OpenAPI30, `{"properties": {"type": "object", "a": {"type": "string"}}}`, "warning keyword_as_property /properties/type", `{"a": "x"}`, `{"a": 1}`},
		{schema.OpenAPI30, `{"properties": {"a": null, "b": 5}}`, "fatal not_a_schema /properties/b¦warning null_schema /properties/a", `{"a": 1, "b": 2}`, ``},
		{schema.OpenAPI30, `{"properties": []}`, "degraded bad_keyword /properties", `{"a": 1}`, ``},
		{schema.OpenAPI30, `{"allOf": {"type": "string"}}`, "warning bad_keyword /allOf", `"a"`, `1`},
		{schema.OpenAPI30, `{"oneOf": []}`, "degraded bad_keyword /oneOf", `1`, ``},
		{schema.OpenAPI30, `{"enum": []}`, "degraded empty_enum /enum", `1`, ``},
		{schema.OpenAPI30, `{"enum": "a"}`, "degraded bad_keyword /enum", `1`, ``},
		{schema.OpenAPI30, `{"items": [{"type": "string"}]}`, "warning later_keyword /a list in items", `["a", 1]`, `[1]`},
		{schema.OpenAPI31, `{"items": [{"type": "string"}]}`, "degraded bad_keyword /items", `[1]`, ``},
		{schema.OpenAPI30, `{"uniqueItems": "yes"}`, "degraded bad_keyword /uniqueItems", `[1, 1]`, ``},
		{schema.OpenAPI30, `{"format": 5}`, "warning bad_keyword /format", `1`, ``},
		{schema.OpenAPI30, `{"type": "string", "format": "email"}`, "", `"a@b.example"`, `"a"`},
		{schema.OpenAPI30, `{"type": "integer", "format": "int32"}`, "", `2147483647`, `2147483648`},
		{schema.OpenAPI30, `{"type": "integer", "format": "int64"}`, "", `9223372036854775807¦-9223372036854775808`, `9223372036854775808`},
		{schema.OpenAPI30, `{"type": "number", "format": "float"}`, "", `3.4e38`, `3.5e38`},
		{schema.OpenAPI30, `{"type": "string", "format": "byte"}`, "", `"YWI="¦"YWI"¦"a-_b"`, `"a"¦"a+-b"¦"***="`},
		{schema.OpenAPI30, `{"type": "string", "format": "made-up"}`, "", `"a"`, `1`},
		{schema.OpenAPI30, `5`, "fatal not_a_schema ", `1`, ``},
		{schema.OpenAPI30, `{"additionalProperties": false, "properties": {"a": {}}}`, "", `{"a": 1}`, `{"b": 1}`},
		{schema.OpenAPI30, `{"discriminator": {"mapping": {"a": "#/nothing"}}}`, "warning bad_keyword /discriminator", `{}`, ``},
		{schema.OpenAPI30, `{"discriminator": {"propertyName": "k", "mapping": {"a": "#/nothing"}}}`, "warning bad_mapping /discriminator", `{}`, ``},
		{schema.OpenAPI30, `{"properties": {"a": {"x-crenel-writable-by": 5}}}`, "warning bad_keyword /properties/a/x-crenel-writable-by", `{"a": 1}`, ``},
	} {
		s, problems := compile(t, tc.dialect, tc.schema)
		var got []string
		for _, p := range problems {
			got = append(got, severities[p.Severity]+" "+strings.TrimPrefix(p.Code, "schema.")+" "+p.Pointer)
			if p.Message == "" || !strings.HasPrefix(p.Code, "schema.") || p.URI != "file:///test.json" {
				t.Errorf("%s: %+v", tc.schema, p)
			}
		}
		slices.Sort(got)
		if g := strings.Join(got, "¦"); g != tc.problems {
			t.Errorf("%s, %s:\n got %s\nwant %s", tc.dialect, tc.schema, g, tc.problems)
		}
		for i, list := range []string{tc.accept, tc.refuse} {
			for _, text := range strings.Split(list, "¦") {
				if text != "" && s.Valid(decode(t, []byte(text)), nil) != (i == 0) {
					t.Errorf("%s, %s: accepting %s is %v", tc.dialect, tc.schema, text, i != 0)
				}
			}
		}
	}
}

// TestNoBlowUp: work that grows exponentially with the value is refused in time.
func TestNoBlowUp(t *testing.T) {
	s, _ := compile(t, schema.OpenAPI31, `{"anyOf": [
		{"type": "object", "properties": {"n": {"$ref": "#"}, "x": false}, "required": ["n"]},
		{"type": "object", "properties": {"n": {"$ref": "#"}, "y": false}, "required": ["n"]},
		{"type": "object", "properties": {"n": {"$ref": "#"}, "z": false}, "required": ["n"]}]}`)
	v := value.Value{Kind: value.Null}
	for range 60 {
		v.Name = "n"
		v = value.Value{Kind: value.Object, Kids: []value.Value{v}}
	}
	// That it ends at all is what the bound on steps is for.
	faults := s.Validate(&v, &schema.Options{Strict: true})
	if len(faults) != 1 || faults[0].Keyword != "complexity" {
		t.Errorf("%v", faults)
	}
	// A $dynamicRef to itself never makes progress; it must end all the same.
	s, _ = compile(t, schema.OpenAPI31, `{"$dynamicAnchor": "a", "$dynamicRef": "#a"}`)
	s.Validate(&v, nil)
	// Deep values do not overflow anything.
	s, _ = compile(t, schema.OpenAPI31, `{"properties": {"n": {"allOf": [{"$ref": "#"}]}}}`)
	for range 20_000 {
		v.Name = "n"
		v = value.Value{Kind: value.Object, Kids: []value.Value{v}}
	}
	if faults := s.Validate(&v, nil); len(faults) != 1 || faults[0].Keyword != "depth" {
		t.Errorf("%v", faults)
	}
}

// TestFaultsTellNoValues: what was sent never reaches a message.
func TestFaultsTellNoValues(t *testing.T) {
	const secret = "hunter2"
	s, _ := compile(t, schema.OpenAPI31, `{"properties": {"a": {"enum": ["x"]}, "b": {"const": 1}, "c": {"pattern": "^x$"}, "d": {"format": "uuid"},
		"e": {"maxLength": 1}, "f": {"type": "integer"}, "g": {"not": {}}, "h": {"oneOf": [{"type": "integer"}, {"const": "y"}]}}}`)
	v := value.Value{Kind: value.Object}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		v.Kids = append(v.Kids, value.Value{Name: name, Kind: value.String, Text: secret})
	}
	faults := s.Validate(&v, &schema.Options{MaxFaults: 50, Strict: true})
	if len(faults) < 8 {
		t.Errorf("%d faults: %v", len(faults), faults)
	}
	for _, f := range faults {
		if strings.Contains(f.Message, secret) || f.Message == "" || f.SchemaPath == "" {
			t.Errorf("%+v", f)
		}
	}
}

// mutate changes a schema document at random: other types, names and places.
func mutate(rng *rand.Rand, v *value.Value) value.Value {
	out := generate.Clone(v)
	var nodes []*value.Value
	var walk func(v *value.Value)
	walk = func(v *value.Value) {
		nodes = append(nodes, v)
		for i := range v.Kids {
			walk(&v.Kids[i])
		}
	}
	walk(&out)
	keywords := []string{"$ref", "allOf", "items", "properties", "$id", "$dynamicRef", "type", "not", "discriminator", "required", "if", "pattern", "unevaluatedProperties"}
	for range 1 + rng.IntN(4) {
		n, o := nodes[rng.IntN(len(nodes))], nodes[rng.IntN(len(nodes))]
		switch rng.IntN(6) {
		case 0:
			n.Name = keywords[rng.IntN(len(keywords))]
		case 1:
			name := n.Name
			*n = generate.Clone(o)
			n.Name = name
		case 2:
			n.Kind = value.Kind(rng.IntN(6))
		case 3:
			n.Text = []string{"#", "#/x", "", "-1", "1e300", "\\", "(", "true", "object", "#/properties/a", "//", "%"}[rng.IntN(12)]
		case 4:
			n.Kids = nil
		case 5:
			if len(n.Kids) > 0 {
				n.Kids = append(n.Kids, generate.Clone(o))
			}
		}
		nodes = nodes[:0]
		walk(&out)
	}
	return out
}

// TestNoPanics drives the whole API with thousands of broken schemas.
func TestNoPanics(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(suiteDir(t), "tests", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	var docs []*value.Value
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		groups := decode(t, b)
		for i := range groups.Kids {
			docs = append(docs, groups.Kids[i].Get("schema"))
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	w := &writer{rng: rng}
	o := &schema.Options{Strict: true, Direction: schema.Request, MaxFaults: 5, MaxSteps: 20_000, MayWrite: func([]string) bool { return true }}
	rounds := 6000
	if testing.Short() {
		rounds = 600
	}
	for i := range rounds {
		doc := mutate(rng, docs[rng.IntN(len(docs))])
		d := schema.Dialect(1 + rng.IntN(5))
		c := schema.NewCompiler(d, schema.CompilerOptions{PatternTimeout: time.Millisecond})
		if i%2 == 0 {
			doc = value.Value{Kind: value.Object, Kids: []value.Value{{Name: "openapi", Kind: value.String, Text: "3.1.0"},
				{Name: "components", Kind: value.Object, Kids: []value.Value{{Name: "schemas", Kind: value.Object, Kids: []value.Value{doc}}}}}}
			doc.Kids[1].Kids[0].Kids[0].Name = "A"
		}
		c.AddResource("file:///a.json", &doc)
		at := "file:///a.json"
		if i%2 == 0 {
			at += "#/components/schemas/A"
		}
		s, _ := c.Compile(at)
		v := w.value(3)
		for _, text := range []value.Value{v, {Kind: value.String, Text: "é"}, {Kind: value.Null}} {
			s.Validate(&text, o)
			s.Valid(&text, nil)
		}
		s.Properties()
		s.Types()
		s.Enum()
		s.Bounds()
		s.Rules()
		s.Declared("a")
		s.AllowsUnknown()
		s.Examples()
		s.Default()
		s.Format()
		s.Items()
		s.Filter()
		s.Coerce("1")
		sh, _ := s.Shape().Member("foo")
		sh.Item(1).Member("bar")
		sh.Pinned()
		if i%4 == 0 {
			if v, err := generate.Value(s, rng, generate.Options{Depth: 3}); err == nil {
				if !s.Valid(&v, nil) {
					t.Fatalf("%s: %s does not fit", value.Append(nil, &doc), value.Append(nil, &v))
				}
			}
		}
	}
}

// TestConcurrency validates with shared schemas from many goroutines; the race
// detector watches.
func TestConcurrency(t *testing.T) {
	c := schema.NewCompiler(schema.OpenAPI31, schema.CompilerOptions{})
	c.AddResource("file:///api.json", decode(t, []byte(parcel(schema.OpenAPI31))))
	s, _ := c.Compile("file:///api.json#/components/schemas/Parcel")
	good, bad := decode(t, []byte(parcelBody)), decode(t, []byte(strings.Replace(parcelBody, `"quantity": 2`, `"quantity": 0, "role": 1`, 1)))
	want := fmt.Sprint(s.Validate(bad, &schema.Options{Strict: true, MaxFaults: 10}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if f := s.Validate(good, &schema.Options{Strict: true}); f != nil {
					t.Errorf("%v", f)
				}
				if got := fmt.Sprint(s.Validate(bad, &schema.Options{Strict: true, MaxFaults: 10})); got != want {
					t.Errorf("%s, want %s", got, want)
				}
				sh, _ := s.Shape().Member("items")
				if sub, ok := sh.Item(3).Member("sku"); !ok || !sub.Pinned() {
					t.Error("sku")
				}
			}
		})
	}
	wg.Wait()
}

// TestURIs: documents are found under whatever name they were added.
func TestURIs(t *testing.T) {
	for _, uri := range []string{"file:///my api/openapi v1.json", "file:///a%20b.json", "urn:crenel:schema:7", "https://x.example/a?b=c", "openapi.yaml", "C:\\specs\\api.json"} {
		c := schema.NewCompiler(schema.OpenAPI30, schema.CompilerOptions{})
		c.AddResource(uri, decode(t, []byte(`{"openapi": "3.0.0", "components": {"schemas": {"A B": {"$ref": "#/components/schemas/C~1%25"}, "C/%": {"type": "integer"}}}}`)))
		s, problems := c.Compile(uri + "#/components/schemas/A B")
		if len(problems) > 0 || s.Type() != "integer" {
			t.Errorf("%s: %v", uri, problems)
		}
	}
}
