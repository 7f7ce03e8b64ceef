package source

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"unicode/utf16"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

func (a *Answer) response(req *http.Request) *http.Response {
	h := a.Header
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: a.Status, Status: fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status)), Header: h, Request: req,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body))}
}

// lineIndex finds the line of a byte.
type lineIndex []int

func newLineIndex(data []byte) lineIndex {
	l := lineIndex{0}
	for i, c := range data {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

func (l lineIndex) line(offset int) int {
	return sort.Search(len(l), func(i int) bool { return l[i] > offset })
}

// plain undoes what stands between a file and its text: compression, UTF-16, a
// byte order mark, NULs at the end.
func (r *reading) plain(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("unpacking it: %w", err)
		}
		data, err = io.ReadAll(io.LimitReader(z, r.opts.MaxBytes+1))
		if err != nil {
			return nil, fmt.Errorf("unpacking it: %w", err)
		}
		if int64(len(data)) > r.opts.MaxBytes {
			return nil, fmt.Errorf("unpacked it has more than %d bytes", r.opts.MaxBytes)
		}
	}
	if len(data) >= 2 && (data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff) {
		big := data[0] == 0xfe
		u := make([]uint16, 0, len(data)/2)
		for i := 2; i+1 < len(data); i += 2 {
			lo, hi := data[i], data[i+1]
			if big {
				lo, hi = hi, lo
			}
			u = append(u, uint16(lo)|uint16(hi)<<8)
		}
		data = []byte(string(utf16.Decode(u)))
		r.repaired(nil, "", "the text is in UTF-16; it was read as UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.TrimRight(data, "\x00")
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	return data, nil
}

// tree reads a text into a tree, and repairs the text where it must to do so.
// It returns the text that the tree's offsets are in.
func (r *reading) tree(data []byte) (*value.Value, []byte, error) {
	if looksLikePage(data) {
		inner, what := embedded(data)
		if inner == nil {
			return nil, nil, errors.New("it is a web page, and no API description is embedded in it")
		}
		r.repaired(nil, "", "the description was taken out of %s", what)
		data = inner
	}
	v, err := spec.ReadTree(data, r.name, r.loadOptions())
	if err == nil && usableTree(v) {
		return r.unwrap(v), data, nil
	}
	first := err
	text := bytes.TrimSpace(data)
	if fenced := unfence(data); fenced != nil {
		r.repaired(nil, "", "the fence of Markdown around it was taken away")
		data = fenced
		if v, err = spec.ReadTree(data, r.name, r.loadOptions()); err == nil && usableTree(v) {
			return r.unwrap(v), data, nil
		}
		text = bytes.TrimSpace(data)
	}
	if inner, what := embedded(data); inner != nil && (len(text) == 0 || text[0] != '{' && text[0] != '[') {
		if v, err := spec.ReadTree(inner, r.name, r.loadOptions()); err == nil && usableTree(v) {
			r.repaired(nil, "", "the description was taken out of %s", what)
			return r.unwrap(v), inner, nil
		}
	}
	if len(text) > 0 && (text[0] == '{' || text[0] == '[' || bytes.HasPrefix(text, []byte("//")) || bytes.HasPrefix(text, []byte("/*"))) {
		if fixed, what := lenientJSON(data); fixed != nil {
			if v, err := spec.ReadTree(fixed, r.name, r.loadOptions()); err == nil && usableTree(v) {
				r.repaired(nil, "", "it is no strict JSON: %s", what)
				return r.unwrap(v), fixed, nil
			}
		}
	}
	if v, fixed := r.fixYAML(data); v != nil && usableTree(v) {
		return r.unwrap(v), fixed, nil
	}
	if first == nil {
		first = errors.New(whatInstead(v))
	}
	return nil, nil, first
}

func usableTree(v *value.Value) bool {
	return v != nil && (v.Kind == value.Object || v.Kind == value.Array)
}

// unwrap takes a document out of what APIs of tools put around it.
func (r *reading) unwrap(v *value.Value) *value.Value {
	for range 4 {
		if isOpenAPI(v) || isPostman(v) || isHAR(v) {
			return v
		}
		var inner *value.Value
		if v.Kind == value.Array && len(v.Kids) == 1 {
			inner = &v.Kids[0]
		}
		for _, name := range []string{"data", "spec", "swaggerDoc", "openapi", "swagger", "definition", "collection", "result", "body", "document", "schema", "menu"} {
			if k := v.Get(name); k != nil && (k.Kind == value.Object || k.Kind == value.Array && len(k.Kids) == 1) {
				inner = k
				break
			}
		}
		if inner == nil || !usableTree(inner) {
			return v
		}
		if !isOpenAPI(inner) && !isPostman(inner) && !isHAR(inner) {
			deeper := *inner
			v = &deeper
			continue
		}
		r.repaired(nil, "/"+inner.Name, "the description is wrapped in another object; it was taken out")
		return inner
	}
	return v
}

func looksLikePage(data []byte) bool {
	head := strings.ToLower(string(bytes.TrimSpace(data[:min(len(data), 2048)])))
	return strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<head") || strings.HasPrefix(head, "<!--") || strings.HasPrefix(head, "<script")
}

// starts are where pages and scripts hold a whole description: an object that follows.
var starts = regexp.MustCompile(`(?:["']?(?:swaggerDoc|swaggerDocument|spec|openapiSpec|openApiSpec|apiDocs|definition|content)["']?\s*[:=]\s*|__redoc_state\s*=\s*|<script[^>]+type=["']application/(?:json|yaml)["'][^>]*>\s*|(?:module\.exports|export\s+default|(?:const|let|var)\s+\w+|window\.\w+)\s*=?\s*)\{`)

// embedded finds a description inside a page or a script, and says inside what.
func embedded(data []byte) (doc []byte, what string) {
	for _, at := range starts.FindAllIndex(data, 50) {
		open := at[1] - 1
		end := balanced(data, open)
		if end < 0 {
			continue
		}
		text := data[open:end]
		if !bytes.Contains(text, []byte("paths")) {
			continue
		}
		if !json.Valid(text) {
			if text, _ = lenientJSON(text); text == nil {
				continue
			}
		}
		v, err := spec.ReadTree(text, "embedded.json", spec.LoadOptions{})
		if err != nil {
			continue
		}
		switch {
		case isOpenAPI(v):
		case isOpenAPI(v.Get("swaggerDoc")):
			v = v.Get("swaggerDoc")
		case isOpenAPI(v.Get("spec").Get("data")):
			v = v.Get("spec").Get("data")
		case isOpenAPI(v.Get("spec")):
			v = v.Get("spec")
		case isOpenAPI(v.Get("customOptions").Get("swaggerDoc")):
			v = v.Get("customOptions").Get("swaggerDoc")
		default:
			continue
		}
		what = "a script"
		if looksLikePage(data) {
			what = "a web page"
		}
		return text[v.Start:v.End], what
	}
	return nil, ""
}

// balanced is the end of the object or list that starts at open, -1 when it has none.
func balanced(data []byte, open int) int {
	depth := 0
	for i := open; i < len(data); i++ {
		switch c := data[i]; c {
		case '"', '\'', '`':
			for i++; i < len(data) && data[i] != c; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '/':
			if i+1 < len(data) && data[i+1] == '*' {
				j := bytes.Index(data[i+2:], []byte("*/"))
				if j < 0 {
					return -1
				}
				i += j + 3
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// unfence takes ```yaml … ``` away.
func unfence(data []byte) []byte {
	text := string(data)
	i := strings.Index(text, "```")
	if i < 0 || strings.TrimSpace(text[:i]) != "" && !strings.HasPrefix(strings.TrimSpace(text[:i]), "#") {
		return nil
	}
	line := strings.IndexByte(text[i:], '\n')
	if line < 0 {
		return nil
	}
	rest := text[i+line+1:]
	if j := strings.LastIndex(rest, "```"); j >= 0 {
		rest = rest[:j]
	}
	return []byte(rest)
}
