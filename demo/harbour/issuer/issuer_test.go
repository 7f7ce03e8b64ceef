package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/demo/harbour/issuer"
)

func ask(t *testing.T, i http.Handler, secret, scope string) (int, map[string]any) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"depot-hamburg"}, "client_secret": {secret}, "scope": {scope}}
	r := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	var out map[string]any
	err := json.Unmarshal(w.Body.Bytes(), &out)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, out
}

func TestTokenIsVerifiedByPublishedKeys(t *testing.T) {
	i, err := issuer.New("http://127.0.0.1:9001", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	status, out := ask(t, i, "depot-hamburg-secret", "depots:read invoices:export")
	if status != http.StatusOK || out["scope"] != "depots:read" {
		t.Fatalf("status %d, %v: a client gets its own scopes only", status, out)
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil))
	keys, err := jwk.Parse(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.Body.String(), `"d"`) {
		t.Error("the private key is published")
	}
	token, _ := out["access_token"].(string)
	_, err = jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer("http://127.0.0.1:9001"), jwt.WithAudience("harbour"))
	if err != nil {
		t.Errorf("verifying the token: %v", err)
	}
}

func TestSecurityEventIsSigned(t *testing.T) {
	i, err := issuer.New("http://127.0.0.1:9001", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	event, err := i.SessionRevoked("finance", "gateway")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := i.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	message, err := jws.Parse([]byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if typ, _ := message.Signatures()[0].ProtectedHeaders().Type(); typ != "secevent+jwt" {
		t.Errorf("typ %q", typ)
	}
	payload, err := jws.Verify([]byte(event), jws.WithKeySet(keys))
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Aud    string
		Sub    *string
		Exp    *int64
		SubID  map[string]string `json:"sub_id"`
		Events map[string]map[string]int64
	}
	err = json.Unmarshal(payload, &claims)
	if err != nil {
		t.Fatal(err)
	}
	// An event that could be taken for an access token must not be (SSF 1.0 section 4.1).
	if claims.Aud != "gateway" || claims.Sub != nil || claims.Exp != nil || claims.SubID["sub"] != "finance" || len(claims.Events) != 1 {
		t.Errorf("%s", payload)
	}
}

func TestWrongSecretIsRefused(t *testing.T) {
	i, err := issuer.New("http://127.0.0.1:9001", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	status, out := ask(t, i, "guess", "")
	if status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("status %d, %v", status, out)
	}
}
