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
	"time"
)

// alley is an API of the old school: refusals are answered with 200 and an envelope,
// errors name inputs that are words as well ("to must be …"), a lane can be had once a
// day, new accounts are rationed, and everything is limited to so many calls in a
// second. With open set it has the holes that its fixed twin has not.
type alley struct {
	open bool

	mu     sync.Mutex
	n      int
	people map[string]*bowler // by e-mail address
	tokens map[string]*bowler
	wrong  map[string]int
	games  map[int]*game
	notes  map[int]*note
	made   int
	calls  []time.Time
}

type bowler struct {
	id                          int
	email, password, name, role string
}

type game struct {
	owner     *bowler
	day, note string
}

type note struct {
	from, to int
	text     string
}

const alleySpec = `swagger: "2.0"
info: {title: Alley, version: "1"}
securityDefinitions: {key: {type: apiKey, in: header, name: X-Key}}
security: [{key: []}]
paths:
  /join:
    post:
      summary: Register
      security: []
      parameters: [{in: body, name: body, schema: {type: object, required: [email, password, name], properties: {email: {type: string}, password: {type: string}, name: {type: string}}}}]
      responses: {"201": {description: made}}
  /login:
    post:
      summary: Log in
      security: []
      parameters: [{in: body, name: body, schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}]
      responses: {"200": {description: in}}
  /me:
    get:
      responses: {"200": {description: me}}
  /me/password:
    put:
      summary: Change the password
      parameters: [{in: body, name: body, schema: {type: object, required: [oldPassword, newPassword], properties: {oldPassword: {type: string}, newPassword: {type: string}}}}]
      responses: {"200": {description: changed}}
  /staff/members/{memberId}/role:
    put:
      summary: Give a member another role (staff only)
      tags: [admin]
      parameters: [{in: path, name: memberId, type: string, required: true}, {in: body, name: body, schema: {type: object, properties: {role: {type: string}}}}]
      responses: {"200": {description: given}}
  /games:
    get:
      summary: My games
      responses: {"200": {description: they}}
    post:
      summary: Have the lane for a day
      parameters: [{in: body, name: body, schema: {type: object, required: [day, remark], properties: {day: {type: string, format: date}, remark: {type: string}}}}]
      responses: {"201": {description: it}}
  /games/{gameId}:
    get:
      parameters: [{in: path, name: gameId, type: string, required: true}]
      responses: {"200": {description: it}}
    put:
      parameters: [{in: path, name: gameId, type: string, required: true}, {in: body, name: body, schema: {type: object, required: [remark], properties: {remark: {type: string}}}}]
      responses: {"200": {description: it}}
  /notes:
    get:
      responses: {"200": {description: mine}}
    post:
      parameters: [{in: body, name: body, schema: {type: object, properties: {to: {type: string}, text: {type: string}}}}]
      responses: {"201": {description: sent}}
  /notes/{noteId}:
    get:
      parameters: [{in: path, name: noteId, type: string, required: true}]
      responses: {"200": {description: it}}
    delete:
      parameters: [{in: path, name: noteId, type: string, required: true}]
      responses: {"200": {description: gone}}
`

var alleyHoles = []struct{ check, method, path string }{
	{"login-unlimited", "POST", "/login"},
	{"login-enumeration", "POST", "/login"},
	{"password-unconfirmed", "PUT", "/me/password"},
	{"bfla", "PUT", "/staff/members/{memberId}/role"},
	{"bola-delete", "DELETE", "/notes/{noteId}"},
}

func (a *alley) ok(w http.ResponseWriter, code int, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "ok", "data": data})
}

func (a *alley) no(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "300")
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "error": map[string]any{"message": message}})
}

func (a *alley) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for len(a.calls) > 0 && now.Sub(a.calls[0]) > time.Second {
		a.calls = a.calls[1:]
	}
	if len(a.calls) >= 250 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	a.calls = append(a.calls, now)
	var body map[string]any
	if r.Method != http.MethodGet && r.Method != http.MethodDelete && json.NewDecoder(r.Body).Decode(&body) != nil {
		a.no(w, 422, "the body is no JSON object")
		return
	}
	text := func(name string) (string, bool) {
		s, ok := body[name].(string)
		if !ok || s == "" || len(s) > 200 {
			a.no(w, 422, name+" must be a text")
			return "", false
		}
		return s, true
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /join":
		a.join(w, text)
		return
	case "POST /login":
		a.login(w, r, text)
		return
	}
	me := a.tokens[r.Header.Get("X-Key")]
	if me == nil {
		a.no(w, 401, "log in first")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := 0
	if len(parts) > 1 {
		id, _ = strconv.Atoi(parts[1])
	}
	switch {
	case r.Method == "GET" && r.URL.Path == "/me":
		a.ok(w, 200, map[string]any{"id": me.id, "email": me.email, "name": me.name, "role": me.role})
	case r.Method == "PUT" && r.URL.Path == "/me/password":
		old, ok := text("oldPassword")
		if !ok {
			return
		}
		fresh, ok := text("newPassword")
		switch {
		case !ok:
		case !a.open && old != me.password:
			a.no(w, 200, "the old password is wrong")
		case len(fresh) < 8:
			a.no(w, 422, "newPassword must have at least 8 characters")
		default:
			me.password = fresh
			a.ok(w, 200, nil)
		}
	case r.Method == "PUT" && len(parts) == 4 && parts[0] == "staff":
		if !a.open && me.role != "staff" {
			a.no(w, 403, "not for you")
			return
		}
		role, ok := text("role")
		if !ok {
			return
		}
		who, _ := strconv.Atoi(parts[2])
		for _, p := range a.people {
			if p.id == who {
				if !slices.Contains([]string{"guest", "regular", "staff"}, role) {
					a.no(w, 422, "role must be one of guest, regular, staff")
					return
				}
				p.role = role
				a.ok(w, 200, map[string]any{"id": who})
				return
			}
		}
		a.no(w, 404, "nobody")
	case parts[0] == "games":
		a.play(w, r, me, id, len(parts) > 1, text)
	case parts[0] == "notes":
		a.write(w, r, me, id, len(parts) > 1, body, text)
	default:
		a.no(w, 404, "nothing here")
	}
}

func (a *alley) join(w http.ResponseWriter, text func(string) (string, bool)) {
	email, ok := text("email")
	if !ok {
		return
	}
	password, ok := text("password")
	if !ok {
		return
	}
	name, ok := text("name")
	switch {
	case !ok:
	case !strings.Contains(email, "@"):
		a.no(w, 422, "email must be an e-mail address")
	case len(password) < 8:
		a.no(w, 422, "password must have at least 8 characters")
	case a.made >= 30:
		a.no(w, 429, "too many new members")
	default:
		a.made++
		if a.people[email] == nil {
			a.n++
			a.people[email] = &bowler{id: a.n, email: email, password: password, name: name, role: "regular"}
		}
		a.ok(w, 201, map[string]any{"message": "log in now"})
	}
}

func (a *alley) login(w http.ResponseWriter, r *http.Request, text func(string) (string, bool)) {
	email, ok := text("email")
	if !ok {
		return
	}
	password, ok := text("password")
	if !ok {
		return
	}
	key := email
	if a.open {
		key += r.Header.Get("X-Forwarded-For")
	}
	p := a.people[email]
	switch {
	case a.wrong[key] >= 5:
		a.no(w, 429, "later")
	case p == nil && a.open:
		a.wrong[key]++
		a.no(w, 200, "there is no such member")
	case p == nil || p.password != password:
		a.wrong[key]++
		a.no(w, 200, "wrong")
	default:
		delete(a.wrong, key)
		a.n++
		token := fmt.Sprintf("k%dx%d", a.n*7919, p.id)
		a.tokens[token] = p
		a.ok(w, 200, map[string]any{"accessKey": token, "id": p.id})
	}
}

func (a *alley) play(w http.ResponseWriter, r *http.Request, me *bowler, id int, one bool, text func(string) (string, bool)) {
	shown := func(id int) map[string]any {
		return map[string]any{"id": id, "day": a.games[id].day, "remark": a.games[id].note}
	}
	switch {
	case r.Method == "GET" && !one:
		out := []any{}
		for id, g := range a.games {
			if g.owner == me {
				out = append(out, shown(id))
			}
		}
		a.ok(w, 200, map[string]any{"items": out})
	case r.Method == "POST" && !one:
		day, ok := text("day")
		if !ok {
			return
		}
		remark, ok := text("remark")
		if !ok {
			return
		}
		at, err := time.Parse(time.DateOnly, day)
		if err != nil || time.Until(at) > 200*24*time.Hour || time.Until(at) < -24*time.Hour {
			a.no(w, 422, "day must be a day of the next 200")
			return
		}
		for _, g := range a.games {
			if g.day == day {
				a.no(w, 409, "somebody has the lane on that day")
				return
			}
		}
		a.n++
		a.games[a.n] = &game{owner: me, day: day, note: remark}
		a.ok(w, 201, shown(a.n))
	case a.games[id] == nil || a.games[id].owner != me && (!a.open || r.Method == "GET"):
		a.no(w, 404, "no such game")
	case r.Method == "PUT":
		if remark, ok := text("remark"); ok {
			a.games[id].note = remark
			a.ok(w, 200, map[string]any{"done": true})
		}
	default:
		a.ok(w, 200, shown(id))
	}
}

func (a *alley) write(w http.ResponseWriter, r *http.Request, me *bowler, id int, one bool, body map[string]any, text func(string) (string, bool)) {
	shown := func(id int) map[string]any {
		return map[string]any{"id": id, "to": a.notes[id].to, "text": a.notes[id].text}
	}
	mine := func(n *note) bool { return n.from == me.id || n.to == me.id }
	switch {
	case r.Method == "GET" && !one:
		out := []any{}
		for id, n := range a.notes {
			if mine(n) {
				out = append(out, shown(id))
			}
		}
		a.ok(w, 200, map[string]any{"items": out})
	case r.Method == "POST" && !one:
		to, number := body["to"].(float64)
		if s, is := body["to"].(string); is {
			n, err := strconv.Atoi(s)
			to, number = float64(n), err == nil
		}
		if !number {
			a.no(w, 422, "to must be a whole number")
			return
		}
		line, ok := text("text")
		if !ok {
			return
		}
		a.n++
		a.notes[a.n] = &note{from: me.id, to: int(to), text: line}
		a.ok(w, 201, shown(a.n))
	case a.notes[id] == nil || !mine(a.notes[id]) && (!a.open || r.Method == "GET"):
		a.no(w, 404, "no such note")
	case r.Method == "DELETE":
		delete(a.notes, id)
		a.ok(w, 200, map[string]any{"gone": true})
	default:
		a.ok(w, 200, shown(id))
	}
}

func TestAlley(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			s := &alley{open: open, people: map[string]*bowler{}, tokens: map[string]*bowler{}, wrong: map[string]int{}, games: map[int]*game{}, notes: map[int]*note{}}
			res := tested(t, alleySpec, s, "login-unlimited", "login-enumeration", "password-unconfirmed", "bfla", "bola-read", "bola-write", "bola-delete", "auth-missing")
			for _, h := range alleyHoles {
				if open && !has(res.Report.Findings, h.check, h.method, h.path, "") {
					t.Errorf("not found: %s %s %s", h.check, h.method, h.path)
				}
			}
			for _, f := range res.Report.Findings {
				if !open || !slices.ContainsFunc(alleyHoles, func(h struct{ check, method, path string }) bool { return h.check == f.Check && h.path == f.Path }) && f.Check != "bola-write" {
					t.Errorf("what is no hole was found: %s %s [%s]", f.Check, f.Title, f.Where)
				}
			}
			for _, p := range s.people {
				if p.role == "staff" {
					t.Errorf("%s was left as %s", p.email, p.role)
				}
			}
		})
	}
}
