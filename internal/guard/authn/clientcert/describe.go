package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Thumbprint is a certificate's x5t#S256 (RFC 8705 section 3.1).
func Thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Describe lists what a certificate says.
func Describe(c *x509.Certificate) *exchange.Certificate {
	d := &exchange.Certificate{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), CommonName: c.Subject.CommonName,
		DNS: c.DNSNames, Emails: c.EmailAddresses, Thumbprint: Thumbprint(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	for _, u := range c.URIs {
		d.URIs = append(d.URIs, u.String())
	}
	for _, ip := range c.IPAddresses {
		d.IPs = append(d.IPs, ip.String())
	}
	if c.SerialNumber != nil {
		d.Serial = c.SerialNumber.Text(16)
	}
	return d
}
