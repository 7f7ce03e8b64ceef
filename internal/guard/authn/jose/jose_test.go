package jose

import (
	"testing"

	"github.com/crenel-project/crenel/internal/value"
)

func parse(t *testing.T, src string) (Key, bool) {
	t.Helper()
	v, err := value.JSON([]byte(src), value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return ParseKey(v, []byte(src))
}

const (
	rfc7638RSA = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	rfc8037OKP = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc9449EC  = `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
)

// The examples of RFC 7638 section 3.1, RFC 8037 appendix A.3 and RFC 9449 section 6.1.
func TestThumbprintVectors(t *testing.T) {
	for src, want := range map[string]string{
		rfc7638RSA: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		rfc8037OKP: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		rfc9449EC:  "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
	} {
		k, ok := parse(t, src)
		if !ok {
			t.Errorf("%.40s is not taken", src)
			continue
		}
		if got := k.Thumbprint(); got != want {
			t.Errorf("%.40s: thumbprint %s, want %s", src, got, want)
		}
	}
	if got := (&Key{Family: HMAC, Public: []byte("secret")}).Thumbprint(); got != "" {
		t.Errorf("a secret has the thumbprint %s", got)
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	for name, src := range map[string]string{
		"a secret":          `{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
		"for encryption":    `{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"not for verifying": `{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"X25519":            `{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`,
		"not on the curve":  `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGREA","crv":"P-256"}`,
		"RSA of 1024 bits":  `{"kty":"RSA","n":"3D9c7JT1xh7ZcyBEg4Hd4mDg0Jp1rR1yzu8yrN5Hh6FqLW0hQTKyq4n5JnRhmDDNWCnkE9ZVpLxVJ4qRK0DgH2Vn1hQ3cCrEZl8Ww8c5JgC8J1Yx1GJ8JJZ0G0yQyPDk5UZ6bN7rGg3XoGq0l5F1zZ0U0xU6P0aLw9Fz2rZ8e0","e":"AQAB"}`,
		"no type":           `{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"no object":         `["OKP"]`,
	} {
		if k, ok := parse(t, src); ok {
			t.Errorf("%s: taken as a key of family %d", name, k.Family)
		}
	}
}

func TestDecodeTakesOneSpelling(t *testing.T) {
	for _, s := range []string{"YQ=", "YQ==", "YR", "Y Q", "YQ\n", "Y+==", "Y/", "\x00"} {
		if b, err := Decode(s); err == nil {
			t.Errorf("%q is read as %q", s, b)
		}
	}
	if b, err := Decode("YQ"); err != nil || string(b) != "a" {
		t.Errorf("YQ is %q, %v", b, err)
	}
}
