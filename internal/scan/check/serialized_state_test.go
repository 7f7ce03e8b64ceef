package check

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Cookies' values as the languages wrote them (a hash, a list, a text, an object), and
// values that only look like them.
func TestStateCookie(t *testing.T) {
	for what, values := range map[string]string{
		"Java":                   "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA",
		"PHP":                    "O:2:\"Ab\":1:{s:1:\"x\";i:1;} TzoyOiJBYiI6MTp7czoxOiJ4IjtpOjE7fQ== YToyOntpOjA7aToxO2k6MTtpOjI7fQ== a%3A1%3A%7Bs%3A1%3A%22u%22%3Bi%3A1%3B%7D YToxMjp7aTowO2k6MTt9 TzoxMDoiRGF0ZVBlcmlvZCI6MDp7fQ",
		"Python (pickle)":        "gAJ9cQBYAQAAAGFxAUsBcy4= gAJdcQBLAWEu gAJYAQAAAHVxAEsChnEBLg== gAN9cQBYAQAAAGFxAUsBcy4= gASVCgAAAAAAAAB9lIwBYZRLAXMu gAWVCQAAAAAAAACMAXWUSwKGlC4= gAJjX19tYWluX18K",
		"Ruby (Marshal)":         "BAh7BkkiBmEGOgZFVGkG BAhbBmkG BAhJIgdhYgY6BkVU BAhvOgtPYmplY3QA",
		".NET (BinaryFormatter)": "AAEAAAD/////AQAAAAAAAAAEAQAAAA AAEAAAD%2F%2F%2F%2F%2FAQ",
		"Node (node-serialize)":  `{"rce":"_$$ND_FUNC$$_function(){}"}`,
		"":                       "s%3AgAJxyz.signature eyJhbGciOiJIUzI1NiJ9.e30.x BAhamas-7Kx gATEway-5512-AA YToken-9911 Tzoned-1 a:b O:1 0d3b9c2e-8b7e-4b7a-9a54-1c2d3e4f5a6b",
	} {
		for v := range strings.FieldsSeq(values) {
			x := &target.Exchange{Header: http.Header{"Set-Cookie": {"lang=en; Path=/", "prefs=" + v + "; Path=/; HttpOnly"}}}
			name, got, _ := stateCookie(x)
			if got != what || (name != "") != (what != "") {
				t.Errorf("%s: taken for %q, want %q", v, got, what)
			}
		}
	}
}
