package spec_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestOracle compares operations, parameters, bodies and answers with what
// kin-openapi reads. It shares no code with us.
func TestOracle(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*-3.0.*[nl]")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".golden") })
	if len(files) < 2 {
		t.Fatalf("fixtures: %v", files)
	}
	for _, f := range files {
		doc, err := openapi3.NewLoader().LoadFromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				params := map[string]*openapi3.Parameter{}
				for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
					for _, p := range list {
						params[p.Value.In+p.Value.Name] = p.Value
					}
				}
				line := []string{method + " " + path}
				for _, p := range params {
					s, err := p.SerializationMethod()
					if err != nil {
						t.Fatal(err)
					}
					style, explode := s.Style, s.Explode
					if len(p.Content) > 0 {
						style, explode = "content", false
					}
					line = append(line, fmt.Sprintf("%s %s %v %s %v", p.In, p.Name, p.Required, style, explode))
				}
				if op.RequestBody != nil {
					for mt := range op.RequestBody.Value.Content {
						line = append(line, fmt.Sprintf("body %v %s", op.RequestBody.Value.Required, mt))
					}
				}
				for status, r := range op.Responses.Map() {
					line = append(line, "response "+strings.ToUpper(status))
					for mt := range r.Value.Content {
						line = append(line, "response "+strings.ToUpper(status)+" "+mt)
					}
				}
				slices.Sort(line[1:])
				want = append(want, strings.Join(line, "; "))
			}
		}
		api, err := spec.Load(t.Context(), f, spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, op := range api.Operations {
			line := []string{op.Method + " " + op.Path}
			for _, p := range op.Parameters {
				style, explode := p.Style, p.Explode
				if p.ContentType != "" {
					style, explode = "content", false
				}
				line = append(line, fmt.Sprintf("%s %s %v %s %v", p.In, p.Name, p.Required, style, explode))
			}
			if op.Body != nil {
				for _, m := range op.Body.Content {
					line = append(line, fmt.Sprintf("body %v %s", op.Body.Required, m.Type))
				}
			}
			for _, r := range op.Responses {
				line = append(line, "response "+strings.ToUpper(r.Status))
				for _, m := range r.Content {
					line = append(line, "response "+strings.ToUpper(r.Status)+" "+m.Type)
				}
			}
			slices.Sort(line[1:])
			got = append(got, strings.Join(line, "; "))
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", f, diff)
		}
	}
}
