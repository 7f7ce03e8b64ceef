// Package hashcash makes and checks challenges that cost their answerer computing
// time: proof of work (hashcash).
//
// In: what a challenge is for, and whom it binds. Out: a challenge that says all
// of itself, and whether an answer to it holds. It keeps nothing: a challenge is
// bound to its purpose, its client and its end by an HMAC, and the caller marks
// the number of an answer that held, so that it holds once. It must never be
// cheaper to answer than its bits say, nor dearer to check than two hashes.
//
//	challenge  BASE64URL(version 1 | bits 1 | end, Unix seconds 4 | number 12 | HMAC-SHA-256 16)
//	answer     CHALLENGE "." SOLUTION, so that SHA-256 of it begins with so many zero bits
package hashcash

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Errors of Verify.
var (
	ErrMalformed = errors.New("the answer is not well formed")
	ErrForeign   = errors.New("the challenge is not ours, or is for something else")
	ErrLate      = errors.New("the challenge has ended")
	ErrCheap     = errors.New("the answer took less work than was asked for")
)

const (
	version     = 1
	bodySize    = 1 + 1 + 4 + 12
	macSize     = 16
	maxSolution = 64
	// MaxBits is the hardest challenge: about four billion hashes.
	MaxBits = 32
)

// Issuer makes challenges and checks answers. It is immutable and safe for
// concurrent use. Issuers with the same key know each other's.
type Issuer struct {
	key  []byte
	life time.Duration
	now  func() time.Time
}

// NewIssuer makes an Issuer; challenges hold for life. now may be nil.
func NewIssuer(key []byte, life time.Duration, now func() time.Time) *Issuer {
	if now == nil {
		now = time.Now
	}
	return &Issuer{key: key, life: life, now: now}
}

// Challenge makes one of so many bits, for a purpose and for those who share bind.
func (i *Issuer) Challenge(difficulty int, purpose string, bind []byte) string {
	b := make([]byte, bodySize, bodySize+macSize)
	b[0], b[1] = version, byte(min(max(difficulty, 0), MaxBits))
	binary.BigEndian.PutUint32(b[2:], uint32(i.now().Add(i.life).Unix())) // until 2106
	_, _ = rand.Read(b[6:])
	return base64.RawURLEncoding.EncodeToString(append(b, i.mac(b, purpose, bind)...))
}

func (i *Issuer) mac(body []byte, purpose string, bind []byte) []byte {
	h := hmac.New(sha256.New, i.key)
	h.Write(body)
	h.Write([]byte(strconv.Itoa(len(purpose)) + ":" + purpose))
	h.Write(bind)
	return h.Sum(nil)[:macSize]
}

// Verify checks an answer. number names the challenge until its end: the caller
// takes each once.
func (i *Issuer) Verify(answer, purpose string, bind []byte, least int) (number string, end time.Time, err error) {
	challenge, solution, ok := strings.Cut(answer, ".")
	if !ok || len(solution) == 0 || len(solution) > maxSolution || len(challenge) != base64.RawURLEncoding.EncodedLen(bodySize+macSize) {
		return "", end, ErrMalformed
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || b[0] != version {
		return "", end, ErrMalformed
	}
	body := b[:bodySize]
	if !hmac.Equal(b[bodySize:], i.mac(body, purpose, bind)) {
		return "", end, ErrForeign
	}
	end = time.Unix(int64(binary.BigEndian.Uint32(b[2:])), 0)
	if !i.now().Before(end) {
		return "", end, ErrLate
	}
	difficulty := int(b[1])
	if difficulty < least || zeros(sha256.Sum256([]byte(answer))) < difficulty {
		return "", end, ErrCheap
	}
	return string(b[6:bodySize]), end, nil
}

// Solve finds an answer; tests and Go clients do.
func Solve(challenge string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(b) != bodySize+macSize {
		return "", ErrMalformed
	}
	text := append([]byte(challenge), '.')
	n := len(text)
	for i := uint64(0); ; i++ {
		text = strconv.AppendUint(text[:n], i, 36)
		if zeros(sha256.Sum256(text)) >= int(b[1]) {
			return string(text), nil
		}
	}
}

func zeros(sum [32]byte) int { return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) }
