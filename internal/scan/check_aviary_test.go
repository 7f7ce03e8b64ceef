package scan

import (
	"encoding/json"
	"fmt"
	"maps"
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

type keeper struct {
	ref, email, nick, secret string
	rank                     string
	seed                     int    // what the keeper has to feed with
	voucher                  string // good for once
	reset                    string
}

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
  /do/bird.amend: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [bird, name], properties: {bird: {type: string}, name: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/keeper.update: {post: {description: What others call you, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {nick: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/keeper.remove: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [ref], properties: {ref: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/voucher.redeem: {post: {description: Seed for a voucher, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/reset.ask: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string}}}}}}, responses: {"200": {description: ok}}}}
  /do/reset.finish: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, code, secret], properties: {email: {type: string}, code: {type: string}, secret: {type: string}}}}}}, responses: {"200": {description: ok}}}}
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
	for _, n := range map[string][]string{"keeper.join": {"email", "nick", "secret"}, "keeper.login": {"email", "secret"}, "bird.store": {"name"}, "bird.get": {"bird"}, "bird.release": {"bird"}, "bird.amend": {"bird", "name"}, "keeper.remove": {"ref"}, "voucher.redeem": {"code"}, "reset.ask": {"email"}, "reset.finish": {"email", "code", "secret"}}[name] {
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
		k := &keeper{ref: fmt.Sprintf("kpr_%d", a.n), email: text("email"), nick: text("nick"), secret: text("secret"), rank: "keeper", voucher: fmt.Sprintf("HELLO-%X", a.n*7919)}
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
	case "reset.ask", "reset.finish":
		return a.reset(name, text)
	}
	me := a.keys[q.Header.Get("X-Key")]
	if me == nil {
		return refused("not_authed")
	}
	switch name {
	case "keeper.whoami":
		return map[string]any{"keeper": map[string]any{"ref": me.ref, "email": me.email, "nick": me.nick, "rank": me.rank, "credits": me.seed, "hello_voucher": me.voucher}}
	case "keeper.update":
		if text("nick") != "" {
			me.nick = text("nick")
		}
		if n, ok := args["credits"].(float64); ok && a.open {
			me.seed = int(n)
		}
		return map[string]any{}
	case "keeper.remove":
		return a.remove(me, text("ref"))
	case "voucher.redeem":
		if me.voucher == "" || me.voucher != text("code") {
			return refused("voucher_invalid")
		}
		me.seed += 50
		if !a.open {
			me.voucher = ""
		}
		return map[string]any{}
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
	case "bird.get", "bird.release", "bird.amend":
		b := a.birds[text("bird")]
		if b == nil || b.of != me && !a.open {
			return refused("bird_not_found")
		}
		if name == "bird.release" {
			delete(a.birds, b.ref)
			return map[string]any{}
		}
		if name == "bird.amend" {
			b.name = text("name")
			return map[string]any{}
		}
		return map[string]any{"bird": map[string]any{"bird": b.ref, "name": b.name, "keeper": b.of.ref}}
	}
	return refused("unknown_method")
}

// remove ends an account: one's own, or, where nobody looks, anybody's.
func (a *aviary) remove(me *keeper, ref string) map[string]any {
	for _, k := range a.keepers {
		if k.ref == ref && (k == me || a.open) {
			delete(a.keepers, k.email)
			maps.DeleteFunc(a.keys, func(_ string, of *keeper) bool { return of == k })
			return map[string]any{}
		}
	}
	return refused("keeper_not_found")
}

func (a *aviary) reset(name string, text func(string) string) map[string]any {
	k := a.keepers[text("email")]
	switch {
	case name == "reset.ask" && k == nil:
		return map[string]any{}
	case name == "reset.ask":
		k.reset = fmt.Sprintf("%06d", a.n*7919%1000000)
		if a.open {
			return map[string]any{"code": k.reset}
		}
		return map[string]any{}
	case k == nil || k.reset == "" || k.reset != text("code"):
		return refused("wrong_code")
	}
	k.secret, k.reset = text("secret"), ""
	return map[string]any{}
}

// TestAviary: accounts are made and told apart, objects found and the holes proven where
// every call is a POST that answers 200.
func TestAviary(t *testing.T) {
	for _, c := range []struct {
		open bool
		want []string
	}{
		{false, nil},
		{true, []string{
			"bola-account POST /do/keeper.remove body./ref", "bola-read POST /do/bird.get body./bird", "bola-write POST /do/bird.amend body./bird", "bola-write POST /do/bird.release body./bird",
			"mass-assignment POST /do/keeper.update body./credits", "reset-token-leak POST /do/reset.ask answer./code", "reset-token-leak POST /do/reset.finish body./code", "single-use POST /do/voucher.redeem repeat",
		}},
	} {
		t.Run(fmt.Sprintf("open=%v", c.open), func(t *testing.T) {
			t.Parallel()
			if got := rows(t, aviarySpec, newAviary(c.open), "bola-read", "bola-write", "bola-delete", "bola-account", "mass-assignment", "reset-token-leak", "single-use"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
