package world

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// bed answers with resource objects: the identifier outside, the fields within, and paths
// that take one of the fields. A change names the ETag that it was written after.
func bed(m *memo) http.Handler {
	mux := http.NewServeMux()
	held := map[string]int{}
	tag := func(id string) string { return fmt.Sprintf(`"%s-%d"`, id, held[id]) }
	doc := func(w http.ResponseWriter, status int, kind string, o *row) {
		if kind == "herb" {
			w.Header().Set("ETag", tag(o.id))
		}
		answer(w, status, map[string]any{"data": map[string]any{"id": o.id, "type": kind, "attributes": o.fields}})
	}
	of := func(w http.ResponseWriter, kind, id, who string) *row {
		o := m.find(kind, id, who, "")
		if o == nil {
			answer(w, 404, map[string]any{"errors": []map[string]any{{"title": "none such"}}})
		}
		return o
	}
	mux.HandleFunc("POST /plots", func(w http.ResponseWriter, r *http.Request) {
		handle, _ := body(r)["handle"].(string)
		if handle == "" {
			w.WriteHeader(422)
			return
		}
		id := fmt.Sprintf("5f1c2b4a-5d6e-4f70-8a9b-%012s", m.next())
		o := row{id: handle, owner: caller(r), fields: map[string]any{"handle": handle}}
		m.add("plot", o.id, o.owner, "", o.fields)
		o.id = id
		doc(w, 201, "plot", &o)
	})
	mux.HandleFunc("GET /plots/{handle}", func(w http.ResponseWriter, r *http.Request) {
		if o := of(w, "plot", r.PathValue("handle"), caller(r)); o != nil {
			doc(w, 200, "plot", o)
		}
	})
	mux.HandleFunc("POST /plots/{handle}/herbs", func(w http.ResponseWriter, r *http.Request) {
		b := body(r)
		if of(w, "plot", r.PathValue("handle"), caller(r)) == nil {
			return
		}
		id := fmt.Sprintf("6f1c2b4a-5d6e-4f70-8a9b-%012s", m.next())
		m.add("herb", id, caller(r), "", map[string]any{"latin": b["latin"]})
		doc(w, 201, "herb", m.find("herb", id, caller(r), ""))
	})
	mux.HandleFunc("GET /herbs/{id}", func(w http.ResponseWriter, r *http.Request) {
		if o := of(w, "herb", r.PathValue("id"), caller(r)); o != nil {
			doc(w, 200, "herb", o)
		}
	})
	mux.HandleFunc("PATCH /herbs/{id}", func(w http.ResponseWriter, r *http.Request) {
		o := of(w, "herb", r.PathValue("id"), caller(r))
		if o == nil {
			return
		}
		if r.Header.Get("If-Match") != tag(o.id) {
			w.WriteHeader(412)
			return
		}
		held[o.id]++
		o.fields["latin"] = body(r)["latin"]
		doc(w, 200, "herb", o)
	})
	mux.HandleFunc("POST /herbs/{id}/pressings", func(w http.ResponseWriter, r *http.Request) {
		if of(w, "herb", r.PathValue("id"), caller(r)) == nil {
			return
		}
		f, h, err := r.FormFile("sheet")
		if err != nil || h.Header.Get("Content-Type") == "" {
			w.WriteHeader(422)
			return
		}
		_, _ = io.Copy(io.Discard, f)
		answer(w, 201, map[string]any{"data": map[string]any{"id": "p" + m.next(), "type": "pressing", "attributes": map[string]any{"size": 1}}})
	})
	return guarded(mux)
}

const bedSpec = `
openapi: 3.1.0
info: {title: Beds, version: "1"}
components:
  securitySchemes: {b: {type: http, scheme: bearer}}
  schemas:
    Plot: {type: object, properties: {data: {type: object, properties: {id: {type: string, format: uuid}, type: {const: plot}, attributes: {type: object, properties: {handle: {type: string}}}}}}}
    Herb: {type: object, properties: {data: {type: object, properties: {id: {type: string, format: uuid}, type: {const: herb}, attributes: {type: object, properties: {latin: {type: string}}}}}}}
security: [{b: []}]
paths:
  /plots:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [handle], properties: {handle: {type: string, maxLength: 60}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Plot'}}}}}
  /plots/{handle}:
    get:
      parameters: [{in: path, name: handle, required: true, schema: {type: string}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Plot'}}}}}
  /plots/{handle}/herbs:
    post:
      parameters: [{in: path, name: handle, required: true, schema: {type: string}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [latin], properties: {latin: {type: string, maxLength: 60}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Herb'}}}}}
  /herbs/{id}:
    parameters: [{in: path, name: id, required: true, schema: {type: string, format: uuid}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Herb'}}}}}}
    patch:
      parameters: [{in: header, name: If-Match, required: true, schema: {type: string}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [latin], properties: {latin: {type: string, maxLength: 60}}}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Herb'}}}}, "412": {description: changed meanwhile}}
  /herbs/{id}/pressings:
    post:
      parameters: [{in: path, name: id, required: true, schema: {type: string, format: uuid}}]
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, required: [sheet], properties: {sheet: {type: string, contentMediaType: application/octet-stream}}}}}}
      responses: {"201": {description: made}}
`

func TestIdentifierOutsideFieldsWithin(t *testing.T) {
	m := &memo{rows: map[string][]row{}}
	w, c, g := stage(t, bed(m), bedSpec, Options{Seed: 7, Workers: 1}, pair()...)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, cov := range w.Coverage() {
		if !cov.Reached {
			t.Errorf("%s %s was not reached: %s", cov.Method, cov.Path, cov.Reason)
		}
	}
	for _, x := range c.sent {
		if strings.HasPrefix(x.Request.Path, "/plots/5f1c2b4a") {
			t.Errorf("%s %s: the path takes the handle, not the identifier", x.Request.Method, x.Request.Path)
		}
	}
	recipes(t, w, c, g, []string{"herb"})
	// A change in a scenario is written after the state of the herb that the scenario makes.
	at := slices.IndexFunc(g.Ops, func(op *graph.Op) bool { return op.Method == http.MethodPatch })
	call, err := w.Call(t.Context(), g.Ops[at], w.actors()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := w.RecipeOf(call.Uses["path.id"], "x")
	if err != nil {
		t.Fatal(err)
	}
	step, err := w.Step(call, recipe.Bind(call))
	if err != nil {
		t.Fatal(err)
	}
	step.ID, step.Part, step.Expect = "change", scenario.Control, []scenario.Expect{{Status: "2xx"}}
	st := &scenario.Stage{Sender: flock{c, w}, People: named2{w}, RunID: "r2"}
	out, err := st.Run(t.Context(), &scenario.Scenario{Name: "change", Steps: append(recipe.Steps, step)}, "n1")
	if err != nil || out.Verdict == scenario.Inconclusive || out.Verdict == scenario.Refuted {
		t.Errorf("%v %+v\n%+v", err, out, step)
	}
}
