package scenario

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// The token of RFC 7515, appendix A.1, with its key.
const (
	rfcToken = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfcKey   = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
)

func TestJWT(t *testing.T) {
	do := func(name string, args map[string]string) string {
		t.Helper()
		args["token"] = rfcToken
		v, err := funcs[name](args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return Plain(v)
	}
	signed := do("jwt.hmac", map[string]string{"key64": rfcKey, "claims": `{"iss":"eve","exp":"@now+60"}`})
	h, c, err := ParseJWT(signed)
	if err != nil || h["alg"] != "HS256" || c["iss"] != "eve" || Plain(c["exp"]) == "1300819380" {
		t.Errorf("signed anew: %v %v %v", h, c, err)
	}
	none := do("jwt.none", map[string]string{"alg": "nOnE"})
	if h, _, err := ParseJWT(none); err != nil || h["alg"] != "nOnE" || !strings.HasSuffix(none, ".") {
		t.Errorf("none: %s", none)
	}
	if s := do("jwt.strip", map[string]string{}); !strings.HasPrefix(rfcToken, s) || !strings.HasSuffix(s, ".") {
		t.Errorf("stripped: %s", s)
	}
	if s := do("jwt.corrupt", map[string]string{}); s == rfcToken || len(s) != len(rfcToken) || HMACVerifies(s, []byte("x")) {
		t.Errorf("corrupted: %s", s)
	}
	tampered := do("jwt.claims", map[string]string{"claims": `{"iss":null,"sub":"1"}`})
	if _, c, err := ParseJWT(tampered); err != nil || c["iss"] != nil || c["sub"] != "1" || !strings.HasSuffix(tampered, rfcToken[strings.LastIndexByte(rfcToken, '.'):]) {
		t.Errorf("tampered: %s", tampered)
	}
	if v := do("jwt.get", map[string]string{"claim": "exp"}); v != "1300819380" {
		t.Errorf("claim: %s", v)
	}
	weak, err := funcs["jwt.hmac"](map[string]string{"token": rfcToken, "key": "secret"})
	if err != nil || !HMACVerifies(Plain(weak), []byte("secret")) || HMACVerifies(Plain(weak), []byte("other")) {
		t.Errorf("a token signed with a weak secret: %v %v", weak, err)
	}
	for _, bad := range []string{"", "a.b", "a.b.c", "e30.W10.x"} {
		if _, err := funcs["jwt.none"](map[string]string{"token": bad, "alg": "none"}); err == nil {
			t.Errorf("%q was taken for a token", bad)
		}
	}
}

func FuzzParseJWT(f *testing.F) {
	f.Add(rfcToken)
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		h, c, err := ParseJWT(token)
		if err == nil && (h == nil || c == nil) {
			t.Fatal("neither a token nor an error")
		}
		HMACVerifies(token, []byte("k"))
	})
}

// A token signed with our own key verifies with the key that we serve, for each
// family of algorithms; and the forms of a served key are secrets that sign.
func TestOwnKeys(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256"} {
		token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","kid":"k7"}`)) + ".eyJzdWIiOiJhIn0.c2ln"
		signed, err := funcs["jwt.sign"](map[string]string{"token": token, "claims": `{"sub":"b"}`, "embed": "jwk"})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		served, err := funcs["key.jwks"](map[string]string{"token": token})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		set, err := jwk.ParseString(Plain(served))
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		payload, err := jws.Verify([]byte(Plain(signed)), jws.WithKeySet(set))
		if err != nil || !strings.Contains(string(payload), `"b"`) {
			t.Errorf("%s: our token does not verify with our key: %v", alg, err)
		}
		cert, err := funcs["key.certificate"](map[string]string{"token": token})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		for name, document := range map[string]string{"jwks": Plain(served), "certificate": Plain(cert), "in JSON": jsonText(map[string]any{"pem": cert})} {
			forms := 0
			for _, form := range KeyForms {
				if v, err := funcs["jwt.confuse"](map[string]string{"token": token, "keys": document, "form": form}); err == nil {
					forms++
					if h, _, err := ParseJWT(Plain(v)); err != nil || h["alg"] != "HS256" {
						t.Errorf("%s, %s, %s: %v %v", alg, name, form, h, err)
					}
				}
			}
			if forms < 5 {
				t.Errorf("%s, %s: the key has %d forms only", alg, name, forms)
			}
		}
	}
}

func TestPublishedSecret(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(rfcKey)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]bool{base64.RawURLEncoding.EncodeToString(key): true, "YWJj": false} {
		_, err := funcs["jwt.published"](map[string]string{"token": rfcToken, "keys": `{"keys":[{"kty":"oct","k":"` + k + `"}]}`})
		if (err == nil) != want {
			t.Errorf("a published secret that signs: %v, want %v", err, want)
		}
	}
}

func FuzzPublicKey(f *testing.F) {
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, rfcToken)
	f.Add("-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n", rfcToken)
	f.Add(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, "")
	f.Fuzz(func(t *testing.T, document, token string) {
		k, err := PublicKey(document, token)
		if (k == nil) != (err != nil) {
			t.Fatal("neither a key nor an error")
		}
		for _, form := range KeyForms {
			if k != nil {
				_, _ = k.secret(form)
			}
		}
		_, _, _ = publishedSecret(document, token)
	})
}
