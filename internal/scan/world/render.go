package world

import (
	"bytes"
	"cmp"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/value"
)

const (
	jsonType      = "application/json"
	formType      = "application/x-www-form-urlencoded"
	multipartType = "multipart/form-data"
	// boundary is fixed, so that the same call gives the same bytes.
	boundary = "crenel-3f8a1c5e9d7b42"
	// streamTime is how long an answer is listened to that does not end by itself.
	streamTime = 2 * time.Second
)

func isJSON(t string) bool { return t == jsonType || strings.HasSuffix(t, "+json") }

func isXML(t string) bool {
	return t == "application/xml" || t == "text/xml" || strings.HasSuffix(t, "+xml") && t != "image/svg+xml"
}

// Request renders a call, without credentials.
func (w *World) Request(c *Call) (*target.Request, error) {
	r, err := w.render(c)
	if err != nil {
		return nil, fmt.Errorf("writing a request of %s: %w: %w", c.Op.ID, ErrUnwritable, err)
	}
	return r, nil
}

func (w *World) render(c *Call) (*target.Request, error) {
	r := &target.Request{Method: c.Op.Method}
	if streams(c.Op) {
		r.Timeout = streamTime
	}
	var path, query, cookies []string
	for _, p := range c.Op.PathParams {
		v, ok, err := c.parameter("path." + p.Name)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("nothing is known to put into the path for %s", p.Name)
		}
		text := strings.Join(param.Encode(p, &v), "")
		if text == "" || text == "." || text == ".." {
			return nil, fmt.Errorf("the value for %s in the path is %q, which would change the path", p.Name, text)
		}
		path = append(path, text)
	}
	r.Path = w.base(c.Op.Operation) + c.Op.Expand(path)
	known := map[string]bool{}
	for _, p := range c.Op.Parameters {
		where := p.In + "." + p.Name
		if p.In == "path" || known[where] {
			continue
		}
		known[where] = true
		v, ok, err := c.parameter(where)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		texts := param.Encode(p, &v)
		switch p.In {
		case "query":
			query = append(query, texts...)
		case "cookie":
			cookies = append(cookies, texts...)
		case "header":
			if c.Op.Body != nil && strings.EqualFold(p.Name, "Content-Type") {
				continue // the body says it
			}
			text := strings.Join(texts, ",")
			if strings.ContainsAny(text, "\r\n\x00") {
				return nil, fmt.Errorf("the value of header %s holds a line break", p.Name)
			}
			r.Header = append(r.Header, target.Field{Name: p.Name, Value: text})
		}
	}
	for _, where := range c.undeclared(known) {
		v, _, err := c.parameter(where)
		if err != nil {
			return nil, err
		}
		in, name, _ := strings.Cut(where, ".")
		p := &spec.Parameter{Name: name, In: in, Style: "form", Explode: true}
		switch in {
		case "query":
			query = append(query, param.Encode(p, &v)...)
		case "cookie":
			cookies = append(cookies, param.Encode(p, &v)...)
		case "header":
			p.Style = "simple"
			r.Header = append(r.Header, target.Field{Name: name, Value: strings.Join(param.Encode(p, &v), ",")})
		}
	}
	if len(cookies) > 0 {
		r.Header = append(r.Header, target.Field{Name: "Cookie", Value: strings.Join(cookies, "; ")})
	}
	if !slices.ContainsFunc(r.Header, func(f target.Field) bool { return strings.EqualFold(f.Name, "Accept") }) {
		r.Header = append(r.Header, target.Field{Name: "Accept", Value: "application/json, */*;q=0.8"})
	}
	r.Query = strings.Join(query, "&")
	return r, c.writeBody(r)
}

// base is the path before an operation's: what the user said, else its server's.
func (w *World) base(op *spec.Operation) string {
	switch {
	case w.o.BasePath != nil:
		return *w.o.BasePath
	case len(op.Servers) > 0:
		return op.Servers[0].BasePath
	}
	return ""
}

// undeclared lists the parameters that a call has and its operation does not declare.
func (c *Call) undeclared(known map[string]bool) []string {
	var out []string
	for where := range c.Values {
		if in, _, _ := strings.Cut(where, "."); (in == "query" || in == "header" || in == "cookie") && !known[where] {
			out = append(out, where)
		}
	}
	slices.Sort(out)
	return out
}

// parameter reads the value of a parameter.
func (c *Call) parameter(where string) (value.Value, bool, error) {
	text, ok := c.Values[where]
	if !ok {
		return value.Value{}, false, nil
	}
	v, err := value.JSON([]byte(text), value.Limits{})
	if err != nil {
		return value.Value{}, false, fmt.Errorf("the value of %s should be a JSON text: %w", where, err)
	}
	return *v, true, nil
}

// declared is the media type that a call's body has in the description, or nil.
func (c *Call) declared() *spec.MediaType {
	if c.Op.Body == nil {
		return nil
	}
	for _, m := range c.Op.Body.Content {
		if concrete(m.Type) == c.Media {
			return m
		}
	}
	return nil
}

// concrete is a media type that a range covers.
func concrete(t string) string {
	switch t {
	case "*/*", "application/*":
		return jsonType
	case "text/*":
		return "text/plain"
	case "image/*":
		return "image/png"
	}
	return t
}

func (c *Call) writeBody(r *target.Request) error {
	n, ok := c.body()
	if f, whole := c.Files["body."]; whole {
		r.Body = slices.Clone(f.Content)
		r.Header = append(r.Header, target.Field{Name: "Content-Type", Value: cmp.Or(c.Media, f.Type)})
		return nil
	}
	if !ok && len(c.Files) == 0 {
		return nil
	}
	if n == nil {
		n = &node{kind: value.Object}
	}
	media := cmp.Or(c.Media, jsonType)
	contentType := media
	switch {
	case isJSON(media):
		r.Body = n.write(nil)
	case media == formType:
		if n.kind != value.Object {
			return fmt.Errorf("a form should be an object, not %s", n.write(nil))
		}
		pairs, err := formPairs(c.declared(), n)
		if err != nil {
			return err
		}
		r.Body = []byte(strings.Join(pairs, "&"))
	case strings.HasPrefix(media, "multipart/"):
		body, err := c.multipart(n)
		if err != nil {
			return fmt.Errorf("writing a multipart body: %w", err)
		}
		r.Body = body
		contentType += "; boundary=" + boundary
	case isXML(media):
		r.Body = writeXML(c, n)
	default:
		r.Body = []byte(plain(n))
	}
	if r.Body == nil {
		r.Body = []byte{}
	}
	r.Header = append(r.Header, target.Field{Name: "Content-Type", Value: contentType})
	return nil
}

// plain is a leaf's text as it stands where there are no types.
func plain(n *node) string {
	if n.container() {
		return string(n.write(nil))
	}
	v, err := value.JSON([]byte(n.text), value.Limits{})
	switch {
	case err != nil:
		return n.text
	case v.Kind == value.Null:
		return ""
	}
	return v.Text
}

func formPairs(mt *spec.MediaType, n *node) ([]string, error) {
	var out []string
	for _, k := range n.kids {
		v, err := value.JSON(k.write(nil), value.Limits{})
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", k.name, err)
		}
		p := &spec.Parameter{Name: k.name, In: "query", Style: "form", Explode: true}
		if mt != nil && mt.Encoding[k.name] != nil {
			e := mt.Encoding[k.name]
			p.Style, p.Explode = e.Style, e.Explode
			if isJSON(e.ContentType) {
				p.ContentType = e.ContentType
			}
		}
		if v.Kind == value.Object && p.ContentType == "" {
			p.Style = "deepObject" // an exploded form would lose the field's own name
		}
		out = append(out, param.Encode(p, v)...)
	}
	return out, nil
}

func (c *Call) multipart(n *node) ([]byte, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, err
	}
	part := func(name string, f File) error {
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "%0D", "\n", "%0A").Replace
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quote(name) + `"`}}
		if f.Name != "" {
			h["Content-Disposition"][0] += `; filename="` + quote(f.Name) + `"`
		}
		if f.Type != "" {
			h["Content-Type"] = []string{f.Type}
		}
		p, err := w.CreatePart(h)
		if err != nil {
			return err
		}
		_, err = p.Write(f.Content)
		return err
	}
	for _, k := range n.kids {
		list := []*node{k}
		if k.kind == value.Array {
			list = k.kids
		}
		for _, e := range list {
			f := File{Content: []byte(plain(e))}
			if e.container() {
				f.Type = jsonType
			}
			if err := part(k.name, f); err != nil {
				return nil, err
			}
		}
	}
	var files []string
	for where := range c.Files {
		files = append(files, where)
	}
	slices.Sort(files)
	for _, where := range files {
		path := tokens(strings.TrimPrefix(where, "body."))
		if len(path) == 0 {
			continue
		}
		if err := part(path[0], c.Files[where]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unescaped decodes a query's text as servers do.
func unescaped(s string) string {
	t, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return t
}
