package waf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
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
)

// field is one value to inspect.
type field struct {
	src  source
	name string // the engine's key
	at   string // where it stood, as in Verdict.At
	text string
}

// collector gathers a request's fields within the limits.
type collector struct {
	fields []field
	bytes  int
	skip   skips
	value  int // longest value
	count  int // most values
	over   exchange.Verdict
}

// add reports false when a limit was passed: then over says which.
func (c *collector) add(f field) bool {
	if c.skip.has(f.at) {
		return true
	}
	if len(f.text) > c.value || len(f.name) > c.value {
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
	return c.path(x) && c.query(x) && c.headers(x) && c.cookies(x) && c.body(x)
}

func (c *collector) path(x *exchange.Exchange) bool {
	for i, v := range x.Request.PathParams {
		name := strconv.Itoa(i)
		if op := x.Operation; op != nil && i < len(op.PathParams) {
			name = op.PathParams[i].Name
		}
		if !c.add(field{fromPath, name, "path:" + name, v}) {
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
		// The contract let an undecodable query pass, so it is inspected as it was sent.
		return c.add(field{fromQuery, "query", "query:", x.Request.Query})
	}
	for i := range pairs {
		if !c.add(field{fromQuery, pairs[i].Name, "query:" + pairs[i].Name, pairs[i].Value}) {
			return false
		}
	}
	return true
}

// transport are the fields that say how a message travels; the data plane has
// ruled on them, and the engine is told of them apart (transportHeaders).
var transport = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Host": true, "Cookie": true}

func (c *collector) headers(x *exchange.Exchange) bool {
	for name, list := range x.Request.Header {
		if transport[name] || proven(x, "header", name) {
			continue
		}
		for _, v := range list {
			if !c.add(field{fromHeader, name, "header:" + strings.ToLower(name), v}) {
				return false
			}
		}
	}
	return true
}

func (c *collector) cookies(x *exchange.Exchange) bool {
	for _, line := range x.Request.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if name == "" && v == "" || proven(x, "cookie", name) {
				continue
			}
			if !c.add(field{fromCookie, name, "cookie:" + name, v}) {
				return false
			}
		}
	}
	return true
}

// proven reports whether a credential stood here that authn has verified: it is
// what its issuer made it, and its random text would only raise false alarms.
func proven(x *exchange.Exchange, in, name string) bool {
	if !x.Identity.Verified {
		return false
	}
	for _, c := range x.Request.Credentials {
		if c.In == in && !c.Rejected && strings.EqualFold(c.Name, name) {
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
		if p.FileName != "" && !c.add(field{fromBody, p.Name + ".filename", "/" + value.EscapeToken(p.Name), p.FileName}) {
			return false
		}
	}
	if b.Root != nil {
		return c.tree(b.Root, prefix(b), "")
	}
	if b.Err != nil && !b.Partial {
		// It did not decode and was let pass nevertheless: all that is known of it is its bytes.
		return c.add(field{fromBody, "body", "", string(b.Bytes)})
	}
	return true
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

// tree adds the leaves below v that can hold an attack: strings and names. A
// number's literal, true, false and null cannot. Names are the engine's habit,
// "json.items.0.text", so that custom rules read as everywhere.
func (c *collector) tree(v *value.Value, name, at string) bool {
	switch v.Kind {
	case value.String:
		return v.File || c.add(field{fromBody, name, at, v.Text})
	case value.Array, value.Object:
		for i := range v.Kids {
			kid := &v.Kids[i]
			tok := kid.Name
			if v.Kind == value.Array {
				tok = strconv.Itoa(i)
			}
			sub := tok
			if name != "" {
				sub = name + "." + tok
			}
			below := at + "/" + value.EscapeToken(tok)
			if !c.tree(kid, sub, below) {
				return false
			}
			// A member's name is inspected with its value; one whose value holds no
			// string goes alone.
			if v.Kind == value.Object && !holdsName(kid) && !c.add(field{fromBody, sub, below, ""}) {
				return false
			}
		}
	}
	return true
}

// holdsName reports whether inspecting v's leaves inspects v's own name as well.
func holdsName(v *value.Value) bool {
	switch v.Kind {
	case value.String:
		return !v.File
	case value.Array, value.Object:
		for i := range v.Kids {
			if v.Kind == value.Object || holdsName(&v.Kids[i]) {
				return true
			}
		}
	}
	return false
}

// host is the Host that the engine is told. An address in it is a matter of
// routing, which is settled, and scores in CRS.
func host(h string) string {
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
