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

// office has accounts that its administrator alone makes, each with a role:
// 1 is the administrators'. Its staff list is for them.
type office struct {
	open   bool // anybody who is logged in reads the staff list
	byName bool // roles can be named, so that it can be seen which is the least

	mu    sync.Mutex
	n     int
	staff []map[string]any
}

const officeSpec = `openapi: 3.0.0
info: {title: Office, version: "1"}
security: [{token: []}]
paths:
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}, "401": {description: no}}
  /me:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}}}}}}}}
  /admin/staff:
    get: {summary: Everybody. For administrators, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: integer}, email: {type: string}}}}}}}}}
    post:
      summary: Make an account. For administrators
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password, role], properties: {email: {type: string}, password: {type: string}, role: ROLE}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /admin/audit:
    get: {summary: What happened. For administrators, responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {text: {type: string}}}}}}}}}
components: {securitySchemes: {token: {type: http, scheme: bearer}}}
`

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	if r.URL.Path == "/login" {
		for _, s := range o.staff {
			if s["email"] == body["email"] && s["password"] == body["password"] {
				answer(200, map[string]any{"token": fmt.Sprintf("tok-%v-of-this-office", s["id"])})
				return
			}
		}
		answer(401, map[string]any{"error": "who are you?"})
		return
	}
	var me map[string]any
	for _, s := range o.staff {
		if r.Header.Get("Authorization") == fmt.Sprintf("Bearer tok-%v-of-this-office", s["id"]) {
			me = s
		}
	}
	boss := me != nil && (me["role"] == 1.0 || me["role"] == "Administrator")
	switch {
	case me == nil:
		answer(401, map[string]any{"error": "who are you?"})
	case r.URL.Path == "/me":
		answer(200, map[string]any{"id": me["id"], "email": me["email"]})
	case r.URL.Path == "/admin/staff" && r.Method == http.MethodGet && (boss || o.open):
		var list []map[string]any
		for _, s := range o.staff {
			list = append(list, map[string]any{"id": s["id"], "email": s["email"]})
		}
		answer(200, list)
	case !boss:
		answer(403, map[string]any{"error": "for administrators"})
	case r.URL.Path == "/admin/audit":
		answer(200, []map[string]any{{"text": "the office was opened"}})
	case r.URL.Path == "/admin/staff" && r.Method == http.MethodPost:
		text, _ := body["role"].(string)
		if n, _ := body["role"].(float64); n != 1 && n != 2 && (!o.byName || text != "Administrator" && text != "Viewer") {
			answer(400, map[string]any{"error": "there is no such role"})
			return
		}
		o.n++
		o.staff = append(o.staff, map[string]any{"id": o.n, "email": body["email"], "password": body["password"], "role": body["role"]})
		answer(201, map[string]any{"id": o.n})
	default:
		answer(404, map[string]any{"error": "there is nothing"})
	}
}

// Accounts that an administrator makes for the run may be administrators' too,
// where the role is a number: what they may do proves nothing then.
func TestRolesThatTheRunChose(t *testing.T) {
	for _, c := range []struct {
		name string
		o    *office
		want int
	}{
		{"by number", &office{}, 0},
		{"by name", &office{byName: true}, 0},
		{"by name, and the list is open", &office{byName: true, open: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			role := "{type: integer, example: 1}"
			if c.o.byName {
				role = "{oneOf: [{type: integer, example: 1}, {type: string, enum: [Administrator, Viewer]}]}"
			}
			c.o.n = 1
			c.o.staff = []map[string]any{{"id": 1, "email": "root@example.com", "password": "a-root-Password-1", "role": 1.0}}
			o := served(t, strings.Replace(officeSpec, "ROLE", role, 1), c.o, "bfla")
			o.Actors.Accounts = map[string]actor.Account{actor.Admin: {Login: &actor.Login{Email: "root@example.com", Password: actor.Text("a-root-Password-1")}}}
			res := scanned(t, o)
			if len(c.o.staff) < 3 {
				t.Fatalf("no accounts were made: %+v", res.Report.Problems)
			}
			for _, f := range res.Report.Findings {
				t.Log(f.Title)
			}
			if n := len(res.Report.Findings); n != c.want {
				t.Errorf("%d findings, want %d", n, c.want)
			}
		})
	}
}
