package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
)

var guardsBlock = regexp.MustCompile(`(?m)^    guards:\n(?:    .*\n|\n    )+`)

// TestGuides holds the settings of the providers' guides to the config's rules.
func TestGuides(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("guides", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range guardsBlock.FindAllString(string(text), -1) {
			blocks++
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte("openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			lines := strings.ReplaceAll(block, "\n    ", "\n  ")
			cfg, err := config.Parse([]byte("version: 1\napis:\n- name: t\n  spec: api.yaml\n  upstream: {urls: [\"http://127.0.0.1:9\"]}\n  "+strings.TrimPrefix(lines, "    ")),
				filepath.Join(dir, "crenel.yaml"), config.Options{})
			if err != nil {
				t.Errorf("%s: %v\n%s", page, err, block)
				continue
			}
			if len(cfg.APIs[0].Guards.Authn.Methods) == 0 {
				t.Errorf("%s: the block has no method", page)
			}
			for _, w := range cfg.Warnings() {
				if strings.Contains(w.Path, "authn") {
					t.Errorf("%s: config check would warn: %v", page, w)
				}
			}
		}
	}
	if blocks < 4 {
		t.Errorf("only %d blocks of settings found in the guides", blocks)
	}
}
