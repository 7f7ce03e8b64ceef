package spec_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

func codes(problems []spec.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Code)
	}
	return out
}

// TestSeveralFiles: references to other files are followed inside the root
// document's folder, and nowhere else.
func TestSeveralFiles(t *testing.T) {
	link := filepath.Join("testdata", "split", "schemas", "escape.yaml")
	_ = os.Remove(link)
	if err := os.Symlink(filepath.Join("..", "..", "outside", "params.yaml"), link); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(link)

	api, err := spec.Load(context.Background(), "testdata/split/openapi.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ code, part string }{
		{"spec.unresolved_ref", "remote references are off"},
		{"spec.unresolved_ref", "outside the folder"},
		{"spec.unresolved_ref", "opening the file"},
	} {
		found := false
		for _, p := range api.Problems {
			found = found || p.Code == c.code && strings.Contains(p.Message, c.part)
		}
		if !found {
			t.Errorf("no problem %s that says %q among %v", c.code, c.part, api.Problems)
		}
	}
	if len(api.Problems) != 3 {
		t.Errorf("problems: %v", api.Problems)
	}
	want := []string{"testdata/split/openapi.yaml", "testdata/split/paths/pets.yaml", "testdata/split/schemas/pet.json", "testdata/split/schemas/home.yaml", "testdata/split/paths/pet.yaml"}
	if diff := cmp.Diff(want, api.Documents); diff != "" {
		t.Error(diff)
	}
	m := api.Route("GET", "", "/pets/0")
	if m.Operation == nil {
		t.Fatal("an operation of another file is not routed")
	}
	if m.Operation.Place.File != "testdata/split/paths/pet.yaml" || m.Operation.Place.Line != 4 {
		t.Errorf("place: %+v", m.Operation.Place)
	}
	id := value.Value{Kind: value.Number, Text: "0"}
	if faults := m.Operation.PathParams[0].Schema.Validate(&id, &schema.Options{}); len(faults) != 1 || faults[0].Keyword != "minimum" {
		t.Errorf("the schema of another file is not applied: %v", faults)
	}
	body, err := value.JSON([]byte(`{"id": 1, "friend": {"id": 1, "home": {"street": 5}}}`), value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if faults := m.Operation.Responses[0].Content[0].Schema.Validate(body, &schema.Options{}); len(faults) != 1 || faults[0].Pointer != "/friend/home/street" {
		t.Errorf("a schema of a third file is not applied: %v", faults)
	}

	opened, err := spec.Load(context.Background(), "testdata/split/openapi.yaml", spec.LoadOptions{Dirs: []string{"testdata/outside"}})
	if err != nil {
		t.Fatal(err)
	}
	if op := opened.Route("GET", "", "/outside").Operation; op == nil || len(op.Parameters) != 1 {
		t.Error("a folder that was allowed is not read")
	}
}

// TestEveryParameterHasItsSchema: also those that several operations share and
// that a path turns into a reference to an object.
func TestEveryParameterHasItsSchema(t *testing.T) {
	for _, f := range []string{"library-2.0.yaml", "garage-3.0.json", "clinic-3.1.yaml"} {
		api, err := spec.Load(context.Background(), filepath.Join("testdata/good", f), spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range api.Operations {
			for _, p := range op.Parameters {
				if p.Schema == nil {
					t.Errorf("%s: %s: the parameter %s has no schema", f, op.ID, p.Name)
				}
			}
		}
	}
}

func TestRemote(t *testing.T) {
	var fetched []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched = append(fetched, r.URL.Path)
		switch r.URL.Path {
		case "/v3/openapi.yaml":
			fmt.Fprint(w, "openapi: 3.0.3\ninfo: {title: t, version: '1'}\nservers: [{url: api}]\npaths:\n  /a: {get: {parameters: [{$ref: 'p.yaml#/q'}], responses: {}}}\n")
		case "/v3/p.yaml":
			fmt.Fprint(w, "q: {name: q, in: query, schema: {type: string}}")
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	root := srv.URL + "/v3/openapi.yaml"
	api, err := spec.Load(context.Background(), root, spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"spec.unresolved_ref"}, codes(api.Problems)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/v3/openapi.yaml"}, fetched); diff != "" {
		t.Errorf("fetched without leave: %s", diff)
	}
	if api.Servers[0].BasePath != "/v3/api" {
		t.Errorf("a relative server is resolved to %q", api.Servers[0].BasePath)
	}
	api, err = spec.Load(context.Background(), root, spec.LoadOptions{AllowRemote: true})
	if err != nil || len(api.Problems) != 0 || len(api.Operations[0].Parameters) != 1 {
		t.Errorf("with remote references allowed: %v %v", err, api.Problems)
	}
	for _, source := range []string{srv.URL + "/none.yaml", "testdata/none.yaml", "testdata"} {
		if _, err := spec.Load(context.Background(), source, spec.LoadOptions{}); err == nil {
			t.Errorf("%s was loaded", source)
		}
	}
}

func TestBounds(t *testing.T) {
	head := "openapi: 3.0.3\ninfo: {title: t, version: '1'}\n"
	bomb := head + "x-0: &x0 [a,a,a,a,a,a,a,a,a,a]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("x-%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i-1), 10), ","))
	}
	for name, c := range map[string]struct {
		doc  string
		o    spec.LoadOptions
		want string
	}{
		"bytes":          {head + "paths: {}", spec.LoadOptions{MaxBytes: 10}, "larger than 10 bytes"},
		"alias bomb":     {bomb + "paths: {}", spec.LoadOptions{}, "values, aliases written out"},
		"json depth":     {`{"openapi":"3.0.3","x-a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", spec.LoadOptions{}, "deeper than"},
		"yaml depth":     {head + "x-a: " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), spec.LoadOptions{}, "deeper than"},
		"yaml dashes":    {head + "x-a:\n  " + strings.Repeat("- ", 100_000) + "a", spec.LoadOptions{}, "deeper than"},
		"json nodes":     {`{"openapi":"3.0.3","x-a":[` + strings.Repeat("1,", 200) + "1]}", spec.LoadOptions{MaxNodes: 100}, "more than 100 values"},
		"yaml nodes":     {head + "x-a: [" + strings.Repeat("1,", 200) + "1]", spec.LoadOptions{MaxNodes: 100}, "more than 100 values"},
		"self reference": {head + "x-a: &a [*a]\n", spec.LoadOptions{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := spec.Parse([]byte(c.doc), "bounds.yaml", c.o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestWideReferences: a schema that refers to itself in many ways is a small
// document and an endless tree.
func TestWideReferences(t *testing.T) {
	var b strings.Builder
	b.WriteString("openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /a: {get: {responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/s0'}}}}}, parameters: [{name: q, in: query, style: deepObject, schema: {$ref: '#/components/schemas/s0'}}]}}\ncomponents:\n  schemas:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "    s%d: {type: object, properties: {", i)
		for j := range 40 {
			fmt.Fprintf(&b, "p%d: {$ref: '#/components/schemas/s%d'}, ", j, j)
		}
		b.WriteString("user_id: {type: string}}}\n")
	}
	start := time.Now()
	api, err := spec.Parse([]byte(b.String()), "wide.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if fields := api.Operations[0].Responses[0].Content[0].Fields; len(fields) == 0 || fields[0].Pointer != "/user_id" || !fields[0].Owner {
		t.Errorf("the field nearest to the root is not first: %v", fields)
	}
}

func TestBasePathsOption(t *testing.T) {
	doc := "openapi: 3.0.3\ninfo: {title: t, version: '1'}\nservers: [{url: /v1}]\npaths:\n  /a: {get: {responses: {}}}\n"
	api, err := spec.Parse([]byte(doc), "t.yaml", spec.LoadOptions{BasePaths: []string{"/shop/"}})
	if err != nil {
		t.Fatal(err)
	}
	if api.Route("GET", "", "/shop/a").Operation == nil || api.Route("GET", "", "/v1/a").Operation != nil {
		t.Error("the base paths of the options do not replace the document's")
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/good/*.json", "testdata/dirty/*"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			t.Skip()
		}
		api, err := spec.Parse(data, "fuzz.yaml", spec.LoadOptions{MaxNodes: 20_000})
		if err != nil {
			return
		}
		for _, op := range api.Operations {
			if op.Unroutable == "" && len(op.PathParams) == 0 && !strings.ContainsAny(op.Path, "%?#{} ") && strings.HasPrefix(op.Path, "/") && len(op.Servers) > 0 {
				if m := api.Route(op.Method, "", op.Servers[0].BasePath+op.Path); m.Operation == nil {
					t.Fatalf("%s %s%s is not routed", op.Method, op.Servers[0].BasePath, op.Path)
				}
			}
			for i, p := range op.PathParams {
				if p == nil || op.Parameters[i] != p {
					t.Fatal("PathParams and Parameters do not agree")
				}
			}
		}
	})
}
