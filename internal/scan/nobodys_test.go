package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

const presetSpec = `openapi: 3.0.3
info: {title: Shelf, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Preset: {type: object, properties: {id: {type: integer, readOnly: true}, title: {type: string}, user: {type: string, nullable: true}}}
paths:
  /me: {get: {operationId: me, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: string}, email: {type: string}}}}}}}}}
  /presets:
    get: {operationId: listPresets, summary: List your own presets, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {data: {type: array, items: {$ref: '#/components/schemas/Preset'}}}}}}}}}
    post: {operationId: addPreset, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string}}}}}}, responses: {'200': {description: made, content: {application/json: {schema: {type: object, properties: {data: {$ref: '#/components/schemas/Preset'}}}}}}}}
    patch: {operationId: changePresets, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {data: {type: array, items: {type: object}}}}}}}, responses: {'200': {description: ok}}}
  /presets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {operationId: getPreset, summary: Your own preset, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {data: {$ref: '#/components/schemas/Preset'}}}}}}}}
`

// presets are of nobody, which all see, or of whoever made them, which others
// should not see.
type presets struct {
	owned, checked bool

	mu   sync.Mutex
	list []map[string]any
}

func (s *presets) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	me := map[string]string{"Bearer token-of-ann-17": "ann-5512", "Bearer token-of-ben-23": "ben-8841"}[q.Header.Get("Authorization")]
	own := func(p map[string]any) bool { return p["user"] == nil || p["user"] == me }
	id := strings.TrimPrefix(q.URL.Path, "/presets/")
	switch {
	case me == "":
		say(401, map[string]string{"error": "who are you?"})
	case q.URL.Path == "/me":
		say(200, map[string]string{"id": me, "email": me + "@shelf.example"})
	case q.URL.Path == "/presets" && q.Method == http.MethodPost:
		in := map[string]any{}
		title := ""
		if json.NewDecoder(q.Body).Decode(&in) == nil {
			title, _ = in["title"].(string)
		}
		if title == "" {
			say(422, map[string]string{"error": "title is required"})
			return
		}
		p := map[string]any{"id": len(s.list) + 1, "title": title, "user": nil}
		if s.owned {
			p["user"] = me
		}
		s.list = append(s.list, p)
		say(200, map[string]any{"data": p})
	case q.URL.Path == "/presets" && q.Method == http.MethodPatch:
		say(403, map[string]string{"error": "only one at a time"})
	case q.URL.Path == "/presets":
		out := []any{}
		for _, p := range s.list {
			if own(p) {
				out = append(out, p)
			}
		}
		say(200, map[string]any{"data": out})
	default:
		for _, p := range s.list {
			if fmt.Sprint(p["id"]) == id && (own(p) || !s.checked) {
				say(200, map[string]any{"data": p})
				return
			}
		}
		say(404, map[string]string{"error": "no such preset"})
	}
}

// What says itself that it is nobody's is no other user's object; what is somebody's is.
func TestNobodysObjects(t *testing.T) {
	for _, c := range []struct {
		name string
		s    *presets
		want bool
	}{
		{"nobody's", &presets{checked: true}, false},
		{"somebody's, and all read it", &presets{owned: true}, true},
		{"somebody's", &presets{owned: true, checked: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(c.s)
			t.Cleanup(api.Close)
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(presetSpec), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"bola-read", "bola-list"}, Actors: actor.Config{NoRegister: true, Accounts: map[string]actor.Account{
				actor.User: {Bearer: actor.Text("token-of-ann-17")}, actor.Peer: {Bearer: actor.Text("token-of-ben-23")},
			}}}
			r := scanned(t, o).Report
			if got := len(r.Findings) > 0; got != c.want {
				t.Errorf("found %v, want something found %v", prints(r.Findings), c.want)
			}
			for _, l := range r.Left {
				if l.Resource == "account" {
					t.Errorf("a list that grew is told as an account that was changed: %s", l.Why)
				}
			}
		})
	}
}
