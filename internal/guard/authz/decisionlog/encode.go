package decisionlog

import (
	"encoding/json"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// Entry is one decision as the guard hands it over. Its values are never
// changed after.
type Entry struct {
	ID        string // of the request
	API       string
	Operation string
	Client    netip.Addr
	Time      time.Time // that the evaluation went by
	Path      string    // of the rule, as in Event
	Input     ast.Value
	Result    ast.Value // nil when there is none
	ND        builtins.NDBCache
	Took      time.Duration // of the policy; 0 when it was not asked
	Allowed   bool
	Code      string
	Error     string
	// WithoutBody: see Crenel.
	WithoutBody bool
	Policy      *Policy // nil: the document's own alone
	// Size is about how many bytes the entry holds on to.
	Size int
	// Obligations are nil when the result put none on the call.
	Obligations *exchange.Obligations
	Reads       *authz.Reads
}

// encoder writes events as JSON without building them first.
type encoder struct {
	b       []byte
	inexact bool // a text was not UTF-8
}

// event appends an entry as one line.
func (c *encoder) event(e *Entry, labels map[string]string, number uint64) {
	c.inexact = false
	c.raw(`{"labels":`)
	c.labels(labels)
	c.raw(`,"decision_id":`)
	c.text(e.ID)
	if p := e.Policy; p != nil && len(p.Bundles) > 0 {
		c.raw(`,"bundles":{`)
		for i, name := range sortedKeys(p.Bundles) {
			c.comma(i)
			c.text(name)
			c.raw(`:{"revision":`)
			c.text(p.Bundles[name])
			c.raw(`}`)
		}
		c.raw(`}`)
	}
	c.member(`,"path":`, e.Path)
	if e.Input != nil {
		c.raw(`,"input":`)
		c.value(e.Input)
	}
	if e.Result != nil {
		c.raw(`,"result":`)
		c.value(e.Result)
	}
	if e.Obligations != nil {
		if b, err := json.Marshal(e.Obligations); err == nil {
			c.raw(`,"mapped_result":`)
			c.b = append(c.b, b...)
		}
	}
	if len(e.ND) > 0 {
		c.raw(`,"nd_builtin_cache":`)
		c.calls(e.ND)
	}
	if e.Error != "" {
		c.raw(`,"error":{"code":`)
		c.text(e.Code)
		c.raw(`,"message":`)
		c.text(e.Error)
		c.raw(`}`)
	}
	if e.Client.IsValid() {
		c.raw(`,"requested_by":"`)
		c.b = e.Client.AppendTo(c.b)
		c.raw(`"`)
	}
	c.raw(`,"timestamp":"`)
	c.b = e.Time.UTC().AppendFormat(c.b, time.RFC3339Nano)
	c.raw(`"`)
	if e.Took > 0 {
		c.raw(`,"metrics":{"timer_rego_query_eval_ns":`)
		c.b = strconv.AppendInt(c.b, e.Took.Nanoseconds(), 10)
		c.raw(`}`)
	}
	c.raw(`,"req_id":`)
	c.b = strconv.AppendUint(c.b, number, 10)
	c.about(e)
	c.raw("}\n")
}

func (c *encoder) about(e *Entry) {
	c.raw(`,"custom":{"crenel":{"api":`)
	c.text(e.API)
	c.member(`,"operation":`, e.Operation)
	c.raw(`,"allowed":`)
	c.b = strconv.AppendBool(c.b, e.Allowed)
	c.member(`,"code":`, e.Code)
	if e.Policy != nil {
		policy, data := e.Policy.identity()
		c.member(`,"policy":`, policy)
		c.member(`,"data_revision":`, data)
	}
	if e.WithoutBody {
		c.raw(`,"without_body":true`)
	}
	if e.Reads != nil && len(e.Reads.List) > 0 {
		c.reads(e.Reads.List)
	}
	if c.inexact || e.Reads != nil && e.Reads.Partial {
		c.raw(`,"inexact":true`)
	}
	c.raw(`}}`)
}

func (c *encoder) reads(list []authz.Read) {
	c.raw(`,"reads":[`)
	for i := range list {
		c.comma(i)
		c.raw(`{"path":[`)
		for j, step := range list[i].Path {
			c.comma(j)
			c.text(step)
		}
		c.raw(`]`)
		if list[i].Value != nil {
			c.raw(`,"value":`)
			c.value(list[i].Value)
		}
		c.raw(`}`)
	}
	c.raw(`]`)
}

func (c *encoder) labels(m map[string]string) {
	c.raw(`{`)
	for i, k := range sortedKeys(m) {
		c.comma(i)
		c.text(k)
		c.raw(`:`)
		c.text(m[k])
	}
	c.raw(`}`)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *encoder) calls(nd builtins.NDBCache) {
	c.raw(`{`)
	names := make([]string, 0, len(nd))
	for name := range nd {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		c.comma(i)
		c.text(name)
		c.raw(`:`)
		c.value(nd[name])
	}
	c.raw(`}`)
}

func (c *encoder) raw(s string) { c.b = append(c.b, s...) }

func (c *encoder) comma(i int) {
	if i > 0 {
		c.b = append(c.b, ',')
	}
}

func (c *encoder) member(key, s string) {
	if s != "" {
		c.raw(key)
		c.text(s)
	}
}

// value appends OPA's value as OPA writes it: sets become arrays, keys that are
// not strings become the text of their JSON.
func (c *encoder) value(v ast.Value) {
	switch v := v.(type) {
	case ast.Null:
		c.raw("null")
	case ast.Boolean:
		c.b = strconv.AppendBool(c.b, bool(v))
	case ast.Number:
		c.number(v)
	case ast.String:
		c.text(string(v))
	case *ast.Array:
		c.raw("[")
		for i := range v.Len() {
			c.comma(i)
			c.value(v.Elem(i).Value)
		}
		c.raw("]")
	case ast.Set:
		c.raw("[")
		for i, t := range v.Slice() {
			c.comma(i)
			c.value(t.Value)
		}
		c.raw("]")
	case ast.Object:
		c.raw("{")
		i := 0
		v.Foreach(func(k, t *ast.Term) {
			c.comma(i)
			i++
			c.key(k.Value)
			c.raw(":")
			c.value(t.Value)
		})
		c.raw("}")
	default:
		// Nothing else is ever an input or a result.
		c.inexact = true
		c.raw("null")
	}
}

func (c *encoder) key(v ast.Value) {
	if s, ok := v.(ast.String); ok {
		c.text(string(s))
		return
	}
	inner := encoder{}
	inner.value(v)
	c.inexact = c.inexact || inner.inexact
	c.text(string(inner.b))
}

// number appends a number's own text. Infinities, which arithmetic on huge
// numbers can come to, have no JSON.
func (c *encoder) number(n ast.Number) {
	if f, ok := n.Float64(); ok && (math.IsInf(f, 0) || math.IsNaN(f)) && !plainNumber(string(n)) {
		c.inexact = true
		c.raw("null")
		return
	}
	c.raw(string(n))
}

func plainNumber(s string) bool {
	for i := range len(s) {
		if ch := s[i]; (ch < '0' || ch > '9') && ch != '-' && ch != '+' && ch != '.' && ch != 'e' && ch != 'E' {
			return false
		}
	}
	return s != ""
}

const hexDigits = "0123456789abcdef"

// text appends a JSON string (RFC 8259). What is not UTF-8 becomes U+FFFD, and
// the event says that it is inexact.
func (c *encoder) text(s string) {
	c.b = append(c.b, '"')
	from := 0
	for i := 0; i < len(s); {
		ch := s[i]
		if ch >= 0x20 && ch != '"' && ch != '\\' && ch < utf8.RuneSelf {
			i++
			continue
		}
		if ch >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			c.b = append(append(c.b, s[from:i]...), "\ufffd"...)
			c.inexact = true
			i++
			from = i
			continue
		}
		c.b = append(c.b, s[from:i]...)
		switch ch {
		case '"', '\\':
			c.b = append(c.b, '\\', ch)
		case '\n':
			c.b = append(c.b, '\\', 'n')
		case '\r':
			c.b = append(c.b, '\\', 'r')
		case '\t':
			c.b = append(c.b, '\\', 't')
		default:
			c.b = append(c.b, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&0xf])
		}
		i++
		from = i
	}
	c.b = append(append(c.b, s[from:]...), '"')
}
