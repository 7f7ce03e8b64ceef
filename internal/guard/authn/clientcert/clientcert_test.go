package clientcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newAuthority(name string, by *authority) *authority {
	a := &authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Test"}}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	parent, key := tmpl, a.key
	if by != nil {
		parent, key = by.cert, by.key
	}
	a.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, parent, &a.key.PublicKey, key))))
	return a
}

func (a *authority) issue(change func(c *x509.Certificate)) *x509.Certificate {
	return a.issueFor(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), change)
}

func (a *authority) issueFor(key *ecdsa.PrivateKey, change func(c *x509.Certificate)) *x509.Certificate {
	a.next++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(a.next + 100), Subject: pkix.Name{CommonName: "device"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(tmpl)
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key))))
}

func (a *authority) pem(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) crl(change func(l *x509.RevocationList), revoked ...*x509.Certificate) []byte {
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon.Add(-time.Hour), NextUpdate: noon.Add(time.Hour)}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: noon.Add(-time.Minute)})
	}
	if change != nil {
		change(l)
	}
	return must(x509.CreateRevocationList(rand.Reader, l, a.cert, crypto.Signer(a.key)))
}

func uri(s string) *url.URL { return must(url.Parse(s)) }

func TestIdentify(t *testing.T) {
	root, other := newAuthority("root", nil), newAuthority("other", nil)
	between := newAuthority("between", root)
	full := root.issue(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "device", Organization: []string{"North"}, OrganizationalUnit: []string{"a", "b"}}
		c.URIs, c.DNSNames, c.EmailAddresses = []*url.URL{uri("spiffe://test/batch/7")}, []string{"device.test"}, []string{"d@test"}
	})
	client := &authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	client.cert = root.issueFor(client.key, nil)
	for name, c := range map[string]struct {
		o     Options
		chain []*x509.Certificate
		at    time.Duration
		who   string
		roles string
		err   error
	}{
		"by its URI":                      {chain: []*x509.Certificate{full, root.cert}, who: "spiffe://test/batch/7"},
		"by its DNS name":                 {o: Options{Subject: "dns"}, chain: []*x509.Certificate{full, root.cert}, who: "device.test"},
		"by its address":                  {o: Options{Subject: "email"}, chain: []*x509.Certificate{full, root.cert}, who: "d@test"},
		"by its common name":              {o: Options{Subject: "cn"}, chain: []*x509.Certificate{full, root.cert}, who: "device"},
		"by its distinguished name":       {o: Options{Subject: "dn"}, chain: []*x509.Certificate{full, root.cert}, who: "CN=device,OU=a+OU=b,O=North"},
		"by a name that it lacks":         {o: Options{Subject: "uri"}, chain: []*x509.Certificate{root.issue(nil), root.cert}, err: ErrName},
		"without any name":                {chain: []*x509.Certificate{root.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), root.cert}, err: ErrName},
		"with a line break in its name":   {chain: []*x509.Certificate{root.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "a\nb"} }), root.cert}, err: ErrName},
		"with a huge name":                {chain: []*x509.Certificate{root.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: strings.Repeat("a", 600)} }), root.cert}, err: ErrName},
		"two URIs, one a SPIFFE id":       {chain: []*x509.Certificate{root.issue(func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://test/a"), uri("spiffe://test/b")} }), root.cert}, err: ErrName},
		"roles":                           {o: Options{Roles: map[string][]string{"spiffe://test/batch/*": {"batch", "all"}, "*": {"all"}, "spiffe://test/b": {"no"}}}, chain: []*x509.Certificate{full, root.cert}, who: "spiffe://test/batch/7", roles: "all batch"},
		"no role":                         {o: Options{Roles: map[string][]string{"spiffe://test/web/*": {"web"}}}, chain: []*x509.Certificate{full, root.cert}, who: "spiffe://test/batch/7"},
		"of the authority":                {o: Options{CA: root.pem(t)}, chain: []*x509.Certificate{full}, who: "spiffe://test/batch/7"},
		"of another authority":            {o: Options{CA: other.pem(t)}, chain: []*x509.Certificate{full, root.cert}, err: ErrOther},
		"by one between":                  {o: Options{CA: root.pem(t)}, chain: []*x509.Certificate{between.issue(nil), between.cert}, who: "device"},
		"by one between that is not sent": {o: Options{CA: root.pem(t)}, chain: []*x509.Certificate{between.issue(nil)}, err: ErrOther},
		"for servers":                     {o: Options{CA: root.pem(t)}, chain: []*x509.Certificate{root.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}, err: ErrOther},
		"by a client as authority":        {o: Options{CA: root.pem(t)}, chain: []*x509.Certificate{client.issue(nil), client.cert}, err: ErrOther},
		"of the issuer":                   {o: Options{Issuers: []string{"CN=root,*"}}, chain: []*x509.Certificate{full, root.cert}, who: "spiffe://test/batch/7"},
		"of another issuer":               {o: Options{Issuers: []string{"CN=roots,*", "root"}}, chain: []*x509.Certificate{full, root.cert}, err: ErrOther},
		"expired":                         {chain: []*x509.Certificate{full, root.cert}, at: time.Hour, err: ErrExpired},
		"just not expired":                {chain: []*x509.Certificate{full, root.cert}, at: time.Hour - time.Second, who: "spiffe://test/batch/7"},
		"not valid yet":                   {chain: []*x509.Certificate{full, root.cert}, at: -2 * time.Hour, err: ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := New(c.o)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time remembered
				id, err := v.Identify(c.chain, noon.Add(c.at))
				if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Fatalf("%v, want %v", err, c.err)
				}
				if err != nil {
					continue
				}
				if id.Subject != c.who || strings.Join(id.Roles, " ") != c.roles || id.Method != "mtls" || !id.Verified || id.Certificate == nil || id.Certificate.Thumbprint != Thumbprint(c.chain[0]) {
					t.Errorf("%+v", id)
				}
			}
		})
	}
	v := must(New(Options{Tenant: "o"}))
	if id, err := v.Identify([]*x509.Certificate{full, root.cert}, noon); err != nil || id.Tenant != "North" {
		t.Errorf("tenant of %+v, %v", id, err)
	}
	v = must(New(Options{Tenant: "ou"}))
	if id, err := v.Identify([]*x509.Certificate{full, root.cert}, noon); err != nil || id.Tenant != "" {
		t.Errorf("of two units one is the tenant: %+v, %v", id, err)
	}
	d := Describe(full)
	if d.Subject != "CN=device,OU=a+OU=b,O=North" || d.Issuer != "CN=root,O=Test" || d.CommonName != "device" || d.DNS[0] != "device.test" || d.URIs[0] != "spiffe://test/batch/7" || d.Emails[0] != "d@test" || d.Serial != full.SerialNumber.Text(16) {
		t.Errorf("%+v", d)
	}
	// A certificate is remembered no longer than it holds.
	v = must(New(Options{}))
	if _, err := v.Identify([]*x509.Certificate{full, root.cert}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Identify([]*x509.Certificate{full, root.cert}, noon.Add(2*time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
}

func TestRevocation(t *testing.T) {
	root, other := newAuthority("root", nil), newAuthority("root", nil) // of the same name
	good, bad := root.issue(nil), root.issue(nil)
	for name, c := range map[string]struct {
		file   []byte
		cert   *x509.Certificate
		at     time.Duration
		err    error
		broken bool // New fails
	}{
		"not revoked":               {file: root.crl(nil, bad), cert: good},
		"revoked":                   {file: root.crl(nil, bad), cert: bad, err: ErrRevoked},
		"revoked, as PEM":           {file: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: root.crl(nil, bad)}), cert: bad, err: ErrRevoked},
		"taken back again":          {file: root.crl(func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = reasonRemoved }, bad), cert: bad},
		"the list has ended":        {file: root.crl(func(l *x509.RevocationList) { l.NextUpdate = noon }), cert: good, err: ErrUnknown},
		"an old list still revokes": {file: root.crl(func(l *x509.RevocationList) { l.NextUpdate = noon }, bad), cert: bad, err: ErrRevoked},
		"the list ends later":       {file: root.crl(nil), cert: good, at: 59*time.Minute + 59*time.Second},
		"the list of the future":    {file: root.crl(func(l *x509.RevocationList) { l.ThisUpdate = noon.Add(30 * time.Minute) }), cert: good, err: ErrUnknown},
		"another authority's list":  {file: other.crl(nil), cert: good, err: ErrUnknown},
		"a delta": {file: root.crl(func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}), broken: true},
		"no list": {file: []byte("no list"), broken: true},
		"empty":   {file: nil, broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list.crl")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			v, err := New(Options{CRL: []string{path}})
			if (err != nil) != c.broken {
				t.Fatalf("made: %v", err)
			}
			if c.broken {
				return
			}
			for range 2 {
				if _, err := v.Identify([]*x509.Certificate{c.cert, root.cert}, noon.Add(c.at)); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("%v, want %v", err, c.err)
				}
			}
		})
	}
	if _, err := New(Options{CRL: []string{"/nowhere"}}); err == nil {
		t.Error("made without the file")
	}
	lone := must(New(Options{CRL: []string{must(write(t, root.crl(nil)))}}))
	if _, err := lone.Identify([]*x509.Certificate{good}, noon); !errors.Is(err, ErrUnknown) {
		t.Errorf("without its issuer: %v", err)
	}
}

func write(t testing.TB, b []byte) (string, error) {
	path := filepath.Join(t.TempDir(), "file")
	return path, os.WriteFile(path, b, 0o600)
}

// A list is read again when it changes, and the last good one holds until its end.
func TestRevocationChanges(t *testing.T) {
	root := newAuthority("root", nil)
	holder := root.issue(nil)
	path := must(write(t, root.crl(nil)))
	v := must(New(Options{CRL: []string{path}}))
	chain := []*x509.Certificate{holder, root.cert}
	step := func(name string, at time.Duration, want error) {
		t.Helper()
		if _, err := v.Identify(chain, noon.Add(at)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	put := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		// Two writes within one tick of the file system's clock must be told apart.
		later := time.Now().Add(time.Duration(len(b)) * time.Second)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	step("at first", 0, nil)
	put(root.crl(nil, holder))
	step("not looked at again yet", lookEvery/2, nil)
	step("revoked", lookEvery, ErrRevoked)
	put([]byte("rubbish"))
	step("rubbish leaves what was", 2*lookEvery, ErrRevoked)
	if v.Ready(noon.Add(2*lookEvery)) == nil {
		t.Error("ready with rubbish")
	}
	put(root.crl(nil))
	step("well again", 3*lookEvery, nil)
	if err := v.Ready(noon.Add(3 * lookEvery)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	step("gone", 4*lookEvery, nil)
	step("gone, at the list's end", time.Hour-time.Second, nil)
	chain[0] = root.issue(func(c *x509.Certificate) { c.NotAfter = noon.Add(10 * time.Hour) })
	step("gone, after the list's end", time.Hour, ErrUnknown)
	if v.Ready(noon.Add(time.Hour)) == nil {
		t.Error("ready without the file")
	}
}

func TestForwarded(t *testing.T) {
	root := newAuthority("root", nil)
	leaf := root.issue(nil)
	text := func(cs ...*x509.Certificate) string {
		var b strings.Builder
		for _, c := range cs {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
		return b.String()
	}
	b64 := func(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }
	escaped := url.PathEscape(text(leaf))
	// Section 2.2 and 2.3 of RFC 9440 as in its appendix A.
	rfcLeaf := ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"
	for name, c := range map[string]struct {
		format string
		header http.Header
		count  int // -1: an error
	}{
		"RFC 9440's example":               {"rfc9440", http.Header{"Client-Cert": {rfcLeaf}}, 1},
		"RFC 9440":                         {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":"}}, 1},
		"RFC 9440 with a chain":            {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":"}, "Client-Cert-Chain": {":" + b64(root.cert) + ":", ":" + b64(root.cert) + ":"}}, 3},
		"RFC 9440, a chain alone":          {"rfc9440", http.Header{"Client-Cert-Chain": {":" + b64(root.cert) + ":"}}, 0},
		"RFC 9440, twice":                  {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":", ":" + b64(leaf) + ":"}}, -1},
		"RFC 9440, a list":                 {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":, :" + b64(leaf) + ":"}}, -1},
		"RFC 9440, a parameter":            {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":;a=1"}}, -1},
		"RFC 9440, no colons":              {"rfc9440", http.Header{"Client-Cert": {b64(leaf)}}, -1},
		"RFC 9440, rubbish":                {"rfc9440", http.Header{"Client-Cert": {":YQ==:"}}, -1},
		"RFC 9440, a chain of rubbish":     {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":"}, "Client-Cert-Chain": {"a"}}, -1},
		"RFC 9440, a chain of lists":       {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":"}, "Client-Cert-Chain": {"(:YQ==:)"}}, -1},
		"RFC 9440, a chain too long":       {"rfc9440", http.Header{"Client-Cert": {":" + b64(leaf) + ":"}, "Client-Cert-Chain": {strings.TrimSuffix(strings.Repeat(":"+b64(root.cert)+":, ", 8), ", ")}}, -1},
		"Envoy":                            {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`By=spiffe://test/gw;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;Subject="CN=device,O=\"T, Inc\"";URI=;Cert="` + escaped + `"`}}, 1},
		"Envoy with a chain":               {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + escaped + `";Chain="` + url.PathEscape(text(leaf, root.cert)) + `"`}}, 2},
		"Envoy, names in capitals":         {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`CERT="` + escaped + `"`}}, 1},
		"Envoy, two elements":              {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + escaped + `",Cert="` + escaped + `"`}}, -1},
		"Envoy, Cert twice":                {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + escaped + `";Cert="` + escaped + `"`}}, -1},
		"Envoy without Cert":               {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Hash=468e;URI=spiffe://test/a`}}, -1},
		"Envoy, a quote without an end":    {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + escaped}}, -1},
		"Envoy, text behind a quote":       {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + escaped + `"x`}}, -1},
		"Envoy, no value":                  {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert`}}, -1},
		"Envoy, two in Cert":               {"xfcc", http.Header{"X-Forwarded-Client-Cert": {`Cert="` + url.PathEscape(text(leaf, leaf)) + `"`}}, -1},
		"nginx":                            {"pem", http.Header{"Ssl-Client-Cert": {escaped}}, 1},
		"nginx, without one":               {"pem", http.Header{"Ssl-Client-Cert": {""}}, 0},
		"nginx, twice":                     {"pem", http.Header{"Ssl-Client-Cert": {escaped, escaped}}, -1},
		"nginx, a key":                     {"pem", http.Header{"Ssl-Client-Cert": {url.PathEscape("-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----\n")}}, -1},
		"nginx, text behind":               {"pem", http.Header{"Ssl-Client-Cert": {escaped + "x"}}, -1},
		"nginx, badly encoded":             {"pem", http.Header{"Ssl-Client-Cert": {"%zz"}}, -1},
		"Traefik":                          {"der", http.Header{"X-Forwarded-Tls-Client-Cert": {b64(leaf) + "," + b64(root.cert)}}, 2},
		"Traefik, encoded":                 {"der", http.Header{"X-Forwarded-Tls-Client-Cert": {url.QueryEscape(b64(leaf))}}, 1},
		"Traefik, rubbish":                 {"der", http.Header{"X-Forwarded-Tls-Client-Cert": {"YQ=="}}, -1},
		"huge":                             {"der", http.Header{"X-Forwarded-Tls-Client-Cert": {strings.Repeat("A", maxForwarded+1)}}, -1},
		"an unknown format":                {"x", http.Header{"": {"x"}}, -1},
		"another's field is not looked at": {"rfc9440", http.Header{"Ssl-Client-Cert": {escaped}}, 0},
	} {
		certs, err := Forwarded(c.format, Field(c.format, ""), c.header)
		if (err != nil) != (c.count < 0) || err == nil && len(certs) != c.count {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
		if err == nil && c.count > 0 && !strings.Contains(name, "example") && !certs[0].Equal(leaf) {
			t.Errorf("%s: another certificate", name)
		}
	}
	if f := Field("pem", "x-amzn-mtls-clientcert"); f != "X-Amzn-Mtls-Clientcert" {
		t.Errorf("field %s", f)
	}
}

// The example of RFC 8705 appendix A.
func TestThumbprint(t *testing.T) {
	block, _ := pem.Decode([]byte(`-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
`))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := Thumbprint(c); got != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
		t.Errorf("thumbprint %s", got)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("xfcc", `By=a;Cert="%2D%2D";Chain="x"`)
	f.Add("rfc9440", ":YQ==:")
	f.Add("pem", "-----BEGIN%20CERTIFICATE-----")
	f.Add("der", "MIIB,MIIB")
	f.Fuzz(func(t *testing.T, format, line string) {
		field := Field(format, "")
		certs, err := Forwarded(format, field, http.Header{field: {line}})
		if err == nil && strings.TrimSpace(line) != "" && len(certs) == 0 {
			t.Fatalf("%s %q is taken for none", format, line)
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	root := newAuthority("root", nil)
	v := must(New(Options{CA: root.pem(b), CRL: []string{must(write(b, root.crl(nil)))}}))
	chain := []*x509.Certificate{root.issue(nil), root.cert}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Identify(chain, noon); err != nil {
			b.Fatal(err)
		}
	}
}
