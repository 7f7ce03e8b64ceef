package schema_test

import (
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// What stands where another kind of value is declared is not declared either.
func TestFilterOtherKinds(t *testing.T) {
	for _, c := range []struct{ schema, in, want string }{
		{`{"type":"object","properties":{"a":{}}}`, `[{"z":1},2]`, `[]`},
		{`{"properties":{"a":{}}}`, `[{"z":1}]`, `[]`},
		{`{"type":"array","items":{"type":"object","properties":{"a":{}}}}`, `{"z":1}`, `{}`},
		{`{"type":"array","items":{"type":"object","properties":{"a":{}}}}`, `[{"a":1,"z":1}]`, `[{"a":1}]`},
		{`{"type":["object","array"],"properties":{"a":{}}}`, `[1,2]`, `[1,2]`},
		{`{"oneOf":[{"type":"object","properties":{"a":{}}},{"type":"array","items":{}}]}`, `[1]`, `[1]`},
		{`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{}}}}}`, `{"a":[{"z":1}]}`, `{"a":[]}`},
		{`{"type":"object","additionalProperties":true,"properties":{"a":{}}}`, `{"z":1}`, `{"z":1}`},
	} {
		s, _ := compile(t, schema.OpenAPI31, c.schema)
		f := s.Filter()
		if f == nil {
			if c.in != c.want {
				t.Errorf("%s: no filter", c.schema)
			}
			continue
		}
		out, _, err := rewrite.Bytes([]byte(c.in), rewrite.Options{Filters: []rewrite.Filter{f}, Limits: value.Limits{}})
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %s became %s, want %s (%v)", c.schema, c.in, out, c.want, err)
		}
	}
}
