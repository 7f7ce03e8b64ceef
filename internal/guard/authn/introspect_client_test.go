package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// The endpoint by discovery, and what proves to the server who asks.
func TestIntrospectionClientAuth(t *testing.T) {
	keyFile := t.TempDir() + "/key.pem"
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})))
	for name, c := range map[string]struct {
		auth  config.ClientAuth
		check func(form url.Values, header http.Header) error
	}{
		"post": {config.ClientAuth{Method: "post", ClientID: "crenel", ClientSecret: config.NewSecret("s")}, func(f url.Values, h http.Header) error {
			if f.Get("client_id") != "crenel" || f.Get("client_secret") != "s" || h.Get("Authorization") != "" {
				return fmt.Errorf("%v %v", f, h)
			}
			return nil
		}},
		"bearer": {config.ClientAuth{Method: "bearer", Token: config.NewSecret("tok")}, func(f url.Values, h http.Header) error {
			if h.Get("Authorization") != "Bearer tok" {
				return fmt.Errorf("%v", h)
			}
			return nil
		}},
		"private_key_jwt": {config.ClientAuth{Method: "private_key_jwt", ClientID: "crenel", Key: keyFile, KeyID: "k1"}, func(f url.Values, h http.Header) error {
			if f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				return fmt.Errorf("%v", f)
			}
			// The assertion is held to what this guard holds tokens to.
			set := t.TempDir() + "/set.json"
			write(t, set, must(jsonText(object{"keys": []any{key{"k1", private}.jwk()}})))
			g, err := authn.New(authn.Options{API: petAPI(), Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &config.JWTMethod{Issuer: "crenel", JWKS: set, Audience: []string{issuerURL}}}}}})
			if err != nil {
				return err
			}
			defer g.Close()
			if v := ruled(t, g, f.Get("client_assertion")); v.Action != exchange.Allow {
				return fmt.Errorf("%+v", v)
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			asking(t, s, askConfig(func(i *config.Introspection) { i.URL, i.Auth = "", c.auth }), func(t *testing.T, g *authn.Guard) {
				want(t, ruled(t, g, "good"), exchange.Allow, "")
				if err := c.check(s.form, s.header); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A client certificate, to a real server that demands it, found by its alias.
func TestIntrospectionMutualTLS(t *testing.T) {
	dir := t.TempDir()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crenel"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
	write(t, dir+"/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir+"/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})))
	var self string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/.well-known/openid-configuration":
			_, _ = io.WriteString(w, must(jsonText(object{"issuer": self, "introspection_endpoint": self + "/plain", "mtls_endpoint_aliases": object{"introspection_endpoint": self + "/mtls"}})))
		case r.URL.Path == "/mtls" && len(r.TLS.PeerCertificates) == 1 && r.FormValue("client_id") == "crenel":
			_, _ = io.WriteString(w, must(jsonText(object{"active": true, "sub": r.TLS.PeerCertificates[0].Subject.CommonName})))
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	self = s.URL
	write(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	conf := askConfig(func(c *config.Introspection) {
		c.URL, c.Issuer, c.CA, c.Audience = "", self, dir+"/ca.pem", nil
		c.Auth = config.ClientAuth{Method: "tls", ClientID: "crenel", Cert: dir + "/cert.pem", Key: dir + "/key.pem"}
	})
	// Whatever client the process has.
	for _, client := range []*http.Client{nil, {Timeout: 5 * time.Second}, {Transport: &http.Transport{}}} {
		g, err := authn.New(authn.Options{API: petAPI(), Client: client, Config: conf})
		if err != nil {
			t.Fatal(err)
		}
		x, v := call(t, g, operation(petAPI(), "token"), bearer("opaque"), "")
		want(t, v, exchange.Allow, "")
		if x.Identity.Subject != "crenel" {
			t.Errorf("identity %+v", x.Identity)
		}
		g.Close()
	}
}

// Signed answers (RFC 9701): demanded, they are taken from the issuer only, for
// this gateway only, and only when they were made just now.
func TestIntrospectionSigned(t *testing.T) {
	k, other := rsaKey(), rsaOther()
	header := func(change object) object {
		h := object{"alg": "RS256", "kid": "rsa", "typ": "token-introspection+jwt"}
		for n, v := range change {
			h[n] = v
		}
		return h
	}
	body := func(change object) object {
		c := object{"iss": issuerURL, "aud": "crenel", "iat": time.Now().Unix(), "token_introspection": object{"active": true, "sub": "alice", "aud": audience}}
		for n, v := range change {
			if v == nil {
				delete(c, n)
			} else {
				c[n] = v
			}
		}
		return c
	}
	for name, c := range map[string]struct {
		jwt  func() string
		typ  string
		code string
	}{
		"good": {func() string { return k.token("RS256", header(nil), body(nil)) }, "", ""},
		"inactive": {func() string {
			return k.token("RS256", header(nil), body(object{"token_introspection": object{"active": false}}))
		}, "", "authn.inactive"},
		"not signed":        {func() string { return `{"active":true,"sub":"alice","aud":"` + audience + `"}` }, "application/json", "authn.unavailable"},
		"JSON as JWT":       {func() string { return `{"active":true,"sub":"alice"}` }, "", "authn.unavailable"},
		"another key":       {func() string { return other.token("RS256", header(nil), body(nil)) }, "", "authn.unavailable"},
		"alg none":          {func() string { return encode(header(object{"alg": "none"})) + "." + encode(body(nil)) + "." }, "", "authn.unavailable"},
		"an access token":   {func() string { return k.token("RS256", header(object{"typ": "at+jwt"}), body(nil)) }, "", "authn.unavailable"},
		"typ JWT":           {func() string { return k.token("RS256", header(object{"typ": "JWT"}), body(nil)) }, "", "authn.unavailable"},
		"another issuer":    {func() string { return k.token("RS256", header(nil), body(object{"iss": "https://evil.test"})) }, "", "authn.unavailable"},
		"for somebody else": {func() string { return k.token("RS256", header(nil), body(object{"aud": "other"})) }, "", "authn.unavailable"},
		"for nobody":        {func() string { return k.token("RS256", header(nil), body(object{"aud": nil})) }, "", "authn.unavailable"},
		"made long ago": {func() string {
			return k.token("RS256", header(nil), body(object{"iat": time.Now().Add(-time.Hour).Unix()}))
		}, "", "authn.unavailable"},
		"made in the future": {func() string {
			return k.token("RS256", header(nil), body(object{"iat": time.Now().Add(time.Hour).Unix()}))
		}, "", "authn.unavailable"},
		"made at no time": {func() string { return k.token("RS256", header(nil), body(object{"iat": nil})) }, "", "authn.unavailable"},
		"says nothing":    {func() string { return k.token("RS256", header(nil), body(object{"token_introspection": nil})) }, "", "authn.unavailable"},
		"claims beside": {func() string {
			return k.token("RS256", header(nil), body(object{"token_introspection": nil, "active": true, "sub": "alice"}))
		}, "", "authn.unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.reply = func(*http.Request) (*http.Response, error) {
				r := reply(200, c.jwt())
				r.Header.Set("Content-Type", "application/token-introspection+jwt")
				if c.typ != "" {
					r.Header.Set("Content-Type", c.typ)
				}
				return r, nil
			}
			asking(t, s, askConfig(func(i *config.Introspection) { i.Signed = true }), func(t *testing.T, g *authn.Guard) {
				if v := ruled(t, g, "good"); v.Code != c.code {
					t.Errorf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, c.code)
				}
				if got := s.header.Get("Accept"); got != "application/token-introspection+jwt" {
					t.Errorf("accepts %q", got)
				}
			})
		})
	}
}

func TestIntrospectionConfig(t *testing.T) {
	file := t.TempDir() + "/key.pem"
	write(t, file, "no key")
	small := t.TempDir() + "/small.pem"
	write(t, small, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})))
	for says, change := range map[string]func(c *config.Introspection){
		"one of url and issuer":  func(c *config.Introspection) { c.URL, c.Issuer = "", "" },
		"must be an https URL":   func(c *config.Introspection) { c.URL = "http://id.example.com/" },
		"reading ca":             func(c *config.Introspection) { c.CA = file + "x" },
		"is not PEM":             func(c *config.Introspection) { c.Auth = config.ClientAuth{Method: "private_key_jwt", Key: file} },
		"is not a private key":   func(c *config.Introspection) { c.Auth = config.ClientAuth{Method: "private_key_jwt", Key: small} },
		"reading key":            func(c *config.Introspection) { c.Auth = config.ClientAuth{Method: "private_key_jwt", Key: file + "x"} },
		"the client certificate": func(c *config.Introspection) { c.Auth = config.ClientAuth{Method: "tls", Key: file, Cert: file} },
		`method "magic"`:         func(c *config.Introspection) { c.Auth = config.ClientAuth{Method: "magic"} },
	} {
		g, err := authn.New(authn.Options{API: petAPI(), Config: askConfig(change)})
		if err == nil {
			g.Close()
			t.Errorf("no error that says %q", says)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	two := askConfig(nil)
	two.Methods = append(two.Methods, askConfig(nil).Methods...)
	if _, err := authn.New(authn.Options{API: petAPI(), Config: two}); err == nil || !strings.Contains(err.Error(), "two introspection methods") {
		t.Errorf("two servers for one place: %v", err)
	}
}
