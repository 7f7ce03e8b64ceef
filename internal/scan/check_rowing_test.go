package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// rowing is a club whose people are coxes or rowers, and whose description says of some
// operations that they are for coxes: no word there is one for administrators. Open, a
// rower may do all of it.
type rowing struct {
	open bool

	mu     sync.Mutex
	people map[string]*rower // by name
	trials []map[string]any
}

type rower struct {
	id         int
	role, name string
}

const rowingSpec = `openapi: 3.0.3
info: {title: Rowing, version: "1"}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Rower: {type: object, properties: {id: {type: integer}, name: {type: string}, email: {type: string}, role: {type: string, enum: [cox, rower]}}}
    Trial: {type: object, required: [course], properties: {id: {type: integer, readOnly: true}, course: {type: string}}}
    Fine: {type: object, properties: {id: {type: integer}, who: {type: string}, pence: {type: integer}}}
paths:
  /login: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /me:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Rower"}}}}}}
    patch: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Rower"}}}}}}
  /crew: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Rower"}}}}}}}}
  /crew/{crew_id}: {patch: {summary: Seat somebody (coxes), parameters: [{name: crew_id, in: path, required: true, schema: {type: integer}}], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [role], properties: {role: {type: string, enum: [cox, rower]}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Rower"}}}}}}}
  /fines: {get: {summary: Who owes what (coxes), responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Fine"}}}}}}}}
  /kitty: {get: {summary: What there is for all rowers, coxes too, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Fine"}}}}}}}}
  /trials:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Trial"}}}}}}}
    post: {summary: Call a trial. Coxes only., requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Trial"}}}}, responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Trial"}}}}}}
`

func newRowing(open bool) *rowing {
	return &rowing{open: open, people: map[string]*rower{"pinsent": {1, "cox", "Pinsent"}, "redgrave": {2, "rower", "Redgrave"}, "foster": {3, "rower", "Foster"}}}
}

func (m *rower) page(handle string) map[string]any {
	return map[string]any{"id": m.id, "name": m.name, "role": m.role, "email": handle + "@oars.example"}
}

func (s *rowing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	say := func(code int, v any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	in := map[string]any{}
	if r.Method == http.MethodPost || r.Method == http.MethodPatch {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in == nil {
			say(400, map[string]string{"error": "JSON, please"})
			return
		}
	}
	if r.URL.Path == "/login" {
		name, _, _ := strings.Cut(fmt.Sprint(in["email"]), "@")
		if s.people[name] == nil || in["password"] != name+"-pulls-8" {
			say(401, map[string]string{"error": "wrong"})
			return
		}
		say(200, map[string]string{"token": "oar." + name + ".77ab19f3c2"})
		return
	}
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer oar.")
	handle, end, _ := strings.Cut(rest, ".")
	me := s.people[handle]
	if me == nil || end != "77ab19f3c2" {
		say(401, map[string]string{"error": "log in"})
		return
	}
	s.afloat(say, r, handle, me, in)
}

func (s *rowing) afloat(say func(int, any), r *http.Request, handle string, me *rower, in map[string]any) {
	cox := me.role == "cox" || s.open
	role, _ := in["role"].(string)
	fits := role == "cox" || role == "rower"
	fines := []any{map[string]any{"id": 1, "who": "redgrave@oars.example", "pence": 500}, map[string]any{"id": 2, "who": "foster@oars.example", "pence": 700}}
	switch what := r.Method + " " + r.URL.Path; {
	case what == "GET /me":
		say(200, me.page(handle))
	case what == "PATCH /me":
		if name, _ := in["name"].(string); name != "" {
			me.name = name
		}
		if fits && s.open {
			me.role = role
		}
		say(200, me.page(handle))
	case what == "GET /crew":
		say(200, []any{s.people["pinsent"].page("pinsent"), s.people["redgrave"].page("redgrave"), s.people["foster"].page("foster")})
	case strings.HasPrefix(what, "PATCH /crew/"):
		for name, m := range s.people {
			if fmt.Sprint(m.id) != strings.TrimPrefix(what, "PATCH /crew/") {
				continue
			}
			switch {
			case !cox:
				say(403, map[string]string{"error": "no"})
			case !fits:
				say(422, map[string]string{"error": "role must be cox or rower"})
			default:
				m.role = role
				say(200, m.page(name))
			}
			return
		}
		say(404, map[string]string{"error": "nobody"})
	case what == "GET /fines" && cox, what == "GET /kitty":
		say(200, fines)
	case what == "GET /trials":
		say(200, s.trials)
	case what == "POST /trials" && cox:
		course, _ := in["course"].(string)
		if course == "" {
			say(422, map[string]string{"error": "course must be a text"})
			return
		}
		s.trials = append(s.trials, map[string]any{"id": len(s.trials) + 1, "course": course})
		say(201, s.trials[len(s.trials)-1])
	case what == "GET /fines", what == "POST /trials":
		say(403, map[string]string{"error": "no"})
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

// rowed are the findings on a club whose accounts were given, none of which can be made.
func rowed(t *testing.T, s *rowing, checks ...string) []string {
	o := served(t, rowingSpec, s, checks...)
	o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{}}
	for name, who := range map[string]string{actor.Admin: "pinsent", actor.User: "redgrave", actor.Peer: "foster"} {
		o.Actors.Accounts[name] = actor.Account{Login: &actor.Login{Email: who + "@oars.example", Password: actor.Text(who + "-pulls-8")}}
	}
	var got []string
	for _, f := range scanned(t, o).Report.Findings {
		got = append(got, f.Check+" "+f.Method+" "+f.Path)
	}
	slices.Sort(got)
	return got
}

// A role that the description names beside an operation, and that stands in one list with
// the user's own, is whom the operation is for.
func TestARoleThatTheDescriptionNames(t *testing.T) {
	t.Parallel()
	if got, want := rowed(t, newRowing(true), "bfla"), []string{"bfla GET /fines", "bfla POST /trials"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := rowed(t, newRowing(false), "bfla"); got != nil {
		t.Errorf("of the fixed twin: %q", got)
	}
}

// Who gives themselves the role that an administrator has is told of it, and is left as
// they were.
func TestARoleThatOneGivesOneself(t *testing.T) {
	t.Parallel()
	s := newRowing(true)
	if got, want := rowed(t, s, "self-promotion"), []string{"self-promotion PATCH /crew/{crew_id}", "self-promotion PATCH /me"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if s.people["foster"].role != "rower" || s.people["redgrave"].role != "rower" || s.people["pinsent"].role != "cox" || s.people["foster"].name != "Foster" {
		t.Errorf("they are not as they were: %+v %+v %+v", s.people["pinsent"], s.people["redgrave"], s.people["foster"])
	}
	if got := rowed(t, newRowing(false), "self-promotion"); got != nil {
		t.Errorf("of the fixed twin: %q", got)
	}
}
