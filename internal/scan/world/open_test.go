package world

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// depot asks nobody who they are. Its tickets are made in the plural and known
// in the singular, its regions are only ever changed, its labels end in a full
// stop, and it can be halted for everybody.
type depot struct {
	mu      sync.Mutex
	n       int
	tickets map[string]string
	halted  bool
}

const depotSpec = `
openapi: 3.0.3
info: {title: depot, version: "1"}
paths:
  /tickets:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Ticket'}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [comment], properties: {comment: {type: string}}}}}}
      responses: {"200": {description: made, content: {application/json: {schema: {type: object, properties: {ticketID: {type: string}}}}}}}
  /ticket/{ticketID}:
    parameters: [{in: path, name: ticketID, required: true, schema: {type: string}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Ticket'}}}}}}
    delete: {responses: {"200": {description: gone}}}
  /tickets/delete:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [ids], properties: {ids: {type: array, items: {type: string, example: 3f1c2b4a-5d6e-4f70-8a9b-999999999999}}}}}}}
      responses: {"200": {description: gone}}
  /regions:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {name: {type: string}}}}}}}}}
  /regions/{name}:
    parameters: [{in: path, name: name, required: true, schema: {type: string}}]
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {note: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /labels:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string, description: 'What is printed (e.g. "front."). It MUST end in a full stop.'}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}}
  /mode:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {halted: {type: boolean}}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [halted], properties: {halted: {type: boolean}}}}}}
      responses: {"204": {description: ok}}
components:
  schemas:
    Ticket: {type: object, properties: {id: {type: string}, comment: {type: string}}}
`

func (d *depot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	id, one := strings.CutPrefix(r.URL.Path, "/ticket/")
	switch {
	case r.URL.Path == "/mode" && r.Method == http.MethodGet:
		answer(w, 200, map[string]any{"halted": d.halted})
	case r.URL.Path == "/mode":
		d.halted, _ = body["halted"].(bool)
		w.WriteHeader(http.StatusNoContent)
	case d.halted:
		answer(w, http.StatusServiceUnavailable, map[string]any{"message": "closed"})
	case one && d.tickets[id] == "":
		answer(w, 404, map[string]any{"message": "no such ticket"})
	case one && r.Method == http.MethodDelete:
		delete(d.tickets, id)
		answer(w, 200, nil)
	case one:
		answer(w, 200, map[string]any{"id": id, "comment": d.tickets[id]})
	case r.URL.Path == "/tickets" && r.Method == http.MethodPost:
		d.n++
		id = fmt.Sprintf("3f1c2b4a-5d6e-4f70-8a9b-%012d", d.n)
		d.tickets[id], _ = body["comment"].(string)
		answer(w, 200, map[string]any{"ticketID": id})
	case r.URL.Path == "/tickets/delete":
		ids, _ := body["ids"].([]any)
		for _, id := range ids {
			delete(d.tickets, fmt.Sprint(id))
		}
		answer(w, 200, nil)
	case r.URL.Path == "/tickets":
		list := []map[string]any{}
		for id, c := range d.tickets {
			list = append(list, map[string]any{"id": id, "comment": c})
		}
		answer(w, 200, list)
	case r.URL.Path == "/regions":
		answer(w, 200, []map[string]any{{"name": "north"}})
	case strings.HasPrefix(r.URL.Path, "/regions/"):
		answer(w, http.StatusConflict, map[string]any{"message": "it is in use"})
	case r.URL.Path == "/labels":
		name, _ := body["name"].(string)
		if !strings.HasSuffix(name, ".") {
			answer(w, 422, map[string]any{"error": "the label is not canonical"})
			return
		}
		answer(w, 201, map[string]any{"name": name})
	default:
		answer(w, 404, nil)
	}
}

// Where nobody is asked who they are, what was made is deleted all the same; what
// all share is left as it stands; an object that cannot be made ends no run; and
// an example in a description's text is one.
func TestAsNobodyInAnOpenAPI(t *testing.T) {
	const kept = "3f1c2b4a-5d6e-4f70-8a9b-999999999999"
	d := &depot{tickets: map[string]string{kept: "was here before"}}
	w, _, _ := stage(t, d, depotSpec, Options{})
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	show(t, w)
	for _, c := range w.Coverage() {
		if want := c.Path != "/regions/{name}"; c.Reached != want {
			t.Errorf("%s %s: reached %v, %s", c.Method, c.Path, c.Reached, c.Reason)
		}
	}
	for _, l := range w.Cleanup(t.Context()) {
		if l.Resource == "ticket" {
			t.Errorf("left: %+v", l)
		}
	}
	if len(d.tickets) != 1 || d.tickets[kept] == "" || d.n == 0 {
		t.Errorf("%d tickets were made, left are %v", d.n, d.tickets)
	}
	for _, r := range []*target.Request{
		{Method: "DELETE", Path: "/ticket/" + kept},
		{Method: "POST", Path: "/tickets/delete", Body: []byte(`{"ids": ["` + kept + `"]}`)},
	} {
		if err := w.Spares(r); err == nil {
			t.Errorf("%s %s would delete what was there before", r.Method, r.Path)
		}
	}
	if err := w.Spares(&target.Request{Method: "DELETE", Path: "/ticket/3f1c2b4a-5d6e-4f70-8a9b-000000000001"}); err != nil {
		t.Error(err)
	}
	if d.halted {
		t.Error("it was halted for everybody")
	}
}

// What a proof made is taken away by somebody who has a session, whatever name it was made under.
func TestCleanupFindsSomebody(t *testing.T) {
	for _, as := range []string{actor.User, "again-" + actor.User, "gone"} {
		d := &depot{tickets: map[string]string{}}
		w, c, _ := stage(t, d, depotSpec, Options{}, bearer(actor.User, "t", nil))
		x, err := c.Do(t.Context(), as, &target.Request{Method: "POST", Path: "/tickets", Header: []target.Field{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"comment":"x"}`)})
		if err != nil {
			t.Fatal(err)
		}
		w.Follow(x)
		if len(d.tickets) != 1 {
			t.Fatal("nothing was made")
		}
		if left := w.Cleanup(t.Context()); len(left) > 0 || len(d.tickets) > 0 {
			t.Errorf("as %s: left %v, %v", as, left, d.tickets)
		}
	}
}

func TestExamplesInADescription(t *testing.T) {
	for text, want := range map[string][]string{
		`Name of the zone (e.g. "example.com.") MUST have a trailing dot`: {"example.com."},
		"For example: `eu-1`, or such as 'us-2'":                          {"eu-1", "us-2"},
		`An “example” of "nothing"`:                                       nil,
		`e.g. one without marks`:                                          nil,
	} {
		if got := told(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
