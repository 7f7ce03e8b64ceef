package schema_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// compile compiles one schema, given as JSON, as the only document.
func compile(t testing.TB, d schema.Dialect, text string) (*schema.Schema, []schema.Problem) {
	t.Helper()
	c := schema.NewCompiler(d, schema.CompilerOptions{})
	c.AddResource("file:///test.json", decode(t, []byte(text)))
	return c.Compile("file:///test.json")
}

// compileIn compiles one schema of an OpenAPI document with the given components.
func compileIn(t testing.TB, d schema.Dialect, components, name string) (*schema.Schema, []schema.Problem) {
	t.Helper()
	c := schema.NewCompiler(d, schema.CompilerOptions{})
	doc := fmt.Sprintf(`{"openapi": "3", "components": {"schemas": %s}}`, components)
	c.AddResource("file:///api.json", decode(t, []byte(doc)))
	return c.Compile("file:///api.json#/components/schemas/" + name)
}

// verdict is "ok" or the faults' keywords with their pointers.
func verdict(s *schema.Schema, v *value.Value, o *schema.Options) string {
	var out []string
	for _, f := range s.Validate(v, o) {
		out = append(out, f.Keyword+" "+f.Pointer)
	}
	if out == nil {
		return "ok"
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

func TestStrict(t *testing.T) {
	const pets = `{
		"Base": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}, "id": {"type": "integer"}}},
		"Dog": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "properties": {"bark": {"type": "boolean"}}}]},
		"Cat": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["meow"], "properties": {"meow": {"type": "boolean"}}}]},
		"Any": {"anyOf": [{"$ref": "#/components/schemas/Dog"}, {"$ref": "#/components/schemas/Cat"}]},
		"Free": {"type": "object"},
		"Open": {"type": "object", "properties": {"a": {}}, "additionalProperties": true},
		"Map": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Base"}},
		"Both": {"allOf": [
			{"properties": {"in": {"properties": {"x": {"type": "integer"}}}}},
			{"properties": {"in": {"properties": {"y": {"type": "integer"}}}}}]},
		"List": {"type": "array", "items": {"$ref": "#/components/schemas/Dog"}},
		"Needs": {"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
		"Node": {"properties": {"next": {"$ref": "#/components/schemas/Node"}, "v": {"type": "integer"}}},
		"Zoo": {"properties": {"pets": {"type": "array", "items": {"oneOf": [
			{"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/components/schemas/Node"}}},
			{"type": "object", "required": ["b"], "properties": {"b": {"$ref": "#/components/schemas/Node"}}}]}}}},
		"Bare": {"properties": {"a": {}}, "required": ["b"]},
		"Bare2": {"allOf": [{"$ref": "#/components/schemas/Bare"}]},
		"Animal": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}, "discriminator": {"propertyName": "kind"}},
		"Bird": {"allOf": [{"$ref": "#/components/schemas/Animal"}, {"type": "object", "properties": {"wings": {"type": "integer"}}}]},
		"Poly": {"type": "object", "discriminator": {"propertyName": "k", "mapping": {"s": "#/components/schemas/Sub", "t": "Sub2"}},
			"properties": {"k": {"type": "string"}}, "oneOf": [{"$ref": "#/components/schemas/Sub"}, {"$ref": "#/components/schemas/Sub2"}]},
		"Sub": {"allOf": [{"$ref": "#/components/schemas/Poly"}, {"properties": {"s": {"type": "integer"}}}]},
		"Sub2": {"allOf": [{"$ref": "#/components/schemas/Poly"}, {"properties": {"t": {"type": "integer"}}}]}
	}`
	for _, tc := range []struct{ schema, data, want string }{
		{"Base", `{"kind": "x"}`, "ok"},
		{"Base", `{"kind": "x", "role": "admin"}`, "unknownProperty /role"},
		{"Dog", `{"kind": "x", "bark": true}`, "ok"},
		{"Dog", `{"kind": "x", "bark": true, "meow": true}`, "unknownProperty /meow"},
		{"Any", `{"kind": "x", "meow": true}`, "ok"},
		{"Any", `{"kind": "x", "meow": true, "bark": true}`, "ok"},
		{"Any", `{"kind": "x", "role": 1}`, "unknownProperty /role"},
		{"Free", `{"anything": 1}`, "ok"},
		{"Open", `{"anything": 1}`, "ok"},
		{"Map", `{"k": {"kind": "x"}}`, "ok"},
		{"Map", `{"k": {"kind": "x", "role": 1}}`, "unknownProperty /k/role"},
		{"Both", `{"in": {"x": 1, "y": 2}}`, "ok"},
		{"Both", `{"in": {"x": 1, "z": 2}}`, "unknownProperty /in/z"},
		{"List", `[{"kind": "x", "bark": true}]`, "ok"},
		{"List", `[{"kind": "x"}, {"kind": "x", "role": 1}]`, "unknownProperty /1/role"},
		{"Needs", `{"a": 1, "b": 1}`, "ok"},
		{"Needs", `{"a": 1, "c": 1}`, "unknownProperty /c"},
		{"Node", `{"next": {"next": {"v": 1}}}`, "ok"},
		{"Node", `{"next": {"next": {"w": 1}}}`, "unknownProperty /next/next/w"},
		{"Zoo", `{"pets": [{"a": {"v": 1}}, {"b": {"next": {"v": 2}}}]}`, "ok"},
		{"Zoo", `{"pets": [{"a": {"v": 1}}, {"b": {"next": {"q": 2}}}]}`, "unknownProperty /pets/1/b/next/q"},
		{"Zoo", `{"pets": [{"a": {"v": 1}, "c": 1}]}`, "unknownProperty /pets/0/c"},
		{"Bare", `{"b": 1}`, "ok"},
		{"Bare2", `{"b": 1}`, "ok"},
		{"Bare2", `{"b": 1, "c": 1}`, "unknownProperty /c"},
		{"Animal", `{"kind": "Bird", "wings": 2}`, "ok"},
		{"Animal", `{"kind": "Bird", "wings": "two"}`, "type /wings"},
		{"Animal", `{"kind": "Fish", "wings": 2}`, "unknownProperty /wings"},
		{"Bird", `{"kind": "Bird", "wings": 2}`, "ok"},
		{"Poly", `{"k": "s", "s": 1}`, "ok"},
		{"Poly", `{"k": "t", "t": 1}`, "ok"},
		{"Poly", `{"k": "t", "s": 1}`, "unknownProperty /s"},
		{"Sub", `{"k": "s", "s": 1}`, "ok"},
		{"Sub", `{"k": "s", "s": "1"}`, "type /s"},
		{"Sub", `{"k": "s", "s": 1, "role": 1}`, "unknownProperty /role"},
	} {
		for _, d := range []schema.Dialect{schema.OpenAPI30, schema.OpenAPI31} {
			s, problems := compileIn(t, d, pets, tc.schema)
			for _, p := range problems {
				if p.Severity != schema.Warning {
					t.Errorf("%s: %v", tc.schema, p)
				}
			}
			if got := verdict(s, decode(t, []byte(tc.data)), &schema.Options{Strict: true, MaxFaults: 10}); got != tc.want {
				t.Errorf("%s, %s on %s: %s, want %s", d, tc.schema, tc.data, got, tc.want)
			}
		}
	}
}

func TestDirection(t *testing.T) {
	const accounts = `{
		"Account": {"type": "object", "required": ["id", "name", "password"], "properties": {
			"id": {"type": "integer", "readOnly": true},
			"name": {"type": "string"},
			"password": {"type": "string", "writeOnly": true},
			"role": {"type": "string", "x-crenel-writable-by": ["admin"]}}},
		"Stamp": {"type": "string", "readOnly": true},
		"Derived": {"allOf": [{"$ref": "#/components/schemas/Account"}, {"required": ["id", "extra"], "properties": {
			"extra": {"type": "integer"}, "made": {"$ref": "#/components/schemas/Stamp"}}}]},
		"OneOf": {"oneOf": [{"$ref": "#/components/schemas/Account"}, {"type": "string"}]},
		"List": {"type": "array", "items": {"$ref": "#/components/schemas/Account"}}
	}`
	nobody := func(roles []string) bool { return false }
	admin := func(roles []string) bool { return slices.Contains(roles, "admin") }
	for _, tc := range []struct {
		schema, data string
		dir          schema.Direction
		may          func([]string) bool
		want         string
	}{
		{"Account", `{"name": "a", "password": "p"}`, schema.Request, nil, "ok"},
		{"Account", `{"id": 1, "name": "a", "password": "p"}`, schema.Request, nil, "readOnly /id"},
		{"Account", `{"id": 1, "name": "a"}`, schema.Response, nil, "ok"},
		{"Account", `{"id": 1, "name": "a", "password": "p"}`, schema.Response, nil, "writeOnly /password"},
		{"Account", `{"name": "a"}`, schema.Neither, nil, "required "},
		{"Account", `{"name": "a", "password": "p", "role": "x"}`, schema.Request, nobody, "writableBy /role"},
		{"Account", `{"name": "a", "password": "p", "role": "x"}`, schema.Request, admin, "ok"},
		{"Account", `{"id": 1, "name": "a", "role": "x"}`, schema.Response, nobody, "ok"},
		{"Derived", `{"name": "a", "password": "p", "extra": 1}`, schema.Request, nil, "ok"},
		{"Derived", `{"name": "a", "password": "p", "extra": 1, "made": "x"}`, schema.Request, nil, "readOnly /made"},
		{"Derived", `{"name": "a", "password": "p", "extra": 1, "role": "x"}`, schema.Request, nobody, "writableBy /role"},
		{"Derived", `{"name": "a", "password": "p"}`, schema.Request, nil, "required "},
		{"OneOf", `{"name": "a", "password": "p", "id": 1}`, schema.Request, nil, "readOnly /id"},
		{"OneOf", `{"name": "a", "password": "p"}`, schema.Request, nil, "ok"},
		{"List", `[{"name": "a", "password": "p"}, {"name": "a", "password": "p", "id": 1}]`, schema.Request, nil, "readOnly /1/id"},
	} {
		s, _ := compileIn(t, schema.OpenAPI30, accounts, tc.schema)
		if got := verdict(s, decode(t, []byte(tc.data)), &schema.Options{Strict: true, Direction: tc.dir, MayWrite: tc.may, MaxFaults: 10}); got != tc.want {
			t.Errorf("%s on %s: %s, want %s", tc.schema, tc.data, got, tc.want)
		}
	}
}
