package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/value"
)

// Bounds of a proof.
const (
	maxProof = 8 << 10 // bytes
	maxID    = 512     // bytes of a jti, a nonce
)

var limits = value.Limits{Depth: 8, Nodes: 256, Keys: 64, Items: 64, String: maxProof}

// DefaultAlgorithms are those that a proof may be signed with where no others are
// chosen: asymmetric, all of them.
var DefaultAlgorithms = []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256"}

// Call is the call that a proof must have been made for.
type Call struct {
	Method string
	URI    string // as [URI] gives it
	Token  string // the access token as it was sent
}

// Verifier verifies proofs. It is safe for concurrent use.
type Verifier struct {
	algorithms map[string]*jose.Algorithm
	maxAge     time.Duration
	skew       time.Duration
	nonces     *Nonces
}

// NewVerifier makes one. A proof is good for maxAge after its iat, and may be
// ahead of the clock by skew. With nonces every proof must hold one of them.
func NewVerifier(algorithms []string, maxAge, skew time.Duration, nonces *Nonces) (*Verifier, error) {
	if len(algorithms) == 0 {
		algorithms = DefaultAlgorithms
	}
	v := &Verifier{algorithms: make(map[string]*jose.Algorithm), maxAge: maxAge, skew: skew, nonces: nonces}
	var errs []error
	for _, name := range algorithms {
		a := jose.Lookup(name)
		if a == nil || a.Family == jose.HMAC {
			errs = append(errs, fmt.Errorf("algorithm %q is not an asymmetric signature algorithm", name))
		}
		v.algorithms[name] = a
	}
	return v, errors.Join(errs...)
}

// ErrNonce says that the proof holds no nonce that is good now: the client gets
// one and tries again (RFC 9449 section 9).
var ErrNonce = errors.New("the proof has no nonce that is good now")

// Proof is a proof that holds.
type Proof struct {
	Thumbprint string        // of the key that made it (RFC 7638): to be compared with cnf.jkt
	Mark       string        // names the proof: no second one with it may be taken
	Life       time.Duration // for how long the proof could be taken again
	// Fresh is a nonce to give the client because the one it used is getting old; "" when it need not.
	Fresh string
}

// Verify checks a proof as RFC 9449 section 4.3 lists it: items 2 to 12. That
// there is exactly one (item 1), that the token is bound to the thumbprint, and
// that the mark is new are the caller's to check, in this order: then strangers
// cannot fill the memory of marks.
func (v *Verifier) Verify(proof string, call Call, now time.Time) (*Proof, error) {
	if len(proof) > maxProof {
		return nil, fmt.Errorf("the proof is larger than %d bytes", maxProof)
	}
	if strings.Count(proof, ".") != 2 {
		return nil, errors.New("the proof is not of three parts")
	}
	h, rest, _ := strings.Cut(proof, ".")
	p, sig, _ := strings.Cut(rest, ".")
	key, alg, err := v.header(h)
	if err != nil {
		return nil, err
	}
	claims, err := jose.Object(p, limits)
	if err != nil {
		return nil, fmt.Errorf("proof claims: %w", err)
	}
	id, issued, err := v.claims(claims, &call, now)
	if err != nil {
		return nil, err
	}
	out := &Proof{Thumbprint: key.Thumbprint(), Life: max(issued.Add(v.maxAge+v.skew).Sub(now), time.Second)}
	if v.nonces != nil {
		age, ok := v.nonces.check(claims.Get("nonce").Str(), now)
		if !ok {
			return nil, ErrNonce
		}
		if age > v.nonces.life/2 {
			out.Fresh = v.nonces.Issue(now)
		}
	}
	signature, err := jose.Decode(sig)
	if err != nil {
		return nil, fmt.Errorf("proof signature: %w", err)
	}
	if !alg.Verify(key, []byte(proof[:len(h)+1+len(p)]), signature) {
		return nil, errors.New("the proof's signature does not verify")
	}
	sum := sha256.Sum256([]byte("dpop\x00" + out.Thumbprint + "\x00" + id))
	out.Mark = "dpop:" + base64.RawURLEncoding.EncodeToString(sum[:])
	return out, nil
}

// header reads a proof's header and the key in it.
func (v *Verifier) header(text string) (*jose.Key, *jose.Algorithm, error) {
	head, err := jose.Object(text, limits)
	if err != nil {
		return nil, nil, fmt.Errorf("proof header: %w", err)
	}
	if head.Get("typ").Str() != "dpop+jwt" {
		return nil, nil, errors.New("the proof's typ is not dpop+jwt")
	}
	for _, name := range []string{"crit", "b64", "zip", "enc", "cty"} {
		if head.Get(name) != nil {
			return nil, nil, fmt.Errorf("proof header: %s is not taken", name)
		}
	}
	name := head.Get("alg").Str()
	alg := v.algorithms[name]
	if alg == nil {
		return nil, nil, fmt.Errorf("proof algorithm %.20q is not allowed", name)
	}
	entry := head.Get("jwk")
	if entry == nil || entry.Kind != value.Object {
		return nil, nil, errors.New("the proof shows no key (jwk)")
	}
	for i := range entry.Kids {
		switch entry.Kids[i].Name {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			// Whoever sends a private key has given it away.
			return nil, nil, errors.New("the proof's jwk holds a private or a symmetric key")
		}
	}
	src, err := jose.Decode(text)
	if err != nil {
		return nil, nil, fmt.Errorf("proof header: %w", err)
	}
	key, ok := jose.ParseKey(entry, src[entry.Start:entry.End])
	if !ok || !key.For(alg) {
		return nil, nil, errors.New("the proof's jwk is no key for its algorithm, or too weak")
	}
	return &key, alg, nil
}

// claims checks what the proof says of the call, and returns its id and time.
func (v *Verifier) claims(claims *value.Value, call *Call, now time.Time) (id string, issued time.Time, err error) {
	jti := claims.Get("jti")
	if jti == nil || jti.Kind != value.String || jti.Text == "" || len(jti.Text) > maxID {
		return "", issued, fmt.Errorf("the proof's jti is not a text of 1 to %d bytes", maxID)
	}
	if nonce := claims.Get("nonce"); nonce != nil && (nonce.Kind != value.String || len(nonce.Text) > maxID) {
		return "", issued, errors.New("the proof's nonce is not a short text")
	}
	htm := claims.Get("htm")
	if htm == nil || htm.Kind != value.String || htm.Text != call.Method {
		return "", issued, errors.New("the proof is for another method (htm)")
	}
	htu := claims.Get("htu")
	if htu == nil || htu.Kind != value.String {
		return "", issued, errors.New("the proof names no address (htu)")
	}
	if htu.Text != call.URI {
		if uri, ok := Normalise(htu.Text); !ok || uri != call.URI {
			return "", issued, errors.New("the proof is for another address (htu) than " + strconv.QuoteToASCII(call.URI))
		}
	}
	issued, ok := date(claims.Get("iat"))
	if !ok {
		return "", issued, errors.New("the proof's iat is not a date")
	}
	if issued.After(now.Add(v.skew)) {
		return "", issued, errors.New("the proof was made in the future (iat)")
	}
	if now.Sub(issued) >= v.maxAge+v.skew {
		return "", issued, errors.New("the proof is too old (iat)")
	}
	for _, name := range []string{"exp", "nbf"} {
		c := claims.Get(name)
		if c == nil {
			continue
		}
		at, ok := date(c)
		if !ok || name == "exp" && !now.Before(at.Add(v.skew)) || name == "nbf" && now.Before(at.Add(-v.skew)) {
			return "", issued, errors.New("the proof does not hold at this time (" + name + ")")
		}
	}
	sum := sha256.Sum256([]byte(call.Token))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	ath := claims.Get("ath")
	if ath == nil || ath.Kind != value.String || subtle.ConstantTimeCompare([]byte(ath.Text), []byte(want)) != 1 {
		return "", issued, errors.New("the proof is for another access token (ath)")
	}
	return jti.Text, issued, nil
}

// date reads a NumericDate (RFC 7519 section 2) up to the year 9999.
func date(v *value.Value) (time.Time, bool) {
	if v == nil || v.Kind != value.Number {
		return time.Time{}, false
	}
	n, err := strconv.ParseFloat(v.Text, 64)
	if err != nil || n < 0 || n > 253402300799 {
		return time.Time{}, false
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), true
}
