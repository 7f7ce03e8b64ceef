package world

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

const canalSpec = `
openapi: 3.0.3
info: {title: Locks and keepers, version: "1"}
components:
  schemas:
    Lock: {type: object, properties: {id: {type: string}, name: {type: string}}}
    Keeper: {type: object, properties: {id: {type: string}, name: {type: string}}}
paths:
  /locks:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Lock"}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Lock"}}}}}
  /locks/{id}:
    delete: {parameters: [{in: path, name: id, required: true, schema: {type: string}}], responses: {"204": {description: gone}}}
  /keepers:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Keeper"}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Keeper"}}}}}
  /keepers/{id}:
    delete: {parameters: [{in: path, name: id, required: true, schema: {type: string}}], responses: {"204": {description: gone}}}
`

// canal makes a keeper with each lock, who has no name or the lock's.
type canal struct {
	mu      sync.Mutex
	n       int
	byName  string // of a keeper who is made beside a lock: "" or "lock"
	things  map[string]map[string]string
	deleted []string
}

func (l *canal) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind, id, one := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	add := func(kind, name string) map[string]string {
		l.n++
		o := map[string]string{"id": kind[:1] + strings.Repeat("x", l.n), "name": name}
		l.things[kind][o["id"]] = o["name"]
		return o
	}
	switch {
	case q.Method == http.MethodGet && !one:
		list := []map[string]string{}
		for _, id := range slices.Sorted(maps.Keys(l.things[kind])) {
			list = append(list, map[string]string{"id": id, "name": l.things[kind][id]})
		}
		answer(200, list)
	case q.Method == http.MethodPost:
		var in struct{ Name string }
		_ = json.NewDecoder(q.Body).Decode(&in)
		if kind == "locks" {
			beside := ""
			if l.byName == "lock" {
				beside = in.Name
			}
			add("keepers", beside)
		}
		answer(201, add(kind, in.Name))
	case q.Method == http.MethodDelete:
		delete(l.things[kind], id)
		l.deleted = append(l.deleted, id)
		w.WriteHeader(204)
	default:
		w.WriteHeader(404)
	}
}

// What a call makes beside what its answer names is found by the lists: it is taken away
// where it holds the run's text, and told where nothing shows whose it is.
func TestCensus(t *testing.T) {
	for _, name := range []string{"", "lock"} {
		l := &canal{byName: name, things: map[string]map[string]string{"locks": {"l-old": "the old lock"}, "keepers": {"k-old": "Ida"}}}
		w, c, _ := stage(t, l, canalSpec, Options{}, bearer(actor.User, "t", nil))
		if err := w.Build(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err := c.Do(t.Context(), actor.User, &target.Request{Method: "POST", Path: "/locks", Header: []target.Field{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"name":"t3st gate"}`)})
		if err != nil {
			t.Fatal(err)
		}
		w.Follow(x)
		left := w.Cleanup(t.Context())
		if l.things["locks"]["l-old"] == "" || l.things["keepers"]["k-old"] == "" {
			t.Errorf("%q: what was there before is gone: %v", name, l.deleted)
		}
		if there := len(l.things["keepers"]) - 1; name == "lock" && there+len(left) > 0 || name == "" && (there == 0 || len(left) != there) {
			t.Errorf("%q: left %v, %d keepers", name, left, there)
		}
		if len(l.things["locks"]) != 1 {
			t.Errorf("%q: locks %v", name, l.things["locks"])
		}
	}
}
