package authn

import (
	"errors"
	"slices"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/clientcert"
)

// newCertificates compiles a method for client certificates.
func (g *Guard) newCertificates(c *config.MTLSMethod) (*method, error) {
	v, err := clientcert.New(clientcert.Options{CA: c.CA, Issuers: c.Issuers, Subject: c.Subject, Roles: c.Roles, Tenant: c.Tenant, CRL: c.CRL})
	if err != nil {
		return nil, err
	}
	m := &method{kind: "mtls", certificates: v}
	g.mtls = append(g.mtls, m)
	return m, nil
}

// declaredCertificates is the method for a document with mutualTLS schemes and a
// config that says nothing of them: every verified certificate is taken.
func (g *Guard) declaredCertificates(o *Options) (*method, error) {
	if o.API == nil || len(g.mtls) > 0 {
		return nil, nil //nolint:nilnil // none is needed
	}
	var schemes []string
	for _, s := range o.API.SecuritySchemes {
		if s.Type == "mutualTLS" {
			schemes = append(schemes, s.Name)
		}
	}
	if len(schemes) == 0 {
		return nil, nil //nolint:nilnil // none is needed
	}
	m, err := g.newCertificates(&config.MTLSMethod{})
	if err != nil {
		return nil, err
	}
	slices.Sort(schemes)
	m.schemes = schemes
	return m, nil
}

// certified says whose certificate the connection, or the proxy, has shown: by the
// first method that takes it. Where none does, the first that says more than that it
// is another's.
func (g *Guard) certified(x *exchange.Exchange, now time.Time) candidate {
	out := candidate{method: g.mtls[0], schemes: g.mtls[0].schemes}
	if x.PeerCert == nil {
		out.failure = fail("authn.invalid", x.PeerFault)
		return out
	}
	chain := x.PeerChain
	if len(chain) == 0 {
		chain = append(chain, x.PeerCert)
	}
	for _, m := range g.mtls {
		id, err := m.certificates.Identify(chain, now)
		if err == nil {
			holder := *id
			holder.Schemes = m.schemes
			holder.Credential = g.digest.sum(-3, id.Certificate.Thumbprint).String()
			holder.Revocable = revocableCertificate(id, x.PeerCert)
			return candidate{method: m, schemes: m.schemes, identity: &holder}
		}
		if out.failure == nil || !errors.Is(err, clientcert.ErrOther) && out.failure.code == "authn.issuer" {
			out = candidate{method: m, schemes: m.schemes, failure: certificateFailure(err)}
		}
	}
	return out
}

func certificateFailure(err error) *failure {
	switch {
	case errors.Is(err, clientcert.ErrOther):
		return fail("authn.issuer", err.Error())
	case errors.Is(err, clientcert.ErrExpired):
		return fail("authn.expired", err.Error())
	case errors.Is(err, clientcert.ErrRevoked):
		return fail("authn.revoked", err.Error())
	case errors.Is(err, clientcert.ErrUnknown):
		return unavailable(err.Error())
	}
	return fail("authn.invalid", err.Error())
}
