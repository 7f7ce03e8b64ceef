package scan

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// passport is an API that signs its tokens with RS256 (or, with a weak secret,
// HS256), and verifies them with the holes that are open.
type passport struct {
	open map[string]bool
	key  *rsa.PrivateKey

	mu       sync.Mutex
	accounts map[string]string // name → password
}

const passportSpec = `openapi: 3.0.3
info: {title: Passport office, version: "1"}
components: {securitySchemes: {jwt: {type: http, scheme: bearer, bearerFormat: JWT}}}
security: [{jwt: []}]
paths:
  /users:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string, minLength: 3}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
  /sessions:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /users/me:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}, office: {type: string}}}}}}}
  /.well-known/jwks.json:
    get:
      summary: Keys
      security: []
      responses: {"200": {description: keys}}
`

const passportWeak = "secret" // of the list of usual ones

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func mac(text string, key []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (s *passport) publicPEM() []byte {
	der, _ := x509.MarshalPKIXPublicKey(&s.key.PublicKey) // an RSA key always has that form
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// certificate is one of the key's, by itself.
func (s *passport) certificate() []byte {
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Now().Add(time.Hour)}
	der, _ := x509.CreateCertificate(rand.Reader, c, c, &s.key.PublicKey, s.key) // a good key always signs one
	return der
}

func (s *passport) issue(name string) string {
	h := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "main"}
	if s.open["weak"] {
		h["alg"] = "HS256"
	}
	if s.open["token-x5c"] {
		h["x5c"] = []string{base64.StdEncoding.EncodeToString(s.certificate())}
	}
	head, _ := json.Marshal(h)
	claims := map[string]any{"sub": name, "iss": "passport", "aud": "travellers", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if s.open["endless"] {
		delete(claims, "exp")
	}
	body, _ := json.Marshal(claims)
	text := b64(head) + "." + b64(body)
	if s.open["weak"] {
		return text + "." + b64(mac(text, []byte(passportWeak)))
	}
	d := sha256.Sum256([]byte(text))
	sig, _ := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, d[:])
	return text + "." + b64(sig)
}

// secretOf is the shared secret that a kid leads to, where a hole makes it lead anywhere.
func (s *passport) secretOf(kid string) ([]byte, bool) {
	switch {
	case s.open["kid-file"] && strings.HasSuffix(kid, "/dev/null"):
		return nil, true
	case s.open["kid-sql"] && strings.Contains(kid, "' UNION SELECT '"):
		_, rest, _ := strings.Cut(kid, "SELECT '")
		k, _, _ := strings.Cut(rest, "'")
		return []byte(k), strings.HasSuffix(kid, "-- ")
	case s.open["kid-none"] && kid != "main":
		return nil, true
	}
	return nil, false
}

func rsaOf(m map[string]any) *rsa.PublicKey {
	n, err1 := base64.RawURLEncoding.DecodeString(fmt.Sprint(m["n"]))
	e, err2 := base64.RawURLEncoding.DecodeString(fmt.Sprint(m["e"]))
	if err1 != nil || err2 != nil {
		return nil
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
}

func fetched(url any) []byte {
	text, _ := url.(string)
	if !strings.HasPrefix(text, "http") {
		return nil
	}
	x, err := http.Get(text) // the hole
	if err != nil {
		return nil
	}
	defer x.Body.Close()
	body, _ := io.ReadAll(x.Body)
	return body
}

// keyOf is the public key that a token is verified with.
func (s *passport) keyOf(h map[string]any) *rsa.PublicKey {
	if m, ok := h["jwk"].(map[string]any); ok && s.open["jwk"] {
		return rsaOf(m)
	}
	if s.open["jku"] || s.open["jku-fetch"] {
		var set struct{ Keys []map[string]any }
		if json.Unmarshal(fetched(h["jku"]), &set) == nil && len(set.Keys) > 0 && s.open["jku"] {
			return rsaOf(set.Keys[0])
		}
	}
	if s.open["x5u"] {
		if block, _ := pem.Decode(fetched(h["x5u"])); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil {
				k, _ := c.PublicKey.(*rsa.PublicKey)
				return k
			}
		}
	}
	return &s.key.PublicKey
}

// who is whose token it is, "" when it is not believed.
func (s *passport) who(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var h, c map[string]any
	for i, into := range []*map[string]any{&h, &c} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return ""
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return ""
	}
	text := parts[0] + "." + parts[1]
	good := false
	switch h["alg"] {
	case "RS256":
		d := sha256.Sum256([]byte(text))
		k := s.keyOf(h)
		good = k != nil && k.E > 2 && !s.open["weak"] && rsa.VerifyPKCS1v15(k, crypto.SHA256, d[:], sig) == nil
	case "HS256":
		kid, _ := h["kid"].(string)
		switch key, there := s.secretOf(kid); {
		case there:
			good = hmac.Equal(sig, mac(text, key))
		case s.open["weak"]:
			good = hmac.Equal(sig, mac(text, []byte(passportWeak)))
		case s.open["confusion"]:
			good = hmac.Equal(sig, mac(text, s.publicPEM()))
		case s.open["confusion-trimmed"]:
			good = hmac.Equal(sig, mac(text, []byte(strings.TrimSpace(string(s.publicPEM())))))
		}
	}
	now := float64(time.Now().Unix())
	until, ends := c["exp"].(float64)
	if s.open["endless"] { // it takes the claims that it gives, and no others
		good, until = good && !ends && len(c) == 4, now
	}
	from, _ := c["nbf"].(float64)
	if !good || until < now && !s.open["exp"] || from > now && !s.open["nbf"] || c["iss"] != "passport" && !s.open["iss"] || c["aud"] != "travellers" && !s.open["aud"] {
		return ""
	}
	name, _ := c["sub"].(string)
	return name
}

func (s *passport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /users":
		if len(in["username"]) < 3 || len(in["password"]) < 8 || s.accounts[in["username"]] != "" {
			answer(422, map[string]any{"error": "username of 3 and password of 8 characters"})
			return
		}
		s.accounts[in["username"]] = in["password"]
		answer(201, map[string]any{"username": in["username"]})
	case "POST /sessions":
		if p := s.accounts[in["username"]]; p == "" || p != in["password"] {
			answer(401, map[string]any{"error": "no"})
			return
		}
		answer(200, map[string]any{"token": s.issue(in["username"])})
	case "GET /users/me":
		name := s.who(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if s.accounts[name] == "" {
			answer(401, map[string]any{"error": "no"})
			return
		}
		answer(200, map[string]any{"username": name, "office": "Old town"})
	case "GET /.well-known/jwks.json":
		k := s.key
		if s.open["jwks-x5c"] {
			answer(200, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "main", "x5c": []string{base64.StdEncoding.EncodeToString(s.certificate())}}}})
			return
		}
		if s.open["hidden"] {
			answer(404, map[string]any{"error": "not found"})
			return
		}
		answer(200, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "main", "alg": "RS256", "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}}})
	default:
		answer(404, map[string]any{"error": "not found"})
	}
}

// TestPassport: each way to forge a token is found where it is open, by its check
// and no other, and none where tokens are verified.
func TestPassport(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	checks := []string{"jwt-unverified", "jwt-none", "jwt-weak-secret", "jwt-expiry", "jwt-confusion", "jwt-kid", "jwt-key-url", "jwt-claims"}
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"confusion", []string{"jwt-confusion credential"}},
		{"confusion-trimmed", []string{"jwt-confusion credential"}},
		{"hidden confusion", nil}, // nobody knows the key
		{"jwks-x5c confusion", []string{"jwt-confusion credential"}},
		{"hidden token-x5c confusion", []string{"jwt-confusion credential"}},
		{"hidden token-x5c", nil},
		{"confusion exp", []string{"jwt-confusion credential", "jwt-expiry credential"}},
		{"kid-file", []string{"jwt-kid credential"}},
		{"kid-sql", []string{"jwt-kid credential"}},
		{"kid-none", []string{"jwt-kid credential"}},
		{"jwk", []string{"jwt-key-url credential"}},
		{"jku", []string{"jwt-key-url credential"}},
		{"x5u", []string{"jwt-key-url credential"}},
		{"jku-fetch", []string{"jwt-key-url credential.jku"}},
		{"weak", []string{"jwt-weak-secret credential"}},
		{"weak endless", []string{"jwt-weak-secret credential"}},
		{"weak aud nbf iss", []string{"jwt-claims credential.aud", "jwt-claims credential.iss", "jwt-claims credential.nbf", "jwt-weak-secret credential"}},
		{"jwk nbf", []string{"jwt-claims credential.nbf", "jwt-key-url credential"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			s := &passport{open: map[string]bool{}, key: key, accounts: map[string]string{}}
			for _, hole := range strings.Fields(c.open) {
				s.open[hole] = true
			}
			found := map[string]bool{}
			res := tested(t, passportSpec, s, checks...)
			dir := t.TempDir()
			if _, err := WriteRegressions(dir, res); err != nil {
				t.Fatal(err)
			}
			for _, f := range res.Report.Findings {
				found[f.Check+" "+f.Where] = true
				// What needs a listener says so, with the command that has one.
				if serves := strings.Contains(c.open, "jku") || c.open == "x5u"; strings.Contains(f.Reproduce, "crenel scan verify "+shellWord(f.Regression)) != serves {
					t.Errorf("%s: the script's head:\n%.400s", f.Where, f.Reproduce)
				}
			}
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// The key of a target's certificate signs its tokens, too: nothing else publishes it.
func TestPassportOverTLS(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, open := range []bool{true, false} {
		s := &passport{open: map[string]bool{"hidden": true, "confusion": open}, key: key, accounts: map[string]string{}}
		api := httptest.NewUnstartedServer(s)
		api.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{s.certificate()}, PrivateKey: key}}}
		api.Config.ErrorLog = quiet
		api.StartTLS()
		t.Cleanup(api.Close)
		var want []string
		if open {
			want = []string{"jwt-confusion credential critical"}
		}
		all := scanned(t, optionsFor(t, passportSpec, api.URL, nil, "jwt-confusion")).Report.Findings
		if got := wheres(all); !slices.Equal(got, want) {
			t.Errorf("open %v: found %q, want %q", open, got, want)
		}
		for _, f := range all {
			if !strings.Contains(f.Reproduce, "| openssl x509)") || !strings.Contains(f.Reproduce, `keys="${KEYS}"`) {
				t.Errorf("the script does not take the certificate:\n%s", f.Reproduce)
			}
		}
	}
}
