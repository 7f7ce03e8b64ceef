package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A config that waf allow rewrites stays whose it was, and as readable as it was.
func TestAllowKeepsOwnerAndMode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crenel.yaml")
	if err := os.WriteFile(file, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65533 // only root may give a file away
		if err := os.Chown(file, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, link} {
		if err := replaceFile(name, []byte("version: 1 # "+name+"\n")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o640 {
			t.Errorf("mode %v, was 0640", info.Mode())
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != uid || int(s.Gid) != gid {
			t.Errorf("owner %d:%d, was %d:%d", s.Uid, s.Gid, uid, gid)
		}
		b, err := os.ReadFile(file)
		if err != nil || string(b) != "version: 1 # "+name+"\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is one no more: %v, %v", info, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := replaceFile(filepath.Join(filepath.Dir(file), "none.yaml"), nil); err == nil {
		t.Error("a file that is not there was replaced")
	}
}
