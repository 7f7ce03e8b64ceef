package scenario

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The functions on JSON Web Tokens (RFC 7519): what a forger does. Each takes a
// real token and gives one that a careful verifier refuses (RFC 8725).
func init() {
	maps.Copy(funcs, map[string]Func{
		// jwt.none: token, alg ("none" in some spelling): no signature at all (RFC 8725, section 3.1).
		"jwt.none": func(a map[string]string) (any, error) {
			return forge(a, func(h map[string]any) { h["alg"] = a["alg"] }, nil)
		},
		// jwt.strip: token: the signature left out, the header as it was.
		"jwt.strip": func(a map[string]string) (any, error) {
			parts := strings.Split(a["token"], ".")
			if len(parts) != 3 {
				return nil, errNoJWT
			}
			return parts[0] + "." + parts[1] + ".", nil
		},
		// jwt.corrupt: token: the signature changed.
		"jwt.corrupt": func(a map[string]string) (any, error) {
			parts := strings.Split(a["token"], ".")
			if len(parts) != 3 || parts[2] == "" {
				return nil, errNoJWT
			}
			sig, err := decodePart(parts[2])
			if err != nil {
				return nil, errNoJWT
			}
			for i := range sig {
				sig[i] ^= 0x5a
			}
			return parts[0] + "." + parts[1] + "." + alphabet(a["token"]).EncodeToString(sig), nil
		},
		// jwt.hmac: token, key, and optionally alg (HS256), header, claims (JSON
		// objects merged in), key64 instead of key: signed with a secret.
		"jwt.hmac": func(a map[string]string) (any, error) {
			key := []byte(a["key"])
			if a["key64"] != "" {
				var err error
				if key, err = base64.StdEncoding.DecodeString(a["key64"]); err != nil {
					return nil, fmt.Errorf("key64: %w", err)
				}
			}
			alg := a["alg"]
			if alg == "" {
				alg = "HS256"
			}
			sign, err := hmacOf(alg, key)
			if err != nil {
				return nil, err
			}
			return forge(a, func(h map[string]any) { h["alg"] = alg }, sign)
		},
		// jwt.claims: token, claims (a JSON object merged into its claims; null
		// takes one away): the signature stays what it was.
		"jwt.claims": func(a map[string]string) (any, error) {
			parts := strings.Split(a["token"], ".")
			if len(parts) != 3 {
				return nil, errNoJWT
			}
			out, err := forge(a, nil, nil)
			if err != nil {
				return nil, err
			}
			return out + parts[2], nil
		},
		// jwt.endless: token: the same, where it has no claim that says until when it is good.
		"jwt.endless": func(a map[string]string) (any, error) {
			_, claims, err := ParseJWT(a["token"])
			if err != nil {
				return nil, err
			}
			for name := range claims {
				if reEndClaim.MatchString(name) {
					return nil, fmt.Errorf("the token has an end: %q", name)
				}
			}
			return a["token"], nil
		},
		// jwt.get: token, claim: the value of a claim.
		"jwt.get": func(a map[string]string) (any, error) {
			_, claims, err := ParseJWT(a["token"])
			if err != nil {
				return nil, err
			}
			v, ok := claims[a["claim"]]
			if !ok {
				return nil, fmt.Errorf("the token has no claim %q", a["claim"])
			}
			return v, nil
		},
	})
}

// reEndClaim is a claim by which a token ends, also one of a home-made name.
var reEndClaim = regexp.MustCompile(`(?i)^(exp|ttl)$|expir|valid_?(until|for|to)|life_?time|max_?age`)

var errNoJWT = errors.New("the token is no JSON Web Token of three parts")

// decodePart reads a part of a token, also where it is written in the base64 that is not
// for addresses, or padded (RFC 7515 allows neither; home-made tokens have both).
func decodePart(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")) //nolint:wrapcheck // callers say what it was
}

// alphabet is the base64 that a token is written in.
func alphabet(token string) *base64.Encoding {
	switch plain := strings.ContainsAny(token, "+/"); {
	case strings.Contains(token, "=") && strings.ContainsAny(token, "-_"):
		return base64.URLEncoding
	case strings.Contains(token, "="):
		return base64.StdEncoding
	case plain:
		return base64.RawStdEncoding
	}
	return base64.RawURLEncoding
}

// ParseJWT takes a signed token apart without judging it.
func ParseJWT(token string) (header, claims map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errNoJWT
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := decodePart(parts[i])
		if err != nil {
			return nil, nil, errNoJWT
		}
		v, ok := Decode(raw)
		m, isObject := v.(map[string]any)
		if !ok || !isObject {
			return nil, nil, errNoJWT
		}
		*into = m
	}
	return header, claims, nil
}

// forge writes a token anew: header and claims merged with those given, the
// header changed, and signed when sign is there.
func forge(a map[string]string, change func(map[string]any), sign func(string) []byte) (string, error) {
	header, claims, err := ParseJWT(a["token"])
	if err != nil {
		return "", err
	}
	for _, m := range []struct {
		into map[string]any
		from string
	}{{header, a["header"]}, {claims, a["claims"]}} {
		if m.from == "" {
			continue
		}
		v, ok := Decode([]byte(m.from))
		extra, isObject := v.(map[string]any)
		if !ok || !isObject {
			return "", errors.New("header and claims want a JSON object")
		}
		for k, x := range extra {
			if s, isText := x.(string); isText && strings.HasPrefix(s, "@now") { // "@now+3600": Unix seconds
				n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimPrefix(s, "@now"), "+"), 10, 64)
				if err != nil && s != "@now" {
					return "", fmt.Errorf("%s: want @now, @now+SECONDS or @now-SECONDS", s)
				}
				x = json.Number(strconv.FormatInt(time.Now().Unix()+n, 10))
			}
			if x == nil {
				delete(m.into, k)
				continue
			}
			m.into[k] = x
		}
	}
	if change != nil {
		change(header)
	}
	b64 := alphabet(a["token"])
	text := b64.EncodeToString([]byte(jsonText(header))) + "." + b64.EncodeToString([]byte(jsonText(claims)))
	if sign == nil {
		return text + ".", nil
	}
	return text + "." + b64.EncodeToString(sign(text)), nil
}

func hmacOf(alg string, key []byte) (func(string) []byte, error) {
	var h func() hash.Hash
	switch alg {
	case "HS256":
		h = sha256.New
	case "HS384":
		h = sha512.New384
	case "HS512":
		h = sha512.New
	default:
		return nil, fmt.Errorf("alg %q: want HS256, HS384 or HS512", alg)
	}
	return func(text string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}, nil
}

// HMACVerifies reports whether a secret signs a token (HS256, HS384, HS512).
func HMACVerifies(token string, key []byte) bool { return HMACVerifier(token)(key) }

// HMACVerifier reports of secrets, one after the other, whether they sign a token.
func HMACVerifier(token string) func(key []byte) bool {
	never := func([]byte) bool { return false }
	header, _, err := ParseJWT(token)
	if err != nil {
		return never
	}
	alg, _ := header["alg"].(string)
	at := strings.LastIndexByte(token, '.')
	sig, err := decodePart(token[at+1:])
	if err != nil {
		return never
	}
	return func(key []byte) bool {
		sign, err := hmacOf(alg, key)
		return err == nil && hmac.Equal(sig, sign(token[:at]))
	}
}
