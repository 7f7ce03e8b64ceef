package authn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwe"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/value"
)

// Keys and texts of the RFCs, as they stand there.
const (
	// RFC 7515 appendix A: the payload of A.1 to A.3, and the keys.
	joe      = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	keyA1    = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
	keyA2    = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`
	keyA3    = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	keyA4    = `{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}`
	tokenA1  = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	tokenA2  = "eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	tokenA3  = "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	tokenA4  = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
	unsigned = "eyJhbGciOiJub25lIn0." + joe + "." // A.5, and RFC 7519 section 6.1

	// RFC 7520 section 3 and 4.
	frodo      = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
	bilboEC    = `{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}`
	bilboRSA   = `{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"}`
	bilboHMAC  = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"
	tokenRS256 = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." + frodo + ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
	tokenPS384 = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." + frodo + ".cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
	tokenES512 = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." + frodo + ".AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
	tokenHS256 = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9." + frodo + ".s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"

	// RFC 8037 appendix A.
	keyEd   = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	tokenEd = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

	// RFC 7516 appendix A.1, and RFC 7519 appendix A.1: encrypted.
	encrypted    = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGeipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nfa6c9d-StnImGyFDbSv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaVmqgfwX7XWRxv2322i-vDxRfqNzo_tETKzpVLzfiwQyeyPGLBIO56YJ7eObdv0je81860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi6UklfCpIMfIjf7iGdXKHzg.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.XFBoMYUZodetZdvTiFvSkQ"
	encryptedJWT = "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.QR1Owv2ug2WyPBnbQrRARTeEk9kDO2w8qDcjiHnSJflSdv1iNqhWXaKH4MqAkQtMoNfABIPJaZm0HaA415sv3aeuBWnD8J-Ui7Ah6cWafs3ZwwFKDFUUsWHSK-IPKxLGTkND09XyjORj_CHAgOPJ-Sd8ONQRnJvWn_hXV1BNMHzUjPyYwEsRhDhzjAD26imasOTsgruobpYGoQcXUwFDn7moXPRfDE8-NoQX7N7ZYMmpUDkR-Cx9obNGwJQ3nM52YCitxoQVPzjbl7WBuB7AohdBoZOdZ24WlN1lVIeh8v1K4krB8xgKvRU8kgFrEn_a1rZgN5TiysnmzTROF869lQ.AxY8DCtDaGlsbGljb3RoZQ.MKOle7UQrG6nSxTLX6Mqwt0orbHvAKeWnDYvpIAeZ72deHxz3roJDXQyhxx0wKaMHDjUEOKIwrtkHthpqEanSBNYHZgmNOV7sln1Eu9g3J8.fiK51VwhsxJ-siBMR-YFiA"

	// RFC 7517 appendix A: public keys, of which one is for encryption, and symmetric ones.
	keySet    = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},{"kty":"RSA","n":"` + modulus + `","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}`
	symmetric = `{"keys":[{"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"},{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow","kid":"HMAC key used in JWS spec Appendix A.1 example"}]}`
	modulus   = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)

// Signatures of the RFCs verify, with the key that they are of, as they stand and
// in no other way.
func TestSignatureVectors(t *testing.T) {
	for name, c := range map[string]struct{ alg, key, token string }{
		"RFC 7515 A.1": {"HS256", keyA1, tokenA1}, "RFC 7515 A.2": {"RS256", keyA2, tokenA2}, "RFC 7515 A.3": {"ES256", keyA3, tokenA3}, "RFC 7515 A.4": {"ES512", keyA4, tokenA4},
		"RFC 7520 4.1": {"RS256", bilboRSA, tokenRS256}, "RFC 7520 4.2": {"PS384", bilboRSA, tokenPS384}, "RFC 7520 4.3": {"ES512", bilboEC, tokenES512}, "RFC 7520 4.4": {"HS256", bilboHMAC, tokenHS256},
		"RFC 8037 A.4": {"EdDSA", keyEd, tokenEd},
	} {
		t.Run(name, func(t *testing.T) {
			key := jose.Key{Family: jose.HMAC}
			if strings.HasPrefix(c.key, "{") {
				entry := must(value.JSON([]byte(c.key), value.Limits{}))
				var ok bool
				if key, ok = jose.ParseKey(entry, []byte(c.key)); !ok {
					t.Fatal("the key is not taken")
				}
			} else {
				key.Public = must(jose.Decode(c.key))
			}
			parts := strings.Split(c.token, ".")
			input, sig := []byte(parts[0]+"."+parts[1]), must(jose.Decode(parts[2]))
			a := jose.Lookup(c.alg)
			if !a.Verify(&key, input, sig) {
				t.Fatal("the signature does not verify")
			}
			for i := range sig {
				sig[i] ^= 1
				if a.Verify(&key, input, sig) {
					t.Fatalf("the signature verifies with byte %d changed", i)
				}
				sig[i] ^= 1
			}
			for _, other := range jose.Names() {
				if b := jose.Lookup(other); b.Name != a.Name && !(b.Family == jose.Ed25519 && a.Family == jose.Ed25519) && b.Verify(&key, input, sig) {
					t.Errorf("it verifies as %s as well", other)
				}
			}
		})
	}
}

// Whole tokens of the RFCs, as this guard takes them.
func TestTokenVectors(t *testing.T) {
	then := time.Unix(1300819380, 0).Add(-time.Minute) // before the examples expire
	set := func(keys string) string {
		at := t.TempDir() + "/keys.json"
		write(t, at, `{"keys":[`+keys+`]}`)
		return at
	}
	secret := config.NewSecret(string(must(jose.Decode(keyA1))))
	asymmetric := config.JWTMethod{Issuer: "joe", JWKS: set(keyA2 + "," + keyA3 + "," + keyA4), Algorithms: []string{"RS256", "ES256", "ES512"}, Claims: config.Claims{Subject: "iss"}}
	shared := config.JWTMethod{Issuer: "joe", Secret: secret, Claims: config.Claims{Subject: "iss"}}
	for name, c := range map[string]struct {
		conf  config.JWTMethod
		token string
		at    time.Time
		code  string
	}{
		"RFC 7515 A.1, RFC 7519 3.1": {shared, tokenA1, then, ""},
		"RFC 7515 A.2":               {asymmetric, tokenA2, then, ""},
		"RFC 7515 A.3":               {asymmetric, tokenA3, then, ""},
		"today":                      {shared, tokenA1, noon, "authn.expired"},
		"RFC 7515 A.4 is no JWT":     {asymmetric, tokenA4, then, "authn.malformed"},
		"RFC 7515 A.5, no signature": {asymmetric, unsigned, then, "authn.algorithm"},
		"RFC 7515 A.5, with secret":  {shared, unsigned, then, "authn.algorithm"},
		"RFC 7515 A.6, as JSON": {asymmetric, `{"payload":"` + joe + `","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","header":{"kid":"2010-12-29"},"signature":"` + strings.Split(tokenA2, ".")[2] + `"}]}`,
			then, "authn.malformed"},
		"RFC 7515 A.7, flattened JSON": {asymmetric, `{"payload":"` + joe + `","protected":"eyJhbGciOiJFUzI1NiJ9","header":{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"},"signature":"` + strings.Split(tokenA3, ".")[2] + `"}`,
			then, "authn.malformed"},
		"RFC 7515 appendix E, crit":     {asymmetric, "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.", then, "authn.malformed"},
		"RFC 7515 appendix F, detached": {asymmetric, "eyJhbGciOiJSUzI1NiJ9.." + strings.Split(tokenA2, ".")[2], then, "authn.malformed"},
		"RFC 7797 4.2, b64":             {shared, "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY", then, "authn.malformed"},
		"RFC 7516 A.1, encrypted":       {asymmetric, encrypted, then, "authn.malformed"},
		"RFC 7519 A.1, encrypted":       {asymmetric, encryptedJWT, then, "authn.malformed"},
		"A.1 with keys":                 {asymmetric, tokenA1, then, "authn.algorithm"},
		"A.2 with secret":               {shared, tokenA2, then, "authn.algorithm"},
		"RFC 7520 4.1 is no JWT":        {config.JWTMethod{Issuer: "joe", JWKS: set(bilboRSA)}, tokenRS256, then, "authn.malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			api := petAPI()
			g, err := authn.New(authn.Options{API: api, Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &c.conf}}}, Now: func() time.Time { return c.at }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Close)
			x, v := call(t, g, operation(api, "token"), bearer(c.token), "")
			if v.Code != c.code {
				t.Fatalf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, c.code)
			}
			if c.code == "" && (v.Action != exchange.Allow || x.Identity.Subject != "joe" || x.Identity.Claims["http://example.com/is_root"] != true) {
				t.Errorf("%+v", x.Identity)
			}
		})
	}
	// The encrypted ones are what they are taken for: whole, and of five parts.
	for _, s := range []string{encrypted, encryptedJWT} {
		if _, err := jwe.Parse([]byte(s)); err != nil {
			t.Errorf("the vector is broken: %v", err)
		}
	}
}

// Key sets of RFC 7517: keys for encryption and shared secrets are no signing keys.
func TestKeySetVectors(t *testing.T) {
	for text, says := range map[string]string{keySet: "", symmetric: "no usable signing key (2 skipped"} {
		at := t.TempDir() + "/keys.json"
		write(t, at, text)
		g, err := authn.New(authn.Options{API: petAPI(), Config: config.Authn{Methods: []config.AuthnMethod{{JWT: &config.JWTMethod{Issuer: "joe", JWKS: at}}}}})
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if g != nil {
			g.Close()
		}
	}
}
