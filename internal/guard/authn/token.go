package authn

import (
	"strings"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/value"
)

// Bounds of a token.
const (
	maxToken  = 16 << 10 // bytes, unless the config says otherwise
	maxClaims = 256      // members of one object in it
	maxNodes  = 2048     // values in it
	maxNested = 16       // nesting of its claims
	maxName   = 512      // bytes of a kid, a subject, a role, a scope
)

// token is a parsed JWT in compact form; nothing in it is believed yet.
type token struct {
	alg, kid, typ string
	claims        *value.Value // an object
	input         string       // what is signed
	signature     []byte
}

// parseToken reads the compact form of a JWS (RFC 7515 section 7.1) whose
// payload is a claims set. It takes the one spelling that the RFCs define and
// refuses all else: padding, white space, the JSON form, encrypted or nested
// tokens, compression, extensions that must be understood, a name twice. Its
// length has been bounded.
func parseToken(s string) (*token, *failure) {
	switch strings.Count(s, ".") {
	case 2:
	case 4:
		return nil, fail("authn.malformed", "the token is encrypted (JWE)")
	default:
		return nil, fail("authn.malformed", "the token is not of three parts")
	}
	h, rest, _ := strings.Cut(s, ".")
	p, sig, _ := strings.Cut(rest, ".")
	header, err := object(h)
	if err != nil {
		return nil, fail("authn.malformed", "token header: "+err.Error())
	}
	t := &token{input: s[:len(h)+1+len(p)]}
	if f := t.readHeader(header); f != nil {
		return nil, f
	}
	if t.claims, err = object(p); err != nil {
		return nil, fail("authn.malformed", "token claims: "+err.Error())
	}
	if t.signature, err = jose.Decode(sig); err != nil {
		return nil, fail("authn.malformed", "token signature: "+err.Error())
	}
	return t, nil
}

// readHeader takes alg, kid and typ. Everything by which a token could bring or
// point at its own key (jwk, jku, x5u, x5c) is not read at all.
func (t *token) readHeader(header *value.Value) *failure {
	for i := range header.Kids {
		m := &header.Kids[i]
		switch m.Name {
		case "alg", "kid", "typ":
			if m.Kind != value.String || len(m.Text) > maxName {
				return fail("authn.malformed", "token header: "+m.Name+" is not a short string")
			}
		case "crit":
			return fail("authn.malformed", "token header: crit names an extension that is not understood")
		case "b64":
			return fail("authn.malformed", "token header: unencoded payloads (b64) are not taken")
		case "zip":
			return fail("authn.malformed", "token header: compressed tokens are not taken")
		case "enc":
			return fail("authn.malformed", "token header: the token is encrypted")
		case "cty":
			return fail("authn.malformed", "token header: nested tokens are not taken")
		}
		switch m.Name {
		case "alg":
			t.alg = m.Text
		case "kid":
			t.kid = m.Text
		case "typ":
			t.typ = m.Text
		}
	}
	if t.alg == "" {
		return fail("authn.algorithm", "the token names no algorithm")
	}
	return nil
}

func object(s string) (*value.Value, error) {
	return jose.Object(s, value.Limits{Depth: maxNested, Nodes: maxNodes, Keys: maxClaims, Items: maxNodes, String: len(s)})
}
