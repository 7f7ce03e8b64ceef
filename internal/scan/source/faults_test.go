package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A document of which nothing is left says where it is broken.
func TestNothingLeftSaysWhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tides.yaml")
	text := "openapi: 3.0.3\ninfo: {title: Tides, version: '1'}\npaths:\n  /tides:\n    get: {responses: {'200': {description: x}\n  /moons: [\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), file, Options{})
	if err == nil || !strings.Contains(err.Error(), "no operation that can be used; what is wrong with it: ") || !strings.Contains(err.Error(), "tides.yaml:5: ") {
		t.Errorf("%v", err)
	}
}
