package scenario

import "testing"

// The vectors of RFC 6238, appendix B (SHA-1), cut to 6 digits.
func TestTOTP(t *testing.T) {
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for at, want := range map[string]string{"59": "287082", "1111111109": "081804", "1111111111": "050471", "1234567890": "005924", "2000000000": "279037", "20000000000": "353130"} {
		for _, s := range []string{secret, "otpauth://totp/x:y?secret=" + secret + "&issuer=x", "gezd gnbv gy3t qojq gezd gnbv gy3t qojq"} {
			if v, err := funcs["otp.totp"](map[string]string{"secret": s, "at": at}); err != nil || v != want {
				t.Errorf("at %s, %s: %v, %v, want %s", at, s, v, err, want)
			}
		}
	}
	for _, bad := range []string{"", "ABC", "0189", "otpauth://totp/x"} {
		if v, err := funcs["otp.totp"](map[string]string{"secret": bad}); err == nil {
			t.Errorf("%q gave %v", bad, v)
		}
	}
}
