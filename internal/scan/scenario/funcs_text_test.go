package scenario

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRewrite(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	for _, c := range []struct{ text, coding, want string }{
		{"member-17", "plain", "member-204"},
		{b64([]byte(`{"id":17,"n":170}`)), "base64", b64([]byte(`{"id":204,"n":170}`))},
		{strings.TrimRight(b64([]byte("id=17")), "="), "base64", strings.TrimRight(b64([]byte("id=204")), "=")},
		{b64([]byte("17:x")) + "--0a1b2c", "base64", b64([]byte("204:x")) + "--0a1b2c"},
		{hex.EncodeToString([]byte("u 17")), "hex", hex.EncodeToString([]byte("u 204"))},
		{url.QueryEscape(`{"id":17}`), "url", url.QueryEscape(`{"id":204}`)},
	} {
		v, err := funcs["text.rewrite"](map[string]string{"text": c.text, "coding": c.coding, "from": "17", "to": "204"})
		if err != nil || v != c.want {
			t.Errorf("%s %s: %v, %v, want %s", c.coding, c.text, v, err, c.want)
		}
	}
	for _, c := range []struct{ text, coding, from string }{
		{"member-170", "plain", "17"}, {"member-17", "hex", "17"}, {"plain", "url", "plain"}, {"\x00\x01", "plain", "x"}, {"member-17", "plain", ""}, {"member-17", "rot13", "17"},
	} {
		if v, err := funcs["text.rewrite"](map[string]string{"text": c.text, "coding": c.coding, "from": c.from, "to": "1"}); err == nil {
			t.Errorf("%+v was rewritten to %v", c, v)
		}
	}
}

func TestPath(t *testing.T) {
	for address, want := range map[string]string{"/a/b.html": "a/b.html", "http://x.example:81/a%20b/c?d=1#e": "a%20b/c", "/": ""} {
		if v, err := funcs["text.path"](map[string]string{"address": address}); err != nil || v != want {
			t.Errorf("%s: %v, %v, want %s", address, v, err, want)
		}
	}
	for _, address := range []string{"", "a/b", "http://x.example", "http://[::1", "mailto:a@b"} {
		if v, err := funcs["text.path"](map[string]string{"address": address}); err == nil {
			t.Errorf("%q has the path %v", address, v)
		}
	}
}

func TestLDAPEscape(t *testing.T) {
	for _, c := range []struct{ text, at, other, want string }{
		{"ann", "first", "", `\61nn`}, {"ann", "first", "1", `\63nn`}, {"ann", "last", "", `an\6e`}, {"ann", "last", "1", `an\6c`}, {"*(", "last", "", `*\28`},
		{"a", "first", "", ""}, {"ann", "middle", "", ""}, {"née", "first", "", `\6eée`}, {"fiancé", "last", "", ""},
	} {
		v, err := funcs["ldap.escape"](map[string]string{"text": c.text, "at": c.at, "other": c.other})
		if c.want == "" != (err != nil) || err == nil && v != c.want {
			t.Errorf("%+v: %v, %v", c, v, err)
		}
	}
}

// What is decoded and encoded again, unchanged, is what it was.
func TestRewriteKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.StringMatching(`[a-z]{1,6}[=:][0-9]{1,4}( [a-z]{0,9})?`).Draw(t, "plain")
		coding := rapid.SampledFrom([]string{"url", "base64", "hex"}).Draw(t, "coding")
		text := encoded(base64.StdEncoding.EncodeToString([]byte(plain)), plain, coding)
		name, _, _ := strings.Cut(strings.ReplaceAll(plain, ":", "="), "=")
		v, err := funcs["text.rewrite"](map[string]string{"text": text, "coding": coding, "from": name, "to": name})
		if err != nil {
			t.Skip("nothing that stands alone") // url: nothing was escaped
		}
		again, ok := Decoded(Plain(v), coding)
		if !ok || again != plain {
			t.Fatalf("%q became %q", plain, again)
		}
	})
}

// How long a text becomes is bounded, however the number is written.
func TestRepeat(t *testing.T) {
	for _, c := range []struct {
		text, times string
		want        int // -1: refused
	}{
		{"ab", "3", 6}, {"ab", "0", 0}, {"", "9", 0}, {"a", "16777216", 16 << 20},
		{"a", "16777217", -1}, {"ab", "-1", -1}, {"ab", "three", -1}, {"abcd", "4611686018427387904", -1},
	} {
		v, err := funcs["text.repeat"](map[string]string{"text": c.text, "times": c.times})
		if text, _ := v.(string); (err != nil) != (c.want < 0) || err == nil && len(text) != c.want {
			t.Errorf("%q %s times: %d characters, %v; want %d", c.text, c.times, len(text), err, c.want)
		}
	}
}
