package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/test/providers"
)

// holder is a client that proves to have its key (RFC 9449).
type holder struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t, key}
}

// proof makes one for a call; token is empty for one to the provider. more are
// further claims, or others in place of those.
func (h *holder) proof(method, address, token string, more map[string]any) string {
	h.t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": address, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	maps.Copy(claims, more)
	public, err := jwk.Import(h.key.Public())
	if err != nil {
		h.t.Fatal(err)
	}
	head, body := jws.NewHeaders(), jwt.New()
	for name, v := range map[string]any{"typ": "dpop+jwt", "jwk": public} {
		if err := head.Set(name, v); err != nil {
			h.t.Fatal(err)
		}
	}
	for name, v := range claims {
		if err := body.Set(name, v); err != nil {
			h.t.Fatal(err)
		}
	}
	out, err := jwt.Sign(body, jwt.WithKey(jwa.ES256(), h.key, jws.WithProtectedHeaders(head)))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// grant gets a token that is bound to the key.
func (h *holder) grant(issuer, id, resource string) string {
	h.t.Helper()
	fields := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {resource}}
	status, out, _ := form(h.t, http.DefaultClient, issuer+"/token", id, fields, "DPoP", h.proof(http.MethodPost, issuer+"/token", "", nil))
	token, _ := out["access_token"].(string)
	if status != http.StatusOK || out["token_type"] != "DPoP" || token == "" {
		h.t.Fatalf("no bound token: %d %v", status, out)
	}
	return token
}

// A token that the provider binds to the caller's key, as a JWT and as one that is
// asked about, is good with that key's proof and with nothing else.
func TestDPoPWithOIDCProvider(t *testing.T) {
	s := newStand(t)
	p := providers.StartOIDC(t, providers.Spec{
		Clients:   []map[string]any{service("tills", map[string]any{"dpop_bound_access_tokens": true}), service("plain", nil), service("gateway", nil)},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write"}, "urn:opaque": {Scope: "read write", Format: "opaque"}},
		Roles:     map[string][]string{"tills": {"clerk"}, "plain": {"clerk"}},
	})
	t.Setenv("GATEWAY_SECRET", secretOf("gateway"))
	s.tokens(fmt.Sprintf(`{jwt: {issuer: %q, audience: ["urn:pets"], dpop: {required: true, nonce: required}}},
      {introspection: {issuer: %[1]q, audience: ["urn:opaque"], tokens: opaque, auth: {client_id: gateway, client_secret: "${GATEWAY_SECRET}"}}}`, p.Issuer), setup{})
	client := s.caller(nil, false)
	owner, thief := newHolder(t), newHolder(t)
	address := s.origin + "/orders"
	call := func(scheme, token, proof string) *answer {
		fields := []string{"Authorization", scheme + " " + token}
		if proof != "" {
			fields = append(fields, "DPoP", proof)
		}
		return s.ask(client, http.MethodGet, "/orders", fields...)
	}

	// A nonce of the gateway's is demanded, and told.
	token := owner.grant(p.Issuer, "tills", "urn:pets")
	refused := call("DPoP", token, owner.proof(http.MethodGet, address, token, nil))
	s.want("without nonce", refused, http.StatusUnauthorized, "authn.proof_nonce")
	nonce := refused.header.Get("DPoP-Nonce")
	if got := refused.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="use_dpop_nonce"`) || nonce == "" {
		t.Fatalf("the challenge %q, nonce %q", got, nonce)
	}
	with := map[string]any{"nonce": nonce}
	good := owner.proof(http.MethodGet, address, token, with)
	s.want("with nonce", call("DPoP", token, good), http.StatusOK, "")
	if saw := s.seen(); saw.Get("X-Policy-Saw") != "jwt client=tills roles=clerk scopes=read" || saw.Get("Authorization") != "" || saw.Get("DPoP") != "" {
		t.Errorf("the upstream saw %v", saw)
	}
	s.want("with a query", s.ask(client, http.MethodGet, "/orders?page=2", "Authorization", "DPoP "+token, "DPoP", owner.proof(http.MethodGet, address, token, with)), http.StatusUnprocessableEntity, "contract.unknown_parameter")

	opaque := owner.grant(p.Issuer, "tills", "urn:opaque")
	s.want("opaque", call("DPoP", opaque, owner.proof(http.MethodGet, address, opaque, nil)), http.StatusOK, "")
	if saw := s.seen().Get("X-Policy-Saw"); saw != "introspection client=tills roles=clerk scopes=read" {
		t.Errorf("the policy saw %q", saw)
	}
	unbound := grant(t, http.DefaultClient, p.Issuer, "plain", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	second := owner.grant(p.Issuer, "tills", "urn:pets")
	for what, c := range map[string]struct {
		scheme, token, proof string
		code                 string
	}{
		"the proof again":                {"DPoP", token, good, "authn.replay"},
		"stolen, without proof":          {"DPoP", token, "", "authn.proof"},
		"stolen, as a bearer token":      {"Bearer", token, "", "authn.binding"},
		"stolen, bearer with a proof":    {"Bearer", token, owner.proof(http.MethodGet, address, token, with), "authn.binding"},
		"stolen, with the thief's key":   {"DPoP", token, thief.proof(http.MethodGet, address, token, with), "authn.proof"},
		"for another method":             {"DPoP", token, owner.proof(http.MethodPost, address, token, with), "authn.proof"},
		"for another address":            {"DPoP", token, owner.proof(http.MethodGet, p.Issuer+"/orders", token, with), "authn.proof"},
		"for another token":              {"DPoP", token, owner.proof(http.MethodGet, address, second, with), "authn.proof"},
		"for no token":                   {"DPoP", token, owner.proof(http.MethodGet, address, "", with), "authn.proof"},
		"made an hour ago":               {"DPoP", token, owner.proof(http.MethodGet, address, token, map[string]any{"nonce": nonce, "iat": time.Now().Add(-time.Hour).Unix()}), "authn.proof"},
		"a nonce of its own":             {"DPoP", token, owner.proof(http.MethodGet, address, token, map[string]any{"nonce": "x" + nonce}), "authn.proof_nonce"},
		"bound to nothing":               {"Bearer", unbound, "", "authn.binding"},
		"opaque, as a bearer token":      {"Bearer", opaque, "", "authn.binding"},
		"opaque, with the thief's key":   {"DPoP", opaque, thief.proof(http.MethodGet, address, opaque, nil), "authn.proof"},
		"opaque, without proof":          {"DPoP", opaque, "", "authn.proof"},
		"opaque, proof of another token": {"DPoP", opaque, owner.proof(http.MethodGet, address, token, nil), "authn.proof"},
	} {
		got := call(c.scheme, c.token, c.proof)
		s.want(what, got, http.StatusUnauthorized, c.code)
		if challenge := got.header.Values("WWW-Authenticate"); !strings.Contains(strings.Join(challenge, ", "), "DPoP ") {
			t.Errorf("%s: challenges %q", what, challenge)
		}
	}
}
