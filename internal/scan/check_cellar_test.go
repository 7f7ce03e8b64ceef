package scan

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cellar is an API as Rails makes them: bodies in a member of their own, errors by
// field, tokens as a parameter of their scheme, a house of its own for whoever
// signs up, and people who are invited into it. With open set it has the holes that
// its fixed twin has not.
type cellar struct {
	open bool

	mu       sync.Mutex
	n        int
	people   map[int]map[string]any
	tokens   map[string]int
	renewals map[string]int
	houses   map[int]map[string]any
	casks    map[int]map[string]any
	tastings map[int]map[string]any
	papers   map[string]map[string]any
	log      []map[string]any
}

const cellarSpec = `openapi: 3.0.3
info: {title: Cellar, version: "1"}
security: [{token: []}]
components:
  securitySchemes: {token: {type: apiKey, in: header, name: Authorization, description: "Token token=<the token of POST /session>"}}
  schemas:
    Keeper: {type: object, properties: {id: {type: integer}, name: {type: string}, email: {type: string}, role: {type: string}, saved_cents: {type: integer}, workspace_id: {type: integer}}}
    KeeperBox: {type: object, properties: {keeper: {$ref: "#/components/schemas/Keeper"}}}
    WorkspaceBox: {type: object, properties: {workspace: {type: object, properties: {id: {type: integer}, title: {type: string}}}}}
    SessionBox: {type: object, properties: {session: {type: object, properties: {token: {type: string}, refresh_token: {type: string}}}}}
    Cask: {type: object, properties: {id: {type: integer}, title: {type: string}, wood: {type: string}, filled_on: {type: string, nullable: true}}}
    CaskInput: {type: object, required: [title], properties: {title: {type: string, maxLength: 60}, wood: {type: string, maxLength: 60}, filled_on: {type: string, format: date}}}
    Tasting: {type: object, properties: {id: {type: integer}, cask_id: {type: integer}, remark: {type: string}}}
paths:
  /keepers:
    post:
      summary: Sign up
      requestBody: {content: {application/json: {schema: {type: object, properties: {keeper: {type: object, required: [name, email, password], properties: {name: {type: string}, email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/KeeperBox"}}}}}
  /session:
    post:
      summary: Sign in
      security: []
      requestBody: {content: {application/json: {schema: {type: object, properties: {session: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}}}
      responses: {"201": {description: in, content: {application/json: {schema: {$ref: "#/components/schemas/SessionBox"}}}}}
  /session/refresh:
    post:
      summary: Refresh the session
      requestBody: {content: {application/json: {schema: {type: object, properties: {session: {type: object, properties: {refresh_token: {type: string}}}}}}}}
      responses: {"201": {description: in, content: {application/json: {schema: {$ref: "#/components/schemas/SessionBox"}}}}}
  /me:
    get:
      summary: Who am I
      responses: {"200": {description: me, content: {application/json: {schema: {$ref: "#/components/schemas/KeeperBox"}}}}}
  /workspaces/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/WorkspaceBox"}}}}}
    patch:
      requestBody: {content: {application/json: {schema: {type: object, properties: {workspace: {type: object, properties: {title: {type: string}}}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/WorkspaceBox"}}}}}
  /casks:
    get:
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {casks: {type: array, items: {$ref: "#/components/schemas/Cask"}}}}}}}}
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {cask: {$ref: "#/components/schemas/CaskInput"}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {cask: {$ref: "#/components/schemas/Cask"}}}}}}}
  /casks/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {cask: {$ref: "#/components/schemas/Cask"}}}}}}}
  /casks/{id}/tastings:
    post:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {tasting: {type: object, required: [remark], properties: {remark: {type: string}}}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {tasting: {$ref: "#/components/schemas/Tasting"}}}}}}}
  /casks/{cask_id}/tastings/{id}:
    parameters:
      - {name: cask_id, in: path, required: true, schema: {type: integer}}
      - {name: id, in: path, required: true, schema: {type: integer}}
    get:
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {tasting: {$ref: "#/components/schemas/Tasting"}}}}}}}
    put:
      requestBody: {content: {application/json: {schema: {type: object, properties: {tasting: {type: object, properties: {remark: {type: string}}}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {tasting: {$ref: "#/components/schemas/Tasting"}}}}}}}
  /casks/{id}/papers:
    post:
      summary: Add a paper
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      requestBody: {content: {multipart/form-data: {schema: {type: object, properties: {file: {type: string, format: binary}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {paper: {type: object, properties: {uuid: {type: string}, filename: {type: string}}}}}}}}}
  /crates:
    post:
      summary: Pack a cask into a crate
      requestBody: {content: {application/json: {schema: {type: object, properties: {crate: {type: object, required: [cask_id], properties: {cask_id: {type: integer}, address: {type: string}}}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {crate: {type: object, properties: {id: {type: integer}, cask_id: {type: integer}, address: {type: string}}}}}}}}}
  /my/coupons:
    get:
      summary: Coupons that you hold
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {coupons: {type: array, items: {type: object, properties: {id: {type: integer}, code: {type: string}, cents: {type: integer}}}}}}}}}}
  /coupons/redeem:
    post:
      summary: Put a coupon on the account
      requestBody: {content: {application/json: {schema: {type: object, properties: {coupon: {type: object, properties: {code: {type: string}}}}}}}}
      responses: {"200": {description: me, content: {application/json: {schema: {$ref: "#/components/schemas/KeeperBox"}}}}}
  /papers/{uuid}/file:
    get:
      summary: The private paper itself
      parameters: [{name: uuid, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: the file}}
  /admin/entries:
    get:
      summary: What happened (staff)
      responses: {"200": {description: them}, "403": {description: not staff}}
`

func newCellar(_ *testing.T, open bool) http.Handler {
	return &cellar{open: open, people: map[int]map[string]any{}, tokens: map[string]int{}, renewals: map[string]int{}, houses: map[int]map[string]any{},
		casks: map[int]map[string]any{}, tastings: map[int]map[string]any{}, papers: map[string]map[string]any{}}
}

func (s *cellar) next() int { s.n++; return s.n }

// token is a text that nobody guesses from the one before.
func (s *cellar) token() string {
	return hex.EncodeToString(fmt.Appendf(nil, "%019d", uint64(s.next())*11400714819323198485>>1)) + "0f"
}

func (s *cellar) session(of int) map[string]any {
	t, r := s.token(), s.token()
	s.tokens[t], s.renewals[r] = of, of
	return map[string]any{"session": map[string]any{"token": t, "refresh_token": r}}
}

func picked(m map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, n := range names {
		out[n] = m[n]
	}
	return out
}

func (s *cellar) keeper(id int) map[string]any {
	return map[string]any{"keeper": picked(s.people[id], "id", "name", "email", "role", "saved_cents", "workspace_id")}
}

func (s *cellar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	invalid := func(field, why string) { answer(422, map[string]any{"errors": map[string]any{field: []string{why}}}) }
	gone := func() { answer(404, map[string]any{"error": "Record not found"}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	var in map[string]any
	if strings.Contains(r.Header.Get("Content-Type"), "json") && json.NewDecoder(r.Body).Decode(&in) != nil {
		answer(400, map[string]any{"error": "Error occurred while parsing request parameters"})
		return
	}
	// box is the member that all of the body is in.
	box := func(name string) map[string]any {
		m, _ := in[name].(map[string]any)
		if len(m) == 0 {
			answer(400, map[string]any{"error": "param is missing or the value is empty: " + name})
			return nil
		}
		return m
	}
	text := func(m map[string]any, name string) string { v, _ := m[name].(string); return v }
	byEmail := func(email string) int {
		for id, p := range s.people {
			if p["email"] == email && email != "" {
				return id
			}
		}
		return 0
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	number := func(i int) int { n, _ := strconv.Atoi(part[i]); return n }
	pattern := r.Method
	for _, p := range part {
		if strings.Trim(p, "0123456789") == "" || len(p) > 20 {
			p = "*"
		}
		pattern += " " + p
	}
	switch pattern {
	case "POST keepers":
		m := box("keeper")
		switch {
		case m == nil:
			return
		case text(m, "name") == "":
			invalid("name", "can't be blank")
			return
		case !strings.Contains(text(m, "email"), "@") || byEmail(text(m, "email")) != 0:
			invalid("email", "is invalid")
			return
		case len(text(m, "password")) < 8:
			invalid("password", "is too short (minimum is 8 characters)")
			return
		}
		house, id := s.next(), s.next()
		role := "owner"
		if s.open && text(m, "role") != "" {
			role = text(m, "role")
		}
		s.houses[house] = map[string]any{"id": house, "title": "Unnamed"}
		s.people[id] = map[string]any{"id": id, "name": m["name"], "email": m["email"], "password": m["password"], "role": role, "workspace_id": house, "saved_cents": 0, "coupon": "HELLO-" + s.token()[:10], "coupon_id": s.next()}
		s.log = append(s.log, map[string]any{"id": s.next(), "actor": m["email"], "action": "keeper.create"})
		answer(201, s.keeper(id))
		return
	case "POST session":
		m := box("session")
		if m == nil {
			return
		}
		id := byEmail(text(m, "email"))
		if id == 0 || s.people[id]["password"] != text(m, "password") {
			answer(401, map[string]any{"error": "Invalid email or password."})
			return
		}
		answer(201, s.session(id))
		return
	case "POST session refresh":
		m := box("session")
		if m == nil {
			return
		}
		t := text(m, "refresh_token")
		id := s.renewals[t]
		if id == 0 {
			answer(401, map[string]any{"error": "Invalid refresh token."})
			return
		}
		if !s.open {
			delete(s.renewals, t)
		}
		answer(201, s.session(id))
		return
	}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Token token=")
	me := s.people[s.tokens[strings.Trim(rest, `"`)]]
	if pattern == "GET admin entries" && s.open {
		answer(200, map[string]any{"entries": s.log})
		return
	}
	if !ok || me == nil {
		w.Header().Set("WWW-Authenticate", `Token realm="Cellar"`)
		answer(401, map[string]any{"error": "HTTP Token: Access denied."})
		return
	}
	house := me["workspace_id"]
	ours := func(i int) map[string]any {
		if c := s.casks[number(i)]; c != nil && c["house"] == house {
			return c
		}
		gone()
		return nil
	}
	shown := func(c map[string]any) map[string]any {
		return map[string]any{"cask": picked(c, "id", "title", "wood", "filled_on")}
	}
	switch pattern {
	case "GET me":
		answer(200, s.keeper(me["id"].(int)))
	case "GET admin entries":
		answer(403, map[string]any{"error": "You are not allowed to do that."})
	case "GET casks":
		list := []any{}
		for _, c := range s.casks {
			if c["house"] == house {
				list = append(list, shown(c)["cask"])
			}
		}
		answer(200, map[string]any{"casks": list})
	case "POST casks":
		m := box("cask")
		if m == nil {
			return
		}
		if text(m, "title") == "" || len(text(m, "title")) > 60 {
			invalid("title", "can't be blank")
			return
		}
		if on := text(m, "filled_on"); on != "" || m["filled_on"] != nil {
			if _, err := time.Parse(time.DateOnly, on); err != nil {
				if s.open {
					answer(500, map[string]any{"status": 500, "traces": []string{"/srv/cellar/app/models/cask.rb:31:in `parse'", "/srv/cellar/app/controllers/casks_controller.rb:12:in `create'"}})
					return
				}
				invalid("filled_on", "is not a valid date")
				return
			}
		}
		id := s.next()
		s.casks[id] = map[string]any{"id": id, "house": house, "title": m["title"], "wood": text(m, "wood"), "filled_on": m["filled_on"]}
		answer(201, shown(s.casks[id]))
	case "GET workspaces *", "PATCH workspaces *":
		of := s.houses[number(1)]
		if of == nil || number(1) != house && (!s.open || r.Method == http.MethodGet) {
			gone()
			return
		}
		if r.Method == http.MethodPatch {
			m := box("workspace")
			if m == nil {
				return
			}
			if text(m, "title") != "" {
				of["title"] = m["title"]
			}
		}
		answer(200, map[string]any{"workspace": of})
	case "GET casks *":
		if c := s.casks[number(1)]; c != nil && s.open {
			answer(200, shown(c))
		} else if c = ours(1); c != nil {
			answer(200, shown(c))
		}
	case "POST crates":
		m := box("crate")
		if m == nil {
			return
		}
		n, _ := m["cask_id"].(float64)
		c := s.casks[int(n)]
		if c == nil || !s.open && c["house"] != house {
			invalid("cask", "must exist")
			return
		}
		answer(201, map[string]any{"crate": map[string]any{"id": s.next(), "cask_id": c["id"], "address": text(m, "address")}})
	case "GET my coupons":
		answer(200, map[string]any{"coupons": []any{map[string]any{"id": me["coupon_id"], "code": me["coupon"], "cents": 500}}})
	case "POST coupons redeem":
		m := box("coupon")
		if m == nil {
			return
		}
		switch {
		case text(m, "code") != me["coupon"]:
			invalid("code", "is invalid")
		case me["used"] != nil && !s.open:
			invalid("code", "has already been used")
		default:
			me["used"], me["saved_cents"] = true, me["saved_cents"].(int)+500
			answer(200, s.keeper(me["id"].(int)))
		}
	case "POST casks * tastings":
		c := ours(1)
		if c == nil {
			return
		}
		m := box("tasting")
		if m == nil {
			return
		}
		if text(m, "remark") == "" {
			invalid("remark", "can't be blank")
			return
		}
		id := s.next()
		s.tastings[id] = map[string]any{"id": id, "cask_id": c["id"], "remark": m["remark"]}
		answer(201, map[string]any{"tasting": s.tastings[id]})
	case "GET casks * tastings *", "PUT casks * tastings *":
		c := ours(1)
		if c == nil {
			return
		}
		t := s.tastings[number(3)]
		// The cask is the caller's. That the tasting is one of this cask only the fixed twin asks.
		if t == nil || t["cask_id"] != c["id"] && (!s.open || r.Method == http.MethodGet) {
			gone()
			return
		}
		if r.Method == http.MethodPut {
			m := box("tasting")
			if m == nil {
				return
			}
			if text(m, "remark") != "" {
				t["remark"] = m["remark"]
			}
		}
		answer(200, map[string]any{"tasting": t})
	case "POST casks * papers":
		c := ours(1)
		if c == nil {
			return
		}
		f, h, err := r.FormFile("file")
		if err != nil {
			invalid("file", "can't be blank")
			return
		}
		b, err := io.ReadAll(io.LimitReader(f, 1<<20))
		kind := h.Header.Get("Content-Type")
		if err != nil || !s.open && kind != "text/plain" && kind != "application/pdf" && kind != "image/png" {
			invalid("file", "has contents that are not what they are reported to be")
			return
		}
		id := fmt.Sprintf("%08x-1111-4222-8333-%012x", s.next(), uint64(s.n)*2654435761%(1<<40))
		s.papers[id] = map[string]any{"uuid": id, "filename": h.Filename, "type": kind, "content": b, "house": house}
		answer(201, map[string]any{"paper": picked(s.papers[id], "uuid", "filename")})
	case "GET papers * file":
		p := s.papers[part[1]]
		if p == nil || !s.open && p["house"] != house {
			gone()
			return
		}
		w.Header().Set("Content-Type", p["type"].(string))
		w.Header().Set("Content-Disposition", "attachment")
		if s.open {
			w.Header().Set("Content-Disposition", "inline")
		}
		_, _ = w.Write(p["content"].([]byte)) // to a client of the test's own
	default:
		gone()
	}
}

// TestCellar: what bodies in a member of their own, tokens as a parameter, parents
// that are looked at and children that are not, and lists for few hide.
func TestCellar(t *testing.T) {
	t.Parallel()
	twins(t, cellarSpec, newCellar, []hole{
		{"bola-write", "PUT", "/casks/{cask_id}/tastings/{id}", "path.id"},
		{"bola-read", "GET", "/casks/{id}", "path.id"},
		{"bola-reference", "POST", "/crates", "body./crate/cask_id"},
		{"single-use", "POST", "/coupons/redeem", ""},
		{"bola-account", "PATCH", "/workspaces/{id}", "path.id"},
		{"bola-read", "GET", "/papers/{uuid}/file", "path.uuid"},
		{"mass-assignment-register", "POST", "/keepers", "body./keeper/role"},
		{"session-renewal", "POST", "/session/refresh", ""},
		{"upload-unrestricted", "POST", "/casks/{id}/papers", ""},
		{"verbose-errors", "", "", ""},
	}, "bola-account", "bola-write", "bola-read", "bola-reference", "single-use", "bola-delete", "mass-assignment-register", "mass-assignment", "session-renewal", "upload-unrestricted", "verbose-errors", "bfla")
	// What is entered there grows by what other checks do: alone.
	twins(t, cellarSpec, newCellar, []hole{{"auth-missing", "GET", "/admin/entries", ""}}, "auth-missing")
}
