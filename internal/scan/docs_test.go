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
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of YAML, want the options and a check", len(blocks))
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
	written := 0
	for _, b := range blocks[1:] {
		if !strings.HasPrefix(b[1], "id:") { // a part of the options
			if err := os.WriteFile(file, []byte("spec: a.yaml\ntarget: http://127.0.0.1:9000\n"+b[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOptions(file); err != nil {
				t.Errorf("%v in\n%s", err, b[1])
			}
			continue
		}
		w, err := check.ParseWritten([]byte(b[1]))
		if err != nil {
			t.Fatal(err)
		}
		written++
		if !strings.HasPrefix(w.ID, "my-") {
			t.Errorf("id %q", w.ID)
		}
	}
	if written == 0 {
		t.Error("the page shows no check")
	}
}
