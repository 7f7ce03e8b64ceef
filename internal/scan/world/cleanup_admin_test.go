package world

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

const birdsSpec = `
openapi: 3.0.3
info: {title: Bird log, version: "1"}
paths:
  /sightings:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [bird], properties: {bird: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, bird: {type: string}}}}}}}
  /sightings/{id}:
    get:
      parameters: [{in: path, name: id, required: true, schema: {type: integer}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, bird: {type: string}}}}}}}
    delete:
      parameters: [{in: path, name: id, required: true, schema: {type: integer}}]
      responses: {"204": {description: gone}}
`

// birds may be noted by anybody and struck out by the warden alone. Where each has a
// log of their own, the same number is another bird in the warden's.
type birds struct {
	own bool
	coy bool // what is not there may also be somebody else's, it says

	mu   sync.Mutex
	n    int
	seen map[string]string // by whose log and number
}

func (b *birds) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	who := strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
	log := "all"
	if b.own {
		log = who
	}
	at := log + strings.TrimPrefix(q.URL.Path, "/sightings")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case q.Method == http.MethodPost:
		var in struct{ Bird string }
		_ = json.NewDecoder(q.Body).Decode(&in)
		b.n++
		id := strconv.Itoa(b.n)
		b.seen[log+"/"+id] = in.Bird
		w.WriteHeader(201)
		_, _ = w.Write([]byte(`{"id":` + id + `,"bird":` + strconv.Quote(in.Bird) + `}`))
	case b.seen[at] == "" && b.coy:
		w.WriteHeader(403)
		_, _ = w.Write([]byte(`{"message":"it is not yours, or not there"}`))
	case b.seen[at] == "":
		w.WriteHeader(404)
	case q.Method == http.MethodGet:
		_, _ = w.Write([]byte(`{"id":` + at[strings.LastIndexByte(at, '/')+1:] + `,"bird":` + strconv.Quote(b.seen[at]) + `}`))
	case who != "warden":
		w.WriteHeader(403)
		_, _ = w.Write([]byte(`{"message":"only the warden strikes out"}`))
	default:
		delete(b.seen, at)
		w.WriteHeader(204)
	}
}

// What its maker may not delete is deleted by the administrator that was given, and only
// where the administrator is shown the same thing by its identifier.
func TestCleanupByAdmin(t *testing.T) {
	for _, own := range []bool{false, true} {
		b := &birds{own: own, seen: map[string]string{"warden/1": "the warden's own heron"}}
		w, c, _ := stage(t, b, birdsSpec, Options{}, bearer(actor.User, "ann", nil), bearer(actor.Admin, "warden", nil))
		x, err := c.Do(t.Context(), actor.User, &target.Request{Method: "POST", Path: "/sightings", Header: []target.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Authorization", Value: "Bearer ann"}}, Body: []byte(`{"bird":"wren t3st"}`)})
		if err != nil {
			t.Fatal(err)
		}
		w.Follow(x)
		left := w.Cleanup(t.Context())
		if b.seen["warden/1"] == "" {
			t.Errorf("own logs %v: what the administrator had was deleted", own)
		}
		if want := map[bool]int{false: 0, true: 1}[own]; len(left) != want || len(b.seen)-1 != want {
			t.Errorf("own logs %v: left %v, there is %v", own, left, b.seen)
		}
	}
}

// What is gone already is not told as left where a service says one thing of what is not
// there and of what may not be deleted. What is there still is, and what was given to
// somebody else, from whom its maker cannot tell it.
func TestCleanupKnowsWhatIsGone(t *testing.T) {
	for _, became := range []string{"gone", "given away", "kept"} {
		b := &birds{coy: true, own: true, seen: map[string]string{}}
		w, _, _ := stage(t, b, birdsSpec, Options{}, bearer(actor.User, "ann", nil), bearer(actor.Peer, "bob", nil))
		if err := w.Build(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.seen) == 0 {
			t.Fatal("nothing was made")
		}
		b.mu.Lock()
		for at, bird := range maps.Clone(b.seen) {
			who, number, _ := strings.Cut(at, "/")
			if became != "kept" {
				delete(b.seen, at)
			}
			if became == "given away" {
				b.seen[map[string]string{"ann": "bob", "bob": "ann"}[who]+"/"+number] = bird
			}
		}
		b.mu.Unlock()
		if left := w.Cleanup(t.Context()); len(left) != len(b.seen) {
			t.Errorf("%s: told %v, there is %v", became, left, b.seen)
		}
	}
}
