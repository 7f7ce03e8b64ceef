package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	issuerURL = "https://issuer.test"
	audience  = "https://api.test"
)

var b64 = base64.RawURLEncoding

// key is a private key with its id, for signing.
type key struct {
	id      string
	private crypto.Signer
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys are slow to make, and any will do.
var (
	rsaKey   = sync.OnceValue(func() key { return key{"rsa", must(rsa.GenerateKey(rand.Reader, 2048))} })
	rsaOther = sync.OnceValue(func() key { return key{"rsa", must(rsa.GenerateKey(rand.Reader, 2048))} })
	p256Key  = sync.OnceValue(func() key { return key{"p256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))} })
	p384Key  = sync.OnceValue(func() key { return key{"p384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))} })
	edKey    = sync.OnceValue(func() key {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return key{"ed", must(k, err)}
	})
)

// jwk is the public half.
func (k key) jwk() map[string]any {
	out := map[string]any{"kid": k.id, "use": "sig"}
	switch pub := k.private.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64.EncodeToString(pub.N.Bytes()), b64.EncodeToString(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		raw := must(pub.Bytes())[1:]
		out["kty"], out["crv"] = "EC", pub.Curve.Params().Name
		out["x"], out["y"] = b64.EncodeToString(raw[:len(raw)/2]), b64.EncodeToString(raw[len(raw)/2:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64.EncodeToString(pub)
	}
	return out
}

func (k key) with(name string, v any) map[string]any {
	j := k.jwk()
	j[name] = v
	return j
}

// sign signs with the algorithm's own rules, whatever the header says.
func (k key) sign(alg, input string) []byte {
	h, size := crypto.SHA256, 32
	switch {
	case strings.HasSuffix(alg, "384"):
		h, size = crypto.SHA384, 48
	case strings.HasSuffix(alg, "512"):
		h, size = crypto.SHA512, 66
	}
	sum := h.New()
	sum.Write([]byte(input))
	switch p := k.private.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return must(rsa.SignPSS(rand.Reader, p, h, sum.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, p, h, sum.Sum(nil)))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, p, sum.Sum(nil))
		must(r, err)
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(p, []byte(input))
	}
	panic("unknown key")
}

func hs(h func() hash.Hash, secret []byte, input string) []byte {
	m := hmac.New(h, secret)
	m.Write([]byte(input))
	return m.Sum(nil)
}

var hashes = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}

type object = map[string]any

// claims are those of an ordinary token, with changes; a nil value removes one.
func claims(now time.Time, change object) object {
	c := object{
		"iss": issuerURL, "sub": "alice", "aud": audience, "scope": "read write", "client_id": "app",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": "t1",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func encode(v any) string {
	if s, ok := v.(string); ok {
		return b64.EncodeToString([]byte(s))
	}
	return b64.EncodeToString(must(json.Marshal(v)))
}

// token signs header and claims (objects, or JSON as it is to stand there).
func (k key) token(alg string, header, payload any) string {
	input := encode(header) + "." + encode(payload)
	return input + "." + b64.EncodeToString(k.sign(alg, input))
}

func (k key) header(alg string) object { return object{"alg": alg, "kid": k.id, "typ": "JWT"} }

// issuer is an OpenID provider behind a RoundTripper: real documents, no network.
type issuer struct {
	mu      sync.Mutex
	keys    []any
	broken  func(path string) (*http.Response, error) // instead of an answer
	delay   time.Duration
	name    string // in the discovery document
	jwksURI string
	fetches atomic.Int64 // of the key set
}

func newIssuer(keys ...key) *issuer {
	i := &issuer{name: issuerURL, jwksURI: issuerURL + "/keys"}
	for _, k := range keys {
		i.keys = append(i.keys, k.jwk())
	}
	return i
}

func (i *issuer) set(f func(i *issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	delay, broken := i.delay, i.broken
	i.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/keys") {
		i.fetches.Add(1)
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if broken != nil {
		return broken(r.URL.Path)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch r.URL.String() {
	case issuerURL + "/.well-known/openid-configuration":
		return reply(200, string(must(json.Marshal(object{"issuer": i.name, "jwks_uri": i.jwksURI})))), nil
	case i.jwksURI:
		return reply(200, string(must(json.Marshal(object{"keys": i.keys})))), nil
	}
	return reply(404, "not here"), nil
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func client(i *issuer) *http.Client { return &http.Client{Transport: i} }
