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

// clubhouse has members with a profile that each may change.
type clubhouse struct {
	method string // that changes it
	locked bool   // it can be changed a few times, and then no more

	mu      sync.Mutex
	members map[string]map[string]any
	changes int
}

func (c *clubhouse) spec() string {
	return `openapi: 3.0.3
info: {title: Clubhouse, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Profile: {type: object, required: [name, city], properties: {name: {type: string, maxLength: 60}, city: {type: string, maxLength: 60}, about: {type: string}}}
paths:
  /login: {post: {operationId: logIn, security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}, responses: {'200': {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /me:
    get: {operationId: profile, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {user: {$ref: '#/components/schemas/Profile'}}}}}}}}
    ` + strings.ToLower(c.method) + `: {operationId: changeProfile, requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Profile'}}}}, responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {user: {$ref: '#/components/schemas/Profile'}}}}}}}}
`
}

func (c *clubhouse) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	in := map[string]any{}
	if q.Method != http.MethodGet && json.NewDecoder(q.Body).Decode(&in) != nil {
		say(400, map[string]string{"error": "no JSON"})
		return
	}
	if q.Method+q.URL.Path == "POST/login" {
		email := fmt.Sprint(in["email"])
		if c.members[email] == nil || in["password"] != "a-"+email {
			say(401, map[string]string{"error": "no"})
			return
		}
		say(200, map[string]string{"token": "t0k3n." + email})
		return
	}
	me := c.members[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer t0k3n.")]
	switch {
	case me == nil:
		say(401, map[string]string{"error": "who are you?"})
	case q.URL.Path != "/me" || q.Method != http.MethodGet && q.Method != c.method:
		say(404, map[string]string{"error": "no such thing"})
	case q.Method == http.MethodGet:
		say(200, map[string]any{"user": me})
	default:
		if c.changes++; c.locked && c.changes > 2 {
			say(423, map[string]string{"error": "the profile is locked for today"})
			return
		}
		for _, name := range []string{"name", "city", "about"} {
			text, is := in[name].(string)
			switch {
			case is && text != "":
				me[name] = text
			case c.method == http.MethodPut && name != "about":
				say(422, map[string]string{"error": name + " is required"})
				return
			}
		}
		say(200, map[string]any{"user": me})
	}
}

// What a run changes of an account that it was given is put back, or told of.
func TestProfileIsPutBack(t *testing.T) {
	for _, c := range []*clubhouse{{method: http.MethodPut}, {method: http.MethodPatch}, {method: http.MethodPut, locked: true}} {
		t.Run(fmt.Sprintf("%s locked %v", c.method, c.locked), func(t *testing.T) {
			t.Parallel()
			c.members = map[string]map[string]any{
				"ann@club.example": {"name": "Ann Baker", "city": "Leeds", "about": "Rows."}, "ben@club.example": {"name": "Ben Cole", "city": "York", "about": "Reads."},
			}
			before := map[string]map[string]any{}
			for name, m := range c.members {
				before[name] = maps.Clone(m)
			}
			api := httptest.NewServer(c)
			t.Cleanup(api.Close)
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(c.spec()), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &Options{Spec: spec, Target: api.URL, Seed: 1, Mode: "aggressive", Actors: actor.Config{Accounts: map[string]actor.Account{}}}
			for name, who := range map[string]string{actor.User: "ann", actor.Peer: "ben"} {
				email := who + "@club.example"
				o.Actors.Accounts[name] = actor.Account{Login: &actor.Login{Email: email, Password: actor.Text("a-" + email)}}
			}
			r := scanned(t, o).Report
			if c.changes == 0 {
				t.Fatal("nothing was changed: there was nothing to put back")
			}
			same := true
			for name, m := range c.members {
				for field, was := range before[name] {
					if m[field] != was {
						same = false
						if !c.locked {
							t.Errorf("%s of %s is %q, before %q", field, name, m[field], was)
						}
					}
				}
			}
			told := ""
			for _, l := range r.Left {
				told += l.Resource + " " + l.ID + ": " + l.Why + "\n"
			}
			if c.locked && (same || !strings.Contains(told, "account ") || !strings.Contains(told, "PUT /me answered 423")) {
				t.Errorf("the same %v; told %q", same, told)
			}
			if !c.locked && told != "" {
				t.Errorf("told of what was put back: %s", told)
			}
		})
	}
}
