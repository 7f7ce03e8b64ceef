package scenario

import (
	"encoding/json"
	"html"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Alike reports whether two answers say the same: the same status, and the same
// body once everything that varies from call to call is taken out (times,
// random ids, and the texts in vary: ids and canaries that the two differ in).
func Alike(a, b *target.Exchange, vary ...string) bool {
	if a == nil || b == nil || a.Status != b.Status {
		return a == b
	}
	return essence(a, vary...) == essence(b, vary...)
}

var (
	reUUID  = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	reTime  = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*, \d+ \w+ \d{4} [\d:]+ \w+`)
	reHex   = regexp.MustCompile(`(?i)\b[0-9a-f]{16,}\b`)
	reToken = regexp.MustCompile(`[A-Za-z0-9_-]{24,}(?:\.[A-Za-z0-9_-]+)*`)
	reTrace = regexp.MustCompile(`0x[0-9a-f]+|\b(?:goroutine|thread|pid|port)[ =:#-]*\d+`) // of stack traces
	reEpoch = regexp.MustCompile(`\b1[5-9]\d{8}(?:\d{3}|\.\d+)?\b`)
)

// essence is what an answer's body says, without what varies from call to call.
func essence(x *target.Exchange, vary ...string) string {
	text := string(x.Body)
	for _, v := range vary {
		if v == "" {
			continue
		}
		for _, spelt := range spellings(x, v) {
			text = strings.ReplaceAll(text, spelt, "·")
		}
	}
	text = reUUID.ReplaceAllString(text, "‹uuid›")
	text = reTime.ReplaceAllString(text, "‹time›")
	text = reTrace.ReplaceAllString(text, "‹trace›")
	text = reHex.ReplaceAllString(text, "‹hex›")
	text = reToken.ReplaceAllString(text, "‹token›")
	return reEpoch.ReplaceAllString(text, "‹time›")
}

// spellings are how an answer may repeat a text of its request, the longest
// first: as it is, inside a JSON text, as a page has it, as an address has it, and
// within the whole of the address that was asked for.
func spellings(x *target.Exchange, v string) []string {
	out := []string{v}
	if strings.Trim(v, plainLetters) == "" {
		return out
	}
	add := func(s string) {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	in, err := json.Marshal(v) // < > & as \u003c and so on
	if err == nil {
		add(string(in[1 : len(in)-1]))
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) == nil {
		add(strings.Trim(b.String(), "\"\n"))
	}
	add(html.EscapeString(v))
	add(url.QueryEscape(v))
	add(url.PathEscape(v))
	add(strings.ReplaceAll(url.QueryEscape(v), "+", "%20"))
	if q := x.Request; q != nil {
		for _, whole := range []string{q.Query, q.Path} {
			if plain, err := url.QueryUnescape(strings.ReplaceAll(whole, "+", "%2B")); len(whole) > len(v) && (strings.Contains(whole, v) || err == nil && strings.Contains(plain, v)) {
				add(whole)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// plainLetters are spelt one way everywhere.
const plainLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

// WithoutHosts takes the hosts that two requests named, and their first labels as
// words, out of both answers: what an answer repeats of the name that was asked for
// makes it no other.
func WithoutHosts(a, b *target.Exchange) (x, y *target.Exchange) {
	var words []string
	for _, e := range []*target.Exchange{a, b} {
		if e.Request == nil || e.Request.Host == "" {
			continue
		}
		words = append(words, regexp.QuoteMeta(e.Request.Host))
		if label, _, more := strings.Cut(e.Request.Host, "."); more && label != "" {
			words = append(words, regexp.QuoteMeta(label))
		}
	}
	if words == nil {
		return a, b
	}
	re := regexp.MustCompile(`(?i)\b(?:` + strings.Join(words, "|") + `)\b`)
	without := func(e *target.Exchange) *target.Exchange {
		c := *e
		c.Body = re.ReplaceAll(e.Body, []byte("·"))
		return &c
	}
	return without(a), without(b)
}

// Form is the form of an answer's JSON: its members and their types, lists by
// the form of their first element. "" when it is no JSON.
func Form(body []byte) string {
	v, ok := Decode(body)
	if !ok {
		return ""
	}
	var b strings.Builder
	form(&b, v, 0)
	return b.String()
}

func form(b *strings.Builder, v any, depth int) {
	if depth > maxWalk {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for _, k := range sortedKeys(v) {
			b.WriteString(k)
			b.WriteByte(':')
			form(b, v[k], depth+1)
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		if len(v) > 0 {
			form(b, v[0], depth+1)
		}
		b.WriteByte(']')
	case string:
		b.WriteByte('s')
	case json.Number:
		b.WriteByte('n')
	case bool:
		b.WriteByte('b')
	default:
		b.WriteByte('0')
	}
}

// Likeness says how much two texts share, 0 to 1: the share of words (runs of
// letters and digits) that both hold. Two empty texts are alike.
func Likeness(a, b string) float64 {
	split := func(s string) map[string]int {
		m := map[string]int{}
		for _, w := range strings.FieldsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > 127)
		}) {
			m[w]++
		}
		return m
	}
	x, y := split(a), split(b)
	both, all := 0, 0
	for w, n := range x {
		both += min(n, y[w])
		all += max(n, y[w])
	}
	for w, n := range y {
		if x[w] == 0 {
			all += n
		}
	}
	if all == 0 {
		return 1
	}
	return math.Round(float64(both)/float64(all)*1000) / 1000
}
