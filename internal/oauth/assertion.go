package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// assertionLife is how long a client assertion holds.
const assertionLife = time.Minute

// signer signs client assertions (RFC 7523 section 2.2).
type signer struct {
	key jwk.Key
	raw any
	id  string
	// tokenEndpoint: the assertion is for the token endpoint's URL and not for the
	// issuer, which later specifications want alone.
	tokenEndpoint bool
}

// newSigner reads a private key, PEM or JWK.
func newSigner(file, id string) (*signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	key, err := jwk.ParseKey(b)
	if err != nil {
		if key, err = jwk.ParseKey(b, jwk.WithPEM(true)); err != nil {
			return nil, errors.New("it is neither a JWK nor PEM")
		}
	}
	s := &signer{key: key, id: id}
	if err := jwk.Export(key, &s.raw); err != nil {
		return nil, errors.New("it is no private key")
	}
	switch k := s.raw.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, errors.New("an RSA key must have at least 2048 bits")
		}
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return nil, errors.New("it is no private RSA, EC or Ed25519 key")
	}
	if s.id == "" {
		s.id, _ = key.KeyID()
	}
	if s.id == "" {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("its thumbprint: %w", err)
		}
		s.id = base64.RawURLEncoding.EncodeToString(sum)
	}
	return s, nil
}

// algorithm is the key's own, else one that fits it and that the server takes.
func (s *signer) algorithm(takes []string) (jwa.SignatureAlgorithm, error) {
	if a, ok := s.key.Algorithm(); ok {
		if found, ok := jwa.LookupSignatureAlgorithm(a.String()); ok {
			return found, nil
		}
	}
	var fit []jwa.SignatureAlgorithm
	switch k := s.raw.(type) {
	case *rsa.PrivateKey:
		fit = []jwa.SignatureAlgorithm{jwa.PS256(), jwa.RS256()}
		if takes == nil {
			return jwa.RS256(), nil
		}
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			fit = []jwa.SignatureAlgorithm{jwa.ES256()}
		case 384:
			fit = []jwa.SignatureAlgorithm{jwa.ES384()}
		default:
			fit = []jwa.SignatureAlgorithm{jwa.ES512()}
		}
	case ed25519.PrivateKey:
		fit = []jwa.SignatureAlgorithm{jwa.EdDSA()}
	}
	for _, a := range fit {
		if takes == nil || slices.Contains(takes, a.String()) {
			return a, nil
		}
	}
	return jwa.NoSignature(), fmt.Errorf("the server takes assertions signed with %v, which the key is not for", takes)
}

func (s *signer) assertion(client string, m *Metadata, now time.Time) (string, error) {
	alg, err := s.algorithm(m.AuthAlgs)
	if err != nil {
		return "", err
	}
	audience := m.Issuer
	if s.tokenEndpoint {
		audience = m.Token
	}
	t, err := jwt.NewBuilder().Issuer(client).Subject(client).Audience([]string{audience}).
		IssuedAt(now).NotBefore(now.Add(-30 * time.Second)).Expiration(now.Add(assertionLife)).JwtID(rand.Text()).Build()
	if err != nil {
		return "", err
	}
	head := jws.NewHeaders()
	if err := head.Set(jws.KeyIDKey, s.id); err != nil {
		return "", err
	}
	signed, err := jwt.Sign(t, jwt.WithKey(alg, s.raw, jws.WithProtectedHeaders(head)))
	if err != nil {
		return "", err
	}
	return string(signed), nil
}
