package scan

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
)

const bylineSpec = `openapi: 3.0.3
info: {title: Gazette, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Who: {type: object, properties: {id: {type: integer}, name: {type: string}, email: {type: string}, motto: {type: string}}}
paths:
  /users/me: {get: {operationId: me, summary: Your own account, responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Who'}}}}}}}
  /users: {get: {operationId: writers, summary: Those who write here, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Who'}}}}}}}}
`

// openNewsroom names its writers to everybody; a careless one gives their addresses with it.
func openNewsroom(careless bool) http.Handler {
	people := map[string]map[string]any{
		"Bearer token-of-ida-17": {"id": 41, "name": "Ida Quist", "motto": "early and short", "email": "ida.quist@gazette.example"},
		"Bearer token-of-kai-23": {"id": 42, "name": "Kai Rask", "motto": "late and long", "email": "kai.rask@gazette.example"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		say := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		me := people[q.Header.Get("Authorization")]
		switch {
		case q.Method != http.MethodGet:
			say(405, map[string]string{"error": "no"})
		case q.URL.Path == "/users":
			list := []map[string]any{}
			for _, as := range []string{"Bearer token-of-ida-17", "Bearer token-of-kai-23"} {
				shown := map[string]any{"id": people[as]["id"], "name": people[as]["name"], "motto": people[as]["motto"]}
				if careless {
					shown["email"] = people[as]["email"]
				}
				list = append(list, shown)
			}
			say(200, list)
		case me == nil:
			say(401, map[string]string{"error": "who are you?"})
		case q.URL.Path == "/users/me":
			say(200, me)
		default:
			say(404, map[string]string{"error": "nothing here"})
		}
	})
}

// Who writes here is told to everybody in many places: that a description asks for
// credentials all over makes it information. Addresses are another matter.
func TestPublicNames(t *testing.T) {
	for _, c := range []struct {
		name     string
		careless bool
		want     finding.Severity
	}{{"names", false, finding.Info}, {"addresses", true, finding.High}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(openNewsroom(c.careless))
			t.Cleanup(api.Close)
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(bylineSpec), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"auth-missing"}, Actors: actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
				actor.User: {Bearer: actor.Text("token-of-ida-17")}, actor.Peer: {Bearer: actor.Text("token-of-kai-23")},
			}}}
			r := scanned(t, o).Report
			if len(r.Findings) != 1 || r.Findings[0].Severity != c.want {
				t.Errorf("found %v, want one of %v", prints(r.Findings), c.want)
			}
		})
	}
}
