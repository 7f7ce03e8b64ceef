package providers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Password is every account's.
const Password = "password"

// schema is where Debian's package keeps the database that it begins with.
const schema = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"

// GlewlwydSpec is what a provider is made of.
type GlewlwydSpec struct {
	TLS     *TLS                // plain http on loopback without
	Clients []map[string]any    // as its administration takes them
	Users   map[string]string   // name: role, in ID tokens and access tokens
	Scopes  map[string][]string // name: resources that tokens with it may be for
	TTL     int                 // of access tokens, in seconds; default one hour
}

// Glewlwyd is a running glewlwyd (Debian's package): an OpenID provider written
// in C, with libraries of its own for HTTP, JOSE and TLS.
type Glewlwyd struct {
	Issuer string

	t     testing.TB
	spec  GlewlwydSpec
	base  string
	dir   string
	cmd   *exec.Cmd
	admin *http.Client
	kid   int
	jwks  []jwk.Key
	out   output
}

// output is what a process says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// StartGlewlwyd runs one until the test ends. Without it the test is skipped; in
// CI it fails.
func StartGlewlwyd(t testing.TB, s GlewlwydSpec) *Glewlwyd {
	t.Helper()
	for _, name := range []string{"glewlwyd", "sqlite3"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: install Debian's package", name)
		}
		t.Skipf("SKIPPED: no %s here (Debian: apt-get install glewlwyd)", name)
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Glewlwyd{t: t, spec: s, dir: t.TempDir()}
	scheme, port := "http", ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if s.TLS != nil {
		scheme = "https"
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(s.TLS.CA))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	g.admin = &http.Client{Jar: jar, Transport: transport, Timeout: 10 * time.Second}
	g.base = fmt.Sprintf("%s://localhost:%d", scheme, port)
	g.Issuer = g.base + "/api/oidc"
	g.configure(port)
	g.Start()
	t.Cleanup(g.Stop)
	g.populate()
	return g
}

func (g *Glewlwyd) file(name, text string) string {
	g.t.Helper()
	at := filepath.Join(g.dir, name)
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return at
}

// configure writes its file, and the database that it begins with: one of the
// package's, whose accounts have a role.
func (g *Glewlwyd) configure(port int) {
	g.t.Helper()
	text := fmt.Sprintf(`port=%d
bind_address="127.0.0.1"
external_url=%q
login_url="login.html"
api_prefix="api"
static_files_path="/usr/share/glewlwyd/webapp/"
static_files_mime_types=({extension=".html" mime_type="text/html" compress=0}, {extension=".js" mime_type="application/javascript" compress=0}, {extension=".css" mime_type="text/css" compress=0}, {extension=".json" mime_type="application/json" compress=0})
log_mode="console"
log_level="WARNING"
cookie_same_site="lax"
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA512"
database={type="sqlite3"; path=%q;}
`, port, g.base, filepath.Join(g.dir, "glewlwyd.db"))
	if t := g.spec.TLS; t != nil {
		text += fmt.Sprintf("use_secure_connection=true\nsecure_connection_key_file=%q\nsecure_connection_pem_file=%q\nsecure_connection_ca_file=%q\n",
			g.file("server.key", t.Key), g.file("server.pem", t.Cert), g.file("ca.pem", t.CA))
	}
	g.file("glewlwyd.conf", text)
	tables, err := os.ReadFile(schema)
	if err != nil {
		g.t.Fatalf("the package's database: %v", err)
	}
	property := func(module, table, name string) string {
		return fmt.Sprintf("UPDATE %s SET %s = json_set(%[2]s, '$.\"data-format\".%s', json('{\"multiple\":false,\"read\":true,\"write\":true}'));\n", table, module, name)
	}
	sql := string(tables) + property("gumi_parameters", "g_user_module_instance", "roles") + property("gcmi_parameters", "g_client_module_instance", "tls_client_auth_subject_dn") +
		property("gcmi_parameters", "g_client_module_instance", "tls_client_certificate_bound_access_tokens")
	sqlite := exec.CommandContext(context.Background(), "sqlite3", filepath.Join(g.dir, "glewlwyd.db")) //nolint:gosec // a file of the test's
	sqlite.Stdin = strings.NewReader(sql)
	if out, err := sqlite.CombinedOutput(); err != nil || len(out) > 0 {
		g.t.Fatalf("making the database: %v %s", err, out)
	}
}

// Start runs a provider that was stopped, at the same address, with what it knew.
func (g *Glewlwyd) Start() {
	g.t.Helper()
	g.cmd = exec.CommandContext(context.Background(), "glewlwyd", "--config-file="+filepath.Join(g.dir, "glewlwyd.conf")) //nolint:gosec // a file of the test's; Stop ends it
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.out
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	for end := time.Now().Add(startWithin); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, g.base+"/config", nil)
		if err != nil {
			g.t.Fatal(err)
		}
		res, err := g.admin.Do(r)
		if err == nil {
			_ = res.Body.Close()
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("glewlwyd does not answer: %v\n%s", err, g.Log())
		}
	}
}

// Stop ends the process. Its database stays.
func (g *Glewlwyd) Stop() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Kill() // that it has ended by itself is no mistake
	_ = g.cmd.Wait()         // says that it was killed
	g.cmd = nil
}

// Log is what it has said so far.
func (g *Glewlwyd) Log() string { return g.out.String() }

// ask sends JSON to its API with a client that keeps cookies.
func (g *Glewlwyd) ask(client *http.Client, method, path string, body any) {
	g.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, g.base+"/api"+path, bytes.NewReader(b))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := client.Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v\n%s", method, path, err, g.Log())
	}
	defer func() { _ = res.Body.Close() }()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %d %s\n%s", method, path, res.StatusCode, answer, g.Log())
	}
}

// populate makes what the spec says, by its API as an administrator would.
func (g *Glewlwyd) populate() {
	g.t.Helper()
	g.ask(g.admin, http.MethodPost, "/auth/", map[string]any{"username": "admin", "password": Password})
	resources := map[string][]string{}
	for name, list := range g.spec.Scopes {
		if list != nil {
			resources[name] = list
		}
		if name != "openid" { // it has that
			g.ask(g.admin, http.MethodPost, "/scope/", map[string]any{"name": name, "display_name": name, "description": name, "password_required": true, "password_max_age": 0, "scheme": map[string]any{}})
		}
	}
	g.newKey()
	parameters := g.plugin(resources)
	g.ask(g.admin, http.MethodPost, "/mod/plugin/", map[string]any{"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": parameters})
	var scopes []string
	for name := range maps.Keys(g.spec.Scopes) {
		scopes = append(scopes, name)
	}
	for name, role := range g.spec.Users {
		g.ask(g.admin, http.MethodPost, "/user/", map[string]any{"username": name, "password": Password, "name": name + " Example", "email": name + "@example.com", "enabled": true, "scope": scopes, "roles": role})
	}
	for _, c := range g.spec.Clients {
		g.ask(g.admin, http.MethodPost, "/client/", c)
	}
}

// plugin is the configuration of its OpenID Connect plugin.
func (g *Glewlwyd) plugin(resources map[string][]string) map[string]any {
	ttl := g.spec.TTL
	if ttl == 0 {
		ttl = 3600
	}
	certificates := ""
	if g.spec.TLS != nil {
		certificates = "TLS"
	}
	return map[string]any{
		"iss": g.Issuer, "jwt-type": "ecdsa", "jwt-key-size": "256", "jwks-private": g.keys(), "default-kid": "", "jwks-show": true,
		"access-token-duration": ttl, "refresh-token-duration": 86400, "code-duration": 60, "refresh-token-rolling": true, "refresh-token-one-use": "always",
		"allow-non-oidc": true, "subject-type": "public", "allowed-scope": []string{"openid"}, "scope": []any{},
		"auth-type-code-enabled": true, "auth-type-code-revoke-replayed": true, "auth-type-client-enabled": true, "auth-type-refresh-enabled": true, "auth-type-id-token-enabled": true,
		"auth-type-token-enabled": false, "auth-type-none-enabled": false, "auth-type-password-enabled": false, "auth-type-device-enabled": false, "auth-type-implicit-enabled": false,
		"pkce-allowed": true, "pkce-method-plain-allowed": false, "pkce-required": true,
		"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true, "introspection-revocation-auth-scope": []string{"ask"},
		"session-management-allowed": true, "session-cookie-name": "GLEWLWYD2_OIDC_SID", "session-cookie-expiration": 86400, "front-channel-logout-allowed": true, "back-channel-logout-allowed": true,
		"oauth-dpop-allowed": true, "oauth-dpop-iat-duration": 60, "oauth-dpop-iat-gap-duration": 10, "oauth-dpop-nonce-mandatory": false,
		"oauth-par-allowed": true, "oauth-par-required": false, "oauth-par-duration": 60, "oauth-par-request_uri-prefix": "urn:ietf:params:oauth:request_uri:",
		"oauth-as-iss-id": true, "resource-allowed": true, "resource-change-allowed": false, "resource-client-property": "resource", "resource-scope-and-client-property": false, "resource-scope": resources,
		"client-cert-source": certificates, "client-cert-self-signed-allowed": false, "client-cert-use-endpoint-aliases": false,
		"name-claim": "mandatory", "email-claim": "mandatory", "scope-claim": "no",
		"additional-parameters": []any{map[string]any{"user-parameter": "roles", "token-parameter": "roles", "token-changed": false}},
		"claims":                []any{map[string]any{"name": "roles", "user-property": "roles", "type": "string", "mandatory": true}},
	}
}

// newKey makes a key that is the first to sign with.
func (g *Glewlwyd) newKey() {
	g.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	k, err := jwk.Import(private)
	if err != nil {
		g.t.Fatal(err)
	}
	g.kid++
	for name, v := range map[string]string{jwk.KeyIDKey: "key-" + strconv.Itoa(g.kid), jwk.AlgorithmKey: "ES256", jwk.KeyUsageKey: "sig"} {
		if err := k.Set(name, v); err != nil {
			g.t.Fatal(err)
		}
	}
	g.jwks = append([]jwk.Key{k}, g.jwks...)
}

func (g *Glewlwyd) keys() string {
	g.t.Helper()
	b, err := json.Marshal(map[string]any{"keys": g.jwks})
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

// RotateKeys has the provider sign with a new key; the last ones stay published.
func (g *Glewlwyd) RotateKeys() {
	g.t.Helper()
	g.newKey()
	resources := map[string][]string{}
	for name, list := range g.spec.Scopes {
		if list != nil {
			resources[name] = list
		}
	}
	g.ask(g.admin, http.MethodPut, "/mod/plugin/oidc", map[string]any{"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": g.plugin(resources)})
	g.ask(g.admin, http.MethodPut, "/mod/plugin/oidc/reset", map[string]any{})
}

// LogIn does with a browser's cookies what its login page does: password, consent.
func (g *Glewlwyd) LogIn(browser *http.Client, user, client, scope string) {
	g.t.Helper()
	g.ask(browser, http.MethodPost, "/auth/", map[string]any{"username": user, "password": Password})
	g.ask(browser, http.MethodPut, "/auth/grant/"+client, map[string]any{"scope": scope})
}
