package scan

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/scantest"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Only what differs is attacked: what it needs is called honestly, the rest not at all.
func TestChangedSince(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	api := &scantest.Notes{Open: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		mu.Unlock()
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	now := write("new.yaml", scantest.Spec)
	for _, c := range []struct {
		name, old string
		found     bool
		changes   []string
	}{
		{"the hole's operation", strings.Replace(scantest.Spec, "operationId: getNote\n      security: [{bearer: []}]", "operationId: getNote", 1), true, []string{"GET /notes/{id} security"}},
		{"a schema that it answers", strings.Replace(scantest.Spec, "owner: {type: string}", "owner: {type: integer}", 1), true, []string{"GET /notes answers", "POST /notes answers", "GET /notes/{id} answers"}},
		{"another operation", strings.Replace(scantest.Spec, "operationId: createNote\n      security: [{bearer: []}]", "operationId: createNote", 1), false, []string{"POST /notes security"}},
		{"a new operation", strings.Replace(scantest.Spec, "  /broken:", "  /mended:", 1), false, []string{"GET /broken added", "GET /mended removed"}},
		{"nothing", strings.Replace(scantest.Spec, "title: Notes", "title: Old Notes", 1), false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.old == scantest.Spec {
				t.Fatal("the old description is the new one")
			}
			asked = nil
			o := &Options{Spec: now, Target: srv.URL, Seed: 1, ChangedSince: write("old.yaml", c.old)}
			res, err := Run(t.Context(), o, Events{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ch := range res.Report.Changes {
				got = append(got, ch.Method+" "+ch.Path+" "+strings.Join(ch.What, ","))
			}
			if !slices.Equal(got, c.changes) {
				t.Errorf("changes %q, want %q", got, c.changes)
			}
			if f := find(res.Report, "bola-read"); (f != nil) != c.found {
				t.Errorf("found: %v", f != nil)
			}
			for _, cell := range res.Report.Checks {
				if op := cell.Method + " " + cell.Path; !slices.ContainsFunc(c.changes, func(ch string) bool { return strings.HasPrefix(ch, op+" ") }) {
					t.Errorf("%s was tried on %s, which has not changed", cell.Check, op)
				}
			}
			if c.changes == nil && len(asked) != 0 {
				t.Errorf("nothing differs, and %d requests were sent", len(asked))
			}
			for _, cov := range res.Report.Coverage {
				if c.name == "another operation" && cov.Path == "/broken" && !strings.Contains(cov.Reason, "it has not changed since") {
					t.Errorf("the world called what nothing needs: %+v", cov)
				}
			}
		})
	}
	o := &Options{Spec: now, Target: srv.URL, ChangedSince: filepath.Join(dir, "none.yaml")}
	if _, err := Run(t.Context(), o, Events{Exchange: func(*target.Exchange) { t.Error("something was sent") }}); err == nil || !strings.Contains(err.Error(), "the older description") {
		t.Errorf("%v", err)
	}
}

// What the user says is never called is called by nobody, and ends nothing.
func TestLeave(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	api := &scantest.Notes{Open: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.Method+" "+r.URL.Path]++
		mu.Unlock()
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Spec: spec, Target: srv.URL, Seed: 1, Mode: "aggressive", Leave: []string{"GET /broken", "DELETE /notes/*"}}
	r := scanned(t, o).Report
	if r.Ended != "" || find(r, "bola-read") == nil {
		t.Errorf("ended %q, findings %v", r.Ended, prints(r.Findings))
	}
	for op, n := range asked {
		if op == "GET /broken" || strings.HasPrefix(op, "DELETE /notes/") {
			t.Errorf("%s was called %d times", op, n)
		}
	}
}

// A path that the description lacks is left alone as well, however it is spelled
// and whatever else would lead to it; what is beside it is still looked at.
func TestLeaveWhatIsNotDescribed(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	api := &scantest.Notes{Open: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		switch r.URL.Path {
		case "/debug/config", "/debug/env":
			_, _ = w.Write([]byte(`{"database": "postgres://app:secret@db/app", "secret": "s", "PATH": "/bin"}`))
		case "/backup/", "/logs/":
			_, _ = w.Write([]byte("<html><title>Index of " + r.URL.Path + "</title></html>"))
		case "/openapi.json", "/swagger.json":
			_, _ = w.Write([]byte(`{"openapi": "3.0.0", "info": {}}`))
		default:
			api.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{
		Spec: spec, Target: srv.URL, Seed: 1, Mode: "aggressive", Leave: []string{"/debug", "/debug/config", "GET /backup/*", "/openapi.json"},
		Checks: []string{"debug-exposed", "directory-listing", "description-public", "undocumented"},
	}
	r := scanned(t, o).Report
	if r.Ended != "" {
		t.Errorf("ended %q", r.Ended)
	}
	for at, n := range asked {
		if low := strings.ToLower(at); low == "/debug" || low == "/debug/config" || strings.HasPrefix(low, "/backup/") || low == "/openapi.json" {
			t.Errorf("%s was asked for %d times", at, n)
		}
	}
	for _, want := range []struct{ check, path string }{{"debug-exposed", "/debug/env"}, {"directory-listing", "/logs/"}, {"description-public", ""}} {
		if f := find(r, want.check); f == nil || want.path != "" && f.Path != want.path {
			t.Errorf("%s: %+v", want.check, f)
		}
	}
}

func TestLeaves(t *testing.T) {
	for _, c := range []struct {
		pattern string
		q       target.Request
		left    bool
	}{
		{"/debug/*", target.Request{Method: "GET", Path: "/debug/env"}, true},
		{"/debug/*", target.Request{Method: "GET", Path: "/Debug/%65nv"}, true},
		{"/debug/*", target.Request{Method: "GET", Path: "/x/..;/debug/env"}, true},
		{"/debug/*", target.Request{Method: "GET", Path: "/debugger"}, false},
		{"/debug", target.Request{Method: "GET", Path: "/debug/"}, true},
		{"DELETE /carts/{id}", target.Request{Method: "DELETE", Path: "/carts/7"}, true},
		{"DELETE /carts/{id}", target.Request{Method: "GET", Path: "/carts/7"}, false},
		{"DELETE /carts/{id}", target.Request{Method: "POST", Path: "/carts/7", Header: []target.Field{{Name: "X-HTTP-Method-Override", Value: "delete"}}}, true},
		{"DELETE /carts/{id}", target.Request{Method: "POST", Path: "/carts/7", Query: "_method=DELETE"}, true},
		{"DELETE /carts/{id}", target.Request{Method: "DELETE", Path: "/carts/7/lines"}, false},
		{"/internal/*", target.Request{Method: "GET", Path: "/", Header: []target.Field{{Name: "X-Original-URL", Value: "/internal/keys?x=1"}}}, true},
		{"/internal/*", target.Request{Method: "GET", Path: "/base/internal/keys", Root: true}, true},
	} {
		got := slices.ContainsFunc(calls(&c.q, "/base"), func(at call) bool { return leaves([]string{c.pattern}, at) })
		if got != c.left {
			t.Errorf("%s leaves %s %s alone: %v", c.pattern, c.q.Method, c.q.Path, got)
		}
	}
}
