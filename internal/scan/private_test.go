package scan

import (
	"os"
	"path/filepath"
	"testing"
)

// A file that was there with a wider mode is read by its owner alone before anything is
// written to it; what is no file stays what it is.
func TestPrivateFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(name, []byte("an earlier one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(name, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(name); info.Mode().Perm() != 0o600 || string(text) != "new" {
		t.Errorf("mode %v, %q", info.Mode(), text)
	}
	f, err := OpenPrivate(os.DevNull, os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if info, err = os.Stat(os.DevNull); err != nil || info.Mode().Perm()&0o066 != 0o066 {
		t.Errorf("%v, %v", info, err)
	}
}
