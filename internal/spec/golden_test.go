package spec_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/spec"
)

var update = flag.Bool("update", false, "write what the loader makes of the fixtures into them")

// TestGood loads each document of testdata/good and compares the model with the
// golden file beside it. None has a problem.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.[yj]*")
	if err != nil || len(files) < 3 {
		t.Fatalf("fixtures: %v %v", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			api, err := spec.Load(context.Background(), f, spec.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range api.Problems {
				t.Errorf("unexpected problem: %s:%d %s %s: %s", p.Place.File, p.Place.Line, p.Place.Pointer, p.Code, p.Message)
			}
			golden := strings.TrimSuffix(f, filepath.Ext(f)) + ".golden"
			got := show(api)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDirty loads each document of testdata/dirty. Each has one mistake, and
// says in its first lines, which are taken off before it is read and counted,
// which problems must be found, and where:
//
//	# want: degraded spec.bad_style line 12 /paths/~1a/get/parameters/0
//	# error: a part of the error's text, when nothing is usable
func TestDirty(t *testing.T) {
	files, err := filepath.Glob("testdata/dirty/*")
	if err != nil || len(files) < 30 {
		t.Fatalf("fixtures: %d %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var want, body, got []string
			for line := range strings.Lines(string(data)) {
				if strings.HasPrefix(line, "# want: ") || strings.HasPrefix(line, "# error: ") {
					want = append(want, strings.TrimSpace(line))
				} else {
					body = append(body, line)
				}
			}
			api, err := spec.Parse([]byte(strings.Join(body, "")), f, spec.LoadOptions{Dirs: []string{filepath.Dir(f)}})
			if err != nil {
				got = append(got, "# error: "+err.Error())
			} else {
				for _, p := range api.Problems {
					got = append(got, strings.TrimSpace(fmt.Sprintf("# want: %s %s line %d %s", severity(p.Severity), p.Code, p.Place.Line, p.Place.Pointer)))
					if p.Place.File != f {
						t.Errorf("a problem's file is %q", p.Place.File)
					}
				}
			}
			if *update {
				out := strings.Join(got, "\n") + "\n" + strings.Join(body, "")
				if err := os.WriteFile(f, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
				want = got
			}
			if len(want) == 0 {
				t.Fatal("the fixture says nothing of what should be found")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func severity(s spec.Severity) string { return [...]string{"warning", "degraded", "fatal"}[s] }

// show writes a model down.
func show(api *spec.API) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("%s %s, OpenAPI %s", api.Title, api.APIVersion, [...]string{"", "2.0", "3.0", "3.1"}[api.Version])
	for _, s := range api.Servers {
		p("server %s host=%s base=%s", s.URL, s.Host, s.BasePath)
	}
	p("extensions %v, webhooks %v, schemas %d", api.Extensions, api.Webhooks, len(api.Schemas))
	var names []string
	for n := range api.SecuritySchemes {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		p("scheme %+v", *api.SecuritySchemes[n])
	}
	content := func(list []*spec.MediaType) {
		for _, m := range list {
			p("    %s schema=%v examples=%d", m.Type, m.Schema != nil, len(m.Examples))
			for _, f := range m.Fields {
				object := ""
				if f.Object != nil {
					object = f.Object.Resource
				}
				p("      %s object=%s owner=%v class=%s readOnly=%v writeOnly=%v", f.Pointer, object, f.Owner, f.Class, f.ReadOnly, f.WriteOnly)
			}
			var keys []string
			for k := range m.Encoding {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				p("      encoding %s %+v", k, *m.Encoding[k])
			}
		}
	}
	for _, op := range api.Operations {
		p("")
		p("%s %s id=%q line=%d", op.Method, op.Path, op.ID, op.Place.Line)
		p("  resource=%s object=%v deprecated=%v tags=%v extensions=%v public=%v declared=%v", op.Resource, op.Object != nil, op.Deprecated, op.Tags, op.Extensions, op.Public, op.SecurityDeclared)
		for _, r := range op.Security {
			var uses []string
			for _, u := range r {
				uses = append(uses, fmt.Sprintf("%s(%s)%v", u.Scheme.Name, u.Scheme.Type, u.Scopes))
			}
			p("  security %s", strings.Join(uses, " and "))
		}
		for _, s := range op.Servers {
			p("  at %s", s.URL)
		}
		for _, q := range op.Parameters {
			object := ""
			if q.Object != nil {
				object = q.Object.Resource
			}
			p("  parameter %s in %s required=%v style=%s explode=%v content=%s schema=%v object=%s class=%s", q.Name, q.In, q.Required, q.Style, q.Explode, q.ContentType, q.Schema != nil, object, q.Class)
		}
		if op.Body != nil {
			p("  body required=%v", op.Body.Required)
			content(op.Body.Content)
		}
		for _, r := range op.Responses {
			p("  response %s", r.Status)
			for _, h := range r.Headers {
				p("    header %s schema=%v", h.Name, h.Schema != nil)
			}
			for _, l := range r.Links {
				p("    link %s to %s %v", l.Name, l.Target.ID, l.Parameters)
			}
			content(r.Content)
		}
		for _, c := range op.Callbacks {
			p("  callback %s %s %v", c.Name, c.Expression, c.Methods)
		}
	}
	return b.String()
}
