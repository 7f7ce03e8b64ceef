package gateway

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
)

// issuing is an issuer of JWTs and of opaque tokens, and a caller with a key for proofs.
type issuing struct {
	t      testing.TB
	url    string
	key    *ecdsa.PrivateKey
	caller *ecdsa.PrivateKey
}

func newIssuing(t testing.TB) *issuing {
	t.Helper()
	i := &issuing{t: t}
	for _, k := range []**ecdsa.PrivateKey{&i.key, &i.caller} {
		var err error
		if *k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"active": false}
		switch {
		case r.URL.Path == "/jwks":
			answer = map[string]any{"keys": []any{i.public(i.key)}}
		case r.PostFormValue("token") == "opaque-good":
			answer = map[string]any{"active": true, "sub": "alice", "aud": "shop"}
		case r.PostFormValue("token") == "opaque-bound":
			answer = map[string]any{"active": true, "sub": "alice", "aud": "shop", "token_type": "DPoP", "cnf": map[string]any{"jkt": i.thumbprint()}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(srv.Close)
	i.url = srv.URL
	return i
}

func (i *issuing) public(k *ecdsa.PrivateKey) jwk.Key {
	i.t.Helper()
	out, err := jwk.Import(k.Public())
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

func (i *issuing) thumbprint() string {
	i.t.Helper()
	sum, err := i.public(i.caller).Thumbprint(crypto.SHA256)
	if err != nil {
		i.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func (i *issuing) sign(k *ecdsa.PrivateKey, header, claims map[string]any) string {
	i.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	h := jws.NewHeaders()
	for name, v := range header {
		if err := h.Set(name, v); err != nil {
			i.t.Fatal(err)
		}
	}
	out, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), k, jws.WithProtectedHeaders(h)))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(out)
}

// token is a JWT for alice; bound says that it is good with a proof alone.
func (i *issuing) token(bound bool) string {
	claims := map[string]any{"iss": i.url, "aud": "shop", "sub": "alice", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if bound {
		claims["cnf"] = map[string]any{"jkt": i.thumbprint()}
	}
	return i.sign(i.key, map[string]any{"typ": "at+jwt"}, claims)
}

// proof is the caller's DPoP proof for a call with a token.
func (i *issuing) proof(token, url string) string {
	sum := sha256.Sum256([]byte(token))
	return i.sign(i.caller, map[string]any{"typ": "dpop+jwt", "jwk": i.public(i.caller)}, map[string]any{
		"jti": rand.Text(), "htm": "GET", "htu": url, "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	})
}

// newCredentialsGateway takes every kind of credential. upstream is its setting of
// credentials, waf that guard's mode.
func newCredentialsGateway(t testing.TB, i *issuing, upstream, waf string) (g *Gateway, key string, log *bytes.Buffer) {
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
    waf: {mode: %q}
    authn:
      methods:
      - jwt: {issuer: %[3]q, jwks: "%[3]s/jwks", audience: [shop], dpop: {}}
      - introspection: {url: "%[3]s/introspect", audience: [shop], auth: {method: bearer, token: "${T}"}, dpop: {}}
      - api_key: {header: X-API-Key, file: keys.yaml}
      - api_key: {query: api_key, file: keys.yaml}
      - own: {cookie: sid}
      - own: {header: X-Session}
      - jwt: {issuer: %[3]q, jwks: "%[3]s/jwks", audience: [shop], cookie: token}
`, upstream, waf, i.url)
	document := strings.Replace(testDocument, "schema: {type: integer}}]", "schema: {type: integer}}, {name: api_key, in: query, schema: {type: string}}]", 1)
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("T", "the-gateways-own-token")
	cfg, err := config.Parse([]byte(text), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log = &bytes.Buffer{}
	g, err = New(context.Background(), cfg, Deps{Trail: &records{}, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, key, log
}

// Whatever a caller shows, and wherever, the upstream sees it when the config
// passes credentials, and nothing of it when it strips them: nor does the proof
// get there that belongs to a token. What is no credential stays.
func TestCredentialsGetUpstreamOnlyIfPassed(t *testing.T) {
	i := newIssuing(t)
	const at = "http://example.com/items"
	for _, upstream := range []string{"strip", "pass"} {
		g, key, log := newCredentialsGateway(t, i, upstream, "off")
		jwt, bound := i.token(false), i.token(true)
		for name, c := range map[string]struct {
			header http.Header
			query  string
		}{
			"JWT":                        {http.Header{"Authorization": {"Bearer " + jwt}}, ""},
			"JWT in a cookie":            {http.Header{"Cookie": {"a=b; token=" + jwt + "; c=d"}}, ""},
			"JWT bound to a key":         {http.Header{"Authorization": {"DPoP " + bound}, "Dpop": {i.proof(bound, at)}}, ""},
			"introspected":               {http.Header{"Authorization": {"Bearer opaque-good"}}, ""},
			"introspected, bound":        {http.Header{"Authorization": {"DPoP opaque-bound"}, "Dpop": {i.proof("opaque-bound", at)}}, ""},
			"API key":                    {http.Header{"X-Api-Key": {key}}, ""},
			"API key in the query":       {nil, "n=1&api_key=" + key},
			"API key, percent-encoded":   {nil, "api%5Fkey=" + key + "&n=1"},
			"session cookie":             {http.Header{"Cookie": {"a=b; sid=the-session", "c=d"}}, ""},
			"session header":             {http.Header{"X-Session": {"the-session"}}, ""},
			"two kinds":                  {http.Header{"Authorization": {"Bearer " + jwt}, "Cookie": {"sid=the-session; a=b"}}, ""},
			"API key beside a bound JWT": {http.Header{"Authorization": {"DPoP " + bound}, "Dpop": {i.proof(bound, at)}, "X-Api-Key": {key}}, ""},
		} {
			t.Run(upstream+"/"+name, func(t *testing.T) {
				r := httptest.NewRequest(http.MethodGet, "/items?"+c.query, nil)
				for n, v := range c.header {
					r.Header[n] = v
				}
				if c.header.Get("Cookie") == "" {
					r.Header["Cookie"] = []string{"a=b", "c=d"}
				}
				r.Header.Set("Accept-Language", "de")
				var seen *http.Request
				w := httptest.NewRecorder()
				g.Handler(func(string) Upstream {
					return func(w http.ResponseWriter, r *http.Request) error {
						seen = r.Clone(context.Background())
						w.Header().Set("Content-Type", "application/json")
						_, err := w.Write([]byte("{}"))
						return err
					}
				}).ServeHTTP(w, r)
				if w.Code != http.StatusOK || seen == nil {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				all := fmt.Sprint(seen.URL.String(), seen.RequestURI, seen.Header)
				secrets := []string{jwt, bound, key, "opaque-good", "opaque-bound", "the-session"}
				if p := c.header.Get("Dpop"); p != "" {
					secrets = append(secrets, p)
				}
				sent := fmt.Sprint(c.header, c.query)
				for _, secret := range secrets {
					if got, want := strings.Contains(all, secret), upstream == "pass" && strings.Contains(sent, secret); got != want {
						t.Errorf("the upstream sees %.12s…: %v, want %v: %s", secret, got, want, all)
					}
				}
				if upstream == "strip" {
					for _, n := range []string{"Authorization", "Dpop", "X-Api-Key", "X-Session"} {
						if v := seen.Header[n]; v != nil {
							t.Errorf("%s: %q", n, v)
						}
					}
					if strings.Contains(all, "api_key") || strings.Contains(all, "sid") || strings.Contains(all, "token=") {
						t.Errorf("the name of what was stripped is left: %s", all)
					}
				}
				if cookies := strings.Join(seen.Header["Cookie"], "; "); !strings.Contains(cookies, "a=b") || name != "two kinds" && !strings.Contains(cookies, "c=d") {
					t.Errorf("cookies that are no credentials are lost: %q", cookies)
				}
				if seen.Header.Get("Accept-Language") != "de" || strings.Contains(c.query, "n=1") != (seen.URL.Query().Get("n") == "1") {
					t.Errorf("what is no credential is lost: %s", all)
				}
			})
		}
		for _, secret := range []string{jwt, bound, key, "opaque-good", "the-session"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%.12s… is in the log", secret)
			}
		}
	}
}

// On a public operation a credential that does not hold is kept from the upstream
// even where credentials are passed: it might believe it.
func TestRejectedCredentialsAreKeptBack(t *testing.T) {
	i := newIssuing(t)
	g, key, _ := newCredentialsGateway(t, i, "pass", "off")
	bound := i.token(true)
	forged := i.sign(i.caller, map[string]any{"typ": "at+jwt"}, map[string]any{"iss": i.url, "aud": "shop", "sub": "mallory", "exp": time.Now().Add(time.Hour).Unix()})
	for name, header := range map[string]http.Header{
		"a forged JWT":                    {"Authorization": {"Bearer " + forged}},
		"a bound token without a proof":   {"Authorization": {"Bearer " + bound}},
		"a proof of another call":         {"Authorization": {"DPoP " + bound}, "Dpop": {i.proof(bound, "http://example.com/items")}},
		"a token that is not active":      {"Authorization": {"Bearer opaque-over"}},
		"an API key that is none of ours": {"X-Api-Key": {key[:len(key)-2] + "00"}},
		"a forged JWT in a cookie":        {"Cookie": {"token=" + forged}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/blob", nil)
			for n, v := range header {
				r.Header[n] = v
			}
			var seen http.Header
			w := httptest.NewRecorder()
			g.Handler(func(string) Upstream {
				return func(w http.ResponseWriter, r *http.Request) error {
					seen = r.Header.Clone()
					w.Header().Set("Content-Type", "application/octet-stream")
					_, err := w.Write([]byte("x"))
					return err
				}
			}).ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for n := range header {
				if v := seen[n]; v != nil {
					t.Errorf("the upstream sees %s: %q", n, v)
				}
			}
			if seen.Get("X-Crenel-Subject") != "" {
				t.Errorf("the upstream is told that it is %q", seen.Get("X-Crenel-Subject"))
			}
		})
	}
}
