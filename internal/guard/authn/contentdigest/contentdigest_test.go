package contentdigest

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The examples of RFC 9530 (sections 2 and 3, appendix B) and of RFC 9421 appendix B.2.
func TestRFC9530(t *testing.T) {
	for _, c := range []struct{ field, content string }{
		{"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", "{\"hello\": \"world\"}\n"},
		{"sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:", "{\"hello\": \"world\"}\n"},
		{"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", ""},
		{"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "world"}`},
		{"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:", `{"hello": "world"}`},
		{"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:", `{"hello": "world"}`},
		{"md5=:Sd/dVLAcvNLSq16eXua5uQ==:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", `{"hello": "world"}`},
	} {
		check, err := New([]string{c.field})
		if err != nil {
			t.Errorf("%s: %v", c.field, err)
			continue
		}
		if _, err := check.Write([]byte(c.content)); err != nil {
			t.Fatal(err)
		}
		if err := check.End(); err != nil {
			t.Errorf("%s: %v", c.field, err)
		}
		if _, err := check.Write([]byte{'x'}); err != nil {
			t.Fatal(err)
		}
		if err := check.End(); err == nil {
			t.Errorf("%s: a byte more is taken", c.field)
		}
	}
}

func TestRefuses(t *testing.T) {
	const good = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
	for name, lines := range map[string][]string{
		"nothing":                {},
		"empty":                  {""},
		"only what is broken":    {"md5=:Sd/dVLAcvNLSq16eXua5uQ==:"},
		"only an unknown one":    {"sha-3=:YQ==:"},
		"one twice":              {good + ", " + good},
		"one twice in two lines": {good, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
		"too short":              {"sha-256=:YQ==:"},
		"of the other's length":  {"sha-512=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"},
		"text":                   {`sha-256="X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="`},
		"a list":                 {"sha-256=(:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:)"},
		"the old Digest":         {"SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="},
		"in capitals":            {"SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"},
		"base64url":              {"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE_:"},
		"huge":                   {good + ", x=:" + strings.Repeat("YWFh", 2000) + ":"},
	} {
		if _, err := New(lines); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	both, err := New([]string{good + ", sha-512=:" + base64.StdEncoding.EncodeToString(make([]byte, 64)) + ":"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = both.Write([]byte(`{"hello": "world"}`))
	if both.End() == nil {
		t.Error("one of two that does not hold is taken")
	}
}

// Content in any pieces has one digest, and no other content has it.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		sum := sha256.Sum256(content)
		c, err := New([]string{"sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"})
		if err != nil {
			t.Fatal(err)
		}
		rest := content
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			_, _ = c.Write(rest[:n])
			if rest = rest[n:]; len(rest) > 0 && c.End() == nil {
				t.Fatal("a part of the content is taken for the whole")
			}
		}
		if err := c.End(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzNew(f *testing.F) {
	f.Add("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:")
	f.Add("sha-256=:YQ==:, md5=:YQ==:")
	f.Fuzz(func(t *testing.T, field string) {
		c, err := New([]string{field})
		if err == nil && c.End() == nil && !strings.Contains(field, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF") && !strings.Contains(field, "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaP") {
			t.Fatalf("%q is taken for the digest of nothing", field)
		}
	})
}
