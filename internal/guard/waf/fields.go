package waf

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// source is which collection of the engine a field goes to.
type source uint8

const (
	fromQuery source = iota
	fromBody
	fromPath
	fromHeader
	fromCookie
	fromXML // exact only: otherwise a document's texts are fromBody
)

// xmlTexts is the engine's key of the texts of an XML document.
const xmlTexts = "/*"

// field is one value to inspect.
type field struct {
	src  source
	name string // the engine's key
	at   string // where it stood, as in Verdict.At
	text string
	// fixed says that the name is one of the contract's own.
	fixed bool
	// muted are the rules that do not count here, or nil.
	muted *muted
}

// collector gathers a request's fields within the limits.
type collector struct {
	fields []field
	bytes  int
	skip   skips
	exact  bool   // the rule set judges everything
	xml    bool   // and the body is a document of which it knows the texts only
	named  bool   // the names that lead to the value at hand are the contract's own
	from   source // of the tree at hand
	whole  bool   // all of that tree stands at one place
	value  int    // longest value
	count  int    // most values
	sample bool   // longer values are inspected in part
	over   exchange.Verdict
	// held says that the contract has ruled on this request and found no fault, so
	// that values pinned down by their schemas need no inspection.
	held bool
	// arena is where names and places are put together.
	arena []byte
}

// fieldLists are lists of requests that have passed in silence: nobody holds them any more.
var fieldLists = sync.Pool{New: func() any { return new([]field) }}

// recycle gives a list of fields away. What names and places are made of stays.
func recycle(list *[]field, fields []field) {
	if cap(fields) <= maxRecycled {
		clear(fields)
		*list = fields[:0]
		fieldLists.Put(list)
	}
}

// maxRecycled is how long a list is kept for the next request.
const maxRecycled = 1024

// held reports whether every step of the contract that ran has allowed.
func held(x *exchange.Exchange) bool {
	if x.Unvalidated {
		return false
	}
	for i := range x.Rulings {
		if r := &x.Rulings[i]; r.Guard == "contract" && r.Verdict.Action != exchange.Allow {
			return false
		}
	}
	return true
}

// pinned reports whether a declared parameter is held by its schema to a form
// that no rule could rightly match: a number, a date, a listed value.
func (c *collector) pinned(x *exchange.Exchange, in, name string) bool {
	if !c.held {
		return false
	}
	p := x.Param(in, name)
	return p != nil && p.Spec.Schema != nil && p.Spec.ContentType == "" && pinnedAll(&p.Value, p.Spec.Schema.Shape())
}

// document is a parameter that the contract has for a JSON document and has read as one:
// its leaves are judged as those of a body. nil: what stands there is a text.
func (c *collector) document(x *exchange.Exchange, in, name string) *exchange.Param {
	if !c.held {
		return nil
	}
	p := x.Param(in, name)
	if p == nil || p.Spec.ContentType == "" || p.Value.Kind != value.Object && p.Value.Kind != value.Array {
		return nil
	}
	return p
}

// documentTree adds the leaves of a parameter's document. They all stand where the
// parameter does.
func (c *collector) documentTree(p *exchange.Param, src source, at string) bool {
	var shape *schema.Shape
	if p.Spec.Schema != nil {
		shape = p.Spec.Schema.Shape()
	}
	c.from, c.whole, c.named = src, true, shape != nil
	ok := c.tree(&p.Value, p.Spec.Name, at, shape)
	c.from, c.whole, c.named = fromBody, false, false
	return ok
}

func pinnedAll(v *value.Value, shape *schema.Shape) bool {
	switch v.Kind {
	case value.Array:
		for i := range v.Kids {
			if !pinnedAll(&v.Kids[i], shape.Item(i)) {
				return false
			}
		}
		return true
	case value.Object:
		return false // its names are the caller's
	}
	return shape.Pinned()
}

// add reports false when a limit was passed: then over says which.
func (c *collector) add(f field) bool {
	if c.skip.has(f.at) {
		return true
	}
	if len(f.text) > c.value && !c.sample || len(f.name) > c.value {
		c.over = exchange.Refuse("waf.too_long", f.at, fmt.Sprintf("a value of %d bytes, at most %d are inspected", max(len(f.text), len(f.name)), c.value))
		return false
	}
	if len(c.fields) >= c.count {
		c.over = exchange.Refuse("waf.too_many", f.at, fmt.Sprintf("more than %d values to inspect", c.count))
		return false
	}
	c.fields = append(c.fields, f)
	c.bytes += len(f.text) + len(f.name)
	return true
}

func (c *collector) collect(x *exchange.Exchange) bool {
	c.held, c.from = !c.exact && held(x), fromBody
	return c.path(x) && c.query(x) && c.headers(x) && c.cookies(x) && c.body(x)
}

func (c *collector) path(x *exchange.Exchange) bool {
	for i, v := range x.Request.PathParams {
		name := strconv.Itoa(i)
		if op := x.Operation; op != nil && i < len(op.PathParams) {
			name = op.PathParams[i].Name
		}
		if c.pinned(x, "path", name) {
			continue
		}
		if !c.add(field{src: fromPath, name: name, at: "path:" + name, text: v, fixed: c.held}) {
			return false
		}
	}
	return true
}

func (c *collector) query(x *exchange.Exchange) bool {
	if x.Request.Query == "" {
		return true
	}
	pairs, err := value.Query(x.Request.Query, value.Limits{Keys: c.count + 1})
	var fault *value.Error
	if errors.As(err, &fault) && fault.Fault == value.FaultKeys {
		c.over = exchange.Refuse("waf.too_many", "query:", fmt.Sprintf("more than %d query arguments to inspect", c.count))
		return false
	}
	if err != nil {
		// The contract let an undecodable query pass: what is no escape stands for itself.
		whole, ok := lenient(x.Request.Query, c.count, func(name, text string) bool {
			return c.add(field{src: fromQuery, name: name, at: "query:" + name, text: text})
		})
		if !whole {
			c.over = exchange.Refuse("waf.too_many", "query:", fmt.Sprintf("more than %d query arguments to inspect", c.count))
		}
		return whole && ok
	}
	for i := range pairs {
		if c.pinned(x, "query", pairs[i].Name) {
			continue
		}
		if p := c.document(x, "query", pairs[i].Name); p != nil {
			if !c.documentTree(p, fromQuery, "query:"+p.Spec.Name) {
				return false
			}
			continue
		}
		if !c.add(field{src: fromQuery, name: pairs[i].Name, at: "query:" + pairs[i].Name, text: pairs[i].Value, fixed: c.held && x.Param("query", pairs[i].Name) != nil}) {
			return false
		}
	}
	return true
}

// transport are the fields that say how a message travels; the data plane has
// ruled on them, and the engine is told of them apart (transportHeaders). Expect
// is answered by the data plane and goes no further; clients send it with every
// large body, and CRS forbids it.
var transport = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Host": true, "Cookie": true, "Expect": true}

func (c *collector) headers(x *exchange.Exchange) bool {
	for name, list := range x.Request.Header {
		if !c.exact && (transport[name] || proven(x, "header", name)) {
			continue
		}
		for _, v := range list {
			if !c.add(field{src: fromHeader, name: name, at: headerAt(name), text: v}) {
				return false
			}
		}
	}
	return c.exact || c.declaredHeaders(x)
}

// declaredHeaders adds the header fields that the document has for parameters: they are
// arguments of the operation as those of the query are, where CRS reads most of its rules.
func (c *collector) declaredHeaders(x *exchange.Exchange) bool {
	for i := range x.Params {
		p := &x.Params[i]
		if p.Spec.In != "header" || c.pinned(x, "header", p.Spec.Name) || proven(x, "header", p.Spec.Name) {
			continue
		}
		if !c.add(field{src: fromQuery, name: p.Spec.Name, at: headerAt(p.Spec.Name), text: p.Raw, fixed: true}) {
			return false
		}
	}
	return true
}

func (c *collector) cookies(x *exchange.Exchange) bool {
	for _, line := range x.Request.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, v, _ := strings.Cut(pair, "=")
			name, v = strings.Trim(name, " \t"), strings.Trim(v, " \t")
			if name == "" && v == "" || !c.exact && proven(x, "cookie", name) {
				continue
			}
			if !c.add(field{src: fromCookie, name: name, at: "cookie:" + name, text: v}) {
				return false
			}
			// Servers in Python read what is quoted with its escapes (RFC 2109).
			if text, ok := unquoted(v); ok && !c.exact && !c.add(field{src: fromCookie, name: name, at: "cookie:" + name, text: text}) {
				return false
			}
		}
	}
	return true
}

// unquoted is a quoted cookie with its escapes read: a backslash before three octal digits
// or any one character. false: it is not quoted, or has none.
func unquoted(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || strings.IndexByte(s, '\\') < 0 {
		return "", false
	}
	out := make([]byte, 0, len(s))
	for s = s[1 : len(s)-1]; s != ""; {
		octal := func(i int) bool { return s[i] >= '0' && s[i] <= '7' }
		switch {
		case s[0] != '\\' || len(s) == 1:
			out, s = append(out, s[0]), s[1:]
		case len(s) > 3 && s[1] <= '3' && octal(1) && octal(2) && octal(3):
			out, s = append(out, (s[1]-'0')<<6|(s[2]-'0')<<3|s[3]-'0'), s[4:]
		default:
			out, s = append(out, s[1]), s[2:]
		}
	}
	return string(out), true
}

// proven reports whether a credential stood here that authn has verified: it is
// what its issuer made it, and its random text would only raise false alarms.
func proven(x *exchange.Exchange, in, name string) bool {
	if !x.Identity.Verified {
		return false
	}
	for _, c := range x.Request.Credentials {
		// Cookies of names that differ in case are different cookies.
		if c.In == in && !c.Rejected && !c.Unproven && (c.Name == name || in == "header" && strings.EqualFold(c.Name, name)) {
			return true
		}
	}
	return false
}

func (c *collector) body(x *exchange.Exchange) bool {
	b := x.Request.Body
	if b == nil {
		return true
	}
	for i := range b.Parts {
		p := &b.Parts[i]
		if p.FileName != "" && !c.exact && !c.add(field{src: fromBody, name: p.Name + ".filename", at: "/" + value.EscapeToken(p.Name), text: p.FileName}) {
			return false
		}
		// A part of another type without a file name is a field to those who read it.
		if p.FileName == "" && p.End <= len(b.Bytes) && readsAsText(b.Bytes[p.Start:p.End]) && !c.add(field{src: fromBody, name: p.Name, at: "/" + value.EscapeToken(p.Name), text: string(b.Bytes[p.Start:p.End])}) {
			return false
		}
	}
	if b.Root != nil {
		var shape *schema.Shape
		if c.held && b.Declared != nil && b.Declared.Schema != nil {
			shape = b.Declared.Schema.Shape()
		}
		c.named = shape != nil
		c.xml = c.exact && prefix(b) == "xml"
		if c.exact && !c.parts(b) {
			return false
		}
		return c.tree(b.Root, prefix(b), "", shape)
	}
	if text := wholeBody(x); c.exact && text != "" {
		// The rule set takes what it does not know for a form.
		whole, ok := lenient(text, c.count, func(name, text string) bool {
			return c.add(field{src: fromBody, name: name, at: "/" + value.EscapeToken(name), text: text})
		})
		if !whole {
			c.over = exchange.Refuse("waf.too_many", "", fmt.Sprintf("more than %d fields of the body to inspect", c.count))
		}
		return whole && ok
	}
	if b.Err != nil && !b.Partial {
		// It did not decode and was let pass nevertheless: all that is known of it is its bytes.
		return c.add(field{src: fromBody, name: "body", at: "", text: string(b.Bytes)})
	}
	if len(b.Parts) > 0 || !readsAsText(b.Bytes) {
		return true
	}
	if b.Declared != nil {
		return c.sniffed(b)
	}
	// Bytes by a content type that no contract has agreed to. Many APIs read a
	// document whatever it was sent as, so a text is inspected as one.
	if b.Partial {
		c.over = exchange.Refuse("waf.too_long", "", "a text of an undeclared content type that is too long to be inspected whole")
		return false
	}
	return c.add(field{src: fromBody, name: "body", at: "", text: string(b.Bytes)})
}

// sniffed adds the leaves of a document that came as bytes where the contract takes any
// content type: many APIs read a document whatever it was sent as. What the
// contract has for bytes or a string is a file, and nobody reads it as values.
func (c *collector) sniffed(b *exchange.Body) bool {
	if b.Partial || !strings.Contains(b.Declared.Type, "*") || b.Declared.Schema != nil && len(b.Declared.Schema.Types()) == 1 {
		return true
	}
	text := bytes.TrimSpace(b.Bytes)
	if len(text) == 0 {
		return true
	}
	var root *value.Value
	var err error
	name := "json"
	switch text[0] {
	case '{', '[':
		root, err = value.JSON(b.Bytes, value.Limits{})
	case '<':
		name = "xml"
		root, err = value.XML(b.Bytes, value.Limits{})
	default:
		return true
	}
	if err != nil {
		return true // no document: a file of its own kind
	}
	return c.tree(root, name, "", nil)
}

// parts adds the documents within a multipart body as the texts that they are to
// the rule set, beside their leaves.
func (c *collector) parts(b *exchange.Body) bool {
	if b.MediaType != "multipart/form-data" {
		return true
	}
	for i := range b.Root.Kids {
		k := &b.Root.Kids[i]
		if (k.Kind == value.Object || k.Kind == value.Array) && k.Start < k.End && int(k.End) <= len(b.Bytes) &&
			!c.add(field{src: fromBody, name: k.Name, at: "/" + value.EscapeToken(k.Name), text: string(b.Bytes[k.Start:k.End])}) {
			return false
		}
	}
	return true
}

// readsAsText reports whether a body could be a document: files of other kinds
// hold control characters, and documents must not.
func readsAsText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return len(b) > 0
}

// prefix begins the engine's names of a body's fields, by the habit of each
// media type: form fields go by their own names.
func prefix(b *exchange.Body) string {
	switch {
	case b.Root.Kind == value.String:
		return "body"
	case b.MediaType == "application/x-www-form-urlencoded" || b.MediaType == "multipart/form-data":
		return ""
	case strings.HasSuffix(b.MediaType, "xml"):
		return "xml"
	}
	return "json"
}

// below is the place of a child.
func (c *collector) below(at, token string) string {
	if c.whole {
		return at
	}
	return c.join(at, "/", token)
}

// tree adds the leaves below v that can hold an attack: strings that shape (nil:
// nothing is known) does not pin down, and names that it does not fix. A number's
// literal, true, false and null cannot hold one. Names are the engine's habit,
// "json.items.0.text", so that custom rules read as everywhere.
func (c *collector) tree(v *value.Value, name, at string, shape *schema.Shape) bool {
	switch v.Kind {
	case value.String:
		if c.xml {
			return c.add(field{src: fromXML, name: xmlTexts, at: at, text: strings.TrimSpace(v.Text)})
		}
		return v.File || shape != nil && shape.Pinned() || c.add(field{src: c.from, name: name, at: at, text: v.Text, fixed: c.named})
	case value.Array:
		for i := range v.Kids {
			tok := strconv.Itoa(i)
			var below *schema.Shape
			if shape != nil {
				below = shape.Item(i)
			}
			if !c.tree(&v.Kids[i], c.join(name, ".", tok), c.below(at, tok), below) {
				return false
			}
		}
	case value.Number, value.Bool, value.Null:
		return !c.exact || c.add(field{src: c.from, name: name, at: at, text: v.Text})
	case value.Object:
		for i := range v.Kids {
			kid := &v.Kids[i]
			fixed := false
			var below *schema.Shape
			if shape != nil {
				below, fixed = shape.Member(kid.Name)
				fixed = fixed && !shape.Open() && identifier(kid.Name) || shape.Lists(kid.Name)
			}
			sub, place := c.join(name, ".", kid.Name), c.below(at, value.EscapeToken(kid.Name))
			before, named := len(c.fields), c.named
			c.named = named && shape.Lists(kid.Name)
			if !c.tree(kid, sub, place, below) {
				return false
			}
			c.named = named
			// A name is inspected along with a value below it; without one, alone.
			if len(c.fields) == before && !fixed && !c.xml && !c.add(field{src: c.from, name: sub, at: place, text: ""}) {
				return false
			}
		}
	}
	return true
}

// join puts a name or a place together. Those of one request share one piece of
// memory, which is never written to again.
func (c *collector) join(above, by, tok string) string {
	if above == "" && by == "." {
		return tok
	}
	n := len(above) + len(by) + len(tok)
	if n > cap(c.arena)-len(c.arena) {
		c.arena = make([]byte, 0, max(1024, min(2*cap(c.arena), 16<<10), n))
	}
	from := len(c.arena)
	c.arena = append(append(append(c.arena, above...), by...), tok...)
	return unsafe.String(&c.arena[from], n) //nolint:gosec // never written to again
}

// headerPlaces are the places of header fields, by name: most come with every request.
var headerPlaces struct {
	sync.RWMutex
	known map[string]string
}

func headerAt(name string) string {
	headerPlaces.RLock()
	at, ok := headerPlaces.known[name]
	headerPlaces.RUnlock()
	if ok {
		return at
	}
	at = "header:" + strings.ToLower(name)
	headerPlaces.Lock()
	defer headerPlaces.Unlock()
	if headerPlaces.known == nil || len(headerPlaces.known) >= maxPlaces {
		headerPlaces.known = map[string]string{}
	}
	headerPlaces.known[strings.Clone(name)] = at
	return at
}

// maxPlaces are remembered; beyond them all are made anew.
const maxPlaces = 512

// identifier reports whether a name is made of letters, digits, - and _. Others
// are inspected even where a pattern of the schema lets them in.
func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(s) <= 64 && !strings.HasPrefix(s, "__")
}

// host is the Host that the engine is told. An address in it is a matter of
// routing, which is settled, and scores in CRS.
func host(h string) string {
	// What ends with a letter and has no colon is no address.
	if n := len(h); n > 0 && h[n-1]|0x20 >= 'a' && h[n-1]|0x20 <= 'z' && strings.IndexByte(h, ':') < 0 {
		return h
	}
	if _, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil || h == "" {
		return "localhost"
	}
	return h
}

// contentTypes are allowed where no contract says which.
func contentTypes(api *spec.API) string {
	seen := map[string]bool{}
	list := []string{
		"application/json", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "text/xml",
		"application/soap+xml", "text/plain", "application/octet-stream", "application/merge-patch+json", "application/json-patch+json",
	}
	if api != nil {
		for _, op := range api.Operations {
			if op.Body == nil {
				continue
			}
			for _, m := range op.Body.Content {
				list = append(list, m.Type)
			}
		}
	}
	var b strings.Builder
	for _, t := range list {
		if !seen[t] && !strings.Contains(t, "*") {
			seen[t] = true
			b.WriteString("|" + t + "| ")
		}
	}
	return strings.TrimRight(b.String(), " ")
}
