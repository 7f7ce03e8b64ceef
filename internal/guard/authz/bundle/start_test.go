package bundle

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	godigest "github.com/opencontainers/go-digest"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// The server is down when the gateway starts: what was kept decides until it is
// too old, counted from when the server last confirmed it.
func TestStartWithoutServer(t *testing.T) {
	dir := t.TempDir()
	var shift atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	says := func(g *authz.Guard) string {
		if _, err := g.Engine().Current(now()); err != nil {
			return err.Error()
		}
		return says(g)
	}
	s := newBundleServer(t)
	s.give(signed(t, policy("r1", 1), newKey()[0], "k1", nil))
	cfg := from("main", s.URL, sign)
	first := guard(t, NewPool(dir, nil, now), now, cfg)
	until(t, "it decides", func() bool { return says(first) == "1" })
	until(t, "it is kept", func() bool { _, err := os.Stat(filepath.Join(dir, "api", "main.json")); return err == nil })
	first.Close()
	s.as(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })

	second := guard(t, NewPool(dir, nil, now), now, cfg)
	if got := says(second); got != "1" {
		t.Fatalf("without the server: %s; ready: %s", got, ready(second))
	}
	if got := ready(second); !strings.Contains(got, "503 Service Unavailable") {
		t.Errorf("ready: %q", got)
	}
	shift.Store(int64(61 * time.Minute))
	if got := says(second); !strings.Contains(got, "more than 1h0m0s") || !strings.Contains(got, "503 Service Unavailable") {
		t.Errorf("after an hour without the server: %s", got)
	}
	second.Close()
	third := guard(t, NewPool(dir, nil, now), now, cfg)
	if got := says(third); !strings.Contains(got, "more than 1h0m0s") {
		t.Errorf("a start does not make it younger: %s", got)
	}
	s.give(signed(t, policy("r1", 1), newKey()[0], "k1", nil))
	until(t, "it decides again", func() bool { return says(third) == "1" && ready(third) == "" })
	third.Close()

	// What is on disk is verified like what comes from the server.
	s.as(http.NotFound)
	about, archive := filepath.Join(dir, "api", "main.json"), filepath.Join(dir, "api", "main.tar.gz")
	evil := signed(t, policy("r1", 9), newKey()[1], "k1", nil)
	var m map[string]any
	text, _ := os.ReadFile(about)
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for name, fits := range map[string]bool{"digest": false, "signature": true} {
		if err := os.WriteFile(archive, evil, 0o600); err != nil {
			t.Fatal(err)
		}
		if fits {
			m["sha256"] = digestOf(evil)
			text, _ := json.Marshal(m)
			if err := os.WriteFile(about, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g := guard(t, NewPool(dir, nil, now), now, cfg)
		if got := says(g); !strings.Contains(got, "has given nothing yet") {
			t.Errorf("another archive, whose %s fails, says %s", name, got)
		}
		g.Close()
	}
}

func digestOf(b []byte) string { return godigest.FromBytes(b).Encoded() }

// Nothing is kept, and the server is down: nothing is decided until it is up.
func TestNothingThere(t *testing.T) {
	s := newBundleServer(t)
	s.as(http.NotFound)
	g := guard(t, NewPool(t.TempDir(), nil, nil), nil, from("main", s.URL, nil))
	if got := says(g); !strings.Contains(got, "bundle main has given nothing yet: the server answered 404 Not Found") {
		t.Errorf("says %s", got)
	}
	if got := ready(g); !strings.Contains(got, "404 Not Found") {
		t.Errorf("ready: %s", got)
	}
	s.give(pack(t, policy("r1", 1)))
	until(t, "it decides", func() bool { return says(g) == "1" && ready(g) == "" })
}

// A reload goes on with what there is, also while the server is down; with
// another setting it asks anew.
func TestReload(t *testing.T) {
	s := newBundleServer(t)
	s.give(pack(t, policy("r1", 1)))
	pool := NewPool("", nil, nil)
	cfg := from("main", s.URL, func(b *config.Bundle) { b.Interval = time.Hour })
	old := guard(t, pool, nil, cfg)
	if says(old) != "1" {
		t.Fatal(ready(old))
	}
	n := len(s.requests())
	fresh := guard(t, pool, nil, cfg)
	old.Close()
	if got := says(fresh); got != "1" {
		t.Fatalf("after the reload: %s", got)
	}
	if got := len(s.requests()); got != n {
		t.Errorf("the reload asked the server %d times", got-n)
	}
	cfg.Token = config.NewSecret("another")
	other := guard(t, pool, nil, cfg)
	if got := says(other); got != "1" || len(s.requests()) == n {
		t.Errorf("with another token: %s, %d questions", got, len(s.requests())-n)
	}
}

func TestSeveralBundles(t *testing.T) {
	lib := func(fn string) []byte {
		return pack(t, files{".manifest": `{"revision": "lib-` + fn + `", "roots": ["team"]}`, "team/lib.rego": "package team.lib\n" + fn + `(_) := "1"`})
	}
	main := func(fn string) []byte {
		return pack(t, files{".manifest": `{"revision": "main-` + fn + `", "roots": ["crenel"]}`, "p.rego": "package crenel.authz\ndecision := {\"allow\": true, \"reason\": data.team.lib." + fn + "(1)}"})
	}
	a, b := newBundleServer(t), newBundleServer(t)
	a.give(lib("one"))
	b.give(main("one"))
	g := guard(t, NewPool("", nil, nil), nil, from("lib", a.URL, nil), from("main", b.URL, nil))
	p, err := g.Engine().Current(time.Now())
	if err != nil || p.Serial() != 1 || says(g) != "1" {
		t.Fatalf("two bundles: %v, says %s; want one activation", err, says(g))
	}
	a.give(lib("two"))
	until(t, "the library alone does not go", readyHas(g, "undefined function data.team.lib.one"))
	if got := says(g); got != "1" {
		t.Errorf("in between: %s", got)
	}
	b.give(main("two"))
	until(t, "both are new", func() bool {
		p, err := g.Engine().Current(time.Now())
		return err == nil && p.Revisions()["bundle lib"] == "lib-two" && p.Revisions()["bundle main"] == "main-two" && says(g) == "1"
	})
	// Roots that overlap.
	b.give(pack(t, files{".manifest": `{"roots": ["crenel", "team/lib"]}`, "p.rego": "package crenel.authz\ndecision := true"}))
	until(t, "roots overlap", readyHas(g, `root "team/lib" overlaps root "team"`))
	if got := says(g); got != "1" {
		t.Errorf("meanwhile: %s", got)
	}
}

func TestCredentials(t *testing.T) {
	archive := pack(t, policy("r1", 1))
	for name, c := range map[string]struct {
		change func(*config.Bundle)
		ok     func(*http.Request) bool
	}{
		"bearer": {func(b *config.Bundle) { b.Token = config.NewSecret("tok") }, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer tok" }},
		"basic": {func(b *config.Bundle) { b.Basic = &config.BasicAuth{User: "u", Password: config.NewSecret("p")} }, func(r *http.Request) bool {
			u, p, _ := r.BasicAuth()
			return u == "u" && p == "p"
		}},
		"wrong": {func(b *config.Bundle) { b.Token = config.NewSecret("other") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBundleServer(t)
			s.as(func(w http.ResponseWriter, r *http.Request) {
				if c.ok == nil || !c.ok(r) {
					http.Error(w, "no", http.StatusUnauthorized)
					return
				}
				w.Write(archive)
			})
			g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL+"/?sig=hush", c.change))
			if got := says(g); (got == "1") != (c.ok != nil) || strings.Contains(got, "hush") {
				t.Errorf("says %s", got)
			}
		})
	}
}

// Credentials are not carried to another host, and never from https into the clear.
func TestRedirects(t *testing.T) {
	var leaked atomic.Bool
	elsewhere := newBundleServer(t)
	elsewhere.as(func(w http.ResponseWriter, r *http.Request) {
		leaked.Store(leaked.Load() || r.Header.Get("Authorization") != "")
		w.Write(pack(t, policy("r1", 1)))
	})
	s := newBundleServer(t)
	s.as(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	})
	g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) { b.Token = config.NewSecret("tok") }))
	if got := says(g); got != "1" {
		t.Errorf("says %s", got)
	}
	if leaked.Load() {
		t.Error("the token was sent to another host")
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }))
	t.Cleanup(secure.Close)
	down := guard(t, NewPool("", nil, nil), nil, from("main", secure.URL, func(b *config.Bundle) { b.TLS = &config.ClientTLS{CA: caFile(t, secure)} }))
	if got := says(down); !strings.Contains(got, "from https to the clear") {
		t.Errorf("says %s", got)
	}
}

func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMutualTLS(t *testing.T) {
	archive := pack(t, policy("r1", 1))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(archive) }))
	s.StartTLS()
	t.Cleanup(s.Close)
	// The server's own certificate serves as the client's.
	pair := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAnyClientCert, pool
	for name, c := range map[string]struct {
		tls *config.ClientTLS
		ok  bool
	}{
		"with it":             {&config.ClientTLS{CA: cert, Cert: cert, Key: keyFile, Name: "example.com"}, true},
		"without":             {&config.ClientTLS{CA: cert, Name: "example.com"}, false},
		"another name":        {&config.ClientTLS{CA: cert, Cert: cert, Key: keyFile, Name: "other.test"}, false},
		"another authority's": {nil, false},
	} {
		g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) { b.TLS = c.tls }))
		if got := says(g); (got == "1") != c.ok {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestFolderAndFile(t *testing.T) {
	dir := t.TempDir()
	write := func(list files) {
		for name, text := range list {
			path := filepath.Join(dir, "bundle", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(policy("r1", 1))
	file := filepath.Join(dir, "b.tar.gz")
	if err := os.WriteFile(file, pack(t, policy("r1", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := guard(t, NewPool("", nil, nil), nil, from("main", filepath.Join(dir, "bundle"), nil))
	archive := guard(t, NewPool("", nil, nil), nil, from("main", "file://"+file, nil))
	if says(folder) != "1" || says(archive) != "1" {
		t.Fatalf("folder %s, archive %s", says(folder), says(archive))
	}
	write(policy("r2", 2))
	if err := os.WriteFile(file, pack(t, policy("r2", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "both are new", func() bool { return says(folder) == "2" && says(archive) == "2" })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	until(t, "readiness says that it is gone", readyHas(archive, "no such file"))
	if got := says(archive); got != "2" {
		t.Errorf("without the file: %s", got)
	}
}

// imageServer is an OCI registry with one image.
type imageServer struct {
	*httptest.Server
	blobs map[string][]byte // manifests too, by digest
	tag   atomic.Value      // the digest that v1 stands for
	auth  string            // the Authorization that is asked for
}

func newRegistry(t *testing.T) *imageServer {
	r := &imageServer{blobs: map[string][]byte{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.auth != "" && q.Header.Get("Authorization") != r.auth {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		name := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
		if name == "v1" {
			name, _ = r.tag.Load().(string)
		}
		b, ok := r.blobs[name]
		if !ok {
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
			return
		}
		if strings.Contains(q.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		}
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if q.Method == http.MethodGet {
			w.Write(b)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *imageServer) push(archive []byte, change func(layer map[string]any)) {
	blob := godigest.FromBytes(archive).String()
	layer := map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob, "size": len(archive)}
	if change != nil {
		change(layer)
	}
	manifest, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": godigest.FromString("{}").String(), "size": 2}, "layers": []any{layer}})
	at := godigest.FromBytes(manifest).String()
	r.blobs[blob], r.blobs[at] = archive, manifest
	r.tag.Store(at)
}

func TestOCI(t *testing.T) {
	r := newRegistry(t)
	r.auth = "Basic dTpw" // u:p
	ref := "oci+http://" + strings.TrimPrefix(r.URL, "http://") + "/team/policies:v1"
	login := func(b *config.Bundle) {
		sign(b)
		b.Basic = &config.BasicAuth{User: "u", Password: config.NewSecret("p")}
	}
	archive := func(level int) []byte {
		return signed(t, policy(fmt.Sprint("r", level), level), newKey()[0], "k1", nil)
	}
	// What is pushed later is there from the start: the registry's map is not locked.
	for _, level := range []int{2, 3} {
		r.push(archive(level), nil)
	}
	short, wrong, none := archive(4), archive(5), archive(6)
	r.push(short, func(l map[string]any) { l["size"] = len(short) - 1 })
	tagShort := r.tag.Load()
	r.push(wrong, nil)
	tagWrong := r.tag.Load()
	r.blobs[godigest.FromBytes(wrong).String()] = archive(7)
	r.push(none, func(l map[string]any) { l["mediaType"] = "application/octet-stream" })
	tagNone := r.tag.Load()
	r.push(pack(t, policy("r8", 8)), nil)
	tagUnsigned := r.tag.Load()
	huge := append(archive(9), make([]byte, 2<<20)...)
	r.push(huge, nil)
	tagHuge := r.tag.Load()
	last := archive(10)
	r.push(last, nil)
	tagLast := r.tag.Load()
	r.push(archive(1), nil)

	refused := guard(t, NewPool("", nil, nil), nil, from("main", ref, sign))
	if got := says(refused); !strings.Contains(got, "has given nothing yet: asking the registry") {
		t.Errorf("without credentials: %s", got)
	}
	refused.Close()
	g := guard(t, NewPool("", nil, nil), nil, from("main", ref, login))
	if got := says(g); got != "1" {
		t.Fatalf("says %s", got)
	}
	for want, tag := range map[string]any{
		"downloading": tagShort, "mismatch": tagWrong, "no layer of type tar+gzip": tagNone, "missing .signatures.json": tagUnsigned,
		"more than size allows": tagHuge, "not found": "sha256:nothing",
	} {
		r.tag.Store(tag)
		until(t, "readiness says "+want, func() bool {
			return strings.Contains(ready(g), want) || want == "mismatch" && strings.Contains(ready(g), "downloading")
		})
		if got := says(g); got != "1" {
			t.Errorf("%s: says %s", want, got)
		}
	}
	r.tag.Store(tagLast)
	until(t, "the good one is taken", func() bool { return says(g) == "10" && ready(g) == "" })
}
