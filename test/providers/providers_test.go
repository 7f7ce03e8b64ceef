package providers_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/test/providers"
)

func get(t *testing.T, from string) map[string]any {
	t.Helper()
	res, err := http.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatalf("%s: status %d: %v", from, res.StatusCode, err)
	}
	return out
}

func kids(t *testing.T, issuer string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	keys, _ := get(t, issuer+"/jwks")["keys"].([]any)
	for _, k := range keys {
		out[k.(map[string]any)["kid"].(string)] = true
	}
	return out
}

// The harness itself: a provider starts, mints a token, rotates its keys, stops
// and comes back at the same address.
func TestOIDCProvider(t *testing.T) {
	p := providers.StartOIDC(t, providers.Spec{
		Clients: []map[string]any{{
			"client_id": "service", "client_secret": "a secret of the test", "redirect_uris": []string{}, "response_types": []string{},
			"grant_types": []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		}},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write"}, "urn:inner": {Scope: "inner"}},
	})
	if doc := get(t, p.Issuer+"/.well-known/openid-configuration"); doc["issuer"] != p.Issuer {
		t.Fatalf("discovery: %v", doc)
	}
	token := post(t, p.Issuer+"/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {"urn:pets"}})
	if text, _ := token["access_token"].(string); strings.Count(text, ".") != 2 || token["scope"] != "read" {
		t.Fatalf("no JWT of scope read: %v", token)
	}
	before := kids(t, p.Issuer)
	p.RotateKeys()
	after := kids(t, p.Issuer)
	for kid := range before {
		if !after[kid] {
			t.Error("rotation withdrew the last key")
		}
	}
	if len(after) <= len(before) {
		t.Error("rotation published no new key")
	}
	p.ReplaceKeys()
	for kid := range kids(t, p.Issuer) {
		if after[kid] {
			t.Error("replacing left a key")
		}
	}
	issuer := p.Issuer
	p.Stop()
	if res, err := http.Get(issuer); err == nil {
		res.Body.Close()
		t.Fatal("stopped, it answers")
	}
	p.Start()
	if p.Issuer != issuer || len(kids(t, issuer)) == 0 {
		t.Fatalf("started again at %s, was at %s", p.Issuer, issuer)
	}
}

func post(t *testing.T, to string, form url.Values) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("service", url.QueryEscape("a secret of the test"))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v %v", res.StatusCode, out, err)
	}
	return out
}

func TestTokenExchange(t *testing.T) {
	p := providers.StartOIDC(t, providers.Spec{
		Clients: []map[string]any{{
			"client_id": "service", "client_secret": "a secret of the test", "redirect_uris": []string{}, "response_types": []string{},
			"grant_types": []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		}},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read"}, "urn:inner": {Scope: "inner"}},
	})
	first := post(t, p.Issuer+"/token", url.Values{"grant_type": {"client_credentials"}, "resource": {"urn:pets"}, "scope": {"read"}})
	second := post(t, p.Issuer+"/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {first["access_token"].(string)},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"urn:inner"},
	})
	if text, _ := second["access_token"].(string); strings.Count(text, ".") != 2 || second["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" {
		t.Fatalf("exchanged: %v", second)
	}
}

func TestMockServer(t *testing.T) {
	p := providers.StartMock(t, providers.Spec{})
	if doc := get(t, p.Issuer+"/.well-known/openid-configuration"); doc["issuer"] != p.Issuer {
		t.Fatalf("discovery: %v", doc)
	}
}
