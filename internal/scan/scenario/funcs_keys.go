package scenario

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"time"
)

// The functions on keys of tokens: a forger's own key pair, made when it is first
// asked for and the same for the whole process, and public keys of the target
// taken for a secret.
func init() {
	maps.Copy(funcs, map[string]Func{
		// jwt.sign: token, and optionally header, claims (JSON objects merged in)
		// and embed ("jwk" or "x5c": our public key in the header): signed with our
		// own key, with the algorithm of the token's family (RS256 where it has a shared secret).
		"jwt.sign": signForeign,
		// key.jwks: token: our public key as a JSON Web Key Set, under the token's kid.
		"key.jwks": func(a map[string]string) (any, error) {
			k, kid, err := ownKey(a["token"])
			if err != nil {
				return nil, err
			}
			return jsonText(map[string]any{"keys": []any{k.jwk(kid)}}), nil
		},
		// key.certificate: token: a certificate of our own public key, PEM.
		"key.certificate": func(a map[string]string) (any, error) {
			k, _, err := ownKey(a["token"])
			if err != nil {
				return nil, err
			}
			return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.cert})), nil
		},
		// jwt.confuse: token, keys (a document that holds the target's public key: a
		// JWKS, PEM), form (one of KeyForms), claims: signed with HS256, with the public key as
		// the secret (RFC 8725, section 2.1).
		"jwt.confuse": func(a map[string]string) (any, error) {
			key, err := PublicKey(a["keys"], a["token"])
			if err != nil {
				return nil, err
			}
			secret, err := key.secret(a["form"])
			if err != nil {
				return nil, err
			}
			sign, err := hmacOf("HS256", secret)
			if err != nil {
				return nil, err
			}
			return forge(a, func(h map[string]any) { h["alg"] = "HS256" }, sign)
		},
		// jwt.published: token, keys (a JWKS), claims: signed with the shared secret that the set holds.
		"jwt.published": func(a map[string]string) (any, error) {
			alg, secret, err := publishedSecret(a["keys"], a["token"])
			if err != nil {
				return nil, err
			}
			sign, err := hmacOf(alg, secret)
			if err != nil {
				return nil, err
			}
			return forge(a, func(h map[string]any) { h["alg"] = alg }, sign)
		},
	})
}

// KeyForms are the forms in which servers hold a public key, and so the secrets
// that a confused one verifies with, the likeliest first.
var KeyForms = []string{"spki", "spki-trimmed", "document", "document-trimmed", "pkcs1", "pkcs1-trimmed", "certificate", "jwk", "der", "modulus"}

// forgerKey is our own key pair of one family.
type forgerKey struct {
	alg    string
	signer crypto.Signer
	cert   []byte // DER, of ourselves by ourselves
}

var forgerKeys = struct {
	sync.Mutex
	of map[string]*forgerKey
}{of: map[string]*forgerKey{}}

// ownKey is our key for the algorithm of a token, and the token's key id.
func ownKey(token string) (*forgerKey, string, error) {
	header, _, err := ParseJWT(token)
	if err != nil {
		return nil, "", err
	}
	alg, _ := header["alg"].(string)
	kid, _ := header["kid"].(string)
	if kid == "" {
		kid = "1"
	}
	switch alg {
	case "RS384", "RS512", "PS256", "ES256", "EdDSA":
	default:
		alg = "RS256"
	}
	forgerKeys.Lock()
	defer forgerKeys.Unlock()
	if k := forgerKeys.of[alg]; k != nil {
		return k, kid, nil
	}
	k := &forgerKey{alg: alg}
	switch alg {
	case "ES256":
		k.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return nil, "", fmt.Errorf("making a key pair: %w", err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crenel scan"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour)}
	if k.cert, err = x509.CreateCertificate(rand.Reader, about, about, k.signer.Public(), k.signer); err != nil {
		return nil, "", fmt.Errorf("making a certificate: %w", err)
	}
	forgerKeys.of[alg] = k
	return k, kid, nil
}

// jwk is the public key as a JSON Web Key (RFC 7517).
func (k *forgerKey) jwk(kid string) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{"kid": kid, "use": "sig", "alg": k.alg}
	switch pub := k.signer.Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		if raw, err := pub.Bytes(); err == nil && len(raw) == 65 {
			m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(raw[1:33]), b64(raw[33:])
		}
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(pub)
	}
	return m
}

// sign signs as RFC 7518 and RFC 8037 have it.
func (k *forgerKey) sign(text string) ([]byte, error) {
	hash := crypto.SHA256
	switch k.alg {
	case "RS384":
		hash = crypto.SHA384
	case "RS512":
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(text))
	var sig []byte
	var err error
	switch key := k.signer.(type) {
	case *rsa.PrivateKey:
		if k.alg == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, key, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
		}
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		if err = signErr; err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(text))
	}
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return sig, nil
}

func signForeign(a map[string]string) (any, error) {
	k, kid, err := ownKey(a["token"])
	if err != nil {
		return nil, err
	}
	var failed error
	text, err := forge(a, func(h map[string]any) {
		h["alg"] = k.alg
		if a["kid"] != "none" {
			h["kid"] = kid
		}
		switch a["embed"] {
		case "jwk":
			h["jwk"] = k.jwk(kid)
		case "x5c":
			h["x5c"] = []any{base64.StdEncoding.EncodeToString(k.cert)}
		}
	}, func(text string) []byte {
		sig, err := k.sign(text)
		if err != nil {
			failed = err
		}
		return sig
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// ServedKey is a public key as a target serves it.
type ServedKey struct {
	document string
	public   crypto.PublicKey
	cert     []byte // DER; nil: none came with it
	jwk      string // as it stood in a set; "": it came as PEM
}

var errNoKey = errors.New("the document holds no public key")

// PublicKey finds the public key in a document that a target serves: the one
// whose id the token names, else the first. A document that is a token stands for
// what its header says of its key (RFC 7515, sections 4.1.3 and 4.1.6).
func PublicKey(document, token string) (*ServedKey, error) {
	if header, _, err := ParseJWT(document); err == nil {
		if document = jsonText(header["jwk"]); header["jwk"] == nil {
			document = jsonText(map[string]any{"kty": "RSA", "x5c": header["x5c"]})
		}
	}
	kid := ""
	if header, _, err := ParseJWT(token); err == nil {
		kid, _ = header["kid"].(string)
	}
	for _, text := range pemTexts(document) {
		for rest := []byte(text); ; {
			block, more := pem.Decode(rest)
			if block == nil {
				break
			}
			rest = more
			if pub, cert := parseKey(block); pub != nil {
				return &ServedKey{document: text, public: pub, cert: cert}, nil
			}
		}
	}
	var first *ServedKey
	for _, k := range jwkSet(document) {
		s := &ServedKey{document: document, jwk: string(k.raw)}
		var err error
		if s.public, err = k.public(); err != nil {
			s.public = nil
		}
		if len(k.X5C) > 0 {
			if der, err := base64.StdEncoding.DecodeString(k.X5C[0]); err == nil {
				s.cert = der
				if s.public == nil { // the certificate alone
					s.public, _ = parseKey(&pem.Block{Type: "CERTIFICATE", Bytes: der})
				}
			}
		}
		if s.public == nil {
			continue
		}
		if k.Kid == kid {
			return s, nil
		}
		if first == nil {
			first = s
		}
	}
	if first == nil {
		return nil, errNoKey
	}
	return first, nil
}

// pemTexts are a document, if it is PEM, and the texts of a JSON that are.
func pemTexts(document string) []string {
	const begins = "-----BEGIN "
	v, ok := Decode([]byte(document))
	if !ok {
		if strings.Contains(document, begins) {
			return []string{document}
		}
		return nil
	}
	var out []string
	Walk(v, func(_ string, s any) {
		if text, ok := s.(string); ok && strings.Contains(text, begins) {
			out = append(out, text)
		}
	})
	return out
}

func parseKey(b *pem.Block) (pub crypto.PublicKey, cert []byte) {
	switch b.Type {
	case "PUBLIC KEY":
		if k, err := x509.ParsePKIXPublicKey(b.Bytes); err == nil {
			return k, nil
		}
	case "RSA PUBLIC KEY":
		if k, err := x509.ParsePKCS1PublicKey(b.Bytes); err == nil {
			return k, nil
		}
	case "CERTIFICATE":
		if c, err := x509.ParseCertificate(b.Bytes); err == nil {
			return c.PublicKey, b.Bytes
		}
	}
	return nil, nil
}

type servedJWK struct {
	Kty, Kid, Alg, Crv, N, E, X, Y, K string
	X5C                               []string
	raw                               json.RawMessage
}

// jwkSet are the keys of a JSON Web Key Set, or the one key that a document is.
func jwkSet(document string) []servedJWK {
	var set struct{ Keys []json.RawMessage }
	if json.Unmarshal([]byte(document), &set) != nil {
		return nil
	}
	if len(set.Keys) == 0 {
		set.Keys = []json.RawMessage{json.RawMessage(document)}
	}
	var out []servedJWK
	for _, raw := range set.Keys[:min(len(set.Keys), 32)] {
		k := servedJWK{raw: raw}
		if json.Unmarshal(raw, &k) == nil && k.Kty != "" {
			out = append(out, k)
		}
	}
	return out
}

func (k *servedJWK) public() (crypto.PublicKey, error) {
	n := func(text string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(raw) == 0 || len(raw) > 2048 {
			return nil
		}
		return new(big.Int).SetBytes(raw)
	}
	switch k.Kty {
	case "RSA":
		mod, e := n(k.N), n(k.E)
		if mod == nil || e == nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
			return nil, errNoKey
		}
		return &rsa.PublicKey{N: mod, E: int(e.Int64())}, nil
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Crv]
		x, y := n(k.X), n(k.Y)
		if curve == nil || x == nil || y == nil {
			return nil, errNoKey
		}
		size := (curve.Params().BitSize + 7) / 8
		if (x.BitLen()+7)/8 > size || (y.BitLen()+7)/8 > size {
			return nil, errNoKey
		}
		raw := append([]byte{4}, append(x.FillBytes(make([]byte, size)), y.FillBytes(make([]byte, size))...)...)
		pub, err := ecdsa.ParseUncompressedPublicKey(curve, raw)
		if err != nil {
			return nil, errNoKey
		}
		return pub, nil
	case "OKP":
		raw, err := base64.RawURLEncoding.DecodeString(k.X)
		if err == nil && k.Crv == "Ed25519" && len(raw) == ed25519.PublicKeySize {
			return ed25519.PublicKey(raw), nil
		}
	}
	return nil, errNoKey
}

// secret is the key as a server may hold it, in one of KeyForms.
func (k *ServedKey) secret(form string) ([]byte, error) {
	plain, trimmed := strings.CutSuffix(form, "-trimmed")
	out, err := k.bytes(plain)
	if err == nil && trimmed {
		out = []byte(strings.TrimSpace(string(out)))
	}
	return out, err
}

func (k *ServedKey) bytes(form string) ([]byte, error) {
	none := fmt.Errorf("the key has no form %q", form)
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil, fmt.Errorf("writing the key: %w", err)
	}
	r, isRSA := k.public.(*rsa.PublicKey)
	switch form {
	case "spki":
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
	case "der":
		return der, nil
	case "document":
		return []byte(k.document), nil
	case "jwk":
		if k.jwk != "" {
			return []byte(k.jwk), nil
		}
	case "certificate":
		if k.cert != nil {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.cert}), nil
		}
	case "pkcs1":
		if isRSA {
			return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(r)}), nil
		}
	case "modulus":
		if isRSA {
			return r.N.Bytes(), nil
		}
	}
	return nil, none
}

// publishedSecret is the shared secret in a key set that really signed a token.
func publishedSecret(document, token string) (alg string, secret []byte, err error) {
	header, _, err := ParseJWT(token)
	if err != nil {
		return "", nil, err
	}
	alg, _ = header["alg"].(string)
	for _, k := range jwkSet(document) {
		if k.Kty != "oct" {
			continue
		}
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.K, "="))
		if err == nil && HMACVerifies(token, raw) {
			return alg, raw, nil
		}
	}
	return "", nil, errNoKey
}
