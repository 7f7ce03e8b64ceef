package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
)

func TestNewRevisionIsActivated(t *testing.T) {
	s := newBundleServer(t)
	s.give(pack(t, policy("r1", 1)))
	g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL+"/b.tar.gz", nil))
	if got := says(g); got != "1" {
		t.Fatalf("after the start: %s; ready: %s", got, ready(g))
	}
	s.give(pack(t, policy("r2", 2)))
	until(t, "r2 decides", func() bool { return says(g) == "2" })
	p, _ := g.Engine().Current(time.Now())
	if r := p.Revisions()["bundle main"]; r != "r2" {
		t.Errorf("revision %q", r)
	}
	serial := p.Serial()
	n := len(s.requests())
	until(t, "ten more questions", func() bool { return len(s.requests()) > n+10 })
	if p, _ := g.Engine().Current(time.Now()); p.Serial() != serial {
		t.Errorf("an unchanged bundle was activated %d times more", p.Serial()-serial)
	}
	last := s.requests()[n+5]
	if last.Header.Get("If-None-Match") == "" || !strings.Contains(last.Header.Get("Prefer"), "modes=snapshot,delta") {
		t.Errorf("the question's head: %v", last.Header)
	}
	if err := g.Ready(); err != nil {
		t.Error(err)
	}
}

// A server that names no etag gives the same archive each time: nothing is new.
func TestServerWithoutETags(t *testing.T) {
	s := newBundleServer(t)
	data := pack(t, policy("r1", 1))
	s.as(func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })
	g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, nil))
	until(t, "ten questions", func() bool { return len(s.requests()) > 10 })
	if p, err := g.Engine().Current(time.Now()); err != nil || p.Serial() != 1 {
		t.Errorf("%v, activated %d times", err, p.Serial())
	}
}

// rawTar writes an archive by hand.
func rawTar(t testing.TB, write func(*tar.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	write(tw)
	tw.Close()
	gz.Close()
	return b.Bytes()
}

func TestBadBundlesAreKeptOut(t *testing.T) {
	keys := newKey()
	ok := func(b []byte) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.Write(b) } }
	next := policy("r2", 2)
	bomb := rawTar(t, func(tw *tar.Writer) {
		const size = 512 << 20
		tw.WriteHeader(&tar.Header{Name: "data.json", Mode: 0o600, Size: size, Typeflag: tar.TypeReg})
		io.CopyN(tw, zeros{}, size)
	})
	padding := rawTar(t, func(tw *tar.Writer) {
		for i := range 60_000 {
			tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d/", i), Mode: 0o700, Typeflag: tar.TypeDir})
		}
	})
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		change func(*config.Bundle)
		want   string
	}{
		"does not compile":      {ok(pack(t, change(next, files{"authz/x.rego": "package crenel.authz\nx if y"}))), nil, "var y is unsafe"},
		"does not parse":        {ok(pack(t, change(next, files{"authz/x.rego": "package crenel.authz\nx if {"}))), nil, "rego_parse_error"},
		"no rule that decides":  {ok(pack(t, change(next, files{"authz/p.rego": "package crenel.authz\nx := 1", "authz/p_test.rego": ""}))), nil, "no policy has the rule"},
		"reaches outside":       {ok(pack(t, change(next, files{"authz/x.rego": `package crenel.authz` + "\n" + `x := http.send({"method": "get", "url": "http://127.0.0.1"})`}))), nil, "undefined function http.send"},
		"fails its tests":       {ok(pack(t, change(next, files{"authz/p_test.rego": "package crenel.authz_test\nimport data.crenel.authz\ntest_never if not authz.decision.allow"}))), nil, "test_never: failed"},
		"outside of its roots":  {ok(pack(t, change(next, files{"other/data.json": `{"x": 1}`}))), nil, "do not permit data"},
		"package outside":       {ok(pack(t, change(next, files{"x.rego": "package other\nx := 1"}))), nil, "do not permit"},
		"the library's package": {ok(pack(t, change(next, files{".manifest": `{"roots": ["crenel", "levels"]}`, "x.rego": "package crenel.lib\nx := 1"}))), nil, "is Crenel's own"},
		"manifest of rubbish":   {ok(pack(t, change(next, files{".manifest": "{"}))), nil, "manifest"},
		"data of rubbish":       {ok(pack(t, change(next, files{"levels/data.json": "{"}))), nil, "levels/data.json"},
		"a data file too deep":  {ok(pack(t, change(next, files{"levels/data.json": strings.Repeat(`{"a":`, 20_000)}))), nil, "depth"},
		"yaml bomb":             {ok(pack(t, change(next, files{"levels/data.yaml": yamlBomb()}))), nil, "yaml"},
		"not gzip":              {ok([]byte("<html>log in first</html>")), nil, "not a gzip archive"},
		"gzip of rubbish":       {ok(gzipped(t, "rubbish, and more of it")), nil, "unpacking"},
		"cut short":             {ok(pack(t, next)[:100]), nil, "unexpected EOF"},
		"broken in the middle":  {ok(flip(pack(t, next))), nil, "unpacking"},
		"empty":                 {ok(nil), nil, "nothing in it"},
		"404":                   {http.NotFound, nil, "404 Not Found"},
		"500":                   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, nil, "500 Internal Server Error"},
		"401":                   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }, nil, "401 Unauthorized"},
		"slow head":             {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, "took longer than 300ms"},
		"slow body":             {drip(pack(t, next)), nil, "took longer than 300ms"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("x"))
		}, nil, "EOF"},
		"redirects for ever":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/more", http.StatusFound) }, nil, "more than 3 redirects"},
		"oversize, announced": {ok(bytes.Repeat([]byte("x"), 2<<20)), nil, "more than size allows"},
		"oversize, chunked":   {chunked(2 << 20), nil, "more than size allows"},
		"zip bomb":            {ok(bomb), func(b *config.Bundle) { b.Size = 16 << 20 }, "bytes together"},
		"zip bomb of folders": {ok(padding), func(b *config.Bundle) { b.Unpacked = 64 << 10 }, "larger, unpacked"},
		"climbs out":          {ok(rawTar(t, func(tw *tar.Writer) { tw.WriteHeader(&tar.Header{Name: "../../data.json", Typeflag: tar.TypeReg}) })), nil, "not a path within the bundle"},
		"a symbolic link": {ok(rawTar(t, func(tw *tar.Writer) {
			tw.WriteHeader(&tar.Header{Name: "data.json", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})
		})), nil, "neither a file nor a folder"},
		"one name twice": {ok(rawTar(t, func(tw *tar.Writer) {
			tw.WriteHeader(&tar.Header{Name: "data.json", Typeflag: tar.TypeReg})
			tw.WriteHeader(&tar.Header{Name: "./data.json", Typeflag: tar.TypeReg})
		})), nil, "stands twice"},
		"WebAssembly":              {ok(pack(t, change(next, files{"policy.wasm": "\x00asm"}))), nil, "WebAssembly"},
		"a delta of other roots":   {ok(pack(t, files{".manifest": `{"revision": "d", "roots": ["other"]}`, "patch.json": `{"data": [{"op": "upsert", "path": "/other/x", "value": 1}]}`})), nil, "other roots"},
		"a delta of nothing there": {ok(pack(t, files{".manifest": `{"revision": "d", "roots": ["crenel/authz", "crenel/authz_test", "levels"]}`, "patch.json": `{"data": [{"op": "replace", "path": "/levels/x/y", "value": 1}]}`})), nil, "nothing is there"},

		"unsigned":                    {ok(pack(t, next)), sign, "missing .signatures.json"},
		"signed by another":           {ok(signed(t, next, keys[1], "k1", nil)), sign, "failed to verify"},
		"signed, an unknown key":      {ok(signed(t, next, keys[0], "k9", nil)), signTwo, "k9 not found"},
		"signed for another scope":    {ok(signed(t, next, keys[0], "k1", map[string]any{"scope": `"test"`})), sign, "scope mismatch"},
		"changed after it was signed": {ok(tamper(t, signed(t, next, keys[0], "k1", nil), "/data.json", `{"levels": {"now": 9}}`)), sign, "digest mismatch"},
		"a file that is not signed":   {ok(tamper(t, signed(t, next, keys[0], "k1", nil), "/authz/more.rego", "package crenel.authz\nmore := 1")), sign, "not included in bundle signature"},
		"a signed file is missing":    {ok(tamper(t, signed(t, next, keys[0], "k1", nil), "/authz/p_test.rego", "")), sign, "not found in the target bundle"},
		"signature of rubbish":        {ok(pack(t, change(next, files{".signatures.json": `{"signatures": ["a.b.c"]}`}))), sign, "kept out: reading the bundle"},
		"no signature in the file":    {ok(pack(t, change(next, files{".signatures.json": `{"signatures": []}`}))), sign, "missing JWT"},
		"a verifier of its own":       {ok(pack(t, change(next, files{".signatures.json": `{"plugin": "mine"}`}))), sign, "no verifier exists"},
		"alg none":                    {ok(pack(t, change(next, files{".signatures.json": `{"signatures": ["eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.eyJmaWxlcyI6W119."]}`}))), sign, "verify"},
		"a delta, unsigned":           {ok(pack(t, files{".manifest": `{"revision": "d", "roots": ["crenel/authz", "crenel/authz_test", "levels"]}`, "patch.json": `{"data": [{"op": "upsert", "path": "/levels/now", "value": 9}]}`})), sign, "delta bundles do not support signature"},
		"signed, with no key set":     {ok(signed(t, next, keys[0], "k1", nil)), nil, "verification key not provided"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := func(f files) []byte { return pack(t, f) }
			cfg := from("main", "", c.change)
			if cfg.Signing != nil {
				good = func(f files) []byte { return signed(t, f, keys[0], "k1", nil) }
			}
			s := newBundleServer(t)
			s.give(good(policy("r1", 1)))
			cfg.URL = s.URL
			g := guard(t, NewPool("", nil, nil), nil, cfg)
			if got := says(g); got != "1" {
				t.Fatalf("the good one says %s; ready: %s", got, ready(g))
			}
			s.as(c.serve)
			defer func() {
				if t.Failed() {
					t.Log("ready:", ready(g))
				}
			}()
			until(t, "readiness says "+c.want, readyHas(g, c.want))
			if got := says(g); got != "1" {
				t.Errorf("meanwhile it says %s", got)
			}
			s.give(good(policy("r3", 3)))
			until(t, "recovery", func() bool { return says(g) == "3" && ready(g) == "" })
		})
	}
}

func sign(b *config.Bundle) { b.Signing = signing() }

func signTwo(b *config.Bundle) {
	sign(b)
	b.Signing.Keys = append(b.Signing.Keys, config.BundleKey{ID: "k2", Algorithm: "ES256", File: newKey()[1].file})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	gz.Write([]byte(text))
	gz.Close()
	return b.Bytes()
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 0xff
	return b
}

// yamlBomb is nine levels of nine aliases.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	return b.String()
}

func drip(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := range data {
			w.Write(data[i : i+1])
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func chunked(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(make([]byte, n))
	}
}

// tamper replaces, adds or ("") removes a file of an archive.
func tamper(t testing.TB, data []byte, name, text string) []byte {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	list := files{}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(tr)
		list[h.Name] = string(b)
	}
	if list[name] = text; text == "" {
		delete(list, name)
	}
	return pack(t, list)
}

func TestSignedBundles(t *testing.T) {
	keys := newKey()
	for name, c := range map[string]struct {
		archive []byte
		change  func(*config.BundleSigning)
	}{
		"plain":       {signed(t, policy("r", 1), keys[0], "k1", nil), nil},
		"for a scope": {signed(t, policy("r", 1), keys[0], "k1", map[string]any{"scope": `"write"`}), func(s *config.BundleSigning) { s.Scope = "write" }},
		"excluded": {tamper(t, signed(t, policy("r", 1), keys[0], "k1", nil), "/README.md", "another"),
			func(s *config.BundleSigning) { s.Exclude = []string{"README.md"} }},
		"a second key": {signed(t, policy("r", 1), keys[1], "k2", nil), func(s *config.BundleSigning) {
			s.Keys = append(s.Keys, config.BundleKey{ID: "k2", Algorithm: "ES256", File: keys[1].file})
		}},
		"its time": {signed(t, policy("r", 1), keys[0], "k1", map[string]any{"iat": 1_800_000_000}), func(s *config.BundleSigning) { s.Rollback = "refuse" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBundleServer(t)
			s.give(c.archive)
			g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) {
				if sign(b); c.change != nil {
					c.change(b.Signing)
				}
			}))
			if got := says(g); got != "1" {
				t.Errorf("says %s; ready: %s", got, ready(g))
			}
		})
	}
}

// Who can replay a bundle that was signed once cannot bring back what it allowed.
func TestRollbackRefused(t *testing.T) {
	at := func(n, level int) []byte {
		return signed(t, policy(fmt.Sprint("r", level), level), newKey()[0], "k1", map[string]any{"iat": n})
	}
	s := newBundleServer(t)
	s.give(at(1_800_000_100, 2))
	g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) { sign(b); b.Signing.Rollback = "refuse" }))
	if got := says(g); got != "2" {
		t.Fatal(got, ready(g))
	}
	s.give(at(1_800_000_000, 1))
	until(t, "the older one is kept out", readyHas(g, "was signed before the one that decides"))
	s.give(signed(t, policy("r9", 9), newKey()[0], "k1", nil))
	until(t, "one without a time is kept out", readyHas(g, "does not say when it was made"))
	if got := says(g); got != "2" {
		t.Errorf("meanwhile: %s", got)
	}
	s.give(at(1_800_000_200, 3))
	until(t, "a newer one is taken", func() bool { return says(g) == "3" && ready(g) == "" })
}

func TestDeltas(t *testing.T) {
	s := newBundleServer(t)
	s.give(pack(t, policy("r1", 1)))
	dir := t.TempDir()
	pool := NewPool(dir, nil, nil)
	g := guard(t, pool, nil, from("main", s.URL, nil))
	delta := func(revision, ops string) []byte {
		return pack(t, files{".manifest": fmt.Sprintf(`{"revision": %q, "roots": ["crenel/authz", "crenel/authz_test", "levels"]}`, revision), "patch.json": `{"data": [` + ops + `]}`})
	}
	s.give(delta("d2", `{"op": "replace", "path": "/levels/now", "value": 2}, {"op": "upsert", "path": "levels/a/b", "value": [1]}, {"op": "upsert", "path": "levels/a/b/-", "value": 2}`))
	until(t, "the delta decides", func() bool { return says(g) == "2" })
	s.give(delta("d3", `{"op": "upsert", "path": "/levels/now", "value": 3}, {"op": "remove", "path": "/levels/a/b/0"}`))
	until(t, "the second delta decides", func() bool { return says(g) == "3" })
	p, _ := g.Engine().Current(time.Now())
	if r := p.Revisions()["bundle main"]; r != "d3" {
		t.Errorf("revision %q", r)
	}
	// What deltas have made is kept whole.
	terms := terms{name: "main", unpacked: 1 << 20}
	var c *content
	until(t, "it is kept", func() bool {
		kept, err := os.ReadFile(filepath.Join(dir, "api", "main.tar.gz"))
		if err != nil {
			return false
		}
		c, err = terms.read(kept, nil)
		return err == nil && c.manifest.Revision == "d3"
	})
	if got, want := c.data.String(), `{"levels": {"a": {"b": [2]}, "now": 3}}`; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if len(c.modules) != 2 {
		t.Errorf("kept %d modules", len(c.modules))
	}
}

func TestLongPolling(t *testing.T) {
	s := newBundleServer(t)
	news := make(chan []byte, 1)
	var waits atomic.Int32
	s.as(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundleType)
		if r.Header.Get("If-None-Match") == "" {
			w.Header().Set("ETag", `"1"`)
			w.Write(pack(t, policy("r1", 1)))
			return
		}
		if !strings.Contains(r.Header.Get("Prefer"), "wait=20") {
			t.Errorf("prefer: %s", r.Header.Get("Prefer"))
		}
		waits.Add(1)
		select {
		case b := <-news:
			w.Header().Set("ETag", `"2"`)
			w.Write(b)
		case <-r.Context().Done():
		}
	})
	g := guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) { b.LongPoll = 20 * time.Second; b.Interval = time.Hour }))
	until(t, "a question is held", func() bool { return waits.Load() == 1 })
	begin := time.Now()
	news <- pack(t, policy("r2", 2))
	until(t, "the news decide", func() bool { return says(g) == "2" })
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("it took %s", d)
	}
}

// A server that claims to hold questions and answers at once is not asked in a loop.
func TestLongPollingThatDoesNotHold(t *testing.T) {
	s := newBundleServer(t)
	s.as(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundleType)
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(pack(t, policy("r1", 1)))
	})
	guard(t, NewPool("", nil, nil), nil, from("main", s.URL, func(b *config.Bundle) { b.LongPoll = time.Hour; b.Interval = time.Hour }))
	time.Sleep(1500 * time.Millisecond)
	if n := len(s.requests()); n > 3 {
		t.Errorf("asked %d times in a second and a half", n)
	}
}
