package exchange

import "time"

// Certificate is what a client certificate says of who holds it. Shared and read only.
type Certificate struct {
	Subject    string // distinguished name, as RFC 4514 writes it
	Issuer     string
	CommonName string
	DNS        []string // subject alternative names, by kind
	URIs       []string // SPIFFE ids among them
	Emails     []string
	IPs        []string
	Serial     string // lower-case hex
	Thumbprint string // base64url of SHA-256: x5t#S256 (RFC 8705 section 3.1)
	NotBefore  time.Time
	NotAfter   time.Time
}
