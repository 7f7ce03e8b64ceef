package waf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// corpora finds the attack and benign data, or skips; in CI it must be there.
func corpora(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("CRENEL_TESTDATA"); dir != "" {
		return filepath.Join(dir, "attacks")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		found := filepath.Join(dir, "shared", "testdata", "attacks")
		if _, err := os.Stat(found); err == nil {
			return found
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no attack data: set CRENEL_TESTDATA")
	}
	t.Skip("SKIPPED: no attack data; set CRENEL_TESTDATA")
	return ""
}

type sample struct {
	Kind, Value, Query, Cls string
	Label                   int
}

// sampled reads every nth case of a corpus.
func sampled(t testing.TB, file string, every int) (out []sample) {
	t.Helper()
	for _, line := range sampledLines(t, file, every) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// sampledLines reads every nth line of a corpus.
func sampledLines(t testing.TB, file string, every int) (out [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 4<<20)
	for i := 0; lines.Scan(); i++ {
		if i%every != 0 {
			continue
		}
		out = append(out, bytes.Clone(lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// payloads reads the payload lists of one kind of test case.
func payloads(t testing.TB, pattern string) (out []string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Payload []string `yaml:"payload"`
		}
		if err := yaml.Unmarshal(b, &c); err != nil {
			continue // some files hold raw bytes that YAML does not allow
		}
		out = append(out, c.Payload...)
	}
	return out
}

// The guard must find what CRS finds in data it was not tuned on, and its false
// alarms must not become more: floors a little beside what was measured.
func TestCorpora(t *testing.T) {
	if testing.Short() {
		t.Skip("inspects thousands of values")
	}
	dir := corpora(t)
	g := at(t, 1)
	leaf := func(s string) bool {
		x := request(t, 0, "", `{"text":`+string(value.AppendString(nil, s))+`}`)
		return g.rule(t.Context(), x).Action != exchange.Allow
	}
	rate := func(name string, refused, of int, least, most float64) {
		if of == 0 {
			t.Errorf("%s: no data", name)
			return
		}
		p := 100 * float64(refused) / float64(of)
		t.Logf("%-40s %5d of %5d refused, %.1f %%", name, refused, of, p)
		if p < least || p > most {
			t.Errorf("%s: %.1f %% refused, want %.0f to %.0f", name, p, least, most)
		}
	}
	count := func(list []string) (n int) {
		for _, s := range list {
			if leaf(s) {
				n++
			}
		}
		return n
	}
	attacks := payloads(t, filepath.Join(dir, "gotestwaf/testcases/owasp/*.yml"))
	rate("gotestwaf owasp payloads", count(attacks), len(attacks), 50, 100)
	texts := payloads(t, filepath.Join(dir, "gotestwaf/testcases/false-pos/*.yml"))
	rate("gotestwaf false-positive texts", count(texts), len(texts), 0, 15)

	refused, of := 0, 0
	for _, s := range sampled(t, filepath.Join(dir, "openappsec-legit/shared_half.jsonl.gz"), 8) {
		if s.Kind != "query" {
			continue
		}
		of++
		if g.rule(t.Context(), request(t, 1, s.Query, "")).Action != exchange.Allow {
			refused++
		}
	}
	rate("open-appsec honest queries", refused, of, 0, 8)

	byClass := map[string][2]int{}
	for _, s := range sampled(t, filepath.Join(dir, "payloads-all-the-things/patt.jsonl.gz"), 100) {
		if s.Kind != "value" || s.Label != 1 || len(s.Value) > 4096 {
			continue
		}
		n := byClass[s.Cls]
		n[1]++
		if leaf(s.Value) {
			n[0]++
		}
		byClass[s.Cls] = n
	}
	for cls, n := range byClass {
		t.Logf("  payloads-all-the-things %-30s %d of %d", cls, n[0], n[1])
	}
}

// sampling is how many cases of a corpus stand for one that is tried:
// CRENEL_WAF_EVERY=1 tries all.
func sampling(t testing.TB, usual int) int {
	t.Helper()
	s := os.Getenv("CRENEL_WAF_EVERY")
	if s == "" {
		return usual
	}
	every, err := strconv.Atoi(s)
	if err != nil || every < 1 {
		t.Fatalf("CRENEL_WAF_EVERY=%q is no number", s)
	}
	return every
}
