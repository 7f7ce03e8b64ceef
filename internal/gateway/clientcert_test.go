package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

func testAuthority(t *testing.T) (issue func(cn string) *x509.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(tmpl, parent *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca := sign(tmpl, tmpl)
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(cn string) *x509.Certificate {
		return sign(&x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca)
	}, file
}

// A certificate in a field is a trusted proxy's word, verified again; from anyone
// else it is nothing, and no upstream ever sees the field.
func TestForwardedCertificate(t *testing.T) {
	issue, file := testAuthority(t)
	strangers, _ := testAuthority(t)
	client, proxy, stranger := issue("client"), issue("proxy"), strangers("stranger")
	rfc := func(c *x509.Certificate) http.Header {
		return http.Header{"Client-Cert": {":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"}}
	}
	text := func(c *x509.Certificate) string {
		return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	}
	over := func(c *x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	for name, c := range map[string]struct {
		set    string // below client_certificate; "": none
		from   string
		header http.Header
		tls    *tls.ConnectionState
		want   string // whose certificate
		fault  bool
	}{
		"from a proxy":                          {set: "format: rfc9440", from: "10.0.0.1", header: rfc(client), want: "client"},
		"from a proxy with its own":             {set: "format: rfc9440", from: "10.0.0.1", header: rfc(client), tls: over(proxy), want: "client"},
		"from a proxy with its own alone":       {set: "format: rfc9440", from: "10.0.0.1", tls: over(proxy), want: ""},
		"from a stranger":                       {set: "format: rfc9440", from: "192.0.2.1", header: rfc(client), want: ""},
		"from a stranger over TLS":              {set: "format: rfc9440", from: "192.0.2.1", header: rfc(client), tls: over(proxy), want: "proxy"},
		"of another authority":                  {set: "format: rfc9440", from: "10.0.0.1", header: rfc(stranger), fault: true},
		"rubbish":                               {set: "format: rfc9440", from: "10.0.0.1", header: http.Header{"Client-Cert": {"x"}}, fault: true},
		"in another field than configured":      {set: "format: pem", from: "10.0.0.1", header: rfc(client), want: ""},
		"nginx":                                 {set: "format: pem", from: "10.0.0.1", header: http.Header{"Ssl-Client-Cert": {text(client)}}, want: "client"},
		"a field of the config's":               {set: "format: pem, header: X-Peer", from: "10.0.0.1", header: http.Header{"X-Peer": {text(client)}}, want: "client"},
		"a field of the config's, a stranger's": {set: "format: pem, header: X-Peer", from: "192.0.2.1", header: http.Header{"X-Peer": {text(client)}}, want: ""},
		"Envoy":                                 {set: "format: xfcc", from: "10.0.0.1", header: http.Header{"X-Forwarded-Client-Cert": {`Cert="` + text(client) + `"`}}, want: "client"},
		"nothing configured":                    {from: "10.0.0.1", header: rfc(client), want: ""},
		"nothing configured, somebody behind":   {from: "10.0.0.1", header: http.Header{"X-Forwarded-For": {"192.0.2.9"}}, tls: over(proxy), fault: true},
		"a stranger says that it is a proxy":    {from: "192.0.2.1", header: http.Header{"X-Forwarded-For": {"192.0.2.9"}}, tls: over(client), want: "client"},
		"nothing configured, over TLS":          {from: "10.0.0.1", header: rfc(client), tls: over(proxy), want: "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			server := "{trusted_proxies: [10.0.0.0/8]"
			if c.set != "" {
				server += ", client_certificate: {" + c.set + ", ca: " + file + "}"
			}
			g := newTestGateway(t, "", server+"}")
			r := httptest.NewRequest(http.MethodGet, "/items", nil)
			r.RemoteAddr, r.TLS = c.from+":1", c.tls
			for n, v := range c.header {
				r.Header[n] = v
			}
			s := &session{g: g.Gateway, r: r}
			s.x.Start = time.Now()
			if v := s.receive(); v.Action != exchange.Allow {
				t.Fatal(v)
			}
			got := ""
			if s.x.PeerCert != nil {
				got = s.x.PeerCert.Subject.CommonName
			}
			if got != c.want || (s.x.PeerFault != "") != c.fault {
				t.Errorf("certificate of %q, fault %q; want %q, %v", got, s.x.PeerFault, c.want, c.fault)
			}
			for n := range c.header {
				if have := r.Header[n]; have != nil {
					t.Errorf("the upstream would see %s: %s", n, fmt.Sprint(have)[:20])
				}
			}
		})
	}
}
