package generate_test

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// TestCorpusSchemas compiles the named schemas of the real documents below
// CRENEL_CORPUS (see `make corpus`) and makes a value for a sample of each
// document's. CRENEL_CORPUS_ONLY takes the documents whose path holds it.
func TestCorpusSchemas(t *testing.T) {
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		t.Skip("CRENEL_CORPUS is not set: the schemas of real documents were NOT compiled; run make corpus")
	}
	codes := map[string]int{}
	example := map[string]string{}
	documents, schemas, made, failed := 0, 0, 0, 0
	var compiling, making time.Duration
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" || !strings.Contains(path, os.Getenv("CRENEL_CORPUS_ONLY")) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		doc, err := value.JSON(b, value.Limits{Depth: 500, Nodes: 50_000_000, Keys: 1_000_000, Items: 1_000_000, String: 64 << 20})
		if err != nil {
			return nil //nolint:nilerr // to report what is no JSON is the loader's business
		}
		d, at := schema.OpenAPI30, "/components/schemas"
		switch {
		case strings.HasPrefix(doc.Get("openapi").Str(), "3.1"):
			d = schema.OpenAPI31
		case doc.Get("swagger") != nil:
			d, at = schema.OpenAPI20, "/definitions"
		}
		all := doc.At(at)
		if all == nil || all.Kind != value.Object {
			return nil
		}
		documents++
		c := schema.NewCompiler(d, schema.CompilerOptions{})
		c.AddResource("file:///doc.json", doc)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range all.Kids {
			start := time.Now()
			s, problems := c.Compile("file:///doc.json#" + at + "/" + strings.NewReplacer("%", "%25", "#", "%23").Replace(value.EscapeToken(all.Kids[i].Name)))
			compiling += time.Since(start)
			schemas++
			for _, p := range problems {
				codes[p.Code]++
				if rng.IntN(codes[p.Code]) == 0 {
					example[p.Code] = filepath.Base(path) + p.Pointer + ": " + p.Message
				}
			}
			if rng.IntN(len(all.Kids)) >= 15 {
				continue
			}
			start = time.Now()
			o := generate.Options{Direction: schema.Request, Strict: true}
			v, err := generate.Value(s, rng, o)
			if took := time.Since(start); took > time.Second {
				t.Logf("%s %s: %v to make a value", path, all.Kids[i].Name, took)
			}
			making += time.Since(start)
			if err != nil {
				if failed++; failed%20 == 1 {
					t.Logf("%s %s: %v", filepath.Base(path), all.Kids[i].Name, err)
				}
				continue
			}
			made++
			if f := s.Validate(&v, &schema.Options{Direction: schema.Request, Strict: true}); f != nil {
				t.Errorf("%s %s: %v", path, all.Kids[i].Name, f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents, %d schemas compiled in %v; values made for %d in %v, none found for %d", documents, schemas, compiling, made, making, failed)
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		t.Logf("%7d %s, as %.300s", codes[code], code, example[code])
	}
	if failed*100 > made*2 {
		t.Errorf("no value for %d of %d schemas: more than 2 %%", failed, made+failed)
	}
}
