package limit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/limit/hashcash"
)

// Marks remembers what may be used once, on every gateway.
type Marks interface {
	First(ctx context.Context, key string, ttl time.Duration) (bool, error)
}

// Fields of challenges and answers.
const (
	challengeField = "Crenel-Challenge"
	proofField     = "Crenel-Proof"
	visitorCookie  = "crenel-visitor"
)

// signer makes challenges and cookies.
type signer struct {
	key    []byte
	issuer *hashcash.Issuer
	bits   int
	life   time.Duration
	marks  Marks
	now    func() time.Time
}

func newSigner(c *config.Challenge, marks Marks, now func() time.Time) (*signer, error) {
	key := []byte(c.Key.Reveal())
	switch {
	case len(key) == 0:
		key = make([]byte, 32)
		_, _ = rand.Read(key)
	case len(key) < 32:
		return nil, errors.New("guards.limit.challenge.key: the key is shorter than 32 bytes")
	}
	s := &signer{key: key, bits: c.Bits, life: c.Life, marks: marks, now: now}
	if s.bits == 0 {
		s.bits = 18
	}
	if s.life == 0 {
		s.life = 2 * time.Minute
	}
	s.issuer = hashcash.NewIssuer(s.sum("challenge"), s.life, now)
	return s, nil
}

// sum is a keyed digest of a list of texts.
func (s *signer) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(appendParts(nil, parts...))
	return h.Sum(nil)
}

// worked reports whether a call brings the answer to a challenge, for a purpose
// and from its own network, that was not used before. Else the verdict asks for one.
func (s *signer) worked(ctx context.Context, x *exchange.Exchange, purpose string) (exchange.Verdict, bool) {
	bind := appendAddress(nil, x.Client, [2]uint8{24, 48}) // what a phone keeps while it moves
	why := "no answer to a challenge"
	if answer := x.Request.Header.Get(proofField); answer != "" {
		number, end, err := s.issuer.Verify(answer, purpose, bind, s.bits)
		if err == nil {
			first, markErr := s.marks.First(ctx, "challenge "+hex.EncodeToString([]byte(number)), end.Sub(s.now())+time.Second)
			if markErr != nil {
				return exchange.Undecided("limit.unavailable", "whether an answer was used before cannot be known: "+markErr.Error()), false
			}
			if first {
				x.Request.Header.Del(proofField)
				return exchange.Verdict{}, true
			}
			err = errors.New("the answer was used before")
		}
		why = err.Error()
	}
	v := exchange.Refuse("limit.challenge", "header:"+strings.ToLower(proofField), why)
	v.Header = map[string]string{challengeField: s.issuer.Challenge(s.bits, purpose, bind) + "; bits=" + strconv.Itoa(s.bits), "Access-Control-Expose-Headers": challengeField}
	return v, false
}

// A token that a cookie carries: BASE64URL(number 12 | end, Unix seconds 4 | HMAC 16).
const tokenSize = 12 + 4 + 16

// token makes one for a purpose.
func (s *signer) token(purpose string, life time.Duration) string {
	b := make([]byte, 16, tokenSize)
	_, _ = rand.Read(b[:12])
	binary.BigEndian.PutUint32(b[12:], uint32(s.now().Add(life).Unix())) // until 2106
	return base64.RawURLEncoding.EncodeToString(append(b, s.sum("token", purpose, string(b))[:16]...))
}

// read returns a token's number, when it is ours, for this purpose and still holds.
func (s *signer) read(text, purpose string) (number string, ok bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !hmac.Equal(b[16:], s.sum("token", purpose, string(b[:16]))[:16]) {
		return "", false
	}
	if s.now().Unix() >= int64(binary.BigEndian.Uint32(b[12:])) {
		return "", false
	}
	return string(b[:12]), true
}

// cookie is the value of the request's cookie, "" when there is none.
func cookie(x *exchange.Exchange, name string) string {
	r := http.Request{Header: x.Request.Header}
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie is a Set-Cookie field that only this gateway reads.
func setCookie(x *exchange.Exchange, name, text string, life time.Duration) string {
	//nolint:gosec // without TLS a cookie that asks for it would never come back
	c := http.Cookie{Name: name, Value: text, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true, Secure: x.Request.Scheme == "https", SameSite: http.SameSiteLaxMode}
	return c.String()
}
