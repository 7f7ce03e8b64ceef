package authn_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// No text but the very tokens that were signed is ever believed, and none makes
// the guard panic.
func FuzzToken(f *testing.F) {
	dir := f.TempDir()
	write(f, dir+"/keys.json", must(jsonText(object{"keys": []any{rsaKey().jwk(), edKey().jwk()}})))
	api := petAPI()
	g := start(f, api, jwtConfig(func(j *config.JWTMethod) { j.JWKS = dir + "/keys.json" }), nil)
	signed := map[string]bool{}
	for _, tok := range []string{
		rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil)),
		edKey().token("EdDSA", edKey().header("EdDSA"), claims(noon, object{"roles": []string{"a", "b"}, "realm_access": object{"roles": []string{"c"}}})),
	} {
		signed[tok] = true
		parts := strings.Split(tok, ".")
		f.Add(tok)
		f.Add(parts[0] + "." + parts[1] + ".")
		f.Add(encode(`{"alg":"none"}`) + "." + parts[1] + ".")
		f.Add(encode(`{"alg":"RS256","alg":"none"}`) + "." + parts[1] + "." + parts[2])
		f.Add(parts[0] + "." + encode(`{"sub":"admin","exp":1e400,"aud":[[]],"iss":"`+issuerURL+`"}`) + "." + parts[2])
		f.Add(tok + "." + parts[0] + "." + parts[1])
	}
	f.Add("...")
	f.Add("e30.e30.")
	op := operation(api, "token")
	rule := g.Step().Rule
	f.Fuzz(func(t *testing.T, text string) {
		x := &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Header: http.Header{"Authorization": {"Bearer " + text}}}}
		v := rule(context.Background(), x)
		if allowed := v.Action == exchange.Allow; allowed != signed[strings.TrimLeft(text, " ")] {
			t.Fatalf("allowed %v: %q\n%+v", allowed, text, v)
		}
		if v.Action != exchange.Allow && (!x.Identity.Anonymous() || v.Code == "") {
			t.Fatalf("refused with identity %+v and code %q", x.Identity, v.Code)
		}
	})
}

// BenchmarkTokenCached is a token that was verified before: at most 2 µs.
func BenchmarkTokenCached(b *testing.B) {
	g := benchGuard(b, 0)
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, object{"fill": strings.Repeat("x", 300)}))
	h := bearer(tok)
	op := operation(petAPI(), "token")
	rule := g.Step().Rule
	ctx := context.Background()
	b.SetBytes(int64(len(tok)))
	b.ReportAllocs()
	x := &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Header: h}}
	for b.Loop() {
		x.Identity = exchange.Identity{}
		if v := rule(ctx, x); v.Action != exchange.Allow {
			b.Fatal(v)
		}
	}
}

// BenchmarkTokenCold is a token seen for the first time, by algorithm.
func BenchmarkTokenCold(b *testing.B) {
	for alg, k := range map[string]key{"RS256": rsaKey(), "PS256": rsaKey(), "ES256": p256Key(), "EdDSA": edKey()} {
		b.Run(alg, func(b *testing.B) {
			// More tokens than the cache holds, so that each is new when its turn comes again.
			const most = 512
			g := benchGuard(b, 64)
			var headers [most]http.Header
			for i := range headers {
				headers[i] = bearer(k.token(alg, k.header(alg), claims(noon, object{"n": i})))
			}
			op := operation(petAPI(), "token")
			rule := g.Step().Rule
			ctx := context.Background()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x := &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Header: headers[i%most]}}
				if v := rule(ctx, x); v.Action != exchange.Allow {
					b.Fatal(v)
				}
				i++
			}
		})
	}
}

func benchGuard(b *testing.B, cache int) *authn.Guard {
	b.Helper()
	dir := b.TempDir()
	write(b, dir+"/keys.json", must(jsonText(object{"keys": []any{rsaKey().jwk(), p256Key().jwk(), edKey().jwk()}})))
	g, err := authn.New(authn.Options{API: petAPI(), CacheSize: cache, Now: func() time.Time { return noon },
		Config: jwtConfig(func(j *config.JWTMethod) { j.JWKS = dir + "/keys.json" })})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	return g
}

// Whatever an authorization server answers: only a plain yes lets anyone in, and
// nothing makes the guard panic.
func FuzzIntrospection(f *testing.F) {
	for _, s := range []string{
		`{"active":true,"sub":"alice","aud":"` + audience + `"}`, `{"active":false}`, `{"active":"true","sub":"a"}`, `{"active":true,"active":false}`,
		`{"active":true,"sub":"alice","aud":["` + audience + `"],"exp":1e400,"cnf":{"jkt":"x"}}`, `[]`, ``, `{"active":true,"token_type":"refresh_token"}`,
	} {
		f.Add(s)
	}
	api := petAPI()
	op := operation(api, "token")
	f.Fuzz(func(t *testing.T, answer string) {
		s := newServer()
		s.about = func(string) any { return answer }
		g, err := authn.New(authn.Options{API: api, Config: askConfig(nil), Now: func() time.Time { return noon }, Client: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		x, v := call(t, g, op, bearer("opaque"), "")
		if v.Action != exchange.Allow {
			if !x.Identity.Anonymous() || v.Code == "" {
				t.Fatalf("refused with identity %+v and code %q", x.Identity, v.Code)
			}
			return
		}
		var plain struct {
			Active any    `json:"active"`
			Sub    string `json:"sub"`
		}
		if err := json.Unmarshal([]byte(answer), &plain); err != nil || plain.Active != true || x.Identity.Subject == "" {
			t.Fatalf("%q let %+v in (%v)", answer, x.Identity, err)
		}
	})
}

// Whatever an issuer publishes: no text makes the guard panic, and none makes it
// believe a token that the issuer's key did not sign.
func FuzzIssuer(f *testing.F) {
	good := must(jsonText(object{"keys": []any{rsaKey().jwk()}}))
	document := must(jsonText(object{"issuer": issuerURL, "jwks_uri": issuerURL + "/keys"}))
	f.Add(document, good)
	f.Add(`{"issuer":"`+issuerURL+`/","jwks_uri":"`+issuerURL+`/keys"}`, `{"keys":[{"kty":"oct","k":"AAAA","kid":"rsa"}]}`)
	f.Add(`{"issuer":"`+issuerURL+`","jwks_uri":"http://evil.test"}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`)
	f.Add(document, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":""}]}`)
	api := petAPI()
	op := operation(api, "token")
	forged := rsaOther().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	f.Fuzz(func(t *testing.T, document, keys string) {
		pages := roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/keys") {
				return reply(200, keys), nil
			}
			return reply(200, document), nil
		})
		g, err := authn.New(authn.Options{API: api, Config: jwtConfig(nil), Now: func() time.Time { return noon }, Client: &http.Client{Transport: pages}})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if _, v := call(t, g, op, bearer(forged), ""); v.Action == exchange.Allow {
			t.Fatalf("let in by %q and %q", document, keys)
		}
	})
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
