package waf

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/crenel-project/crenel/internal/exchange"
)

// crsMethods and crsTypes are what the rule set allows when it is told nothing.
const (
	crsMethods = "GET HEAD POST OPTIONS"
	crsTypes   = "|application/x-www-form-urlencoded| |multipart/form-data| |text/xml| |application/xml| |application/soap+xml| |application/json|"
)

// target is what the engine makes of a request's line: see its ProcessURI.
type target struct{ line, raw, uri, filename, basename, query string }

// targetOf computes it. In the exact inspection it is what the client sent, with
// its query; otherwise it is the path alone, as the upstream will see it: the
// query's pairs are arguments already.
func (g *Guard) targetOf(x *exchange.Exchange) target {
	t := target{raw: x.Request.RawPath}
	version := protocol
	if g.exact {
		t.raw, version = sent(x), x.Request.Proto
	}
	t.line = x.Request.Method + " " + t.raw + " " + version
	t.uri, _, _ = strings.Cut(t.raw, "#")
	t.filename, t.query, _ = strings.Cut(t.uri, "?")
	if simplePath(t.uri) {
		t.query = ""
	} else if u, err := url.ParseRequestURI(t.uri); err == nil {
		t.uri, t.filename, t.query = u.String(), u.Path, u.RawQuery
	}
	t.basename = t.filename
	if i := strings.LastIndexAny(t.filename, `/\`); i >= 0 && i+1 < len(t.filename) {
		t.basename = t.filename[i+1:]
	}
	return t
}

// sent is the request's target as the client wrote it.
func sent(x *exchange.Exchange) string {
	switch r := &x.Request; {
	case r.Target != "":
		return r.Target
	case r.Query != "":
		return r.RawPath + "?" + r.Query
	default:
		return r.RawPath
	}
}

// authority is the Host as the client wrote it.
func authority(x *exchange.Exchange) string {
	if x.Request.Authority != "" {
		return x.Request.Authority
	}
	return x.Request.Host
}

// chunked reports whether the body came in chunks.
func chunked(x *exchange.Exchange) bool {
	return x.Request.Length < 0 && strings.HasPrefix(x.Request.Proto, "HTTP/1")
}

// wholeBody is the text that the engine knows as REQUEST_BODY in the exact
// inspection: that of a form, and one whose content type no contract has agreed to.
func wholeBody(x *exchange.Exchange) string {
	b := x.Request.Body
	if b == nil || b.Partial || b.MediaType == "multipart/form-data" {
		return ""
	}
	if b.MediaType == "application/x-www-form-urlencoded" || b.Root == nil && b.Declared == nil && readsAsText(b.Bytes) {
		return string(b.Bytes)
	}
	return ""
}

// processor is how the engine would have read the body: in the exact inspection
// its content type says so, whether there is one or not.
func (g *Guard) processor(x *exchange.Exchange) string {
	if g.exact {
		return processorOf(strings.ToLower(x.Request.Header.Get("Content-Type")))
	}
	b := x.Request.Body
	if b == nil || b.Root == nil {
		return ""
	}
	switch prefix(b) {
	case "json":
		return "JSON"
	case "xml":
		return "XML"
	}
	return ""
}

// processorOf is what Coraza's recommended configuration makes of a content type.
func processorOf(mediaType string) string {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	family, sub, _ := strings.Cut(strings.TrimSpace(mediaType), "/")
	switch {
	case family == "application" && (strings.HasPrefix(sub, "json") || strings.HasSuffix(sub, "+json")):
		return "JSON"
	case family == "application" && (strings.HasPrefix(sub, "xml") || strings.HasPrefix(sub, "soap+xml")), family == "text" && strings.HasPrefix(sub, "xml"):
		return "XML"
	}
	return ""
}

// feedExact hands the request to the engine as it came, but for what has been
// decoded: that is not parsed again.
func (g *Guard) feedExact(tx types.Transaction, state plugintypes.TransactionState, x *exchange.Exchange, own map[string]bool) {
	r := &x.Request
	vars := state.Variables()
	// What the API's document allows is what a site would tell the rule set.
	if method, mediaType := g.allowed(x); method != "" || mediaType != "" {
		if method != "" {
			vars.TX().Set("allowed_methods", []string{method})
		}
		if mediaType != "" {
			vars.TX().Set("allowed_request_content_type", []string{mediaType})
		}
	}
	tx.ProcessConnection(x.Client.String(), 0, "", 0)
	t := g.targetOf(x)
	path, _, _ := strings.Cut(t.raw, "?")
	tx.ProcessURI(path, r.Method, r.Proto)
	if t.raw != path {
		set(vars.RequestURIRaw(), t.raw)
		set(vars.RequestURI(), t.uri)
		set(vars.RequestLine(), t.line)
		set(vars.RequestFilename(), t.filename)
		set(vars.RequestBasename(), t.basename)
		set(vars.QueryString(), t.query)
	}
	if host := authority(x); host != "" {
		tx.SetServerName(r.Host)
		tx.AddRequestHeader("Host", host)
	}
	if chunked(x) {
		tx.AddRequestHeader("Transfer-Encoding", "chunked") // the data plane takes it away
	}
	// What another portion has is not absent.
	for name, usual := range usualHeaders {
		if !own[name] && len(r.Header[name]) > 0 {
			tx.AddRequestHeader(name, usual)
		}
	}
	if r.Body != nil && !own["Content-Type"] && len(r.Header["Content-Type"]) > 0 {
		tx.AddRequestHeader("Content-Type", r.Body.MediaType)
	}
	if text := wholeBody(x); text != "" {
		set(vars.RequestBody(), text)
		set(vars.RequestBodyLength(), strconv.Itoa(len(text)))
	}
	if b := r.Body; b != nil {
		for i := range b.Parts {
			if p := &b.Parts[i]; p.FileName != "" {
				vars.Files().Add("", p.FileName)
				vars.FilesNames().Add("", p.Name)
			}
		}
	}
}

// allowed are the methods and content types that the engine is told of, "" for
// those that the rule set has by itself.
func (g *Guard) allowed(x *exchange.Exchange) (method, mediaType string) {
	if !g.exact {
		method, mediaType = methodsOf(x)
		if mediaType == "" {
			mediaType = g.types
		}
		return method, mediaType
	}
	if x.Operation != nil {
		method = crsMethods + " " + x.Request.Method
	}
	if b := x.Request.Body; b != nil && b.Declared != nil {
		mediaType = crsTypes + " |" + b.MediaType + "|"
	}
	return method, mediaType
}

// uploads reports whether the engine is told of files, which the triage knows
// nothing of.
func uploads(x *exchange.Exchange) bool {
	if b := x.Request.Body; b != nil {
		for i := range b.Parts {
			if b.Parts[i].FileName != "" {
				return true
			}
		}
	}
	return false
}

// set changes a variable that the engine otherwise fills by parsing.
func set(variable any, text string) {
	if v, ok := variable.(interface{ Set(string) }); ok {
		v.Set(text)
	}
}

// lenient decodes a query as the engine does: what is no escape stands for
// itself. Strict decoding has refused it.
func lenient(query string, most int, add func(name, text string) bool) (whole, ok bool) {
	n := 0
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		if n++; n > most {
			return false, true
		}
		name, text, _ := strings.Cut(pair, "=")
		if !add(unescape(name), unescape(text)) {
			return true, false
		}
	}
	return true, true
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0:
			b.WriteByte(byte(hex(s[i+1])<<4 | hex(s[i+2])))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
