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
	if pointer, ok := strings.CutPrefix(s.where, "body."); ok && s.example == nil && m.example != nil {
		s.example = m.example.At(strings.ReplaceAll(pointer, "/*", "/0"))
	}
	if m.given(s) {
		return true
	}
	t := m.lessonOf(s)
	if m.asTaught(s, t) || m.chosen(s) || m.kept(s, t) || m.minted(s, t) {
		return true
	}
	// A made-up identifier would only be told that there is no such thing.
	named := s.kind == "path" && s.in != nil && m.w.makeable(m.w.resourceOf(s.in))
	if m.listed(s, t, !named) {
		return true
	}
	if named {
		return false
	}
	return m.fromSchema(s, t) || s.required && m.anything(s)
}

func (m *maker) put(s *spot, text string) bool {
	m.c.Values[s.where] = text
	return true
}

// given: what the plan, a lock that an object carries, or the configuration says.
func (m *maker) given(s *spot) bool {
	if text := m.plan.over[s.where]; text != "" {
		return m.put(s, text)
	}
	if o, text := m.lockOf(s); text != "" {
		m.c.Uses[s.where] = o
		return m.put(s, text)
	}
	if text := m.known(s); text != "" && validText(text, s.schema) {
		return m.put(s, text)
	}
	return false
}

// lessonOf gives what refusals taught of an input, here or, where it fits, elsewhere; nil: nothing.
func (m *maker) lessonOf(s *spot) *lesson {
	if t := m.taught.of(s.place()); t != nil {
		return t
	}
	t := m.w.shared[sharedKey(s)]
	if t != nil && (t.text != "" && !validText(t.text, s.schema) || t.fresh != "" && !m.w.mint.fits(t.fresh, s.schema)) {
		return nil
	}
	return t
}

// asTaught: what a refusal asked for.
func (m *maker) asTaught(s *spot, t *lesson) bool {
	if t == nil {
		return false
	}
	if t.by != nil {
		if text := m.another(s, t.by); text != "" {
			return m.put(s, text)
		}
	}
	if t.fresh != "" {
		m.w.putFresh(m.c, s.where, t.fresh)
		return true
	}
	return t.text != "" && m.put(s, t.text)
}

// chosen: the identifier of an object.
func (m *maker) chosen(s *spot) bool {
	ch := m.ids[s.place()]
	if ch.text == "" {
		return false
	}
	if ch.object != nil {
		m.c.Uses[s.where] = ch.object
	}
	return m.put(s, ch.text)
}

// fits reports whether a value may be sent: by the schema, and by what refusals said.
func (m *maker) fits(s *spot, t *lesson, text string) bool {
	return text != "" && validText(text, s.schema) && (t == nil || t.allows(text)) && !m.tooLong(s, text)
}

// kept: what the object holds already, what is known of the actor, what an answer gave for it.
func (m *maker) kept(s *spot, t *lesson) bool {
	field := strings.TrimPrefix(s.where, "body.")
	var texts []string
	if s.kind == "body" {
		texts = append(texts, m.now[field])
		if s.typ() == "boolean" {
			texts = append(texts, m.switches[field])
		}
	}
	for _, text := range append(texts, m.personal(s), m.givenBack(s)) {
		if m.fits(s, t, text) {
			return m.put(s, text)
		}
	}
	return false
}

// minted: documents and enumerated values in turn, then values that are new and known again.
func (m *maker) minted(s *spot, t *lesson) bool {
	turn := 0
	if t != nil {
		turn = t.next
	}
	if list := m.documents(s); len(list) > 0 {
		if text := list[turn%len(list)]; m.fits(s, t, text) {
			return m.put(s, text)
		}
	}
	list := s.enum()
	for i := range list {
		v := list[(i+turn)%len(list)]
		if text := string(value.Append(nil, v)); v.Kind != value.Null && m.fits(s, t, text) {
			return m.put(s, text)
		}
	}
	if turn > 0 {
		return false
	}
	if fresh := m.canary(s); fresh != "" && !s.exact && (!m.plan.sober || s.freeText() && s.meaning() == graph.MeansText) {
		m.w.putFresh(m.c, s.where, fresh)
		return true
	}
	if fresh := m.unique(s); fresh != "" {
		m.w.putFresh(m.c, s.where, fresh)
		return true
	}
	return false
}

// listed: what refusals name, examples and, where it is asked for, plain values, in turn.
func (m *maker) listed(s *spot, t *lesson, plain bool) bool {
	var list []string
	turn := 0
	if t != nil {
		list, turn = append(list, t.tryFirst...), t.next
	}
	list = append(list, s.examples()...)
	if plain {
		list = append(list, m.plain(s)...)
	}
	fit := slices.Compact(slices.DeleteFunc(list, func(text string) bool { return !m.fits(s, t, text) }))
	return len(fit) > 0 && m.put(s, fit[turn%len(fit)])
}

// fromSchema: a value drawn from the schema.
func (m *maker) fromSchema(s *spot, t *lesson) bool {
	if s.schema == nil || s.schema.Anything() {
		return false
	}
	for range 5 {
		v, err := m.w.drawn(s.schema, generate.Options{Direction: schema.Request, Strict: true, Optional: -1})
		if err != nil {
			return false
		}
		if text := string(value.Append(nil, &v)); t == nil || t.allows(text) {
			return m.put(s, text)
		}
	}
	return false
}

// anything: a value of the type, where nothing is known; not for what names an object.
func (m *maker) anything(s *spot) bool {
	if s.kind == "path" && (s.meaning() == graph.MeansID || s.in != nil && m.w.resourceOf(s.in) != nil) {
		return false
	}
	switch s.typ() {
	case "integer", "number":
		return m.put(s, "1")
	case "boolean":
		return m.put(s, "true")
	case "object":
		return m.put(s, "{}")
	case "array":
		return m.put(s, "[]")
	}
	return m.put(s, `"text"`)
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
	if m.op.Has(graph.Login) && m.w.visitor != nil && (m.as == nil || m.as == m.w.self) {
		a = m.w.visitor
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
		return cmp.Or(m.w.passwordLike(), quoted("Cr3nel-New!"+m.w.o.Run))
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
