package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// aviary is an API of remote procedures: every call is a POST, every answer a 200, a
// password is called a secret, what is meant stands in the body, and letting a bird go
// ends it. With open set it looks at no owner.
type aviary struct {
	open bool

	mu      sync.Mutex
	n       int
	keepers map[string]*keeper // by email
	keys    map[string]*keeper
	birds   map[string]*bird
}

type keeper struct{ ref, email, nick, secret string }

type bird struct {
	ref, name string
	of        *keeper
}

const aviarySpec = `openapi: 3.0.3
info: {title: Aviary, version: "1"}
security: [{key: []}]
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /do/keeper.join: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, nick, secret], properties: {email: {type: string}, nick: {type: string}, secret: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/keeper.login: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, secret], properties: {email: {type: string}, secret: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/keeper.whoami: {post: {responses: {"200": {description: ok}}}}
  /do/bird.store: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/bird.list: {post: {description: Your birds, responses: {"200": {description: ok}}}}
  /do/bird.get: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [bird], properties: {bird: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/bird.release: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [bird], properties: {bird: {type: string}}}}}}, responses: {"200": {description: ok}}}}
`

func newAviary(open bool) *aviary {
	return &aviary{open: open, keepers: map[string]*keeper{}, keys: map[string]*keeper{}, birds: map[string]*bird{}}
}

func (a *aviary) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := a.call(q)
	w.Header().Set("Content-Type", "application/json")
	if _, said := answer["error"]; !said {
		answer["ok"] = true
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func refused(code string, more ...string) map[string]any {
	out := map[string]any{"ok": false, "error": code}
	if len(more) > 0 {
		out["argument"] = more[0]
	}
	return out
}

func (a *aviary) call(q *http.Request) map[string]any {
	name, ok := strings.CutPrefix(q.URL.Path, "/do/")
	if !ok || q.Method != http.MethodPost {
		return refused("unknown_method")
	}
	var args map[string]any
	_ = json.NewDecoder(q.Body).Decode(&args)
	text := func(name string) string { s, _ := args[name].(string); return s }
	for _, n := range map[string][]string{"keeper.join": {"email", "nick", "secret"}, "keeper.login": {"email", "secret"}, "bird.store": {"name"}, "bird.get": {"bird"}, "bird.release": {"bird"}}[name] {
		if text(n) == "" {
			return refused("missing_argument", n)
		}
	}
	a.n++
	switch name {
	case "keeper.join":
		if a.keepers[text("email")] != nil {
			return refused("email_in_use")
		}
		k := &keeper{fmt.Sprintf("kpr_%d", a.n), text("email"), text("nick"), text("secret")}
		a.keepers[k.email] = k
		return map[string]any{"keeper_ref": k.ref}
	case "keeper.login":
		k := a.keepers[text("email")]
		if k == nil || k.secret != text("secret") {
			return refused("wrong_credentials")
		}
		key := fmt.Sprintf("key-%d-%x", a.n, len(k.email)*7919+a.n*104729)
		a.keys[key] = k
		return map[string]any{"session_key": key}
	}
	me := a.keys[q.Header.Get("X-Key")]
	if me == nil {
		return refused("not_authed")
	}
	switch name {
	case "keeper.whoami":
		return map[string]any{"keeper": map[string]any{"ref": me.ref, "email": me.email, "nick": me.nick}}
	case "bird.store":
		b := &bird{fmt.Sprintf("brd_%d", a.n), text("name"), me}
		a.birds[b.ref] = b
		return map[string]any{"bird": map[string]any{"bird": b.ref, "name": b.name, "keeper": me.ref}}
	case "bird.list":
		list := []any{}
		for _, b := range a.birds {
			if b.of == me {
				list = append(list, map[string]any{"bird": b.ref, "name": b.name})
			}
		}
		return map[string]any{"birds": list}
	case "bird.get", "bird.release":
		b := a.birds[text("bird")]
		if b == nil || b.of != me && !a.open {
			return refused("bird_not_found")
		}
		if name == "bird.release" {
			delete(a.birds, b.ref)
			return map[string]any{}
		}
		return map[string]any{"bird": map[string]any{"bird": b.ref, "name": b.name, "keeper": b.of.ref}}
	}
	return refused("unknown_method")
}

// TestAviary: accounts are made and told apart, objects found and the holes proven where
// every call is a POST that answers 200.
func TestAviary(t *testing.T) {
	for _, c := range []struct {
		open bool
		want []string
	}{
		{false, nil},
		{true, []string{"bola-read POST /do/bird.get body./bird", "bola-write POST /do/bird.release body./bird"}},
	} {
		t.Run(fmt.Sprintf("open=%v", c.open), func(t *testing.T) {
			t.Parallel()
			if got := rows(t, aviarySpec, newAviary(c.open), "bola-read", "bola-write", "bola-delete"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
