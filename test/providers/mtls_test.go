package providers_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/test/providers"
)

// A token that the provider binds to its client's certificate (RFC 8705), through
// the gateway's own listener: with that certificate, with others, with none.
func TestCertificateBoundTokensOfOIDCProvider(t *testing.T) {
	s := newStand(t)
	clients, strangers := newAuthority(t, "clients"), newAuthority(t, "strangers")
	tills, other, gateway, stranger := clients.client("tills"), clients.client("other"), clients.client("gateway"), strangers.client("tills")
	expired := clientTemplate("tills")
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute)
	old := clients.issue("expired", expired)

	// The provider serves https with the servers' authority, and knows its clients by
	// their certificates: tls_client_auth.
	own := newAuthority(t, "provider")
	var set providers.TLS
	set.Cert, set.Key = own.server().pem(t)
	set.CA, _ = issued{cert: clients.file, key: clients.file}.pem(t)
	bound := map[string]any{"client_secret": nil, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "O=Example\nCN=tills", "tls_client_certificate_bound_access_tokens": true}
	p := providers.StartOIDC(t, providers.Spec{
		TLS: &set,
		Clients: []map[string]any{service("tills", bound), service("gateway", map[string]any{
			"client_secret": nil, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "O=Example\nCN=gateway"})},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write"}, "urn:opaque": {Scope: "read write", Format: "opaque"}},
		Roles:     map[string][]string{"tills": {"clerk"}},
	})
	s.pool.AddCert(own.cert)
	s.tokens(fmt.Sprintf(`{jwt: {issuer: %q, ca: %q, audience: ["urn:pets"]}},
      {introspection: {issuer: %[1]q, ca: %[2]q, audience: ["urn:opaque"], tokens: opaque, auth: {method: tls, client_id: gateway, cert: %q, key: %q}}}`, p.Issuer, own.file, gateway.cert, gateway.key),
		setup{tls: fmt.Sprintf(", client_ca: %q, client_auth: request", clients.file)})

	for kind, resource := range map[string]string{"jwt": "urn:pets", "introspection": "urn:opaque"} {
		fields := url.Values{"scope": {"read"}, "resource": {resource}, "client_id": {"tills"}, "grant_type": {"client_credentials"}}
		_, out, _ := form(t, s.caller(&tills, false), p.Issuer+"/token", "", fields)
		token, _ := out["access_token"].(string)
		if isJWT := strings.Count(token, ".") == 2; token == "" || isJWT != (kind == "jwt") {
			t.Fatalf("%s: %v\n%s", kind, out, strings.Join(p.Log(), "\n"))
		}
		for _, http1 := range []bool{false, true} {
			what := fmt.Sprintf("%s, HTTP/1.1 %v", kind, http1)
			client := s.caller(&tills, http1)
			for range 2 { // a new connection, and one that is kept
				s.want(what, s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+token), http.StatusOK, "")
			}
			client.CloseIdleConnections()
			s.want(what+", once more", s.ask(client, http.MethodGet, "/orders", "Authorization", "Bearer "+token), http.StatusOK, "")
			if saw := s.seen().Get("X-Policy-Saw"); saw != kind+" client=tills roles=clerk scopes=read" {
				t.Errorf("%s: the policy saw %q", what, saw)
			}
			s.want(what+", another's certificate", s.ask(s.caller(&other, http1), http.MethodGet, "/orders", "Authorization", "Bearer "+token), http.StatusUnauthorized, "authn.binding")
			s.want(what+", no certificate", s.ask(s.caller(nil, http1), http.MethodGet, "/orders", "Authorization", "Bearer "+token), http.StatusUnauthorized, "authn.binding")
			for who, cert := range map[string]*issued{"of a strange authority": &stranger, "expired": &old} {
				if err := s.handshake(cert); err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
					t.Errorf("%s, a certificate %s: %v, want a refused handshake", what, who, err)
				}
			}
			// A certificate in a field is nobody's word on this listener.
			s.want(what+", a certificate in a field", s.ask(s.caller(&other, http1), http.MethodGet, "/orders", "Authorization", "Bearer "+token,
				"Client-Cert", ":"+base64Of(tills.Certificate.Certificate[0])+":"), http.StatusUnauthorized, "authn.binding")
		}
	}
}

// handshake connects with a certificate, or none, and is the alert that the
// gateway ends the handshake with.
func (s *stand) handshake(own *issued) error {
	s.t.Helper()
	conf := &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"h2"}}
	if own != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.Certificate, nil }
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.origin, "https://"), conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// The gateway as a client that the provider knows by its certificate: it logs in
// people with it.
func TestLoginWithClientCertificate(t *testing.T) {
	s := newStand(t)
	clients, own := newAuthority(t, "clients"), newAuthority(t, "provider")
	front := clients.client("front")
	var set providers.TLS
	set.Cert, set.Key = own.server().pem(t)
	set.CA, _ = issued{cert: clients.file, key: clients.file}.pem(t)
	p := providers.StartOIDC(t, providers.Spec{TLS: &set, TrustCA: s.ca, Clients: []map[string]any{s.client(map[string]any{
		"client_secret": nil, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "O=Example\nCN=front"})}})
	s.start(p.Issuer, fmt.Sprintf(`, ca: %q, client_cert: %q, client_key: %q, scopes: [openid, profile], identity: userinfo`, own.file, front.cert, front.key), "")
	s.pool.AddCert(own.cert)
	if page := s.person().logIn("alice"); page.body != "the orders of alice" {
		t.Errorf("%d %s\n%s", page.status, page.body, s.said())
	}
}

const certified = `
openapi: 3.1.0
info: {title: Depot, version: "1"}
paths:
  /orders:
    get: {operationId: list, security: [{certificate: []}], responses: {"200": {description: ok}}}
components: {securitySchemes: {certificate: {type: mutualTLS}}}
`

// The certificate of the connection as the credential itself.
func TestClientCertificates(t *testing.T) {
	clients, partners, strangers := newAuthority(t, "clients"), newAuthority(t, "partners"), newAuthority(t, "strangers")
	tills, partner, stranger := clients.client("tills"), partners.client("partner"), strangers.client("tills")
	noClient := clientTemplate("server alone")
	noClient.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server := clients.issue("server alone", noClient)
	both := clients.dir + "/both.pem"
	one, _ := issued{cert: clients.file, key: clients.file}.pem(t)
	two, _ := issued{cert: partners.file, key: partners.file}.pem(t)
	clients.writeText(both, one+two)
	for _, mode := range []string{"request", "require"} {
		t.Run(mode, func(t *testing.T) {
			s := newStand(t)
			s.serve(setup{
				tls: fmt.Sprintf(", client_ca: %q, client_auth: %s", both, mode),
				apis: fmt.Sprintf(`
- name: depot
  hosts: [localhost, 127.0.0.1]
  spec: api.yaml
  upstream: {urls: [%q]}
  guards:
    authn: {methods: [{mtls: {ca: %q, subject: uri, roles: {"spiffe://example.org/*": [clerk]}, tenant: o}}]}
    limit: {rates: []}
    waf: {mode: off}
`, s.upstream(), clients.file),
				files: map[string]string{"api.yaml": certified},
			})
			s.want("the right one", s.ask(s.caller(&tills, false), http.MethodGet, "/orders"), http.StatusOK, "")
			if saw := s.seen(); saw.Get("X-Crenel-Subject") != "spiffe://example.org/tills" || saw.Get("X-Crenel-Roles") != "clerk" || saw.Get("X-Crenel-Tenant") != "Example" {
				t.Errorf("the upstream saw %v", saw)
			}
			// By address a client names no server in its handshake.
			s.origin = fmt.Sprintf("https://127.0.0.1:%d", s.port)
			s.want("by address", s.ask(s.caller(&tills, false), http.MethodGet, "/orders"), http.StatusOK, "")
			s.origin = fmt.Sprintf("https://localhost:%d", s.port)
			s.want("of an authority that this API does not take", s.ask(s.caller(&partner, false), http.MethodGet, "/orders"), http.StatusUnauthorized, "authn.issuer")
			handshake := map[string]*issued{"of a strange authority": &stranger, "not for clients": &server}
			if mode == "require" {
				handshake["none"] = nil
			} else {
				s.want("none", s.ask(s.caller(nil, false), http.MethodGet, "/orders"), http.StatusUnauthorized, "authn.missing")
			}
			for who, cert := range handshake {
				if err := s.handshake(cert); err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
					t.Errorf("%s: %v, want a refused handshake", who, err)
				}
			}
		})
	}
}
