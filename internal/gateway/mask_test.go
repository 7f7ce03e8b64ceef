package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

func TestMasks(t *testing.T) {
	m, err := newMasks("a-key-of-the-tests")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o        exchange.Obligations
		in, want string
	}{
		"null":           {exchange.Obligations{Masks: []exchange.Mask{{At: "/a", Kind: "null"}}}, `{"a":"x","b":1}`, `{"a":null,"b":1}`},
		"fixed":          {exchange.Obligations{Masks: []exchange.Mask{{At: "/*/a", Kind: "fixed", Text: `"-"`}}}, `[{"a":"x"},{"a":null},{"a":5}]`, `[{"a":"-"},{"a":null},{"a":"-"}]`},
		"last4":          {exchange.Obligations{Masks: []exchange.Mask{{At: "/*", Kind: "last4"}}}, `["DE1234567890","1234567",4111111111111111,true,"ääääöööö",null]`, `["****7890","****","****1111",null,"****öööö",null]`},
		"all within":     {exchange.Obligations{Masks: []exchange.Mask{{At: "/a", Kind: "null"}}}, `{"a":{"b":[1,"x"]}}`, `{"a":{"b":[null,null]}}`},
		"unknown":        {exchange.Obligations{Masks: []exchange.Mask{{At: "/a", Kind: "stars"}}}, `{"a":"x"}`, `{"a":null}`},
		"two of a value": {exchange.Obligations{Mask: []string{"/a"}, Masks: []exchange.Mask{{At: "/a", Kind: "last4"}}}, `{"a":"123456789"}`, `{"a":"****6789"}`},
		"strip wins":     {exchange.Obligations{Strip: []string{"/a"}, Masks: []exchange.Mask{{At: "/a", Kind: "last4"}}}, `{"a":"123456789"}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := m.filters(&c.o)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := rewrite.Bytes([]byte(c.in), rewrite.Options{Filters: list})
			if err != nil || string(out) != c.want {
				t.Errorf("%s, %v; want %s", out, err, c.want)
			}
		})
	}
	if _, err := m.filters(&exchange.Obligations{Masks: []exchange.Mask{{At: "a", Kind: "null"}}}); err == nil {
		t.Error("a mask that is nowhere was taken")
	}
}

// The same value has the same hash under one key, another under another, and a
// number the same as its text, so that rows can be joined.
func TestHashMask(t *testing.T) {
	hashed := func(key, in string) string {
		m, err := newMasks(key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := m.filters(&exchange.Obligations{Masks: []exchange.Mask{{At: "/*", Kind: exchange.MaskHash}}})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := rewrite.Bytes([]byte(in), rewrite.Options{Filters: list})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(string(out), "[]")
	}
	a := hashed("one key", `["12"]`)
	if a == hashed("another", `["12"]`) || a == hashed("one key", `["13"]`) || strings.Contains(a, "12\"") {
		t.Errorf("%s is not a keyed hash", a)
	}
	if a != hashed("one key", `[12]`) || a != hashed("one key", `["12"]`) {
		t.Error("the same value has two hashes")
	}
	first, second := hashed("", `["12"]`), hashed("", `["12"]`)
	if first == second {
		t.Error("without a key two gateways have the same one")
	}
	if got := hashed("one key", `[true]`); got != "null" {
		t.Errorf("a boolean is hashed: %s", got)
	}
}

// The signature is what docs/upstream-signature.md says, and is of one request,
// one header and one value.
func TestSignFilter(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte("id\nx-rows\nowner = 7"))
	want := hex.EncodeToString(mac.Sum(nil))
	if got := signFilter("key", "id", "X-Rows", "owner = 7"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, other := range []string{signFilter("key", "id", "X-Rows", "1=1"), signFilter("key", "other", "X-Rows", "owner = 7"), signFilter("key", "id", "X-Row", "owner = 7"), signFilter("yek", "id", "X-Rows", "owner = 7")} {
		if other == want {
			t.Error("something else has the same signature")
		}
	}
}
