package authn

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// Bounds of a token.
const (
	maxToken  = 16 << 10 // bytes
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
// tokens, compression, extensions that must be understood, a name twice.
func parseToken(s string) (*token, *failure) {
	if len(s) > maxToken {
		return nil, fail("authn.too_large", "the token is larger than 16 KiB")
	}
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
	if t.signature, err = decode(sig); err != nil {
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

var (
	errBase64  = errors.New("not base64url without padding")
	errObject  = errors.New("not a JSON object")
	strictText = base64.RawURLEncoding.Strict()
)

// decode is base64url as RFC 7515 section 2 has it. The check by hand is needed:
// the library skips line breaks.
func decode(s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return nil, errBase64
		}
	}
	b, err := strictText.DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

func object(s string) (*value.Value, error) {
	b, err := decode(s)
	if err != nil {
		return nil, err
	}
	v, err := value.JSON(b, value.Limits{Depth: maxNested, Nodes: maxNodes, Keys: maxClaims, Items: maxNodes, String: maxToken})
	if err != nil {
		var e *value.Error
		if errors.As(err, &e) {
			// The detail could quote the token.
			return nil, errors.New("not strict JSON: " + string(e.Fault))
		}
		return nil, errObject
	}
	if v.Kind != value.Object {
		return nil, errObject
	}
	return v, nil
}
