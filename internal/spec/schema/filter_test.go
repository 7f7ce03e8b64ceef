package schema_test

import (
	"bytes"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// strip runs a document through a schema's filter.
func strip(t *testing.T, s *schema.Schema, doc string) string {
	t.Helper()
	f := s.Filter()
	if f == nil {
		return doc
	}
	var out bytes.Buffer
	w := rewrite.NewWriter(&out, rewrite.Options{Filters: []rewrite.Filter{f}, Limits: value.Limits{}})
	if _, err := w.Write([]byte(doc)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFilter(t *testing.T) {
	const schemas = `{
		"User": {"type": "object", "properties": {"id": {"type": "integer"}, "pw": {"type": "string", "writeOnly": true},
			"pets": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}, "extra": {"type": "object"}}},
		"Pet": {"oneOf": [{"type": "object", "properties": {"bark": {}}}, {"type": "object", "properties": {"meow": {}}}]},
		"Free": {}
	}`
	for _, tc := range []struct{ schema, in, want string }{
		{"User", `{"id":1,"hash":"x","pw":"y"}`, `{"id":1}`},
		{"User", `{"pets":[{"bark":1,"owner":{"a":[1]}},{"meow":2}],"extra":{"any":{"thing":1}}}`,
			`{"pets":[{"bark":1},{"meow":2}],"extra":{"any":{"thing":1}}}`},
		{"Free", `{"a":1}`, `{"a":1}`},
	} {
		s, _ := compileIn(t, schema.OpenAPI30, schemas, tc.schema)
		if got := strip(t, s, tc.in); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.in, got, tc.want)
		}
	}
}
