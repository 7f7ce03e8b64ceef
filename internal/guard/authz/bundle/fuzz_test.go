package bundle

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// FuzzRead feeds archives to the reader: it must end, within its bounds, with
// content or an error.
func FuzzRead(f *testing.F) {
	f.Add(pack(f, policy("r1", 1)))
	f.Add(pack(f, files{"patch.json": `{"data": [{"op": "upsert", "path": "/a/0/-", "value": [1]}]}`}))
	f.Add([]byte{0x1f, 0x8b})
	base, err := (&terms{name: "x", unpacked: 1 << 16}).read(pack(f, policy("r1", 1)), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := (&terms{name: "x", unpacked: 1 << 16}).read(data, base)
		if err == nil && (c.data == nil || c.manifest.Roots == nil) {
			t.Errorf("content without data or roots: %+v", c)
		}
	})
}

// FuzzPatch: whatever the operation, what it was applied to stays as it was.
func FuzzPatch(f *testing.F) {
	f.Add("upsert", "/a/b/1")
	f.Add("remove", "a/~1x/%2f")
	f.Add("replace", "/l/-")
	f.Fuzz(func(t *testing.T, op, path string) {
		data := ast.MustInterfaceToValue(map[string]any{"a": map[string]any{"b": []any{1, 2}, "/x": true}, "l": []any{}}).(ast.Object)
		before := data.String()
		out, err := apply(data, &bundle.PatchOperation{Op: op, Path: path, Value: map[string]any{"n": 1}})
		if data.String() != before {
			t.Fatalf("%s %q changed its operand to %s", op, path, data)
		}
		if err == nil && out == nil {
			t.Fatal("neither data nor an error")
		}
	})
}
