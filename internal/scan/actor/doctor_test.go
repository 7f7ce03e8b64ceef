package actor

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/scan/target"
)

func TestDoctor(t *testing.T) {
	for _, c := range []struct {
		name   string
		target func(t *testing.T) (string, shapeOf, Config)
		usable bool
		want   []string // in what is printed
		never  []string
	}{
		{"all is well", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			styles[0].serve(h)
			return serve(t, h), styles[0].shape, Config{}
		}, true, []string{
			"ok       target: connection", "ok       base path", "POST /register makes accounts", "POST /login logs in",
			"logged in by header Authorization: Bearer …; GET /me answers it otherwise than nobody", "it ends 2096-", "both sessions are good at once",
		}, []string{"FAILED", "warning"}},
		{"what says that it has ended goes on", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				head, rest, _ := strings.Cut(h.jwt(a), ".")
				_, sig, _ := strings.Cut(rest, ".")
				token := head + "." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":"%d","exp":1500000000}`, a.id)) + "." + sig
				h.mu.Lock()
				h.sessions[token] = a
				h.mu.Unlock()
				say(w, 200, obj{"token": token})
			})
			h.me(h.header("Authorization", "Bearer "))
			return serve(t, h), styles[0].shape, Config{}
		}, true, []string{"warning  session of user", "which is past", "Compare the clocks"}, []string{"FAILED"}},
		{"each login ends the one before", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				h.mu.Lock()
				for k, o := range h.sessions {
					if o == a {
						delete(h.sessions, k)
					}
				}
				h.mu.Unlock()
				say(w, 200, obj{"token": h.open(a, "")})
			})
			h.me(h.header("Authorization", "Bearer "))
			return serve(t, h), styles[0].shape, Config{}
		}, true, []string{"each login ends the one before it"}, []string{"FAILED"}},
		{"refresh works", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			plainRegister(h, 201)
			give := func(w http.ResponseWriter, a *tenant) {
				say(w, 200, obj{"access_token": h.jwt(a), "refresh_token": h.open(a, "rt")})
			}
			plainLogin(h, give)
			h.on("POST /token/refresh", func(w http.ResponseWriter, r *http.Request) {
				if a := h.who(str(body(r), "refresh_token")); a != nil {
					give(w, a)
					return
				}
				say(w, 401, obj{"error": "no"})
			})
			h.me(h.header("Authorization", "Bearer "))
			s := styles[0].shape
			s.extra = "  /token/refresh:\n    post:\n      operationId: refreshToken\n      security: []\n      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [refresh_token], properties: {refresh_token: {type: string}}}}}}\n      responses: {'200': {description: ok}}\n"
			return serve(t, h), s, Config{}
		}, true, []string{"POST /token/refresh gives a new credential"}, []string{"FAILED", "warning"}},
		{"nothing listens", func(t *testing.T) (string, shapeOf, Config) {
			return "http://" + freeport.Address(t), styles[0].shape, Config{}
		}, false, []string{"FAILED   target: connection", "Nothing listens there", "skipped"}, []string{"base path"}},
		{"no such name", func(*testing.T) (string, shapeOf, Config) {
			return "http://crenel-no-such-host.invalid", styles[0].shape, Config{}
		}, false, []string{"cannot be resolved", "spelling of the host"}, nil},
		{"unknown authority", func(t *testing.T) (string, shapeOf, Config) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return s.URL, styles[0].shape, Config{}
		}, false, []string{"FAILED   target: TLS", "ca_file"}, nil},
		{"TLS is spoken, and http was written", func(t *testing.T) (string, shapeOf, Config) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return strings.Replace(s.URL, "https:", "http:", 1), styles[0].shape, Config{}
		}, false, []string{"rite https:// in place of http://"}, nil},
		{"plain, and https was written", func(t *testing.T) (string, shapeOf, Config) {
			return strings.Replace(serve(t, newHouse(t)), "http:", "https:", 1), styles[0].shape, Config{}
		}, false, []string{"write http:// in place of https://"}, nil},
		{"wrong API", func(t *testing.T) (string, shapeOf, Config) {
			return serve(t, newHouse(t)), styles[0].shape, Config{}
		}, false, []string{"FAILED   base path", "none of"}, nil},
		{"wrong token is given", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			h.me(h.header("Authorization", "Bearer "))
			return serve(t, h), shapeOf{noRegister: true, noLogin: true}, Config{NoRegister: true, Accounts: map[string]Account{User: {Bearer: Text("expired-token-7")}}}
		}, false, []string{"warning  account user", "open nothing", "still valid", "FAILED   accounts", "none of the 1 accounts"}, []string{"expired-token-7"}},
		{"one of two given gets in", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			h.me(h.header("Authorization", "Bearer "))
			good := h.open(&tenant{id: 1, email: "ann@example.com", name: "ann"}, "")
			return serve(t, h), shapeOf{noRegister: true, noLogin: true}, Config{NoRegister: true, Accounts: map[string]Account{User: {Bearer: Text(good)}, Peer: {Bearer: Text("expired-token-7")}}}
		}, true, []string{"warning  account peer", "ok       account user"}, []string{"expired-token-7", "FAILED"}},
		{"a partner's key opens what its scheme is for", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			h.me(h.header("Authorization", "Bearer "))
			partners(h)
			good := h.open(&tenant{id: 1, email: "ann@example.com", name: "ann"}, "")
			return serve(t, h), shapeOf{noRegister: true, noLogin: true, security: partnerScheme, extra: partnerPath}, Config{NoRegister: true, Accounts: map[string]Account{User: {Bearer: Text(good)}, "partner": {Headers: map[string]Secret{"X-Partner-Key": Text("key-of-partner")}}}}
		}, true, []string{"ok       account partner", "POST /partner/orders", "ok       account user"}, []string{"key-of-partner", "FAILED", "open nothing"}},
		{"a partner's key that is wrong opens nothing", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			h.me(h.header("Authorization", "Bearer "))
			partners(h)
			good := h.open(&tenant{id: 1, email: "ann@example.com", name: "ann"}, "")
			return serve(t, h), shapeOf{noRegister: true, noLogin: true, security: partnerScheme, extra: partnerPath}, Config{NoRegister: true, Accounts: map[string]Account{User: {Bearer: Text(good)}, "partner": {Headers: map[string]Secret{"X-Partner-Key": Text("key-of-nobody")}}}}
		}, true, []string{"warning  account partner", "open nothing", "ok       account user"}, []string{"key-of-nobody"}},
		{"the target is given with a path that leads nowhere", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			styles[0].serve(h)
			return serve(t, h) + "/wrong", styles[0].shape, Config{}
		}, true, []string{"warning  base path", "and not below /wrong"}, []string{"FAILED"}},
		{"the accounts' file cannot be read", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			styles[0].serve(h)
			return serve(t, h), styles[0].shape, Config{WFC: "no-such-file.yaml"}
		}, false, []string{"FAILED   preparation", "no-such-file.yaml"}, nil},
		{"nobody can be had", func(t *testing.T) (string, shapeOf, Config) {
			h := newHouse(t)
			h.me(h.header("Authorization", "Bearer "))
			return serve(t, h), shapeOf{noRegister: true, noLogin: true}, Config{}
		}, true, []string{"FAILED   account user", "no operation that looks like a registration", "actors.accounts.user and actors.accounts.peer"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, shape, cfg := c.target(t)
			cfg.Run = "doc"
			cl, err := target.New(target.Options{Target: address})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cl.Close() })
			d := New(graphOf(t, shape.yaml()), cl, cfg).Doctor(t.Context(), Examination{})
			var out bytes.Buffer
			if err := d.Print(&out); err != nil {
				t.Fatal(err)
			}
			if d.Usable() != c.usable {
				t.Errorf("usable: %v", d.Usable())
			}
			for _, w := range c.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("lacks %q", w)
				}
			}
			for _, w := range c.never {
				if strings.Contains(out.String(), w) {
					t.Errorf("holds %q", w)
				}
			}
			if t.Failed() {
				t.Log("\n" + out.String())
			}
		})
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

const (
	partnerScheme = "{type: http, scheme: bearer}\n    partner: {type: apiKey, in: header, name: X-Partner-Key}"
	partnerPath   = "  /partner/orders:\n    post:\n      operationId: partnerOrder\n      security: [{partner: []}]\n      requestBody: {content: {application/json: {schema: {type: object, properties: {sku: {type: string}}}}}}\n      responses: {'201': {description: made}}\n"
)

// partners is the part of a house that takes partners' keys only. Whoever orders
// by looking whether a key is good has ordered.
func partners(h *house) {
	h.on("POST /partner/orders", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Partner-Key") != "key-of-partner" {
			say(w, 401, obj{"error": "no such partner"})
			return
		}
		var order struct{ SKU string }
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			say(w, 400, obj{"error": "the body is no JSON"})
			return
		}
		h.t.Error("the doctor has ordered something")
		say(w, 201, obj{"ok": true})
	})
}
