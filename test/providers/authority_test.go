package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority issues certificates for the parties of a test.
type authority struct {
	t    *testing.T
	dir  string
	file string // its own certificate, PEM
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	a.file = filepath.Join(a.dir, "authority.pem")
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(template, template, nil)
	a.pool.AddCert(a.cert)
	a.write(a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.t.Fatal(err)
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issued is a certificate with its key, also as PEM files.
type issued struct {
	tls.Certificate
	cert, key string
}

// issue makes a certificate from a template, into files of that name.
func (a *authority) issue(name string, template *x509.Certificate) issued {
	a.t.Helper()
	cert, key := a.sign(template, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	out := issued{tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")}
	a.write(out.cert, "CERTIFICATE", cert.Raw)
	a.write(out.key, "PRIVATE KEY", der)
	return out
}

// server issues a certificate for this machine.
func (a *authority) server() issued { return a.named("server", "localhost") }

// named issues a certificate for a server of that name.
func (a *authority) named(file, host string) issued {
	return a.issue(file, &x509.Certificate{
		Subject: pkix.Name{CommonName: file}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// client issues a client certificate with a name and, for those who read it, a SPIFFE id.
func (a *authority) client(name string) issued {
	return a.issue(name, clientTemplate(name))
}

func clientTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/" + name}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func (i issued) pem(t *testing.T) (cert, key string) {
	t.Helper()
	c, err := os.ReadFile(i.cert)
	if err != nil {
		t.Fatal(err)
	}
	k, err := os.ReadFile(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(c), string(k)
}

// writeText writes a file beside the certificates.
func (a *authority) writeText(file, text string) {
	a.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func base64Of(der []byte) string { return base64.StdEncoding.EncodeToString(der) }
