package upload

import (
	"context"
	"fmt"
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Options are what a Guard is made from.
type Options struct {
	Config config.Upload
}

// Guard checks the files of one API. It is immutable and safe for concurrent use.
type Guard struct {
	types []string // taken everywhere, beside what the contract names
}

// New reads the config.
func New(o Options) (*Guard, error) {
	g := &Guard{}
	for _, t := range o.Config.Types {
		low := strings.ToLower(t)
		major, minor, ok := strings.Cut(low, "/")
		if !ok || major == "" || minor == "" || major == "*" || strings.Contains(minor, "/") {
			return nil, fmt.Errorf("upload.types: %q is not a media type such as image/png or image/*", t)
		}
		g.types = append(g.types, low)
	}
	return g, nil
}

// Step checks every file of a request.
func (g *Guard) Step() guard.Step {
	return guard.Step{
		Guard: "upload", Phase: exchange.RequestBody, Needs: exchange.Buffered,
		Applies: func(op *spec.Operation) bool { return op == nil || op.Body != nil },
		Rule:    func(_ context.Context, x *exchange.Exchange) exchange.Verdict { return g.rule(x) },
	}
}

// file is one file to check.
type file struct {
	at      string
	name    string
	claim   string   // the type that was sent
	allowed []string // the types that the contract names; empty: it names none
	content []byte
}

func (g *Guard) rule(x *exchange.Exchange) exchange.Verdict {
	b := x.Request.Body
	if b == nil {
		return exchange.Verdict{}
	}
	for i := range b.Parts {
		p := &b.Parts[i]
		f := file{at: "/" + value.EscapeToken(p.Name), name: p.FileName, claim: p.ContentType, allowed: partTypes(b.Declared, p.Name)}
		if p.Start < 0 || p.End > len(b.Bytes) || p.Start > p.End {
			return exchange.Undecided("gateway.internal", "a file part lies outside of its body")
		}
		f.content = b.Bytes[p.Start:p.End]
		if v := g.check(&f); v.Action != exchange.Allow {
			return v
		}
	}
	if b.Root != nil || b.Err != nil || len(b.Parts) > 0 {
		return exchange.Verdict{}
	}
	f := file{claim: b.MediaType, content: b.Bytes}
	if b.Declared != nil {
		f.allowed = []string{b.Declared.Type}
	}
	if d := x.Request.Header.Get("Content-Disposition"); d != "" {
		_, params, err := mime.ParseMediaType(d)
		if err != nil {
			return exchange.Refuse("upload.name", "header:content-disposition", "a Content-Disposition that cannot be read")
		}
		f.name = params["filename"]
	}
	return g.check(&f)
}

// partTypes are the types that the contract names for a part: its encoding's, or
// its schema's contentMediaType.
func partTypes(m *spec.MediaType, name string) (out []string) {
	if m == nil {
		return nil
	}
	if e := m.Encoding[name]; e != nil && e.ContentType != "" {
		for t := range strings.SplitSeq(e.ContentType, ",") {
			t, _, _ = strings.Cut(t, ";")
			out = append(out, strings.ToLower(strings.TrimSpace(t)))
		}
		return out
	}
	if m.Schema == nil {
		return nil
	}
	s, ok := m.Schema.Declared(name)
	if !ok || s == nil {
		return nil
	}
	for _, s := range []*schema.Schema{s, s.Items()} {
		if s == nil {
			continue
		}
		if t := s.Extension("contentMediaType").Str(); t != "" {
			return []string{strings.ToLower(t)}
		}
	}
	return nil
}

// names reports whether the contract or the config names a type, not only by a wildcard.
func (g *Guard) names(f *file, t string) bool {
	for _, list := range [][]string{f.allowed, g.types} {
		for _, have := range list {
			if have == t || !strings.Contains(have, "*") && sameType(have, t) {
				return true
			}
		}
	}
	return false
}

func sameType(a, b string) bool {
	m := mimetype.Lookup(a)
	return m != nil && m.Is(b)
}

func (g *Guard) check(f *file) exchange.Verdict {
	refuse := func(code, why string) exchange.Verdict {
		v := exchange.Refuse(code, f.at, why)
		v.Detail = map[string]any{"at": f.at}
		return v
	}
	if f.name != "" {
		if why := badName(f.name, func(t string) bool { return g.names(f, t) }); why != "" {
			return refuse("upload.name", "the file name holds "+why)
		}
	}
	if len(f.allowed) > 0 && f.claim != "" && f.claim != "application/octet-stream" && !listed(f.allowed, f.claim) && !listed(g.types, f.claim) {
		return refuse("upload.type", "the file was sent as "+f.claim+", the operation takes "+strings.Join(f.allowed, ", "))
	}
	if len(f.content) == 0 {
		return exchange.Verdict{}
	}
	kind := mimetype.Detect(f.content)
	sniffed, _, _ := strings.Cut(kind.String(), ";")
	for _, t := range chain(kind) {
		if active[t] && !g.names(f, t) {
			return refuse("upload.type", "the content is of an active kind, "+t)
		}
	}
	if why := hidden(f.content, kind, g.names(f, "text/x-php")); why != "" {
		return refuse("upload.type", "the content is "+why)
	}
	if !fits(kind, f.claim) {
		return refuse("upload.type", "the file was sent as "+f.claim+", its content is "+sniffed)
	}
	if t := extensions[extension(f.name)]; t != "" && !fits(kind, t) {
		return refuse("upload.type", "the file's name says "+t+", its content is "+sniffed)
	}
	if len(f.allowed) == 0 {
		return exchange.Verdict{}
	}
	for _, list := range [][]string{f.allowed, g.types} {
		for _, t := range list {
			if fits(kind, t) {
				return exchange.Verdict{}
			}
		}
	}
	return refuse("upload.type", "the content is "+sniffed+", the operation takes "+strings.Join(f.allowed, ", "))
}

// listed reports whether a sent type is one of a list with wildcards.
func listed(list []string, t string) bool {
	t = canonical(t)
	for _, have := range list {
		have = canonical(have)
		if have == t || have == "*/*" || strings.HasSuffix(have, "/*") && strings.HasPrefix(t, have[:len(have)-1]) || sameType(have, t) {
			return true
		}
	}
	return false
}
