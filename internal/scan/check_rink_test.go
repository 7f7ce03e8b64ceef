package scan

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// rink is an API in another style than till: forms log in, a cookie holds the
// session, answers lie in an envelope, numbers are whole, states are set by PATCH,
// what is deleted is paid back, and wrong calls are answered with 200 and a word.
type rink struct {
	open map[string]bool

	mu       sync.Mutex
	n        int
	members  map[string]*rinkMember // by name
	sessions map[string]*rinkMember
	slots    map[int]*rinkSlot
}

type rinkMember struct {
	name, password string
	points         int
	bonus          bool
	starred        map[int]bool
}

type rinkSlot struct {
	by    *rinkMember
	title string
	state string
	stars int
}

const rinkSpec = `swagger: "2.0"
info: {title: Rink, version: "1"}
basePath: /api/v1
consumes: [application/json]
produces: [application/json]
securityDefinitions: {sid: {type: apiKey, in: header, name: Cookie}}
definitions:
  Credentials: {type: object, required: [username, password], properties: {username: {type: string, minLength: 4}, password: {type: string, minLength: 8}}}
  Booking: {type: object, required: [title], properties: {title: {type: string}}}
paths:
  /auth/register:
    post:
      summary: Register a member
      parameters: [{in: body, name: body, required: true, schema: {$ref: "#/definitions/Credentials"}}]
      responses: {"201": {description: made}}
  /auth/login:
    post:
      summary: Log in
      parameters: [{in: body, name: body, required: true, schema: {$ref: "#/definitions/Credentials"}}]
      responses: {"200": {description: in}}
  /me:
    get:
      summary: The member who is logged in
      security: [{sid: []}]
      responses: {"200": {description: it, schema: {type: object, properties: {success: {type: boolean}, data: {type: object, properties: {username: {type: string}, points: {type: integer}}}}}}}
  /me/welcome-bonus:
    post:
      summary: Claim the welcome bonus
      security: [{sid: []}]
      responses: {"200": {description: done}}
  /bookings:
    get:
      summary: Bookings of everybody
      security: [{sid: []}]
      responses: {"200": {description: them, schema: {type: object, properties: {success: {type: boolean}, data: {type: array, items: {type: object, properties: {id: {type: integer}, title: {type: string}}}}}}}}
    post:
      summary: Book the ice, for 20 points
      security: [{sid: []}]
      parameters: [{in: body, name: body, required: true, schema: {$ref: "#/definitions/Booking"}}]
      responses: {"201": {description: it, schema: {type: object, properties: {success: {type: boolean}, data: {type: object, properties: {id: {type: integer}, title: {type: string}, state: {type: string}, stars: {type: integer}}}}}}}
  /bookings/{bookingId}:
    parameters: [{in: path, name: bookingId, required: true, type: integer}]
    get:
      summary: One booking
      security: [{sid: []}]
      responses: {"200": {description: it, schema: {type: object, properties: {success: {type: boolean}, data: {type: object, properties: {id: {type: integer}, title: {type: string}, state: {type: string}, stars: {type: integer}}}}}}}
    patch:
      summary: Change a booking
      security: [{sid: []}]
      parameters: [{in: body, name: body, required: true, schema: {type: object, properties: {state: {type: string, enum: [booked, cancelled]}}}}]
      responses: {"200": {description: it}}
    delete:
      summary: Delete a booking
      security: [{sid: []}]
      responses: {"200": {description: done}}
  /bookings/{bookingId}/star:
    parameters: [{in: path, name: bookingId, required: true, type: integer}]
    post:
      summary: Star a booking
      security: [{sid: []}]
      responses: {"200": {description: done}}
`

func newRink(open string) *rink {
	s := &rink{open: map[string]bool{}, members: map[string]*rinkMember{}, sessions: map[string]*rinkMember{}, slots: map[int]*rinkSlot{}}
	for _, hole := range strings.Fields(open) {
		s.open[hole] = true
	}
	return s
}

func (s *rink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, data any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"success": status < 300, "data": data}) // to a client of the test's own
	}
	sorry := func(status int, why string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "message": why}) // as above
	}
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1")
	if !ok {
		sorry(404, "nothing there")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var me *rinkMember
	if c, err := r.Cookie("rink"); err == nil {
		me = s.sessions[c.Value]
	}
	switch r.Method + " " + path {
	case "POST /auth/register":
		if len(in["username"]) < 4 || len(in["password"]) < 8 || s.members[in["username"]] != nil {
			sorry(400, "username of 4 and password of 8 characters")
			return
		}
		s.members[in["username"]] = &rinkMember{name: in["username"], password: in["password"], points: 200, starred: map[int]bool{}}
		answer(201, map[string]any{"username": in["username"]})
		return
	case "POST /auth/login":
		m := s.members[in["username"]]
		if m == nil || m.password != in["password"] {
			sorry(401, "no")
			return
		}
		sid := rand.Text()
		s.sessions[sid] = m
		http.SetCookie(w, &http.Cookie{Name: "rink", Value: sid, Path: "/", HttpOnly: true})
		answer(200, map[string]any{"username": m.name})
		return
	}
	if me == nil {
		sorry(401, "log in first")
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch r.Method + " " + path {
	case "GET /me":
		answer(200, map[string]any{"username": me.name, "points": me.points})
		return
	case "POST /me/welcome-bonus":
		if me.bonus && !s.open["bonus"] {
			sorry(200, "already claimed")
			return
		}
		me.bonus = true
		me.points += 50
		answer(200, map[string]any{"claimed": true})
		return
	case "GET /bookings":
		out := []any{}
		for _, n := range slices.Sorted(maps.Keys(s.slots)) {
			out = append(out, map[string]any{"id": n, "title": s.slots[n].title})
		}
		answer(200, out)
		return
	case "POST /bookings":
		if in["title"] == "" || me.points < 20 {
			sorry(400, "title, and 20 points")
			return
		}
		s.n++
		me.points -= 20
		s.slots[s.n] = &rinkSlot{by: me, title: in["title"], state: "booked"}
		answer(201, map[string]any{"id": s.n, "title": in["title"], "state": "booked", "stars": 0})
		return
	}
	if len(parts) < 2 || parts[0] != "bookings" {
		sorry(404, "nothing there")
		return
	}
	id, _ := strconv.Atoi(parts[1])
	slot := s.slots[id]
	star := len(parts) == 3 && parts[2] == "star" && r.Method == http.MethodPost
	switch {
	case slot == nil || len(parts) > 2 && !star:
		sorry(404, "nothing there")
	case star:
		if !me.starred[id] || s.open["stars"] {
			slot.stars++
		}
		me.starred[id] = true
		answer(200, map[string]any{"starred": true})
	case r.Method == http.MethodGet:
		answer(200, map[string]any{"id": id, "title": slot.title, "state": slot.state, "stars": slot.stars})
	case slot.by != me:
		sorry(403, "of another member")
	case r.Method == http.MethodPatch:
		if in["state"] != "" && in["state"] != "booked" && in["state"] != "cancelled" {
			sorry(400, "state")
			return
		}
		if in["state"] == "cancelled" && (slot.state != "cancelled" || s.open["cancels"]) {
			me.points += 20
		}
		if in["state"] == "cancelled" {
			slot.state = "cancelled"
		}
		answer(200, map[string]any{"id": id, "title": slot.title, "state": slot.state, "stars": slot.stars})
	case r.Method == http.MethodDelete:
		if slot.state == "booked" || s.open["deletes"] {
			me.points += 20
		}
		if slot.state = "deleted"; !s.open["deletes"] {
			delete(s.slots, id)
		}
		answer(200, map[string]any{"deleted": true})
	default:
		sorry(405, "no")
	}
}

// TestRink: what counts once is found in this style as well.
func TestRink(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"bonus", []string{"single-use POST /me/welcome-bonus repeat"}},
		{"stars", []string{"single-use POST /bookings/{bookingId}/star repeat"}},
		{"cancels", []string{"single-use PATCH /bookings/{bookingId} repeat"}},
		{"deletes", []string{"single-use DELETE /bookings/{bookingId} repeat"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			if got := rows(t, rinkSpec, newRink(c.open), "single-use", "race"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
