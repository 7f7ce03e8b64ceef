package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// masks makes filters of what policies mask in answers.
type masks struct{ key []byte }

// newMasks takes the key of hashes; without one it makes one that lives as long
// as the gateway does.
func newMasks(key string) (masks, error) {
	if key != "" {
		return masks{[]byte(key)}, nil
	}
	m := masks{make([]byte, sha256.Size)}
	if _, err := rand.Read(m.key); err != nil {
		return masks{}, fmt.Errorf("making a key for masks: %w", err)
	}
	return m, nil
}

// filters are the obligations that change the answer as it passes.
func (m masks) filters(o *exchange.Obligations) ([]rewrite.Filter, error) {
	var out []rewrite.Filter
	add := func(drop, mask []string, replace func(value.Kind, string) []byte) error {
		if len(drop)+len(mask) == 0 {
			return nil
		}
		f, err := rewrite.Pointers(drop, mask, replace)
		if err == nil {
			out = append(out, f)
		}
		return err
	}
	// Those that say how come first: of two masks of one value the first holds.
	type way struct{ kind, text string }
	var order []way
	at := map[way][]string{}
	for _, k := range o.Masks {
		w := way{k.Kind, k.Text}
		if at[w] == nil {
			order = append(order, w)
		}
		at[w] = append(at[w], k.At)
	}
	for _, w := range order {
		if err := add(nil, at[w], m.replacement(w.kind, w.text)); err != nil {
			return nil, err
		}
	}
	err := add(o.Strip, o.Mask, nil)
	return out, err
}

var nullText = []byte("null")

// replacement is what stands in place of a scalar. A kind that is not known
// hides the value whole.
func (m masks) replacement(kind, text string) func(value.Kind, string) []byte {
	switch kind {
	case exchange.MaskFixed:
		fixed := []byte(text)
		return func(value.Kind, string) []byte { return fixed }
	case exchange.MaskLast4:
		return func(k value.Kind, s string) []byte {
			if k == value.Bool {
				return nullText
			}
			return value.AppendString(nil, last4(s))
		}
	case exchange.MaskHash:
		return func(k value.Kind, s string) []byte {
			if k == value.Bool {
				return nullText // of two values anybody could try both
			}
			mac := hmac.New(sha256.New, m.key)
			mac.Write([]byte(s))
			return value.AppendString(nil, "hmac:"+hex.EncodeToString(mac.Sum(nil)[:16]))
		}
	}
	return func(value.Kind, string) []byte { return nullText }
}

// last4 leaves the last four characters of a text that has eight or more.
func last4(s string) string {
	n := utf8.RuneCountInString(s)
	if n < 8 {
		return "****"
	}
	from := len(s)
	for range 4 {
		_, size := utf8.DecodeLastRuneInString(s[:from])
		from -= size
	}
	return strings.Repeat("*", 4) + s[from:]
}
