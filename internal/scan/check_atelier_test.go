package scan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// atelier is an API whose commissions go from state to state, whose chores may be
// done in any order, and which takes a profile over from another server. What of
// it is open is in its ways.
type atelier struct {
	ways map[string]bool

	mu          sync.Mutex
	artists     map[string]map[string]any // by mail
	commissions []string                  // their states
	chores      []string
}

const atelierSpec = `openapi: 3.0.3
info: {title: Atelier, version: "4"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Commission:
      type: object
      properties: {id: {type: integer}, title: {type: string}, state: {type: string, enum: [drafted, submitted, approved, delivered]}}
    Chore:
      type: object
      properties: {id: {type: integer}, title: {type: string}, status: {type: string, enum: [open, started, done]}}
security: [{bearer: []}]
paths:
  /artists:
    post:
      operationId: register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"202": {description: look into your mail}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /password/forgot:
    post:
      summary: Forgotten password
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string, format: email}}}}}}
      responses: {"202": {description: look into your mail}}
  /password/reset:
    post:
      summary: Reset the password with the code
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, resetCode, newPassword], properties: {email: {type: string, format: email}, resetCode: {type: string}, newPassword: {type: string, minLength: 8}}}}}}
      responses: {"200": {description: done}}
  /me:
    get:
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {email: {type: string}, name: {type: string}, role: {type: string}}}}}}}
  /me/portfolio:
    post:
      summary: Take name and works over from a portfolio elsewhere
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [portfolioUrl], properties: {portfolioUrl: {type: string, format: uri}}}}}}
      responses: {"200": {description: taken over}}
  /commissions:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Commission"}}}}}
  /commissions/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Commission"}}}}}
  /commissions/{id}/approve:
    post:
      summary: The client approves it
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: done}}
  /commissions/{id}/deliver:
    post:
      summary: Deliver an approved commission
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: done}, "409": {description: too early}}
  /chores:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title], properties: {title: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Chore"}}}}}
  /chores/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Chore"}}}}}
  /chores/{id}/start:
    post:
      summary: Begin with it
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: done}}
  /chores/{id}/complete:
    post:
      summary: It is finished
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: done}}
`

func (s *atelier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int, why string) { answer(status, map[string]any{"error": why}) }
	in := map[string]string{}
	if r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(400, "no JSON")
		return
	}
	token := func(mail string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte("atelier "+mail))) }
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Method + " " + r.URL.Path
	switch key {
	case "POST /artists":
		switch _, taken := s.artists[in["email"]]; {
		case !strings.Contains(in["email"], "@") || len(in["password"]) < 8:
			fail(422, "email, password")
		case taken && s.ways["register tells"]:
			fail(409, "this address is taken")
		default:
			if !taken {
				s.artists[in["email"]] = map[string]any{"email": in["email"], "password": in["password"], "name": "", "role": "artist"}
			}
			answer(202, map[string]any{"next": "look into your mail"})
		}
		return
	case "POST /password/forgot":
		out := map[string]any{"next": "look into your mail"}
		if a := s.artists[in["email"]]; a != nil {
			sum := sha256.Sum256([]byte(fmt.Sprint("code ", in["email"], len(s.commissions))))
			a["code"], a["tries"] = fmt.Sprintf("4%05d", (int(sum[0])<<8|int(sum[1]))%100000), 0
			if s.ways["the code is told"] {
				out["resetCode"] = a["code"]
			}
		}
		answer(202, out)
		return
	case "POST /password/reset":
		a := s.artists[in["email"]]
		if a == nil || a["code"] == nil || len(in["newPassword"]) < 8 {
			fail(400, "wrong or over")
			return
		}
		a["tries"] = a["tries"].(int) + 1
		if a["tries"].(int) > 5 && !s.ways["tries are not counted"] || a["code"] != in["resetCode"] {
			fail(400, "wrong or over")
			return
		}
		a["password"], a["code"] = in["newPassword"], nil
		answer(200, map[string]any{"ok": true})
		return
	case "POST /login":
		if a := s.artists[in["email"]]; a == nil || a["password"] != in["password"] {
			fail(401, "wrong")
			return
		}
		answer(200, map[string]any{"token": token(in["email"])})
		return
	}
	var me map[string]any
	for mail, a := range s.artists {
		if r.Header.Get("Authorization") == "Bearer "+token(mail) {
			me = a
		}
	}
	if me == nil {
		fail(401, "who is it")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case key == "GET /me":
		answer(200, map[string]any{"email": me["email"], "name": me["name"], "role": me["role"]})
	case key == "POST /me/portfolio":
		s.mu.Unlock()
		got, err := fetchedPortfolio(in["portfolioUrl"])
		s.mu.Lock()
		if err != nil {
			fail(502, "it does not answer")
			return
		}
		for name, v := range got {
			if text, ok := v.(string); ok && (name == "name" || s.ways["partner is trusted"] && name == "role") {
				me[name] = text
			}
		}
		answer(200, map[string]any{"takenOver": true})
	case key == "POST /commissions" || key == "POST /chores":
		if in["title"] == "" {
			fail(422, "title")
			return
		}
		list, first := &s.commissions, "drafted"
		if parts[0] == "chores" {
			list, first = &s.chores, "open"
		}
		*list = append(*list, first)
		answer(201, map[string]any{"id": len(*list), "title": in["title"], "state": first, "status": first})
	case len(parts) >= 2:
		list := s.commissions
		if parts[0] == "chores" {
			list = s.chores
		}
		id, err := strconv.Atoi(parts[1])
		if err != nil || id < 1 || id > len(list) {
			fail(404, "nothing")
			return
		}
		at := &list[id-1]
		switch strings.Join(append([]string{r.Method, parts[0]}, parts[2:]...), " ") {
		case "GET commissions":
			answer(200, map[string]any{"id": id, "title": "it", "state": *at})
		case "GET chores":
			answer(200, map[string]any{"id": id, "title": "it", "status": *at})
		case "POST commissions approve":
			*at = "approved"
			answer(200, map[string]any{"ok": true})
		case "POST commissions deliver":
			if *at != "approved" && !s.ways["steps are left out"] {
				fail(409, "it is not approved")
				return
			}
			*at = "delivered"
			answer(200, map[string]any{"ok": true})
		case "POST chores start":
			*at = "started"
			answer(200, map[string]any{"ok": true})
		case "POST chores complete":
			*at = "done"
			answer(200, map[string]any{"ok": true})
		default:
			fail(405, "no")
		}
	default:
		fail(404, "nothing")
	}
}

func fetchedPortfolio(address string) (map[string]any, error) {
	c := &http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get(address)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]any{}
	return out, json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&out)
}

// Each way that is a hole is found, and nothing else: chores may be done in any order.
func TestAtelier(t *testing.T) {
	checks := []string{"step-skipped", "partner-fields", "register-enumeration", "login-enumeration", "reset-token-leak"}
	for _, c := range []struct {
		ways string
		want []string
	}{
		{"", nil},
		{"the code is told", []string{"reset-token-leak /password/forgot answer./resetCode critical"}},
		{"the code is told, tries are not counted", []string{"reset-token-leak /password/forgot answer./resetCode critical", "reset-token-leak /password/reset body./resetCode critical"}},
		{"register tells", []string{"register-enumeration /artists answer info"}},
		{"steps are left out, partner is trusted", []string{"partner-fields /me/portfolio body./portfolioUrl role high", "step-skipped /commissions/{id}/deliver order.approved high"}},
	} {
		t.Run("open="+c.ways, func(t *testing.T) {
			s := &atelier{ways: map[string]bool{}, artists: map[string]map[string]any{}}
			for _, w := range strings.Split(c.ways, ", ") {
				s.ways[w] = true
			}
			var found []string
			for _, f := range tested(t, atelierSpec, s, checks...).Report.Findings {
				found = append(found, fmt.Sprintf("%s %s %s %s", f.Check, f.Path, f.Where, f.Severity))
			}
			slices.Sort(found)
			if !slices.Equal(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
