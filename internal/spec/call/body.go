package call

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/value"
)

const (
	formType      = "application/x-www-form-urlencoded"
	multipartType = "multipart/form-data"
)

// boundary is fixed, so that the same source gives the same bytes; no text that
// is made holds it.
const boundary = "crenel-7f3a9d51c2e84b06"

func isJSON(t string) bool { return t == "application/json" || strings.HasSuffix(t, "+json") }

// pickMediaType takes the one asked for, or the first that can be written.
func pickMediaType(list []*spec.MediaType, want string) *spec.MediaType {
	if want != "" {
		i := slices.IndexFunc(list, func(m *spec.MediaType) bool { return m.Type == want || concrete(m.Type) == want })
		if i < 0 {
			return nil
		}
		return list[i]
	}
	for _, fits := range []func(string) bool{isJSON, func(t string) bool { return t == formType }, func(t string) bool { return t == multipartType },
		func(t string) bool { return strings.HasPrefix(t, "text/") }, func(t string) bool { return !strings.HasSuffix(t, "xml") }} {
		for _, m := range list {
			if fits(concrete(m.Type)) {
				return m
			}
		}
	}
	return nil
}

// concrete is a media type that a range covers.
func concrete(t string) string {
	switch {
	case t == "*/*" || t == "application/*":
		return "application/json"
	case strings.HasSuffix(t, "/*"):
		return strings.TrimSuffix(t, "*") + map[string]string{"text/": "plain", "image/": "png", "audio/": "mpeg", "video/": "mp4"}[strings.TrimSuffix(t, "*")]
	}
	return t
}

func (r *Request) declared() *spec.MediaType {
	for _, m := range r.Operation.Body.Content {
		if concrete(m.Type) == r.MediaType {
			return m
		}
	}
	return nil
}

func (r *Request) writeBody() error {
	mt := r.declared()
	contentType := r.MediaType
	switch {
	case isJSON(r.MediaType):
		r.Body = value.Append(nil, r.body)
	case r.MediaType == formType:
		if r.body.Kind != value.Object {
			return fmt.Errorf("a form should be an object, not %s", r.body.Kind)
		}
		r.Body = []byte(strings.Join(formPairs(mt, r.body), "&"))
	case r.MediaType == multipartType:
		if r.body.Kind != value.Object {
			return fmt.Errorf("a form should be an object, not %s", r.body.Kind)
		}
		body, err := multipartBody(mt, r.body)
		if err != nil {
			return err
		}
		r.Body = body
		contentType += "; boundary=" + boundary
	case strings.HasSuffix(r.MediaType, "xml"):
		return fmt.Errorf("%w: %s", ErrMediaType, r.MediaType)
	case r.body.Kind == value.String:
		r.Body = []byte(r.body.Text)
	default:
		return fmt.Errorf("%w: %s of %s", ErrMediaType, r.body.Kind, r.MediaType)
	}
	if r.Body == nil {
		r.Body = []byte{}
	}
	r.Header.Set("Content-Type", contentType)
	return nil
}

func formPairs(mt *spec.MediaType, v *value.Value) []string {
	var out []string
	for i := range v.Kids {
		k := &v.Kids[i]
		p := &spec.Parameter{Name: k.Name, In: "query", Style: "form", Explode: true}
		if e := mt.Encoding[k.Name]; e != nil {
			p.Style, p.Explode = e.Style, e.Explode
			if isJSON(e.ContentType) {
				p.ContentType = e.ContentType
			}
		}
		out = append(out, param.Encode(p, k)...)
	}
	return out
}

func multipartBody(mt *spec.MediaType, v *value.Value) ([]byte, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, fmt.Errorf("writing a multipart body: %w", err)
	}
	for i := range v.Kids {
		parts := []*value.Value{&v.Kids[i]}
		if v.Kids[i].Kind == value.Array {
			parts = parts[:0]
			for j := range v.Kids[i].Kids {
				parts = append(parts, &v.Kids[i].Kids[j])
			}
		}
		for _, part := range parts {
			err := writePart(w, mt, v.Kids[i].Name, part)
			if err != nil {
				return nil, fmt.Errorf("writing a multipart body: %w", err)
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing a multipart body: %w", err)
	}
	return b.Bytes(), nil
}

func writePart(w *multipart.Writer, mt *spec.MediaType, name string, v *value.Value) error {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "%0D", "\n", "%0A").Replace(name)
	h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quoted + `"`}}
	text := v.Text
	contentType := ""
	if e := mt.Encoding[name]; e != nil {
		contentType, _, _ = strings.Cut(e.ContentType, ",")
	}
	switch {
	case v.Kind == value.Array || v.Kind == value.Object || isJSON(contentType):
		text = string(value.Append(nil, v))
		contentType = "application/json"
	case isFile(mt, name):
		h["Content-Disposition"] = []string{`form-data; name="` + quoted + `"; filename="file.bin"`}
		if contentType == "" {
			contentType = "application/octet-stream"
		}
	}
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = p.Write([]byte(text))
	return err
}

// isFile reports whether the schema describes a field as a file: 3.0 by its
// format, 3.1 by contentMediaType or contentEncoding, which leave a string without either.
func isFile(mt *spec.MediaType, name string) bool {
	if mt.Schema == nil {
		return false
	}
	s, ok := mt.Schema.Declared(name)
	if !ok || s == nil {
		return false
	}
	if items := s.Items(); items != nil {
		s = items
	}
	return s.Format() == "binary"
}
