package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
)

// opa finds the real program: $CRENEL_OPA, bin/opa (make opa), or on the PATH.
func opa(t *testing.T) func(dir string, args ...string) {
	t.Helper()
	program := os.Getenv("CRENEL_OPA")
	if program == "" {
		if built, err := filepath.Abs("../../../../bin/opa"); err == nil {
			if _, err := os.Stat(built); err == nil {
				program = built
			}
		}
	}
	if program == "" {
		program, _ = exec.LookPath("opa")
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("the real opa is not there: run make opa")
		}
		t.Skip("NOT RUN: the real opa is not there: make opa builds it, or set CRENEL_OPA")
	}
	return func(dir string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("opa %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// What the real opa builds and signs is taken; what it signed for another key or
// scope is not.
func TestBundlesOfTheRealOPA(t *testing.T) {
	opa := opa(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, text := range policy("by-hand", 7) {
		write("src/"+name, text)
	}
	keys := newKey()
	private := []string{write("k0.pem", keys[0].private), write("k1.pem", keys[1].private)}
	src := filepath.Join(dir, "src")
	for name, c := range map[string]struct {
		args   []string
		change func(*config.Bundle)
		want   string // what is decided, or why nothing is
	}{
		"built":                    {[]string{"build", "-b", src}, nil, "7"},
		"with a revision":          {[]string{"build", "-b", src, "--revision", "r42"}, nil, "7"},
		"optimised":                {[]string{"build", "-b", src, "-O", "1", "-e", "crenel/authz/decision"}, nil, "7"},
		"signed":                   {[]string{"build", "-b", src, "--signing-key", private[0], "--signing-alg", "ES256"}, sign, "7"},
		"signed for a scope":       {[]string{"build", "-b", src, "--signing-key", private[0], "--signing-alg", "ES256", "--claims-file", write("claims.json", `{"scope": "write", "keyid": "k1"}`)}, func(b *config.Bundle) { sign(b); b.Signing.Scope = "write" }, "7"},
		"not signed":               {[]string{"build", "-b", src}, sign, "missing .signatures.json"},
		"signed by another":        {[]string{"build", "-b", src, "--signing-key", private[1], "--signing-alg", "ES256"}, sign, "failed to verify"},
		"signed for another scope": {[]string{"build", "-b", src, "--signing-key", private[0], "--signing-alg", "ES256", "--claims-file", write("other.json", `{"scope": "read", "keyid": "k1"}`)}, func(b *config.Bundle) { sign(b); b.Signing.Scope = "write" }, "scope mismatch"},
		"WebAssembly":              {[]string{"build", "-b", src, "-t", "wasm", "-e", "crenel/authz/decision"}, nil, "WebAssembly"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "bundle.tar.gz")
			opa(dir, append(c.args, "-o", out)...)
			g := guard(t, NewPool("", nil, nil), nil, from("main", out, c.change))
			if got := says(g); got != c.want && !strings.Contains(got, c.want) {
				t.Errorf("says %s, want %s", got, c.want)
			}
			if name == "with a revision" {
				if p, err := g.Engine().Current(time.Now()); err != nil || p.Revisions()["bundle main"] != "r42" {
					t.Errorf("revisions %v, %v", p.Revisions(), err)
				}
			}
		})
	}
	// opa sign writes the signature of a folder beside its files.
	opa(src, "sign", "--signing-key", private[0], "--signing-alg", "ES256", "-b", ".")
	g := guard(t, NewPool("", nil, nil), nil, from("main", src, sign))
	if got := says(g); got != "7" {
		t.Errorf("a signed folder says %s", got)
	}
}
