package introspection

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // hash functions of the algorithms below
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/crenel-project/crenel/config"
)

// prover puts into a request what proves to the server who this gateway is.
// audience is the server.
type prover func(header http.Header, form url.Values, audience string, now time.Time) error

// assertionLife is how long a client assertion holds.
const assertionLife = time.Minute

func newProver(c *config.ClientAuth) (prover, error) {
	secret := c.ClientSecret.Reveal()
	switch c.Method {
	case "", "basic":
		// RFC 6749 section 2.3.1: both are form-encoded first.
		text := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ClientID) + ":" + url.QueryEscape(secret)))
		return func(header http.Header, _ url.Values, _ string, _ time.Time) error {
			header["Authorization"] = []string{"Basic " + text}
			return nil
		}, nil
	case "post": //nolint:usestdlibvars // the way of a form, not a method of HTTP
		return func(_ http.Header, form url.Values, _ string, _ time.Time) error {
			form.Set("client_id", c.ClientID)
			form.Set("client_secret", secret)
			return nil
		}, nil
	case "bearer":
		token := c.Token.Reveal()
		return func(header http.Header, _ url.Values, _ string, _ time.Time) error {
			header["Authorization"] = []string{"Bearer " + token}
			return nil
		}, nil
	case "tls":
		return func(_ http.Header, form url.Values, _ string, _ time.Time) error {
			form.Set("client_id", c.ClientID)
			return nil
		}, nil
	case "private_key_jwt":
		return newAssertion(c)
	}
	return nil, fmt.Errorf("auth: method %q is not known", c.Method)
}

// newAssertion proves by a JWT that is signed with a private key (RFC 7523, OpenID
// Connect Core section 9).
func newAssertion(c *config.ClientAuth) (prover, error) {
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return nil, fmt.Errorf("auth: reading key: %w", err)
	}
	signer, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("auth: key %s: %w", c.Key, err)
	}
	alg, sign, err := signature(signer, c.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	header := map[string]string{"alg": alg, "typ": "JWT"}
	if c.KeyID != "" {
		header["kid"] = c.KeyID
	}
	head, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return func(_ http.Header, form url.Values, audience string, now time.Time) error {
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return fmt.Errorf("reading random bytes: %w", err)
		}
		if c.Audience != "" {
			audience = c.Audience
		}
		claims, err := json.Marshal(map[string]any{
			"iss": c.ClientID, "sub": c.ClientID, "aud": audience, "jti": base64.RawURLEncoding.EncodeToString(id),
			"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
		})
		if err != nil {
			return err
		}
		input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
		sig, err := sign([]byte(input))
		if err != nil {
			return fmt.Errorf("signing the client assertion: %w", err)
		}
		form.Set("client_id", c.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", input+"."+base64.RawURLEncoding.EncodeToString(sig))
		return nil
	}, nil
}

// parseKey reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("is not a private key, but " + block.Type)
	}
	if err != nil {
		return nil, errors.New("is not a private key that can be read") // the detail could hold some of it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("is not a key that signs")
	}
	return signer, nil
}

// signature chooses the algorithm for a key; want is the config's word, or "".
func signature(key crypto.Signer, want string) (alg string, sign func(input []byte) ([]byte, error), err error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return "", nil, errors.New("the RSA key is shorter than 2048 bits")
		}
		alg = "PS256"
		if want == "RS256" {
			alg = want
		}
		sign = func(input []byte) ([]byte, error) {
			sum := digestOf(crypto.SHA256, input)
			if alg == "RS256" {
				return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum)
			}
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		hash := crypto.SHA256
		switch k.Curve {
		case elliptic.P256():
			alg = "ES256"
		case elliptic.P384():
			alg, hash = "ES384", crypto.SHA384
		case elliptic.P521():
			alg, hash = "ES512", crypto.SHA512
		default:
			return "", nil, errors.New("the key's curve is none of P-256, P-384 and P-521")
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		sign = func(input []byte) ([]byte, error) {
			r, s, err := ecdsa.Sign(rand.Reader, k, digestOf(hash, input))
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
		}
	case ed25519.PrivateKey:
		alg = "EdDSA"
		sign = func(input []byte) ([]byte, error) { return ed25519.Sign(k, input), nil }
	default:
		return "", nil, errors.New("the key is none of RSA, ECDSA and Ed25519")
	}
	if want != "" && want != alg {
		return "", nil, fmt.Errorf("algorithm %s does not fit the key, which is for %s", want, alg)
	}
	return alg, sign, nil
}

func digestOf(h crypto.Hash, input []byte) []byte {
	sum := h.New()
	sum.Write(input)
	return sum.Sum(nil)
}
