package scan

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"strings"
	"sync"
	"testing"
)

// attic keeps pictures and papers under the names that they come with, wherever
// those lead, however large they are, and gives them out as what their names say.
// Its fixed twin takes the last element of a name, and counts.
type attic struct {
	open bool

	mu    sync.Mutex
	files map[string][]byte // by path
}

const atticSpec = `openapi: 3.0.3
info: {title: Attic, version: "1"}
paths:
  /boxes:
    post:
      summary: Put a picture into a box
      description: A picture of at most 300 KB.
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, required: [file], properties: {file: {type: string, format: binary}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {url: {type: string}}}}}}}
`

// nameOf is the name that a part came with: all of it, as the open one has it.
func nameOf(h textproto.MIMEHeader) string {
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

func (a *attic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	if r.Method == http.MethodPost && r.URL.Path == "/boxes" {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			say(400, map[string]any{"error": "no form"})
			return
		}
		part, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
		if err != nil {
			say(400, map[string]any{"error": "no file"})
			return
		}
		text, _ := io.ReadAll(part)
		name := nameOf(part.Header)
		if i := strings.IndexByte(name, 0); i >= 0 && a.open {
			name = name[:i] // where a string ends at the first NUL
		}
		picture := strings.HasSuffix(nameOf(part.Header), ".png") || strings.HasPrefix(part.Header.Get("Content-Type"), "image/png")
		if !a.open {
			name = path.Base(strings.ReplaceAll(name, `\`, "/"))
			picture = strings.HasSuffix(name, ".png") && !strings.ContainsRune(name, 0) && strings.HasPrefix(string(text), "\x89PNG")
			if len(text) > 300<<10 {
				say(413, map[string]any{"error": "too large"})
				return
			}
		}
		if !picture || name == "" || name == "." || name == "/" {
			say(400, map[string]any{"error": "no picture"})
			return
		}
		at := path.Join("/attic/pictures", name)
		a.files[at] = text
		say(201, map[string]any{"url": at})
		return
	}
	text, ok := a.files[r.URL.Path]
	if !ok {
		say(404, map[string]any{"error": "none"})
		return
	}
	kind := mime.TypeByExtension(path.Ext(r.URL.Path))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(text) // to a client of the test's own
}

func TestAttic(t *testing.T) {
	twins(t, atticSpec, func(_ *testing.T, open bool) http.Handler {
		return &attic{open: open, files: map[string][]byte{}}
	}, []hole{
		{"upload-unrestricted", "POST", "/boxes", "file"},
		{"upload-name", "POST", "/boxes", "file.name"},
		{"upload-size", "POST", "/boxes", "file.size"},
	}, "upload-unrestricted", "upload-name", "upload-size")
}
