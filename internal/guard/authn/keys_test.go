package authn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// world runs a test with a clock of its own: time passes when everyone waits.
func world(t *testing.T, iss *issuer, test func(t *testing.T, g *authn.Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(nil), Client: client(iss), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		test(t, g)
	})
}

func ruled(t *testing.T, g *authn.Guard, tok string) exchange.Verdict {
	t.Helper()
	_, v := call(t, g, operation(petAPI(), "token"), bearer(tok), "")
	return v
}

// fresh is a good token of now.
func fresh(k key, alg string) string { return k.token(alg, k.header(alg), claims(time.Now(), nil)) }

func want(t *testing.T, v exchange.Verdict, action exchange.Action, code string) {
	t.Helper()
	if v.Action != action || v.Code != code {
		t.Errorf("%s %q (%s), want %s %q", v.Action, v.Code, v.Reason, action, code)
	}
}

// Whatever is wrong with the issuer: nobody is let in, /readyz says why, and the
// request does not hang.
func TestIssuerBroken(t *testing.T) {
	other := rsaOther()
	for name, c := range map[string]struct {
		breaks func(i *issuer)
		says   string
	}{
		"down": {func(i *issuer) {
			i.broken = func(string) (*http.Response, error) { return nil, errors.New("connection refused") }
		}, "connection refused"},
		"slow":    {func(i *issuer) { i.delay = time.Minute }, "deadline"},
		"500":     {func(i *issuer) { i.broken = func(string) (*http.Response, error) { return reply(500, "{}"), nil } }, "status 500"},
		"rubbish": {func(i *issuer) { i.broken = func(string) (*http.Response, error) { return reply(200, "<html>"), nil } }, "parsing"},
		"empty":   {func(i *issuer) { i.broken = func(string) (*http.Response, error) { return reply(200, ""), nil } }, "parsing"},
		"a name twice": {func(i *issuer) {
			i.broken = func(string) (*http.Response, error) {
				return reply(200, `{"issuer":"`+issuerURL+`","issuer":"x"}`), nil
			}
		}, "duplicate_key"},
		"endless": {func(i *issuer) {
			i.broken = func(string) (*http.Response, error) {
				r := reply(200, "")
				r.Body = io.NopCloser(endless{})
				return r, nil
			}
		}, "larger than"},
		"another issuer":          {func(i *issuer) { i.name = "https://evil.test" }, "another issuer"},
		"issuer with two slashes": {func(i *issuer) { i.name = issuerURL + "//" }, "another issuer"},
		"issuer with a path":      {func(i *issuer) { i.name = issuerURL + "/a" }, "another issuer"},
		"no issuer":               {func(i *issuer) { i.name = "" }, "another issuer"},
		"keys by plain http":      {func(i *issuer) { i.jwksURI = "http://issuer.test/keys" }, "jwks_uri must be https"},
		"keys from a file":        {func(i *issuer) { i.jwksURI = "file:///etc/passwd" }, "jwks_uri must be https"},
		"keys with credentials":   {func(i *issuer) { i.jwksURI = "https://user:pw@issuer.test/keys" }, "jwks_uri must be https"},
		"no keys":                 {func(i *issuer) { i.keys = []any{} }, "no usable signing key"},
		"keys is no list":         {func(i *issuer) { i.broken = only("/keys", `{"keys":{}}`) }, "no array"},
		"only an encryption key":  {func(i *issuer) { i.keys = []any{rsaKey().with("use", "enc")} }, "no usable signing key"},
		"only another operation":  {func(i *issuer) { i.keys = []any{rsaKey().with("key_ops", []string{"encrypt"})} }, "no usable signing key"},
		"only a symmetric key": {func(i *issuer) {
			i.keys = []any{object{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"}}
		}, "no usable signing key"},
		"only a weak key": {func(i *issuer) {
			i.keys = []any{object{"kty": "RSA", "kid": "rsa", "e": "AQAB", "n": b64.EncodeToString(bytes.Repeat([]byte{0xc5}, 128))}}
		}, "no usable signing key"},
		"only a key off the curve": {func(i *issuer) { i.keys = []any{p256Key().with("x", b64.EncodeToString(make([]byte, 32)))} }, "no usable signing key"},
		"redirected to plain http": {func(i *issuer) {
			i.broken = func(string) (*http.Response, error) {
				r := reply(302, "")
				r.Header.Set("Location", "http://evil.test/")
				return r, nil
			}
		}, "neither https"},
		"redirected for ever": {func(i *issuer) {
			i.broken = func(string) (*http.Response, error) {
				r := reply(302, "")
				r.Header.Set("Location", issuerURL+"/again")
				return r, nil
			}
		}, "too many redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			iss := newIssuer(rsaKey(), other)
			c.breaks(iss)
			world(t, iss, func(t *testing.T, g *authn.Guard) {
				begin := time.Now()
				v := ruled(t, g, fresh(rsaKey(), "RS256"))
				if v.Action == exchange.Allow {
					t.Fatal("let in without a key")
				}
				if took := time.Since(begin); took > 2*time.Second {
					t.Errorf("the request waited %s", took)
				}
				time.Sleep(10 * time.Second)
				err := g.Ready()
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), issuerURL) {
					t.Errorf("Ready says %v, want %q", err, c.says)
				}
				// It is well again: so are the calls, without a restart.
				iss.set(func(i *issuer) {
					i.keys, i.name, i.jwksURI, i.broken, i.delay = []any{rsaKey().jwk()}, issuerURL, issuerURL+"/keys", nil, 0
				})
				time.Sleep(6 * time.Minute)
				want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
				if err := g.Ready(); err != nil {
					t.Errorf("Ready says %v when all is well", err)
				}
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// only answers one path with a body, and discovery as it should be.
func only(path, body string) func(string) (*http.Response, error) {
	return func(p string) (*http.Response, error) {
		if p == path {
			return reply(200, body), nil
		}
		return reply(200, `{"issuer":"`+issuerURL+`","jwks_uri":"`+issuerURL+path+`"}`), nil
	}
}

// The codes of a request that comes while there are no keys.
func TestNoKeysIsUnavailable(t *testing.T) {
	iss := newIssuer(rsaKey())
	iss.broken = func(string) (*http.Response, error) { return nil, errors.New("down") }
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		v := ruled(t, g, fresh(rsaKey(), "RS256"))
		want(t, v, exchange.Unable, "authn.unavailable")
		if v.Header["Retry-After"] == "" {
			t.Error("no Retry-After")
		}
	})
}

// The issuer goes down: what it last said holds for an hour, and no longer.
func TestLastGoodKeys(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		held := rsaKey().token("RS256", rsaKey().header("RS256"), claims(time.Now(), object{"exp": time.Now().Add(24 * time.Hour).Unix()}))
		want(t, ruled(t, g, held), exchange.Allow, "")
		iss.set(func(i *issuer) { i.broken = func(string) (*http.Response, error) { return nil, errors.New("down") } })
		time.Sleep(50 * time.Minute)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		want(t, ruled(t, g, held), exchange.Allow, "")
		time.Sleep(20 * time.Minute)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Unable, "authn.unavailable")
		want(t, ruled(t, g, held), exchange.Unable, "authn.unavailable") // a cached one too
		if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "older than") {
			t.Errorf("Ready says %v", err)
		}
	})
}

// Rotation: a new key is found as soon as a token names it, an old one is
// forgotten with the next refresh, cached tokens of it as well.
func TestRotation(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		old := rsaKey().token("RS256", rsaKey().header("RS256"), claims(time.Now(), object{"exp": time.Now().Add(time.Hour).Unix()}))
		want(t, ruled(t, g, old), exchange.Allow, "")
		time.Sleep(time.Minute)
		iss.set(func(i *issuer) { i.keys = append(i.keys, p256Key().jwk()) })
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Allow, "")
		want(t, ruled(t, g, old), exchange.Allow, "")
		iss.set(func(i *issuer) { i.keys = []any{p256Key().jwk()} })
		time.Sleep(7 * time.Minute)
		want(t, ruled(t, g, old), exchange.Deny, "authn.unknown_key")
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Allow, "")
		// The issuer withdraws all its keys.
		iss.set(func(i *issuer) { i.keys = []any{} })
		time.Sleep(7 * time.Minute)
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Deny, "authn.unknown_key")
	})
}

// A thousand tokens with unknown kids at once, and a thousand more: one fetch in
// ten seconds.
func TestThunderingHerd(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		time.Sleep(20 * time.Second)
		before := iss.fetches.Load()
		iss.set(func(i *issuer) { i.delay = 300 * time.Millisecond })
		tok := rsaOther().token("RS256", object{"alg": "RS256", "kid": "unknown"}, claims(time.Now(), nil))
		herd := func() {
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() { want(t, ruled(t, g, tok), exchange.Deny, "authn.unknown_key") })
			}
			wg.Wait()
		}
		herd()
		herd()
		if n := iss.fetches.Load() - before; n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		time.Sleep(11 * time.Second)
		herd()
		if n := iss.fetches.Load() - before; n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

// The first requests of all come before any key is there: one fetch serves them.
func TestColdStart(t *testing.T) {
	iss := newIssuer(rsaKey())
	iss.delay = 200 * time.Millisecond
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		if err := g.Ready(); err == nil {
			t.Error("ready before any key is there")
		}
		tok := fresh(rsaKey(), "RS256")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { want(t, ruled(t, g, tok), exchange.Allow, "") })
		}
		wg.Wait()
		if n := iss.fetches.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

// A cached token ends when it expires, by the clock that the guard is given.
func TestCacheEnds(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		tok := fresh(rsaKey(), "RS256") // five minutes
		want(t, ruled(t, g, tok), exchange.Allow, "")
		time.Sleep(5*time.Minute + 29*time.Second)
		want(t, ruled(t, g, tok), exchange.Allow, "") // the skew
		time.Sleep(time.Second)
		want(t, ruled(t, g, tok), exchange.Deny, "authn.expired")
	})
}

// A clock that is set back, or forward, is believed: tokens are good when it says so.
func TestClockJumps(t *testing.T) {
	var offset atomic.Int64 // the key refresher reads the clock as well
	iss := newIssuer(rsaKey())
	g, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(nil), Client: client(iss), Now: func() time.Time { return noon.Add(time.Duration(offset.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	want(t, ruled(t, g, tok), exchange.Allow, "")
	offset.Store(int64(-time.Hour))
	want(t, ruled(t, g, tok), exchange.Deny, "authn.not_yet_valid")
	offset.Store(int64(10 * time.Minute))
	want(t, ruled(t, g, tok), exchange.Deny, "authn.expired")
	offset.Store(int64(time.Minute))
	want(t, ruled(t, g, tok), exchange.Allow, "")
}

// Two APIs and a reload share one issuer's keys; the last to leave turns off the light.
func TestKeyStoreOutlivesReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		store := authn.NewKeyStore(client(iss), slog.New(slog.DiscardHandler), time.Now)
		build := func() *authn.Guard {
			g, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(nil), Keys: store})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		first := build()
		want(t, ruled(t, first, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		iss.set(func(i *issuer) { i.broken = func(string) (*http.Response, error) { return nil, errors.New("down") } })
		second := build() // reload while the issuer is down
		first.Close()
		want(t, ruled(t, second, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		if n := iss.fetches.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		second.Close()
		third := build() // nobody held the keys meanwhile
		want(t, ruled(t, third, fresh(rsaKey(), "RS256")), exchange.Unable, "authn.unavailable")
		third.Close()
		third.Close() // twice is harmless
	})
}

func TestStaticKeysAndSecret(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/keys.json", must(jsonText(object{"keys": []any{rsaKey().jwk(), edKey().jwk(), p384Key().jwk()}})))
	secret := strings.Repeat("s", 48)
	mac := func(alg string, payload object) string {
		input := encode(object{"alg": alg}) + "." + encode(payload)
		return input + "." + b64.EncodeToString(hs(hashes[alg], []byte(secret), input))
	}
	file := jwtConfig(func(j *config.JWTMethod) {
		j.JWKS, j.Algorithms = dir+"/keys.json", []string{"RS256", "RS512", "PS384", "ES384", "EdDSA"}
	})
	own := jwtConfig(func(j *config.JWTMethod) {
		*j = config.JWTMethod{Secret: config.NewSecret(secret), Algorithms: []string{"HS256", "HS384"}}
	})
	for name, c := range map[string]struct {
		config config.Authn
		token  string
		code   string
	}{
		"RS256":                {file, rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil)), ""},
		"RS512":                {file, rsaKey().token("RS512", rsaKey().header("RS512"), claims(noon, nil)), ""},
		"PS384":                {file, rsaKey().token("PS384", rsaKey().header("PS384"), claims(noon, nil)), ""},
		"ES384":                {file, p384Key().token("ES384", p384Key().header("ES384"), claims(noon, nil)), ""},
		"EdDSA":                {file, edKey().token("EdDSA", edKey().header("EdDSA"), claims(noon, nil)), ""},
		"no kid":               {file, edKey().token("EdDSA", object{"alg": "EdDSA"}, claims(noon, nil)), ""},
		"unknown kid":          {file, edKey().token("EdDSA", object{"alg": "EdDSA", "kid": "x"}, claims(noon, nil)), "authn.unknown_key"},
		"ES256 not allowed":    {file, p256Key().token("ES256", p256Key().header("ES256"), claims(noon, nil)), "authn.algorithm"},
		"HS256":                {own, mac("HS256", claims(noon, nil)), ""},
		"HS384":                {own, mac("HS384", claims(noon, nil)), ""},
		"HS256, no iss or aud": {own, mac("HS256", claims(noon, object{"iss": nil, "aud": nil})), ""},
		"HS256, no exp":        {own, mac("HS256", claims(noon, object{"exp": nil})), "authn.expired"},
		"HS512 not allowed":    {own, mac("HS512", claims(noon, nil)), "authn.algorithm"},
		"RS256 with a secret":  {own, rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil)), "authn.algorithm"},
		"HS256, wrong secret":  {own, mac("HS256", claims(noon, nil))[:len(mac("HS256", claims(noon, nil)))-6] + "AAAAAA", "authn.signature"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := ruled(t, start(t, petAPI(), c.config, nil), c.token); v.Code != c.code {
				t.Errorf("%q (%s), want %q", v.Code, v.Reason, c.code)
			}
		})
	}
}

// What was verified before a reload need not be verified anew after it, as long as
// nothing changed by which it was.
func TestVerifiedTokensOutliveReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		store := authn.NewKeyStore(client(iss), slog.New(slog.DiscardHandler), time.Now)
		build := func(conf config.Authn) *authn.Guard {
			g, err := authn.New(authn.Options{Name: "pets", API: petAPI(), Config: conf, Keys: store})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		tok := fresh(rsaKey(), "RS256")
		// A token that is remembered has the same map of claims again, one that is
		// verified anew another.
		who := func(g *authn.Guard) (claims string, memo *exchange.Memo, credential string) {
			x, v := call(t, g, operation(petAPI(), "token"), bearer(tok), "")
			want(t, v, exchange.Allow, "")
			return fmt.Sprintf("%p", x.Identity.Claims), x.Identity.Memo, x.Identity.Credential
		}
		first := build(jwtConfig(nil))
		claims1, memo1, credential1 := who(first)
		if again, memo, _ := who(first); again != claims1 || memo != memo1 {
			t.Fatal("a repeated token was verified anew")
		}
		second := build(jwtConfig(nil)) // a reload that changes nothing here
		first.Close()
		claims2, memo2, credential2 := who(second)
		if claims2 != claims1 {
			t.Error("a reload forgot a verified token")
		}
		if memo2 == memo1 {
			t.Error("what guards of the last config computed was kept")
		}
		if credential2 != credential1 {
			t.Error("a reload changed the credential's name")
		}
		if again, memo, _ := who(second); again != claims1 || memo != memo2 {
			t.Error("a token that was taken over is verified anew")
		}
		// Another config verifies anew, whatever is changed.
		third := build(jwtConfig(func(j *config.JWTMethod) { j.Audience = append(j.Audience, "https://other.test") }))
		second.Close()
		if claims3, _, _ := who(third); claims3 == claims1 {
			t.Error("another audience, and the token was not verified anew")
		}
		narrow := build(jwtConfig(func(j *config.JWTMethod) { j.Audience = []string{"https://other.test"} }))
		third.Close()
		want(t, ruled(t, narrow, tok), exchange.Deny, "authn.audience")
		// Keys that are withdrawn, and expiry, hold for what was taken over.
		fourth := build(jwtConfig(nil))
		narrow.Close()
		want(t, ruled(t, fourth, tok), exchange.Allow, "")
		fifth := build(jwtConfig(nil))
		fourth.Close()
		iss.set(func(i *issuer) { i.keys = []any{rsaOther().jwk()} })
		time.Sleep(7 * time.Minute)
		if _, v := call(t, fifth, operation(petAPI(), "token"), bearer(tok), ""); v.Action == exchange.Allow {
			t.Error("a token of a withdrawn key was let in")
		}
		fifth.Close()
	})
}

// Secrets and key files are part of what was believed.
func TestVerifiedTokensForgottenWithTheirKeys(t *testing.T) {
	store := authn.NewKeyStore(nil, slog.New(slog.DiscardHandler), time.Now)
	build := func(j config.JWTMethod) *authn.Guard {
		j.Issuer, j.Audience = issuerURL, []string{audience}
		g, err := authn.New(authn.Options{Name: "pets", API: petAPI(), Keys: store, Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &j}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		return g
	}
	secret := strings.Repeat("s", 32)
	input := encode(object{"alg": "HS256"}) + "." + encode(claims(time.Now(), nil))
	tok := input + "." + b64.EncodeToString(hs(hashes["HS256"], []byte(secret), input))
	want(t, ruled(t, build(config.JWTMethod{Secret: config.NewSecret(secret)}), tok), exchange.Allow, "")
	want(t, ruled(t, build(config.JWTMethod{Secret: config.NewSecret(secret + "x")}), tok), exchange.Deny, "authn.signature")

	set := t.TempDir() + "/keys.json"
	write(t, set, must(jsonText(object{"keys": []any{rsaKey().jwk()}})))
	tok = fresh(rsaKey(), "RS256")
	want(t, ruled(t, build(config.JWTMethod{JWKS: set}), tok), exchange.Allow, "")
	write(t, set, must(jsonText(object{"keys": []any{rsaOther().jwk()}})))
	want(t, ruled(t, build(config.JWTMethod{JWKS: set}), tok), exchange.Deny, "authn.signature")
}
