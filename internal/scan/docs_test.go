package scan

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/check"
)

// What docs/scan.md shows can be used as it stands.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/scan.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML, want 2", len(blocks))
	}
	file := filepath.Join(t.TempDir(), "scan.yaml")
	if err := os.WriteFile(file, []byte(blocks[0][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := LoadOptions(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
	if len(o.Suppress) != 1 || len(o.Actors.Accounts) != 2 || o.Limits.Rate != 200 {
		t.Errorf("%+v", o)
	}
	w, err := check.ParseWritten([]byte(blocks[1][1]))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(w.ID, "my-") {
		t.Errorf("id %q", w.ID)
	}
}
