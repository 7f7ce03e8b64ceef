package authn_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// jkt is the thumbprint of a key as RFC 7638 has it, written out by hand.
func (k key) jkt() string {
	j := k.jwk()
	var text string
	switch j["kty"] {
	case "EC":
		text = `{"crv":"` + j["crv"].(string) + `","kty":"EC","x":"` + j["x"].(string) + `","y":"` + j["y"].(string) + `"}`
	case "RSA":
		text = `{"e":"` + j["e"].(string) + `","kty":"RSA","n":"` + j["n"].(string) + `"}`
	case "OKP":
		text = `{"crv":"Ed25519","kty":"OKP","x":"` + j["x"].(string) + `"}`
	}
	sum := sha256.Sum256([]byte(text))
	return b64.EncodeToString(sum[:])
}

// startWith makes a guard with a state of its own, or the one that is given.
func startWith(t testing.TB, o authn.Options) *authn.Guard {
	t.Helper()
	if o.API == nil {
		o.API = petAPI()
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	if o.State == nil {
		m := state.NewMemory(o.Now)
		t.Cleanup(func() { _ = m.Close() })
		o.State = m
	}
	o.Log = slog.New(slog.DiscardHandler)
	o.Client = client(newIssuer(rsaKey()))
	g, err := authn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// proofOf makes a proof for GET https://api.test/pets/1 and a token; changes as in claims.
func (k key) proofOf(alg, token string, header, change object) string {
	sum := sha256.Sum256([]byte(token))
	h := object{"typ": "dpop+jwt", "alg": alg, "jwk": k.publicOnly()}
	c := object{"jti": "proof-1", "htm": "GET", "htu": "https://api.test/pets/1", "iat": noon.Unix(), "ath": b64.EncodeToString(sum[:])}
	for _, m := range []struct{ into, from object }{{h, header}, {c, change}} {
		for name, v := range m.from {
			if v == nil {
				delete(m.into, name)
			} else {
				m.into[name] = v
			}
		}
	}
	return k.token(alg, h, c)
}

func (k key) publicOnly() object {
	j := k.jwk()
	delete(j, "kid")
	delete(j, "use")
	return j
}

// get is the call that proofOf makes proofs for.
func get(op *spec.Operation, header http.Header) *exchange.Exchange {
	return &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Scheme: "https", Host: "api.test", Authority: "api.test",
		Target: "/pets/1", Relative: "/pets/1", Path: "/pets/1", RawPath: "/pets/1", Header: header}}
}

func withProof(token string, proofs ...string) http.Header {
	return http.Header{"Authorization": {"DPoP " + token}, "Dpop": proofs}
}

func boundTo(k key) string {
	return rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, object{"cnf": object{"jkt": k.jkt()}}))
}

// What an attacker, or a careless client, could send in place of a proof.
func TestProofAttacks(t *testing.T) {
	p, e, r, other := p256Key(), edKey(), rsaOther(), p384Key()
	bound := boundTo(p)
	bearerToken := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	honest := func(change object) string { return p.proofOf("ES256", bound, nil, change) }
	head := func(change object) string { return p.proofOf("ES256", bound, change, nil) }
	one := func(proof string) http.Header { return withProof(bound, proof) }
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	parts := strings.Split(honest(nil), ".")
	secret := []byte("a-shared-secret-of-32-bytes-or-more")
	hmacInput := encode(object{"typ": "dpop+jwt", "alg": "HS256", "jwk": object{"kty": "oct", "k": b64.EncodeToString(secret)}}) + "." + parts[1]
	withPrivate := func(name string) http.Header {
		return one(head(object{"jwk": p.with(name, "AAAA")}))
	}
	weak := object{"kty": "RSA", "e": "AQAB", "n": "3D9c7JT1xh7ZcyBEg4Hd4mDg0Jp1rR1yzu8yrN5Hh6FqLW0hQTKyq4n5JnRhmDDNWCnkE9ZVpLxVJ4qRK0DgH2Vn1hQ3cCrEZl8Ww8c5JgC8J1Yx1GJ8JJZ0G0yQyPDk5UZ6bN7rGg3XoGq0l5F1zZ0U0xU6P0aLw9Fz2rZ8e0"}
	attacks := []struct {
		name   string
		header http.Header
		code   string
	}{
		// The token without the proof, or with too many.
		{"a bound token as a bearer token", bearer(bound), "authn.binding"},
		{"a bound token as a bearer token, with its proof", http.Header{"Authorization": {"Bearer " + bound}, "Dpop": {honest(nil)}}, "authn.binding"},
		{"no proof", http.Header{"Authorization": {"DPoP " + bound}}, "authn.proof"},
		{"an empty proof", one(""), "authn.proof"},
		{"two proofs", withProof(bound, honest(nil), honest(object{"jti": "2"})), "authn.proof"},
		{"the same proof twice", withProof(bound, honest(nil), honest(nil)), "authn.proof"},
		{"two proofs joined by a comma", one(honest(nil) + ", " + honest(object{"jti": "2"})), "authn.proof"},
		{"a token that is bound to nothing, by DPoP", withProof(bearerToken, p.proofOf("ES256", bearerToken, nil, nil)), "authn.binding"},
		{"no token", http.Header{"Authorization": {"DPoP"}, "Dpop": {honest(nil)}}, "authn.malformed"},
		{"an API key by DPoP", withProof("crk_aaaaaaaa_"+strings.Repeat("a", 52), honest(nil)), "authn.malformed"},
		{"a scheme that only begins so", http.Header{"Authorization": {"DPoPx " + bound}, "Dpop": {honest(nil)}}, "authn.missing"},
		// Whose proof?
		{"another key", one(e.proofOf("EdDSA", bound, nil, nil)), "authn.proof"},
		{"another key of the same kind", one(key{"x", other.private}.proofOf("ES384", bound, nil, nil)), "authn.proof"},
		{"the token's key shown, another's signature", one(e.proofOf("ES256", bound, object{"jwk": p.publicOnly(), "alg": "ES256"}, nil)[:len(parts[0])] + "." + parts[1] + "." + b64.EncodeToString(make([]byte, 64))), "authn.proof"},
		{"signature of zeros", one(parts[0] + "." + parts[1] + "." + b64.EncodeToString(make([]byte, 64))), "authn.proof"},
		{"signature cut", one(parts[0] + "." + parts[1] + "." + parts[2][:40]), "authn.proof"},
		{"signature empty", one(parts[0] + "." + parts[1] + "."), "authn.proof"},
		{"signature as DER's length", one(parts[0] + "." + parts[1] + "." + b64.EncodeToString(make([]byte, 72))), "authn.proof"},
		{"no key shown", one(head(object{"jwk": nil})), "authn.proof"},
		{"the key as text", one(head(object{"jwk": "key"})), "authn.proof"},
		{"a key by address", one(head(object{"jwk": nil, "jku": "https://evil.test/keys"})), "authn.proof"},
		{"a key by kid", one(head(object{"jwk": nil, "kid": "rsa"})), "authn.proof"},
		{"a certificate instead of a key", one(head(object{"jwk": nil, "x5c": []string{"MIIB"}})), "authn.proof"},
		{"private key: d", withPrivate("d"), "authn.proof"},
		{"private key: p", withPrivate("p"), "authn.proof"},
		{"private key: q", withPrivate("q"), "authn.proof"},
		{"private key: dp", withPrivate("dp"), "authn.proof"},
		{"private key: dq", withPrivate("dq"), "authn.proof"},
		{"private key: qi", withPrivate("qi"), "authn.proof"},
		{"private key: oth", withPrivate("oth"), "authn.proof"},
		{"a secret: k", withPrivate("k"), "authn.proof"},
		{"a secret as the key", one(hmacInput + "." + b64.EncodeToString(hs(hashes["HS256"], secret, hmacInput))), "authn.proof"},
		{"a weak RSA key", one(r.proofOf("RS256", bound, object{"jwk": weak}, nil)), "authn.proof"},
		{"a key kept for another algorithm", one(head(object{"jwk": p.with("alg", "ES384")})), "authn.proof"},
		{"a key for encryption", one(head(object{"jwk": p.with("use", "enc")})), "authn.proof"},
		// How is it signed?
		{"alg none", one(encode(object{"typ": "dpop+jwt", "alg": "none", "jwk": p.publicOnly()}) + "." + parts[1] + "."), "authn.proof"},
		{"alg None and a signature", one(head(object{"alg": "None"})), "authn.proof"},
		{"alg in lower case", one(head(object{"alg": "es256"})), "authn.proof"},
		{"alg of another family", one(head(object{"alg": "RS256"})), "authn.proof"},
		{"alg of another curve", one(head(object{"alg": "ES384"})), "authn.proof"},
		{"alg missing", one(head(object{"alg": nil})), "authn.proof"},
		// What is it?
		{"typ JWT", one(head(object{"typ": "JWT"})), "authn.proof"},
		{"typ missing", one(head(object{"typ": nil})), "authn.proof"},
		{"typ in capitals", one(head(object{"typ": "DPOP+JWT"})), "authn.proof"},
		{"typ with a space", one(head(object{"typ": "dpop+jwt "})), "authn.proof"},
		{"typ of a media type", one(head(object{"typ": "application/dpop+jwt"})), "authn.proof"},
		{"crit", one(head(object{"crit": []string{"b64"}, "b64": false})), "authn.proof"},
		{"compressed", one(head(object{"zip": "DEF"})), "authn.proof"},
		{"nested", one(head(object{"cty": "JWT"})), "authn.proof"},
		{"the token as its own proof", one(bound), "authn.proof"},
		{"of two parts", one(parts[0] + "." + parts[1]), "authn.proof"},
		{"of five parts", one(honest(nil) + ".a.b"), "authn.proof"},
		{"with a space in front", one(" " + honest(nil)), "authn.proof"},
		{"padded", one(parts[0] + "=." + parts[1] + "." + parts[2]), "authn.proof"},
		{"a line break inside", one(parts[0] + "\n." + parts[1] + "." + parts[2]), "authn.proof"},
		{"a name twice in the claims", one(p.token("ES256", object{"typ": "dpop+jwt", "alg": "ES256", "jwk": p.publicOnly()}, `{"htm":"POST","htm":"GET"}`)), "authn.proof"},
		{"oversize", one(honest(object{"pad": strings.Repeat("x", 9000)})), "authn.proof"},
		{"nested deeply", one(p.token("ES256", object{"typ": "dpop+jwt", "alg": "ES256", "jwk": p.publicOnly()}, `{"a":`+strings.Repeat("[", 50)+strings.Repeat("]", 50)+`}`)), "authn.proof"},
		// For what?
		{"another method", one(honest(object{"htm": "POST"})), "authn.proof"},
		{"the method in lower case", one(honest(object{"htm": "get"})), "authn.proof"},
		{"the method with a space", one(honest(object{"htm": "GET "})), "authn.proof"},
		{"no method", one(honest(object{"htm": nil})), "authn.proof"},
		{"the method as a list", one(honest(object{"htm": []string{"GET"}})), "authn.proof"},
		{"another path", one(honest(object{"htu": "https://api.test/pets/2"})), "authn.proof"},
		{"a path that begins alike", one(honest(object{"htu": "https://api.test/pets"})), "authn.proof"},
		{"the path in capitals", one(honest(object{"htu": "https://api.test/PETS/1"})), "authn.proof"},
		{"a slash at the end", one(honest(object{"htu": "https://api.test/pets/1/"})), "authn.proof"},
		{"an encoded slash", one(honest(object{"htu": "https://api.test/pets%2F1"})), "authn.proof"},
		{"another host", one(honest(object{"htu": "https://evil.test/pets/1"})), "authn.proof"},
		{"another port", one(honest(object{"htu": "https://api.test:8443/pets/1"})), "authn.proof"},
		{"http", one(honest(object{"htu": "http://api.test/pets/1"})), "authn.proof"},
		{"a host behind user information", one(honest(object{"htu": "https://api.test@evil.test/pets/1"})), "authn.proof"},
		{"user information", one(honest(object{"htu": "https://alice@api.test/pets/1"})), "authn.proof"},
		{"a path alone", one(honest(object{"htu": "/pets/1"})), "authn.proof"},
		{"no address", one(honest(object{"htu": nil})), "authn.proof"},
		{"an empty address", one(honest(object{"htu": ""})), "authn.proof"},
		{"another token", one(honest(object{"ath": b64.EncodeToString(make([]byte, 32))})), "authn.proof"},
		{"no token named", one(honest(object{"ath": nil})), "authn.proof"},
		{"the token named in hex", one(honest(object{"ath": strings.Repeat("0", 64)})), "authn.proof"},
		// When?
		{"just too old", one(honest(object{"iat": unix(-90 * time.Second)})), "authn.proof"},
		{"from the future", one(honest(object{"iat": unix(31 * time.Second)})), "authn.proof"},
		{"from the far future", one(honest(object{"iat": 99999999999999})), "authn.proof"},
		{"iat missing", one(honest(object{"iat": nil})), "authn.proof"},
		{"iat a text", one(honest(object{"iat": "now"})), "authn.proof"},
		{"iat negative", one(honest(object{"iat": -1})), "authn.proof"},
		{"iat in milliseconds", one(honest(object{"iat": noon.UnixMilli()})), "authn.proof"},
		{"expired by its own exp", one(honest(object{"exp": unix(-time.Minute)})), "authn.proof"},
		{"not yet by its own nbf", one(honest(object{"nbf": unix(time.Minute)})), "authn.proof"},
		{"jti missing", one(honest(object{"jti": nil})), "authn.proof"},
		{"jti empty", one(honest(object{"jti": ""})), "authn.proof"},
		{"jti a number", one(honest(object{"jti": 7})), "authn.proof"},
		{"jti huge", one(honest(object{"jti": strings.Repeat("j", 600)})), "authn.proof"},
	}
	api := petAPI()
	g := startWith(t, authn.Options{API: api, Config: jwtConfig(nil)})
	op := operation(api, "token")
	seen := map[string]bool{}
	for _, a := range attacks {
		if seen[a.name] {
			t.Fatalf("two attacks are called %q", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			x := get(op, a.header)
			v := g.Step().Rule(t.Context(), x)
			if v.Action != exchange.Deny || v.Code != a.code {
				t.Fatalf("%s %q (%s), want deny %q", v.Action, v.Code, v.Reason, a.code)
			}
			if !x.Identity.Anonymous() {
				t.Errorf("identity %+v is left behind", x.Identity)
			}
			www := v.Header["WWW-Authenticate"]
			switch a.code {
			case "authn.proof":
				if !strings.Contains(www, `DPoP realm="Pets R us", algs="ES256 `) || !strings.Contains(www, `error="invalid_dpop_proof"`) {
					t.Errorf("challenge %s", www)
				}
			case "authn.binding":
				if !strings.Contains(www, `DPoP realm="Pets R us"`) || !strings.Contains(www, `error="invalid_token"`) {
					t.Errorf("challenge %s", www)
				}
			}
		})
	}
	t.Logf("%d attacks refused", len(attacks))
	// None of them has used up the honest proof, and that is good once.
	if v := g.Step().Rule(t.Context(), get(op, one(honest(nil)))); v.Action != exchange.Allow {
		t.Fatalf("the honest proof is refused: %+v", v)
	}
	if v := g.Step().Rule(t.Context(), get(op, one(honest(nil)))); v.Code != "authn.replay" || !strings.Contains(v.Header["WWW-Authenticate"], `error="invalid_dpop_proof"`) {
		t.Fatalf("replayed: %+v", v)
	}
}

// Honest proofs in all the ways in which clients write them.
func TestProofsThatHold(t *testing.T) {
	api := petAPI()
	g := startWith(t, authn.Options{API: api, Config: jwtConfig(nil)})
	op := operation(api, "token")
	for alg, k := range map[string]key{"ES256": p256Key(), "ES384": p384Key(), "EdDSA": edKey(), "PS256": rsaOther(), "RS256": rsaOther()} {
		for name, change := range map[string]object{
			"as it is":         nil,
			"the default port": {"htu": "https://api.test:443/pets/1"},
			"capitals":         {"htu": "HTTPS://API.Test/pets/1"},
			"with a query":     {"htu": "https://api.test/pets/1?a=b#c"},
			"encoded for none": {"htu": "https://api.test/pe%74s/1"},
			"dot segments":     {"htu": "https://api.test/x/../pets/./1"},
			"a fraction":       {"iat": float64(noon.Unix()) + 0.5},
			"just not too old": {"iat": noon.Add(-89 * time.Second).Unix()},
			"a fast clock":     {"iat": noon.Add(30 * time.Second).Unix()},
			"an unasked nonce": {"nonce": "of another server"},
		} {
			t.Run(alg+", "+name, func(t *testing.T) {
				bound := boundTo(k)
				c := object{"jti": alg + name}
				for n, v := range change {
					c[n] = v
				}
				x := get(op, http.Header{"Authorization": {"dpop  " + bound}, "Dpop": {k.proofOf(alg, bound, nil, c)}})
				if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Allow || x.Identity.Subject != "alice" {
					t.Errorf("%+v, %+v", v, x.Identity)
				}
				if len(x.Request.Credentials) != 2 || x.Request.Credentials[1].Name != "Dpop" {
					t.Errorf("credentials at %+v", x.Request.Credentials)
				}
			})
		}
	}
}

// The address is the one that the client sees.
func TestProofAddress(t *testing.T) {
	k := p256Key()
	bound := boundTo(k)
	api := petAPI()
	op := operation(api, "token")
	for name, c := range map[string]struct {
		public string
		change func(r *exchange.Request)
		htu    string
		bad    string
	}{
		"plain http":        {change: func(r *exchange.Request) { r.Scheme = "http" }, htu: "http://api.test/pets/1", bad: "https://api.test/pets/1"},
		"a port":            {change: func(r *exchange.Request) { r.Authority = "api.test:8443" }, htu: "https://api.test:8443/pets/1", bad: "https://api.test/pets/1"},
		"a query":           {change: func(r *exchange.Request) { r.Target += "?x=1" }, htu: "https://api.test/pets/1", bad: "https://api.test/pets/1%3Fx=1"},
		"behind a prefix":   {change: func(r *exchange.Request) { r.Target = "/shop" + r.Target }, htu: "https://api.test/shop/pets/1", bad: "https://api.test/pets/1"},
		"a base path":       {change: func(r *exchange.Request) { r.Target, r.Path = "/v1/pets/1", "/v1/pets/1" }, htu: "https://api.test/v1/pets/1", bad: "https://api.test/pets/1"},
		"public_url":        {public: "https://public.example/api", htu: "https://public.example/api/pets/1", bad: "https://api.test/pets/1"},
		"public_url, slash": {public: "https://public.example/", htu: "https://public.example/pets/1", bad: "https://public.example//pets/1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startWith(t, authn.Options{API: api, Config: jwtConfig(nil), PublicURL: c.public})
			for htu, code := range map[string]string{c.htu: "", c.bad: "authn.proof"} {
				x := get(op, withProof(bound, k.proofOf("ES256", bound, nil, object{"htu": htu})))
				if c.change != nil {
					c.change(&x.Request)
				}
				if v := g.Step().Rule(t.Context(), x); v.Code != code {
					t.Errorf("%s: %q (%s), want %q", htu, v.Code, v.Reason, code)
				}
			}
		})
	}
}

// Gateways share what was used, and where that cannot be known nobody is let in.
func TestProofIsUsedOnceOnAllGateways(t *testing.T) {
	k := edKey()
	bound := boundTo(k)
	api := petAPI()
	op := operation(api, "token")
	shared := state.NewMemory(func() time.Time { return noon })
	a := startWith(t, authn.Options{API: api, Config: jwtConfig(nil), State: shared})
	b := startWith(t, authn.Options{API: api, Config: jwtConfig(nil), State: shared})
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	proof := k.proofOf("EdDSA", bound, nil, nil)
	for i := range 40 {
		wg.Go(func() {
			g := a
			if i%2 == 1 {
				g = b
			}
			v := g.Step().Rule(context.Background(), get(op, withProof(bound, proof)))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case v.Action == exchange.Allow:
				allowed++
			case v.Code != "authn.replay":
				t.Errorf("%+v", v)
			}
		})
	}
	wg.Wait()
	if allowed != 1 {
		t.Errorf("one proof was taken %d times", allowed)
	}
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	v := a.Step().Rule(t.Context(), get(op, withProof(bound, k.proofOf("EdDSA", bound, nil, object{"jti": "new"}))))
	if v.Action != exchange.Unable || v.Code != "authn.unavailable" {
		t.Errorf("with the state gone: %+v", v)
	}
	full := startWith(t, authn.Options{API: api, Config: jwtConfig(nil), State: failing{state.ErrFull}})
	v = full.Step().Rule(t.Context(), get(op, withProof(bound, proof)))
	if v.Action != exchange.Unable || v.Code != "authn.unavailable" {
		t.Errorf("with the state full: %+v", v)
	}
}

// failing is a state that cannot be asked.
type failing struct{ err error }

func (f failing) First(context.Context, string, time.Duration) (bool, error) { return false, f.err }
func (f failing) Put(context.Context, string, string, []byte, time.Time) error {
	return f.err
}
func (f failing) PutIf(context.Context, string, string, []byte, []byte, time.Time) (bool, error) {
	return false, f.err
}
func (f failing) Drop(context.Context, string, string) error { return f.err }
func (f failing) View(context.Context, string) (state.View, error) {
	m := state.NewMemory(nil)
	defer func() { _ = m.Close() }()
	return m.View(context.Background(), "empty")
}
func (f failing) Ready() error { return f.err }
func (f failing) Close() error { return nil }

func TestProofNonceAndDemand(t *testing.T) {
	k := p256Key()
	api := petAPI()
	op := operation(api, "token")
	g := startWith(t, authn.Options{API: api, Config: jwtConfig(func(j *config.JWTMethod) {
		j.DPoP = &config.DPoP{Required: true, Nonce: "required", Algorithms: []string{"ES256"}}
	})})
	bound := boundTo(k)
	plain := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	x := get(op, bearer(plain))
	v := g.Step().Rule(t.Context(), x)
	if v.Code != "authn.binding" {
		t.Errorf("a bearer token where a bound one is demanded: %+v", v)
	}
	v = g.Step().Rule(t.Context(), get(op, http.Header{}))
	if want := `DPoP realm="Pets R us", algs="ES256"`; v.Code != "authn.missing" || v.Header["WWW-Authenticate"] != want {
		t.Errorf("nothing sent: %+v, want %s", v, want)
	}
	v = g.Step().Rule(t.Context(), get(op, withProof(bound, k.proofOf("ES256", bound, nil, nil))))
	nonce := v.Header["Dpop-Nonce"]
	if want := `DPoP realm="Pets R us", algs="ES256", error="use_dpop_nonce", error_description="The DPoP proof needs the nonce of this answer"`; v.Code != "authn.proof_nonce" || v.Header["WWW-Authenticate"] != want || nonce == "" {
		t.Fatalf("without a nonce: %+v, want %s", v, want)
	}
	x = get(op, withProof(bound, k.proofOf("ES256", bound, nil, object{"nonce": nonce})))
	if v = g.Step().Rule(t.Context(), x); v.Action != exchange.Allow {
		t.Errorf("with the nonce: %+v", v)
	}
	v = g.Step().Rule(t.Context(), get(op, withProof(bound, k.proofOf("ES256", bound, nil, object{"nonce": nonce}))))
	if v.Code != "authn.replay" {
		t.Errorf("the same proof again: %+v", v)
	}
}

// What a token is bound to is demanded, and nothing else passes for it.
func TestBindings(t *testing.T) {
	api := petAPI()
	op := operation(api, "token")
	g := startWith(t, authn.Options{API: api, Config: jwtConfig(nil)})
	for name, c := range map[string]struct {
		cnf  any
		code string
	}{
		"null":                    {nil, ""},
		"unknown":                 {object{"kid": "k1"}, "authn.binding"},
		"a key in full":           {object{"jwk": p256Key().publicOnly()}, "authn.binding"},
		"empty":                   {object{}, "authn.binding"},
		"a text":                  {"jkt", "authn.malformed"},
		"a list":                  {[]string{"jkt"}, "authn.malformed"},
		"jkt a number":            {object{"jkt": 7}, "authn.malformed"},
		"jkt short":               {object{"jkt": "abc"}, "authn.malformed"},
		"jkt padded":              {object{"jkt": p256Key().jkt() + "="}, "authn.malformed"},
		"x5t#S256 empty":          {object{"x5t#S256": ""}, "authn.malformed"},
		"x5t of SHA-1":            {object{"x5t": "AAAA"}, "authn.binding"},
		"certificate, none shown": {object{"x5t#S256": strings.Repeat("A", 43)}, "authn.binding"},
		"key, no proof":           {object{"jkt": p256Key().jkt()}, "authn.binding"},
	} {
		t.Run(name, func(t *testing.T) {
			tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, object{"cnf": c.cnf}))
			for range 2 { // the second time from the cache
				if v := g.Step().Rule(t.Context(), get(op, bearer(tok))); v.Code != c.code {
					t.Errorf("%q (%s), want %q", v.Code, v.Reason, c.code)
				}
			}
		})
	}
}

// BenchmarkCallWithProof is a call whose token is known, with a proof that is new.
func BenchmarkCallWithProof(b *testing.B) {
	for alg, k := range map[string]key{"ES256": p256Key(), "EdDSA": edKey(), "RS256": rsaOther()} {
		b.Run(alg, func(b *testing.B) {
			api := petAPI()
			m := state.NewMemory(nil)
			b.Cleanup(func() { _ = m.Close() })
			g := startWith(b, authn.Options{API: api, Config: jwtConfig(nil), State: newEach{m}})
			bound := boundTo(k)
			h := withProof(bound, k.proofOf(alg, bound, nil, nil))
			op := operation(api, "token")
			x := get(op, h)
			b.ReportAllocs()
			for b.Loop() {
				x.Identity = exchange.Identity{}
				if v := g.Step().Rule(b.Context(), x); v.Action != exchange.Allow {
					b.Fatal(v)
				}
			}
		})
	}
}

// newEach takes every mark for a new one.
type newEach struct{ state.Store }

func (n newEach) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	_, err := n.Store.First(ctx, key, ttl)
	return true, err
}
