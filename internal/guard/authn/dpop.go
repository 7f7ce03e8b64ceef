package authn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/dpop"
)

const (
	defaultProofAge  = time.Minute
	defaultNonceLife = 5 * time.Minute
	// waitForState bounds how long a call waits to learn whether a proof is new.
	waitForState = time.Second
)

// proofs is how a method takes bound tokens.
type proofs struct {
	verifier   *dpop.Verifier
	nonces     *dpop.Nonces
	required   bool
	offered    bool // the config speaks of DPoP: challenges do too
	algorithms string
}

// newProofs compiles a method's DPoP section, which may be nil: bound tokens are
// then taken with their proof, and not asked for.
func newProofs(c *config.DPoP, o *Options) (*proofs, error) {
	p := &proofs{offered: c != nil}
	if c == nil {
		c = &config.DPoP{}
	}
	p.required = c.Required
	age, life := c.MaxAge, c.NonceLife
	if age == 0 {
		age = defaultProofAge
	}
	if life == 0 {
		life = defaultNonceLife
	}
	if c.Nonce == "required" {
		secret := []byte(c.NonceSecret.Reveal())
		if len(secret) == 0 && o.State == nil {
			return nil, errors.New("nonces need a nonce_secret, or a state to share keys by")
		}
		var err error
		if p.nonces, err = dpop.NewNonces(context.Background(), life, secret, o.State); err != nil {
			return nil, err
		}
	}
	algorithms := c.Algorithms
	if len(algorithms) == 0 {
		algorithms = dpop.DefaultAlgorithms
	}
	p.algorithms = strings.Join(algorithms, " ")
	var err error
	p.verifier, err = dpop.NewVerifier(algorithms, age, o.Config.ClockSkew, p.nonces)
	return p, err
}

// challenge is RFC 9449 section 7.1's.
func (p *proofs) challenge(realm string) challenge {
	return challenge{text: `DPoP realm="` + realm + `", algs="` + p.algorithms + `"`, dpop: true}
}

// prove checks the proof beside a token that is bound to a key.
func (g *Guard) prove(ctx context.Context, x *exchange.Exchange, p *proofs, key, token string, now time.Time) *failure {
	lines := x.Request.Header["Dpop"]
	if len(lines) != 1 {
		return fail("authn.proof", fmt.Sprintf("%d DPoP fields were sent, and there must be exactly one", len(lines)))
	}
	uri, ok := g.publicURI(&x.Request)
	if !ok {
		return fail("authn.proof", "the request's own address cannot be told")
	}
	proof, err := p.verifier.Verify(lines[0], dpop.Call{Method: x.Request.Method, URI: uri, Token: token}, now)
	if errors.Is(err, dpop.ErrNonce) {
		f := fail("authn.proof_nonce", err.Error())
		f.nonce = p.nonces.Issue(now)
		return f
	}
	if err != nil {
		return fail("authn.proof", err.Error())
	}
	if proof.Thumbprint != key {
		return fail("authn.proof", "the proof was made with another key than the token's")
	}
	if f := g.first(ctx, proof.Mark, proof.Life, "the proof"); f != nil {
		return f
	}
	if proof.Fresh != "" {
		if x.AnswerHeader == nil {
			x.AnswerHeader = make(map[string]string, 1)
		}
		x.AnswerHeader["Dpop-Nonce"] = proof.Fresh
	}
	return nil
}

// first marks something that may be used once, on all gateways. Where that
// cannot be done nobody is let in.
func (g *Guard) first(ctx context.Context, mark string, life time.Duration, what string) *failure {
	if g.state == nil {
		return unavailable("there is no memory of what was used before")
	}
	ctx, cancel := context.WithTimeout(ctx, waitForState)
	defer cancel()
	first, err := g.state.First(ctx, mark, life)
	if err != nil {
		return unavailable("whether " + what + " was used before cannot be told: " + err.Error())
	}
	if !first {
		return fail("authn.replay", what+" was used before")
	}
	return nil
}

// publicURI is the address of a request as the client sees it, without query:
// what a proof must be for.
func (g *Guard) publicURI(r *exchange.Request) (string, bool) {
	if g.public != nil {
		return dpop.URI(g.public.scheme, g.public.authority, g.public.base+r.Relative)
	}
	path, _, _ := strings.Cut(r.Target, "?")
	return dpop.URI(r.Scheme, r.Authority, path)
}
