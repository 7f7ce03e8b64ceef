package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crenel-project/crenel/config"
)

const sessionDocument = `
openapi: 3.1.0
info: {title: t, version: "1"}
servers: [{url: /v1}]
components: {securitySchemes: {session: {type: apiKey, in: cookie, name: sid}}}
security: [{session: []}]
paths:
  /me: {get: {operationId: me, responses: {"200": {description: ok}}}}
  /items: {get: {operationId: list, responses: {"200": {description: ok}}}}
`

// An API with sessions of its own: the gateway knows the caller without a change
// to the API.
func TestWhoAmI(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(sessionDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse([]byte(`
version: 1
apis:
- name: t
  spec: api.yaml
  upstream: {urls: ["http://up.test:1"]}
  guards:
    waf: {mode: "off"}
    limit: {rates: [{by: identity, rate: 4/h}]}
    authn: {methods: [{own: {cookie: sid, who_am_i: {path: /me, roles: /role, refused_ttl: 0s}}}]}
`), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	trail := &records{}
	gw, err := New(t.Context(), cfg, Deps{Trail: trail})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	g := &testGateway{Gateway: gw, trail: trail}

	var asked atomic.Int64
	sessions := map[string]string{"sid=a1": "alice", "sid=a2": "alice", "sid=bob-1": "bob"}
	down := false
	up := func(w http.ResponseWriter, r *http.Request) error {
		if down {
			return &UpstreamError{Code: "gateway.upstream_unreachable", Err: io.ErrUnexpectedEOF}
		}
		user, known := sessions[r.Header.Get("Cookie")]
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !known:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v1/me":
			asked.Add(1)
			if r.Header.Get("X-Secret") != "" || CallOf(r.Context()).ID == "" {
				t.Errorf("the question carries %v", r.Header)
			}
			_, err := io.WriteString(w, `{"id": "`+user+`", "role": "member"}`)
			return err
		default:
			_, err := io.WriteString(w, `"`+r.Header.Get("X-Crenel-Subject")+`"`)
			return err
		}
		return nil
	}
	call := func(cookie string, status int, body string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/v1/items", nil)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("X-Secret", "the caller's")
		w, _ := g.do(up, r)
		if w.Code != status || body != "" && w.Body.String() != body {
			t.Errorf("%s: %d %s, want %d %s", cookie, w.Code, w.Body, status, body)
		}
	}
	call("sid=a1", 200, `"alice"`)
	call("sid=a1", 200, `"alice"`)
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for two calls", n)
	}
	call("sid=zz", 401, "")
	call("sid=a2", 200, `"alice"`)
	call("sid=a1", 200, `"alice"`)
	call("sid=a1", 429, "") // the limit is the caller's, over sessions
	call("sid=bob-1", 200, `"bob"`)
	if d := trail.decisions[len(trail.decisions)-1]; d.Identity == nil || d.Identity.Subject != "bob" || d.Identity.Roles[0] != "member" || strings.Contains(d.Identity.Credential, "bob-1") {
		t.Errorf("recorded %+v", d.Identity)
	}
	// The session ends: the API's own 401 passes, and ends what was remembered.
	delete(sessions, "sid=bob-1")
	call("sid=bob-1", 401, "")
	if d := trail.decisions[len(trail.decisions)-1]; d.Action != "allow" {
		t.Errorf("recorded %+v", d)
	}
	call("sid=bob-1", 401, "")
	if d := trail.decisions[len(trail.decisions)-1]; d.Code != "authn.invalid" {
		t.Errorf("recorded %+v", d)
	}
	down = true
	call("sid=c1", 503, "")
	if err := gw.Ready()[0].Error; !strings.Contains(err, "/me") {
		t.Errorf("ready says %q", err)
	}
}
