package scan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// vernissage takes pictures as its way has it: what it looks at when it takes one,
// and as what it gives one out.
type vernissage struct {
	takes  func(name, kind string, content []byte) bool
	serves func(w http.ResponseWriter, name, kind string, content []byte)
	whole  bool // it tells addresses with the host, and as PHP writes them

	mu    sync.Mutex
	n     int
	hung  map[string][]byte
	names map[string][2]string
}

const vernissageSpec = `openapi: 3.0.3
info: {title: Vernissage, version: "1"}
paths:
  /pictures:
    post:
      summary: Hang a picture
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, required: [picture], properties: {picture: {type: string, format: binary}}}, encoding: {picture: {contentType: image/png}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {address: {type: string}}}}}}}
`

func (g *vernissage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method == http.MethodPost && r.URL.Path == "/pictures" {
		f, h, err := r.FormFile("picture")
		if err != nil {
			http.Error(w, "no picture", http.StatusBadRequest)
			return
		}
		content, _ := io.ReadAll(f)
		if !g.takes(h.Filename, h.Header.Get("Content-Type"), content) {
			http.Error(w, "no picture", http.StatusUnsupportedMediaType)
			return
		}
		g.n++
		at := fmt.Sprintf("/hall-%d/%d%s", g.n%7, g.n, path.Ext(h.Filename))
		g.hung[at], g.names[at] = content, [2]string{h.Filename, h.Header.Get("Content-Type")}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		if g.whole {
			_, _ = io.WriteString(w, `{"address":"`+strings.ReplaceAll("http://"+r.Host+at, "/", `\/`)+`"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"address": at}) // to a client of the test's own
		return
	}
	content, ok := g.hung[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	g.serves(w, g.names[r.URL.Path][0], g.names[r.URL.Path][1], content)
}

// What such look at, and as what they serve.
func byType(_, kind string, _ []byte) bool { return strings.HasPrefix(kind, "image/") }
func byName(name, _ string, _ []byte) bool { return strings.HasSuffix(name, ".png") }
func byBeginning(_, _ string, content []byte) bool {
	return bytes.HasPrefix(content, []byte("GIF8")) || bytes.HasPrefix(content, []byte("\x89PNG"))
}

func byDecoding(_, _ string, content []byte) bool {
	_, err := png.Decode(bytes.NewReader(content))
	return err == nil
}

func hang(w http.ResponseWriter, kind string, content []byte, headers ...string) {
	w.Header().Set("Content-Type", kind)
	for _, h := range headers {
		name, v, _ := strings.Cut(h, ": ")
		w.Header().Set(name, v)
	}
	_, _ = w.Write(content) // to a client of the test's own
}

func asNamed(headers ...string) func(http.ResponseWriter, string, string, []byte) {
	return func(w http.ResponseWriter, name, _ string, content []byte) {
		kind := mime.TypeByExtension(path.Ext(name))
		if kind == "" {
			kind = "application/octet-stream"
		}
		hang(w, kind, content, headers...)
	}
}

func asDeclared(w http.ResponseWriter, _, kind string, content []byte) { hang(w, kind, content) }

func asSniffed(w http.ResponseWriter, _, _ string, content []byte) {
	hang(w, http.DetectContentType(content), content)
}

func asPicture(w http.ResponseWriter, _, _ string, content []byte) {
	hang(w, "image/png", content, "X-Content-Type-Options: nosniff")
}

var reScript = regexp.MustCompile(`(?is)<script.*?</script>`)

func withoutScripts(w http.ResponseWriter, name, kind string, content []byte) {
	asNamed()(w, name, kind, reScript.ReplaceAll(content, nil))
}

// An upload is a hole where it comes back as what browsers run, whatever was
// looked at; and none where anything keeps them from it.
func TestVernissage(t *testing.T) {
	for _, c := range []struct {
		name  string
		open  bool
		whole bool
		g     *vernissage
	}{
		{"the type is believed, the name decides", true, false, &vernissage{takes: byType, serves: asNamed()}},
		{"the same, with whole addresses", true, true, &vernissage{takes: byType, serves: asNamed()}},
		{"the name is believed, the type decides", true, false, &vernissage{takes: byName, serves: asDeclared}},
		{"the name is believed, the content decides", true, false, &vernissage{takes: byName, serves: asSniffed}},
		{"the first bytes are looked at, the name decides", true, false, &vernissage{takes: byBeginning, serves: asNamed()}},
		{"the whole picture is looked at, the name decides", true, false, &vernissage{takes: byDecoding, serves: asNamed()}},
		{"inline, under a policy that runs what is inline", true, false, &vernissage{takes: byType, serves: asNamed("Content-Disposition: inline; filename=a", "Content-Security-Policy: default-src 'self' 'unsafe-inline'")}},
		{"anything is taken, and is served as a picture", false, false, &vernissage{takes: byType, serves: asPicture}},
		{"the name is looked at, and decides", false, false, &vernissage{takes: byName, serves: asNamed()}},
		{"as an attachment", false, false, &vernissage{takes: byType, serves: asNamed("Content-Disposition: attachment; filename=a")}},
		{"in a sandbox", false, false, &vernissage{takes: byType, serves: asNamed("Content-Security-Policy: sandbox")}},
		{"under a policy that runs nothing", false, false, &vernissage{takes: byType, serves: asNamed("Content-Security-Policy: default-src 'none'; style-src 'unsafe-hashes'")}},
		{"without scripts", false, false, &vernissage{takes: byType, serves: withoutScripts}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.g
			g.whole, g.hung, g.names = c.whole, map[string][]byte{}, map[string][2]string{}
			found := tested(t, vernissageSpec, g, "upload-unrestricted").Report.Findings
			if c.open != has(found, "upload-unrestricted", "POST", "/pictures", "file") || len(found) > 1 {
				t.Errorf("found %q, open: %v", wheres(found), c.open)
			}
		})
	}
}
