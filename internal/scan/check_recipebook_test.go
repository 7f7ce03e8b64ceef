package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// recipebook describes changes with If-Match. It looks at it where it is careful; else
// whoever comes last wins. Where it is plain, its ETag names no version.
type recipebook struct {
	careful, plain bool

	mu    sync.Mutex
	books []map[string]any
	ver   []int
}

const recipebookSpec = `openapi: 3.0.3
info: {title: Recipe book, version: "1"}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas: {Recipe: {type: object, required: [dish, method], properties: {id: {type: integer, readOnly: true}, dish: {type: string}, method: {type: string}}}}
paths:
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}}}
  /recipes:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Recipe"}}}}}}}
    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Recipe"}}}}, responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Recipe"}}}}}}
  /recipes/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, headers: {ETag: {schema: {type: string}}}, content: {application/json: {schema: {$ref: "#/components/schemas/Recipe"}}}}}}
    put: {parameters: [{name: If-Match, in: header, schema: {type: string}}], requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Recipe"}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Recipe"}}}}, "412": {description: an older version}}}
`

func (s *recipebook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(code int, v any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	cook, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer spoon-of-")
	if !ok {
		say(401, map[string]any{"error": "log in"})
		return
	}
	in := map[string]any{}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if json.NewDecoder(r.Body).Decode(&in) != nil || fmt.Sprint(in["dish"]) == "" || fmt.Sprint(in["method"]) == "" {
			say(400, map[string]any{"error": "dish and method, please"})
			return
		}
	}
	n := 0
	_, _ = fmt.Sscanf(r.URL.Path, "/recipes/%d", &n)
	switch {
	case r.URL.Path == "/me":
		say(200, map[string]any{"username": cook})
	case r.URL.Path == "/recipes" && r.Method == http.MethodGet:
		say(200, s.books)
	case r.URL.Path == "/recipes" && r.Method == http.MethodPost:
		s.books = append(s.books, map[string]any{"id": len(s.books) + 1, "dish": in["dish"], "method": in["method"]})
		s.ver = append(s.ver, 1)
		say(201, s.books[len(s.books)-1])
	case n < 1 || n > len(s.books):
		say(404, map[string]any{"error": "no such recipe"})
	default:
		tag := func() string {
			if s.plain {
				return `"recipe"`
			}
			return fmt.Sprintf(`"v%d"`, s.ver[n-1])
		}
		if m := r.Header.Get("If-Match"); r.Method == http.MethodPut && s.careful && m != "" && m != tag() {
			say(412, map[string]any{"error": "it has changed since"})
			return
		}
		if r.Method == http.MethodPut {
			s.books[n-1] = map[string]any{"id": n, "dish": in["dish"], "method": in["method"]}
			s.ver[n-1]++
		}
		w.Header().Set("ETag", tag())
		say(200, s.books[n-1])
	}
}

// A change that names a version which is none any more is made where nobody looks.
func TestAChangeOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    *recipebook
		want bool
	}{
		{"nobody looks", &recipebook{}, true},
		{"somebody does", &recipebook{careful: true}, false},
		{"an ETag that is always the same", &recipebook{plain: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.books = []map[string]any{}
			o := served(t, recipebookSpec, c.s, "lost-update")
			o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
				actor.User: {Headers: map[string]actor.Secret{"Authorization": actor.Text("Bearer spoon-of-nigella")}},
				actor.Peer: {Headers: map[string]actor.Secret{"Authorization": actor.Text("Bearer spoon-of-delia")}},
			}}
			if got := find(scanned(t, o).Report, "lost-update") != nil; got != c.want {
				t.Errorf("told: %v, want %v", got, c.want)
			}
		})
	}
}
