package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// signedAPI has operations for signed requests.
func signedAPI() *spec.API {
	api := petAPI()
	sig := &spec.SecurityScheme{Name: "sig", Type: "http", Scheme: "signature"}
	api.SecuritySchemes["sig"] = sig
	add := func(id string, security ...spec.Requirement) {
		api.Operations = append(api.Operations, &spec.Operation{Index: len(api.Operations), ID: id, Method: "POST", Path: "/" + id, SecurityDeclared: true, Security: security})
	}
	add("signed", spec.Requirement{{Scheme: sig}})
	add("signedAndToken", spec.Requirement{{Scheme: sig}, {Scheme: api.SecuritySchemes["oauth"]}})
	return api
}

func publicPEM(t testing.TB, k key) string {
	t.Helper()
	path := t.TempDir() + "/" + k.id + ".pem"
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k.private.Public()))})))
	return path
}

var partnerSecret = strings.Repeat("partner-", 4)

func signedConfig(t testing.TB, change func(*config.SignatureMethod)) config.Authn {
	t.Helper()
	m := &config.SignatureMethod{Keys: []config.SignatureKey{
		{ID: "acme", Subject: "acme", PublicKey: publicPEM(t, edKey()), Roles: []string{"partner"}, Scopes: []string{"orders"}, Tenant: "north"},
		{ID: "ecc", Subject: "ecc", PublicKey: publicPEM(t, p256Key())},
		{ID: "rsa", Subject: "rsa", PublicKey: publicPEM(t, rsaOther())},
		{ID: "mac", Subject: "mac", Secret: config.NewSecret(partnerSecret)},
	}}
	if change != nil {
		change(m)
	}
	c := jwtConfig(nil)
	c.Methods = append(c.Methods, config.AuthnMethod{Signature: m})
	return c
}

const orderBody = `{"order":7}`

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// order is an ordinary signed request, before it is signed.
func order(op *spec.Operation) *exchange.Exchange {
	return &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "POST", Scheme: "https", Host: "api.test", Authority: "api.test",
		Target: "/orders?dry=1", Relative: "/orders", Path: "/orders", RawPath: "/orders", Query: "dry=1", Length: int64(len(orderBody)),
		Header: http.Header{"Content-Type": {"application/json"}, "Content-Digest": {digestOf(orderBody)}}}}
}

// componentsOf spells out a request's components by hand, as a client does that
// knows nothing of this program.
func componentsOf(x *exchange.Exchange, names ...string) (ids, lines string) {
	r := &x.Request
	path, query, _ := strings.Cut(r.Target, "?")
	for i, n := range names {
		var v string
		switch n {
		case `"@method"`:
			v = r.Method
		case `"@target-uri"`:
			v = r.Scheme + "://" + r.Authority + r.Target
		case `"@authority"`:
			v = r.Authority
		case `"@path"`:
			v = path
		case `"@query"`:
			v = "?" + query
		default:
			v = r.Header.Get(strings.Trim(n, `"`))
		}
		if i > 0 {
			ids += " "
		}
		ids += n
		lines += n + ": " + v + "\n"
	}
	return ids, lines
}

var usual = []string{`"@method"`, `"@target-uri"`, `"content-digest"`}

// signAs signs with a key; params stand behind the components.
func signAs(x *exchange.Exchange, label, params string, sign func(base string) []byte, names ...string) {
	ids, lines := componentsOf(x, names...)
	input := "(" + ids + ")" + params
	value := sign(lines + `"@signature-params": ` + input)
	join := func(name, v string) {
		if have := x.Request.Header.Get(name); have != "" {
			v = have + ", " + v
		}
		x.Request.Header.Set(name, v)
	}
	join("Signature-Input", label+"="+input)
	join("Signature", label+"=:"+base64.StdEncoding.EncodeToString(value)+":")
}

func by(k key, alg string) func(string) []byte {
	return func(base string) []byte { return k.sign(alg, base) }
}

func byEd(base string) []byte {
	return ed25519.Sign(edKey().private.(ed25519.PrivateKey), []byte(base))
}

func at(keyid string, more string) string {
	return fmt.Sprintf(`;created=%d;keyid="%s"%s`, noon.Unix(), keyid, more)
}

// The attacks on a signed request, each of which is refused with its code.
func TestSignatureAttacks(t *testing.T) {
	api := signedAPI()
	op := operation(api, "signed")
	g := startWith(t, authn.Options{API: api, Config: signedConfig(t, nil)})
	head := func(name, v string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Request.Header.Set(name, v) }
	}
	input := func(from, to string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) {
			h := x.Request.Header
			h.Set("Signature-Input", strings.Replace(h.Get("Signature-Input"), from, to, 1))
		}
	}
	attacks := []struct {
		name   string
		sign   func(x *exchange.Exchange) // nil: as it should be
		tamper func(x *exchange.Exchange) // after signing
		code   string
	}{
		{"not signed", func(*exchange.Exchange) {}, nil, "authn.missing"},
		// What was signed is not what is sent.
		{"another method", nil, func(x *exchange.Exchange) { x.Request.Method = "PUT" }, "authn.signature"},
		{"the method in lower case", nil, func(x *exchange.Exchange) { x.Request.Method = "post" }, "authn.signature"},
		{"another path", nil, func(x *exchange.Exchange) { x.Request.Target = "/refunds?dry=1" }, "authn.signature"},
		{"the path in capitals", nil, func(x *exchange.Exchange) { x.Request.Target = "/Orders?dry=1" }, "authn.signature"},
		{"a path parameter added", nil, func(x *exchange.Exchange) { x.Request.Target = "/orders;a?dry=1" }, "authn.signature"},
		{"the path encoded", nil, func(x *exchange.Exchange) { x.Request.Target = "/%6frders?dry=1" }, "authn.signature"},
		{"a query parameter changed", nil, func(x *exchange.Exchange) { x.Request.Target = "/orders?dry=0" }, "authn.signature"},
		{"a query parameter added", nil, func(x *exchange.Exchange) { x.Request.Target += "&admin=1" }, "authn.signature"},
		{"the query taken away", nil, func(x *exchange.Exchange) { x.Request.Target = "/orders" }, "authn.signature"},
		{"an empty parameter added", nil, func(x *exchange.Exchange) { x.Request.Target += "&" }, "authn.signature"},
		{"another host", nil, func(x *exchange.Exchange) { x.Request.Authority = "evil.test" }, "authn.signature"},
		{"another port", nil, func(x *exchange.Exchange) { x.Request.Authority = "api.test:8443" }, "authn.signature"},
		{"another scheme", nil, func(x *exchange.Exchange) { x.Request.Scheme = "http" }, "authn.signature"},
		{"another digest", nil, head("Content-Digest", digestOf("{}")), "authn.signature"},
		{"a digest more", nil, head("Content-Digest", digestOf(orderBody)+", sha-512=:YQ==:"), "authn.signature"},
		{"the digest's line twice", nil, func(x *exchange.Exchange) { x.Request.Header.Add("Content-Digest", digestOf("{}")) }, "authn.signature"},
		{"the digest taken away", nil, func(x *exchange.Exchange) { x.Request.Header.Del("Content-Digest") }, "authn.signature"},
		{"another time", nil, input(fmt.Sprint(noon.Unix()), fmt.Sprint(noon.Unix()+1)), "authn.signature"},
		{"another's key id", nil, input("acme", "ecc"), "authn.signature"},
		{"a tag added", nil, input(`keyid="acme"`, `keyid="acme";tag="x"`), "authn.signature"},
		{"a component taken away", nil, input(` "content-digest"`, ``), "authn.coverage"},
		{"a component added", nil, input(`"@method"`, `"@method" "content-type"`), "authn.signature"},
		{"components in another order", nil, input(`"@method" "@target-uri"`, `"@target-uri" "@method"`), "authn.signature"},
		{"a component's parameter added", nil, input(`"content-digest"`, `"content-digest";sf`), "authn.signature"},
		{"parameters in another order", nil, func(x *exchange.Exchange) {
			x.Request.Header.Set("Signature-Input", `sig=("@method" "@target-uri" "content-digest");keyid="acme"`+fmt.Sprintf(";created=%d", noon.Unix()))
		}, "authn.signature"},
		{"a white space inside, which is the same", nil, input(`"@method" "@target-uri"`, `"@method"   "@target-uri"`), ""},
		{"the label changed, which is the same", nil, func(x *exchange.Exchange) {
			h := x.Request.Header
			h.Set("Signature-Input", "other"+strings.TrimPrefix(h.Get("Signature-Input"), "sig"))
			h.Set("Signature", "other"+strings.TrimPrefix(h.Get("Signature"), "sig"))
		}, ""},
		// It covers too little.
		{"nothing covered", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd) }, nil, "authn.coverage"},
		{"no method covered", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, usual[1:]...) }, nil, "authn.coverage"},
		{"no address covered", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, usual[0], usual[2]) }, nil, "authn.coverage"},
		{"the path alone", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, usual[0], `"@path"`, usual[2]) }, nil, "authn.coverage"},
		{"the query left out", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", ""), byEd, usual[0], `"@authority"`, `"@path"`, usual[2])
		}, nil, "authn.coverage"},
		{"the content left out", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, usual[:2]...) }, nil, "authn.coverage"},
		{"a token added that is not covered", nil, head("Authorization", "Bearer x"), "authn.coverage"},
		// Of what time?
		{"no time", func(x *exchange.Exchange) { signAs(x, "sig", `;keyid="acme"`, byEd, usual...) }, nil, "authn.expired"},
		{"old", func(x *exchange.Exchange) {
			signAs(x, "sig", fmt.Sprintf(`;created=%d;keyid="acme"`, noon.Unix()-330), byEd, usual...)
		}, nil, "authn.expired"},
		{"from the future", func(x *exchange.Exchange) {
			signAs(x, "sig", fmt.Sprintf(`;created=%d;keyid="acme"`, noon.Unix()+31), byEd, usual...)
		}, nil, "authn.expired"},
		{"expired", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", fmt.Sprintf(";expires=%d", noon.Unix()-30)), byEd, usual...)
		}, nil, "authn.expired"},
		// By whom, and how?
		{"an unknown key", func(x *exchange.Exchange) { signAs(x, "sig", at("nobody", ""), byEd, usual...) }, nil, "authn.unknown_key"},
		{"no key named", func(x *exchange.Exchange) {
			signAs(x, "sig", fmt.Sprintf(";created=%d", noon.Unix()), byEd, usual...)
		}, nil, "authn.unknown_key"},
		{"a key id in capitals", func(x *exchange.Exchange) { signAs(x, "sig", at("ACME", ""), byEd, usual...) }, nil, "authn.unknown_key"},
		{"another's key", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), by(p256Key(), "ES256"), usual...) }, nil, "authn.signature"},
		{"the public key as an HMAC secret", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", `;alg="hmac-sha256"`), func(base string) []byte {
				return hs(hashes["HS256"], edKey().private.Public().(ed25519.PublicKey), base)
			}, usual...)
		}, nil, "authn.algorithm"},
		{"the PEM file as an HMAC secret", func(x *exchange.Exchange) {
			der := must(x509.MarshalPKIXPublicKey(rsaOther().private.Public()))
			text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			signAs(x, "sig", at("rsa", `;alg="hmac-sha256"`), func(base string) []byte { return hs(hashes["HS256"], text, base) }, usual...)
		}, nil, "authn.algorithm"},
		{"another algorithm of the same key", func(x *exchange.Exchange) {
			signAs(x, "sig", at("rsa", `;alg="rsa-v1_5-sha256"`), by(rsaOther(), "RS256"), usual...)
		}, nil, "authn.algorithm"},
		{"another algorithm, not named", func(x *exchange.Exchange) { signAs(x, "sig", at("rsa", ""), by(rsaOther(), "RS256"), usual...) }, nil, "authn.signature"},
		{"alg none", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", `;alg="none"`), func(string) []byte { return []byte{0} }, usual...)
		}, nil, "authn.algorithm"},
		{"alg empty", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", `;alg=""`), byEd, usual...) }, nil, "authn.malformed"},
		{"a PSS signature with another salt", func(x *exchange.Exchange) {
			signAs(x, "sig", at("rsa", ""), func(base string) []byte {
				sum := sha512.Sum512([]byte(base))
				return must(rsa.SignPSS(rsaReader{}, rsaOther().private.(*rsa.PrivateKey), crypto.SHA512, sum[:], &rsa.PSSOptions{SaltLength: 32}))
			}, usual...)
		}, nil, "authn.signature"},
		{"an ECDSA signature as ASN.1", func(x *exchange.Exchange) {
			signAs(x, "sig", at("ecc", ""), func(base string) []byte {
				sum := sha256.Sum256([]byte(base))
				return must(ecdsa.SignASN1(rsaReader{}, p256Key().private.(*ecdsa.PrivateKey), sum[:]))
			}, usual...)
		}, nil, "authn.signature"},
		{"an ECDSA signature of zeros", func(x *exchange.Exchange) {
			signAs(x, "sig", at("ecc", ""), func(string) []byte { return make([]byte, 64) }, usual...)
		}, nil, "authn.signature"},
		{"an empty signature", nil, head("Signature", "sig=::"), "authn.signature"},
		{"an HMAC cut short", func(x *exchange.Exchange) {
			signAs(x, "sig", at("mac", ""), func(base string) []byte { return hs(hashes["HS256"], []byte(partnerSecret), base)[:16] }, usual...)
		}, nil, "authn.signature"},
		// Two readings.
		{"another label in Signature", nil, func(x *exchange.Exchange) {
			x.Request.Header.Set("Signature", strings.Replace(x.Request.Header.Get("Signature"), "sig", "gis", 1))
		}, "authn.malformed"},
		{"a label twice", nil, func(x *exchange.Exchange) {
			x.Request.Header.Add("Signature-Input", `sig=();created=1;keyid="acme"`)
		}, "authn.malformed"},
		{"a value twice", nil, func(x *exchange.Exchange) { x.Request.Header.Add("Signature", "sig=:YQ==:") }, "authn.malformed"},
		{"keyid twice", nil, input(`keyid="acme"`, `keyid="acme";keyid="acme"`), "authn.malformed"},
		{"Signature without Signature-Input", nil, func(x *exchange.Exchange) { x.Request.Header.Del("Signature-Input") }, "authn.malformed"},
		{"Signature-Input without Signature", nil, func(x *exchange.Exchange) { x.Request.Header.Del("Signature") }, "authn.malformed"},
		{"the form of an old draft", func(x *exchange.Exchange) {
			x.Request.Header.Set("Signature", `keyId="acme",algorithm="ed25519",headers="(request-target) host date",signature="YQ=="`)
		}, nil, "authn.malformed"},
		{"a trailer, which nobody has seen", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", ""), byEd, append(usual, `"x-a";tr`)...)
		}, nil, "authn.signature"},
		{"a field that is not there", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, append(usual, `"x-a"`)...) }, nil, "authn.signature"},
		{"a field that was taken away", func(x *exchange.Exchange) {
			x.Request.Header.Set("X-A", "1")
			signAs(x, "sig", at("acme", ""), byEd, append(usual, `"x-a"`)...)
			x.Request.Header.Del("X-A")
		}, nil, "authn.signature"},
		{"a line break in a field", func(x *exchange.Exchange) {
			x.Request.Header["X-A"] = []string{"1\n\"@method\": GET"}
			signAs(x, "sig", at("acme", ""), byEd, append(usual, `"x-a"`)...)
		}, nil, "authn.signature"},
		{"a component twice", func(x *exchange.Exchange) { signAs(x, "sig", at("acme", ""), byEd, append(usual, usual[0])...) }, nil, "authn.malformed"},
		{"a name that another's field has in capitals", func(x *exchange.Exchange) {
			signAs(x, "sig", at("acme", ""), byEd, append(usual, `"Content-Type"`)...)
		}, nil, "authn.malformed"},
		{"too many signatures", func(x *exchange.Exchange) {
			for i := range 5 {
				signAs(x, fmt.Sprintf("s%d", i), at("acme", fmt.Sprintf(`;nonce="%d"`, i)), byEd, usual...)
			}
		}, nil, "authn.ambiguous"},
		{"far too many", func(x *exchange.Exchange) {
			for i := range 9 {
				signAs(x, fmt.Sprintf("s%d", i), at("nobody", ""), byEd, usual...)
			}
		}, nil, "authn.malformed"},
		{"oversize", nil, head("Signature", "sig=:"+strings.Repeat("YWFh", 5000)+":"), "authn.malformed"},
		// The content.
		{"a digest that is broken", func(x *exchange.Exchange) {
			x.Request.Header.Set("Content-Digest", "md5=:Sd/dVLAcvNLSq16eXua5uQ==:")
			signAs(x, "sig", at("acme", ""), byEd, usual...)
		}, nil, "authn.digest"},
		{"a digest twice", func(x *exchange.Exchange) {
			x.Request.Header.Set("Content-Digest", digestOf(orderBody)+", "+digestOf("{}"))
			signAs(x, "sig", at("acme", ""), byEd, usual...)
		}, nil, "authn.digest"},
		{"a digest of something, and no content", func(x *exchange.Exchange) {
			x.Request.Length = 0
			signAs(x, "sig", at("acme", ""), byEd, usual...)
		}, nil, "authn.digest"},
	}
	seen := map[string]bool{}
	refused := 0
	for i, a := range attacks {
		if seen[a.name] {
			t.Fatalf("two attacks are called %q", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			x := order(op)
			if a.sign != nil {
				a.sign(x)
			} else {
				// The nonce keeps those that are let through from being replays of each other.
				signAs(x, "sig", at("acme", ""), byEd, usual...)
				if a.code == "" {
					x = order(op)
					signAs(x, "sig", at("acme", fmt.Sprintf(`;nonce="%d"`, i)), byEd, usual...)
				}
			}
			if a.tamper != nil {
				a.tamper(x)
			}
			v := g.Step().Rule(t.Context(), x)
			if v.Code != a.code || (v.Action == exchange.Allow) != (a.code == "") {
				t.Fatalf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, a.code)
			}
			if a.code == "" {
				return
			}
			refused++
			if !x.Identity.Anonymous() {
				t.Errorf("identity %+v is left behind", x.Identity)
			}
			if v.Header["WWW-Authenticate"] != `Signature realm="Pets R us"` || !strings.HasPrefix(v.Header["Accept-Signature"], `sig=("@method" "@target-uri"`) {
				t.Errorf("challenge %v", v.Header)
			}
		})
	}
	t.Logf("%d attacks refused", refused)
	// The honest request passes, once.
	x := order(op)
	signAs(x, "sig", at("acme", ""), byEd, usual...)
	if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Allow {
		t.Fatalf("the honest request is refused: %+v", v)
	}
	if id := x.Identity; id.Method != "signature" || id.Subject != "acme" || id.ClientID != "acme" || id.Tenant != "north" || len(id.Roles) != 1 || len(id.Scopes) != 1 || !id.Verified {
		t.Errorf("identity %+v", id)
	}
	if x.Request.Content == nil || len(x.Request.Credentials) != 2 {
		t.Errorf("content %v, credentials %v", x.Request.Content, x.Request.Credentials)
	}
	again := order(op)
	signAs(again, "sig", at("acme", ""), byEd, usual...)
	if v := g.Step().Rule(t.Context(), again); v.Code != "authn.replay" {
		t.Errorf("sent again: %+v", v)
	}
}

type rsaReader struct{}

func (rsaReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// A signature can be changed into another of the same text (CWE-347): it is the
// text that is remembered.
func TestSignatureMalleability(t *testing.T) {
	api := signedAPI()
	op := operation(api, "signed")
	g := startWith(t, authn.Options{API: api, Config: signedConfig(t, nil)})
	x := order(op)
	signAs(x, "sig", at("ecc", ""), by(p256Key(), "ES256"), usual...)
	if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Allow {
		t.Fatal(v)
	}
	value := strings.TrimSuffix(strings.TrimPrefix(x.Request.Header.Get("Signature"), "sig=:"), ":")
	sig := must(base64.StdEncoding.DecodeString(value))
	n := p256Key().private.(*ecdsa.PrivateKey).Params().N
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:]))
	s.FillBytes(sig[32:])
	y := order(op)
	y.Request.Header.Set("Signature-Input", x.Request.Header.Get("Signature-Input"))
	y.Request.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(sig)+":")
	if v := g.Step().Rule(t.Context(), y); v.Code != "authn.replay" {
		t.Errorf("the mirrored signature: %+v", v)
	}
}

// What the config may demand and allow.
func TestSignatureConfig(t *testing.T) {
	api := signedAPI()
	op := operation(api, "signed")
	set := t.TempDir() + "/set.json"
	named := edKey().jwk()
	named["kid"], named["alg"] = "k5", "EdDSA"
	write(t, set, must(jsonText(object{"keys": []any{named, edKey().with("kid", "k1"), p384Key().with("kid", "k2"), rsaOther().with("kid", "k3"), object{"kty": "OKP", "crv": "Ed25519", "x": edKey().jwk()["x"]}}})))
	sets := func(m *config.SignatureMethod) {
		m.Keys = []config.SignatureKey{{Subject: "partner", JWKS: set, Roles: []string{"partner"}}}
	}
	for name, c := range map[string]struct {
		change func(*config.SignatureMethod)
		sign   func(x *exchange.Exchange)
		code   string
		who    string
	}{
		"a set's key":            {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k1", ""), byEd, usual...) }, "", "partner k1"},
		"a set's key, for EdDSA": {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k5", ""), byEd, usual...) }, "", "partner k5"},
		"a set's key on P-384":   {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k2", ""), by(p384Key(), "ES384"), usual...) }, "", "partner k2"},
		"a set's RSA key, PSS":   {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k3", ""), by(rsaOther(), "PS512"), usual...) }, "", "partner k3"},
		"a set's RSA key, v1.5 and says so": {sets, func(x *exchange.Exchange) {
			signAs(x, "s", at("k3", `;alg="rsa-v1_5-sha256"`), by(rsaOther(), "RS256"), usual...)
		}, "", "partner k3"},
		"a set's RSA key, v1.5 in silence": {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k3", ""), by(rsaOther(), "RS256"), usual...) }, "authn.signature", ""},
		"not in the set":                   {sets, func(x *exchange.Exchange) { signAs(x, "s", at("k4", ""), byEd, usual...) }, "authn.unknown_key", ""},
		"a secret": {nil, func(x *exchange.Exchange) {
			signAs(x, "s", at("mac", ""), func(b string) []byte { return hs(hashes["HS256"], []byte(partnerSecret), b) }, usual...)
		}, "", "mac mac"},
		"RSA": {nil, func(x *exchange.Exchange) { signAs(x, "s", at("rsa", ""), by(rsaOther(), "PS512"), usual...) }, "", "rsa rsa"},
		"RSA, v1.5 by config": {func(m *config.SignatureMethod) { m.Keys[2].Algorithm = "rsa-v1_5-sha256" },
			func(x *exchange.Exchange) { signAs(x, "s", at("rsa", ""), by(rsaOther(), "RS256"), usual...) }, "", "rsa rsa"},
		"a tag":    {func(m *config.SignatureMethod) { m.Tag = "shop" }, func(x *exchange.Exchange) { signAs(x, "s", at("acme", `;tag="shop"`), byEd, usual...) }, "", "acme acme"},
		"no tag":   {func(m *config.SignatureMethod) { m.Tag = "shop" }, func(x *exchange.Exchange) { signAs(x, "s", at("acme", ""), byEd, usual...) }, "authn.coverage", ""},
		"no nonce": {func(m *config.SignatureMethod) { m.RequireNonce = true }, func(x *exchange.Exchange) { signAs(x, "s", at("acme", ""), byEd, usual...) }, "authn.coverage", ""},
		"no end":   {func(m *config.SignatureMethod) { m.RequireExpires = true }, func(x *exchange.Exchange) { signAs(x, "s", at("acme", ""), byEd, usual...) }, "authn.expired", ""},
		"more covered": {func(m *config.SignatureMethod) {
			m.Covered = []string{"@method", "@target-uri", "content-digest", "content-type"}
		}, func(x *exchange.Exchange) { signAs(x, "s", at("acme", ""), byEd, usual...) }, "authn.coverage", ""},
		"another's signature beside": {nil, func(x *exchange.Exchange) {
			signAs(x, "cdn", at("somebody", ""), byEd, `"@method"`)
			signAs(x, "s", at("acme", ""), byEd, usual...)
		}, "", "acme acme"},
		"two signers": {nil, func(x *exchange.Exchange) {
			signAs(x, "a", at("acme", ""), byEd, usual...)
			signAs(x, "b", at("ecc", ""), by(p256Key(), "ES256"), usual...)
		}, "", "acme acme +ecc"},
		"one of two signers forged": {nil, func(x *exchange.Exchange) {
			signAs(x, "a", at("acme", ""), by(p256Key(), "ES256"), usual...)
			signAs(x, "b", at("ecc", ""), by(p256Key(), "ES256"), usual...)
		}, "", "ecc ecc"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startWith(t, authn.Options{API: api, Config: signedConfig(t, c.change)})
			x := order(op)
			c.sign(x)
			v := g.Step().Rule(t.Context(), x)
			who := ""
			if !x.Identity.Anonymous() {
				who = x.Identity.Subject + " " + x.Identity.ClientID
				for _, a := range x.Identity.Also {
					who += " +" + a.Subject
				}
			}
			if v.Code != c.code || who != c.who {
				t.Errorf("%q (%s) for %q, want %q for %q", v.Code, v.Reason, who, c.code, c.who)
			}
		})
	}
}

// A token and a signature together, where the operation wants both.
func TestSignatureAndToken(t *testing.T) {
	api := signedAPI()
	op := operation(api, "signedAndToken")
	g := startWith(t, authn.Options{API: api, Config: signedConfig(t, nil)})
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	x := order(op)
	x.Request.Header.Set("Authorization", "Bearer "+tok)
	signAs(x, "s", at("acme", ""), byEd, append(usual, `"authorization"`)...)
	if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Allow || x.Identity.Subject != "acme" || len(x.Identity.Also) != 1 || x.Identity.Also[0].Subject != "alice" {
		t.Errorf("%+v, identity %+v", v, x.Identity)
	}
	x = order(op)
	signAs(x, "s", at("acme", ""), byEd, usual...)
	if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Deny {
		t.Errorf("without the token: %+v", v)
	}
}

// What cannot be known refuses.
func TestSignatureFailsClosed(t *testing.T) {
	api := signedAPI()
	op := operation(api, "signed")
	g := startWith(t, authn.Options{API: api, Config: signedConfig(t, nil), State: failing{state.ErrFull}})
	x := order(op)
	signAs(x, "s", at("acme", ""), byEd, usual...)
	if v := g.Step().Rule(t.Context(), x); v.Action != exchange.Unable || v.Code != "authn.unavailable" {
		t.Errorf("with the state full: %+v", v)
	}
	open := startWith(t, authn.Options{API: api, State: failing{state.ErrFull}, Config: signedConfig(t, func(m *config.SignatureMethod) { m.Replay = "allow" })})
	for range 2 {
		x = order(op)
		signAs(x, "s", at("acme", ""), byEd, usual...)
		if v := open.Step().Rule(t.Context(), x); v.Action != exchange.Allow {
			t.Errorf("where requests may be sent again: %+v", v)
		}
	}
	away := startWith(t, authn.Options{API: api, Config: signedConfig(t, func(m *config.SignatureMethod) {
		m.Keys = []config.SignatureKey{{Subject: "p", JWKS: "https://away.test/keys"}}
	})})
	x = order(op)
	signAs(x, "s", at("k1", ""), byEd, usual...)
	if v := away.Step().Rule(t.Context(), x); v.Action != exchange.Unable || v.Code != "authn.unavailable" {
		t.Errorf("with the partner's keys away: %+v", v)
	}
	if err := away.Ready(); err == nil {
		t.Error("ready without the partner's keys")
	}
}

// What a method cannot be made of.
func TestSignatureMistakes(t *testing.T) {
	weak := t.TempDir() + "/weak.pem"
	write(t, weak, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 3}))})))
	private := t.TempDir() + "/private.pem"
	write(t, private, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(edKey().private))})))
	for name, k := range map[string]config.SignatureKey{
		"no key":            {ID: "a", Subject: "a"},
		"no subject":        {ID: "a", PublicKey: publicPEM(t, edKey())},
		"no id":             {Subject: "a", PublicKey: publicPEM(t, edKey())},
		"a weak key":        {ID: "a", Subject: "a", PublicKey: weak},
		"a private key":     {ID: "a", Subject: "a", PublicKey: private},
		"no file":           {ID: "a", Subject: "a", PublicKey: "/nowhere"},
		"a short secret":    {ID: "a", Subject: "a", Secret: config.NewSecret("short")},
		"another algorithm": {ID: "a", Subject: "a", PublicKey: publicPEM(t, edKey()), Algorithm: "rsa-pss-sha512"},
		"a set in clear":    {Subject: "a", JWKS: "http://keys.test/keys"},
	} {
		o := authn.Options{API: signedAPI(), Now: time.Now, Config: config.Authn{Methods: []config.AuthnMethod{{Signature: &config.SignatureMethod{Keys: []config.SignatureKey{k}}}}}}
		if g, err := authn.New(o); err == nil {
			g.Close()
			t.Errorf("%s: made", name)
		}
	}
}
