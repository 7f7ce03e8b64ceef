package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// maxHolders bounds how many certificates are remembered.
const maxHolders = 4096

const maxName = 512 // bytes of a subject

// Errors of a certificate that is not taken.
var (
	ErrOther   = errors.New("the client certificate is from another authority")
	ErrExpired = errors.New("the client certificate is not valid at this time")
	ErrRevoked = errors.New("the client certificate was revoked")
	// ErrUnknown says that nobody can tell whether it was revoked.
	ErrUnknown = errors.New("whether the client certificate was revoked cannot be told")
	ErrName    = errors.New("the client certificate names no subject")
)

// Options say which certificates are taken and what is read from them.
type Options struct {
	CA      string   // PEM file of authorities; "": those that the connection was verified by
	Issuers []string // distinguished names of issuers, with *; none: any
	Subject string   // "uri", "dns", "email", "cn" or "dn"; "": the first of uri, dns, email, cn that is there
	Roles   map[string][]string
	Tenant  string   // "o" or "ou": the part of the subject that names the tenant
	CRL     []string // files, PEM or DER
}

// Verifier says who holds a certificate. It is safe for concurrent use.
type Verifier struct {
	o     Options
	roots *x509.CertPool // nil: as the connection was verified
	roles []string       // patterns of Options.Roles, sorted
	crls  *revocations   // nil: none are demanded

	mu      sync.Mutex
	holders map[[sha256.Size]byte]*holder
}

// holder is a certificate that was verified.
type holder struct {
	identity   *exchange.Identity
	from, till time.Time
	chain      []*x509.Certificate
	// of the revocation lists by which it was not revoked, and until when they hold
	generation uint64
	fresh      time.Time
}

// New makes a Verifier. The error says every mistake.
func New(o Options) (*Verifier, error) {
	v := &Verifier{o: o, roles: slices.Sorted(maps.Keys(o.Roles)), holders: make(map[[sha256.Size]byte]*holder)}
	var errs []error
	if o.CA != "" {
		pool, err := Pool(o.CA)
		if err != nil {
			errs = append(errs, err)
		}
		v.roots = pool
	}
	if len(o.CRL) > 0 {
		crls, err := openRevocations(o.CRL)
		if err != nil {
			errs = append(errs, err)
		}
		v.crls = crls
	}
	return v, errors.Join(errs...)
}

// Pool reads a PEM file of authorities.
func Pool(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}

// Ready says why nobody can be told from one who was revoked, nil when all is well.
func (v *Verifier) Ready(now time.Time) error {
	if v.crls == nil {
		return nil
	}
	return v.crls.ready(now)
}

// Identify returns the holder of the first certificate of a verified chain. The
// identity is shared: it must not be changed.
func (v *Verifier) Identify(chain []*x509.Certificate, now time.Time) (*exchange.Identity, error) {
	leaf := chain[0]
	key := sha256.Sum256(leaf.Raw)
	v.mu.Lock()
	h := v.holders[key]
	v.mu.Unlock()
	if h == nil || now.Before(h.from) || !now.Before(h.till) {
		var err error
		if h, err = v.verify(chain, now); err != nil {
			return nil, err
		}
		h.identity.Certificate.Thumbprint = Thumbprint(leaf)
	}
	if v.crls != nil {
		generation := v.crls.current(now)
		if h.generation != generation || !now.Before(h.fresh) {
			fresh, err := v.crls.check(h.chain, now)
			if err != nil {
				return nil, err
			}
			next := *h
			next.generation, next.fresh = generation, fresh
			h = &next
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.holders) >= maxHolders {
		clear(v.holders)
	}
	v.holders[key] = h
	return h.identity, nil
}

// verify checks a certificate that was not seen yet, or not lately.
func (v *Verifier) verify(chain []*x509.Certificate, now time.Time) (*holder, error) {
	leaf := chain[0]
	if now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return nil, ErrExpired
	}
	if v.roots != nil {
		between := x509.NewCertPool()
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		chains, err := leaf.Verify(x509.VerifyOptions{Roots: v.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOther, err)
		}
		chain = chains[0]
	}
	if len(v.o.Issuers) > 0 && !slices.ContainsFunc(v.o.Issuers, func(p string) bool { return match(p, leaf.Issuer.String()) }) {
		return nil, fmt.Errorf("%w: its issuer is %s", ErrOther, leaf.Issuer)
	}
	h := &holder{chain: chain, from: leaf.NotBefore, till: leaf.NotAfter}
	for _, c := range chain[1:] {
		if c.NotAfter.Before(h.till) {
			h.till = c.NotAfter
		}
	}
	subject, err := v.subject(leaf)
	if err != nil {
		return nil, err
	}
	h.identity = &exchange.Identity{
		Subject: subject, Method: "mtls", Verified: true, Issuer: leaf.Issuer.String(), Tenant: v.tenant(leaf),
		Issued: leaf.NotBefore, Expires: leaf.NotAfter, Certificate: Describe(leaf), Memo: new(exchange.Memo),
	}
	for _, p := range v.roles {
		if match(p, subject) {
			for _, r := range v.o.Roles[p] {
				if !slices.Contains(h.identity.Roles, r) {
					h.identity.Roles = append(h.identity.Roles, r)
				}
			}
		}
	}
	return h, nil
}

// subject is the name that the config wants.
func (v *Verifier) subject(c *x509.Certificate) (string, error) {
	first := func(list []string) string {
		if len(list) > 0 {
			return list[0]
		}
		return ""
	}
	uri := ""
	if len(c.URIs) > 0 {
		uri = c.URIs[0].String()
		// A SPIFFE id is the only URI of its certificate (X.509-SVID section 2).
		if len(c.URIs) > 1 && c.URIs[0].Scheme == "spiffe" {
			return "", fmt.Errorf("%w: more than one URI beside a SPIFFE id", ErrName)
		}
	}
	names := map[string]string{"uri": uri, "dns": first(c.DNSNames), "email": first(c.EmailAddresses), "cn": c.Subject.CommonName, "dn": c.Subject.String()}
	kinds := []string{v.o.Subject}
	if v.o.Subject == "" {
		kinds = []string{"uri", "dns", "email", "cn"}
	}
	for _, kind := range kinds {
		s := names[kind]
		if s == "" {
			continue
		}
		if len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("%w: its %s is too long or holds control characters", ErrName, kind)
		}
		return s, nil
	}
	return "", fmt.Errorf("%w of the kind %s", ErrName, strings.Join(kinds, ", "))
}

func (v *Verifier) tenant(c *x509.Certificate) string {
	var list []string
	switch v.o.Tenant {
	case "o":
		list = c.Subject.Organization
	case "ou":
		list = c.Subject.OrganizationalUnit
	}
	if len(list) != 1 || len(list[0]) > maxName { // of two, which is meant cannot be known
		return ""
	}
	return list[0]
}

// match compares s with a pattern in which * stands for any run of characters.
func match(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, last)
}
