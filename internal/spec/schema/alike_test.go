package schema_test

import (
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
)

func TestAlike(t *testing.T) {
	for name, c := range map[string]struct {
		schema, value string
		ok            bool
	}{
		"as declared":                 {`{"properties":{"id":{"type":"integer"}},"additionalProperties":true}`, `{"id":1,"other":2}`, true},
		"in another case":             {`{"properties":{"id":{"readOnly":true}},"additionalProperties":true}`, `{"Id":1}`, false},
		"folded":                      {`{"properties":{"task":{}},"additionalProperties":true}`, `{"ta\u017f\u212a":1}`, false},
		"beside the declared":         {`{"properties":{"id":{}},"additionalProperties":{"type":"integer"}}`, `{"id":1,"ID":2}`, false},
		"both declared":               {`{"properties":{"id":{},"ID":{}},"additionalProperties":true}`, `{"id":1,"ID":2}`, true},
		"by a pattern":                {`{"properties":{"id":{}},"patternProperties":{"^I":{}}}`, `{"Id":1}`, true},
		"another part's":              {`{"allOf":[{"properties":{"id":{}}},{"properties":{"name":{}},"additionalProperties":true}]}`, `{"name":1,"ID":2}`, false},
		"declared by another part":    {`{"allOf":[{"properties":{"id":{}}},{"properties":{"ID":{}},"additionalProperties":true}]}`, `{"id":1,"ID":2}`, true},
		"in an open alternative":      {`{"oneOf":[{"properties":{"role":{"readOnly":true}},"additionalProperties":true}]}`, `{"ROLE":"admin"}`, false},
		"deep":                        {`{"properties":{"a":{"type":"array","items":{"properties":{"b":{}},"additionalProperties":true}}}}`, `{"a":[{"B":1}]}`, false},
		"a free-form map has no case": {`{"type":"object","additionalProperties":true}`, `{"a":1,"A":2}`, true},
	} {
		for _, strict := range []bool{true, false} {
			s, _ := compile(t, schema.OpenAPI31, c.schema)
			v := decode(t, []byte(c.value))
			if got := s.Valid(v, &schema.Options{Direction: schema.Request, Strict: strict}); got != c.ok {
				t.Errorf("%s, strict %v: %v, want %v", name, strict, got, c.ok)
			}
			if f := s.Validate(v, &schema.Options{Direction: schema.Request, Strict: strict}); !c.ok && (len(f) != 1 || f[0].Keyword != "unknownProperty") {
				t.Errorf("%s: %+v", name, f)
			}
			if !s.Valid(v, &schema.Options{Direction: schema.Response}) {
				t.Errorf("%s: answers are not concerned", name)
			}
		}
	}
}
