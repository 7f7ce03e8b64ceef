package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// observatory is the API of several institutes: whoever works at one sees what all there
// note. Where it is personal, each sees their own notes alone. Open, it looks nothing up
// by whose it is when it is asked for one thing by its number.
type observatory struct {
	open, personal bool

	mu    sync.Mutex
	n     int
	notes map[int]*observation // sightings, plates and catalogues
}

type observation struct {
	kind, institute, by, of string
	fields                  map[string]any
}

const observatorySpec = `openapi: 3.0.3
info: {title: Observatory, version: "1"}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Sighting: {type: object, required: [body, remarks], properties: {id: {type: integer, readOnly: true}, body: {type: string}, remarks: {type: string}}}
    Plate: {type: object, required: [caption], properties: {id: {type: integer, readOnly: true}, caption: {type: string}}}
    Export: {type: object, properties: {id: {type: integer}, title: {type: string}}}
paths:
  /login: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}}}
  /sightings:
    get: {summary: Private sightings, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Sighting"}}}}}}}
    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Sighting"}}}}, responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Sighting"}}}}}}
  /sightings/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Sighting"}}}}}}
    put: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Sighting"}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Sighting"}}}}}}
    delete: {responses: {"204": {description: gone}}}
  /sightings/{id}/plates:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Plate"}}}}}}}
    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Plate"}}}}, responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Plate"}}}}}}
  /exports: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}, responses: {"202": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Export"}}}}}}}
  /exports/{export_id}: {get: {parameters: [{name: export_id, in: path, required: true, schema: {type: integer}}], responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Export"}}}}}}}
`

// institutes is where the people of the observatory work.
var institutes = map[string]string{"hale": "west", "mitchell": "west", "leavitt": "south"}

// sees: somebody may see a thing; asked for by its number, an open observatory shows it to all.
func (s *observatory) sees(me string, o *observation, asked bool) bool {
	switch {
	case asked && s.open:
		return true
	case s.personal:
		return o.by == me
	}
	return o.institute == institutes[me]
}

func (s *observatory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	say := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if v != nil {
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	in := map[string]any{}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			say(400, map[string]string{"error": "JSON, please"})
			return
		}
	}
	if r.URL.Path == "/login" {
		name, _, _ := strings.Cut(fmt.Sprint(in["email"]), "@")
		if institutes[name] == "" || in["password"] != name+"-at-night-77" {
			say(401, map[string]string{"error": "wrong"})
			return
		}
		say(200, map[string]string{"token": "tk." + name + ".9f31c07a55e2d4b8"})
		return
	}
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer tk.")
	me, end, _ := strings.Cut(rest, ".")
	if institutes[me] == "" || end != "9f31c07a55e2d4b8" {
		say(401, map[string]string{"error": "log in"})
		return
	}
	at := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if at[0] == "me" {
		say(200, map[string]string{"email": me + "@stars.example"})
		return
	}
	s.things(say, r, me, at, in)
}

func (s *observatory) things(say func(int, any), r *http.Request, me string, at []string, in map[string]any) {
	wants := map[string][]string{"sightings": {"body", "remarks"}, "plates": {"caption"}, "exports": {"title"}}
	kind := at[len(at)-1]
	of := ""
	if len(at) > 1 {
		n, _ := strconv.Atoi(at[1])
		o := s.notes[n]
		if o == nil || o.kind != at[0] || !s.sees(me, o, !strings.HasPrefix(r.Method, "P") || len(at) == 2) {
			say(404, map[string]string{"error": "no such thing"})
			return
		}
		switch {
		case len(at) == 3:
			of = at[1]
		case r.Method == http.MethodGet:
			say(200, o.fields)
			return
		case r.Method == http.MethodDelete && kind != "exports":
			delete(s.notes, n)
			say(204, nil)
			return
		case r.Method == http.MethodPut:
			for _, f := range wants[o.kind] {
				o.fields[f] = in[f]
			}
			say(200, o.fields)
			return
		default:
			say(405, nil)
			return
		}
	}
	switch r.Method {
	case http.MethodGet:
		list := []any{}
		for n := range s.n + 1 {
			if o := s.notes[n]; o != nil && o.kind == kind && o.of == of && (of != "" || s.sees(me, o, false)) {
				list = append(list, o.fields)
			}
		}
		say(200, list)
	case http.MethodPost:
		s.n++
		o := &observation{kind: kind, institute: institutes[me], by: me, of: of, fields: map[string]any{"id": s.n}}
		for _, f := range wants[kind] {
			text, _ := in[f].(string)
			if text == "" || len(text) > 300 {
				say(422, map[string]string{"error": f + " must be a text"})
				return
			}
			o.fields[f] = text
		}
		s.notes[s.n] = o
		say(201, o.fields)
	default:
		say(405, nil)
	}
}

func scannedObservatory(t *testing.T, s *observatory, checks ...string) *Result {
	s.notes = map[int]*observation{}
	o := served(t, observatorySpec, s, checks...)
	o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{}}
	for name, who := range map[string]string{actor.User: "hale", actor.Peer: "mitchell", actor.Foreign: "leavitt"} {
		o.Actors.Accounts[name] = actor.Account{Login: &actor.Login{Email: who + "@stars.example", Password: actor.Text(who + "-at-night-77")}}
	}
	return scanned(t, o)
}

// What a house's people all work on is no hole between them, whatever it is elsewhere;
// what another house gets at is, and so is what each of them has alone.
func TestWhatAHouseWorksOnTogether(t *testing.T) {
	t.Parallel()
	reads := []string{"bola-read GET /sightings/{id}", "bola-read GET /exports/{export_id}"}
	for _, c := range []struct {
		name string
		s    *observatory
		want []string
	}{
		{"a house", &observatory{}, nil},
		{"a house, open", &observatory{open: true}, append(reads, "bola-write PUT /sightings/{id}", "bola-delete DELETE /sightings/{id}")},
		{"each alone", &observatory{personal: true}, nil},
		{"each alone, open", &observatory{open: true, personal: true}, append(reads, "bola-write PUT /sightings/{id}", "bola-delete DELETE /sightings/{id}")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range scannedObservatory(t, c.s, "bola-read", "bola-list", "bola-write", "bola-delete", "bola-reference", "bola-variant").Report.Findings {
				got = append(got, f.Check+" "+f.Method+" "+f.Path)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(slices.Compact(got), slices.Compact(c.want)) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
