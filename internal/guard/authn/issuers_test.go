package authn_test

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// web answers with the documents that it has, by URL.
type web struct {
	mu    sync.Mutex
	pages map[string]any
	asked []string
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.URL.String())
	page, ok := w.pages[r.URL.String()]
	if !ok {
		return reply(404, "not here"), nil
	}
	return reply(200, must(jsonText(page))), nil
}

// The issuer's name in the config, in its document and in its tokens.
func TestIssuerNames(t *testing.T) {
	const (
		entra  = "https://login.example.com/{tenantid}/v2.0"
		north  = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
		south  = "9188040d-6c67-4c5b-b112-36a304b66dad"
		common = "https://login.example.com/common/v2.0/.well-known/openid-configuration"
		keysAt = "https://login.example.com/keys"
	)
	of := func(tenant string) string { return "https://login.example.com/" + tenant + "/v2.0" }
	document := func(issuer string) object { return object{"issuer": issuer, "jwks_uri": keysAt} }
	k := rsaKey()
	sets := func(keys ...any) object { return object{"keys": keys} }
	for name, c := range map[string]struct {
		conf  config.JWTMethod
		pages map[string]any
		token object
		code  string
	}{
		"as it is": {config.JWTMethod{Issuer: "https://a.test"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test"}, ""},
		"with a slash everywhere (Auth0)": {config.JWTMethod{Issuer: "https://a.test/"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test/"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/"}, ""},
		"a slash only in document and token": {config.JWTMethod{Issuer: "https://a.test"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test/"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/"}, ""},
		"a slash only in the config": {config.JWTMethod{Issuer: "https://a.test/"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test"}, ""},
		"a slash only in the token": {config.JWTMethod{Issuer: "https://a.test"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/"}, "authn.issuer"},
		"a slash missing in the token": {config.JWTMethod{Issuer: "https://a.test/"},
			map[string]any{"https://a.test/.well-known/openid-configuration": document("https://a.test/"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test"}, "authn.issuer"},
		"a slash with keys of its own": {config.JWTMethod{Issuer: "https://a.test", JWKS: keysAt},
			map[string]any{keysAt: sets(k.jwk())}, object{"iss": "https://a.test/"}, "authn.issuer"},
		"below a path (Keycloak)": {config.JWTMethod{Issuer: "https://a.test/realms/pets"},
			map[string]any{"https://a.test/realms/pets/.well-known/openid-configuration": document("https://a.test/realms/pets"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/realms/pets"}, ""},
		"another realm": {config.JWTMethod{Issuer: "https://a.test/realms/pets"},
			map[string]any{"https://a.test/realms/pets/.well-known/openid-configuration": document("https://a.test/realms/pets"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/realms/master"}, "authn.issuer"},
		"OAuth metadata alone (RFC 8414)": {config.JWTMethod{Issuer: "https://a.test/as"},
			map[string]any{"https://a.test/.well-known/oauth-authorization-server/as": document("https://a.test/as"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test/as"}, ""},
		"a document elsewhere": {config.JWTMethod{Issuer: "https://a.test", IssuerKeys: config.IssuerKeys{Discovery: "https://b.test/doc"}},
			map[string]any{"https://b.test/doc": document("https://a.test"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test"}, ""},
		"a document elsewhere, of another issuer": {config.JWTMethod{Issuer: "https://a.test", IssuerKeys: config.IssuerKeys{Discovery: "https://b.test/doc"}},
			map[string]any{"https://b.test/doc": document("https://b.test"), keysAt: sets(k.jwk())},
			object{"iss": "https://a.test"}, "authn.unavailable"},

		"many tenants (Entra)": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.with("issuer", entra))}, object{"iss": of(north), "tid": north}, ""},
		"a tenant of the list": {config.JWTMethod{Issuer: entra, IssuerKeys: config.IssuerKeys{Tenants: []string{strings.ToUpper(north)}}},
			map[string]any{common: document(entra), keysAt: sets(k.with("issuer", entra))}, object{"iss": of(north), "tid": north}, ""},
		"a tenant beside the list": {config.JWTMethod{Issuer: entra, IssuerKeys: config.IssuerKeys{Tenants: []string{north}}},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": of(south), "tid": south}, "authn.issuer"},
		"tid of another tenant": {config.JWTMethod{Issuer: entra, IssuerKeys: config.IssuerKeys{Tenants: []string{north}}},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": of(north), "tid": south}, "authn.issuer"},
		"no tid": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": of(north)}, "authn.issuer"},
		"no tenant": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": of(""), "tid": ""}, "authn.issuer"},
		"the mark itself": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": entra, "tid": "{tenantid}"}, "authn.issuer"},
		"a path as tenant": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": of("evil/../" + north), "tid": north}, "authn.issuer"},
		"another host": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.jwk())}, object{"iss": "https://evil.test/" + north + "/v2.0", "tid": north}, "authn.issuer"},
		"a key of another tenant": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.with("issuer", of(south)))}, object{"iss": of(north), "tid": north}, "authn.unknown_key"},
		"a key of this tenant": {config.JWTMethod{Issuer: entra},
			map[string]any{common: document(entra), keysAt: sets(k.with("issuer", of(north)))}, object{"iss": of(north), "tid": north}, ""},
		"one tenant, a key for all": {config.JWTMethod{Issuer: of(north)},
			map[string]any{of(north) + "/.well-known/openid-configuration": document(of(north)), keysAt: sets(k.with("issuer", entra))},
			object{"iss": of(north), "tid": north}, ""},
		"version 1 (STS)": {config.JWTMethod{Issuer: "https://sts.example.net/{tenantid}/", IssuerKeys: config.IssuerKeys{Discovery: "https://login.example.com/common/.well-known/openid-configuration"}},
			map[string]any{"https://login.example.com/common/.well-known/openid-configuration": document("https://sts.example.net/{tenantid}/"), keysAt: sets(k.jwk())},
			object{"iss": "https://sts.example.net/" + north + "/", "tid": north}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.conf.Audience = []string{audience}
				g, err := authn.New(authn.Options{API: petAPI(), Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &c.conf}}}, Client: &http.Client{Transport: &web{pages: c.pages}}})
				if err != nil {
					t.Fatal(err)
				}
				defer g.Close()
				x, v := call(t, g, operation(petAPI(), "token"), bearer(k.token("RS256", k.header("RS256"), claims(time.Now(), c.token))), "")
				if v.Code != c.code {
					t.Fatalf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, c.code)
				}
				if tid, _ := c.token["tid"].(string); c.code == "" && strings.Contains(c.conf.Issuer, "{") && x.Identity.Tenant != tid {
					t.Errorf("tenant %q, want tid %q", x.Identity.Tenant, tid)
				}
			})
		})
	}
}

// An issuer that changes its key without changing the id, or that gives it none:
// its new tokens are taken within seconds, and wrong signatures cost a fetch every
// two seconds at most.
func TestRotationWithoutKid(t *testing.T) {
	for name, header := range map[string]object{
		"no kid":       {"alg": "RS256", "typ": "JWT"},
		"the same kid": {"alg": "RS256", "typ": "JWT", "kid": "rsa"},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := rsaKey(), rsaOther()
			iss := newIssuer(old)
			world(t, iss, func(t *testing.T, g *authn.Guard) {
				token := func(k key) string { return k.token("RS256", header, claims(time.Now(), nil)) }
				was := token(old)
				want(t, ruled(t, g, was), exchange.Allow, "")
				iss.set(func(i *issuer) { i.keys = []any{next.jwk()} })
				time.Sleep(11 * time.Second)
				want(t, ruled(t, g, token(next)), exchange.Allow, "")
				want(t, ruled(t, g, was), exchange.Deny, "authn.signature")
				before := iss.fetches.Load()
				for range 300 {
					time.Sleep(100 * time.Millisecond)
					want(t, ruled(t, g, token(old)), exchange.Deny, "authn.signature")
				}
				if n := iss.fetches.Load() - before; n > 16 {
					t.Errorf("%d fetches in 30 seconds", n)
				}
			})
		})
	}
}

// How long keys are believed without their issuer is the config's word.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		conf := jwtConfig(func(j *config.JWTMethod) { j.Refresh, j.MaxAge = time.Minute, 10*time.Minute })
		g, err := authn.New(authn.Options{API: petAPI(), Config: conf, Client: client(iss), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		long := func() string {
			return rsaKey().token("RS256", rsaKey().header("RS256"), claims(time.Now(), object{"exp": time.Now().Add(24 * time.Hour).Unix()}))
		}
		cached := long()
		want(t, ruled(t, g, cached), exchange.Allow, "")
		iss.set(func(i *issuer) { i.broken = func(string) (*http.Response, error) { return reply(500, ""), nil } })
		time.Sleep(8 * time.Minute)
		want(t, ruled(t, g, cached), exchange.Allow, "")
		want(t, ruled(t, g, long()), exchange.Allow, "")
		if err := g.Ready(); err != nil {
			t.Errorf("not ready while the keys are still believed: %v", err)
		}
		time.Sleep(3 * time.Minute)
		want(t, ruled(t, g, cached), exchange.Unable, "authn.unavailable")
		want(t, ruled(t, g, long()), exchange.Unable, "authn.unavailable")
		if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "older than 10m0s: discovery: status 500") {
			t.Errorf("ready says %v", err)
		}
		iss.set(func(i *issuer) { i.broken = nil })
		time.Sleep(2 * time.Minute)
		want(t, ruled(t, g, cached), exchange.Allow, "")
	})
}

// A server whose certificate is of an authority of one's own.
func TestIssuerCA(t *testing.T) {
	var self string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_, _ = w.Write([]byte(must(jsonText(object{"issuer": self, "jwks_uri": self + "/keys"}))))
		case "/keys":
			_, _ = w.Write([]byte(must(jsonText(object{"keys": []any{rsaKey().jwk()}}))))
		}
	}))
	defer s.Close()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	self = s.URL
	ca := t.TempDir() + "/ca.pem"
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	empty := t.TempDir() + "/empty.pem"
	write(t, empty, "none")
	try := func(ca string, client *http.Client) exchange.Verdict {
		g, err := authn.New(authn.Options{API: petAPI(), Client: client, Config: jwtConfig(func(j *config.JWTMethod) { j.Issuer, j.CA = self, ca })})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		return ruled(t, g, rsaKey().token("RS256", rsaKey().header("RS256"), claims(time.Now(), object{"iss": self})))
	}
	// Whatever client the process has.
	for _, client := range []*http.Client{nil, {Timeout: 5 * time.Second}, {Transport: &http.Transport{}}} {
		want(t, try(ca, client), exchange.Allow, "")
		want(t, try("", client), exchange.Unable, "authn.unavailable")
	}
	if _, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(func(j *config.JWTMethod) { j.CA = empty })}); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("a CA file without certificates: %v", err)
	}
}
