package world

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// A fresh value is a JSON text with ${canary}, ${number} or ${uuid} in it, which
// is different in each object and each run: for what must be unique, and for
// what must be found again. The shapes are those of scenario's placeholders, so
// that what the world sends and what a scenario sends fit the same constraints.

// mint makes the tokens of one value.
type mint struct {
	run string
	n   uint64
}

func (m *mint) sum() [32]byte {
	m.n++
	return sha256.Sum256([]byte(m.run + "\x00world\x00" + strconv.FormatUint(m.n, 10)))
}

// fill replaces the placeholders of a fresh value, and returns the token that
// can be looked for: "" when there is none.
func (m *mint) fill(fresh string) (text, token string) {
	h := m.sum()
	canary := "cr" + m.run + hex.EncodeToString(h[:5])
	n := uint64(0)
	for _, b := range h[8:15] {
		n = n<<8 | uint64(b)
	}
	number := strconv.FormatUint(100_000_000+n%900_000_000, 10)
	text = filled(fresh, canary, number, uuidOf(h))
	switch {
	case strings.Contains(fresh, "${canary|upper}"):
		token = strings.ToUpper(canary)
	case strings.Contains(fresh, "${canary}"):
		token = canary
	}
	return text, token
}

func filled(fresh, canary, number, uuid string) string {
	return strings.NewReplacer("${canary}", canary, "${canary|upper}", strings.ToUpper(canary), "${number}", number, "${uuid}", uuid).Replace(fresh)
}

func uuidOf(h [32]byte) string {
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	x := hex.EncodeToString(h[:16])
	return fmt.Sprintf("%s-%s-%s-%s-%s", x[:8], x[8:12], x[12:16], x[16:20], x[20:])
}

// sample is what a text becomes with the hardest that its placeholders may stand for.
func (m *mint) sample(fresh string) string {
	return filled(fresh, "cr"+m.run+"0a1b2c3d4e", "123456789", "3f1c2b4a-5d6e-4f70-8a9b-0c1d2e3f4a5b")
}

// fits reports whether what a fresh value becomes is valid. A nil schema takes anything.
func (m *mint) fits(fresh string, s *schema.Schema) bool {
	return validText(m.sample(fresh), s)
}

// validText reports whether a JSON text is valid where a schema stands.
func validText(text string, s *schema.Schema) bool {
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil {
		return false
	}
	return s == nil || s.Valid(v, &schema.Options{Direction: schema.Request})
}

// quoted is a text as JSON.
func quoted(s string) string { return string(value.AppendString(nil, s)) }

// scalarText is what a JSON scalar's text says: without quotes.
func scalarText(text string) string {
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil || v.Kind == value.Array || v.Kind == value.Object {
		return text
	}
	return v.Text
}
