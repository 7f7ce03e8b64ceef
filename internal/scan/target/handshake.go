package target

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Handshake is what a TLS handshake showed.
type Handshake struct {
	Accepted       bool   `json:"accepted"`
	Alert          string `json:"alert,omitempty"`   // why not, in the server's words
	Version        string `json:"version,omitempty"` // "TLS 1.2"
	Cipher         string `json:"cipher,omitempty"`
	Group          string `json:"group,omitempty"` // of the cipher suite: groupNames
	ForwardSecrecy bool   `json:"forward_secrecy"`
	DHBits         int    `json:"dh_bits,omitempty"` // of the group, where the key exchange is DHE
	// Certificate is the server's; nil where none was asked for.
	Certificate *Certificate `json:"certificate,omitempty"`
}

// Certificate is what a server shows of itself, and how a careful client judges it
// now (RFC 5280, RFC 9525; key sizes of NIST SP 800-57, CA/Browser Forum 6.1.5).
type Certificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"` // subjectAltName: DNS names and addresses
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Expired     bool      `json:"expired"`
	NotYetValid bool      `json:"not_yet_valid"`
	For         string    `json:"for"` // the name that was asked for
	NameMatches bool      `json:"name_matches"`
	SelfSigned  bool      `json:"self_signed"`
	// Trusted: a chain leads to an authority of the system's or of Options.CAFile,
	// whatever the name and the dates.
	Trusted       bool   `json:"trusted"`
	Key           string `json:"key"` // "RSA 2048", "ECDSA P-256", "Ed25519"
	WeakKey       bool   `json:"weak_key"`
	Signature     string `json:"signature"`
	WeakSignature bool   `json:"weak_signature"` // of any certificate shown that somebody else signed
	Chain         int    `json:"chain"`          // certificates shown
	PEM           string `json:"pem"`            // the server's own
}

// Handshake begins TLS with the target, on a connection of its own that is closed
// afterwards. With hello it only looks what the server agrees to; without, it
// looks at the server's certificate, too, and believes any. An error means that
// nothing was sent; a refusal is an answer.
func (c *Client) Handshake(ctx context.Context, hello *Hello) (*Exchange, error) {
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if c.home.scheme != "https" {
		return nil, fmt.Errorf("%w: the target %s does not speak TLS", ErrRequest, c.home)
	}
	q := &Request{Method: MethodTLS, Path: "/", Root: true}
	if hello != nil {
		if err := hello.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRequest, err)
		}
		q.Body, _ = json.Marshal(map[string]any{"version": hello.Version, "ciphers": hello.Ciphers}) // cannot fail
	}
	ex := &Exchange{For: purposeOf(ctx).what, Request: q, TLS: &Handshake{}}
	cn, err := c.lone(ctx, ex, func(ctx context.Context) (*conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.dialer.timeout)
		defer cancel()
		nc, err := c.dialer.tcp(ctx, c.home)
		if err != nil {
			return nil, err
		}
		cn := &conn{Conn: nc, left: math.MaxInt64}
		cn.br = bufio.NewReader(cn)
		return cn, nil
	})
	if err != nil {
		return nil, err
	}
	if cn == nil {
		c.tell(ex)
		return ex, nil
	}
	defer func() { _ = cn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })()
	_ = cn.SetDeadline(time.Now().Add(c.dialer.timeout))
	ex.Sent = time.Now()
	if hello != nil {
		if _, err = cn.Conn.Write(hello.bytes(c.serverName())); err == nil {
			ex.TLS, err = readHello(cn.br)
		}
	} else {
		ex.TLS, err = c.certificate(ctx, cn)
	}
	ex.Duration = time.Since(ex.Sent)
	if err != nil {
		ex.Err = err
	}
	ex.Body, _ = json.Marshal(ex.TLS) // cannot fail
	ex.Header = http.Header{"Content-Type": {"application/json"}}
	c.tell(ex)
	return ex, ctx.Err()
}

// serverName is the name that the target must be able to show a certificate for.
func (c *Client) serverName() string {
	if c.dialer.tls.ServerName != "" {
		return c.dialer.tls.ServerName
	}
	return c.home.name
}

func (c *Client) certificate(ctx context.Context, cn *conn) (*Handshake, error) {
	out := &Handshake{}
	conf := c.dialer.tls.Clone()
	conf.ServerName = c.serverName()
	conf.NextProtos = []string{"http/1.1", "h2"}
	conf.ClientSessionCache = nil // a session that goes on shows no certificate
	conf.InsecureSkipVerify = true
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			conf.CipherSuites = append(conf.CipherSuites, s.ID)
		}
	}
	// A server that wants the client's certificate has shown its own before it refuses.
	conf.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error { //nolint:gosec // no session is gone on with here, and any certificate is looked at
		var chain []*x509.Certificate
		for _, der := range raw {
			crt, err := x509.ParseCertificate(der)
			if err != nil {
				return fmt.Errorf("reading the server's certificate: %w", err)
			}
			chain = append(chain, crt)
		}
		if len(chain) > 0 {
			out.Certificate = judge(chain, conf.RootCAs, conf.ServerName, time.Now())
		}
		return nil
	}
	tc := tls.Client(cn.Conn, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return out, fmt.Errorf("TLS with %s: %w", c.home.addr, err)
	}
	s := tc.ConnectionState()
	out.Accepted, out.Version, out.Cipher = true, tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite)
	out.ForwardSecrecy = s.Version >= tls.VersionTLS13
	for _, known := range suites {
		if "TLS_"+known.name == out.Cipher {
			out.Group, out.ForwardSecrecy = known.group, known.forward()
		}
	}
	return out, nil
}

// judge looks at a chain as a careful client does. roots nil: the system's.
func judge(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) *Certificate {
	leaf := chain[0]
	out := &Certificate{
		Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: leaf.DNSNames, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		Expired: now.After(leaf.NotAfter), NotYetValid: now.Before(leaf.NotBefore), For: name,
		NameMatches: leaf.VerifyHostname(name) == nil, SelfSigned: selfSigned(leaf), Signature: leaf.SignatureAlgorithm.String(), Chain: len(chain),
		PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})),
	}
	for _, ip := range leaf.IPAddresses {
		out.Names = append(out.Names, ip.String())
	}
	between := x509.NewCertPool()
	for _, crt := range chain[1:] {
		between.AddCert(crt)
	}
	// The dates are judged by themselves: at a time when it was good, was it trusted?
	at := now
	if out.Expired || out.NotYetValid {
		at = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at})
	out.Trusted = err == nil
	out.Key, out.WeakKey = keyOf(leaf)
	for i, crt := range chain {
		if selfSigned(crt) {
			continue // nobody leans on what it says of itself
		}
		switch crt.SignatureAlgorithm {
		case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			out.WeakSignature, out.Signature = true, crt.SignatureAlgorithm.String()
		}
		if key, weak := keyOf(crt); i > 0 && weak && !out.WeakKey {
			out.Key, out.WeakKey = key, true
		}
	}
	return out
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || string(c.AuthorityKeyId) == string(c.SubjectKeyId))
}

func keyOf(c *x509.Certificate) (name string, weak bool) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen()), k.N.BitLen() < 2048
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name, k.Params().BitSize < 224
	case ed25519.PublicKey:
		return "Ed25519", false
	}
	return c.PublicKeyAlgorithm.String(), c.PublicKeyAlgorithm == x509.DSA
}
