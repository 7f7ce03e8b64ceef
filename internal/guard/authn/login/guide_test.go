package login_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
)

// block returns the guide's indented text that begins with a line.
func block(t *testing.T, guide, first string) string {
	t.Helper()
	_, rest, ok := strings.Cut(guide, "\n    "+first+"\n")
	if !ok {
		t.Fatalf("the guide has no block that begins with %q", first)
	}
	out := []string{first}
	for line := range strings.SplitSeq(rest, "\n") {
		text, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n") + "\n"
}

// The guide's examples are configs as they stand.
func TestGuide(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "guards", "login.md"))
	if err != nil {
		t.Fatal(err)
	}
	guide := string(b)
	whole := block(t, guide, "apis:")
	upstream := strings.ReplaceAll(block(t, guide, "upstream:"), "\n", "\n    ")
	for name, text := range map[string]string{
		"the login":              whole,
		"the upstream's token":   strings.Replace(whole, `    upstream: {urls: ["http://127.0.0.1:9000"]}`, "    "+strings.TrimRight(upstream, " \n"), 1),
		"another API's sessions": whole + "  - name: orders\n    hosts: [app.example.com]\n    base_path: /orders\n    spec: openapi.yaml\n    upstream: {urls: [\"http://127.0.0.1:9001\"]}\n    guards: {authn: {methods: [{session: {api: shop}}]}}\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		env := func(string) (string, bool) { return "a secret of the test that is long enough", true }
		c, err := config.Parse([]byte("version: 1\n"+text), filepath.Join(dir, "crenel.yaml"), config.Options{Env: env})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if name == "the upstream's token" && c.APIs[0].Upstream.Token == nil {
			t.Errorf("%s: not in the config\n%s", name, text)
		}
	}
}
