package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
)

// A server of an authority of one's own, which knows the gateway by its
// certificate (RFC 8705) at addresses of their own, whatever transport the
// process's client has.
func TestOwnAuthorityAndCertificate(t *testing.T) {
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, certKey := file("client.pem", "CERTIFICATE", der), file("client.key", "PRIVATE KEY", private)

	var self string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out any
		switch {
		case strings.HasPrefix(r.URL.Path, "/.well-known/"):
			out = map[string]any{"issuer": self, "token_endpoint": self + "/token", "mtls_endpoint_aliases": map[string]any{"token_endpoint": self + "/mtls/token"}}
		case r.URL.Path == "/mtls/token" && len(r.TLS.PeerCertificates) == 1 && r.FormValue("client_id") == "gateway" && r.FormValue("client_secret") == "" && r.Header.Get("Authorization") == "":
			out = map[string]any{"access_token": r.TLS.PeerCertificates[0].Subject.CommonName, "token_type": "Bearer"}
		case r.URL.Path == "/token" && len(r.TLS.PeerCertificates) == 0:
			out = map[string]any{"access_token": "nobody", "token_type": "Bearer"}
		default:
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	self = s.URL
	ca := file("ca.pem", "CERTIFICATE", s.Certificate().Raw)

	for name, given := range map[string]*http.Client{
		"none": nil, "without transport": {Timeout: 10 * time.Second}, "with one": {Transport: &http.Transport{}},
	} {
		grant := func(c config.OAuthClient) (string, error) {
			c.Issuer, c.ClientID = self, "gateway"
			client, err := New(Options{Config: c, Client: given})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			token, err := client.Grant(t.Context(), url.Values{"grant_type": {"client_credentials"}})
			if err != nil {
				return "", err
			}
			return token.Access, nil
		}
		if got, err := grant(config.OAuthClient{CA: ca, ClientCert: cert, ClientKey: certKey}); err != nil || got != "gateway" {
			t.Errorf("%s: with a certificate: %q %v", name, got, err)
		}
		if got, err := grant(config.OAuthClient{CA: ca}); err != nil || got != "nobody" {
			t.Errorf("%s: without: %q %v", name, got, err)
		}
		if got, err := grant(config.OAuthClient{}); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: an authority that nobody named: %q %v", name, got, err)
		}
	}
	for what, c := range map[string]config.OAuthClient{
		"ca: ":          {CA: certKey},
		"reading":       {CA: filepath.Join(dir, "missing.pem")},
		"client_cert: ": {ClientCert: cert, ClientKey: cert},
		"client_auth":   {ClientAuth: "tls"},
	} {
		c.Issuer, c.ClientID = self, "gateway"
		if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v, want %q", c, err, what)
		}
	}
}
