package scan

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/check"
)

const tideSpec = `openapi: 3.0.3
info: {title: Tides, version: "1"}
paths:
  /ports:
    get:
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: string}}}}}}
`

// tides is a public API of one read.
func tides() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ports" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `["Brest","Dover"]`)
	})
}

// authority signs certificates for a test.
type authority struct {
	crt  *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	crt := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, crt, crt, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if crt, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a := &authority{crt: crt, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate is one for 127.0.0.1 and an RSA key of so many bits, as change makes it.
func (a *authority) certificate(t *testing.T, bits int, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	parent, signer := a.crt, any(a.key)
	if change != nil {
		change(c)
	}
	if c.Issuer.CommonName == "self" {
		parent, signer = c, any(key)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var quiet = log.New(io.Discard, "", 0)

// overTLS is tides behind TLS, and the options to scan it.
func overTLS(t *testing.T, a *authority, conf *tls.Config, checks ...string) *Options {
	t.Helper()
	s := httptest.NewUnstartedServer(tides())
	s.TLS = conf
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return optionsFor(t, tideSpec, s.URL, a, checks...)
}

func optionsFor(t *testing.T, spec, url string, a *authority, checks ...string) *Options {
	t.Helper()
	o := served(t, spec, http.NotFoundHandler(), checks...)
	o.Target = url
	o.TLS.Insecure = true
	if a != nil {
		o.TLS.CAFile = a.file
	}
	return o
}

func wheres(all []*finding.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Check+" "+f.Where+" "+string(f.Severity))
	}
	slices.Sort(out)
	return out
}

var tlsChecks = []string{"tls-old-protocol", "tls-weak-cipher", "tls-certificate", "tls-downgrade"}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	good := a.certificate(t, 2048, nil)
	modern := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for _, c := range []struct {
		name string
		conf *tls.Config
		want []string
	}{
		{"as Go has it", &tls.Config{Certificates: []tls.Certificate{good}}, nil},
		{"TLS 1.3 alone", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS13}, nil},
		{"TLS 1.2 alone", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: modern}, nil},
		{"old versions", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10}, []string{"tls-old-protocol protocol low"}},
		{"RC4 and 3DES", &tls.Config{Certificates: []tls.Certificate{good}, CipherSuites: append([]uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}, modern...)}, []string{"tls-weak-cipher cipher.3des low", "tls-weak-cipher cipher.rc4 low"}},
		{"no forward secrecy", &tls.Config{Certificates: []tls.Certificate{good}, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, []string{"tls-weak-cipher cipher.forward-secrecy low"}},
		{"no forward secrecy for those that offer none", &tls.Config{Certificates: []tls.Certificate{good}, CipherSuites: append([]uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, modern...)}, []string{"tls-weak-cipher cipher.forward-secrecy info"}},
		{"CBC alone", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, []string{"tls-weak-cipher cipher.cbc low"}},
		{"expired", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}}, []string{"tls-certificate certificate.expired low"}},
		{"not yet valid", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })}}, []string{"tls-certificate certificate.not-yet-valid low"}},
		{"another name", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"tides.example"} })}}, []string{"tls-certificate certificate.name info"}},
		{"self-signed", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, func(c *x509.Certificate) { c.Issuer.CommonName = "self" })}}, []string{"tls-certificate certificate.trust info"}},
		{"a short key", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 1024, nil)}}, []string{"tls-certificate certificate.key low"}},
		{"SHA-1", &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })}}, []string{"tls-certificate certificate.signature low"}},
		{"a client's certificate is wanted", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, ClientAuth: tls.RequestClientCert}, []string{"tls-old-protocol protocol low"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res := scanned(t, overTLS(t, a, c.conf, tlsChecks...))
			if got := wheres(res.Report.Findings); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			for _, f := range res.Report.Findings {
				if !strings.Contains(f.Reproduce, "openssl s_client") || len(f.Evidence) == 0 || f.Evidence[0].Request.Method != "TLS" || !strings.Contains(f.Evidence[0].Response.Body, "accepted") {
					t.Errorf("%s: its proof is not shown: %+v\n%s", f.Where, f.Evidence, f.Reproduce)
				}
			}
		})
	}
}

// sameport speaks TLS and plain HTTP at one port, as servers behind a port
// multiplexer do; closed: it answers plain HTTP with plain.
type sameport struct {
	net.Listener
	conf  *tls.Config
	plain http.Handler
}

type peeked struct {
	net.Conn
	r io.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func (s *sameport) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	br := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	first, err := br.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	p := &peeked{c, br}
	if err != nil || first[0] == 22 {
		return tls.Server(p, s.conf), nil //nolint:nilerr // who says nothing is left to TLS
	}
	if s.plain == nil {
		return p, nil
	}
	go func() {
		_ = (&http.Server{Handler: s.plain, ErrorLog: quiet, ReadHeaderTimeout: time.Second}).Serve(&once{c: p})
	}()
	return s.Accept()
}

// once is a listener of one connection.
type once struct{ c net.Conn }

func (o *once) Accept() (net.Conn, error) {
	if o.c == nil {
		return nil, io.EOF
	}
	c := o.c
	o.c = nil
	return c, nil
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

func TestPlainBesideTLS(t *testing.T) {
	a := newAuthority(t)
	conf := &tls.Config{Certificates: []tls.Certificate{a.certificate(t, 2048, nil)}, NextProtos: []string{"http/1.1"}}
	secret := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/ports" {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"error":"who are you"}`)
			return
		}
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"error":"none"}`)
	})
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusPermanentRedirect)
	})
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "TLS, please", http.StatusBadRequest) })
	for _, c := range []struct {
		name       string
		api, plain http.Handler // plain nil: the API itself
		want       bool
	}{
		{"data in plain", tides(), nil, true},
		{"a refusal of the API's in plain", secret, nil, true},
		{"a redirect", tides(), redirect, false},
		{"a refusal", tides(), refuse, false},
	} {
		t.Run("port/"+c.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: c.api, ErrorLog: quiet, ReadHeaderTimeout: 5 * time.Second}
			t.Cleanup(func() { _ = s.Close() })
			go func() { _ = s.Serve(&sameport{l, conf, c.plain}) }()
			o := optionsFor(t, tideSpec, "https://"+l.Addr().String(), a, "tls-downgrade")
			found(t, o, c.want, "port")
		})
		t.Run("beside/"+c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(c.api)
			s.TLS, s.Config.ErrorLog = conf.Clone(), quiet
			s.StartTLS()
			t.Cleanup(s.Close)
			h := c.plain
			if h == nil {
				h = c.api
			}
			beside := httptest.NewServer(h)
			t.Cleanup(beside.Close)
			o := optionsFor(t, tideSpec, s.URL, a, "tls-downgrade")
			found(t, o, false, "http") // it is not in scope
			o = optionsFor(t, tideSpec, s.URL, a, "tls-downgrade")
			o.Also = []string{beside.URL}
			found(t, o, c.want, "http")
		})
	}
}

func found(t *testing.T, o *Options, want bool, where string) {
	t.Helper()
	res, err := Run(t.Context(), o, Events{})
	if err != nil && !strings.Contains(err.Error(), "no operation answered") {
		t.Fatal(err)
	}
	got := wheres(res.Report.Findings)
	if want && !slices.Equal(got, []string{"tls-downgrade " + where + " low"}) || !want && len(got) > 0 {
		t.Errorf("found %q, want %v", got, want)
	}
}

// A finding of a handshake is proven again from its file, and refuted when the
// server is mended.
func TestVerifyTLS(t *testing.T) {
	a := newAuthority(t)
	good := a.certificate(t, 2048, nil)
	o := overTLS(t, a, &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10}, "tls-old-protocol")
	var record strings.Builder
	o.Record = &record
	res := scanned(t, o)
	dir := t.TempDir()
	if n, err := WriteRegressions(dir, res); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if !strings.Contains(record.String(), "A TLS handshake") {
		t.Error("the record of what was sent has no handshake")
	}
	list, err := ReadRegressions([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = nil
	plain := httptest.NewServer(tides())
	t.Cleanup(plain.Close)
	for _, c := range []struct {
		target string
		want   string
	}{
		{o.Target, "proven"},
		{overTLS(t, a, &tls.Config{Certificates: []tls.Certificate{good}}).Target, "refuted"},
		{plain.URL, "inconclusive"},
	} {
		o.Target = c.target
		out, _, err := Verify(t.Context(), o, list, nil)
		if err != nil || len(out) != 1 || string(out[0].Verdict) != c.want {
			t.Errorf("%+v %v, want %s", out, err, c.want)
		}
	}
}

func TestTLSChecksAreSafe(t *testing.T) {
	for _, id := range tlsChecks {
		if c := check.Find(id); c == nil || c.Mode != check.Safe {
			t.Errorf("%s does not run with --safe", id)
		}
	}
}
