package call

import (
	"fmt"
	"mime"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Fault is what is wrong with a request, as its document sees it.
type Fault struct {
	Where   string // "route", "path", "query", "header", "cookie", "body"
	Name    string // of the parameter
	Keyword string // as in schema.Fault, or "missing", "unknown", "syntax", "mediaType", or a param.Error's code
	Pointer string // in the value
	Message string
}

func (f *Fault) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s%s: %s: %s", f.Where, f.Name, f.Pointer, f.Keyword, f.Message))
}

// Check reads a request as a server would that holds callers to the document,
// and returns the first *Fault it finds, or nil.
func Check(api *spec.API, r *Request) error {
	m := api.Route(r.Method, "", r.Path)
	if m.Operation != r.Operation {
		return &Fault{Where: "route", Keyword: "route", Message: "the path is not routed to the operation"}
	}
	for _, p := range m.Params {
		// A gateway refuses these whatever the schema says: servers read them differently.
		if strings.ContainsAny(p, "/\\\x00") || p == "." || p == ".." {
			return &Fault{Where: "path", Keyword: "ambiguous", Message: "the text cannot stand in a path"}
		}
	}
	query, err := value.Query(r.Query, value.Limits{})
	if err != nil {
		return &Fault{Where: "query", Keyword: "syntax", Message: err.Error()}
	}
	src := &param.Source{Operation: r.Operation, Path: m.Params, Query: query, Header: r.Header, Cookies: param.Cookies(r.Header["Cookie"])}
	for _, p := range r.Operation.Parameters {
		v, found, err := param.Decode(p, src)
		switch {
		case err != nil:
			return &Fault{Where: p.In, Name: p.Name, Keyword: err.Code, Message: err.Message}
		case !found && p.Required:
			return &Fault{Where: p.In, Name: p.Name, Keyword: "missing", Message: "a required parameter is missing"}
		case found && p.Schema != nil:
			if faults := p.Schema.Validate(&v, &schema.Options{Direction: schema.Request}); len(faults) > 0 {
				return fault(p.In, p.Name, faults[0])
			}
		}
	}
	for _, pair := range query {
		known := false
		for _, p := range r.Operation.Parameters {
			known = known || p.In == "query" && param.Claims(p, pair.Name)
		}
		if !known {
			return &Fault{Where: "query", Name: pair.Name, Keyword: "unknown", Message: "the operation declares no such parameter"}
		}
	}
	return checkBody(r)
}

func fault(where, name string, f schema.Fault) *Fault {
	return &Fault{Where: where, Name: name, Keyword: f.Keyword, Pointer: f.Pointer, Message: f.Message}
}

func checkBody(r *Request) error {
	b := r.Operation.Body
	switch {
	case r.Body == nil && (b == nil || !b.Required):
		return nil
	case r.Body == nil:
		return &Fault{Where: "body", Keyword: "missing", Message: "a required body is missing"}
	case b == nil:
		return &Fault{Where: "body", Keyword: "unknown", Message: "the operation takes no body"}
	}
	contentType, attrs, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return &Fault{Where: "body", Keyword: "mediaType", Message: err.Error()}
	}
	var mt *spec.MediaType
	for _, m := range b.Content {
		if kind, _, _ := strings.Cut(contentType, "/"); m.Type == contentType || mt == nil && (m.Type == kind+"/*" || m.Type == "*/*") {
			mt = m
		}
	}
	if mt == nil {
		return &Fault{Where: "body", Keyword: "mediaType", Message: "the operation does not take this content type"}
	}
	v, err := decodeBody(mt, contentType, attrs["boundary"], r.Body)
	if err != nil {
		return err
	}
	if mt.Schema == nil {
		return nil
	}
	if faults := mt.Schema.Validate(v, &schema.Options{Direction: schema.Request, Strict: true}); len(faults) > 0 {
		return fault("body", "", faults[0])
	}
	return nil
}

func decodeBody(mt *spec.MediaType, contentType, bound string, body []byte) (*value.Value, error) {
	syntax := func(err error) error { return &Fault{Where: "body", Keyword: "syntax", Message: err.Error()} }
	var v *value.Value
	var err error
	switch {
	case isJSON(contentType):
		v, err = value.JSON(body, value.Limits{})
	case contentType == formType:
		v, err = value.Form(body, value.Limits{})
	case contentType == multipartType:
		v, _, err = value.Multipart(body, bound, value.Limits{})
	default:
		return &value.Value{Kind: value.String, Text: string(body)}, nil
	}
	if err != nil {
		return nil, syntax(err)
	}
	if isJSON(contentType) {
		return v, nil
	}
	form, perr := param.Form(mt, *v, value.Limits{})
	if perr != nil {
		return nil, &Fault{Where: "body", Name: perr.Param.Name, Keyword: perr.Code, Message: perr.Message}
	}
	return &form, nil
}
