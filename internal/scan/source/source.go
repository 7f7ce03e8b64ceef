package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// Kind is what a source was.
type Kind string

// The kinds of sources.
const (
	OpenAPI Kind = "openapi"
	Postman Kind = "postman"
	HAR     Kind = "har"
)

// Repair is one thing that was wrong with a source, and what was done about it.
type Repair struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`    // 1-based; 0 when the place has none
	Pointer string `json:"pointer,omitempty"` // JSON pointer in the document
	What    string `json:"what"`              // what was wrong, and what was done
}

func (r Repair) String() string {
	at := r.File
	if r.Line > 0 {
		at += fmt.Sprintf(":%d", r.Line)
	}
	if at == "" {
		at = r.Pointer
	}
	return at + ": " + r.What
}

// Probe is one address that was looked at.
type Probe struct {
	URL    string `json:"url"`
	Status int    `json:"status"` // 0: no answer
	Found  string `json:"found"`  // "openapi", "page" (that names a description), "" nothing
}

// Answer is what Get brings.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get fetches an address. It follows no redirects; scope and budget are its
// own, and an error of it ends the search for what it was asked for.
type Get func(ctx context.Context, address string) (*Answer, error)

// Options are what reading a source may do.
type Options struct {
	// Get fetches; nil: nothing is fetched, and an address is an error.
	Get Get
	// Dirs are folders, besides the document's own, that $ref may read from.
	Dirs []string
	// MaxBytes bounds a document; 0: 64 MiB.
	MaxBytes int64
	// Origin is where the API is that is asked for ("https://api.example.com"): of a
	// capture of several origins, the calls that went there. "", or none did: the commonest.
	Origin string
}

// Result is an API and how it was come by.
type Result struct {
	API     *spec.API
	Kind    Kind
	From    string // file or address that held it
	Repairs []Repair
	Probed  []Probe
	// Others are addresses of more descriptions that the target names: of its
	// other groups or services.
	Others []string
	// Origins are where captured requests went to ("https://api.example.com"), the commonest first.
	Origins []string
	// Document is the OpenAPI document that was made of a capture; nil for an OpenAPI source.
	Document []byte
}

const defaultMaxBytes = 64 << 20

// Open reads a description from a file or an http(s) address. Behind an address
// there may be the description itself, a page that shows it, or just the API.
func Open(ctx context.Context, from string, o Options) (*Result, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if isAddress(from) {
		return discover(ctx, from, o)
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("reading the API description: %s is a folder; name the file in it", from)
	}
	if info.Size() > o.MaxBytes {
		return nil, fmt.Errorf("reading the API description: %s has %d bytes; at most %d are read", from, info.Size(), o.MaxBytes)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	o.Dirs = append([]string{filepath.Dir(from)}, o.Dirs...)
	r, err := Read(ctx, data, from, o)
	if err != nil {
		return nil, fmt.Errorf("reading the API description %s: %w", from, err)
	}
	return r, nil
}

// Read makes an API of a source's bytes. name is what repairs call it, and tells
// nothing of what it is: that is seen from the content.
func Read(ctx context.Context, data []byte, name string, o Options) (*Result, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	r := &reading{ctx: ctx, name: name, opts: o}
	data, err := r.plain(data)
	if err != nil {
		return nil, err
	}
	tree, data, err := r.tree(data)
	if err != nil {
		return nil, err
	}
	return r.understand(tree, data)
}

// reading is one source on its way to an API.
type reading struct {
	ctx     context.Context //nolint:containedctx // a reading lives as long as one Read
	name    string
	opts    Options
	repairs []Repair
	lines   lineIndex
}

// maxRepairs bounds how many repairs of one source are told; one mistake of a
// generator can stand at ten thousand places.
const maxRepairs = 500

func (r *reading) repaired(v *value.Value, pointer, format string, args ...any) {
	if len(r.repairs) > maxRepairs {
		return
	}
	rep := Repair{File: r.name, Pointer: pointer, What: fmt.Sprintf(format, args...)}
	if len(r.repairs) == maxRepairs {
		rep = Repair{File: r.name, What: "more repairs were made, which are not listed"}
	} else if v != nil && v.End > 0 {
		rep.Line = r.lines.line(int(v.Start))
	}
	r.repairs = append(r.repairs, rep)
}

func (r *reading) loadOptions() spec.LoadOptions {
	lo := spec.LoadOptions{Dirs: r.opts.Dirs, MaxBytes: r.opts.MaxBytes}
	if base, err := url.Parse(r.name); err == nil && isAddress(r.name) && r.opts.Get != nil {
		lo.AllowRemote = true
		lo.Client = &http.Client{Transport: fetching{r.opts.Get, base}}
		lo.MaxDocuments = 50
	}
	return lo
}

// faults are the first places at which something is wrong with a document of which
// nothing is left: the one that has cost it all is mostly among them.
func (r *reading) faults(problems []spec.Problem) string {
	var out []string
	for _, rep := range r.repairs {
		if rep.Line > 0 {
			out = append(out, fmt.Sprintf("%s:%d: %s", rep.File, rep.Line, rep.What))
		}
	}
	for _, p := range problems {
		if p.Place.Line > 0 && p.Code != "spec.no_operations" {
			out = append(out, fmt.Sprintf("%s:%d: %s", p.Place.File, p.Place.Line, p.Message))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "; what is wrong with it: " + strings.Join(out[:min(3, len(out))], "; ")
}

// understand tells what a tree describes, and makes the API.
func (r *reading) understand(tree *value.Value, data []byte) (*Result, error) {
	switch {
	case isOpenAPI(tree):
		res := &Result{Kind: OpenAPI, From: r.name}
		r.lines = newLineIndex(data)
		tree = r.repairDocument(tree)
		api, err := spec.ParseTree(tree, data, r.name, r.loadOptions())
		if err != nil {
			return nil, err
		}
		if len(api.Operations) == 0 {
			return nil, fmt.Errorf("it declares no operation that can be used%s", r.faults(api.Problems))
		}
		res.API, res.Repairs = api, r.repairs
		return res, nil
	case isPostman(tree):
		return r.capture(Postman, r.postman(tree))
	case isHAR(tree):
		return r.capture(HAR, r.har(tree))
	}
	return nil, errors.New(whatInstead(tree))
}

// capture makes an API of recorded calls.
func (r *reading) capture(kind Kind, c *capture) (*Result, error) {
	if len(c.samples) == 0 {
		return nil, errors.New("it holds no request to an API")
	}
	doc := c.document()
	api, err := spec.Parse(doc, r.name, spec.LoadOptions{MaxBytes: r.opts.MaxBytes * 2})
	if err != nil {
		return nil, fmt.Errorf("making a description of it: %w", err)
	}
	return &Result{API: api, Kind: kind, From: r.name, Repairs: r.repairs, Origins: c.origins(), Document: doc}, nil
}

func isOpenAPI(v *value.Value) bool {
	if v == nil || v.Kind != value.Object {
		return false
	}
	if v.Get("openapi") != nil || v.Get("swagger") != nil || v.Get("paths") != nil && v.Get("item") == nil {
		return true
	}
	return false
}

func isPostman(v *value.Value) bool {
	if v == nil || v.Kind != value.Object {
		return false
	}
	if strings.Contains(v.Get("info").Get("schema").Str(), "getpostman.com") {
		return true
	}
	it := v.Get("item")
	return it != nil && it.Kind == value.Array && v.Get("info").Get("name") != nil
}

func isHAR(v *value.Value) bool {
	e := v.Get("log").Get("entries")
	return e != nil && e.Kind == value.Array
}

// whatInstead says what a document that is none of the known ones seems to be.
func whatInstead(v *value.Value) string {
	const want = "an OpenAPI document, a Postman collection (v2) and a HAR file can be read"
	switch {
	case v == nil || v.Kind != value.Object && v.Kind != value.Array:
		return "it holds a single value; " + want
	case v.Get("swaggerVersion") != nil:
		return "it is in Swagger 1, which is not read; convert it to OpenAPI first. " + strings.ToUpper(want[:1]) + want[1:]
	case v.Get("asyncapi") != nil:
		return "it is an AsyncAPI document; " + want
	case v.Get("__schema") != nil || v.Get("data").Get("__schema") != nil:
		return "it is a GraphQL schema; " + want
	case v.Get("requests") != nil && v.Get("order") != nil:
		return "it is a Postman collection in the old format (v1); export it as v2.1. " + strings.ToUpper(want[:1]) + want[1:]
	case v.Get("_type").Str() == "export":
		return "it is an Insomnia export; export it as OpenAPI or HAR. " + strings.ToUpper(want[:1]) + want[1:]
	}
	return "it is none of what describes an API here; " + want
}

func isAddress(s string) bool {
	l := strings.ToLower(s[:min(len(s), 8)])
	return strings.HasPrefix(l, "http://") || strings.HasPrefix(l, "https://")
}

// fetching lets $ref be fetched by the caller's Get, from the document's own origin.
type fetching struct {
	get  Get
	base *url.URL
}

func (f fetching) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != f.base.Scheme || !strings.EqualFold(req.URL.Host, f.base.Host) {
		return nil, fmt.Errorf("%s is another origin than the description's, %s://%s", req.URL.Host, f.base.Scheme, f.base.Host)
	}
	a, err := f.get(req.Context(), req.URL.String())
	if err != nil {
		return nil, err
	}
	return a.response(req), nil
}
