package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// suiteDir finds the JSON-Schema-Test-Suite.
func suiteDir(t testing.TB) string {
	t.Helper()
	if d := os.Getenv("CRENEL_TESTDATA"); d != "" {
		return filepath.Join(d, "json-schema")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		d := filepath.Join(dir, "..", "shared", "testdata", "json-schema")
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			if _, err := os.Stat(d); err == nil {
				return d
			}
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("the JSON-Schema-Test-Suite is missing: set CRENEL_TESTDATA")
	}
	t.Skip("SKIPPED: the JSON-Schema-Test-Suite is missing: set CRENEL_TESTDATA")
	return ""
}

type suiteGroup struct {
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

func decode(t testing.TB, b []byte) *value.Value {
	t.Helper()
	v, err := value.JSON(b, value.Limits{Digits: 1000})
	if err != nil {
		t.Fatalf("decoding %s: %v", b, err)
	}
	return v
}

// remotes loads the suite's remote documents.
func remotes(t testing.TB, dir string) map[string]*value.Value {
	out := map[string]*value.Value{}
	root := filepath.Join(dir, "remotes")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		v, err := value.JSON(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), value.Limits{})
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		out["http://localhost:1234/"+filepath.ToSlash(rel)] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exceptions are the suite's cases that are not passed, each with its reason.
var exceptions = map[string]string{}

// TestSuite runs every required case of the official JSON-Schema-Test-Suite.
func TestSuite(t *testing.T) {
	dir := suiteDir(t)
	others := remotes(t, dir)
	for _, draft := range []struct {
		name    string
		dialect schema.Dialect
		skip    string // remotes of other drafts
	}{
		{"draft2020-12", schema.Draft202012, "draft4"},
		{"draft4", schema.Draft4, "draft2020-12"},
	} {
		t.Run(draft.name, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, "tests", draft.name, "*.json"))
			if err != nil || len(files) < 20 {
				t.Fatalf("%d files, %v", len(files), err)
			}
			var passed, excepted int
			for _, file := range files {
				p, e := runSuiteFile(t, draft.name, file, draft.dialect, others, draft.skip, schema.CompilerOptions{})
				passed, excepted = passed+p, excepted+e
			}
			t.Logf("%s: %d required cases passed, %d listed exceptions", draft.name, passed, excepted)
		})
	}
}

// TestSuiteFormats runs the suite's optional format cases with format asserted.
func TestSuiteFormats(t *testing.T) {
	dir := suiteDir(t)
	for _, name := range []string{"date", "date-time", "time", "duration", "email", "ipv4", "ipv6", "uuid", "json-pointer",
		"relative-json-pointer", "uri", "uri-reference", "regex"} {
		file := filepath.Join(dir, "tests", "draft2020-12", "optional", "format", name+".json")
		p, e := runSuiteFile(t, "draft2020-12/format", file, schema.Draft202012, nil, "", schema.CompilerOptions{Formats: schema.FormatAsserted})
		t.Logf("format %s: %d cases passed, %d listed exceptions", name, p, e)
	}
	for _, name := range []string{"bignum", "float-overflow", "ecmascript-regex", "non-bmp-regex", "anchor", "id", "unknownKeyword", "no-schema"} {
		file := filepath.Join(dir, "tests", "draft2020-12", "optional", name+".json")
		p, e := runSuiteFile(t, "draft2020-12/optional", file, schema.Draft202012, remotes(t, dir), "draft4", schema.CompilerOptions{})
		t.Logf("optional %s: %d cases passed, %d listed exceptions", name, p, e)
	}
}

func runSuiteFile(t *testing.T, draft, file string, d schema.Dialect, others map[string]*value.Value, skip string,
	o schema.CompilerOptions) (passed, excepted int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var groups []suiteGroup
	if err := json.Unmarshal(b, &groups); err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		c := schema.NewCompiler(d, o)
		for uri, doc := range others {
			if skip == "" || !strings.Contains(uri, "/"+skip+"/") {
				c.AddResource(uri, doc)
			}
		}
		uri := fmt.Sprintf("http://suite.test/%s/%d", filepath.Base(file), i)
		c.AddResource(uri, decode(t, g.Schema))
		s, problems := c.Compile(uri)
		for _, tc := range g.Tests {
			name := strings.Join([]string{draft, filepath.Base(file), g.Description, tc.Description}, "/")
			v := decode(t, tc.Data)
			faults := s.Validate(v, nil)
			if got := faults == nil; got != tc.Valid {
				if why, listed := exceptions[name]; listed {
					t.Logf("exception: %s: %s", name, why)
					excepted++
					continue
				}
				t.Errorf("%s: valid %v, want %v\nschema %s\ndata %s\nfaults %v\nproblems %v", name, got, tc.Valid, g.Schema, tc.Data, faults, problems)
				continue
			}
			if s.Valid(v, nil) != tc.Valid {
				t.Errorf("%s: Valid and Validate disagree", name)
			}
			passed++
		}
	}
	return passed, excepted
}
