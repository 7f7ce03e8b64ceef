package graph_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// label is what a person says of an API: testdata/apis/NAME.want.yaml.
type label struct {
	// Purposes lists, for each purpose named, exactly the operations that are for it.
	Purposes map[graph.Purpose][]string `yaml:"purposes"`
	// Kinds lists operations and what they do, and to what: "POST /x": "create order".
	Kinds map[string]string `yaml:"kinds"`
	// Resources says what is known of a resource.
	Resources map[string]struct {
		ID     string `yaml:"id"`    // the first of IDs
		Owner  string `yaml:"owner"` // one of Owners
		Parent string `yaml:"parent"`
		Person bool   `yaml:"person"`
		Tenant bool   `yaml:"tenant"`
	} `yaml:"resources"`
	// Feeds says of an input which operation gives its value first:
	// "GET /orders/{id} path.id": "POST /orders /id".
	Feeds map[string]string `yaml:"feeds"`
	// Means says what an input means: "POST /x body./a": email.
	Means map[string]graph.Meaning `yaml:"means"`
	// Open lists all operations that ask for no credentials, when not nil.
	Open []string `yaml:"open"`
	// Carrier is the first of Carriers: "header Authorization Bearer".
	Carrier string `yaml:"carrier"`
}

func labelled(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/apis/*.want.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no labels: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".want.yaml")
	}
	return files
}

func load(t *testing.T, file string) *graph.Graph {
	t.Helper()
	api, err := spec.Load(context.Background(), file, spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return graph.Build(api)
}

// TestLabels holds the graph to what people say of APIs of different styles.
func TestLabels(t *testing.T) {
	for _, name := range labelled(t) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/apis/" + name + ".want.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var want label
			if err := yaml.UnmarshalWithOptions(data, &want, yaml.DisallowUnknownField()); err != nil {
				t.Fatal(err)
			}
			g := load(t, "testdata/apis/"+name+".yaml")
			want.check(t, g)
			if t.Failed() && os.Getenv("CRENEL_SHOW_PLAN") != "" {
				var b bytes.Buffer
				if err := g.Plan(&b); err != nil {
					t.Error(err)
				}
				t.Log("\n" + b.String())
			}
		})
	}
}

func opOf(t *testing.T, g *graph.Graph, name string) *graph.Op {
	t.Helper()
	method, path, _ := strings.Cut(name, " ")
	op := g.Op(method, path)
	if op == nil {
		t.Fatalf("the label names %q, which the API does not have", name)
	}
	return op
}

func title(op *graph.Op) string { return op.Method + " " + op.Path }

func (want *label) check(t *testing.T, g *graph.Graph) {
	for p, ops := range want.Purposes {
		var got []string
		for _, op := range g.For(p) {
			got = append(got, title(op))
		}
		slices.Sort(got)
		slices.Sort(ops)
		if !slices.Equal(got, ops) {
			t.Errorf("%s: %q, want %q", p, got, ops)
		}
	}
	for name, k := range want.Kinds {
		op := opOf(t, g, name)
		got := string(op.Kind)
		if op.About != nil {
			got += " " + op.About.Name
		}
		if got != k {
			t.Errorf("%s: %q, want %q", name, got, k)
		}
	}
	for name, w := range want.Resources {
		r := g.Resource(name)
		if r == nil {
			t.Errorf("no resource %s", name)
			continue
		}
		if w.ID != "" && (len(r.IDs) == 0 || r.IDs[0] != w.ID) {
			t.Errorf("%s is known by %q, want %q first", name, r.IDs, w.ID)
		}
		if w.Owner != "" && !slices.Contains(r.Owners, w.Owner) || w.Owner == "" && !w.Person && len(r.Owners) > 0 {
			t.Errorf("%s has its owner in %q, want %q", name, r.Owners, w.Owner)
		}
		parent := ""
		if r.Parent != nil {
			parent = r.Parent.Name
		}
		if parent != w.Parent || r.IsPerson != w.Person || r.IsTenant != w.Tenant {
			t.Errorf("%s: parent %q, person %v, tenant %v; want %q, %v, %v", name, parent, r.IsPerson, r.IsTenant, w.Parent, w.Person, w.Tenant)
		}
	}
	for name, from := range want.Feeds {
		i := strings.LastIndexByte(name, ' ')
		in := opOf(t, g, name[:i]).Input(name[i+1:])
		if in == nil {
			t.Errorf("%s: no such input", name)
			continue
		}
		got := ""
		if list := g.Producers(in); len(list) > 0 {
			got = title(list[0].From.Op) + " " + list[0].From.Pointer + list[0].From.Header
		}
		if got != from {
			t.Errorf("%s is fed by %q, want %q", name, got, from)
		}
	}
	for name, m := range want.Means {
		i := strings.LastIndexByte(name, ' ')
		in := opOf(t, g, name[:i]).Input(name[i+1:])
		if in == nil {
			t.Errorf("%s: no such input", name)
		} else if in.Meaning != m {
			t.Errorf("%s means %q, want %q", name, in.Meaning, m)
		}
	}
	if want.Open != nil {
		var got []string
		for _, op := range g.Ops {
			if !op.Secured {
				got = append(got, title(op))
			}
		}
		slices.Sort(got)
		slices.Sort(want.Open)
		if !slices.Equal(got, want.Open) {
			t.Errorf("open: %q, want %q", got, want.Open)
		}
	}
	if want.Carrier != "" {
		got := ""
		if len(g.Carriers) > 0 {
			c := g.Carriers[0]
			got = strings.TrimSpace(c.In + " " + c.Name + " " + c.Prefix)
		}
		if got != want.Carrier {
			t.Errorf("credentials go into %q, want %q", got, want.Carrier)
		}
	}
}
