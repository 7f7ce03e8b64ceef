package scan

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// rota is a service all of whose operations lie below /api/admin, whose administrator
// changes anybody, and which takes no call that writes without a media type.
const rotaSpec = `openapi: 3.0.3
info: {title: Rota, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Person: {type: object, properties: {id: {type: integer}, name: {type: string}, email: {type: string, format: email}, rootRole: {type: integer}}}
    Shift: {type: object, required: [title], properties: {id: {type: integer, readOnly: true}, title: {type: string}}}
paths:
  /api/admin/me: {get: {operationId: whoAmI, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}}}}
  /api/admin/desk: {get: {operationId: listPeople, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Person'}}}}}}}}
  /api/admin/desk/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {operationId: getPerson, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}}}
    put: {operationId: updatePerson, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}, email: {type: string}, rootRole: {type: integer, example: 1}}}}}}, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}}}
  /api/admin/shifts:
    get: {operationId: listShifts, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Shift'}}}}}}}
    post: {operationId: addShift, requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Shift'}}}}, responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Shift'}}}}}}
  /api/admin/shifts/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {operationId: getShift, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Shift'}}}}}}
    delete: {operationId: deleteShift, responses: {'204': {description: gone}}}
  /api/admin/shifts/{id}/star:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    post: {operationId: star, responses: {'200': {description: ok}}}
    delete: {operationId: unstar, responses: {'200': {description: ok}}}
  /api/admin/kinds: {get: {operationId: kinds, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {type: string}}}}}}}}
  /api/admin/audit: {get: {operationId: audit, summary: What everybody did (administrators only), responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {type: string}}}}}}}}
  /health: {get: {operationId: health, security: [], responses: {'200': {description: ok}}}}
`

type rota struct {
	open bool // anybody reads what is for administrators

	mu     sync.Mutex
	people map[string]map[string]any // by token
	shifts map[string]map[string]any
}

func (s *rota) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	if q.URL.Path == "/health" {
		say(200, map[string]string{"state": "well"})
		return
	}
	me := s.people[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	if me == nil {
		say(401, map[string]string{"error": "log in"})
		return
	}
	admin := me["rootRole"] == float64(1)
	if q.Method != http.MethodGet && q.Header.Get("Content-Type") != "application/json" {
		say(415, map[string]string{"error": "you gave no content type that is taken here (application/json)"})
		return
	}
	parts := strings.Split(strings.TrimPrefix(q.URL.Path, "/api/admin/"), "/")
	in := map[string]any{}
	if q.Method == http.MethodPut || q.Method == http.MethodPost {
		if json.NewDecoder(q.Body).Decode(&in) != nil {
			say(400, map[string]string{"error": "no JSON"})
			return
		}
	}
	person := func(id string) map[string]any {
		for _, p := range s.people {
			if fmt.Sprint(p["id"]) == id {
				return p
			}
		}
		return nil
	}
	switch {
	case parts[0] == "me":
		say(200, me)
	case parts[0] == "kinds":
		say(200, []string{"day", "night"})
	case parts[0] == "audit" && !admin && !s.open:
		say(403, map[string]string{"error": "needs the role of an administrator"})
	case parts[0] == "audit":
		say(200, []string{"ann@rota.example added the shift of Monday", "ben@rota.example took it over"})
	case parts[0] == "desk" && len(parts) == 1:
		say(200, []any{person("1"), person("2"), person("3")})
	case parts[0] == "desk" && person(parts[1]) == nil:
		say(404, map[string]string{"error": "nobody is called so"})
	case parts[0] == "desk" && q.Method == http.MethodGet:
		say(200, person(parts[1]))
	case parts[0] == "desk" && !admin:
		say(403, map[string]string{"error": "needs the role of an administrator"})
	case parts[0] == "desk":
		for name, v := range in {
			if text, ok := v.(string); name == "rootRole" && ok {
				if text != "1" && text != "2" {
					say(400, map[string]string{"error": "rootRole must be a number"})
					return
				}
				v = float64(text[0] - '0')
			}
			person(parts[1])[name] = v
		}
		say(200, person(parts[1]))
	case parts[0] == "shifts" && len(parts) == 1 && q.Method == http.MethodGet:
		list := []any{}
		for i := range len(s.shifts) + 100 {
			if sh := s.shifts[fmt.Sprint(i)]; sh != nil {
				list = append(list, sh)
			}
		}
		say(200, list)
	case parts[0] == "shifts" && len(parts) == 1:
		title, _ := in["title"].(string)
		if title == "" || len(title) > 200 {
			say(422, map[string]string{"error": "title is required"})
			return
		}
		sh := map[string]any{"id": len(s.shifts) + 1, "title": title}
		s.shifts[fmt.Sprint(len(s.shifts)+1)] = sh
		say(201, sh)
	case parts[0] == "shifts" && s.shifts[parts[1]] == nil:
		say(404, map[string]string{"error": "no such shift"})
	case parts[0] == "shifts" && len(parts) == 3:
		say(200, map[string]bool{"starred": q.Method == http.MethodPost})
	case parts[0] == "shifts" && q.Method == http.MethodDelete:
		s.shifts[parts[1]] = nil
		w.WriteHeader(204)
	case parts[0] == "shifts":
		say(200, s.shifts[parts[1]])
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

// An account that was given stays as it is though an administrator may change anybody;
// a prefix that all paths have makes no operation one for administrators; and a call
// without a body that a server refuses for its media type is made with an empty object.
func TestGivenPeople(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open %v", open), func(t *testing.T) {
			t.Parallel()
			s := &rota{open: open, shifts: map[string]map[string]any{}, people: map[string]map[string]any{
				"token-of-ann-17": {"id": 2, "name": "Ann", "email": "ann@rota.example", "rootRole": float64(2)},
				"token-of-ben-23": {"id": 3, "name": "Ben", "email": "ben@rota.example", "rootRole": float64(2)},
				"token-of-gil-41": {"id": 1, "name": "Gil", "email": "gil@rota.example", "rootRole": float64(1)},
			}}
			before := map[string]map[string]any{}
			for name, p := range s.people {
				before[name] = maps.Clone(p)
			}
			api := httptest.NewServer(s)
			t.Cleanup(api.Close)
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(rotaSpec), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &Options{Spec: spec, Target: api.URL, Seed: 1, Actors: actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
				actor.User: {Role: "editor", Bearer: actor.Text("token-of-ann-17")}, actor.Peer: {Role: "editor", Bearer: actor.Text("token-of-ben-23")}, actor.Admin: {Role: "admin", Bearer: actor.Text("token-of-gil-41")},
			}}}
			r := scanned(t, o).Report
			for name, was := range before {
				for field, v := range was {
					if fmt.Sprint(s.people[name][field]) != fmt.Sprint(v) {
						t.Errorf("%s of %v is %v, before %v", field, was["name"], s.people[name][field], v)
					}
				}
			}
			var bfla []string
			for _, f := range r.Findings {
				if f.Check == "bfla" {
					bfla = append(bfla, f.Method+" "+f.Path)
				}
			}
			want := "[]"
			if open {
				want = "[GET /api/admin/audit]"
			}
			if fmt.Sprint(bfla) != want {
				t.Errorf("bfla: %v, want %s", bfla, want)
			}
			for _, c := range r.Coverage {
				if strings.HasSuffix(c.Path, "/star") && !c.Reached {
					t.Errorf("%s %s: %s", c.Method, c.Path, c.Reason)
				}
			}
		})
	}
}
