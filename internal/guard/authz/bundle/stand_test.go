package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signer is a key pair; its public half is in a file.
type signer struct{ private, file string }

var newKey = sync.OnceValue(func() [2]signer {
	var out [2]signer
	dir, err := os.MkdirTemp("", "bundle-keys")
	if err != nil {
		panic(err)
	}
	for i := range out {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		der, _ := x509.MarshalPKCS8PrivateKey(key)
		out[i].private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		pub, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
		out[i].file = filepath.Join(dir, fmt.Sprintf("key%d.pem", i))
		if err := os.WriteFile(out[i].file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}), 0o600); err != nil {
			panic(err)
		}
	}
	return out
})

// signing is the config that trusts the first key.
func signing() *config.BundleSigning {
	return &config.BundleSigning{Keys: []config.BundleKey{{ID: "k1", Algorithm: "ES256", File: newKey()[0].file}}, Rollback: "allow"}
}

// files are a bundle's, by name.
type files map[string]string

// pack writes a tar.gz of files, in the order of their names' given list or any.
func pack(t testing.TB, list files) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for name, text := range list {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		tw.Write([]byte(text))
	}
	tw.Close()
	gz.Close()
	return b.Bytes()
}

// signed returns files as a bundle with a signature.
func signed(t testing.TB, list files, key signer, kid string, claims map[string]any) []byte {
	t.Helper()
	b, err := bundle.NewReader(bytes.NewReader(pack(t, list))).WithRegoVersion(ast.RegoV1).Read()
	if err != nil {
		t.Fatal(err)
	}
	sc := bundle.NewSigningConfig(key.private, "ES256", "")
	if claims != nil {
		path := filepath.Join(t.TempDir(), "claims.json")
		text := "{"
		for k, v := range claims {
			if len(text) > 1 {
				text += ","
			}
			text += fmt.Sprintf("%q: %v", k, v)
		}
		if err := os.WriteFile(path, []byte(text+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		sc.ClaimsPath = path
	}
	if err := b.GenerateSignature(sc, kid, false); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// policy is a bundle whose decision is level, with a test of its own.
func policy(revision string, level int) files {
	return files{
		".manifest":          fmt.Sprintf(`{"revision": %q, "roots": ["crenel/authz", "crenel/authz_test", "levels"]}`, revision),
		"authz/p.rego":       "package crenel.authz\nimport rego.v1\ndecision := {\"allow\": true, \"reason\": sprintf(\"%d\", [data.levels.now])}",
		"authz/p_test.rego":  "package crenel.authz_test\nimport rego.v1\nimport data.crenel.authz\ntest_it if authz.decision.allow",
		"levels/data.json":   fmt.Sprintf(`{"now": %d}`, level),
		"README.md":          "what this is",
		"levels/more/x.json": "{}",
	}
}

// change returns files with some of them replaced; "" takes one out.
func change(list files, with files) files {
	out := files{}
	for n, v := range list {
		out[n] = v
	}
	for n, v := range with {
		if out[n] = v; v == "" {
			delete(out, n)
		}
	}
	return out
}

// bundleServer serves one bundle, or what a test makes of it.
type bundleServer struct {
	*httptest.Server
	mu      sync.Mutex
	archive []byte
	etag    string
	handle  http.HandlerFunc // instead, when set
	asked   []*http.Request
}

func newBundleServer(t testing.TB) *bundleServer {
	s := &bundleServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *bundleServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	handle, archive, etag := s.handle, s.archive, s.etag
	s.mu.Unlock()
	if handle != nil {
		handle(w, r)
		return
	}
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(archive)
}

func (s *bundleServer) give(archive []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.archive, s.etag, s.handle = archive, `"`+digest(archive)[:16]+`"`, nil
}

func (s *bundleServer) as(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

func (s *bundleServer) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.asked...)
}

// from is the config of a bundle at an address, quick for tests.
func from(name, url string, change func(*config.Bundle)) config.Bundle {
	b := config.Bundle{Name: name, URL: url, Interval: 10 * time.Millisecond, Timeout: 300 * time.Millisecond, MaxAge: time.Hour, Size: 1 << 20, Unpacked: 4 << 20}
	if change != nil {
		change(&b)
	}
	return b
}

// guard is an authz guard that decides by bundles.
func guard(t testing.TB, p *Pool, now func() time.Time, list ...config.Bundle) *authz.Guard {
	t.Helper()
	feed, err := p.Feed("api", list)
	if err != nil {
		t.Fatal(err)
	}
	g, err := authz.New(authz.Options{Feeds: []authz.Feed{feed}, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// says is what the active policy decides, or why none does.
func says(g *authz.Guard) string {
	now := time.Now()
	p, err := g.Engine().Current(now)
	if err != nil {
		return err.Error()
	}
	v, err := p.Evaluate(context.Background(), &authz.Evaluation{Input: ast.NewObject(), Now: now, Limit: time.Second})
	if err != nil {
		return err.Error()
	}
	if o, ok := v.(ast.Object); ok {
		if r := o.Get(ast.StringTerm("reason")); r != nil {
			return string(r.Value.(ast.String))
		}
	}
	return v.String()
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within ten seconds: %s", what)
}

func ready(g *authz.Guard) string {
	if err := g.Ready(); err != nil {
		return err.Error()
	}
	return ""
}

func readyHas(g *authz.Guard, text string) func() bool {
	return func() bool { return strings.Contains(ready(g), text) && (text != "" || ready(g) == "") }
}
