package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// FuzzExchange sends bytes through the whole handler. Whatever they are, nothing
// panics, one exchange leaves one decision and one completion, the upstream is
// called at most once, by a target in normal form and without fields that a
// client may not send, and what it reads is what the guards saw.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"GET /items?n=1 HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /x/../items HTTP/1.1\r\nHost: api.test:8443\r\n\r\n",
		"GET /items%2f..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://api.test HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS /items HTTP/1.1\r\nHost: a\r\nOrigin: https://x\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"HEAD /items HTTP/1.0\r\nHost: a\r\n\r\n",
		"POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
		"POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}",
		"POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\nX: y\r\n\r\n",
		"POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}",
		"POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 31\r\n\r\n" + zipped(`{"a":1}`),
		"PUT /blob HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nabc",
		"PUT /blob HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: 30\r\n\r\nabc",
		"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Forwarded-For\r\nUpgrade: websocket\r\n\r\n",
		"GET /items HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\nX-Crenel-Subject: root\r\nConnection: close\r\nTe: trailers\r\n\r\n",
		"GET /items HTTP/1.1\r\nHost: a\r\nCookie: a=b; c\r\nX-Forwarded-For: 1.1.1.1,,\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	g := newTestGateway(f, "", "{trusted_proxies: [192.0.2.0/24], limits: {body: 4KiB, upload: 64KiB}}")
	var x *exchange.Exchange
	var sent []byte
	g.deps.Observer = observerFunc(func(seen *exchange.Exchange, _ *exchange.Decision, _ *exchange.Completion) { x = seen })
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:9"
		*g.trail = records{}
		x, sent = nil, nil
		calls := 0
		g.do(func(w http.ResponseWriter, r *http.Request) error {
			calls++
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			sent = body
			checkSent(t, r, body)
			w.Header().Set("Content-Type", "application/json")
			_, err = io.WriteString(w, `{"a":1}`)
			return err
		}, r)
		if calls > 1 {
			t.Errorf("the upstream was called %d times", calls)
		}
		d, c := g.trail.only(t)
		if c.Called != (calls > 0) || x == nil || x.ID != d.ID {
			t.Errorf("decision %+v, completion %+v", d, c)
		}
		if b := x.Request.Body; calls > 0 && b != nil && !b.Partial && !bytes.Equal(b.Bytes, sent) {
			t.Errorf("the guards saw %q, the upstream got %q", b.Bytes, sent)
		}
		if d.Action == "deny" && c.Status < 400 {
			t.Errorf("denied with status %d", c.Status)
		}
		g.balanced(t)
	})
}

// checkSent checks what the upstream got.
func checkSent(t *testing.T, r *http.Request, body []byte) {
	escaped, decoded, err := normalPath(r.URL.EscapedPath())
	if err != nil || escaped != r.URL.EscapedPath() || decoded != r.URL.Path {
		t.Errorf("sent path %q (%q): %v", r.URL.EscapedPath(), r.URL.Path, err)
	}
	if path, query, _ := strings.Cut(r.RequestURI, "?"); path != escaped || query != r.URL.RawQuery {
		t.Errorf("sent target %q for %q", r.RequestURI, r.URL)
	}
	for name := range r.Header {
		allowed := name == "X-Request-Id" || r.Header.Get("Upgrade") == "websocket" && name == "Connection"
		if !allowed && (isSpoofable(name) || name == "Connection" || name == "Te" || name == "Transfer-Encoding") {
			t.Errorf("sent %s", name)
		}
	}
	if r.ContentLength >= 0 && int64(len(body)) != r.ContentLength {
		t.Errorf("sent %d bytes, said %d", len(body), r.ContentLength)
	}
	if r.Trailer != nil {
		t.Errorf("sent trailers %v", r.Trailer)
	}
	if r.Header.Get("Content-Type") != "application/json" || len(body) == 0 {
		return
	}
	var doc struct{ A, B, C any }
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Errorf("sent JSON that the contract forbids: %q: %v", body, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Errorf("sent data behind the JSON: %q", body)
	}
}
