package spec

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// SyntaxError is why a text cannot be read as YAML or JSON.
type SyntaxError struct {
	File    string
	Line    int // 1-based
	Pointer string
	Message string
}

func (e *SyntaxError) Error() string {
	at := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.Pointer != "" {
		at += " (" + e.Pointer + ")"
	}
	return at + ": " + e.Message
}

// ReadTree reads a document's text, YAML or JSON, without understanding it. The
// values' offsets are in data. The error is a *SyntaxError where the text is at fault.
func ReadTree(data []byte, name string, o LoadOptions) (*value.Value, error) {
	d, err := newLoader(context.Background(), o).add("file:///"+url.PathEscape(filepath.Base(name)), name, data)
	if err != nil {
		return nil, err
	}
	return d.root, nil
}

// ParseTree makes an API of a tree that was read from data, and perhaps repaired
// since; places are those of data. name is what problems call it; where it is an
// address, relative references and servers start there. Other documents are
// read as Parse reads them.
func ParseTree(root *value.Value, data []byte, name string, o LoadOptions) (*API, error) {
	l := newLoader(context.Background(), o)
	uri, err := l.place(name)
	if err != nil {
		return nil, err
	}
	if isRemote(name) {
		u, err := url.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("parsing the API description %s: %w", name, err)
		}
		u.Fragment = ""
		uri = u.String()
	}
	l.digest = sha256.Sum256(data)
	d := newDocument(uri, name, strings.TrimPrefix(string(data), "\uFEFF"))
	d.root = root
	l.docs[uri] = d
	l.order = append(l.order, d)
	return l.finish(d, name)
}
