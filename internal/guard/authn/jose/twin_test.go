package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

func TestTwin(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	input := enc([]byte(`{"alg":"ES256"}`)) + "." + enc([]byte(`{"sub":"alice"}`))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	token := input + "." + enc(sig)
	twin := Twin(token)
	if twin == "" || twin == token || Twin(twin) != token {
		t.Fatalf("the twin of %s is %q, whose twin is %q", token, twin, Twin(twin))
	}
	other, err := Decode(twin[strings.LastIndexByte(twin, '.')+1:])
	key := &Key{Family: P256, Public: &k.PublicKey}
	if err != nil || !Lookup("ES256").Verify(key, []byte(input), other) {
		t.Error("the twin does not verify")
	}
	for _, text := range []string{
		"", "ey..", "a.b.c", "crk_abc_def", input, token + "A", token + ".x", strings.Replace(token, ".", "..", 1),
		enc([]byte(`{"alg":"RS256"}`)) + ".e30." + enc(sig),
		enc([]byte(`{"alg":"ES384"}`)) + ".e30." + enc(sig),
		input + "." + enc(make([]byte, 64)),
		input + "." + enc([]byte(strings.Repeat("\xff", 64))),
	} {
		if got := Twin(text); got != "" {
			t.Errorf("%q has the twin %q", text, got)
		}
	}
}

func FuzzTwin(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30." + strings.Repeat("A", 85) + "Q")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if twin := Twin(token); twin != "" && (len(twin) != len(token) || Twin(twin) != token) {
			t.Fatalf("the twin of the twin %q of %q is %q", twin, token, Twin(twin))
		}
	})
}
