package scan

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// darkroom stores a setting as it is sent, and breaks over it ever after where it is deep.
type darkroom struct {
	mu    sync.Mutex
	style []byte
	broke int
}

const darkroomSpec = `openapi: 3.0.3
info: {title: Darkroom, version: "1"}
paths:
  /style:
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [paper], properties: {paper: {type: string}}}}}}
      responses: {"200": {description: ok}}
    get: {responses: {"200": {description: ok}}}
`

func (d *darkroom) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.URL.Path != "/style" {
		http.NotFound(w, q)
		return
	}
	if q.Method == http.MethodPut {
		d.style, _ = io.ReadAll(q.Body)
	}
	w.Header().Set("Content-Type", "application/json")
	if bytes.Contains(d.style, []byte(strings.Repeat("[", 1000))) {
		d.broke++
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte(`{"saved":true}`))
}

// TestDarkroom: what a deep body has broken for whoever reads it is put right, so that the
// checks that come after find it whole, and whoever owns it.
func TestDarkroom(t *testing.T) {
	t.Parallel()
	d := &darkroom{}
	got := rows(t, darkroomSpec, d, "deep-nesting")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broke == 0 || len(got) != 1 {
		t.Fatalf("the hole is not found: %q", got)
	}
	if bytes.Contains(d.style, []byte("[[[")) {
		t.Errorf("the deep value is still there: %.40s", d.style)
	}
}
