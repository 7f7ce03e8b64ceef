package authn_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestStepUp(t *testing.T) {
	path, keys := keyFile(t, nil, "shop")
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods, config.AuthnMethod{APIKey: &config.KeyMethod{File: path, Header: "X-API-Key"}})
	at := func(d time.Duration) int64 { return noon.Add(-d).Unix() }
	all := config.StepUp{ACR: []string{"gold", "silver"}, AMR: []string{"hwk", "otp"}, MaxAge: 5 * time.Minute}
	for name, c := range map[string]struct {
		demand config.StepUp
		claims object
		www    string // parameters of the challenge; "" lets in
	}{
		"all of it":           {all, object{"acr": "silver", "amr": []string{"pwd", "otp"}, "auth_time": at(time.Minute)}, ""},
		"nothing of it":       {all, nil, `, acr_values="gold silver", max_age="300"`},
		"acr":                 {config.StepUp{ACR: []string{"gold"}}, object{"acr": "gold"}, ""},
		"another acr":         {config.StepUp{ACR: []string{"gold"}}, object{"acr": "bronze"}, `, acr_values="gold"`},
		"acr a list":          {config.StepUp{ACR: []string{"gold"}}, object{"acr": []string{"gold"}}, `, acr_values="gold"`},
		"amr":                 {config.StepUp{AMR: []string{"hwk"}}, object{"amr": []string{"hwk"}}, ""},
		"amr a text":          {config.StepUp{AMR: []string{"hwk"}}, object{"amr": "hwk"}, ""},
		"another amr":         {config.StepUp{AMR: []string{"hwk"}}, object{"amr": []string{"pwd"}}, ` `},
		"amr a number":        {config.StepUp{AMR: []string{"hwk"}}, object{"amr": []int{1}}, ` `},
		"just fresh enough":   {config.StepUp{MaxAge: 5 * time.Minute}, object{"auth_time": at(5*time.Minute + 30*time.Second)}, ""},
		"a second too old":    {config.StepUp{MaxAge: 5 * time.Minute}, object{"auth_time": at(5*time.Minute + 31*time.Second)}, `, max_age="300"`},
		"auth_time to come":   {config.StepUp{MaxAge: 5 * time.Minute}, object{"auth_time": at(-time.Hour)}, `, max_age="300"`},
		"auth_time missing":   {config.StepUp{MaxAge: 5 * time.Minute}, nil, `, max_age="300"`},
		"iat is no auth_time": {config.StepUp{MaxAge: 5 * time.Minute}, object{"iat": at(0)}, `, max_age="300"`},
	} {
		t.Run(name, func(t *testing.T) {
			api := petAPI()
			g, err := authn.New(authn.Options{API: api, Config: conf, Now: func() time.Time { return noon }, Client: client(newIssuer(rsaKey())),
				Overrides: []config.OperationOverride{{Operation: "either", StepUp: &c.demand}, {Operation: "silent", StepUp: &c.demand}, {Operation: "optional", StepUp: &c.demand}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Close)
			tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, c.claims))
			for _, op := range []string{"either", "silent", "optional"} {
				for range 2 { // the second time from memory
					x, v := call(t, g, operation(api, op), bearer(tok), "")
					if c.www == "" {
						want(t, v, exchange.Allow, "")
						continue
					}
					want(t, v, exchange.Deny, "authn.step_up")
					whole := `Bearer realm="Pets R us", error="insufficient_user_authentication", error_description="Another or a fresher authentication is required"` + strings.TrimSpace(c.www)
					if got := v.Header["WWW-Authenticate"]; got != whole && !strings.HasPrefix(got, whole+", ApiKey") {
						t.Errorf("%s: challenge %q, want %q", op, got, whole)
					}
					if x.Identity.Subject != "alice" {
						t.Errorf("the record would not know who it was: %+v", x.Identity)
					}
				}
			}
			// Who has no sign-in at all cannot meet the demand, and nobody is let in without credentials.
			_, v := call(t, g, operation(api, "either"), http.Header{"X-Api-Key": {keys["shop"]}}, "")
			want(t, v, exchange.Deny, "authn.step_up")
			_, v = call(t, g, operation(api, "optional"), nil, "")
			want(t, v, exchange.Deny, "authn.missing")
			// Other operations do not care.
			_, v = call(t, g, operation(api, "token"), bearer(tok), "")
			want(t, v, exchange.Allow, "")
		})
	}
	yes := true
	for says, o := range map[string]config.OperationOverride{
		"public and demands a step-up": {Operation: "token", Public: &yes, StepUp: &all},
		"matches no operation":         {Operation: "nowhere", StepUp: &all},
	} {
		if _, err := authn.New(authn.Options{API: petAPI(), Config: conf, Overrides: []config.OperationOverride{o}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// The metadata, and the challenges that lead to it.
func TestResourceMetadata(t *testing.T) {
	scoped := func() *spec.API {
		api := petAPI()
		op := operation(api, "token")
		op.Security = []spec.Requirement{{{Scheme: api.SecuritySchemes["oauth"], Scopes: []string{"pets:read", "pets:write"}}}}
		return api
	}
	// Bound tokens are taken with their proof, asked for or not.
	proofs := []any{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256"}
	for name, c := range map[string]struct {
		resource config.Resource
		change   func(j *config.JWTMethod)
		path     string
		want     object
	}{
		"derived": {config.Resource{URL: "https://api.test/v1"}, nil, "/.well-known/oauth-protected-resource/v1",
			object{"resource": "https://api.test/v1", "authorization_servers": []any{issuerURL}, "scopes_supported": []any{"pets:read", "pets:write"},
				"bearer_methods_supported": []any{"header"}, "resource_name": `Pets "R" us`, "dpop_signing_alg_values_supported": proofs}},
		"at the root": {config.Resource{URL: "https://api.test/"}, nil, "/.well-known/oauth-protected-resource",
			object{"resource": "https://api.test/", "authorization_servers": []any{issuerURL}, "scopes_supported": []any{"pets:read", "pets:write"},
				"bearer_methods_supported": []any{"header"}, "resource_name": `Pets "R" us`, "dpop_signing_alg_values_supported": proofs}},
		"said outright": {config.Resource{URL: "https://api.test", AuthorizationServers: []string{"https://as.test"}, Scopes: []string{"x"}, Documentation: "https://docs.test"},
			func(j *config.JWTMethod) { j.DPoP = &config.DPoP{Required: true, Algorithms: []string{"ES256"}} }, "/.well-known/oauth-protected-resource",
			object{"resource": "https://api.test", "authorization_servers": []any{"https://as.test"}, "scopes_supported": []any{"x"}, "bearer_methods_supported": []any{"header"},
				"resource_name": `Pets "R" us`, "resource_documentation": "https://docs.test", "dpop_signing_alg_values_supported": []any{"ES256"}, "dpop_bound_access_tokens_required": true}},
		"tokens in a cookie": {config.Resource{URL: "https://api.test"}, func(j *config.JWTMethod) { j.Cookie = "jwt" }, "/.well-known/oauth-protected-resource",
			object{"resource": "https://api.test", "authorization_servers": []any{issuerURL}, "scopes_supported": []any{"pets:read", "pets:write"},
				"bearer_methods_supported": []any{}, "resource_name": `Pets "R" us`}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := jwtConfig(c.change)
			conf.Resource = &c.resource
			api := scoped()
			g := start(t, api, conf, newIssuer(rsaKey()))
			r := g.Resource()
			if r.Path != c.path {
				t.Errorf("path %q, want %q", r.Path, c.path)
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, r.Path, nil))
			var got object
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("document (-want +got):\n%s", d)
			}
			if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("header %v", w.Header())
			}
			if c.change != nil {
				return
			}
			also := `, scope="pets:read pets:write", resource_metadata="https://api.test` + c.path + `"`
			_, v := call(t, g, operation(api, "token"), nil, "")
			if got, want := v.Header["WWW-Authenticate"], `Bearer realm="Pets R us"`+also; got != want {
				t.Errorf("challenge %q, want %q", got, want)
			}
			_, v = call(t, g, operation(api, "token"), bearer("x"), "")
			if got, want := v.Header["WWW-Authenticate"], `Bearer realm="Pets R us", error="invalid_token", error_description="The access token is invalid"`+also; got != want {
				t.Errorf("challenge %q, want %q", got, want)
			}
		})
	}
	if start(t, petAPI(), jwtConfig(nil), newIssuer(rsaKey())).Resource() != nil {
		t.Error("metadata without being asked")
	}
}

// Whoever sends a second credential, of his own, is let in as himself and not as the
// first one's holder: neither for a scope that the first lacks nor for a sign-in that
// the first one's holder did not make.
func TestAnothersCredentialBesideIt(t *testing.T) {
	path, keys := keyFile(t, nil, "mallory")
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods, config.AuthnMethod{APIKey: &config.KeyMethod{File: path, Header: "X-API-Key"}})
	api := petAPI()
	oauth, key := api.SecuritySchemes["oauth"], api.SecuritySchemes["key"]
	either := operation(api, "either")
	k := rsaKey()
	both := func(c object) http.Header {
		h := bearer(k.token("RS256", k.header("RS256"), claims(noon, c)))
		h["X-Api-Key"] = []string{keys["mallory"]}
		return h
	}
	guard := func(o ...config.OperationOverride) *authn.Guard {
		g, err := authn.New(authn.Options{API: api, Config: conf, Overrides: o, Now: func() time.Time { return noon }, Client: client(newIssuer(k))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		return g
	}
	either.Security = []spec.Requirement{{{Scheme: oauth, Scopes: []string{"orders:write"}}}, {{Scheme: key}}}
	g := guard()
	for scope, who := range map[string]string{"orders:read": "mallory", "orders:write": "alice"} {
		x, v := call(t, g, either, both(object{"scope": scope}), "")
		want(t, v, exchange.Allow, "")
		if x.Identity.Subject != who {
			t.Errorf("with the scope %s it is %s, want %s", scope, x.Identity.Subject, who)
		}
	}
	// Without the key the scope is what is missing; to say so is the policy's.
	x, v := call(t, g, either, bearer(k.token("RS256", k.header("RS256"), claims(noon, nil))), "")
	want(t, v, exchange.Allow, "")
	if x.Identity.Subject != "alice" {
		t.Errorf("the token alone: %s", x.Identity.Subject)
	}
	// The key goes first, and the demanded sign-in was the token's.
	either.Security = []spec.Requirement{{{Scheme: key}}, {{Scheme: oauth}}}
	g = guard(config.OperationOverride{Operation: "either", StepUp: &config.StepUp{ACR: []string{"gold"}}}, config.OperationOverride{Operation: "both", StepUp: &config.StepUp{ACR: []string{"gold"}}})
	_, v = call(t, g, either, both(object{"acr": "gold"}), "")
	want(t, v, exchange.Deny, "authn.step_up")
	// Where both are demanded together one of them is enough.
	_, v = call(t, g, operation(api, "both"), both(object{"acr": "gold"}), "")
	want(t, v, exchange.Allow, "")
	_, v = call(t, g, operation(api, "both"), both(nil), "")
	want(t, v, exchange.Deny, "authn.step_up")
}
