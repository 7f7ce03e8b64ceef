package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/contentdigest"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/guard/authn/signature"
)

const (
	defaultSignatureAge = 5 * time.Minute
	// maxSigners bounds how many signatures of one request are verified.
	maxSigners = 4
	signedAt   = "header:signature-input"
)

// signaturePlaces are the fields that a signature stands in.
var signaturePlaces = []exchange.CredentialPlace{{In: "header", Name: "Signature-Input"}, {In: "header", Name: "Signature"}}

// signers is a compiled signature method.
type signers struct {
	policy  signature.Policy
	known   map[string]*signer // by keyid
	remote  []*signer          // whose keys are in a set
	types   map[string]signature.Type
	replay  bool   // a request may be sent again
	whole   bool   // a body that is passed on as it comes is refused
	demands string // for Accept-Signature: what comes behind the components
}

// signer is one who may sign.
type signer struct {
	key       *signature.Key // nil when keys are in a set
	keys      *source
	algorithm string
	identity  exchange.Identity
}

// newSigners compiles a method. The error says every mistake in it.
func (g *Guard) newSigners(c *config.SignatureMethod, o *Options) (*signers, error) {
	s := &signers{
		policy: signature.Policy{Covered: c.Covered, Tag: c.Tag, MaxAge: c.MaxAge, Skew: o.Config.ClockSkew, NeedExpires: c.RequireExpires, NeedNonce: c.RequireNonce},
		known:  make(map[string]*signer), types: make(map[string]signature.Type), replay: c.Replay == "allow", whole: c.Streams == "refuse",
	}
	if len(s.policy.Covered) == 0 {
		s.policy.Covered = signature.DefaultCovered
	}
	if s.policy.MaxAge == 0 {
		s.policy.MaxAge = defaultSignatureAge
	}
	s.demands = ";created"
	if c.RequireExpires {
		s.demands += ";expires"
	}
	if c.Tag != "" {
		s.demands += `;tag="` + quotable(c.Tag, "") + `"`
	}
	var errs []error
	for name, t := range c.StructuredFields {
		s.types[name] = map[string]signature.Type{"item": signature.Item, "list": signature.List, "dictionary": signature.Dictionary}[t]
	}
	if len(c.Keys) == 0 {
		errs = append(errs, errors.New("keys are needed to verify signatures with"))
	}
	for i := range c.Keys {
		k := &c.Keys[i]
		one, err := g.newSigner(k)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("keys[%d]: %w", i, err))
		case one.keys != nil:
			s.remote = append(s.remote, one)
		case s.known[k.ID] != nil:
			errs = append(errs, fmt.Errorf("keys[%d]: the id %q stands twice", i, k.ID))
		default:
			s.known[k.ID] = one
		}
	}
	return s, errors.Join(errs...)
}

func (g *Guard) newSigner(c *config.SignatureKey) (*signer, error) {
	s := &signer{algorithm: c.Algorithm, identity: exchange.Identity{
		Subject: c.Subject, Method: "signature", Verified: true, ClientID: c.ID, Scopes: c.Scopes, Roles: c.Roles, Tenant: c.Tenant,
	}}
	if c.Subject == "" {
		return nil, errors.New("subject is needed: who signs by the key")
	}
	var k jose.Key
	var err error
	switch {
	case c.JWKS != "":
		return s, g.openSet(s, c.JWKS)
	case !c.Secret.IsZero():
		k = jose.Key{Family: jose.HMAC, Public: []byte(c.Secret.Reveal())}
		if len(c.Secret.Reveal()) < 32 {
			return nil, errors.New("the secret is shorter than 32 bytes")
		}
	case c.PublicKey != "":
		if k, err = readPublicKey(c.PublicKey); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("one of public_key, secret and jwks is needed")
	}
	if c.ID == "" {
		return nil, errors.New("id is needed: the keyid that signatures name")
	}
	if s.key, err = signature.NewKey(k, c.Algorithm); err != nil {
		return nil, err
	}
	g.settle(&s.identity, c.ID)
	return s, nil
}

// settle completes the identity of who signs by a key.
func (g *Guard) settle(id *exchange.Identity, keyID string) {
	id.ClientID = keyID
	id.Memo = new(exchange.Memo)
	id.Credential = g.digest.sum(-2, keyID).String()
	id.Revocable = revocable(id, []string{revocation.ForToken("signature:" + keyID)}, keyID, "")
}

// openSet finds a signer's key set: a file, or one that is fetched.
func (g *Guard) openSet(s *signer, jwks string) error {
	if strings.Contains(jwks, "://") {
		n, err := remoteName(&config.JWTMethod{JWKS: jwks})
		if err != nil {
			return err
		}
		s.keys = g.keys.acquire(n)
		g.held = append(g.held, n)
		return nil
	}
	b, err := os.ReadFile(jwks)
	if err != nil {
		return fmt.Errorf("reading key set: %w", err)
	}
	set, err := parseKeySet(b)
	if err != nil {
		return fmt.Errorf("%s: %w", jwks, err)
	}
	if len(set.keys) == 0 {
		return fmt.Errorf("%s: no usable signing key (%d skipped: wrong use, unknown type or too weak)", jwks, set.skipped)
	}
	s.keys = newStatic("key set "+jwks, set)
	return nil
}

// readPublicKey reads a PEM file: a public key or the one of a certificate.
func readPublicKey(path string) (jose.Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return jose.Key{}, fmt.Errorf("reading public key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return jose.Key{}, fmt.Errorf("%s is not PEM", path)
	}
	var k jose.Key
	switch block.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return k, fmt.Errorf("%s: %w", path, err)
		}
		k.Public = c.PublicKey
	case "PUBLIC KEY":
		if k.Public, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return k, fmt.Errorf("%s: %w", path, err)
		}
	case "RSA PUBLIC KEY":
		if k.Public, err = x509.ParsePKCS1PublicKey(block.Bytes); err != nil {
			return k, fmt.Errorf("%s: %w", path, err)
		}
	default:
		return k, fmt.Errorf("%s holds a %s; a public key or a certificate is needed", path, strings.ToLower(block.Type))
	}
	if !k.Classify() {
		return k, fmt.Errorf("%s: the key is of a kind that is not taken, or too weak", path)
	}
	return k, nil
}

// signed checks the signatures of a request. Those by keys that nobody here knows
// are for somebody else; when there are no others, that is what is wrong.
func (g *Guard) signed(ctx context.Context, x *exchange.Exchange, found []candidate, now time.Time) []candidate {
	bad := func(f *failure) []candidate {
		return append(found, candidate{method: g.signers[0], schemes: g.signers[0].schemes, failure: f})
	}
	sigs, err := signature.Parse(x.Request.Header)
	if err != nil {
		return bad(fail("authn.malformed", err.Error()))
	}
	before := len(found)
	m := g.message(&x.Request)
	count, unknown := 0, fail("authn.unknown_key", "no signature is by a key that is known here")
	for _, s := range sigs {
		by, method, key, f := g.signerOf(ctx, s, now)
		if f != nil {
			if f.unable {
				unknown = f
			}
			continue
		}
		if count++; count > maxSigners {
			found = found[:before]
			return bad(fail("authn.ambiguous", fmt.Sprintf("more than %d signatures by keys that are known here", maxSigners)))
		}
		m.Types = method.signed.types
		c := candidate{method: method, schemes: method.schemes}
		if c.failure = g.verifySignature(ctx, x, method.signed, s, key, m, now); c.failure == nil {
			id := by.identity
			if by.key == nil {
				g.settle(&id, s.KeyID)
				id.Memo = nil
			}
			c.identity = &id
		}
		found = append(found, c)
	}
	if count == 0 {
		return bad(unknown)
	}
	return found
}

// message is the request as its sender wrote it, seen from outside.
func (g *Guard) message(r *exchange.Request) *signature.Message {
	m := &signature.Message{Method: r.Method, Scheme: r.Scheme, Authority: r.Authority, Target: r.Target, Header: r.Header}
	if p := g.public; p != nil {
		m.Scheme, m.Authority, m.Target = p.scheme, p.authority, p.base+r.Relative
		if _, query, ok := strings.Cut(r.Target, "?"); ok {
			m.Target += "?" + query
		}
	}
	return m
}

// signerOf finds whose key a signature names.
func (g *Guard) signerOf(ctx context.Context, s *signature.Signature, now time.Time) (*signer, *method, *signature.Key, *failure) {
	f := fail("authn.unknown_key", "no key "+sent(s.KeyID)+" is known here")
	if s.KeyID == "" {
		return nil, nil, nil, f
	}
	for _, m := range g.signers {
		if by := m.signed.known[s.KeyID]; by != nil {
			return by, m, by.key, nil
		}
	}
	for _, m := range g.signers {
		for _, by := range m.signed.remote {
			key, why := by.lookup(ctx, s, now)
			if why == nil {
				return by, m, key, nil
			}
			if why.unable {
				f = why
			}
		}
	}
	return nil, nil, nil, f
}

// lookup finds a key of a set.
func (by *signer) lookup(ctx context.Context, s *signature.Signature, now time.Time) (*signature.Key, *failure) {
	var f *failure
	for _, name := range []string{"Ed25519", "ES256", "ES384", "PS512", "RS256"} {
		var few [maxTries]*jose.Key
		keys, _, why := by.keys.lookup(ctx, now, defaultMaxAge, &wanted{kid: s.KeyID, algorithm: jose.Lookup(name)}, few[:0])
		if why != nil {
			if f = why; why.unable || why.code == "authn.unknown_key" {
				return nil, f
			}
			continue
		}
		for _, k := range keys {
			if k.ID != s.KeyID { // a key without an id is nobody's in particular
				continue
			}
			algorithm := by.algorithm
			if algorithm == "" && k.Family == jose.RSA && k.Alg == "" && s.Algorithm == "rsa-v1_5-sha256" {
				algorithm = s.Algorithm // the set leaves the choice between the two to the signer
			}
			if key, err := signature.NewKey(*k, algorithm); err == nil {
				return key, nil
			}
		}
	}
	if f == nil {
		f = fail("authn.unknown_key", "no key "+sent(s.KeyID)+" is known here")
	}
	return nil, f
}

// verifySignature checks one signature, and has the content checked with it.
func (g *Guard) verifySignature(ctx context.Context, x *exchange.Exchange, p *signers, s *signature.Signature, k *signature.Key, m *signature.Message, now time.Time) *failure {
	// Whether a body of unknown length is there at all shows when it is read.
	content := x.Request.Length > 0
	if err := p.policy.Check(s, m, content, now); err != nil {
		code := "authn.coverage"
		if errors.Is(err, signature.ErrStale) {
			code = "authn.expired"
		}
		return fail(code, "signature "+sent(s.Label)+": "+err.Error())
	}
	base, err := s.Base(m)
	if err != nil {
		return fail("authn.signature", "signature "+sent(s.Label)+": "+err.Error())
	}
	if s.Algorithm != "" && s.Algorithm != k.Algorithm {
		return fail("authn.algorithm", "signature "+sent(s.Label)+" names another algorithm than its key's, "+k.Algorithm)
	}
	if !s.Verify(k, base) {
		return fail("authn.signature", "signature "+sent(s.Label)+" does not verify")
	}
	check, f := contentOf(x, s)
	if f != nil {
		return f
	}
	if !p.replay {
		mark := append([]byte("signature\x00"+s.KeyID+"\x00"), base...)
		if s.Nonce != "" {
			mark = []byte("nonce\x00" + s.KeyID + "\x00" + s.Nonce)
		}
		sum := sha256.Sum256(mark)
		if f := g.first(ctx, "sig:"+base64.RawURLEncoding.EncodeToString(sum[:]), p.policy.Life(s, now), "the signature"); f != nil {
			return f
		}
	}
	// Of two signers the one who vouched for no content has the last word.
	if _, none := check.(*contentdigest.None); check != nil && (none || x.Request.Content == nil) {
		x.Request.Content = exchange.NewContentCheck(check)
	}
	return nil
}

// contentOf is the check that the content is put to, nil where there is none.
func contentOf(x *exchange.Exchange, s *signature.Signature) (exchange.ContentSum, *failure) {
	var check exchange.ContentSum = new(contentdigest.None)
	covered := false
	for _, c := range s.Components {
		covered = covered || c.Name == "content-digest" && !c.Behind && !c.Asked
	}
	if covered {
		c, err := contentdigest.New(x.Request.Header["Content-Digest"])
		if err != nil {
			return nil, fail("authn.digest", err.Error())
		}
		check = c
	}
	if x.Request.Length == 0 {
		if err := check.End(); err != nil {
			return nil, fail("authn.digest", err.Error())
		}
		return nil, nil //nolint:nilnil // there is nothing to check and nothing wrong
	}
	if !covered && x.Request.Length > 0 {
		return nil, nil //nolint:nilnil // the config does not demand it
	}
	return check, nil
}

// ruleBody rules on the content that a signature vouched for, once the gateway
// has read it. What is passed on as it comes is checked on its way.
func (g *Guard) ruleBody(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	c := x.Request.Content
	if c == nil {
		return exchange.Verdict{}
	}
	done, err := c.Ended()
	switch {
	case err != nil:
		return exchange.Refuse("authn.digest", "header:content-digest", err.Error())
	case !done && g.whole:
		return exchange.Refuse("authn.digest", "body", "the body is passed on as it comes, and the config wants it checked before")
	}
	return exchange.Verdict{}
}

// accept is the Accept-Signature field of a denial (RFC 9421 section 5.1).
func (s *signers) accept(x *exchange.Exchange) string {
	var b strings.Builder
	b.WriteString("sig=(")
	for _, name := range s.policy.Covered {
		if name == "content-digest" && x.Request.Length == 0 || name[0] != '@' && name != "content-digest" && len(x.Request.Header.Values(name)) == 0 {
			continue
		}
		if b.Len() > len("sig=(") {
			b.WriteByte(' ')
		}
		b.WriteString(`"` + name + `"`)
	}
	return b.String() + ")" + s.demands
}
