package caddy_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/trail"
)

// Every size is bounded in each version of HTTP, over the wire and through the
// gateway itself: none is a way around a limit of the others.
func TestSizesAreBoundedInEveryVersion(t *testing.T) {
	var called atomic.Int32
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		called.Add(1)
	}))
	t.Cleanup(up.Close)
	dir := t.TempDir()
	spec := `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/things":{"post":{"operationId":"make","parameters":[{"name":"q","in":"query","schema":{"type":"string"}}],
"requestBody":{"content":{"application/json":{"schema":{"type":"object"}},"multipart/form-data":{"schema":{"type":"object"}}}},"responses":{"200":{"description":"ok"}}}}}}`
	if err := os.WriteFile(filepath.Join(dir, "api.json"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeport.Address(t)
	cfg, err := config.Parse([]byte(`
server:
  listen: ["`+listen+`"]
  tls: {mode: local}
  timeouts: {shutdown: 2s}
  limits: {uri: 256, header_count: 20, header_bytes: 8KiB, body: 4KiB, ratio: 5, depth: 5, keys: 10, items: 10, string: 1KiB}
apis:
- name: t
  spec: api.json
  upstream: {urls: ["`+up.URL+`"]}
  guards: {authn: {mode: "off"}, authz: {mode: "off"}, waf: {mode: "off"}}
`), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := trail.Open(trail.Options{File: filepath.Join(dir, "events.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Trail: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	p := start(t, cfg, gw)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = io.WriteString(z, `{"a":"`+strings.Repeat("a", 6000)+`"}`)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	part := "--b\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\nx\r\n"
	fields := func(n int, text string) http.Header {
		h := http.Header{}
		for i := range n {
			h.Set("X-"+string(rune('A'+i%26))+string(rune('a'+i/26)), text)
		}
		return h
	}
	tests := map[string]struct {
		query, body, content string
		header               http.Header
		unknown              bool // the length is not declared
		status               int
	}{
		"a plain call":                 {body: `{"a":1}`, status: 200},
		"a long target":                {query: "?q=" + strings.Repeat("a", 300), body: `{}`, status: 414},
		"many header fields":           {header: fields(30, "a"), body: `{}`, status: 431},
		"large header fields":          {header: fields(9, strings.Repeat("a", 1000)), body: `{}`, status: 431},
		"a large body":                 {body: `{"a":"` + strings.Repeat("a", 5000) + `"}`, status: 413},
		"a large body, not declared":   {body: `{"a":"` + strings.Repeat("a", 5000) + `"}`, unknown: true, status: 413},
		"a bomb":                       {body: zipped.String(), header: http.Header{"Content-Encoding": {"gzip"}}, status: 413},
		"a deep document":              {body: strings.Repeat(`{"a":`, 8) + "1" + strings.Repeat("}", 8), status: 413},
		"many members":                 {body: `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1}`, status: 413},
		"a long list":                  {body: `{"a":[` + strings.Repeat("1,", 12) + `1]}`, status: 413},
		"a long string":                {body: `{"a":"` + strings.Repeat("a", 2000) + `"}`, status: 413},
		"a multipart body, many parts": {body: strings.Repeat(part, 12) + "--b--\r\n", content: "multipart/form-data; boundary=b", status: 413},
		"a multipart body":             {body: part + "--b--\r\n", content: "multipart/form-data; boundary=b", status: 200},
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		client, stop := clientFor(trusting(t, p), proto)
		for name, tt := range tests {
			t.Run(proto+" "+name, func(t *testing.T) {
				before := called.Load()
				var body io.Reader = strings.NewReader(tt.body)
				if tt.unknown {
					body = io.MultiReader(body) // its length is not to be seen
				}
				req, err := http.NewRequest(http.MethodPost, "https://"+listen+"/things"+tt.query, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				if tt.content != "" {
					req.Header.Set("Content-Type", tt.content)
				}
				for field, list := range tt.header {
					req.Header[field] = list
				}
				res, err := client.Do(req)
				if err != nil {
					// What refuses before the gateway is asked may end the stream.
					if tt.status != 431 && tt.status != 413 || called.Load() != before {
						t.Fatalf("%v, the upstream was called: %v", err, called.Load() != before)
					}
					return
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.Proto != proto || res.StatusCode != tt.status || (called.Load() != before) != (tt.status == 200) {
					t.Errorf("%s %d, want %d; the upstream was called: %v: %s", res.Proto, res.StatusCode, tt.status, called.Load() != before, answer)
				}
			})
		}
		stop()
	}
}
