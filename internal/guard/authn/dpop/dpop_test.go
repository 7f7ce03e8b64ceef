package dpop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/state"
)

// The examples of RFC 9449: the proof of section 4.1 (figure 2) is one for a token
// endpoint and so has no ath; that of section 7.1 (figure 13) is for a resource.
const (
	rfcEndpointProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcResourceProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcToken         = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcThumbprint    = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func verifier(t testing.TB, nonces *Nonces) *Verifier {
	t.Helper()
	v, err := NewVerifier(nil, time.Minute, 10*time.Second, nonces)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRFC9449(t *testing.T) {
	v := verifier(t, nil)
	call := Call{Method: "GET", URI: "https://resource.example.org/protectedresource", Token: rfcToken}
	p, err := v.Verify(rfcResourceProof, call, time.Unix(1562262618, 0))
	if err != nil {
		t.Fatal(err)
	}
	if p.Thumbprint != rfcThumbprint {
		t.Errorf("thumbprint %s", p.Thumbprint)
	}
	if p.Life != 70*time.Second || !strings.HasPrefix(p.Mark, "dpop:") {
		t.Errorf("%+v", p)
	}
	_, err = v.Verify(rfcEndpointProof, Call{Method: "POST", URI: "https://server.example.com/token", Token: rfcToken}, time.Unix(1562262616, 0))
	if err == nil || !strings.Contains(err.Error(), "ath") {
		t.Errorf("a proof for the token endpoint: %v", err)
	}
	for name, c := range map[string]struct {
		call Call
		at   int64
	}{
		"another method":  {Call{"POST", call.URI, rfcToken}, 1562262618},
		"another address": {Call{"GET", "https://resource.example.org/other", rfcToken}, 1562262618},
		"another token":   {Call{"GET", call.URI, rfcToken + "x"}, 1562262618},
		"too old":         {call, 1562262618 + 70},
		"too early":       {call, 1562262618 - 11},
	} {
		if _, err := v.Verify(rfcResourceProof, c.call, time.Unix(c.at, 0)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, at := range []int64{1562262618 - 10, 1562262618 + 69} {
		if _, err := v.Verify(rfcResourceProof, call, time.Unix(at, 0)); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.example.com/a":              "https://api.example.com/a",
		"HTTPS://API.Example.COM:443/a":          "https://api.example.com/a",
		"http://api.example.com:80":              "http://api.example.com/",
		"https://api.example.com:8443/a":         "https://api.example.com:8443/a",
		"https://api.example.com/a?x=1#y":        "https://api.example.com/a",
		"https://api.example.com/%61%2f%7e%c3a9": "https://api.example.com/a%2F~%C3a9",
		"https://api.example.com/a/./b/../c":     "https://api.example.com/a/c",
		"https://api.example.com/a/b/..":         "https://api.example.com/a/",
		"https://api.example.com/a//b":           "https://api.example.com/a//b",
		"https://api.example.com/A":              "https://api.example.com/A",
		"https://[2001:DB8::1]:443/":             "https://[2001:db8::1]/",
	} {
		if got, ok := Normalise(in); !ok || got != want {
			t.Errorf("%s: %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "/a", "//api.example.com/a", "api.example.com/a", "ftp://api.example.com/a", "https:///a", "https:a",
		"https://user@api.example.com/a", "https://user:pw@api.example.com/a", "https://api.example.com\\@evil/a",
		"https://api.example.com/a b", " https://api.example.com/a", "https://api.example.com/a\n", "https://api.example.com/%zz",
		"https://api.example.com/%4", "https://api%2eexample.com/a", "javascript:alert(1)", "https://" + strings.Repeat("a", maxURI),
	} {
		if got, ok := Normalise(in); ok {
			t.Errorf("%q is taken as %q", in, got)
		}
	}
}

// A normal form is its own normal form, and what it names is what was meant.
func TestNormaliseIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.StringMatching(`([a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9a-fA-F]{2}){0,40}`).Draw(t, "path")
		in := rapid.SampledFrom([]string{"https", "http", "HTTPS"}).Draw(t, "scheme") + "://" + rapid.StringMatching(`[a-zA-Z][a-z0-9.]{0,9}(:[0-9]{1,4})?`).Draw(t, "host") + path
		once, ok := Normalise(in)
		if !ok {
			t.Fatalf("%q is not taken", in)
		}
		again, ok := Normalise(once)
		if !ok || again != once {
			t.Fatalf("%q is %q and then %q", in, once, again)
		}
		u, err := url.Parse(once)
		if err != nil || u.Path == "" {
			t.Fatalf("%q: %v", once, err)
		}
	})
}

func TestNonces(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	shared := state.NewMemory(clock)
	t.Cleanup(func() { _ = shared.Close() })
	secret := []byte("a-secret-for-nonces-of-32-bytes-and-more")
	make2 := func(secret []byte, store state.Store) *Nonces {
		n, err := NewNonces(t.Context(), 5*time.Minute, secret, store)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	alone := state.NewMemory(clock)
	t.Cleanup(func() { _ = alone.Close() })
	for name, c := range map[string]struct {
		a, b *Nonces
		same bool
	}{
		"keys by state":      {make2(nil, shared), make2(nil, shared), true},
		"one secret":         {make2(secret, nil), make2(secret, nil), true},
		"another secret":     {make2(secret, nil), make2([]byte("another-secret-of-32-bytes-at-least-here"), nil), false},
		"no state in common": {make2(nil, shared), make2(nil, alone), false},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.a.Issue(now)
			if age, ok := c.a.check(n, now.Add(time.Minute)); !ok || age != time.Minute {
				t.Errorf("its own nonce: %v, %v", age, ok)
			}
			if _, ok := c.b.check(n, now); ok != c.same {
				t.Errorf("another gateway takes it: %v", ok)
			}
			for what, at := range map[string]time.Duration{"too old": 5 * time.Minute, "from the future": -2 * time.Minute} {
				if _, ok := c.a.check(n, now.Add(at)); ok {
					t.Errorf("%s: taken", what)
				}
			}
			for i := range n {
				forged := []byte(n)
				forged[i] = flip(forged[i])
				if _, ok := c.a.check(string(forged), now); ok {
					t.Errorf("taken with byte %d changed", i)
				}
			}
			for _, bad := range []string{"", n[1:], n + "A", n + "=", "é", strings.Repeat("A", len(n)), strings.Repeat("_", len(n))} {
				if _, ok := c.a.check(bad, now); ok {
					t.Errorf("%q is taken", bad)
				}
			}
			// The key changes by the hour; nonces from before hold for their life.
			late := now.Add(renewEvery - time.Minute)
			old := c.a.Issue(late)
			next := c.a.Issue(late.Add(2 * time.Minute))
			if old[:11] == next[:11] {
				t.Error("the key did not change")
			}
			for _, m := range []string{old, next} {
				if _, ok := c.a.check(m, late.Add(3*time.Minute)); !ok {
					t.Error("a nonce is lost when the key changes")
				}
			}
		})
	}
	if _, err := NewNonces(t.Context(), time.Minute, nil, closed(t)); err == nil {
		t.Error("nonces that nobody shares are made without a word")
	}
}

func closed(t *testing.T) state.Store {
	m := state.NewMemory(nil)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

func flip(c byte) byte {
	if c == 'A' {
		return 'B'
	}
	return 'A'
}

// A state that cannot be written to makes nonces that this gateway takes and no other.
func TestNoncesWhileTheStateIsAway(t *testing.T) {
	m := state.NewMemory(nil)
	n, err := NewNonces(t.Context(), time.Minute, nil, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, ok := n.check(n.Issue(now), now); !ok {
		t.Error("its own nonce is refused")
	}
}

// maker makes proofs as a client does.
type maker struct {
	key *ecdsa.PrivateKey
}

func newMaker(t testing.TB) maker {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return maker{k}
}

func (m maker) jwk(t testing.TB) map[string]any {
	raw, err := m.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(raw[1:33]), "y": b64(raw[33:])}
}

func (m maker) sign(t testing.TB, header, claims map[string]any) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, m.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func TestNonceIsDemandedAndRenewed(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	nonces, err := NewNonces(t.Context(), 4*time.Minute, []byte(strings.Repeat("s", 32)), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, m := verifier(t, nonces), newMaker(t)
	sum := sha256.Sum256([]byte("token"))
	call := Call{"GET", "https://api.test/x", "token"}
	prove := func(nonce any) (*Proof, error) {
		return v.Verify(m.sign(t, map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": m.jwk(t)}, map[string]any{
			"jti": "1", "htm": "GET", "htu": call.URI, "iat": now.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]), "nonce": nonce}), call, now)
	}
	for _, nonce := range []any{nil, "", "made up", nonces.Issue(now.Add(-5 * time.Minute))} {
		if _, err := prove(nonce); nonce != nil && !errors.Is(err, ErrNonce) || err == nil {
			t.Errorf("nonce %v: %v", nonce, err)
		}
	}
	if p, err := prove(nonces.Issue(now)); err != nil || p.Fresh != "" {
		t.Errorf("a new nonce: %+v, %v", p, err)
	}
	p, err := prove(nonces.Issue(now.Add(-3 * time.Minute)))
	if err != nil || p.Fresh == "" {
		t.Fatalf("a nonce that gets old: %+v, %v", p, err)
	}
	if _, ok := nonces.check(p.Fresh, now); !ok {
		t.Error("the new nonce is no good")
	}
}

// Whatever is sent, nothing but a proof by its own key for this very call is taken.
func FuzzProof(f *testing.F) {
	f.Add(rfcResourceProof)
	f.Add(rfcEndpointProof)
	f.Add("..")
	f.Add("e30.e30.")
	v := verifier(f, nil)
	call := Call{Method: "GET", URI: "https://resource.example.org/protectedresource", Token: rfcToken}
	f.Fuzz(func(t *testing.T, proof string) {
		p, err := v.Verify(proof, call, time.Unix(1562262618, 0))
		if err == nil && (p.Thumbprint != rfcThumbprint || proof != rfcResourceProof) {
			t.Fatalf("%q is taken: %+v", proof, p)
		}
	})
}

func FuzzNormalise(f *testing.F) {
	f.Add("https://api.example.com/a/../b?c#d")
	f.Add("http://[::1]:80/%41")
	f.Fuzz(func(t *testing.T, in string) {
		once, ok := Normalise(in)
		if !ok {
			return
		}
		if again, ok := Normalise(once); !ok || again != once {
			t.Fatalf("%q is %q and then %q, %v", in, once, again, ok)
		}
	})
}

// BenchmarkProof is one proof, from the text of the field to the mark.
func BenchmarkProof(b *testing.B) {
	v := verifier(b, nil)
	call := Call{Method: "GET", URI: "https://resource.example.org/protectedresource", Token: rfcToken}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(rfcResourceProof, call, time.Unix(1562262618, 0)); err != nil {
			b.Fatal(err)
		}
	}
}
