package authn_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// petAPI has one operation for each way of demanding credentials.
func petAPI() *spec.API {
	schemes := map[string]*spec.SecurityScheme{
		"oauth":  {Name: "oauth", Type: "oauth2"},
		"key":    {Name: "key", Type: "apiKey", In: "header", Key: "X-API-Key"},
		"cookie": {Name: "cookie", Type: "apiKey", In: "cookie", Key: "sid"},
		"cert":   {Name: "cert", Type: "mutualTLS"},
	}
	use := func(names ...string) spec.Requirement {
		var r spec.Requirement
		for _, n := range names {
			r = append(r, spec.SchemeUse{Scheme: schemes[n]})
		}
		return r
	}
	api := &spec.API{Title: `Pets "R" us`, SecuritySchemes: schemes}
	add := func(id string, public, declared bool, security ...spec.Requirement) {
		api.Operations = append(api.Operations, &spec.Operation{Index: len(api.Operations), ID: id, Method: "GET", Path: "/" + id,
			Public: public, SecurityDeclared: declared, Security: security})
	}
	add("token", false, true, use("oauth"))
	add("public", true, true)
	add("optional", true, true, spec.Requirement{}, use("oauth"))
	add("either", false, true, use("oauth"), use("key"))
	add("both", false, true, use("oauth", "key"))
	add("keyOnly", false, true, use("key"))
	add("cookie", false, true, use("cookie"))
	add("silent", true, false)
	add("cert", false, true, use("cert"))
	return api
}

func operation(api *spec.API, id string) *spec.Operation {
	for _, op := range api.Operations {
		if op.ID == id {
			return op
		}
	}
	return nil
}

func jwtConfig(change func(*config.JWTMethod)) config.Authn {
	j := &config.JWTMethod{Issuer: issuerURL, Audience: []string{audience}}
	if change != nil {
		change(j)
	}
	return config.Authn{Methods: []config.AuthnMethod{{JWT: j}}}
}

// start makes a guard and stops it with the test.
func start(t testing.TB, api *spec.API, c config.Authn, iss *issuer) *authn.Guard {
	t.Helper()
	o := authn.Options{API: api, Config: c, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	if iss != nil {
		o.Client = client(iss)
	}
	g, err := authn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func call(t testing.TB, g *authn.Guard, op *spec.Operation, header http.Header, query string) (*exchange.Exchange, exchange.Verdict) {
	t.Helper()
	x := &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Header: header, Query: query}}
	return x, g.Step().Rule(t.Context(), x)
}

func bearer(tok string) http.Header { return http.Header{"Authorization": {"Bearer " + tok}} }

// raw joins parts that are already what they should be.
func (k key) raw(alg, header64, payload64 string) string {
	input := header64 + "." + payload64
	return input + "." + b64.EncodeToString(k.sign(alg, input))
}

// Every token here is one that an attacker, or a careless client, could send.
// Each is refused, with the code of what is wrong with it.
func TestTokenAttacks(t *testing.T) {
	r, p, e, other := rsaKey(), p256Key(), edKey(), rsaOther()
	good := func(change object) object { return claims(noon, change) }
	h := func(change object) object {
		out := r.header("RS256")
		for k, v := range change {
			if v == nil {
				delete(out, k)
			} else {
				out[k] = v
			}
		}
		return out
	}
	sign := func(header, payload any) string { return r.token("RS256", header, payload) }
	plain := sign(h(nil), good(nil))
	parts := strings.Split(plain, ".")
	sig := must(b64.DecodeString(parts[2]))
	payloadJSON := string(must(json.Marshal(good(nil))))
	der := must(x509.MarshalPKIXPublicKey(r.private.Public()))
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(r.private.Public().(*rsa.PublicKey))})
	jwkJSON := must(json.Marshal(r.jwk()))
	hmacWith := func(alg string, secret []byte) string {
		input := encode(object{"alg": alg, "kid": "rsa", "typ": "JWT"}) + "." + encode(good(nil))
		return input + "." + b64.EncodeToString(hs(hashes[alg], secret, input))
	}
	unsigned := func(alg any) string {
		return encode(object{"alg": alg, "typ": "JWT"}) + "." + encode(good(nil)) + "."
	}
	ec := func(f func(input string) []byte) string {
		input := encode(p.header("ES256")) + "." + encode(good(nil))
		return input + "." + b64.EncodeToString(f(input))
	}
	many := func(n int) object {
		c := good(nil)
		for i := range n {
			c[fmt.Sprint("c", i)] = 1
		}
		return c
	}
	deflate := func(s string) string {
		var b bytes.Buffer
		w := must(flate.NewWriter(&b, 9))
		must(w.Write([]byte(s)))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b64.EncodeToString(b.Bytes())
	}
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }

	attacks := []struct{ name, token, code string }{
		// No signature, under every spelling.
		{"alg none", unsigned("none"), "authn.algorithm"},
		{"alg None", unsigned("None"), "authn.algorithm"},
		{"alg NONE", unsigned("NONE"), "authn.algorithm"},
		{"alg nOnE", unsigned("nOnE"), "authn.algorithm"},
		{"alg none with a space", unsigned("none "), "authn.algorithm"},
		{"alg none with NUL", unsigned("none\x00"), "authn.algorithm"},
		{"alg empty", unsigned(""), "authn.algorithm"},
		{"alg missing", sign(h(object{"alg": nil}), good(nil)), "authn.algorithm"},
		{"alg null", encode(`{"alg":null}`) + "." + parts[1] + ".", "authn.malformed"},
		{"alg a list", sign(h(object{"alg": []string{"RS256"}}), good(nil)), "authn.malformed"},
		{"alg a number", sign(h(object{"alg": 256}), good(nil)), "authn.malformed"},
		{"alg none and a signature", sign(h(object{"alg": "none"}), good(nil)), "authn.algorithm"},
		{"signature cut off", parts[0] + "." + parts[1] + ".", "authn.signature"},
		{"signature left out", parts[0] + "." + parts[1], "authn.malformed"},
		// Another algorithm than the method allows.
		{"alg in lower case", sign(h(object{"alg": "rs256"}), good(nil)), "authn.algorithm"},
		{"alg with space", sign(h(object{"alg": " RS256"}), good(nil)), "authn.algorithm"},
		{"alg not allowed", r.token("RS512", h(object{"alg": "RS512"}), good(nil)), "authn.algorithm"},
		{"alg unknown", sign(h(object{"alg": "RS1024"}), good(nil)), "authn.algorithm"},
		{"alg ES256K", sign(h(object{"alg": "ES256K"}), good(nil)), "authn.algorithm"},
		{"alg of encryption", sign(h(object{"alg": "RSA-OAEP"}), good(nil)), "authn.algorithm"},
		{"alg dir", sign(h(object{"alg": "dir"}), good(nil)), "authn.algorithm"},
		{"says PS256, signed with RS256", sign(h(object{"alg": "PS256"}), good(nil)), "authn.signature"},
		{"says RS256, signed with PS256", r.token("PS256", h(nil), good(nil)), "authn.signature"},
		{"RSA's kid with ES256", sign(h(object{"alg": "ES256"}), good(nil)), "authn.algorithm"},
		{"ECDSA's kid with RS256", sign(h(object{"kid": "p256"}), good(nil)), "authn.algorithm"},
		{"Ed25519's kid with RS256", sign(h(object{"kid": "ed"}), good(nil)), "authn.algorithm"},
		// The public key as an HMAC secret (CVE-2015-9235).
		{"HS256 with the key as PEM", hmacWith("HS256", pemKey), "authn.algorithm"},
		{"HS256 with the key as PKCS1 PEM", hmacWith("HS256", pkcs1), "authn.algorithm"},
		{"HS256 with the key as DER", hmacWith("HS256", der), "authn.algorithm"},
		{"HS256 with the key as JWK", hmacWith("HS256", jwkJSON), "authn.algorithm"},
		{"HS256 with no key", hmacWith("HS256", nil), "authn.algorithm"},
		{"HS384 with the key as PEM", hmacWith("HS384", pemKey), "authn.algorithm"},
		{"HS512 with the key as PEM", hmacWith("HS512", pemKey), "authn.algorithm"},
		// Keys that the token brings or names.
		{"another key under the right kid", other.token("RS256", h(nil), good(nil)), "authn.signature"},
		{"another key, no kid", other.token("RS256", h(object{"kid": nil}), good(nil)), "authn.signature"},
		{"own key in jwk", other.token("RS256", h(object{"jwk": other.jwk()}), good(nil)), "authn.signature"},
		{"own key in jwk, no kid", other.token("RS256", h(object{"kid": nil, "jwk": other.jwk()}), good(nil)), "authn.signature"},
		{"own key set in jku", other.token("RS256", h(object{"kid": "mine", "jku": "https://evil.test/keys"}), good(nil)), "authn.unknown_key"},
		{"certificate in x5u", other.token("RS256", h(object{"kid": "mine", "x5u": "https://evil.test/cert"}), good(nil)), "authn.unknown_key"},
		{"certificate in x5c", other.token("RS256", h(object{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}), good(nil)), "authn.signature"},
		{"kid of a file", other.token("RS256", h(object{"kid": "../../../../dev/null"}), good(nil)), "authn.unknown_key"},
		{"kid with SQL", other.token("RS256", h(object{"kid": "x' UNION SELECT 'secret"}), good(nil)), "authn.unknown_key"},
		{"kid with a command", other.token("RS256", h(object{"kid": "|cat /etc/passwd"}), good(nil)), "authn.unknown_key"},
		{"kid a URL", other.token("RS256", h(object{"kid": "https://evil.test/key"}), good(nil)), "authn.unknown_key"},
		{"kid in other case", sign(h(object{"kid": "RSA"}), good(nil)), "authn.unknown_key"},
		{"kid empty, another key", other.token("RS256", h(object{"kid": ""}), good(nil)), "authn.signature"},
		{"kid a number", sign(h(object{"kid": 1}), good(nil)), "authn.malformed"},
		{"kid an object", sign(h(object{"kid": object{"a": 1}}), good(nil)), "authn.malformed"},
		{"kid huge", sign(h(object{"kid": strings.Repeat("k", 600)}), good(nil)), "authn.malformed"},
		{"HMAC's kid of an oct key in the set", hmacWith("HS256", []byte("published-in-the-key-set-32-bytes")), "authn.algorithm"},
		// Signatures.
		{"one bit flipped in the signature", parts[0] + "." + parts[1] + "." + b64.EncodeToString(append([]byte{sig[0] ^ 1}, sig[1:]...)), "authn.signature"},
		{"signature too long", parts[0] + "." + parts[1] + "." + b64.EncodeToString(append(sig[:len(sig):len(sig)], 0)), "authn.signature"},
		{"signature too short", parts[0] + "." + parts[1] + "." + b64.EncodeToString(sig[:len(sig)-1]), "authn.signature"},
		{"signature all zero", parts[0] + "." + parts[1] + "." + b64.EncodeToString(make([]byte, 256)), "authn.signature"},
		{"claims changed", parts[0] + "." + encode(good(object{"sub": "admin"})) + "." + parts[2], "authn.signature"},
		{"header changed", encode(h(object{"x": 1})) + "." + parts[1] + "." + parts[2], "authn.signature"},
		{"signature of another token", sign(h(nil), good(object{"sub": "bob"}))[:0] + parts[0] + "." + encode(good(object{"sub": "bob"})) + "." + parts[2], "authn.signature"},
		{"ECDSA r and s zero (CVE-2022-21449)", ec(func(string) []byte { return make([]byte, 64) }), "authn.signature"},
		{"ECDSA r and s the order", ec(func(string) []byte {
			n := p.private.Public().(*ecdsa.PublicKey).Params().N
			return append(n.FillBytes(make([]byte, 32)), n.FillBytes(make([]byte, 32))...)
		}), "authn.signature"},
		{"ECDSA signature as ASN.1", ec(func(input string) []byte {
			sum := sha256.Sum256([]byte(input))
			return must(p.private.Sign(nil, sum[:], crypto.SHA256))
		}), "authn.signature"},
		{"ECDSA signature padded", ec(func(input string) []byte { return append([]byte{0}, p.sign("ES256", input)...) }), "authn.signature"},
		{"ECDSA signature in fewer bytes", ec(func(string) []byte { return must(asn1.Marshal(big.NewInt(1))) }), "authn.signature"},
		{"Ed25519 signature all zero", encode(e.header("EdDSA")) + "." + encode(good(nil)) + "." + b64.EncodeToString(make([]byte, 64)), "authn.signature"},
		// The form.
		{"empty", "", "authn.malformed"},
		{"a word", "token", "authn.malformed"},
		{"dots only", "..", "authn.malformed"},
		{"four parts", plain + ".x", "authn.malformed"},
		{"encrypted (five parts)", plain + ".x.y", "authn.malformed"},
		{"two tokens joined by a comma", plain + "," + plain, "authn.malformed"},
		{"two tokens joined by a space", plain + " " + plain, "authn.malformed"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], "authn.malformed"},
		{"padding of the signature", plain + "==", "authn.malformed"},
		{"line break in the signature", plain[:len(plain)-4] + "\n" + plain[len(plain)-4:], "authn.malformed"},
		{"carriage return in the claims", parts[0] + "." + parts[1][:8] + "\r" + parts[1][8:] + "." + parts[2], "authn.malformed"},
		{"space inside", parts[0] + ". " + parts[1] + "." + parts[2], "authn.malformed"},
		{"plain base64", parts[0] + "." + strings.ReplaceAll(parts[1], parts[1][:1], "+") + "." + parts[2], "authn.malformed"},
		{"loose bits at the end", parts[0] + "." + parts[1] + "." + looseBits(parts[2]), "authn.malformed"},
		{"JSON serialisation", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "authn.malformed"},
		{"NUL behind", plain + "\x00", "authn.malformed"},
		{"percent-escaped", strings.ReplaceAll(plain, ".", "%2E"), "authn.malformed"},
		{"over 16 KiB", sign(h(nil), good(object{"fill": strings.Repeat("x", 16<<10)})), "authn.too_large"},
		{"10,000 claims", sign(h(nil), many(900)), "authn.malformed"},
		{"300 claims", sign(h(nil), many(300)), "authn.malformed"},
		{"deep claims", sign(h(nil), `{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+"}"), "authn.malformed"},
		// JSON that parsers disagree on.
		{"alg twice", sign(`{"alg":"RS256","alg":"none","kid":"rsa"}`, good(nil)), "authn.malformed"},
		{"alg twice, one escaped", sign(`{"alg":"RS256","\u0061lg":"none","kid":"rsa"}`, good(nil)), "authn.malformed"},
		{"sub twice", sign(h(nil), `{"sub":"admin",`+payloadJSON[1:]), "authn.malformed"},
		{"exp twice", sign(h(nil), `{"exp":9999999999,`+payloadJSON[1:]), "authn.malformed"},
		{"data after the claims", sign(h(nil), payloadJSON+"{}"), "authn.malformed"},
		{"data after the header", sign(`{"alg":"RS256","kid":"rsa"}{}`, good(nil)), "authn.malformed"},
		{"byte order mark", sign(h(nil), "\ufeff"+payloadJSON), "authn.malformed"},
		{"claims are a list", sign(h(nil), "["+payloadJSON+"]"), "authn.malformed"},
		{"claims are a string", sign(h(nil), `"`+parts[1]+`"`), "authn.malformed"},
		{"claims are null", sign(h(nil), "null"), "authn.malformed"},
		{"claims are empty", sign(h(nil), ""), "authn.malformed"},
		{"invalid UTF-8 in the claims", sign(h(nil), "{\"sub\":\"\xff\"}"), "authn.malformed"},
		{"half a surrogate pair", sign(h(nil), `{"sub":"\ud800"}`), "authn.malformed"},
		{"header is a list", sign(`["RS256"]`, good(nil)), "authn.malformed"},
		{"comment in the header", sign(`{"alg":"RS256"/**/}`, good(nil)), "authn.malformed"},
		// Extensions.
		{"crit", sign(h(object{"crit": []string{"exp"}, "exp": 1}), good(nil)), "authn.malformed"},
		{"crit empty", sign(h(object{"crit": []string{}}), good(nil)), "authn.malformed"},
		{"b64 false", sign(h(object{"b64": false, "crit": []string{"b64"}}), good(nil)), "authn.malformed"},
		{"b64 false without crit", sign(h(object{"b64": false}), good(nil)), "authn.malformed"},
		{"compressed", r.raw("RS256", encode(h(object{"zip": "DEF"})), deflate(payloadJSON)), "authn.malformed"},
		{"nested", sign(h(object{"cty": "JWT"}), plain), "authn.malformed"},
		{"nested with claims", sign(h(object{"cty": "jwt"}), good(nil)), "authn.malformed"},
		{"enc", sign(h(object{"enc": "A128GCM"}), good(nil)), "authn.malformed"},
		// The kind of token (RFC 8725 section 3.11).
		{"a DPoP proof", sign(h(object{"typ": "dpop+jwt"}), good(nil)), "authn.token_type"},
		{"a logout token", sign(h(object{"typ": "logout+jwt"}), good(nil)), "authn.token_type"},
		{"a security event", sign(h(object{"typ": "secevent+jwt"}), good(nil)), "authn.token_type"},
		{"a request object", sign(h(object{"typ": "oauth-authz-req+jwt"}), good(nil)), "authn.token_type"},
		{"an introspection answer", sign(h(object{"typ": "token-introspection+jwt"}), good(nil)), "authn.token_type"},
		{"a client's assertion", sign(h(object{"typ": "client-authentication+jwt"}), good(nil)), "authn.token_type"},
		{"a logout token, spelt out", sign(h(object{"typ": "application/LOGOUT+JWT"}), good(nil)), "authn.token_type"},
		{"typ a number", sign(h(object{"typ": 1}), good(nil)), "authn.malformed"},
		// Who issued it.
		{"iss missing", sign(h(nil), good(object{"iss": nil})), "authn.issuer"},
		{"iss another", sign(h(nil), good(object{"iss": "https://evil.test"})), "authn.issuer"},
		{"iss with a slash", sign(h(nil), good(object{"iss": issuerURL + "/"})), "authn.issuer"},
		{"iss in upper case", sign(h(nil), good(object{"iss": strings.ToUpper(issuerURL)})), "authn.issuer"},
		{"iss as a prefix", sign(h(nil), good(object{"iss": issuerURL + ".evil.test"})), "authn.issuer"},
		{"iss a list", sign(h(nil), good(object{"iss": []string{issuerURL}})), "authn.issuer"},
		{"iss null", sign(h(nil), `{"iss":null,"sub":"alice"}`), "authn.issuer"},
		// For whom.
		{"aud missing", sign(h(nil), good(object{"aud": nil})), "authn.audience"},
		{"aud another", sign(h(nil), good(object{"aud": "https://other.test"})), "authn.audience"},
		{"aud others", sign(h(nil), good(object{"aud": []string{"a", "b"}})), "authn.audience"},
		{"aud empty", sign(h(nil), good(object{"aud": []string{}})), "authn.audience"},
		{"aud as a prefix", sign(h(nil), good(object{"aud": audience + "/admin"})), "authn.audience"},
		{"aud in upper case", sign(h(nil), good(object{"aud": strings.ToUpper(audience)})), "authn.audience"},
		{"aud a number", sign(h(nil), good(object{"aud": 1})), "authn.malformed"},
		{"aud an object", sign(h(nil), good(object{"aud": object{audience: true}})), "authn.malformed"},
		{"aud mixed", sign(h(nil), good(object{"aud": []any{audience, 1}})), "authn.malformed"},
		{"an ID token, for the client", sign(h(nil), good(object{"aud": "app", "nonce": "n"})), "authn.audience"},
		// When.
		{"expired", sign(h(nil), good(object{"exp": unix(-time.Minute), "iat": unix(-time.Hour)})), "authn.expired"},
		{"expired just beyond the skew", sign(h(nil), good(object{"exp": unix(-30 * time.Second), "iat": unix(-time.Hour)})), "authn.expired"},
		{"exp missing", sign(h(nil), good(object{"exp": nil})), "authn.expired"},
		{"exp zero", sign(h(nil), good(object{"exp": 0, "iat": nil})), "authn.expired"},
		{"exp null", sign(h(nil), `{"iss":"`+issuerURL+`","aud":"`+audience+`","sub":"a","exp":null}`), "authn.malformed"},
		{"exp a string", sign(h(nil), good(object{"exp": fmt.Sprint(unix(time.Hour))})), "authn.malformed"},
		{"exp in milliseconds", sign(h(nil), good(object{"exp": noon.Add(time.Hour).UnixMilli() * 1000})), "authn.malformed"},
		{"exp negative", sign(h(nil), good(object{"exp": -1})), "authn.malformed"},
		{"exp beyond numbers", sign(h(nil), strings.Replace(payloadJSON, `"exp":`, `"exp":1e999,"x":`, 1)), "authn.malformed"},
		{"exp true", sign(h(nil), good(object{"exp": true})), "authn.malformed"},
		{"exp before iat", sign(h(nil), good(object{"iat": unix(time.Second), "exp": unix(-time.Second)})), "authn.malformed"},
		{"nbf ahead", sign(h(nil), good(object{"nbf": unix(time.Minute)})), "authn.not_yet_valid"},
		{"nbf just beyond the skew", sign(h(nil), good(object{"nbf": unix(31 * time.Second)})), "authn.not_yet_valid"},
		{"nbf a string", sign(h(nil), good(object{"nbf": "0"})), "authn.malformed"},
		{"nbf after exp", sign(h(nil), good(object{"nbf": unix(time.Hour)})), "authn.malformed"},
		{"issued in the future", sign(h(nil), good(object{"iat": unix(time.Minute)})), "authn.not_yet_valid"},
		{"iat a string", sign(h(nil), good(object{"iat": "now"})), "authn.malformed"},
		// Tokens that are for somebody or something else (RFC 8725 section 3.12).
		{"an ID token, by at_hash", sign(h(nil), good(object{"at_hash": "x"})), "authn.token_type"},
		{"an ID token, by c_hash", sign(h(nil), good(object{"c_hash": "x"})), "authn.token_type"},
		{"an ID token, by s_hash", sign(h(nil), good(object{"s_hash": "x"})), "authn.token_type"},
		{"an ID token, by nonce", sign(h(nil), good(object{"nonce": "x", "scope": nil})), "authn.token_type"},
		{"an ID token, by its claim typ", sign(h(nil), good(object{"typ": "ID"})), "authn.token_type"},
		{"an ID token, by token_use", sign(h(nil), good(object{"token_use": "id"})), "authn.token_type"},
		{"an ID token that says Bearer in another case", sign(h(nil), good(object{"typ": "id"})), "authn.token_type"},
		{"a refresh token, by its claim typ", sign(h(nil), good(object{"typ": "Refresh"})), "authn.token_type"},
		{"an offline token, by its claim typ", sign(h(nil), good(object{"typ": "Offline"})), "authn.token_type"},
		{"a logout token, by events", sign(h(nil), good(object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}})), "authn.token_type"},
		{"a security event, typ JWT", sign(h(nil), good(object{"events": object{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": object{}}})), "authn.token_type"},
		{"a signed introspection", sign(h(object{"typ": "token-introspection+jwt"}), good(nil)), "authn.token_type"},
		{"a client assertion by type", sign(h(object{"typ": "client-authentication+jwt"}), good(nil)), "authn.token_type"},
		{"a nested token without cty", r.raw("RS256", encode(h(nil)), encode(plain)), "authn.malformed"},
		{"auth_time a text", sign(h(nil), good(object{"auth_time": "today"})), "authn.malformed"},
		{"cnf a text", sign(h(nil), good(object{"cnf": "x"})), "authn.malformed"},
		{"cnf of an unknown kind", sign(h(nil), good(object{"cnf": object{"kid": "x"}})), "authn.binding"},
		// Who it names.
		{"no subject and no client", sign(h(nil), good(object{"sub": nil, "client_id": nil})), "authn.invalid"},
		{"sub empty, no client", sign(h(nil), good(object{"sub": "", "client_id": nil})), "authn.invalid"},
		{"sub a list", sign(h(nil), good(object{"sub": []string{"alice"}})), "authn.malformed"},
		{"sub with a line break", sign(h(nil), good(object{"sub": "alice\r\nX-Admin: 1"})), "authn.malformed"},
		{"sub with NUL", sign(h(nil), good(object{"sub": "admin\x00x"})), "authn.malformed"},
		{"sub huge", sign(h(nil), good(object{"sub": strings.Repeat("a", 4000)})), "authn.malformed"},
		{"roles with a line break", sign(h(nil), good(object{"roles": []string{"a\nb"}})), "authn.malformed"},
		{"roles of numbers", sign(h(nil), good(object{"roles": []int{1}})), "authn.malformed"},
		{"scope a number", sign(h(nil), good(object{"scope": 1})), "authn.malformed"},
	}
	iss := newIssuer(r, p, e)
	iss.keys = append(iss.keys, object{"kty": "oct", "kid": "oct", "k": b64.EncodeToString([]byte("published-in-the-key-set-32-bytes"))})
	api := petAPI()
	g := start(t, api, jwtConfig(nil), iss)
	op := operation(api, "token")

	// The token that all attacks start from is good, or the table would show nothing.
	if _, v := call(t, g, op, bearer(plain), ""); v.Action != exchange.Allow {
		t.Fatalf("the honest token is refused: %+v", v)
	}
	seen := make(map[string]bool)
	begin := time.Now()
	// All at once: those with unknown keys wait for their turn.
	type ruling struct {
		x *exchange.Exchange
		v exchange.Verdict
	}
	guarded, public := make([]ruling, len(attacks)), make([]ruling, len(attacks))
	var all sync.WaitGroup
	for i := range attacks {
		all.Go(func() {
			guarded[i].x, guarded[i].v = call(t, g, op, bearer(attacks[i].token), "")
			public[i].x, public[i].v = call(t, g, operation(api, "public"), bearer(attacks[i].token), "")
		})
	}
	all.Wait()
	for i, a := range attacks {
		if seen[a.name] {
			t.Fatalf("two attacks are called %q", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			x, v := guarded[i].x, guarded[i].v
			if v.Action != exchange.Deny || v.Code != a.code {
				t.Fatalf("%s %q (%s), want deny %q", v.Action, v.Code, v.Reason, a.code)
			}
			if !x.Identity.Anonymous() {
				t.Errorf("identity %+v is left behind", x.Identity)
			}
			if www := v.Header["WWW-Authenticate"]; !strings.HasPrefix(www, `Bearer realm="Pets R us", error="invalid_token"`) {
				t.Errorf("challenge %q", www)
			}
			if len(a.token) > 20 && strings.Contains(fmt.Sprintf("%+v", v), a.token[len(a.token)-20:]) {
				t.Errorf("the verdict quotes the token: %+v", v)
			}
			// The same attack on a public operation gains nothing, and is kept from the upstream.
			x, v = public[i].x, public[i].v
			if v.Action != exchange.Allow || !x.Identity.Anonymous() || len(x.Request.Credentials) != 1 || !x.Request.Credentials[0].Rejected {
				t.Errorf("public operation: %s, identity %+v, credentials %+v", v.Action, x.Identity, x.Request.Credentials)
			}
		})
	}
	t.Logf("%d attacks refused", len(attacks))
	if len(attacks) < 80 {
		t.Errorf("only %d attacks", len(attacks))
	}
	// One at the start, one for each turn of unknown keys.
	if n, most := iss.fetches.Load(), 2+int64(time.Since(begin)/(2*time.Second)); n > most {
		t.Errorf("%d fetches of the key set, at most %d should be: unknown kids must not cause one each", n, most)
	}
}

// looseBits changes bits of the last character that carry nothing.
func looseBits(s string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, s[len(s)-1])
	return s[:len(s)-1] + string(letters[last^1])
}
