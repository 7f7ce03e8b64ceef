package gateway

import (
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/clientcert"
)

// forwardedCert is how trusted proxies pass client certificates on.
type forwardedCert struct {
	format, field string
	roots         *x509.CertPool
}

func newForwardedCert(c *config.ForwardedCertificate) (*forwardedCert, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // none is configured, and that is no mistake
	}
	f := &forwardedCert{format: c.Format, field: clientcert.Field(c.Format, c.Header)}
	if f.field == "" {
		return nil, fmt.Errorf("client_certificate: format %q is none of rfc9440, xfcc, pem, der", c.Format)
	}
	var err error
	if f.roots, err = clientcert.Pool(c.CA); err != nil {
		return nil, fmt.Errorf("client_certificate: %w", err)
	}
	return f, nil
}

// passedOn reports whether a proxy says that the request is not its own.
func passedOn(h http.Header) bool {
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "Via"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// certificate takes the client's certificate: behind a trusted proxy the one that
// it passed on, verified here again, else the connection's own. A proxy's own
// certificate is not the client's.
func (s *session) certificate(trusted bool) {
	r, x, f := s.r, &s.x, s.g.clientCert
	if f != nil && trusted {
		chain, err := clientcert.Forwarded(f.format, f.field, r.Header)
		if err != nil {
			x.PeerFault = "the certificate that the proxy passed on: " + err.Error()
			return
		}
		if len(chain) == 0 {
			return
		}
		between := x509.NewCertPool()
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		verified, err := chain[0].Verify(x509.VerifyOptions{Roots: f.roots, Intermediates: between, CurrentTime: x.Start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			x.PeerFault = "the certificate that the proxy passed on does not verify: " + err.Error()
			return
		}
		x.PeerCert, x.PeerChain = verified[0][0], verified[0]
		return
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if trusted && passedOn(r.Header) {
			x.PeerFault = "the connection's certificate is the proxy's, which passes none of its clients' on (server.client_certificate)"
			return
		}
		x.PeerCert, x.PeerChain = r.TLS.VerifiedChains[0][0], r.TLS.VerifiedChains[0]
	}
}
