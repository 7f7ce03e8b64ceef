package scan

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/crenel-project/crenel/internal/freeport"
)

const strongboxSpec = `openapi: 3.0.3
info: {title: Strongbox, version: "1"}
paths:
  /health:
    get:
      responses: {"200": {description: it stands, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /sessions/restore:
    post:
      summary: Go on where one was
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string, format: byte}}}}}}
      responses: {"200": {description: done}}
  /snapshots:
    post:
      summary: Keep a snapshot
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [snapshot], properties: {snapshot: {type: string, format: byte}}}}}}
      responses: {"200": {description: done}}
  /objects:
    post:
      summary: Keep an object
      requestBody: {required: true, content: {application/x-java-serialized-object: {schema: {type: string, format: binary}}}}
      responses: {"200": {description: done}}
`

const quarrySpec = `openapi: 3.0.3
info: {title: Quarry, version: "1"}
paths:
  /stones/restore:
    post:
      summary: Take stones back from a dump
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [dump], properties: {dump: {type: string, example: BAh7AA==}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {restored: {type: integer}}}}}}}
  /manifests:
    post:
      summary: Check a manifest
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [manifest], properties: {manifest: {type: string, example: 'a: 1'}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {lines: {type: integer}}}}}}}
`

// behind is the API of a program that is given a port.
func behind(t *testing.T, name string, args func(port string) []string) http.Handler {
	t.Helper()
	address := freeport.Address(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	program(t, address, name, args(port)...)
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
}

// Objects of Java, read by Java: an address is called whatever comes of the object
// afterwards. What is read behind a filter, and what is data, is none.
func TestStrongbox(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	holes := []hole{
		{"deserialization", "POST", "/sessions/restore", "body./state"},
		{"deserialization", "POST", "/snapshots", "body./snapshot"},
		{"deserialization", "POST", "/objects", "body"},
	}
	for _, twin := range []string{"data", "filtered"} {
		t.Run(twin, func(t *testing.T) {
			twins(t, strongboxSpec, func(t *testing.T, open bool) http.Handler {
				way := twin
				if open {
					way = "open"
				}
				return behind(t, "java", func(port string) []string { return []string{"testdata/Strongbox.java", port, way} })
			}, holes, "deserialization")
		})
	}
}

// Where nobody can be called, whether a class is there tells that objects are made.
func TestStrongboxWithoutListener(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	for way, want := range map[string]int{"open": 1, "filtered": 0, "data": 0} {
		t.Run(way, func(t *testing.T) {
			o := served(t, strongboxSpec, behind(t, "java", func(port string) []string { return []string{"testdata/Strongbox.java", port, way} }), "deserialization")
			o.Listener.Off = true
			found := scanned(t, o).Report.Findings
			if len(found) != want || want > 0 && !has(found, "deserialization", "POST", "/snapshots", "body./snapshot") {
				t.Errorf("found %q", wheres(found))
			}
		})
	}
}

// Objects of Ruby, by Marshal and by YAML.
func TestQuarry(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	twins(t, quarrySpec, func(t *testing.T, open bool) http.Handler {
		return behind(t, "ruby", func(port string) []string {
			return []string{"testdata/quarry.rb", port, map[bool]string{true: "1", false: "0"}[open]}
		})
	}, []hole{
		{"deserialization", "POST", "/stones/restore", "body./dump"},
		{"deserialization", "POST", "/manifests", "body./manifest"},
	}, "deserialization")
}
