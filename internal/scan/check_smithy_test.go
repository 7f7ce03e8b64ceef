package scan

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
)

const smithySpec = `openapi: 3.0.3
info: {title: Smithy, version: "1"}
paths:
  /ping:
    get:
      parameters: [{name: host, in: query, required: true, schema: {type: string, example: localhost}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {output: {type: string}}}}}}}
  /boxes:
    get:
      parameters: [{name: file, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {files: {type: string}}}}}}, "404": {description: none}}
  /greeting:
    get:
      parameters: [{name: name, in: query, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {greeting: {type: string}}}}}}}
  /labels:
    post:
      summary: Print a label
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [caption], properties: {caption: {type: string}}}}}}
      responses: {"200": {description: done}}
  /sessions/restore:
    post:
      summary: Go on where one was
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string, example: e30=}}}}}}
      responses: {"200": {description: done}}
  /parts:
    post:
      summary: Count what a list of parts holds
      requestBody: {required: true, content: {application/xml: {schema: {type: object, xml: {name: parts}, required: [part], properties: {part: {type: string}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {characters: {type: integer}}}}}}}
  /plans:
    post:
      summary: Check a plan
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {steps: {type: array, items: {type: string}}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {steps: {type: integer}}}}}}}
  /headings:
    post:
      summary: Check a heading
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [heading], properties: {heading: {type: string}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {found: {type: integer}}}}}}}
`

// newSmithy is the API of testdata/smithy.py: a real interpreter, a real
// shell and a real XML parser.
func newSmithy(t *testing.T, open bool) http.Handler {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		notThere(t, "python3")
	}
	port := freeport.Port(t)
	flag := "0"
	if open {
		flag = "1"
	}
	c := exec.Command(python, "testdata/smithy.py", fmt.Sprint(port), flag)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	ready := make(chan error, 1)
	go func() {
		_, err := out.Read(make([]byte, 8))
		ready <- err
	}()
	select {
	case err := <-ready:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the smithy does not open")
	}
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
}

func TestSmithy(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server, and measures time")
	}
	twins(t, smithySpec, newSmithy, []hole{
		{"command-injection", "GET", "/ping", "query.host"},
		{"command-injection", "GET", "/boxes", "query.file"},
		{"command-injection", "POST", "/labels", "body./caption"},
		{"template-injection", "GET", "/greeting", "query.name"},
		{"deserialization", "POST", "/sessions/restore", "body./state"},
		{"xml-expansion", "POST", "/parts", "body./part"},
		{"deep-nesting", "POST", "/headings", "body./heading"},
		{"input-growth", "POST", "/headings", "body./heading"},
	}, "command-injection", "template-injection", "deserialization", "xml-expansion", "xxe", "deep-nesting", "input-growth")
}
