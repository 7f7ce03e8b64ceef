package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// Client is a program that may get access tokens.
type Client struct {
	ID, Secret string
	Scopes     []string
}

// Clients are the documented ones.
func Clients() []Client {
	return []Client{
		{"depot-hamburg", "depot-hamburg-secret", []string{"depots:read", "scans:write"}},
		{"depot-rotterdam", "depot-rotterdam-secret", []string{"depots:read", "scans:write"}},
		{"finance", "finance-secret", []string{"parcels:export", "invoices:export"}},
		{"customs-broker", "customs-broker-secret", []string{"rates:write"}},
	}
}

const (
	audience  = "harbour"
	tokenLife = 10 * time.Minute
)

// Issuer signs access tokens with one ES256 key.
type Issuer struct {
	url  string
	now  func() time.Time
	key  jwk.Key
	keys jwk.Set
}

var _ http.Handler = (*Issuer)(nil)

// New makes an issuer of that name, which is the iss of its tokens.
func New(url string, now func() time.Time) (*Issuer, error) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the issuer's key: %w", err)
	}
	key, err := jwk.Import(raw)
	if err != nil {
		return nil, fmt.Errorf("importing the issuer's key: %w", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("taking the issuer's public key: %w", err)
	}
	for _, k := range []jwk.Key{key, public} {
		for name, value := range map[string]any{jwk.KeyIDKey: "harbour-1", jwk.AlgorithmKey: jwa.ES256()} {
			err = k.Set(name, value)
			if err != nil {
				return nil, fmt.Errorf("setting %s of the issuer's key: %w", name, err)
			}
		}
	}
	set := jwk.NewSet()
	err = set.AddKey(public)
	if err != nil {
		return nil, fmt.Errorf("listing the issuer's key: %w", err)
	}
	return &Issuer{url: url, now: now, key: key, keys: set}, nil
}

// Keys are the public keys, in the shape that harbour.Options.JWKS takes.
func (i *Issuer) Keys(context.Context) (jwk.Set, error) { return i.keys, nil }

// Token signs an access token without asking for a secret.
func (i *Issuer) Token(client string, scopes ...string) (string, error) {
	token, err := jwt.NewBuilder().Issuer(i.url).Subject(client).Audience([]string{audience}).
		Claim("client_id", client).Claim("scope", strings.Join(scopes, " ")).
		IssuedAt(i.now()).Expiration(i.now().Add(tokenLife)).JwtID(uuid.NewString()).Build()
	if err != nil {
		return "", fmt.Errorf("building an access token: %w", err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.ES256(), i.key))
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	return string(signed), nil
}

// sessionRevoked is the type of the CAEP event (OpenID Continuous Access Evaluation Profile 1.0 section 3.1).
const sessionRevoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"

// SessionRevoked signs a security event token (RFC 8417) for a receiver: all that a
// client was given until now is taken back.
func (i *Issuer) SessionRevoked(client, receiver string) (string, error) {
	event, err := json.Marshal(map[string]any{
		"iss": i.url, "aud": receiver, "jti": uuid.NewString(), "iat": i.now().Unix(),
		"sub_id": map[string]string{"format": "iss_sub", "iss": i.url, "sub": client},
		"events": map[string]any{sessionRevoked: map[string]any{"event_timestamp": i.now().Unix()}},
	})
	if err != nil {
		return "", fmt.Errorf("building a security event: %w", err)
	}
	headers := jws.NewHeaders()
	err = headers.Set(jws.TypeKey, "secevent+jwt")
	if err != nil {
		return "", fmt.Errorf("building a security event: %w", err)
	}
	signed, err := jws.Sign(event, jws.WithKey(jwa.ES256(), i.key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", fmt.Errorf("signing a security event: %w", err)
	}
	return string(signed), nil
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /jwks.json":
		send(w, http.StatusOK, i.keys)
	case "GET /.well-known/openid-configuration", "GET /.well-known/oauth-authorization-server":
		send(w, http.StatusOK, map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/jwks.json", "token_endpoint": i.url + "/token",
			"grant_types_supported": []string{"client_credentials"}, "id_token_signing_alg_values_supported": []string{"ES256"},
			"response_types_supported": []string{}, "subject_types_supported": []string{"public"},
		})
	case "POST /token":
		i.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if r.PostFormValue("grant_type") != "client_credentials" {
		send(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	for _, c := range Clients() {
		if c.ID != id || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
			continue
		}
		scopes := c.Scopes
		if asked := strings.Fields(r.PostFormValue("scope")); len(asked) > 0 {
			scopes = slices.DeleteFunc(asked, func(s string) bool { return !slices.Contains(c.Scopes, s) })
		}
		token, err := i.Token(id, scopes...)
		if err != nil {
			send(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
			return
		}
		send(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "scope": strings.Join(scopes, " ")})
		return
	}
	send(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
