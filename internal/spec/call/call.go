package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// Options say what kind of requests are made. The zero value is good.
type Options struct {
	// Optional is the chance of an optional parameter or property, 0 to 1; 0
	// means one half. Below 0 makes none.
	Optional float64
	// Examples takes the document's examples first, where they fit.
	Examples bool
	// MayWrite, when set, leaves out properties that the caller may not write.
	MayWrite func(roles []string) bool
	// Values are used instead of made ones, by "in.name": "path.id", "query.page".
	Values map[string]value.Value
	// MediaType picks the body's; "" the first that can be written.
	MediaType string
	// BasePath goes before the path; nil takes that of the operation's first server.
	BasePath *string
}

func (o *Options) generate() generate.Options {
	return generate.Options{Direction: schema.Request, Strict: true, MayWrite: o.MayWrite, Examples: o.Examples, Optional: o.Optional}
}

// Request is one request of an operation.
type Request struct {
	Operation *spec.Operation
	Method    string
	Path      string // percent-encoded, with the base path
	Query     string // encoded, without the question mark
	Header    http.Header
	Body      []byte // nil: none
	MediaType string // of the body, without parameters

	values map[*spec.Parameter]value.Value
	body   *value.Value
}

// Target is the path with the query.
func (r *Request) Target() string {
	if r.Query == "" {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

// Value is the value that the request carries for a parameter.
func (r *Request) Value(p *spec.Parameter) (value.Value, bool) {
	v, ok := r.values[p]
	return v, ok
}

// HTTP makes an http.Request of it. origin is a scheme and host: "https://localhost:8443".
func (r *Request) HTTP(ctx context.Context, origin string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, strings.TrimSuffix(origin, "/")+r.Target(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("making a request of %s: %w", r.Operation.ID, err)
	}
	if r.Body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	for k, v := range r.Header {
		req.Header[k] = append([]string(nil), v...)
	}
	return req, nil
}

// The errors of New.
var (
	ErrUnroutable = errors.New("no request can reach the operation")
	ErrMediaType  = errors.New("the operation takes no media type that can be written")
	ErrNoRequest  = errors.New("no request was found that reads back as it was meant")
)

// attempts is how often values are made anew when what is written does not read
// back: a text with a slash in a path, a line break in a header, an id that is
// another operation's literal.
const attempts = 30

// New makes a request that the document allows.
func New(api *spec.API, op *spec.Operation, rng *rand.Rand, o Options) (*Request, error) {
	if op.Unroutable != "" {
		return nil, fmt.Errorf("making a request of %s: %w: %s", op.ID, ErrUnroutable, op.Unroutable)
	}
	var last error
	for range attempts {
		r, err := draw(op, rng, &o)
		if err != nil {
			return nil, fmt.Errorf("making a request of %s: %w", op.ID, err)
		}
		last = r.write(&o)
		if last == nil {
			last = Check(api, r)
		}
		if last == nil {
			return r, nil
		}
		if errors.Is(last, ErrMediaType) {
			break
		}
	}
	if errors.Is(last, ErrMediaType) {
		return nil, fmt.Errorf("making a request of %s: %w", op.ID, last)
	}
	return nil, fmt.Errorf("making a request of %s: %w: %w", op.ID, ErrNoRequest, last)
}

// draw picks the values of a request.
func draw(op *spec.Operation, rng *rand.Rand, o *Options) (*Request, error) {
	r := &Request{Operation: op, Method: op.Method, Header: http.Header{}, values: map[*spec.Parameter]value.Value{}}
	for _, p := range op.Parameters {
		if v, ok := o.Values[p.In+"."+p.Name]; ok {
			r.values[p] = v
			continue
		}
		if !p.Required && !chance(rng, o.Optional) {
			continue
		}
		v, err := parameterValue(p, rng, o)
		if err != nil {
			if !p.Required {
				continue
			}
			return nil, fmt.Errorf("parameter %s in %s: %w", p.Name, p.In, err)
		}
		r.values[p] = v
	}
	if op.Body == nil || !op.Body.Required && (op.Method == http.MethodGet || op.Method == http.MethodHead || !chance(rng, o.Optional)) {
		return r, nil
	}
	mt := pickMediaType(op.Body.Content, o.MediaType)
	if mt == nil {
		if !op.Body.Required {
			return r, nil
		}
		return nil, ErrMediaType
	}
	v := value.Value{Kind: value.String, Text: "text"}
	if mt.Schema != nil {
		var err error
		v, err = generate.Value(mt.Schema, rng, o.generate())
		if err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	r.MediaType, r.body = concrete(mt.Type), &v
	return r, nil
}

func chance(rng *rand.Rand, optional float64) bool {
	switch {
	case optional == 0:
		optional = 0.5
	case optional < 0:
		return false
	}
	return rng.Float64() < optional
}

func parameterValue(p *spec.Parameter, rng *rand.Rand, o *Options) (value.Value, error) {
	if p.Schema == nil || p.Schema.Anything() {
		return value.Value{Kind: value.String, Text: fmt.Sprintf("v%d", rng.IntN(1000)), Untyped: true}, nil
	}
	g := o.generate()
	if p.Example != nil && o.Examples && p.Schema.Valid(p.Example, nil) {
		return generate.Clone(p.Example), nil
	}
	// Most styles write one level only, and an empty list not at all.
	g.Depth = 2
	return generate.Value(p.Schema, rng, g)
}

// write makes the request's text of its values.
func (r *Request) write(o *Options) error {
	var path, query, cookies []string
	for _, p := range r.Operation.PathParams {
		v := r.values[p]
		path = append(path, strings.Join(param.Encode(p, &v), ""))
	}
	r.Header = http.Header{}
	for _, p := range r.Operation.Parameters {
		v, ok := r.values[p]
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
			if len(texts) != 1 || !headerText(texts[0]) {
				return fmt.Errorf("parameter %s: the text cannot stand in a header", p.Name)
			}
			r.Header.Set(p.Name, texts[0])
		}
	}
	if len(cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	r.Query = strings.Join(query, "&")
	base := ""
	switch {
	case o.BasePath != nil:
		base = *o.BasePath
	case len(r.Operation.Servers) > 0:
		base = r.Operation.Servers[0].BasePath
	}
	r.Path = base + r.Operation.Expand(path)
	if r.body == nil {
		return nil
	}
	return r.writeBody()
}

// headerText: RFC 9110 section 5.5, and no text that a server would trim.
func headerText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f || s[i] > 0x7f {
			return false
		}
	}
	return s == strings.TrimSpace(s)
}
