package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

const partnerSecret = "a-secret-of-a-partner-of-32-bytes-or-more"

// signRequest signs as a partner does: method, address and the digest of content.
// names are further components.
func signRequest(r *http.Request, content string, names ...string) {
	sum := sha256.Sum256([]byte(content))
	r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	covered := `"@method" "@target-uri" "content-digest"`
	lines := fmt.Sprintf("\"@method\": %s\n\"@target-uri\": http://%s%s\n\"content-digest\": %s\n", r.Method, r.Host, r.RequestURI, r.Header.Get("Content-Digest"))
	for _, n := range names {
		covered += ` "` + n + `"`
		lines += fmt.Sprintf("%q: %s\n", n, r.Header.Get(n))
	}
	params := fmt.Sprintf(`(%s);created=%d;keyid="p";nonce="%d"`, covered, time.Now().Unix(), time.Now().UnixNano())
	h := hmac.New(sha256.New, []byte(partnerSecret))
	h.Write([]byte(lines + `"@signature-params": ` + params))
	r.Header.Set("Signature-Input", "s="+params)
	r.Header.Set("Signature", "s=:"+base64.StdEncoding.EncodeToString(h.Sum(nil))+":")
}

func signedSettings(more string) string {
	return "  guards:\n    waf: {mode: \"off\"}\n    upload: {mode: \"off\"}\n    limit: {rates: [{rate: 100000/s}]}\n    authn: {methods: [{signature: {keys: [{id: p, subject: partner, secret: \"${PARTNER_SECRET}\"}]" + more + "}}]}\n"
}

// A body is what was signed, or the upstream never sees the whole of it.
func TestSignedContent(t *testing.T) {
	t.Setenv("PARTNER_SECRET", partnerSecret)
	big := strings.Repeat("0123456789abcdef", 4096) // 64 KiB: passed on as it comes
	for name, c := range map[string]struct {
		settings    string
		path        string
		mediaType   string
		signed      string // what the digest is of
		sent        string
		encoding    string
		chunked     bool
		status      int
		code        string
		called      bool // the upstream was
		whole       bool // and could read the body to its end
		upstreamGot string
	}{
		"as signed":                    {path: "/items", signed: `{"a":1}`, sent: `{"a":1}`, status: 204, called: true, whole: true},
		"changed":                      {path: "/items", signed: `{"a":1}`, sent: `{"a":2}`, status: 400, code: "authn.digest"},
		"changed, chunked":             {path: "/items", signed: `{"a":1}`, sent: `{"a":2}`, chunked: true, status: 400, code: "authn.digest"},
		"as signed, chunked":           {path: "/items", signed: `{"a":1}`, sent: `{"a":1}`, chunked: true, status: 204, called: true, whole: true},
		"a byte more":                  {path: "/items", signed: `{"a":1}`, sent: `{"a":1} `, status: 400, code: "authn.digest"},
		"emptied":                      {path: "/items", signed: `{"a":1}`, sent: ``, status: 401, code: "authn.digest"},
		"emptied, chunked":             {path: "/items", signed: `{"a":1}`, sent: ``, chunked: true, status: 400, code: "authn.digest"},
		"compressed, signed as sent":   {path: "/items", signed: zipped(`{"a":1}`), sent: zipped(`{"a":1}`), encoding: "gzip", status: 204, called: true, whole: true, upstreamGot: `{"a":1}`},
		"compressed, signed as plain":  {path: "/items", signed: `{"a":1}`, sent: zipped(`{"a":1}`), encoding: "gzip", status: 400, code: "authn.digest"},
		"a small file":                 {path: "/blob", mediaType: "application/octet-stream", signed: "abc", sent: "abc", status: 204, called: true, whole: true},
		"a small file, changed":        {path: "/blob", mediaType: "application/octet-stream", signed: "abc", sent: "abd", status: 400, code: "authn.digest"},
		"a large file":                 {path: "/blob", mediaType: "application/octet-stream", signed: big, sent: big, status: 204, called: true, whole: true},
		"a large file, changed":        {path: "/blob", mediaType: "application/octet-stream", signed: big, sent: big[:len(big)-1] + "!", status: 400, code: "authn.digest", called: true},
		"a large file, chunked":        {path: "/blob", mediaType: "application/octet-stream", signed: big, sent: big, chunked: true, status: 204, called: true, whole: true},
		"changed and chunked":          {path: "/blob", mediaType: "application/octet-stream", signed: big, sent: big + "!", chunked: true, status: 400, code: "authn.digest", called: true},
		"a large file, to be held":     {settings: ", streams: refuse", path: "/blob", mediaType: "application/octet-stream", signed: big, sent: big, status: 400, code: "authn.digest"},
		"a small file, to be held":     {settings: ", streams: refuse", path: "/blob", mediaType: "application/octet-stream", signed: "abc", sent: "abc", status: 204, called: true, whole: true},
		"a large file, begins changed": {path: "/blob", mediaType: "application/octet-stream", signed: big, sent: "!" + big[1:], status: 400, code: "authn.digest", called: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, signedSettings(c.settings), "")
			method := http.MethodPost
			if c.path == "/blob" {
				method = http.MethodPut
			}
			r := httptest.NewRequest(method, c.path, strings.NewReader(c.sent))
			if c.mediaType == "" {
				c.mediaType = "application/json"
			}
			r.Header.Set("Content-Type", c.mediaType)
			if c.encoding != "" {
				r.Header.Set("Content-Encoding", c.encoding)
			}
			if c.chunked {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.sent)), -1
			}
			signRequest(r, c.signed)
			called, whole, got := false, false, ""
			h := g.Handler(func(string) Upstream {
				return func(w http.ResponseWriter, r *http.Request) error {
					called = true
					b, err := io.ReadAll(r.Body)
					got = string(b)
					if err != nil {
						return err
					}
					whole = true
					w.WriteHeader(http.StatusNoContent)
					return nil
				}
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var p struct{ Code string }
			if c.code != "" {
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
					t.Errorf("%v: %s", err, w.Body)
				}
			}
			if want, _ := exchange.LookupCode(c.code); c.code != "" && c.status == 401 {
				c.status = want.Status
			}
			if w.Code != c.status || p.Code != c.code || called != c.called || whole != c.whole {
				t.Errorf("%d %q, called %v, whole %v; want %d %q, %v, %v: %.300s", w.Code, p.Code, called, whole, c.status, c.code, c.called, c.whole, w.Body)
			}
			if c.upstreamGot == "" {
				c.upstreamGot = c.sent
			}
			if whole && got != c.upstreamGot {
				t.Errorf("the upstream got %.40q", got)
			}
			// What has no declared length is never ended instead.
			if called && !whole && !c.chunked && len(got) >= len(c.sent) {
				t.Errorf("the upstream got all %d bytes of what was not signed", len(got))
			}
		})
	}
}

// Where authn is only watched, what is not signed passes and is recorded.
func TestSignedContentWatched(t *testing.T) {
	t.Setenv("PARTNER_SECRET", partnerSecret)
	big := strings.Repeat("0123456789abcdef", 4096)
	for name, path := range map[string]string{"held": "/items", "streamed": "/blob"} {
		g := newTestGateway(t, "  mode: monitor\n"+signedSettings(""), "")
		method, signed, sent, mediaType := http.MethodPost, `{"a":1}`, `{"a":2}`, "application/json"
		if path == "/blob" {
			method, signed, sent, mediaType = http.MethodPut, big, big[1:], "application/octet-stream"
		}
		r := httptest.NewRequest(method, path, strings.NewReader(sent))
		r.Header.Set("Content-Type", mediaType)
		signRequest(r, signed)
		got := ""
		w := httptest.NewRecorder()
		g.Handler(func(string) Upstream {
			return func(w http.ResponseWriter, r *http.Request) error {
				b, err := io.ReadAll(r.Body)
				got = string(b)
				w.WriteHeader(http.StatusNoContent)
				return err
			}
		}).ServeHTTP(w, r)
		if w.Code != http.StatusNoContent || got != sent {
			t.Errorf("%s: %d with %d bytes", name, w.Code, len(got))
		}
		d, c := g.trail.only(t)
		if text := fmt.Sprint(d.Rulings, c.Rulings); !strings.Contains(text, "authn.digest") {
			t.Errorf("%s: not recorded: %s", name, text)
		}
	}
}

// The address that proofs and signatures are made for is the client's own.
func TestForwardedAddress(t *testing.T) {
	for name, c := range map[string]struct {
		from   string
		header http.Header
		want   string // authority and target
	}{
		"plain":                      {from: "192.0.2.9", want: "api.test:8443 /items?n=1"},
		"from a stranger":            {from: "192.0.2.9", header: http.Header{"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Prefix": {"/evil"}}, want: "api.test:8443 /items?n=1"},
		"from a proxy":               {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"public.test"}, "X-Forwarded-Prefix": {"/shop/"}}, want: "public.test /shop/items?n=1"},
		"with a port":                {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"public.test"}, "X-Forwarded-Port": {"8080"}}, want: "public.test:8080 /items?n=1"},
		"with the scheme's own port": {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"public.test"}, "X-Forwarded-Port": {"443"}, "X-Forwarded-Proto": {"https"}}, want: "public.test /items?n=1"},
		"with two ports":             {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"public.test:81"}, "X-Forwarded-Port": {"8080"}}, want: "public.test:81 /items?n=1"},
		"two hosts in a list":        {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"evil.test, public.test"}}, want: "api.test:8443 /items?n=1"},
		"two hosts in two fields":    {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"evil.test", "public.test"}}, want: "api.test:8443 /items?n=1"},
		"no host":                    {from: "10.0.0.1", header: http.Header{"X-Forwarded-Host": {"a b"}}, want: "api.test:8443 /items?n=1"},
		"a prefix that climbs":       {from: "10.0.0.1", header: http.Header{"X-Forwarded-Prefix": {"/../x"}}, want: "api.test:8443 /items?n=1"},
		"a prefix of nothing":        {from: "10.0.0.1", header: http.Header{"X-Forwarded-Prefix": {"/"}}, want: "api.test:8443 /items?n=1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, "", "{trusted_proxies: [10.0.0.0/8]}")
			r := httptest.NewRequest(http.MethodGet, "/items?n=1", nil)
			r.Host, r.RemoteAddr = "api.test:8443", c.from+":1"
			for n, v := range c.header {
				r.Header[n] = v
			}
			s := &session{g: g.Gateway, r: r}
			if v := s.receive(); v.Action != exchange.Allow {
				t.Fatal(v)
			}
			if got := s.x.Request.Authority + " " + s.x.Request.Target; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
