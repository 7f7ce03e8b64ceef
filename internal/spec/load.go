package spec

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// LoadOptions say what loading may read and how much.
type LoadOptions struct {
	// AllowRemote lets $ref fetch http and https addresses. The root document
	// may be an address without it.
	AllowRemote bool
	// Dirs are folders, besides the root document's own, that $ref may read from.
	Dirs []string
	// Client fetches remote documents; nil: one with a time-out of 30 s.
	Client *http.Client
	// MaxBytes bounds each document; 0: 64 MiB.
	MaxBytes int64
	// MaxDocuments bounds how many files one API may have; 0: 1,000.
	MaxDocuments int
	// MaxNodes bounds the values of one document; 0: 20 million.
	MaxNodes int
	// MaxDepth bounds the nesting of one document; 0: 500.
	MaxDepth int
	// BasePaths, when not nil, replaces the base paths that the document's
	// servers give: where the API is mounted on this gateway. "" is the root.
	BasePaths []string
	// Schema is handed to the schema compiler.
	Schema schema.CompilerOptions
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 30 * time.Second}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxDocuments == 0 {
		o.MaxDocuments = 1000
	}
	if o.MaxNodes == 0 {
		o.MaxNodes = 20_000_000
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = 500
	}
	return o
}

// Load reads an API's description from a file or an http(s) address. It fails
// only when nothing of it is usable; everything else that is wrong is in
// API.Problems.
func Load(ctx context.Context, source string, o LoadOptions) (*API, error) {
	l := newLoader(ctx, o)
	var uri string
	if isRemote(source) {
		u, err := url.Parse(source)
		if err != nil {
			return nil, fmt.Errorf("loading the API description %s: %w", source, err)
		}
		u.Fragment = ""
		uri = u.String()
		l.root = uri
	} else {
		abs, err := filepath.Abs(source)
		if err != nil {
			return nil, fmt.Errorf("loading the API description %s: %w", source, err)
		}
		l.dirs = append(l.dirs, filepath.Dir(abs))
		l.rootDir = filepath.Dir(abs)
		l.shownDir = filepath.Dir(source)
		uri = fileURI(abs)
	}
	for _, d := range o.Dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, fmt.Errorf("loading the API description %s: folder %s: %w", source, d, err)
		}
		l.dirs = append(l.dirs, abs)
	}
	data, err := l.fetch(uri)
	if err != nil {
		return nil, fmt.Errorf("loading the API description %s: %w", source, err)
	}
	return l.build(uri, source, data)
}

// Parse reads an API's description from memory. name is what problems call it.
// Other files are read only from o.Dirs; relative references start in the first.
func Parse(data []byte, name string, o LoadOptions) (*API, error) {
	l := newLoader(context.Background(), o)
	uri, err := l.place(name)
	if err != nil {
		return nil, err
	}
	return l.build(uri, name, data)
}

// place opens the options' folders, and gives a document from memory its URI in the first.
func (l *loader) place(name string) (uri string, err error) {
	uri = "file:///" + url.PathEscape(filepath.Base(name))
	for i, d := range l.opts.Dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return "", fmt.Errorf("parsing the API description %s: folder %s: %w", name, d, err)
		}
		if i == 0 {
			uri = fileURI(filepath.Join(abs, filepath.Base(name)))
			l.rootDir, l.shownDir = abs, d
		}
		l.dirs = append(l.dirs, abs)
	}
	return uri, nil
}

// loader reads documents and remembers them.
type loader struct {
	ctx      context.Context //nolint:containedctx // a loader lives as long as one Load
	opts     LoadOptions
	root     string   // address of a remote root
	dirs     []string // absolute; files may be read from below them
	rootDir  string
	shownDir string
	docs     map[string]*document
	order    []*document
	failed   map[string]string // URI: why it could not be read
	digest   [sha256.Size]byte
	problems *problemList
}

func newLoader(ctx context.Context, o LoadOptions) *loader {
	return &loader{ctx: ctx, opts: o.withDefaults(), docs: map[string]*document{}, failed: map[string]string{}, problems: &problemList{}}
}

// problemList gathers problems. A generated document can make one mistake at
// ten thousand places: past a bound of one kind only their number is kept.
type problemList struct {
	list  []Problem
	count map[string]int
}

const maxProblemsOfOneCode = 1000

func (l *problemList) add(p Problem) {
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.count[p.Code]++
	if l.count[p.Code] <= maxProblemsOfOneCode {
		l.list = append(l.list, p)
	}
}

func (l *problemList) finish() []Problem {
	for i := range l.list {
		p := &l.list[i]
		if n := l.count[p.Code]; n > maxProblemsOfOneCode {
			p.Message += fmt.Sprintf(" (%d more of this kind are not listed)", n-maxProblemsOfOneCode)
			l.count[p.Code] = 0
		}
	}
	return l.list
}

func (l *loader) build(uri, name string, data []byte) (*API, error) {
	root, err := l.add(uri, name, data)
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	return l.finish(root, name)
}

// finish makes the model of the root document.
func (l *loader) finish(root *document, name string) (*API, error) {
	l.follow(root)
	api, err := newBuilder(l, root).makeAPI(name)
	if err != nil {
		return nil, err
	}
	api.Digest = hex.EncodeToString(l.digest[:])
	api.Problems = l.problems.finish()
	return api, nil
}

// add reads a document's text into a tree.
func (l *loader) add(uri, name string, data []byte) (*document, error) {
	if int64(len(data)) > l.opts.MaxBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, l.opts.MaxBytes)
	}
	sum := sha256.Sum256(data)
	l.digest = sha256.Sum256(append(l.digest[:], sum[:]...))
	src := strings.TrimPrefix(string(data), "\uFEFF")
	d := newDocument(uri, name, src)
	limits := treeLimits{depth: l.opts.MaxDepth, nodes: l.opts.MaxNodes}
	var pending []Problem
	report := func(s Severity, code string, offset int, pointer, message string) {
		if len(pending) <= maxProblemsOfOneCode {
			pending = append(pending, Problem{Severity: s, Code: code, Message: message,
				Place: Place{File: name, Line: d.line(offset), Pointer: pointer}})
		}
	}
	var v *value.Value
	var bad *readError
	text := strings.TrimLeft(src, " \t\r\n")
	looksJSON := text != "" && (text[0] == '{' || text[0] == '[')
	if looksJSON {
		v, bad = readJSON(src, limits, report)
	}
	if !looksJSON || (bad != nil && !strings.HasSuffix(strings.ToLower(name), ".json")) {
		kept := pending
		pending = nil
		y, yamlBad := readYAML(src, d.lines, limits, report)
		switch {
		case yamlBad == nil:
			v, bad = y, nil
		case looksJSON:
			pending = kept // it looks like JSON: what is wrong with it as JSON says more
		default:
			bad = yamlBad
		}
	}
	if bad != nil {
		return nil, &SyntaxError{File: name, Line: d.line(bad.offset), Pointer: bad.pointer, Message: bad.message}
	}
	for _, p := range pending {
		l.problems.add(p)
	}
	d.root = v
	l.docs[uri] = d
	l.order = append(l.order, d)
	return d, nil
}

// open returns the document of an absolute URI, reading it when it is new.
func (l *loader) open(uri string) (*document, error) {
	if d := l.docs[uri]; d != nil {
		return d, nil
	}
	if why, ok := l.failed[uri]; ok {
		return nil, errors.New(why)
	}
	d, err := l.read(uri)
	if err != nil {
		l.failed[uri] = err.Error()
		return nil, err
	}
	return d, nil
}

func (l *loader) read(uri string) (*document, error) {
	if len(l.docs) >= l.opts.MaxDocuments {
		return nil, fmt.Errorf("more than %d documents", l.opts.MaxDocuments)
	}
	if isRemote(uri) && !l.opts.AllowRemote {
		return nil, errors.New("remote references are off; copy the document beside this one, or allow remote references")
	}
	data, err := l.fetch(uri)
	if err != nil {
		return nil, err
	}
	d, err := l.add(uri, l.shownName(uri), data)
	if err != nil {
		return nil, err
	}
	l.follow(d)
	return d, nil
}

func (l *loader) shownName(uri string) string {
	path, ok := filePath(uri)
	if !ok {
		return uri
	}
	rel, err := filepath.Rel(l.rootDir, path)
	if l.rootDir == "" || err != nil {
		return path
	}
	return filepath.Join(l.shownDir, rel)
}

func (l *loader) fetch(uri string) ([]byte, error) {
	if isRemote(uri) {
		return l.fetchRemote(uri)
	}
	path, ok := filePath(uri)
	if !ok {
		return nil, errors.New("only files and http(s) addresses can be read")
	}
	for _, dir := range l.dirs {
		rel, err := filepath.Rel(dir, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		// OpenInRoot refuses symbolic links that lead out of dir as well.
		f, err := os.OpenInRoot(dir, rel)
		if err != nil {
			return nil, fmt.Errorf("opening the file: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("opening the file: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, errors.New("it is no regular file")
		}
		return l.readAll(f)
	}
	return nil, errors.New("the file is outside the folder of the root document; move it there or allow its folder")
}

func (l *loader) fetchRemote(uri string) ([]byte, error) {
	req, err := http.NewRequestWithContext(l.ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/yaml, text/yaml, */*;q=0.1")
	resp, err := l.opts.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching: the answer was %s", resp.Status)
	}
	return l.readAll(resp.Body)
}

func (l *loader) readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, l.opts.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if int64(len(data)) > l.opts.MaxBytes {
		return nil, fmt.Errorf("larger than %d bytes", l.opts.MaxBytes)
	}
	return data, nil
}

// follow opens the documents that d refers to, so that the schema compiler, which
// fetches nothing, finds them. What cannot be opened is told where it is used.
func (l *loader) follow(d *document) {
	var walk func(v *value.Value, names bool)
	walk = func(v *value.Value, names bool) {
		for i := range v.Kids {
			k := &v.Kids[i]
			if v.Kind == value.Array {
				walk(k, false)
				continue
			}
			if !names {
				switch k.Name {
				case "$ref":
					if k.Kind == value.String && !strings.HasPrefix(k.Text, "#") {
						if uri, _, err := resolveURI(d.uri, k.Text); err == nil && uri != d.uri {
							_, _ = l.open(uri) // remembered in l.failed
						}
					}
					continue
				case "example", "examples", "default", "enum", "const":
					continue
				}
				if strings.HasPrefix(k.Name, "x-") {
					continue
				}
			}
			walk(k, !names && holdsNames[k.Name])
		}
	}
	walk(d.root, false)
}

// holdsNames are the keywords whose members' names are the author's.
var holdsNames = map[string]bool{
	"properties": true, "patternProperties": true, "definitions": true, "$defs": true, "dependentSchemas": true,
	"schemas": true, "parameters": true, "responses": true, "requestBodies": true, "headers": true,
	"securitySchemes": true, "links": true, "callbacks": true, "pathItems": true, "paths": true, "webhooks": true, "content": true, "encoding": true,
}

// resolveURI resolves a $ref against the document it stands in.
func resolveURI(base, ref string) (uri, pointer string, err error) {
	target, fragment, _ := strings.Cut(ref, "#")
	if p, perr := url.PathUnescape(fragment); perr == nil {
		fragment = p
	}
	if target == "" {
		return base, fragment, nil
	}
	b, err := url.Parse(base)
	if err != nil {
		return "", "", err
	}
	u, err := b.Parse(target)
	if err != nil {
		return "", "", err
	}
	return u.String(), fragment, nil
}

func isRemote(s string) bool {
	l := strings.ToLower(s[:min(len(s), 8)])
	return strings.HasPrefix(l, "http://") || strings.HasPrefix(l, "https://")
}

func fileURI(abs string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String()
}

func filePath(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || (u.Host != "" && u.Host != "localhost") {
		return "", false
	}
	return filepath.FromSlash(u.Path), true
}
