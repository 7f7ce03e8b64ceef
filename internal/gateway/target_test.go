package gateway

import (
	"net/url"
	"strings"
	"testing"
)

func TestNormalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/":               "/",
		"/a/b":            "/a/b",
		"/a/b/":           "/a/b/",
		"//a//b":          "/a/b",
		"/a/./b":          "/a/b",
		"/a/../b":         "/b",
		"/a/b/..":         "/a/",
		"/a/b/.":          "/a/b/",
		"/.well-known/x":  "/.well-known/x",
		"/a/...":          "/a/...",
		"/%61":            "/a",
		"/caf%c3%a9":      "/caf%C3%A9",
		"/a%20b":          "/a%20b",
		"/100%25":         "/100%25",
		"/a;v=1/b":        "/a;v=1/b",
		"/a%3Bb":          "/a%3Bb",
		"/a%7Eb":          "/a~b",
		"/users/{id}":     "/users/%7Bid%7D",
		"/a+b":            "/a+b",
		"/a%2Bb":          "/a+b",
		"":                "!",
		"*":               "!",
		"a":               "!",
		"/../a":           "!",
		"/a/../../b":      "!",
		"/a%2fb":          "!",
		"/a%2Fb":          "!",
		"/a%5cb":          "!",
		`/a\b`:            "!",
		"/%2e%2e/a":       "!",
		"/a/%2e/b":        "!",
		"/a/.%2e/b":       "!",
		"/a/..;/b":        "!",
		"/a/..;x=1/b":     "!",
		"/a/.;/b":         "!",
		"/a%00b":          "!",
		"/a%0d%0ab":       "!",
		"/a%7fb":          "!",
		"/%c0%ae%c0%ae/a": "!",
		"/%ff":            "!",
		"/a%252e%252e/b":  "!",
		"/a%252fb":        "!",
		"/a%25252fb":      "!",
		"/a%":             "!",
		"/a%zz":           "!",
		"/%u002e":         "!",
		"/a/%2e%2e;/b":    "!",
	} {
		got, dec, err := normalPath(in)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("normalPath(%q) = %q, want %q", in, got, want)
			continue
		}
		if err == nil {
			if again, _, err := normalPath(got); err != nil || again != got {
				t.Errorf("normalPath(%q) is not stable: %q then %q, %v", in, got, again, err)
			}
			if un, err := url.PathUnescape(got); err != nil || un != dec {
				t.Errorf("normalPath(%q): decoded %q does not match escaped %q", in, dec, got)
			}
		}
	}
}

func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/", "/a;b/%C3%A9", "//", "/..;/x", "/%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		esc, dec, err := normalPath(in)
		if err != nil {
			return
		}
		if strings.Contains(esc, "//") || strings.Contains(esc, "/../") || strings.Contains(esc, "/./") ||
			strings.HasSuffix(esc, "/..") || strings.HasSuffix(esc, "/.") || strings.ContainsAny(dec, "\\\x00\r\n") {
			t.Fatalf("%q became %q", in, esc)
		}
		again, dec2, err := normalPath(esc)
		if err != nil || again != esc || dec2 != dec {
			t.Fatalf("not stable: %q, then %q (%q), then %q, %v", in, esc, dec, again, err)
		}
	})
}

func TestNormalHost(t *testing.T) {
	for in, want := range map[string]string{
		"api.example.com":      "api.example.com",
		"API.Example.COM:8443": "api.example.com",
		"api.example.com.":     "api.example.com",
		"127.0.0.1:80":         "127.0.0.1",
		"[::1]:8443":           "[::1]",
		"[::1]":                "[::1]",
		"":                     "!",
		"a b":                  "!",
		"a@b":                  "!",
		"a/b":                  "!",
		"a:b":                  "!",
		"a:80:80":              "!",
		"[::1":                 "!",
		"a,b":                  "!",
		"a:123456":             "!",
	} {
		got, ok := normalHost(in)
		if !ok {
			got = "!"
		}
		if got != want {
			t.Errorf("normalHost(%q) = %q, want %q", in, got, want)
		}
	}
}
