package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// guild is an API that says little: the two passwords of a change are called current and
// next, orders hold nothing that was entered, what a member is stands in /me alone, and
// a refusal of 403 says whom an operation is for. With open set it has the holes that
// its fixed twin has not.
type guild struct {
	open bool

	mu      sync.Mutex
	n       int
	members map[string]*guildMember // by id
	tokens  map[string]*guildMember
	orders  map[string]*guildOrder
}

type guildMember struct{ id, handle, secret, bio, tier string }

type guildOrder struct {
	id, item string
	count    int
	of       *guildMember
}

const guildSpec = `openapi: 3.1.0
info: {title: Guild, version: "1"}
components:
  securitySchemes: {session: {type: http, scheme: bearer}}
  schemas:
    Credentials: {type: object, required: [handle, passphrase], properties: {handle: {type: string, pattern: "^[a-z0-9_]{3,40}$"}, passphrase: {type: string, minLength: 10}}}
    Member: {type: object, properties: {id: {type: string}, handle: {type: string}, bio: {type: string}}}
    Self: {type: object, properties: {id: {type: string}, handle: {type: string}, bio: {type: string}, tier: {type: string, enum: [free, plus, staff]}}}
    Order: {type: object, required: [item, count], properties: {id: {type: string, readOnly: true}, item: {type: string, enum: [mug, cap]}, count: {type: integer, minimum: 1, maximum: 9}}}
security: [{session: []}]
paths:
  /members:
    post: {security: [], summary: Create an account, requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Credentials"}}}}, responses: {"201": {description: joined, content: {application/json: {schema: {$ref: "#/components/schemas/Self"}}}}}}
  /members/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {summary: A member's page, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Member"}}}}}}
    patch: {summary: Change your own page, requestBody: {content: {application/json: {schema: {type: object, properties: {bio: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Member"}}}}}}
  /session:
    post: {summary: Sign in, security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Credentials"}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}
    delete: {summary: Sign out, responses: {"204": {description: out}}}
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Self"}}}}}}}
  /me/passphrase: {put: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [current, next], properties: {current: {type: string}, next: {type: string, minLength: 10}}}}}}, responses: {"204": {description: changed}}}}
  /orders:
    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}, responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}}
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}}}}
  /orders/{order_id}: {get: {parameters: [{name: order_id, in: path, required: true, schema: {type: string}}], responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}}}
  /members/{id}/tier: {put: {parameters: [{name: id, in: path, required: true, schema: {type: string}}], requestBody: {content: {application/json: {schema: {type: object, properties: {tier: {type: string, enum: [free, plus, staff]}}}}}}, responses: {"200": {description: ok}, "403": {description: Staff only}}}}
`

func newGuild(open bool) *guild {
	return &guild{open: open, members: map[string]*guildMember{}, tokens: map[string]*guildMember{}, orders: map[string]*guildOrder{}}
}

func (g *guild) id() string {
	g.n++
	return fmt.Sprintf("%04x8c1f53b7a6d2%08x", g.n*7919%65536, g.n*2654435761%4294967296)
}

func (m *guildMember) self() map[string]any {
	return map[string]any{"id": m.id, "handle": m.handle, "bio": m.bio, "tier": m.tier}
}

func (m *guildMember) page() map[string]any {
	return map[string]any{"id": m.id, "handle": m.handle, "bio": m.bio}
}

func (g *guild) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	say := func(code int, v any) {
		w.WriteHeader(code)
		if v != nil {
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	var in map[string]any
	if r.Body != nil && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in == nil {
			say(400, map[string]string{"error": "a JSON object, please"})
			return
		}
	}
	text := func(name string) string { s, _ := in[name].(string); return s }
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	me := g.tokens[token]
	at := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/members":
		g.join(say, text)
		return
	case r.Method == http.MethodPost && r.URL.Path == "/session":
		for _, m := range g.members {
			if m.handle == text("handle") && m.secret == text("passphrase") {
				t := g.id() + g.id()
				g.tokens[t] = m
				say(200, map[string]string{"token": t})
				return
			}
		}
		say(401, map[string]string{"error": "handle or passphrase is wrong"})
		return
	case me == nil:
		say(401, map[string]string{"error": "sign in"})
		return
	}
	switch r.Method + " " + at[0] {
	case "DELETE session":
		if !g.open {
			delete(g.tokens, token)
		}
		say(204, nil)
	case "GET me":
		say(200, me.self())
	case "PUT me":
		g.setSecret(say, me, token, text)
	case "GET members", "PATCH members":
		m := g.members[at[len(at)-1]]
		switch {
		case m == nil:
			say(404, map[string]string{"error": "nobody"})
			return
		case r.Method == http.MethodPatch && m != me:
			say(403, map[string]string{"error": "not yours"})
			return
		case r.Method == http.MethodPatch:
			if _, ok := in["bio"]; ok {
				m.bio = text("bio")
			}
			if t := text("tier"); t != "" && g.open {
				m.tier = t
			}
		}
		say(200, m.page())
	case "PUT members":
		m := g.members[at[1]]
		if me.tier != "staff" && !g.open || m == nil {
			say(403, map[string]string{"error": "staff only"})
			return
		}
		if t := text("tier"); t != "" {
			m.tier = t
		}
		say(200, m.self())
	case "POST orders", "GET orders":
		g.order(say, r, me, at, in)
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

func (g *guild) join(say func(int, any), text func(string) string) {
	for _, m := range g.members {
		if m.handle == text("handle") {
			say(409, map[string]string{"error": "handle is taken"})
			return
		}
	}
	if len(text("handle")) < 3 || len(text("passphrase")) < 10 {
		say(422, map[string]string{"error": "handle and passphrase are too short"})
		return
	}
	m := &guildMember{id: g.id(), handle: text("handle"), secret: text("passphrase"), tier: "free"}
	if t := text("tier"); t != "" && g.open {
		m.tier = t
	}
	g.members[m.id] = m
	say(201, m.self())
}

func (g *guild) setSecret(say func(int, any), me *guildMember, token string, text func(string) string) {
	if me.secret != text("current") && !g.open {
		say(403, map[string]string{"error": "current is wrong"})
		return
	}
	if len(text("next")) < 10 {
		say(422, map[string]string{"error": "next is too short"})
		return
	}
	me.secret = text("next")
	for t, m := range g.tokens {
		if m == me && t != token && !g.open {
			delete(g.tokens, t)
		}
	}
	say(204, nil)
}

func (g *guild) order(say func(int, any), r *http.Request, me *guildMember, at []string, in map[string]any) {
	show := func(o *guildOrder) map[string]any {
		return map[string]any{"id": o.id, "item": o.item, "count": o.count}
	}
	if r.Method == http.MethodPost {
		item, _ := in["item"].(string)
		count, ok := in["count"].(float64)
		if item != "mug" && item != "cap" || !ok || count < 1 || count > 9 || count != float64(int(count)) {
			say(422, map[string]string{"error": "item must be one of mug, cap; count 1 to 9"})
			return
		}
		o := &guildOrder{id: g.id(), item: item, count: int(count), of: me}
		g.orders[o.id] = o
		say(201, show(o))
		return
	}
	if len(at) == 1 {
		list := []map[string]any{}
		for _, o := range g.orders {
			if o.of == me {
				list = append(list, show(o))
			}
		}
		say(200, list)
		return
	}
	o := g.orders[at[1]]
	if o == nil || o.of != me && !g.open {
		say(404, map[string]string{"error": "no such order"})
		return
	}
	say(200, show(o))
}

// What has one hole must not be put into a state by one check in which no other finds
// anything: a password that nobody looks at is not set to what nobody knows.
func TestGuild(t *testing.T) {
	t.Parallel()
	twins(t, guildSpec, func(_ *testing.T, open bool) http.Handler { return newGuild(open) }, []hole{
		{"password-unconfirmed", "PUT", "/me/passphrase", ""},
		{"session-password", "PUT", "/me/passphrase", ""},
		{"session-logout", "DELETE", "/session", ""},
		{"bola-read", "GET", "/orders/{order_id}", ""},
		{"mass-assignment", "PATCH", "/members/{id}", ""},
		{"mass-assignment-register", "POST", "/members", ""},
		{"bfla", "PUT", "/members/{id}/tier", ""},
	}, "password-unconfirmed", "session-password", "session-logout", "verbose-errors", "server-error", "bola-read", "mass-assignment", "mass-assignment-register", "bfla")
}
