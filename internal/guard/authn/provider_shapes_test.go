package authn_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// shape is how a provider writes a token: its header and claims as it documents
// them and as its tokens look. Times are put in.
type shape struct {
	conf   config.JWTMethod
	header string
	claims string
	want   exchange.Identity // beside what every token has
	code   string            // "" is taken
}

const tenant = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"

var (
	oktaConf = config.JWTMethod{Issuer: "https://dev-840.okta.example/oauth2/default", Audience: []string{"api://default"}, Claims: config.Claims{Subject: "uid", Roles: "groups"}}
	// In the org's own server the token is for Okta itself and its typ is Okta's own.
	keycloakConf = config.JWTMethod{Issuer: "https://sso.example/realms/pets", Audience: []string{"pets-api"}, Claims: config.Claims{Roles: "resource_access.pets-api.roles", Tenant: "organization"}}
	entraConf    = config.JWTMethod{Issuer: "https://login.microsoftonline.example/{tenantid}/v2.0", Audience: []string{"6e74172b-be56-4843-9ff4-e66a39bb12e3"}, Claims: config.Claims{Subject: "oid"}}
	entraV1Conf  = config.JWTMethod{Issuer: "https://sts.windows.example/" + tenant + "/", Audience: []string{"api://6e74172b-be56-4843-9ff4-e66a39bb12e3"}, Claims: config.Claims{Subject: "oid", Tenant: "tid"}}
	auth0Conf    = config.JWTMethod{Issuer: "https://pets.eu.auth0.example/", Audience: []string{"https://api.pets.example"}, Claims: config.Claims{Roles: "permissions", Tenant: "org_id"}}
)

var shapes = map[string]shape{
	"Okta, a user": {conf: oktaConf,
		header: `{"kid":"rsa","alg":"RS256"}`,
		claims: `{"ver":1,"jti":"AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE","iss":"https://dev-840.okta.example/oauth2/default","aud":"api://default","cid":"0oa2z9m3kB1vQ5x8y4x7","uid":"00ub0oNGTSWTBKOLGLNR","scp":["openid","profile","pets:read"],"auth_time":$IAT,"sub":"ann@example.com","groups":["Everyone","Vets"]}`,
		want:   exchange.Identity{Subject: "00ub0oNGTSWTBKOLGLNR", ClientID: "0oa2z9m3kB1vQ5x8y4x7", Scopes: []string{"openid", "profile", "pets:read"}, Roles: []string{"Everyone", "Vets"}, Session: "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE"}},
	"Okta, a service": {conf: config.JWTMethod{Issuer: oktaConf.Issuer, Audience: oktaConf.Audience},
		header: `{"kid":"rsa","alg":"RS256"}`,
		claims: `{"ver":1,"jti":"AT.x","iss":"https://dev-840.okta.example/oauth2/default","aud":"api://default","cid":"0oa2z9m3kB1vQ5x8y4x7","scp":["pets:read"],"sub":"0oa2z9m3kB1vQ5x8y4x7"}`,
		want:   exchange.Identity{Subject: "0oa2z9m3kB1vQ5x8y4x7", ClientID: "0oa2z9m3kB1vQ5x8y4x7", Scopes: []string{"pets:read"}, Session: "AT.x"}},
	"Okta, its ID token": {conf: config.JWTMethod{Issuer: oktaConf.Issuer, Audience: []string{"0oa2z9m3kB1vQ5x8y4x7"}},
		header: `{"kid":"rsa","alg":"RS256"}`,
		claims: `{"sub":"00ub0oNGTSWTBKOLGLNR","name":"Ann","ver":1,"iss":"https://dev-840.okta.example/oauth2/default","aud":"0oa2z9m3kB1vQ5x8y4x7","jti":"ID.x","amr":["pwd","mfa"],"idp":"00o1","nonce":"n","preferred_username":"ann@example.com","auth_time":$IAT,"at_hash":"preview"}`,
		code:   "authn.token_type"},
	"Okta, of the org itself": {conf: config.JWTMethod{Issuer: "https://dev-840.okta.example", Audience: []string{"https://dev-840.okta.example"}},
		header: `{"kid":"rsa","alg":"RS256","typ":"application/okta-internal-at+jwt"}`,
		claims: `{"ver":1,"jti":"AT.y","iss":"https://dev-840.okta.example","aud":"https://dev-840.okta.example","sub":"ann@example.com","cid":"0oa","uid":"00u","scp":["openid"]}`,
		want:   exchange.Identity{Subject: "ann@example.com", ClientID: "0oa", Scopes: []string{"openid"}, Session: "AT.y"}},

	"Keycloak, a user": {conf: keycloakConf,
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"auth_time":$IAT,"jti":"onrtac:0d2b","iss":"https://sso.example/realms/pets","aud":["pets-api","account"],"sub":"c1f3a9b0-5a2e-4d1c-8f7e-0b9c1d2e3f40","typ":"Bearer","azp":"pets-web","nonce":"older-releases-copy-it","session_state":"08a5019c-17e1","acr":"1","allowed-origins":["https://pets.example"],"realm_access":{"roles":["default-roles-pets","offline_access"]},"resource_access":{"pets-api":{"roles":["vet"]},"account":{"roles":["view-profile"]}},"scope":"openid email pets:read","sid":"08a5019c-17e1","email_verified":true,"organization":["clinic-north"],"preferred_username":"ann"}`,
		want:   exchange.Identity{Subject: "c1f3a9b0-5a2e-4d1c-8f7e-0b9c1d2e3f40", ClientID: "pets-web", Scopes: []string{"openid", "email", "pets:read"}, Roles: []string{"vet"}, Tenant: "clinic-north", Session: "08a5019c-17e1"}},
	"Keycloak, a user of two organizations": {conf: keycloakConf,
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"iss":"https://sso.example/realms/pets","aud":"pets-api","sub":"a1","typ":"Bearer","organization":["clinic-north","clinic-south"]}`,
		code:   "authn.malformed"}, // which one is meant is not said: map another claim
	"Keycloak, a user, no tenant": {conf: config.JWTMethod{Issuer: keycloakConf.Issuer, Audience: keycloakConf.Audience},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"auth_time":$IAT,"jti":"onrtac:0d2b","iss":"https://sso.example/realms/pets","aud":["pets-api","account"],"sub":"c1f3a9b0-5a2e-4d1c-8f7e-0b9c1d2e3f40","typ":"Bearer","azp":"pets-web","nonce":"older-releases-copy-it","session_state":"08a5019c-17e1","acr":"1","realm_access":{"roles":["default-roles-pets","offline_access"]},"resource_access":{"pets-api":{"roles":["vet"]}},"scope":"openid email pets:read","sid":"08a5019c-17e1"}`,
		want:   exchange.Identity{Subject: "c1f3a9b0-5a2e-4d1c-8f7e-0b9c1d2e3f40", ClientID: "pets-web", Scopes: []string{"openid", "email", "pets:read"}, Roles: []string{"default-roles-pets", "offline_access"}, Session: "08a5019c-17e1"}},
	"Keycloak, roles of the client": {conf: config.JWTMethod{Issuer: keycloakConf.Issuer, Audience: []string{"pets-api"}, Claims: config.Claims{Roles: "resource_access.pets-api.roles"}},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"jti":"trrtcc:1","iss":"https://sso.example/realms/pets","aud":"pets-api","sub":"a1","typ":"Bearer","azp":"pets-batch","acr":"1","realm_access":{"roles":["x"]},"resource_access":{"pets-api":{"roles":["vet","clerk"]}},"scope":"profile","clientHost":"10.0.0.9","client_id":"pets-batch"}`,
		want:   exchange.Identity{Subject: "a1", ClientID: "pets-batch", Scopes: []string{"profile"}, Roles: []string{"vet", "clerk"}, Session: "trrtcc:1"}},
	"Keycloak, its ID token": {conf: config.JWTMethod{Issuer: keycloakConf.Issuer, Audience: []string{"pets-web"}},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"auth_time":$IAT,"jti":"1","iss":"https://sso.example/realms/pets","aud":"pets-web","sub":"a1","typ":"ID","azp":"pets-web","nonce":"n","sid":"s","at_hash":"h","acr":"1"}`,
		code:   "authn.token_type"},
	"Keycloak, its refresh token": {conf: config.JWTMethod{Issuer: keycloakConf.Issuer},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"jti":"1","iss":"https://sso.example/realms/pets","aud":"https://sso.example/realms/pets","sub":"a1","typ":"Refresh","azp":"pets-web","sid":"s","scope":"openid"}`,
		code:   "authn.token_type"},

	"Entra, a user": {conf: entraConf,
		header: `{"typ":"JWT","alg":"RS256","kid":"rsa"}`,
		claims: `{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"https://login.microsoftonline.example/` + tenant + `/v2.0","aio":"AXQAi/8IAAAAtAaZLo","azp":"11112222-bbbb-3333-cccc-4444dddd5555","azpacr":"0","name":"Ann","oid":"690222be-ff1a-4d56-abd1-7e4f7d38e474","preferred_username":"ann@contoso.example","rh":"I","scp":"Pets.Read Pets.Write","roles":["Vet"],"sid":"0014a2","sub":"HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ","tid":"` + tenant + `","uti":"fqiBqXLPj0eQa82S-IYFAA","ver":"2.0","wids":["62e90394-69f5-4237-9190-012177145e10"]}`,
		want:   exchange.Identity{Subject: "690222be-ff1a-4d56-abd1-7e4f7d38e474", ClientID: "11112222-bbbb-3333-cccc-4444dddd5555", Scopes: []string{"Pets.Read", "Pets.Write"}, Roles: []string{"Vet"}, Tenant: tenant, Session: "0014a2"}},
	"Entra, a service": {conf: entraConf,
		header: `{"typ":"JWT","alg":"RS256","kid":"rsa"}`,
		claims: `{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"https://login.microsoftonline.example/` + tenant + `/v2.0","azp":"1111","azpacr":"1","oid":"d1","roles":["Pets.Read.All"],"sub":"d1","tid":"` + tenant + `","uti":"x","ver":"2.0"}`,
		want:   exchange.Identity{Subject: "d1", ClientID: "1111", Roles: []string{"Pets.Read.All"}, Tenant: tenant}},
	"Entra, of another tenant": {conf: func() config.JWTMethod { c := entraConf; c.Tenants = []string{tenant}; return c }(),
		header: `{"typ":"JWT","alg":"RS256","kid":"rsa"}`,
		claims: `{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"https://login.microsoftonline.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0","oid":"d1","sub":"d1","tid":"9188040d-6c67-4c5b-b112-36a304b66dad","ver":"2.0"}`,
		code:   "authn.issuer"},
	"Entra, version 1": {conf: entraV1Conf,
		header: `{"typ":"JWT","alg":"RS256","x5t":"i6lGk3FZzxRcUb2C3nEQ7syHJlY","kid":"rsa"}`,
		claims: `{"aud":"api://6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"https://sts.windows.example/` + tenant + `/","acr":"1","aio":"x","amr":["pwd","mfa"],"appid":"75dbe77f-10a3-4e59-85fd-8c127544f17c","appidacr":"0","family_name":"A","ipaddr":"192.0.2.1","oid":"690222be","rh":"0","scp":"user_impersonation","sub":"5lP","tid":"` + tenant + `","unique_name":"ann@contoso.example","upn":"ann@contoso.example","uti":"x","ver":"1.0"}`,
		want:   exchange.Identity{Subject: "690222be", ClientID: "75dbe77f-10a3-4e59-85fd-8c127544f17c", Scopes: []string{"user_impersonation"}, Tenant: tenant}},
	"Entra, its ID token": {conf: config.JWTMethod{Issuer: entraConf.Issuer, Audience: []string{"1111"}},
		header: `{"typ":"JWT","alg":"RS256","kid":"rsa"}`,
		claims: `{"ver":"2.0","iss":"https://login.microsoftonline.example/` + tenant + `/v2.0","sub":"AAA","aud":"1111","name":"Ann","oid":"o","tid":"` + tenant + `","nonce":"12345","roles":["Vet"],"aio":"x"}`,
		code:   "authn.token_type"},

	"Auth0, a user": {conf: auth0Conf,
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"https://pets.example/email":"ann@example.com","iss":"https://pets.eu.auth0.example/","sub":"auth0|5f7c8ec7c33c6c004bbafe82","aud":["https://api.pets.example","https://pets.eu.auth0.example/userinfo"],"azp":"my_client_id","scope":"openid profile read:pets","org_id":"org_9ybsU1dN2dKfDkBi","permissions":["read:pets"],"gty":"password"}`,
		want:   exchange.Identity{Subject: "auth0|5f7c8ec7c33c6c004bbafe82", ClientID: "my_client_id", Scopes: []string{"openid", "profile", "read:pets"}, Roles: []string{"read:pets"}, Tenant: "org_9ybsU1dN2dKfDkBi"}},
	"Auth0, a service": {conf: auth0Conf,
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"iss":"https://pets.eu.auth0.example/","sub":"my_client_id@clients","aud":"https://api.pets.example","azp":"my_client_id","scope":"read:pets","gty":"client-credentials","permissions":["read:pets"]}`,
		want:   exchange.Identity{Subject: "my_client_id@clients", ClientID: "my_client_id", Scopes: []string{"read:pets"}, Roles: []string{"read:pets"}}},
	"Auth0, by RFC 9068": {conf: func() config.JWTMethod { c := auth0Conf; c.Type = []string{"at+jwt"}; return c }(),
		header: `{"alg":"RS256","typ":"at+jwt","kid":"rsa"}`,
		claims: `{"iss":"https://pets.eu.auth0.example/","sub":"auth0|1","aud":"https://api.pets.example","client_id":"my_client_id","jti":"j1","scope":"read:pets","permissions":["read:pets"]}`,
		want:   exchange.Identity{Subject: "auth0|1", ClientID: "my_client_id", Scopes: []string{"read:pets"}, Roles: []string{"read:pets"}, Session: "j1"}},
	"Auth0, typ JWT where RFC 9068 is demanded": {conf: func() config.JWTMethod { c := auth0Conf; c.Type = []string{"at+jwt"}; return c }(),
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"iss":"https://pets.eu.auth0.example/","sub":"auth0|1","aud":"https://api.pets.example","scope":"read:pets"}`,
		code:   "authn.token_type"},
	"Auth0, its ID token": {conf: config.JWTMethod{Issuer: auth0Conf.Issuer, Audience: []string{"my_client_id"}},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"nickname":"ann","name":"ann@example.com","email_verified":true,"iss":"https://pets.eu.auth0.example/","aud":"my_client_id","sub":"auth0|5f7c","sid":"QrJ1eS","nonce":"Y0VkZ3I="}`,
		code:   "authn.token_type"},
	"Auth0, its ID token, taken by config": {conf: config.JWTMethod{Issuer: auth0Conf.Issuer, Audience: []string{"my_client_id"}, IDTokens: true},
		header: `{"alg":"RS256","typ":"JWT","kid":"rsa"}`,
		claims: `{"iss":"https://pets.eu.auth0.example/","aud":"my_client_id","sub":"auth0|5f7c","sid":"QrJ1eS","nonce":"Y0VkZ3I="}`,
		want:   exchange.Identity{Subject: "auth0|5f7c", Session: "QrJ1eS"}},

	"Cognito": {conf: config.JWTMethod{Issuer: "https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_x", Claims: config.Claims{Roles: "cognito:groups"}},
		header: `{"kid":"rsa","alg":"RS256"}`,
		claims: `{"sub":"aaaa","cognito:groups":["vets"],"iss":"https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_x","version":2,"client_id":"xxx","origin_jti":"o","token_use":"access","scope":"phone openid","auth_time":$IAT,"jti":"j","username":"ann"}`,
		want:   exchange.Identity{Subject: "aaaa", ClientID: "xxx", Scopes: []string{"phone", "openid"}, Roles: []string{"vets"}, Session: "j"}},
	"Cognito, its ID token": {conf: config.JWTMethod{Issuer: "https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_x"},
		header: `{"kid":"rsa","alg":"RS256"}`,
		claims: `{"sub":"aaaa","iss":"https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_x","aud":"xxx","token_use":"id","auth_time":$IAT,"jti":"j"}`,
		code:   "authn.token_type"},
}

// Honest tokens of providers are taken, and the identity is read from where each
// of them has it; their ID and refresh tokens are told apart.
func TestProviderShapes(t *testing.T) {
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			at := strings.Replace(s.conf.Issuer, "{tenantid}", "common", 1)
			documents := &web{pages: map[string]any{
				strings.TrimSuffix(at, "/") + "/.well-known/openid-configuration": object{"issuer": s.conf.Issuer, "jwks_uri": "https://keys.test/"},
				"https://keys.test/": object{"keys": []any{rsaKey().jwk(), rsaOther().with("use", "enc")}},
			}}
			var c object
			if err := json.Unmarshal([]byte(strings.ReplaceAll(s.claims, "$IAT", "0")), &c); err != nil {
				t.Fatal(err)
			}
			times := object{"iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(time.Hour).Unix()}
			if _, ok := c["auth_time"]; ok {
				times["auth_time"] = noon.Unix()
			}
			maps.Copy(c, times)
			api := petAPI()
			g, err := authn.New(authn.Options{API: api, Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &s.conf}}},
				Now: func() time.Time { return noon }, Client: &http.Client{Transport: documents}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Close)
			x, v := call(t, g, operation(api, "token"), bearer(rsaKey().token("RS256", s.header, c)), "")
			if v.Code != s.code {
				t.Fatalf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, s.code)
			}
			if s.code != "" {
				return
			}
			got := x.Identity
			s.want.Issuer, _ = c["iss"].(string)
			s.want.Method, s.want.Verified, s.want.Schemes = "jwt", true, []string{"oauth"}
			got.Claims, got.Credential, got.Memo, got.Expires, got.Issued, got.Revocable = nil, "", nil, time.Time{}, time.Time{}, nil
			if d := cmp.Diff(s.want, got); d != "" {
				t.Errorf("identity (-want +got):\n%s", d)
			}
		})
	}
}
