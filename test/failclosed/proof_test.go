package failclosed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/internal/state"
)

// signers makes the authn guard take signed requests.
const signers = "    upload: {mode: \"off\"}\n    authn: {methods: [{signature: {keys: [{id: p, subject: p, secret: \"${FAIL_SECRET}\"}]}, schemes: [login]}]}\n"

// holders makes it take client certificates that a proxy passes on.
const (
	certificates = `trusted_proxies: [192.0.2.0/24], client_certificate: {format: rfc9440, ca: ca.pem}`
	holders      = "    authn: {methods: [{mtls: {crl: [list.crl]}, schemes: [login]}]}\n"
)

func boundToken(s *stand) *http.Request {
	tok, err := jwt.NewBuilder().Issuer("https://issuer.test").Audience([]string{"t"}).Subject("alice").Expiration(time.Now().Add(time.Hour)).
		Claim("cnf", map[string]string{"jkt": strings.Repeat("A", 43)}).Build()
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := jwt.Sign(tok, jwt.WithKey(jwa.HS256(), []byte(secret)))
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.get("/things")
	r.Header.Set("Authorization", "Bearer "+string(text))
	return r
}

// signed sends a body and a signature over what another digests to.
func signed(vouched, sent string) func(*stand) *http.Request {
	return func(s *stand) *http.Request {
		r := s.post(sent)
		sign(r, vouched)
		return r
	}
}

func signedUpload(s *stand) *http.Request {
	big := strings.Repeat("0123456789abcdef", 4096)
	r := s.put("application/octet-stream", big[1:]+"!")
	sign(r, big)
	return r
}

func sign(r *http.Request, vouched string) {
	r.Header.Del("Authorization")
	sum := sha256.Sum256([]byte(vouched))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	params := fmt.Sprintf(`("@method" "@target-uri" "content-digest");created=%d;keyid="p"`, time.Now().Unix())
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "\"@method\": %s\n\"@target-uri\": http://%s%s\n\"content-digest\": %s\n\"@signature-params\": %s", r.Method, r.Host, r.RequestURI, digest, params)
	r.Header.Set("Content-Digest", digest)
	r.Header.Set("Signature-Input", "s="+params)
	r.Header.Set("Signature", "s=:"+base64.StdEncoding.EncodeToString(h.Sum(nil))+":")
}

// forgetful is a state that cannot tell what was used before.
func forgetful(s *stand) state.Store {
	m := state.NewMemory(nil)
	s.t.Cleanup(func() { _ = m.Close() })
	return noMarks{m}
}

type noMarks struct{ state.Store }

func (noMarks) First(context.Context, string, time.Duration) (bool, error) {
	return false, errors.New("connection refused")
}

// holder is a client certificate, its authority, and a list of revocations that ended an hour ago.
var holder = sync.OnceValue(func() (out struct{ leaf, ca, list []byte }) {
	must := func(b []byte, err error) []byte {
		if err != nil {
			panic(err)
		}
		return b
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(nil, err)
	from, till := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: from, NotAfter: till, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	out.ca = must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))
	ca, err := x509.ParseCertificate(out.ca)
	must(nil, err)
	out.leaf = must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "c"}, NotBefore: from, NotAfter: till, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, &key.PublicKey, key))
	out.list = must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: from.Add(time.Minute)}, ca, key))
	return out
})

func staleList() map[string]string {
	h := holder()
	return map[string]string{"ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.ca})), "list.crl": string(h.list)}
}

func withCertificate(*stand) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/things", nil)
	r.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(holder().leaf)+":")
	return r
}
