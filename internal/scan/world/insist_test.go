package world

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

const insistSpec = `
openapi: 3.0.3
info: {title: Seed bank, version: "1"}
paths:
  /seeds:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [kind], properties: {kind: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, kind: {type: string}}}}}}}
  /seeds/{id}:
    get:
      parameters: [{in: path, name: id, required: true, schema: {type: integer}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, kind: {type: string}}}}}}}
    delete:
      parameters:
        - {in: path, name: id, required: true, schema: {type: integer}}
        - {in: query, name: for_good, schema: {type: boolean, default: false}}
        - {in: query, name: quietly, schema: {type: boolean, default: false}}
      responses: {"204": {description: gone}}
`

// What is deleted only by a switch that the refusal names is deleted by it.
func TestCleanupInsists(t *testing.T) {
	var mu sync.Mutex
	seeds := map[string]string{}
	quiet := false
	bank := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := strings.TrimPrefix(q.URL.Path, "/seeds/")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case q.Method == http.MethodPost:
			var in struct{ Kind string }
			_ = json.NewDecoder(q.Body).Decode(&in)
			id = strconv.Itoa(len(seeds) + 1)
			seeds[id] = in.Kind
			w.WriteHeader(201)
			_, _ = w.Write([]byte(`{"id":` + id + `,"kind":` + strconv.Quote(in.Kind) + `}`))
		case seeds[id] == "":
			w.WriteHeader(404)
		case q.Method == http.MethodGet:
			_, _ = w.Write([]byte(`{"id":` + id + `,"kind":` + strconv.Quote(seeds[id]) + `}`))
		case q.URL.Query().Get("for_good") != "true":
			w.WriteHeader(501)
			_, _ = w.Write([]byte(`{"message":"Seeds do not go to the bin. Set 'for_good=true' to delete."}`))
		default:
			quiet = quiet || q.URL.Query().Get("quietly") == "true"
			delete(seeds, id)
			w.WriteHeader(204)
		}
	})
	w, c, _ := stage(t, bank, insistSpec, Options{}, bearer(actor.User, "t", nil))
	x, err := c.Do(t.Context(), actor.User, &target.Request{Method: "POST", Path: "/seeds", Header: []target.Field{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"kind":"rye"}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.Follow(x)
	if len(seeds) != 1 {
		t.Fatal("nothing was made")
	}
	if left := w.Cleanup(t.Context()); len(left) > 0 || len(seeds) > 0 || quiet {
		t.Errorf("left %v, %v, quietly %v", left, seeds, quiet)
	}
}
