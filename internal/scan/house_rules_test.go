package scan

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

const houseRulesSpec = `openapi: 3.0.3
info: {title: Swimming bath, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
paths:
  /me: {get: {operationId: me, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: string}, email: {type: string}}}}}}}}}
  /house-rules:
    get: {operationId: rules, responses: {'200': {description: ok}}}
    put: {operationId: setRules, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {heading: {type: string}, address: {type: string}, notice: {type: string}}}}}}, responses: {'200': {description: ok}}}
`

// bath keeps one set of rules for the whole house, which its manager alone sets. Without
// an address it answers nobody any more.
type bath struct {
	mu    sync.Mutex
	rules map[string]any
}

func (s *bath) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	me := map[string]string{"Bearer token-of-ida-17": "ida-5512", "Bearer token-of-kai-23": "kai-8841", "Bearer token-of-uma-31": "uma-1009"}[q.Header.Get("Authorization")]
	switch {
	case s.rules["address"] == nil:
		say(500, map[string]string{"error": "where is this?"})
	case me == "":
		say(401, map[string]string{"error": "who are you?"})
	case q.URL.Path == "/me":
		say(200, map[string]string{"id": me, "email": me + "@bath.example"})
	case q.URL.Path != "/house-rules":
		say(404, map[string]string{"error": "nothing here"})
	case me != "uma-1009":
		say(403, map[string]string{"error": "for the manager"})
	case q.Method == http.MethodPut:
		in := map[string]any{}
		if json.NewDecoder(q.Body).Decode(&in) != nil {
			say(400, map[string]string{"error": "JSON is wanted"})
			return
		}
		maps.Copy(s.rules, in)
		say(200, s.rules)
	default:
		say(200, s.rules)
	}
}

// What is set once for a whole service is not attacked by the administrator's account
// that the run was given, and is at the end what it was.
func TestHouseRules(t *testing.T) {
	s := &bath{rules: map[string]any{"heading": "No running", "address": "Quay 4", "notice": "Closed on Mondays"}}
	before := maps.Clone(s.rules)
	api := httptest.NewServer(s)
	t.Cleanup(api.Close)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(houseRulesSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"server-error", "sqli"}, Actors: actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
		actor.User: {Bearer: actor.Text("token-of-ida-17")}, actor.Peer: {Bearer: actor.Text("token-of-kai-23")},
		actor.Admin: {Bearer: actor.Text("token-of-uma-31"), Role: "manager"},
	}}}
	r := scanned(t, o).Report
	s.mu.Lock()
	defer s.mu.Unlock()
	if !maps.Equal(s.rules, before) {
		t.Errorf("the rules are %v, and were %v", s.rules, before)
	}
	if len(r.Left) > 0 {
		t.Errorf("told as left behind: %+v", r.Left)
	}
}
