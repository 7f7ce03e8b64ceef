package authn_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// keyFile writes a file with one key for each of the names, and returns the keys.
func keyFile(t testing.TB, change func(name string, k *apikey.Key), names ...string) (path string, keys map[string]string) {
	t.Helper()
	f := &apikey.File{Path: t.TempDir() + "/keys.yaml"}
	keys = make(map[string]string)
	for _, n := range names {
		text, k, err := apikey.Generate(apikey.Key{Subject: n, Roles: []string{"partner"}, Scopes: []string{"read"}, Tenant: "north"}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(n, &k)
		}
		keys[n] = text
		f.Add(k)
	}
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	return f.Path, keys
}

// Which credentials an operation takes, from where, and what is refused.
func TestRule(t *testing.T) {
	path, keys := keyFile(t, func(n string, k *apikey.Key) {
		switch n {
		case "revoked":
			k.Revoked = noon.Add(-time.Minute)
		case "expired":
			k.Expires = noon
		case "future":
			k.Revoked = noon.Add(time.Minute)
		}
	}, "shop", "revoked", "expired", "future")
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods, config.AuthnMethod{APIKey: &config.KeyMethod{File: path}}, config.AuthnMethod{Own: &config.OwnMethod{Cookie: "sid"}})
	// The document has two apiKey schemes: the key file serves the header's.
	conf.Methods[1].APIKey.Header = "X-API-Key"
	api := petAPI()
	g := start(t, api, conf, newIssuer(rsaKey()))
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	expired := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon.Add(-time.Hour), nil))
	forged := rsaOther().token("RS256", rsaKey().header("RS256"), claims(noon, object{"sub": "admin"}))
	head := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	cert := &x509.Certificate{Raw: []byte("device"), Subject: pkix.Name{CommonName: "device"}, URIs: []*url.URL{must(url.Parse("spiffe://test/device"))}, NotAfter: noon.Add(time.Hour)}
	const realm = `realm="Pets R us"`
	invalid := `Bearer ` + realm + `, error="invalid_token", error_description="The access token is invalid"`
	for name, c := range map[string]struct {
		op      string
		header  http.Header
		query   string
		cert    *x509.Certificate
		code    string
		www     string
		who     string // "method subject"
		also    int
		rejects string // places, joined
		places  string
	}{
		"nothing":                    {op: "token", code: "authn.missing", www: `Bearer ` + realm},
		"nothing, either":            {op: "either", code: "authn.missing", www: `Bearer ` + realm + `, ApiKey ` + realm + `, in="header", name="X-Api-Key"`},
		"nothing, key":               {op: "keyOnly", code: "authn.missing", www: `ApiKey ` + realm + `, in="header", name="X-Api-Key"`},
		"nothing, cookie":            {op: "cookie", code: "authn.missing", www: `Cookie ` + realm + `, cookie-name="sid"`},
		"nothing, silent":            {op: "silent", code: "authn.missing"},
		"nothing, public":            {op: "public"},
		"nothing, optional":          {op: "optional"},
		"nothing, certificate":       {op: "cert", code: "authn.missing", www: `Mutual ` + realm},
		"token":                      {op: "token", header: head("Authorization", "Bearer "+tok), who: "jwt alice", places: "header:Authorization"},
		"bearer in lower case":       {op: "token", header: head("Authorization", "bearer "+tok), who: "jwt alice", places: "header:Authorization"},
		"two spaces":                 {op: "token", header: head("Authorization", "BEARER  "+tok), who: "jwt alice", places: "header:Authorization"},
		"no scheme":                  {op: "token", header: head("Authorization", tok), code: "authn.missing", places: "header:Authorization"},
		"another scheme":             {op: "token", header: head("Authorization", "Basic YTpi"), code: "authn.missing", places: "header:Authorization"},
		"a longer scheme":            {op: "token", header: head("Authorization", "Bearerx "+tok), code: "authn.missing", places: "header:Authorization"},
		"scheme alone":               {op: "token", header: head("Authorization", "Bearer"), code: "authn.malformed", www: invalid, places: "header:Authorization"},
		"two Authorization fields":   {op: "token", header: head("Authorization", "Bearer "+tok, "Authorization", "Bearer "+forged), code: "authn.ambiguous"},
		"the same twice":             {op: "token", header: head("Authorization", "Bearer "+tok, "Authorization", "Bearer "+tok), code: "authn.ambiguous"},
		"two fields, public":         {op: "public", header: head("Authorization", "Bearer "+tok, "Authorization", "Bearer "+tok), code: "authn.ambiguous"},
		"joined by a comma":          {op: "token", header: head("Authorization", "Bearer "+tok+", Bearer "+forged), code: "authn.malformed", www: invalid, places: "header:Authorization"},
		"header and query":           {op: "token", header: head("Authorization", "Bearer "+tok), query: "access_token=" + forged, code: "authn.ambiguous", places: "header:Authorization"},
		"header and escaped query":   {op: "token", header: head("Authorization", "Bearer "+tok), query: "a=1&acces%73_token=x", code: "authn.ambiguous", places: "header:Authorization"},
		"token in the query only":    {op: "token", query: "access_token=" + tok, code: "authn.missing"},
		"key for a token":            {op: "token", header: head("X-Api-Key", keys["shop"]), code: "authn.missing", places: "header:X-Api-Key"},
		"token for a key":            {op: "keyOnly", header: head("Authorization", "Bearer "+tok), code: "authn.missing", places: "header:Authorization"},
		"either, token":              {op: "either", header: head("Authorization", "Bearer "+tok), who: "jwt alice", places: "header:Authorization"},
		"either, key":                {op: "either", header: head("X-Api-Key", keys["shop"]), who: "api_key shop", places: "header:X-Api-Key"},
		"either, forged and key":     {op: "either", header: head("Authorization", "Bearer "+forged, "X-Api-Key", keys["shop"]), who: "api_key shop", rejects: "header:Authorization", places: "header:Authorization header:X-Api-Key"},
		"either, key wrong":          {op: "either", header: head("X-Api-Key", keys["shop"]+"x"), code: "authn.malformed", www: `Bearer ` + realm + `, ApiKey ` + realm + `, in="header", name="X-Api-Key"`, places: "header:X-Api-Key"},
		"either, forged":             {op: "either", header: head("Authorization", "Bearer "+forged), code: "authn.signature", www: invalid + `, ApiKey ` + realm + `, in="header", name="X-Api-Key"`, places: "header:Authorization"},
		"both":                       {op: "both", header: head("Authorization", "Bearer "+tok, "X-Api-Key", keys["shop"]), who: "jwt alice", also: 1, places: "header:Authorization header:X-Api-Key"},
		"both, one missing":          {op: "both", header: head("Authorization", "Bearer "+tok), code: "authn.missing", places: "header:Authorization"},
		"both, one forged":           {op: "both", header: head("Authorization", "Bearer "+forged, "X-Api-Key", keys["shop"]), code: "authn.signature", places: "header:Authorization header:X-Api-Key"},
		"both, key wrong":            {op: "both", header: head("Authorization", "Bearer "+tok, "X-Api-Key", keys["shop"]+"x"), code: "authn.malformed", places: "header:Authorization header:X-Api-Key"},
		"key":                        {op: "keyOnly", header: head("X-Api-Key", keys["shop"]), who: "api_key shop", places: "header:X-Api-Key"},
		"key to be revoked later":    {op: "keyOnly", header: head("X-Api-Key", keys["future"]), who: "api_key future", places: "header:X-Api-Key"},
		"key revoked":                {op: "keyOnly", header: head("X-Api-Key", keys["revoked"]), code: "authn.invalid", places: "header:X-Api-Key"},
		"key expired":                {op: "keyOnly", header: head("X-Api-Key", keys["expired"]), code: "authn.expired", places: "header:X-Api-Key"},
		"key of another secret":      {op: "keyOnly", header: head("X-Api-Key", keys["shop"][:13]+keys["future"][13:]), code: "authn.invalid", places: "header:X-Api-Key"},
		"key unknown":                {op: "keyOnly", header: head("X-Api-Key", "crk_aaaaaaaa_"+strings.Repeat("a", 52)), code: "authn.invalid", places: "header:X-Api-Key"},
		"key's hash":                 {op: "keyOnly", header: head("X-Api-Key", apikey.Hash(keys["shop"])), code: "authn.invalid", places: "header:X-Api-Key"},
		"key empty":                  {op: "keyOnly", header: head("X-Api-Key", ""), code: "authn.malformed", places: "header:X-Api-Key"},
		"key in upper case":          {op: "keyOnly", header: head("X-Api-Key", strings.ToUpper(keys["shop"])), code: "authn.invalid", places: "header:X-Api-Key"},
		"two keys":                   {op: "keyOnly", header: head("X-Api-Key", keys["shop"], "X-Api-Key", keys["future"]), code: "authn.ambiguous"},
		"public, good":               {op: "public", header: head("Authorization", "Bearer "+tok), who: "jwt alice", places: "header:Authorization"},
		"public, expired":            {op: "public", header: head("Authorization", "Bearer "+expired), rejects: "header:Authorization", places: "header:Authorization"},
		"public, forged":             {op: "public", header: head("Authorization", "Bearer "+forged), rejects: "header:Authorization", places: "header:Authorization"},
		"optional, good":             {op: "optional", header: head("Authorization", "Bearer "+tok), who: "jwt alice", places: "header:Authorization"},
		"optional, forged":           {op: "optional", header: head("Authorization", "Bearer "+forged), rejects: "header:Authorization", places: "header:Authorization"},
		"silent, any":                {op: "silent", header: head("X-Api-Key", keys["shop"]), who: "api_key shop", places: "header:X-Api-Key"},
		"own":                        {op: "cookie", header: head("Cookie", "a=b; sid=s3cret"), who: "own ", places: "cookie:sid"},
		"own, second field":          {op: "cookie", header: head("Cookie", "a=b", "Cookie", "sid=s3cret"), who: "own ", places: "cookie:sid"},
		"own twice":                  {op: "cookie", header: head("Cookie", "sid=a; sid=b"), code: "authn.ambiguous"},
		"own twice in two fields":    {op: "cookie", header: head("Cookie", "sid=a", "Cookie", "sid=b"), code: "authn.ambiguous"},
		"own empty":                  {op: "cookie", header: head("Cookie", "sid="), code: "authn.malformed", places: "cookie:sid"},
		"own, another name":          {op: "cookie", header: head("Cookie", "sid2=x; asid=y"), code: "authn.missing"},
		"own huge":                   {op: "cookie", header: head("Cookie", "sid="+strings.Repeat("x", 20_000)), code: "authn.too_large", places: "cookie:sid"},
		"own for a token":            {op: "token", header: head("Cookie", "sid=x"), code: "authn.missing", places: "cookie:sid"},
		"token with own beside":      {op: "token", header: head("Authorization", "Bearer "+tok, "Cookie", "sid=x"), who: "jwt alice", also: 1, places: "header:Authorization cookie:sid"},
		"own with a token forged":    {op: "cookie", header: head("Authorization", "Bearer "+forged, "Cookie", "sid=x"), who: "own ", rejects: "header:Authorization", places: "header:Authorization cookie:sid"},
		"certificate":                {op: "cert", cert: cert, who: "mtls spiffe://test/device"},
		"certificate for a token":    {op: "token", cert: cert, code: "authn.missing"},
		"certificate without a name": {op: "cert", cert: &x509.Certificate{Raw: []byte("nobody"), NotAfter: noon.Add(time.Hour)}, code: "authn.invalid"},
		"certificate and token":      {op: "token", cert: cert, header: head("Authorization", "Bearer "+tok), who: "jwt alice", also: 1, places: "header:Authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.header == nil {
				c.header = http.Header{}
			}
			x := &exchange.Exchange{Operation: operation(api, c.op), PeerCert: c.cert, Request: exchange.Request{Method: "GET", Header: c.header, Query: c.query}}
			v := g.Step().Rule(t.Context(), x)
			if v.Code != c.code || (v.Action == exchange.Allow) != (c.code == "") {
				t.Fatalf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, c.code)
			}
			if c.www != "" && v.Header["WWW-Authenticate"] != c.www {
				t.Errorf("challenge %s\nwant      %s", v.Header["WWW-Authenticate"], c.www)
			}
			if v.Action == exchange.Deny && v.Header["WWW-Authenticate"] == "" {
				t.Error("no challenge")
			}
			who := ""
			if !x.Identity.Anonymous() {
				who = x.Identity.Method + " " + x.Identity.Subject
				if len(x.Identity.Schemes) == 0 {
					t.Error("the identity satisfies no scheme")
				}
			}
			if who != c.who || len(x.Identity.Also) != c.also {
				t.Errorf("identity %q and %d more, want %q and %d", who, len(x.Identity.Also), c.who, c.also)
			}
			if (x.Identity.Method == "own") == x.Identity.Verified && who != "" {
				t.Errorf("verified: %v", x.Identity.Verified)
			}
			var places, rejects []string
			for _, p := range x.Request.Credentials {
				places = append(places, p.In+":"+p.Name)
				if p.Rejected {
					rejects = append(rejects, p.In+":"+p.Name)
				}
			}
			if strings.Join(places, " ") != c.places || strings.Join(rejects, " ") != c.rejects {
				t.Errorf("credentials at %q, rejected %q; want %q and %q", places, rejects, c.places, c.rejects)
			}
			for _, secret := range []string{tok, forged, keys["shop"], "s3cret"} {
				if strings.Contains(fmt.Sprintf("%+v %+v", v, x.Identity), secret) {
					t.Error("a credential is in the verdict or the identity")
				}
			}
		})
	}
}

func TestIdentityFromClaims(t *testing.T) {
	for name, c := range map[string]struct {
		claims config.Claims
		change object
		want   exchange.Identity
	}{
		"plain": {config.Claims{}, nil, exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Session: "t1"}},
		"Keycloak": {config.Claims{Roles: "realm_access.roles", Tenant: "organization"}, object{"realm_access": object{"roles": []string{"user", "admin"}}, "organization": "north", "azp": "spa", "client_id": nil, "sid": "s1"},
			exchange.Identity{Subject: "alice", ClientID: "spa", Scopes: []string{"read", "write"}, Roles: []string{"user", "admin"}, Tenant: "north", Session: "s1"}},
		"Keycloak by default": {config.Claims{Subject: "sub", Roles: "roles"}, object{"realm_access": object{"roles": []string{"user"}}},
			exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Roles: []string{"user"}, Session: "t1"}},
		"Keycloak client roles": {config.Claims{Roles: "resource_access.my.app.roles"}, object{"resource_access": object{"my.app": object{"roles": []string{"x"}}}},
			exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Roles: []string{"x"}, Session: "t1"}},
		"Entra": {config.Claims{Subject: "oid", Tenant: "tid"}, object{"oid": "o-1", "tid": "t-1", "scp": "read", "scope": nil, "roles": []string{"App.Admin"}, "appid": "a-1", "client_id": nil},
			exchange.Identity{Subject: "o-1", ClientID: "a-1", Scopes: []string{"read"}, Roles: []string{"App.Admin"}, Tenant: "t-1", Session: "t1"}},
		"Okta": {config.Claims{Roles: "groups"}, object{"scp": []string{"read", "write"}, "scope": nil, "groups": []string{"staff"}, "cid": "c-1", "client_id": nil},
			exchange.Identity{Subject: "alice", ClientID: "c-1", Scopes: []string{"read", "write"}, Roles: []string{"staff"}, Session: "t1"}},
		"Auth0": {config.Claims{Roles: "https://pets.test/roles"}, object{"https://pets.test/roles": []string{"vet"}},
			exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Roles: []string{"vet"}, Session: "t1"}},
		"roles as names of an object": {config.Claims{Roles: "urn:roles"}, object{"urn:roles": object{"admin": object{"1": "x"}}},
			exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Roles: []string{"admin"}, Session: "t1"}},
		"one role with a space": {config.Claims{Roles: "role"}, object{"role": "user admin"},
			exchange.Identity{Subject: "alice", ClientID: "app", Scopes: []string{"read", "write"}, Roles: []string{"user admin"}, Session: "t1"}},
		"a number as subject": {config.Claims{Subject: "user.id"}, object{"user": object{"id": 9007199254740993}},
			exchange.Identity{Subject: "9007199254740993", ClientID: "app", Scopes: []string{"read", "write"}, Session: "t1"}},
		"a client of its own": {config.Claims{}, object{"sub": nil}, exchange.Identity{Subject: "app", ClientID: "app", Scopes: []string{"read", "write"}, Session: "t1"}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := jwtConfig(func(j *config.JWTMethod) { j.Claims = c.claims })
			api := petAPI()
			g := start(t, api, conf, newIssuer(rsaKey()))
			x, v := call(t, g, operation(api, "token"), bearer(rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, c.change))), "")
			if v.Action != exchange.Allow {
				t.Fatalf("%+v", v)
			}
			got := x.Identity
			if got.Claims["iss"] != issuerURL || got.Credential == "" || got.Memo == nil || !got.Expires.Equal(noon.Add(5*time.Minute)) {
				t.Errorf("claims %v, credential %q, expires %s", got.Claims, got.Credential, got.Expires)
			}
			c.want.Issuer, c.want.Method, c.want.Verified, c.want.Schemes = issuerURL, "jwt", true, []string{"oauth"}
			if !got.Issued.Equal(noon) || len(got.Revocable) < 3 {
				t.Errorf("issued %s, revocable by %q", got.Issued, got.Revocable)
			}
			got.Claims, got.Credential, got.Memo, got.Expires, got.Issued, got.Revocable = nil, "", nil, time.Time{}, time.Time{}, nil
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("identity (-want +got):\n%s", d)
			}
		})
	}
}

// Each issuer's tokens are verified with its own keys, whoever else is trusted.
func TestSeveralIssuers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.json", must(jsonText(object{"keys": []any{rsaKey().jwk()}})))
	write(t, dir+"/b.json", must(jsonText(object{"keys": []any{rsaOther().jwk()}})))
	method := func(iss, file, secret string) config.AuthnMethod {
		j := &config.JWTMethod{Issuer: iss, JWKS: file}
		if secret != "" {
			j.Secret = config.NewSecret(secret)
		}
		return config.AuthnMethod{JWT: j}
	}
	secret := strings.Repeat("k", 32)
	g := start(t, petAPI(), config.Authn{Methods: []config.AuthnMethod{
		method("https://a.test", dir+"/a.json", ""), method("https://b.test", dir+"/b.json", ""), method("", "", secret)}}, nil)
	sign := func(k key, iss any) string {
		return k.token("RS256", k.header("RS256"), claims(noon, object{"iss": iss}))
	}
	mac := func(iss any) string {
		input := encode(object{"alg": "HS256"}) + "." + encode(claims(noon, object{"iss": iss}))
		return input + "." + b64.EncodeToString(hs(hashes["HS256"], []byte(secret), input))
	}
	for name, c := range map[string]struct{ tok, code string }{
		"a by a":             {sign(rsaKey(), "https://a.test"), ""},
		"b by b":             {sign(rsaOther(), "https://b.test"), ""},
		"a by b":             {sign(rsaOther(), "https://a.test"), "authn.signature"},
		"b by a":             {sign(rsaKey(), "https://b.test"), "authn.signature"},
		"a by the secret":    {mac("https://a.test"), "authn.algorithm"},
		"none by the secret": {mac(nil), ""},
		"c by the secret":    {mac("https://c.test"), ""},
		"c by a":             {sign(rsaKey(), "https://c.test"), "authn.algorithm"},
	} {
		if v := ruled(t, g, c.tok); v.Code != c.code {
			t.Errorf("%s: %q (%s), want %q", name, v.Code, v.Reason, c.code)
		}
	}
}

// Tokens in other places than the usual one.
func TestPlaces(t *testing.T) {
	none, own := "", "Token"
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	for name, c := range map[string]struct {
		change func(*config.JWTMethod)
		header http.Header
		code   string
	}{
		"cookie":                  {func(j *config.JWTMethod) { j.Cookie = "jwt" }, http.Header{"Cookie": {"a=1; jwt=" + tok}}, ""},
		"cookie, quoted":          {func(j *config.JWTMethod) { j.Cookie = "jwt" }, http.Header{"Cookie": {`jwt="` + tok + `"`}}, "authn.malformed"},
		"cookie, not in header":   {func(j *config.JWTMethod) { j.Cookie = "jwt" }, bearer(tok), "authn.missing"},
		"own header":              {func(j *config.JWTMethod) { j.Header = "x-auth-token" }, http.Header{"X-Auth-Token": {tok}}, ""},
		"own header, Bearer":      {func(j *config.JWTMethod) { j.Header = "X-Auth-Token" }, http.Header{"X-Auth-Token": {"Bearer " + tok}}, ""},
		"own header, no prefix":   {func(j *config.JWTMethod) { j.Header, j.Prefix = "X-Auth-Token", &none }, http.Header{"X-Auth-Token": {tok}}, ""},
		"no prefix, but one sent": {func(j *config.JWTMethod) { j.Header, j.Prefix = "X-Auth-Token", &none }, http.Header{"X-Auth-Token": {"Bearer " + tok}}, "authn.malformed"},
		"own prefix":              {func(j *config.JWTMethod) { j.Prefix = &own }, http.Header{"Authorization": {"token " + tok}}, ""},
		"own prefix, Bearer sent": {func(j *config.JWTMethod) { j.Prefix = &own }, bearer(tok), "authn.missing"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := jwtConfig(c.change)
			conf.Methods[0].Schemes = []string{"oauth"}
			g := start(t, petAPI(), conf, newIssuer(rsaKey()))
			_, v := call(t, g, operation(petAPI(), "token"), c.header, "")
			if v.Code != c.code {
				t.Errorf("%q (%s), want %q", v.Code, v.Reason, c.code)
			}
		})
	}
}

// Two tokens that could both be meant.
func TestTokenInTwoPlaces(t *testing.T) {
	conf := jwtConfig(nil)
	j := *conf.Methods[0].JWT
	j.Cookie = "jwt"
	conf.Methods = append(conf.Methods, config.AuthnMethod{Schemes: []string{"oauth"}, JWT: &j})
	g := start(t, petAPI(), conf, newIssuer(rsaKey()))
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	h := bearer(tok)
	h.Set("Cookie", "jwt="+tok)
	for op, code := range map[string]string{"token": "authn.ambiguous", "public": "authn.ambiguous", "keyOnly": "authn.missing"} {
		if _, v := call(t, g, operation(petAPI(), op), h, ""); v.Code != code {
			t.Errorf("%s: %q, want %q", op, v.Code, code)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/empty.json", `{"keys":[]}`)
	write(t, dir+"/bad.json", `{"keys":`)
	write(t, dir+"/bad.yaml", "- id: a\n  hash: md5:1\n  subject: x\n")
	yes := true
	jwt := func(j config.JWTMethod) config.AuthnMethod { return config.AuthnMethod{JWT: &j} }
	secret := config.NewSecret(strings.Repeat("s", 32))
	for name, c := range map[string]struct {
		methods   []config.AuthnMethod
		overrides []config.OperationOverride
		skew      time.Duration
		want      []string
	}{
		"two kinds":            {methods: []config.AuthnMethod{{JWT: &config.JWTMethod{}, Own: &config.OwnMethod{}}}, want: []string{"methods[0]", "exactly one"}},
		"no key":               {methods: []config.AuthnMethod{jwt(config.JWTMethod{})}, want: []string{"issuer, jwks and secret"}},
		"secret and jwks":      {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: secret, JWKS: dir + "/empty.json"})}, want: []string{"exclude"}},
		"short secret":         {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: config.NewSecret("short")})}, want: []string{"32 bytes"}},
		"secret for HS512":     {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: secret, Algorithms: []string{"HS512"}})}, want: []string{"64 bytes"}},
		"HMAC with keys":       {methods: []config.AuthnMethod{jwt(config.JWTMethod{Issuer: issuerURL, Algorithms: []string{"HS256"}})}, want: []string{"HMAC secret"}},
		"RSA with a secret":    {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: secret, Algorithms: []string{"RS256"}})}, want: []string{"does not work with a secret"}},
		"alg none":             {methods: []config.AuthnMethod{jwt(config.JWTMethod{Issuer: issuerURL, Algorithms: []string{"none"}})}, want: []string{`"none"`}},
		"issuer by http":       {methods: []config.AuthnMethod{jwt(config.JWTMethod{Issuer: "http://issuer.test"})}, want: []string{"https"}},
		"keys by http":         {methods: []config.AuthnMethod{jwt(config.JWTMethod{JWKS: "http://10.0.0.1/keys"})}, want: []string{"https"}},
		"no such key set":      {methods: []config.AuthnMethod{jwt(config.JWTMethod{JWKS: dir + "/none.json"})}, want: []string{"none.json"}},
		"key set without keys": {methods: []config.AuthnMethod{jwt(config.JWTMethod{JWKS: dir + "/empty.json"})}, want: []string{"no usable"}},
		"key set broken":       {methods: []config.AuthnMethod{jwt(config.JWTMethod{JWKS: dir + "/bad.json"})}, want: []string{"bad.json"}},
		"no key file":          {methods: []config.AuthnMethod{{APIKey: &config.KeyMethod{File: dir + "/none.yaml"}}}, want: []string{"none.yaml"}},
		"key file broken":      {methods: []config.AuthnMethod{{APIKey: &config.KeyMethod{File: dir + "/bad.yaml"}}}, want: []string{"sha256:"}},
		"own nowhere":          {methods: []config.AuthnMethod{{Own: &config.OwnMethod{}}}, want: []string{"header, cookie and query"}},
		"unknown scheme":       {methods: []config.AuthnMethod{{Schemes: []string{"nope"}, Own: &config.OwnMethod{Cookie: "c"}}}, want: []string{`"nope"`}},
		"own where a token is": {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: secret}), {Own: &config.OwnMethod{Header: "authorization", Prefix: "bearer"}}}, want: []string{"header:authorization"}},
		"own without prefix":   {methods: []config.AuthnMethod{jwt(config.JWTMethod{Secret: secret}), {Own: &config.OwnMethod{Header: "Authorization"}}}, want: []string{"prefix"}},
		"skew":                 {skew: time.Hour, want: []string{"clock_skew"}},
		"override of nothing":  {overrides: []config.OperationOverride{{Operation: "nope", Public: &yes}}, want: []string{`"nope"`}},
		"two at once":          {methods: []config.AuthnMethod{jwt(config.JWTMethod{}), {Own: &config.OwnMethod{}}}, want: []string{"methods[0]", "methods[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authn.New(authn.Options{API: petAPI(), Config: config.Authn{Methods: c.methods, ClockSkew: c.skew}, Overrides: c.overrides})
			if err == nil {
				t.Fatal("taken")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not name %s", err, w)
				}
			}
			if strings.Contains(err.Error(), "ssssssss") {
				t.Error("the error holds the secret")
			}
		})
	}
}

// Without a document, and for calls whose operation is unknown.
func TestNoDocument(t *testing.T) {
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	g := start(t, nil, jwtConfig(nil), newIssuer(rsaKey()))
	if _, v := call(t, g, nil, http.Header{}, ""); v.Code != "authn.missing" {
		t.Errorf("nothing sent: %+v", v)
	}
	if x, v := call(t, g, nil, bearer(tok), ""); v.Action != exchange.Allow || x.Identity.Subject != "alice" {
		t.Errorf("token sent: %+v", v)
	}
	open := start(t, nil, config.Authn{}, nil)
	if _, v := call(t, open, nil, http.Header{}, ""); v.Action != exchange.Allow {
		t.Errorf("no methods: %+v", v)
	}
	// A document that demands what no method can prove stays closed.
	closed := start(t, petAPI(), config.Authn{}, nil)
	if _, v := call(t, closed, operation(petAPI(), "token"), bearer(tok), ""); v.Code != "authn.missing" {
		t.Errorf("protected, no methods: %+v", v)
	}
}

// The operator is told what was sent in place of what is taken; never the
// credential itself.
func TestReasonSaysWhatWasSent(t *testing.T) {
	g := start(t, petAPI(), jwtConfig(nil), newIssuer(rsaKey()))
	k := rsaKey()
	token := func(more object) string { return k.token("RS256", k.header("RS256"), claims(noon, more)) }
	for name, c := range map[string]struct {
		authorization string
		want          string
		at            string
	}{
		"no scheme":        {token(nil), "field Authorization was sent, but not as Authorization: Bearer", "header:authorization"},
		"another scheme":   {"Basic YTpi", "field Authorization was sent, but not as Authorization: Bearer", "header:authorization"},
		"another audience": {"Bearer " + token(object{"aud": []string{"a\x1b[", "b", "c", "d"}}), `the token is for "a\x1b[", "b", "c", and not for this API`, "header:authorization"},
		"no audience":      {"Bearer " + token(object{"aud": nil}), "the token names no audience (aud)", "header:authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange.Exchange{Operation: operation(petAPI(), "token"), Request: exchange.Request{Method: "GET", Header: http.Header{"Authorization": {c.authorization}}}}
			v := g.Step().Rule(t.Context(), x)
			if !strings.Contains(v.Reason, c.want) || v.At != c.at || strings.Contains(v.Reason, c.authorization) {
				t.Errorf("%s at %q: %q", v.Code, v.At, v.Reason)
			}
		})
	}
}
