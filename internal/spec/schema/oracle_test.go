package schema_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ours lends our patterns to the oracle: they have tests of their own.
type ours string

func (o ours) MatchString(s string) bool {
	ok, _, _, err := schema.MatchForTest(string(o), s, time.Second)
	return ok && err == nil
}

func (o ours) String() string { return string(o) }

// oracle compiles a schema with another validator; nil when it refuses to.
func oracle(text []byte) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil
	}
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		_, _, _, err := schema.MatchForTest(s, "", time.Second)
		return ours(s), err
	})
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if c.AddResource("file:///test.json", doc) != nil {
		return nil
	}
	s, err := c.Compile("file:///test.json")
	if err != nil {
		return nil
	}
	return s
}

// differ compares the verdicts on one value; "" when they agree or the oracle
// has none.
func differ(s *schema.Schema, o *jsonschema.Schema, v *value.Value) string {
	inst, err := jsonschema.UnmarshalJSON(strings.NewReader(string(value.Append(nil, v))))
	if err != nil {
		return ""
	}
	err = o.Validate(inst)
	var invalid *jsonschema.ValidationError
	if err != nil && !errors.As(err, &invalid) || err != nil && strings.Contains(err.Error(), "infinite loop") {
		return ""
	}
	faults := s.Validate(v, nil)
	if (faults == nil) != (err == nil) {
		return fmt.Sprintf("we say %v, the oracle %v", faults, err)
	}
	if s.Valid(v, nil) != (faults == nil) {
		return fmt.Sprintf("Valid and Validate disagree: %v", faults)
	}
	return ""
}

// writer makes random schemas as JSON text.
type writer struct {
	rng *rand.Rand
}

func (w *writer) one(list ...string) string { return list[w.rng.IntN(len(list))] }

func (w *writer) schema(depth int) string {
	if depth <= 0 || w.rng.IntN(12) == 0 {
		return w.one(`true`, `false`, `{}`, `{"type":"integer"}`, `{"type":"string"}`, `{"const":1}`, `{"$ref":"#/$defs/a"}`, `{"$ref":"#/$defs/b"}`)
	}
	var parts []string
	seen := map[string]bool{}
	for range 1 + w.rng.IntN(4) {
		k, v := w.keyword(depth)
		if !seen[k] {
			seen[k] = true
			parts = append(parts, fmt.Sprintf("%q:%s", k, v))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (w *writer) list(depth int) string {
	var out []string
	for range 1 + w.rng.IntN(3) {
		out = append(out, w.schema(depth-1))
	}
	return "[" + strings.Join(out, ",") + "]"
}

func (w *writer) object(depth int, names ...string) string {
	var out []string
	for _, n := range names {
		if w.rng.IntN(2) == 0 {
			out = append(out, fmt.Sprintf("%q:%s", n, w.schema(depth-1)))
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

func (w *writer) keyword(depth int) (string, string) {
	k := w.one("type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
		"pattern", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required", "dependentRequired",
		"properties", "properties", "properties", "patternProperties", "additionalProperties", "propertyNames", "items", "prefixItems", "contains", "minContains",
		"maxContains", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems")
	switch k {
	case "type":
		return k, w.one(`"integer"`, `"number"`, `"string"`, `"object"`, `"array"`, `"boolean"`, `"null"`, `["integer","string"]`, `["object","array"]`)
	case "enum":
		return k, w.one(`[1,2,"a"]`, `[null]`, `["a","b","ab"]`, `[1.0,[1],{"a":1}]`, `[true,false]`)
	case "const":
		return k, w.one(`1`, `"a"`, `{"a":1.0}`, `[1,"a"]`, `null`)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return k, w.one(`0`, `1`, `2.5`, `-1`, `1e2`, `10000000000000000000001`)
	case "multipleOf":
		return k, w.one(`1`, `2`, `0.5`, `0.01`, `3`, `1e3`)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
		return k, w.one(`0`, `1`, `2`, `3.0`)
	case "pattern":
		return k, w.one(`"^a"`, `"^[a-c]{1,2}$"`, `"b"`, `"^\\d+$"`)
	case "uniqueItems":
		return k, `true`
	case "required":
		return k, w.one(`["a"]`, `["a","b"]`, `["zz"]`, `[]`)
	case "dependentRequired":
		return k, w.one(`{"a":["b"]}`, `{"b":["a","c"]}`)
	case "properties", "dependentSchemas":
		return k, w.object(depth, "a", "b", "c", "zz")
	case "patternProperties":
		return k, w.object(depth, "^a", "b", "^.{2}$")
	case "prefixItems", "allOf", "anyOf", "oneOf":
		return k, w.list(depth)
	}
	return k, w.schema(depth - 1)
}

func (w *writer) value(depth int) value.Value {
	number := func() string {
		return w.one("0", "1", "-1", "2", "2.5", "1.0", "1e2", "100", "0.01", "3000", "9007199254740993", "10000000000000000000001", "-0")
	}
	switch n := w.rng.IntN(9); {
	case n == 0:
		return value.Value{Kind: value.Null}
	case n == 1:
		return value.Value{Kind: value.Bool, Text: w.one("true", "false")}
	case n <= 3:
		return value.Value{Kind: value.Number, Text: number()}
	case n == 4 || depth <= 0:
		return value.Value{Kind: value.String, Text: w.one("", "a", "b", "ab", "abc", "é", "𝄞𝄞", "12")}
	case n <= 6:
		v := value.Value{Kind: value.Array}
		for range w.rng.IntN(4) {
			v.Kids = append(v.Kids, w.value(depth-1))
		}
		return v
	}
	v := value.Value{Kind: value.Object}
	for _, name := range []string{"a", "b", "c", "ab", "zz", "q"} {
		if w.rng.IntN(3) == 0 {
			kid := w.value(depth - 1)
			kid.Name = name
			v.Kids = append(v.Kids, kid)
		}
	}
	return v
}

// TestAgainstOracle compares verdicts with another validator on random schemas,
// on random values, on generated ones and on near misses.
func TestAgainstOracle(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	compared, fits, misses := 0, 0, 0
	for seed := range rounds {
		w := &writer{rng: rand.New(rand.NewPCG(uint64(seed), 7))}
		text := w.schema(3)
		if strings.HasPrefix(text, "{") {
			defs := fmt.Sprintf(`"$defs":{"a":%s,"b":%s}`, w.schema(2), w.schema(1))
			text = strings.Replace(text, "{", "{"+defs+",", 1)
			text = strings.Replace(text, ",}", "}", 1)
		}
		o := oracle([]byte(text))
		if o == nil {
			continue
		}
		s, problems := compile(t, schema.Draft202012, text)
		loop := false
		for _, p := range problems {
			loop = loop || p.Code == "schema.circular_ref"
			if p.Severity != schema.Warning && p.Code != "schema.circular_ref" {
				t.Fatalf("%s: %v", text, p)
			}
		}
		if loop {
			continue
		}
		judge := func(v *value.Value) {
			compared++
			if d := differ(s, o, v); d != "" {
				t.Fatalf("schema %s\nvalue %s\n%s", text, value.Append(nil, v), d)
			}
		}
		for range 12 {
			v := w.value(3)
			judge(&v)
		}
		if v, err := generate.Value(s, w.rng, generate.Options{}); err == nil {
			fits++
			judge(&v)
			list, err := generate.NearMisses(s, w.rng, generate.Options{})
			if err != nil {
				continue
			}
			for i := range list {
				misses++
				judge(&list[i].Value)
			}
		}
	}
	t.Logf("%d verdicts compared; %d generated values, %d near misses", compared, fits, misses)
	if fits < rounds/4 || misses < rounds/4 {
		t.Errorf("only %d values and %d near misses", fits, misses)
	}
}

// FuzzValidate compares verdicts with another validator on any schema and value.
func FuzzValidate(f *testing.F) {
	for seed := range uint64(20) {
		w := &writer{rng: rand.New(rand.NewPCG(seed, 11))}
		v := w.value(3)
		f.Add([]byte(w.schema(3)), value.Append(nil, &v))
	}
	f.Add([]byte(`{"$dynamicRef":"#x","$defs":{"a":{"$dynamicAnchor":"x","type":"string"}}}`), []byte(`"a"`))
	f.Add([]byte(`{"$id":"http://x/","$ref":"y","$defs":{"y":{"$id":"y","$anchor":"z"}}}`), []byte(`1`))
	f.Fuzz(func(t *testing.T, text, inst []byte) {
		if len(text) > 2000 || len(inst) > 2000 {
			return
		}
		doc, err := value.JSON(text, value.Limits{Depth: 32})
		if err != nil {
			return
		}
		v, err := value.JSON(inst, value.Limits{Depth: 32})
		if err != nil {
			return
		}
		for _, d := range []schema.Dialect{schema.OpenAPI20, schema.OpenAPI30, schema.OpenAPI31, schema.Draft4} {
			c := schema.NewCompiler(d, schema.CompilerOptions{})
			c.AddResource("file:///test.json", doc)
			s, _ := c.Compile("file:///test.json")
			s.Validate(v, &schema.Options{Strict: true, Direction: schema.Request, MayWrite: func([]string) bool { return false }, MaxFaults: 5, MaxSteps: 100_000})
		}
		c := schema.NewCompiler(schema.Draft202012, schema.CompilerOptions{})
		c.AddResource("file:///test.json", doc)
		s, problems := c.Compile("file:///test.json")
		for _, p := range problems {
			if p.Severity != schema.Warning || p.Code == "schema.circular_ref" || p.Code == "schema.pattern_dialect" || p.Code == "schema.quoted_number" ||
				p.Code == "schema.unknown_dialect" || p.Code == "schema.duplicate_id" {
				return
			}
		}
		if strings.Contains(string(text), "$schema") || strings.Contains(string(text), "$recursive") {
			return
		}
		o := oracle(text)
		if o == nil {
			return
		}
		if d := differ(s, o, v); d != "" {
			t.Fatalf("schema %s\nvalue %s\n%s", text, inst, d)
		}
	})
}
