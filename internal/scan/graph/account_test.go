package graph

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

const fleetSpec = `openapi: 3.0.3
info: {title: Fleet, version: "1"}
paths:
  /enlist:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [callsign, passphrase], properties: {callsign: {type: string}, passphrase: {type: string}, motto: {type: string}}}}}}
      responses: {"201": {description: ok}}
  /hail:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [callsign, passphrase], properties: {callsign: {type: string}, passphrase: {type: string}}}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {key: {type: string}}}}}}}
  /logs:
    get: {security: [{k: []}], responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: string}}}}}}}
components: {securitySchemes: {k: {type: apiKey, in: header, name: X-Auth-Token}}}
`

// What logs in and what makes accounts are told by their shape, whatever they and the
// accounts' names are called.
func TestAccountsByShape(t *testing.T) {
	at := func(g *Graph, path string) *Op {
		for _, op := range g.Ops {
			if op.Path == path {
				return op
			}
		}
		t.Fatalf("there is no %s", path)
		return nil
	}
	build := func(text string) *Graph {
		api, err := spec.Parse([]byte(text), "fleet.yaml", spec.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return Build(api)
	}
	g := build(fleetSpec)
	if in, up := at(g, "/hail"), at(g, "/enlist"); !in.Has(Login) || in.Has(Register) || !up.Has(Register) || up.Has(Login) {
		t.Errorf("hail: %v; enlist: %v", in.Purposes, up.Purposes)
	}
	for _, path := range []string{"/enlist", "/hail"} {
		for _, in := range at(g, path).Inputs {
			if in.Name == "callsign" && in.Meaning != MeansUsername {
				t.Errorf("%s: callsign means %s", path, in.Meaning)
			}
		}
	}
	// A mailbox that is kept with its password, and a test of one, log nobody in.
	for name, text := range map[string]string{
		"asks for credentials": strings.ReplaceAll(fleetSpec, "    post:\n", "    post:\n      security: [{k: []}]\n"),
		"answers more":         strings.Replace(fleetSpec, "{key: {type: string}}", "{reachable: {type: boolean}, key: {type: string}}", 1),
		"answers a number":     strings.Replace(fleetSpec, "{key: {type: string}}", "{key: {type: integer}}", 1),
		"takes more":           strings.Replace(fleetSpec, "passphrase: {type: string}}}}}}\n      responses: {\"200\"", "passphrase: {type: string}, port: {type: integer}}}}}}\n      responses: {\"200\"", 1),
		"of a fixed list":      strings.ReplaceAll(fleetSpec, "callsign: {type: string}", "callsign: {type: string, enum: [a, b]}"),
	} {
		g := build(text)
		if op := at(g, "/enlist"); op.logsIn != nil || op.Has(Register) {
			t.Errorf("%s: enlist: %v", name, op.Purposes)
		}
	}
}

// A header names an object as a parameter does, with the X- of old before it; what is
// called so of the message itself names none.
func TestHeadersNameObjects(t *testing.T) {
	api, err := spec.Parse([]byte(`openapi: 3.0.3
info: {title: Archive, version: "1"}
paths:
  /scrolls:
    post: {responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: string}, text: {type: string}}}}}}}}
  /scrolls/{scrollId}:
    parameters: [{name: scrollId, in: path, required: true, schema: {type: string}}]
    get: {responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: string}, text: {type: string}}}}}}}}
  /unrolled:
    get:
      parameters: [{name: X-Scroll-Id, in: header, required: true, schema: {type: string}}, {name: X-Request-Id, in: header, schema: {type: string}}, {name: X-Tune-Id, in: header, schema: {type: string}}]
      responses: {"200": {description: it}}
`), "archive.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, op := range Build(api).Ops {
		for _, in := range op.Inputs {
			if in.In == "header" {
				got[in.Name] = ""
				if in.Object != nil {
					got[in.Name] = in.Object.Resource
				}
			}
		}
	}
	if got["X-Scroll-Id"] != "scroll" || got["X-Request-Id"] != "" || got["X-Tune-Id"] == "scroll" {
		t.Errorf("%v", got)
	}
}
