package world

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// spot is a place in a call that wants a value.
type spot struct {
	where    string
	name     string
	schema   *schema.Schema // nil: anything
	example  *value.Value
	in       *graph.Input // nil: the description does not know it
	kind     string       // "path", "query", "header", "cookie", "body"
	required bool
	exact    bool // the example is what is wanted
}

func (s *spot) typ() string {
	if s.in != nil && s.in.Type != "" {
		return s.in.Type
	}
	if s.schema != nil {
		return s.schema.Type()
	}
	return ""
}

func (s *spot) meaning() graph.Meaning {
	if s.in != nil {
		return s.in.Meaning
	}
	return graph.MeansUndefined
}

func (s *spot) enum() []*value.Value {
	if s.schema == nil {
		return nil
	}
	return s.schema.Enum()
}

// examples lists what the description shows for a spot.
func (s *spot) examples() []string {
	var out []string
	add := func(v *value.Value) {
		if v == nil || v.Kind == value.Null {
			return
		}
		out = append(out, string(value.Append(nil, v)))
	}
	add(s.example)
	if s.schema != nil {
		for _, v := range s.schema.Examples() {
			add(v)
		}
		add(s.schema.Default())
		if s.schema.Type() == "string" {
			for _, text := range told(s.schema.Description()) {
				out = append(out, quoted(text))
			}
		}
	}
	return out
}

var reTold = regexp.MustCompile("(?i)(?:\\be\\.\\s?g\\.|\\bfor example|\\bfor instance|\\bexamples?\\b|\\bsuch as)[:,]?\\s*(?:\"([^\"\\n]{1,80})\"|“([^”\\n]{1,80})”|`([^`\\n]{1,80})`|'([^'\\n]{1,80})')")

// told are the examples that a description gives in its text: (e.g. "example.com.").
func told(description string) []string {
	var out []string
	for _, m := range reTold.FindAllStringSubmatch(description, 3) {
		out = append(out, cmp.Or(m[1], m[2], m[3], m[4]))
	}
	return out
}

// leaf chooses a spot's value and puts it into the call; false when there is none.
func (m *maker) leaf(s *spot) bool {
	c := m.c
	if pointer, ok := strings.CutPrefix(s.where, "body."); ok && s.example == nil && m.example != nil {
		s.example = m.example.At(strings.ReplaceAll(pointer, "/*", "/0"))
	}
	put := func(text string) bool {
		c.Values[s.where] = text
		return true
	}
	if text := m.plan.over[s.where]; text != "" {
		return put(text)
	}
	if o, text := m.lockOf(s); text != "" {
		c.Uses[s.where] = o
		return put(text)
	}
	if text := m.known(s); text != "" && validText(text, s.schema) {
		return put(text)
	}
	t := m.taught.of(s.place())
	if t == nil {
		t = m.w.shared[sharedKey(s)]
		if t != nil && (t.text != "" && !validText(t.text, s.schema) || t.fresh != "" && !m.w.mint.fits(t.fresh, s.schema)) {
			t = nil
		}
	}
	if t != nil && t.by != nil {
		if text := m.another(s, t.by); text != "" {
			return put(text)
		}
	}
	if t != nil && t.fresh != "" {
		m.w.putFresh(c, s.where, t.fresh)
		return true
	}
	if t != nil && t.text != "" {
		return put(t.text)
	}
	if ch, ok := m.ids[s.place()]; ok && ch.text != "" {
		if ch.object != nil {
			c.Uses[s.where] = ch.object
		}
		return put(ch.text)
	}
	ok := func(text string) bool {
		return text != "" && validText(text, s.schema) && (t == nil || t.allows(text)) && !m.tooLong(s, text)
	}
	if m.now != nil && s.kind == "body" {
		if text := m.now[strings.TrimPrefix(s.where, "body.")]; ok(text) {
			return put(text)
		}
	}
	if s.kind == "body" && s.typ() == "boolean" {
		if text := m.switches[strings.TrimPrefix(s.where, "body.")]; ok(text) {
			return put(text)
		}
	}
	if text := m.personal(s); ok(text) {
		return put(text)
	}
	if text := m.givenBack(s); ok(text) {
		return put(text)
	}
	if list := m.documents(s); len(list) > 0 {
		n := 0
		if t != nil {
			n = t.next % len(list)
		}
		if ok(list[n]) {
			return put(list[n])
		}
	}
	if list := s.enum(); len(list) > 0 {
		for i := range list {
			n := i
			if t != nil {
				n = (i + t.next) % len(list)
			}
			if text := string(value.Append(nil, list[n])); list[n].Kind != value.Null && ok(text) {
				return put(text)
			}
		}
	}
	if fresh := m.canary(s); fresh != "" && (t == nil || t.next == 0) && !s.exact && (!m.plan.sober || s.freeText() && s.meaning() == graph.MeansText) {
		m.w.putFresh(c, s.where, fresh)
		return true
	}
	var list []string
	if fresh := m.unique(s); fresh != "" && (t == nil || t.next == 0) {
		m.w.putFresh(c, s.where, fresh)
		return true
	}
	list = append(list, s.examples()...)
	named := s.kind == "path" && s.in != nil && m.w.makeable(m.w.resourceOf(s.in))
	if !named { // a made-up identifier would only be told that there is no such thing
		list = append(list, m.plain(s)...)
	}
	if t != nil {
		list = append(append([]string(nil), t.tryFirst...), list...)
	}
	fit := slices.DeleteFunc(list, func(text string) bool { return !ok(text) })
	fit = slices.CompactFunc(fit, func(a, b string) bool { return a == b })
	if len(fit) > 0 {
		n := 0
		if t != nil {
			n = t.next % len(fit)
		}
		return put(fit[n])
	}
	if named {
		return false
	}
	if s.schema != nil && !s.schema.Anything() {
		for range 5 {
			v, err := m.w.drawn(s.schema, generate.Options{Direction: schema.Request, Strict: true, Optional: -1})
			if err != nil {
				break
			}
			if text := string(value.Append(nil, &v)); t == nil || t.allows(text) {
				return put(text)
			}
		}
	}
	if !s.required {
		return false
	}
	if s.kind == "path" && (s.meaning() == graph.MeansID || s.in != nil && m.w.resourceOf(s.in) != nil) {
		return false
	}
	switch s.typ() {
	case "integer", "number":
		return put("1")
	case "boolean":
		return put("true")
	case "object":
		return put("{}")
	case "array":
		return put("[]")
	}
	return put(`"text"`)
}

// drawn makes a value at random. A schema for which none was found is not asked
// again: looking costs more than anything else here.
func (w *World) drawn(s *schema.Schema, o generate.Options) (value.Value, error) {
	if w.hopeless[s] {
		return value.Value{}, generate.ErrNoValue
	}
	v, err := generate.Value(s, w.rng, o)
	if err != nil {
		w.hopeless[s] = true
	}
	return v, err
}

// makeable reports whether objects of a resource can be made or found.
func (w *World) makeable(r *graph.Resource) bool {
	return r != nil && (len(r.Of(graph.Create)) > 0 || len(r.Of(graph.List)) > 0)
}

// place is where what is taught of a spot is kept: lists' elements are alike.
func (s *spot) place() string {
	if pointer, ok := strings.CutPrefix(s.where, "body."); ok {
		return "body." + pattern(pointer)
	}
	return s.where
}

func sharedKey(s *spot) string { return s.typ() + " " + squeezed(s.name) }

func (m *maker) tooLong(s *spot, text string) bool {
	return s.kind == "path" && len(text) > 300
}

// known is who an account is, where somebody logs in to it or gets back into it: an
// answer that there is no such account says nothing of how one is called.
func (m *maker) known(s *spot) string {
	if !m.op.Has(graph.Login) && !m.op.Has(graph.PasswordForgot) && !m.op.Has(graph.PasswordReset) || m.op.Has(graph.Register) {
		return ""
	}
	if squeezed(s.name) == "granttype" && m.op.Has(graph.Login) {
		return quoted("password") // RFC 6749, section 4.3.2
	}
	switch s.meaning() {
	case graph.MeansEmail, graph.MeansUsername, graph.MeansPhone:
		return m.personal(s)
	}
	return ""
}

// personal is what an actor knows of itself.
func (m *maker) personal(s *spot) string {
	words := wordsOf(s.name)
	register := m.op.Has(graph.Register)
	if m.as == nil && m.w.self == nil {
		return ""
	}
	a := m.as
	if a == nil {
		a = m.w.self
	}
	fact := func(names ...string) string {
		for _, n := range names {
			if v := a.Facts[n]; v != "" {
				return quoted(v)
			}
		}
		return ""
	}
	if s.meaning() == graph.MeansToken && m.op.Has(graph.Refresh) && m.as != nil && m.as.Session != nil {
		return quoted(m.as.Session.Refresh)
	}
	auth := m.op.Has(graph.Login) || m.op.Has(graph.PasswordChange) || m.op.Has(graph.PasswordForgot) || m.op.Has(graph.PasswordReset) && s.meaning() != graph.MeansPassword
	switch {
	case register:
		return ""
	case m.op.Has(graph.PasswordChange) && has(words, "new", "next", "confirm", "confirmation", "repeat", "again"):
		return quoted("Cr3nel-New!" + m.w.o.Run)
	case s.meaning() == graph.MeansPassword && (auth || has(words, "current", "old", "existing")):
		return fact("password")
	case s.meaning() == graph.MeansEmail && auth:
		return fact("email", "username")
	case s.meaning() == graph.MeansUsername && auth:
		return fact("username", "email", "phone")
	case s.meaning() == graph.MeansPhone && auth:
		return fact("phone")
	case s.meaning() == graph.MeansPassword && m.as != nil && !m.op.Reads() && m.op.Kind != graph.Create:
		return fact("password") // whatever sets one: the account's stays as it is
	}
	return ""
}

// codes are words of names whose text is no free text.
var codes = []string{
	"country", "currency", "language", "lang", "locale", "timezone", "tz", "zone", "color", "colour", "type", "kind", "category", "gender", "sex", "status", "state", "code", "zip", "postcode", "postal", "iban", "bic", "swift", "card", "cvv", "cvc",
	"number", "phone", "mobile", "tel", "fax", "sort", "order", "unit", "units", "method", "mode", "plan", "role", "level", "priority", "format", "version", "mime", "lat", "lng", "lon", "latitude", "longitude", "isbn", "ean", "sku", "vin", "ssn", "pin", "otp",
	"token", "password", "key", "hash", "signature", "date", "time", "day", "month", "year", "from", "to", "start", "end", "id", "ids", "uuid", "ip", "host", "hostname", "domain", "port", "mac", "size", "coupon", "voucher", "promo", "event", "events", "topic",
	"grant", "scope", "captcha", "expiry", "expires", "expiration", "algorithm", "encoding", "charset", "permission", "permissions", "template", "pattern", "filename", "file", "path", "action", "operation", "cron", "schedule", "duration", "interval", "model", "engine", "provider", "region", "severity", "visibility",
}

// freeText reports whether a spot takes any words that a person may write.
func (s *spot) freeText() bool {
	if t := s.typ(); t != "string" && t != "" || len(s.enum()) > 0 || s.kind != "body" {
		return false
	}
	if s.schema != nil && s.schema.Format() != "" && !slices.Contains([]string{"text", "string", "textarea", "markdown", "html", "name"}, s.schema.Format()) {
		return false
	}
	switch s.meaning() {
	case graph.MeansText, graph.MeansName:
		return true
	case graph.MeansUndefined:
	default:
		return false
	}
	words := wordsOf(s.name)
	if s.in != nil && (s.in.Object != nil || s.in.Class == spec.ClassSecret && !slices.Equal(words, []string{"secret"}) || s.in.Class == spec.ClassFinancial || s.in.Class == spec.ClassIdentifier) {
		return false
	}
	return len(words) > 0 && !has(words, codes...)
}

// canary is the fresh value that carries a canary in a spot, "" for none.
func (m *maker) canary(s *spot) string {
	if m.op.Method == http.MethodGet || m.op.Has(graph.Login) || s.kind != "body" {
		return ""
	}
	var shapes []string
	switch meaning := s.meaning(); {
	case s.freeText():
		shapes = []string{`"${canary}"`, `"Crenel ${canary}"`, `"${canary|upper}"`, `"C${canary}"`}
	case meaning == graph.MeansEmail && (m.op.Kind == graph.Create || m.op.Has(graph.Register)):
		shapes = []string{`"${canary}@example.com"`}
	case meaning == graph.MeansUsername && m.op.Kind == graph.Create:
		shapes = []string{`"${canary}"`, `"u${number}"`}
	case meaning == graph.MeansURL || meaning == graph.MeansCallback:
		if m.op.Has(graph.Webhook) || len(s.examples()) > 0 {
			return m.urlCanary(s)
		}
		shapes = []string{`"https://example.com/?c=${canary}"`, `"https://example.com/${canary}"`}
	}
	for _, shape := range shapes {
		if m.w.mint.fits(shape, s.schema) {
			return shape
		}
	}
	return ""
}

// urlCanary puts a canary into the query of the address that the description shows.
func (m *maker) urlCanary(s *spot) string {
	list := append(s.examples(), `"https://example.com/hook"`)
	for _, e := range list {
		text := strings.TrimSuffix(e, `"`)
		if !strings.HasPrefix(text, `"http`) || strings.ContainsAny(text, "?#{ ") {
			continue
		}
		if strings.Count(text, "/") < 3 {
			text += "/"
		}
		for _, shape := range []string{text + `?c=${canary}"`, strings.TrimSuffix(text, "/") + `/${canary}"`} {
			if m.w.mint.fits(shape, s.schema) {
				return shape
			}
		}
	}
	return ""
}

// unique is a fresh value for what must not be the same twice.
func (m *maker) unique(s *spot) string {
	words := wordsOf(s.name)
	var shapes []string
	switch {
	case s.kind == "header" && has(words, "idempotency") || s.kind == "header" && has(words, "request", "correlation") && has(words, "id"):
		shapes = []string{`"${uuid}"`, `"${canary}"`}
	case m.op.Kind != graph.Create && !m.op.Has(graph.Register), s.kind != "body":
		return ""
	case s.meaning() == graph.MeansPhone && m.op.Has(graph.Register):
		shapes = []string{`"+49${number}"`, `"9${number}"`, `"${number}"`, `9${number}`, `${number}`}
	case s.meaning() == graph.MeansID && s.in != nil && s.in.Required && s.in.Object != nil && m.op.About != nil && s.in.Object.Resource == m.op.About.Name:
		shapes = []string{`"${uuid}"`, `"${canary}"`, `"${number}"`, `${number}`} // the caller names the new object
	case has(words, "slug", "sku", "serial", "barcode", "handle", "alias") && s.typ() != "integer":
		shapes = []string{`"${canary}"`, `"${canary|upper}"`, `"${number}"`}
	}
	for _, shape := range shapes {
		if m.w.mint.fits(shape, s.schema) && (s.typ() != "string" || strings.HasPrefix(shape, `"`)) {
			return shape
		}
	}
	return ""
}
