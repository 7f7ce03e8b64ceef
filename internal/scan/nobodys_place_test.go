package scan

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

const nobodysYard = `openapi: 3.0.3
info: {title: Haulage yard, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Who: {type: object, properties: {id: {type: string}, email: {type: string}}}
    Crate: {type: object, properties: {id: {type: integer, readOnly: true}, label: {type: string}, created_by: {$ref: '#/components/schemas/Who'}}}
    Depot: {type: object, properties: {id: {type: string}, email: {type: string}, iban: {type: string}, owner: {type: string}}}
paths:
  /me: {get: {operationId: me, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Who'}}}}}}}
  /depots:
    get: {operationId: listDepots, summary: Your depots, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Depot'}}}}}}}
    post: {operationId: openDepot, summary: Open a depot of your own, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string}}}}}}, responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Depot'}}}}}}
  /depots/{depotId}/crates:
    parameters: [{name: depotId, in: path, required: true, schema: {type: string}}]
    get: {operationId: listCrates, summary: The crates that you work on, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Crate'}}}}}}}
    post: {operationId: addCrate, summary: Add your crate, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label], properties: {label: {type: string}}}}}}, responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Crate'}}}}}}
  /depots/{depotId}/crates/{crateId}:
    parameters: [{name: depotId, in: path, required: true, schema: {type: string}}, {name: crateId, in: path, required: true, schema: {type: integer}}]
    get: {operationId: getCrate, summary: A crate, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Crate'}}}}, '403': {description: no}}}
`

// depots hold crates. One, "main", was there before and is for all who work there; where
// people may open their own, those are theirs, and whoever knows a crate's number can read
// it all the same.
type depots struct {
	own bool

	mu     sync.Mutex
	opened []map[string]any
	crates []map[string]any
}

func (s *depots) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	me := map[string]string{"Bearer token-of-ida-17": "ida-5512", "Bearer token-of-kai-23": "kai-8841"}[q.Header.Get("Authorization")]
	part := strings.Split(strings.Trim(q.URL.Path, "/"), "/")
	in := map[string]any{}
	if q.Method == http.MethodPost && json.NewDecoder(q.Body).Decode(&in) != nil {
		in = nil
	}
	who := map[string]any{"id": me, "email": me + "@yard.example"}
	switch {
	case me == "":
		say(401, map[string]string{"error": "who are you?"})
	case q.URL.Path == "/me":
		say(200, who)
	case q.URL.Path == "/depots" && q.Method == http.MethodPost && !s.own:
		say(403, map[string]string{"error": "depots are opened by the head office"})
	case q.URL.Path == "/depots" && q.Method == http.MethodPost:
		mail, _ := in["email"].(string)
		if mail == "" {
			say(422, map[string]string{"error": "email is required"})
			return
		}
		d := map[string]any{"id": "depot-" + strconv.Itoa(len(s.opened)+1), "email": mail, "iban": "", "owner": me}
		s.opened = append(s.opened, d)
		say(201, d)
	case q.URL.Path == "/depots":
		list := []any{}
		if !s.own {
			list = append(list, map[string]any{"id": "main", "email": "office@yard.example", "iban": "DE02120300000000202051"})
		}
		for _, d := range s.opened {
			if d["owner"] == me {
				list = append(list, d)
			}
		}
		say(200, list)
	case len(part) < 3 || part[0] != "depots" || part[2] != "crates" || !s.there(part[1]):
		say(404, map[string]string{"error": "no such depot"})
	case len(part) == 3 && q.Method == http.MethodPost:
		label, _ := in["label"].(string)
		if label == "" {
			say(422, map[string]string{"error": "label is required"})
			return
		}
		c := map[string]any{"id": 700 + len(s.crates), "label": label, "created_by": who, "depot": part[1]}
		s.crates = append(s.crates, c)
		say(201, c)
	case len(part) == 3:
		list := []any{}
		for _, c := range s.crates {
			if c["depot"] == part[1] {
				list = append(list, c)
			}
		}
		say(200, list)
	default:
		for _, c := range s.crates {
			if c["depot"] == part[1] && strconv.Itoa(c["id"].(int)) == part[3] {
				say(200, c)
				return
			}
		}
		say(404, map[string]string{"error": "no such crate"})
	}
}

func (s *depots) there(id string) bool {
	if id == "main" {
		return !s.own
	}
	for _, d := range s.opened {
		if d["id"] == id {
			return true
		}
	}
	return false
}

// What several people keep at a place that nobody of the run made is not one's own because
// such places are private elsewhere; below one's own place it is.
func TestPlaceOfNobody(t *testing.T) {
	for _, c := range []struct {
		name string
		own  bool
	}{{"the house's place", false}, {"one's own place", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(&depots{own: c.own})
			t.Cleanup(api.Close)
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(nobodysYard), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"bola-read"}, Actors: actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
				actor.User: {Bearer: actor.Text("token-of-ida-17")}, actor.Peer: {Bearer: actor.Text("token-of-kai-23")},
			}}}
			if r := scanned(t, o).Report; len(r.Findings) > 0 != c.own {
				t.Errorf("found %v, want something found %v", prints(r.Findings), c.own)
			}
		})
	}
}
