package generate_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/dlclark/regexp2"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compile(t testing.TB, d schema.Dialect, text string) *schema.Schema {
	t.Helper()
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	c := schema.NewCompiler(d, schema.CompilerOptions{})
	c.AddResource("file:///s.json", v)
	s, problems := c.Compile("file:///s.json")
	for _, p := range problems {
		if p.Severity != schema.Warning {
			t.Fatalf("%s: %v", text, p)
		}
	}
	return s
}

// oracle is what another validator says.
func oracle(t testing.TB, text string) func(v *value.Value) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(engine)
	if err := c.AddResource("file:///s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("file:///s.json")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return func(v *value.Value) error {
		inst, err := jsonschema.UnmarshalJSON(strings.NewReader(string(value.Append(nil, v))))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(inst)
	}
}

// engine is ECMA-262 as far as two engines have it, for the oracle.
func engine(source string) (jsonschema.Regexp, error) {
	if re, err := regexp.Compile(source); err == nil {
		return re, nil
	}
	re, err := regexp2.Compile(source, regexp2.ECMAScript)
	if err != nil {
		return nil, err
	}
	return backtracking{re}, nil
}

type backtracking struct{ re *regexp2.Regexp }

func (b backtracking) MatchString(s string) bool {
	ok, err := b.re.MatchString(s)
	return ok && err == nil
}

func (b backtracking) String() string { return b.re.String() }

// cases are schemas with the keywords that near misses must be made of.
var cases = []struct{ schema, misses string }{
	{`{"type": "integer", "minimum": 3, "maximum": 9}`, "maximum minimum type"},
	{`{"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}`, "exclusiveMaximum exclusiveMinimum type"},
	{`{"type": "number", "multipleOf": 0.05, "minimum": 0.1, "maximum": 0.2}`, "maximum minimum multipleOf type"},
	{`{"type": "integer", "multipleOf": 7, "minimum": 50}`, "minimum multipleOf type"},
	{`{"type": "string", "minLength": 3, "maxLength": 5}`, "maxLength minLength type"},
	{`{"type": "string", "pattern": "^[A-Z]{2}-\\d{3,8}$"}`, "pattern type"},
	{`{"type": "string", "pattern": "^(?=.*[A-Z])(?=.*\\d).{8,20}$"}`, "pattern type"},
	{`{"type": "string", "pattern": "foo", "minLength": 10}`, "minLength pattern type"},
	{`{"type": "string", "format": "uuid"}`, "format type"},
	{`{"type": "string", "format": "date-time"}`, "format type"},
	{`{"type": "string", "format": "email", "maxLength": 30}`, "format maxLength type"},
	{`{"enum": ["a", "b", 3, null]}`, "enum"},
	{`{"const": {"a": [1]}}`, ""},
	{`{"type": "boolean"}`, "type"},
	{`{"type": ["null", "string"], "maxLength": 4}`, "maxLength type"},
	{`{"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4, "uniqueItems": true}`, "maxItems minItems type uniqueItems"},
	{`{"type": "array", "contains": {"const": 5}, "minContains": 2}`, "contains type"},
	{`{"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}`, "minItems type"},
	{`{"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "additionalProperties": false}`,
		"additionalProperties required type"},
	{`{"type": "object", "minProperties": 2, "maxProperties": 3, "additionalProperties": {"type": "integer"}}`, "maxProperties minProperties type"},
	{`{"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "propertyNames": {"pattern": "^x-[a-z]+$"}, "minProperties": 1}`,
		"minProperties propertyNames type"},
	{`{"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}}`, "dependentRequired type"},
	{`{"type": "object", "properties": {"a": {"type": "integer"}}, "dependentSchemas": {"a": {"required": ["b"], "properties": {"b": {"const": 1}}}}}`, "type"},
	{`{"allOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 5}}},
		{"properties": {"a": {"maximum": 9}, "b": {"type": "string"}}}]}`, "maximum minimum required type"},
	{`{"oneOf": [{"type": "object", "required": ["k"], "properties": {"k": {"const": "x"}, "n": {"type": "integer"}}},
		{"type": "object", "required": ["k"], "properties": {"k": {"const": "y"}, "s": {"type": "string"}}}]}`, "const required type"},
	{`{"anyOf": [{"type": "integer", "minimum": 10}, {"type": "string", "maxLength": 3}]}`, ""},
	{`{"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}`,
		"enum required type"},
	{`{"type": "integer", "not": {"multipleOf": 2}}`, "not type"},
	{`{"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "required": ["v"], "properties": {"v": {"type": "integer"},
		"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/n"}]}}}}}`, "required type"},
	{`{"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}}], "unevaluatedProperties": false}`, "type unevaluatedProperties"},
	{`{"type": "array", "prefixItems": [{"type": "integer"}], "unevaluatedItems": false}`, "type unevaluatedItems"},
}

func TestValuesFit(t *testing.T) {
	for _, tc := range cases {
		s := compile(t, schema.Draft202012, tc.schema)
		judge := oracle(t, tc.schema)
		// Formats are asserted by the oracle, so by the generator too.
		asserting := compile(t, schema.OpenAPI31, tc.schema)
		for seed := range uint64(25) {
			rng := rand.New(rand.NewPCG(seed, 1))
			v, err := generate.Value(asserting, rng, generate.Options{})
			if err != nil {
				t.Errorf("%s: %v", tc.schema, err)
				break
			}
			if f := s.Validate(&v, nil); f != nil {
				t.Errorf("%s: %s: %v", tc.schema, value.Append(nil, &v), f)
			}
			if err := judge(&v); err != nil {
				t.Errorf("%s: %s: the oracle: %v", tc.schema, value.Append(nil, &v), err)
			}
		}
	}
}

func TestNearMissesDoNot(t *testing.T) {
	for _, tc := range cases {
		s := compile(t, schema.OpenAPI31, tc.schema)
		judge := oracle(t, tc.schema)
		found := map[string]bool{}
		for seed := range uint64(6) {
			list, err := generate.NearMisses(s, rand.New(rand.NewPCG(seed, 2)), generate.Options{})
			if err != nil {
				t.Errorf("%s: %v", tc.schema, err)
				break
			}
			for _, m := range list {
				found[m.Keyword] = true
				if s.Validate(&m.Value, nil) == nil {
					t.Errorf("%s: the miss of %s at %q fits: %s", tc.schema, m.Keyword, m.Pointer, value.Append(nil, &m.Value))
				}
				if judge(&m.Value) == nil {
					t.Errorf("%s: the oracle takes the miss of %s at %q: %s", tc.schema, m.Keyword, m.Pointer, value.Append(nil, &m.Value))
				}
			}
		}
		for _, k := range strings.Fields(tc.misses) {
			if !found[k] {
				t.Errorf("%s: no near miss of %s", tc.schema, k)
			}
		}
	}
}

func TestDirections(t *testing.T) {
	const account = `{"type": "object", "required": ["id", "name", "secret"], "properties": {
		"id": {"type": "integer", "readOnly": true}, "name": {"type": "string"}, "secret": {"type": "string", "writeOnly": true},
		"role": {"type": "string", "x-crenel-writable-by": ["admin"]}}}`
	s := compile(t, schema.OpenAPI30, account)
	for seed := range uint64(20) {
		o := generate.Options{Direction: schema.Request, Strict: true, Optional: 1, MayWrite: func([]string) bool { return false }}
		v, err := generate.Value(s, rand.New(rand.NewPCG(seed, 3)), o)
		if err != nil {
			t.Fatal(err)
		}
		if v.Get("id") != nil || v.Get("role") != nil || v.Get("secret") == nil {
			t.Errorf("request: %s", value.Append(nil, &v))
		}
		misses, err := generate.NearMisses(s, rand.New(rand.NewPCG(seed, 3)), o)
		if err != nil {
			t.Fatal(err)
		}
		var keywords []string
		for _, m := range misses {
			keywords = append(keywords, m.Keyword+" "+m.Pointer)
		}
		for _, want := range []string{"readOnly /id", "writableBy /role", "unknownProperty ", "required /name", "required /secret", "type /name"} {
			if !slices.Contains(keywords, want) {
				t.Errorf("no near miss %q among %q", want, keywords)
			}
		}
		o.Direction = schema.Response
		if v, err = generate.Value(s, rand.New(rand.NewPCG(seed, 3)), o); err != nil {
			t.Fatal(err)
		}
		if v.Get("id") == nil || v.Get("secret") != nil || v.Get("role") == nil {
			t.Errorf("response: %s", value.Append(nil, &v))
		}
	}
}

func TestExamplesFirst(t *testing.T) {
	s := compile(t, schema.OpenAPI30, `{"type": "object", "required": ["a", "b"], "properties": {
		"a": {"type": "string", "example": "Rotterdam"}, "b": {"type": "integer", "example": "wrong", "default": 42}}}`)
	v, err := generate.Value(s, rand.New(rand.NewPCG(1, 1)), generate.Options{Examples: true})
	if err != nil {
		t.Fatal(err)
	}
	if v.Get("a").Str() != "Rotterdam" || v.Get("b").Text != "42" {
		t.Errorf("%s", value.Append(nil, &v))
	}
}

func TestSameSeedSameValue(t *testing.T) {
	for _, tc := range cases {
		s := compile(t, schema.OpenAPI31, tc.schema)
		var first []byte
		for range 3 {
			v, err := generate.Value(s, rand.New(rand.NewPCG(9, 9)), generate.Options{})
			if err != nil {
				t.Fatalf("%s: %v", tc.schema, err)
			}
			text := value.Append(nil, &v)
			if first == nil {
				first = text
			} else if diff := cmp.Diff(string(first), string(text)); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestSuiteSchemas makes values for the official suite's schemas: for nearly
// all that accept anything a value is found, and never one that is refused.
func TestSuiteSchemas(t *testing.T) {
	dir := os.Getenv("CRENEL_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "..", "shared", "testdata")
	}
	files, err := filepath.Glob(filepath.Join(dir, "json-schema", "tests", "draft2020-12", "*.json"))
	if err != nil || len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the JSON-Schema-Test-Suite is missing: set CRENEL_TESTDATA")
		}
		t.Skip("SKIPPED: the JSON-Schema-Test-Suite is missing: set CRENEL_TESTDATA")
	}
	made, failed := 0, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var groups []struct {
			Description string
			Schema      json.RawMessage
			Tests       []struct{ Valid bool }
		}
		if err := json.Unmarshal(b, &groups); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if !slices.ContainsFunc(g.Tests, func(c struct{ Valid bool }) bool { return c.Valid }) ||
				strings.Contains(string(g.Schema), "localhost:1234") {
				continue
			}
			v, err := value.JSON(g.Schema, value.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			c := schema.NewCompiler(schema.Draft202012, schema.CompilerOptions{})
			c.AddResource("file:///s.json", v)
			s, _ := c.Compile("file:///s.json")
			w, err := generate.Value(s, rand.New(rand.NewPCG(1, 1)), generate.Options{})
			if err != nil {
				failed++
				t.Logf("%s: %s: %v", filepath.Base(file), g.Description, err)
				continue
			}
			made++
			if !s.Valid(&w, nil) {
				t.Errorf("%s: %s: %s", filepath.Base(file), g.Description, value.Append(nil, &w))
			}
		}
	}
	t.Logf("%d schemas with a value, %d without", made, failed)
	if failed*20 > made {
		t.Errorf("no value for %d of %d schemas", failed, made+failed)
	}
}
