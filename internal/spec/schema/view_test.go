package schema_test

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

const viewSchemas = `{
	"Base": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}},
	"Dog": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["bark"], "properties": {
		"bark": {"type": "string", "enum": ["loud", "low"]}, "text": {"maxLength": 5}}}]},
	"Cat": {"type": "object", "properties": {"text": {"type": "string", "format": "uuid"}, "tag": {"type": "string", "pattern": "^[a-z]{1,3}$"}}},
	"Pet": {"oneOf": [{"$ref": "#/components/schemas/Dog"}, {"$ref": "#/components/schemas/Cat"}]},
	"Map": {"type": "object", "additionalProperties": {"type": "boolean"}},
	"Closed": {"type": "object", "additionalProperties": false, "properties": {"a": {"type": "string"}}},
	"Free": {"type": "object"},
	"Tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}, "pet": {"$ref": "#/components/schemas/Pet"}}},
	"Union": {"oneOf": [{"type": "integer"}, {"type": "string", "format": "date"}]},
	"Loose": {"anyOf": [{"type": "integer"}, {"type": "string"}]}
}`

func TestShape(t *testing.T) {
	for _, tc := range []struct {
		schema, path     string
		declared, pinned bool
	}{
		{"Base", "/id", true, true},
		{"Base", "/text", true, false},
		{"Base", "/other", false, false},
		{"Dog", "/bark", true, true},
		{"Dog", "/id", true, true},
		{"Dog", "/text", true, false},
		{"Pet", "/text", true, false},
		{"Pet", "/tag", true, false}, // a Dog says nothing of a tag
		{"Pet", "/nothing", false, false},
		{"Map", "/any", true, true},
		{"Closed", "/b", false, false},
		{"Tree", "/kids/0/kids/7/pet/bark", true, false},
		{"Tree", "/kids/0/kids/7/role", false, false},
		{"Union", "", true, true},
		{"Loose", "", true, false},
	} {
		s, problems := compileIn(t, schema.OpenAPI30, viewSchemas, tc.schema)
		if len(problems) > 0 {
			t.Errorf("%s: %v", tc.schema, problems)
		}
		for range 2 { // the second time from the memo
			sh, declared := s.Shape(), true
			for _, token := range strings.Split(tc.path, "/")[1:] {
				if token >= "0" && token <= "9" {
					sh = sh.Item(int(token[0] - '0'))
					continue
				}
				sh, declared = sh.Member(token)
			}
			if declared != tc.declared || declared && sh.Pinned() != tc.pinned {
				t.Errorf("%s%s: declared %v, pinned %v; want %v, %v", tc.schema, tc.path, declared, sh.Pinned(), tc.declared, tc.pinned)
			}
		}
	}
}

// TestShapesAreFew: walking a recursive schema deeply makes no new shapes.
func TestShapesAreFew(t *testing.T) {
	s, _ := compileIn(t, schema.OpenAPI30, `{
		"T": {"type": "object", "properties": {"l": {"$ref": "#/components/schemas/U"}, "r": {"$ref": "#/components/schemas/U"}}},
		"U": {"oneOf": [{"$ref": "#/components/schemas/T"}, {"type": "object", "properties": {"l": {"$ref": "#/components/schemas/U"}}}]}}`, "U")
	seen := map[*schema.Shape]bool{}
	var walk func(sh *schema.Shape, depth int)
	walk = func(sh *schema.Shape, depth int) {
		seen[sh] = true
		if depth == 0 {
			return
		}
		for _, name := range []string{"l", "r"} {
			sub, ok := sh.Member(name)
			if !ok {
				t.Fatalf("%s is not declared", name)
			}
			walk(sub, depth-1)
		}
	}
	walk(s.Shape(), 14)
	if len(seen) > 64 {
		t.Errorf("%d shapes", len(seen))
	}
}

func TestView(t *testing.T) {
	dog, _ := compileIn(t, schema.OpenAPI30, viewSchemas, "Dog")
	var names []string
	for _, p := range dog.Properties() {
		if p.Required {
			p.Name += "!"
		}
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "id! text bark!" {
		t.Errorf("properties: %s", got)
	}
	if dog.Type() != "object" || dog.AllowsUnknown() {
		t.Errorf("type %q, allows unknown %v", dog.Type(), dog.AllowsUnknown())
	}
	if sub, ok := dog.Declared("bark"); !ok || len(sub.Enum()) != 2 || sub.Enum()[0].Text != "loud" {
		t.Errorf("bark: %v %v", sub, ok)
	}
	if _, ok := dog.Declared("role"); ok {
		t.Error("role is not declared")
	}
	pet, _ := compileIn(t, schema.OpenAPI30, viewSchemas, "Pet")
	if sub, ok := pet.Declared("tag"); !ok || sub.Pattern() != "^[a-z]{1,3}$" {
		t.Errorf("tag: %v %v", sub, ok)
	}
	if sub, ok := pet.Declared("text"); !ok || sub != nil {
		t.Errorf("text means two things: %v %v", sub, ok)
	}
	for name, want := range map[string]bool{"Map": true, "Closed": false, "Free": true, "Base": false} {
		s, _ := compileIn(t, schema.OpenAPI30, viewSchemas, name)
		if s.AllowsUnknown() != want || s.Shape().Open() != want {
			t.Errorf("%s: allows unknown %v, open %v", name, s.AllowsUnknown(), s.Shape().Open())
		}
	}
	s, _ := compile(t, schema.OpenAPI31, `{"allOf": [{"minimum": 1, "maxLength": 9}, {"exclusiveMinimum": 2, "maximum": 8, "maxLength": 4, "multipleOf": 2}], "maximum": 9}`)
	b := s.Bounds()
	if b.Minimum != "1" || b.ExclusiveMinimum != "2" || b.Maximum != "8" || b.MaxLength != 4 || b.MinLength != -1 || len(b.MultipleOf) != 1 {
		t.Errorf("bounds: %+v", b)
	}
}

func TestCoerce(t *testing.T) {
	for _, tc := range []struct {
		schema, raw string
		kind        value.Kind
		ok          bool
	}{
		{`{"type": "integer"}`, "12", value.Number, true},
		{`{"type": "integer"}`, "1.5", value.Number, true}, // a number; the validator refuses it
		{`{"type": "integer"}`, "012", value.String, false},
		{`{"type": "integer"}`, " 12", value.String, false},
		{`{"type": "integer"}`, "+1", value.String, false},
		{`{"type": "integer"}`, "0x10", value.String, false},
		{`{"type": "integer"}`, "", value.String, false},
		{`{"type": "number"}`, "1e3", value.Number, true},
		{`{"type": "number"}`, "NaN", value.String, false},
		{`{"type": "boolean"}`, "true", value.Bool, true},
		{`{"type": "boolean"}`, "1", value.String, false},
		{`{"type": "boolean"}`, "True", value.String, false},
		{`{"type": "string"}`, "12", value.String, true},
		{`{"type": "string"}`, "", value.String, true},
		{`{"type": ["integer", "null"]}`, "", value.Null, true},
		{`{"type": ["integer", "null"]}`, "7", value.Number, true},
		{`{"type": ["integer", "string"]}`, "7", value.Number, true},
		{`{"type": ["integer", "string"]}`, "7.5", value.String, true},
		{`{"oneOf": [{"type": "integer", "maximum": 9}, {"type": "string", "pattern": "^[0-9]{2}$"}]}`, "12", value.String, true},
		{`{"anyOf": [{"type": "boolean"}, {"enum": ["all", "none"]}]}`, "all", value.String, true},
		{`{"allOf": [{"type": ["integer", "boolean"]}, {"type": "integer"}]}`, "3", value.Number, true},
		{`{}`, "true", value.Bool, true},
		{`{"enum": ["1", "2"]}`, "1", value.String, true},
		{`{"enum": [1, 2]}`, "1", value.Number, true},
	} {
		s, _ := compile(t, schema.OpenAPI31, tc.schema)
		got, ok := s.Coerce(tc.raw)
		if got.Kind != tc.kind || ok != tc.ok {
			t.Errorf("%s of %q: %v, %v; want %v, %v", tc.schema, tc.raw, got.Kind, ok, tc.kind, tc.ok)
		}
	}
}
