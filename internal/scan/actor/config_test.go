package actor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/scan/target"
)

func readConfig(t testing.TB, text string) Config {
	t.Helper()
	var c Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	c.Run = "cfg"
	return c
}

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"accounts: {Alice: {bearer: x}}", "lower-case letters"},
		{"accounts: {fresh1: {bearer: x}}", "accounts that the run makes"},
		{"accounts: {user: {role: x}}", "says no way to get credentials"},
		{"accounts: {user: {bearer: x, basic: {username: a, password: b}}}", "several ways to get credentials (basic, bearer)"},
		{"accounts: {user: {basic: {username: 'a:b', password: b}}}", "basic.username: must be there, and hold no colon"},
		{"accounts: {user: {api_key: {in: body, name: k, value: v}}}", `api_key.in: is "body"; it must be header, query or cookie`},
		{"accounts: {user: {api_key: {in: header, name: k}}}", "api_key.value: is missing"},
		{"accounts: {user: {login: {password: x}}}", "needs email or username"},
		{"accounts: {user: {login: {email: x}}}", "login.password: is missing"},
		{"accounts: {user: {oauth2: {grant: implicit, token_url: 'https://x/t'}}}", `oauth2.grant: is "implicit"`},
		{"accounts: {user: {oauth2: {grant: password, token_url: '/t', username: a, password: b}}}", "must be a whole address"},
		{"accounts: {user: {oauth2: {grant: client_credentials, token_url: 'https://x/t'}}}", "client_id: is missing"},
		{"accounts: {user: {steps: {requests: [{path: login}], cookies: true}}}", `it must begin with / or be a whole address`},
		{"accounts: {user: {steps: {requests: [{path: /l, body: '${nope}'}], cookies: true}}}", "uses ${nope}, which no step before it saves"},
		{"accounts: {user: {steps: {requests: [{path: /l, save: [{as: t}]}], cookies: true}}}", "says not where the value is"},
		{"accounts: {user: {steps: {requests: [{path: /l, save: [{as: t, pattern: 'x('}]}], cookies: true}}}", "is no regular expression"},
		{"accounts: {user: {steps: {requests: [{path: /l, save: [{as: t, pattern: 'x'}]}], cookies: true}}}", "has no group"},
		{"accounts: {user: {steps: {requests: [{path: /l, save: [{as: t, at: token}]}], cookies: true}}}", "a JSON pointer begins with /"},
		{"accounts: {user: {steps: {requests: [{path: /l}]}}}", "the steps lead to nothing"},
		{"accounts: {user: {steps: {requests: [{path: /l}], use: [{in: header, name: A, value: '${t}'}]}}}", "uses ${t}, which no step saves"},
		{"accounts: {user: {script: {command: []}}}", "script.command: is missing"},
		{"accounts: {user: {headers: {'A b': x}}}", "no name of a header field"},
	} {
		err := readConfig(t, c.text).Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "accounts.") {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	var bad Config
	if err := yaml.Unmarshal([]byte("accounts: {user: {bearer: [1]}}"), &bad); err == nil || !strings.Contains(err.Error(), "a secret is a text") {
		t.Error(err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := readConfig(t, "accounts: {user: {bearer: very-secret, facts: {email: hidden@example.com}}, peer: {bearer: {env: CRENEL_TEST_TOKEN}}}")
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c), string(js)} {
		if strings.Contains(text, "very-secret") || strings.Contains(text, "hidden@") || !strings.Contains(text, "CRENEL_TEST_TOKEN") {
			t.Error(text)
		}
	}
}

// Each way of the configuration ends in a session that the API takes.
func TestConfiguredWays(t *testing.T) {
	h := newHouse(t)
	ann, _ := h.add(tenant{email: "ann@example.com", pw: "ann's-password"}, "ann@example.com")
	find := func(r *http.Request) *tenant {
		for _, v := range []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("X-Key"), r.URL.Query().Get("key")} {
			if a := h.who(v); a != nil {
				return a
			}
		}
		if u, p, ok := r.BasicAuth(); ok {
			return h.check(u, p)
		}
		if c, err := r.Cookie("sid"); err == nil {
			return h.who(c.Value)
		}
		return nil
	}
	h.me(find)
	h.on("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if ok {
			id, _ = url.QueryUnescape(id) // RFC 6749, 2.3.1
			secret, _ = url.QueryUnescape(secret)
		} else {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		good := false
		switch r.FormValue("grant_type") {
		case "client_credentials":
			good = id == "the client" && secret == "its secret" && r.FormValue("scope") == "a b" && r.FormValue("audience") == "x"
		case "password":
			good = h.check(r.FormValue("username"), r.FormValue("password")) != nil
		case "refresh_token":
			a := h.who(r.FormValue("refresh_token"))
			good = a != nil
			h.mu.Lock()
			delete(h.sessions, r.FormValue("refresh_token"))
			h.mu.Unlock()
		}
		if !good {
			say(w, 400, obj{"error": "invalid_grant", "error_description": "no such grant"})
			return
		}
		say(w, 200, obj{"access_token": h.open(ann, "at"), "expires_in": 60, "refresh_token": h.open(ann, "rt")})
	})
	h.on("GET /start", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "pre", Value: "pre-cookie"})
		w.Header().Set("X-Nonce", "nonce-7")
		_, _ = w.Write([]byte(`<input name="flow" value="fl&ow-9">`))
	})
	h.on("POST /finish/{flow}", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		c, err := r.Cookie("pre")
		if err != nil || c.Value != "pre-cookie" || r.Header.Get("X-Nonce") != "nonce-7" || r.PathValue("flow") != "fl&ow-9" || h.check(str(m, "who"), str(m, "pw")) == nil {
			say(w, 401, obj{"error": "bad step"})
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: h.open(ann, "")})
		say(w, 200, obj{"a": obj{"b": []obj{{"token": h.open(ann, "")}}}})
	})
	h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		if a := h.check(str(m, "email"), str(m, "password")); a != nil {
			say(w, 200, obj{"token": h.open(a, "")})
			return
		}
		say(w, 401, obj{"error": "no"})
	})
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	t.Setenv("CRENEL_TEST_TOKEN", h.open(ann, "env"))
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(h.open(ann, "file")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := "#!/bin/sh\necho \"Authorization: Bearer $TOKEN\"\n"
	js := "#!/bin/sh\necho \"{\\\"headers\\\": {\\\"X-Key\\\": \\\"$TOKEN\\\"}, \\\"expires_in\\\": 60}\"\n"
	for name, text := range map[string]string{"lines.sh": lines, "json.sh": js, "bad.sh": "#!/bin/sh\necho oops >&2\nexit 3\n", "slow.sh": "#!/bin/sh\nsleep 20\n", "mute.sh": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	graph := graphOf(t, shapeOf{noRegister: true, login: emailPassword}.yaml())
	for _, c := range []struct {
		name, text, how string
		fixed           bool
		problem         string
	}{
		{"bearer from the environment", "bearer: {env: CRENEL_TEST_TOKEN}", "header Authorization: Bearer …", true, ""},
		{"header from a file", "headers: {X-Key: {file: key}}", "header X-Key", true, ""},
		{"a key in the query", "api_key: {in: query, name: key, value: {env: CRENEL_TEST_TOKEN}}", "query key", true, ""},
		{"basic", `basic: {username: ann@example.com, password: "ann's-password"}`, "header Authorization: Basic …", true, ""},
		{"client credentials", "oauth2: {grant: client_credentials, token_url: '" + srv.URL + "/token', client_id: the client, client_secret: its secret, scopes: [a, b], extra: {audience: x}}", "header Authorization: Bearer …", false, ""},
		{"client credentials in the body", "oauth2: {grant: client_credentials, auth: body, token_url: '" + srv.URL + "/token', client_id: the client, client_secret: its secret, scopes: [a, b], extra: {audience: x}}", "header Authorization: Bearer …", false, ""},
		{"password grant", `oauth2: {grant: password, token_url: '` + srv.URL + `/token', username: ann@example.com, password: "ann's-password"}`, "header Authorization: Bearer …", false, ""},
		{"refresh token, a new one with each use", "oauth2: {grant: refresh_token, token_url: '" + srv.URL + "/token', refresh_token: '" + h.open(ann, "rt") + "'}", "header Authorization: Bearer …", false, ""},
		{"steps", `{facts: {mail: ann@example.com}, steps: {requests: [{method: get, path: /start, save: [{as: nonce, header: X-Nonce}, {as: flow, pattern: 'value="([^"]+)"'}]},
			{path: "/finish/${flow}", headers: {X-Nonce: "${nonce}"}, body: '{"who": "${fact.mail}", "pw": "ann''s-password"}', status: "200", save: [{as: token, at: /a/b/0/token}]}],
			use: [{in: header, name: Authorization, value: "Bearer ${token}"}]}}`, "header Authorization: Bearer …", false, ""},
		{"steps to a cookie", `{facts: {mail: ann@example.com}, steps: {cookies: true, requests: [{method: get, path: /start, save: [{as: flow, pattern: 'value="([^"]+)"'}]},
			{path: "/finish/${flow}", headers: {X-Nonce: nonce-7}, body: '{"who": "${fact.mail}", "pw": "ann''s-password"}'}]}}`, "cookie sid, cookie pre", false, ""},
		{"script, header lines", "script: {command: [./lines.sh], env: {TOKEN: {env: CRENEL_TEST_TOKEN}}}", "header Authorization: Bearer …", false, ""},
		{"script, JSON", "script: {command: [./json.sh], env: {TOKEN: {env: CRENEL_TEST_TOKEN}}}", "header X-Key", false, ""},
		{"the API's own login", `login: {email: ann@example.com, password: "ann's-password"}`, "header Authorization: Bearer …", false, ""},

		{"variable that is not set", "bearer: {env: CRENEL_NOT_SET}", "", false, "CRENEL_NOT_SET is not set"},
		{"file that is not there", "bearer: {file: nothing}", "", false, "reading a secret"},
		{"wrong token", "bearer: wrong-token-1", "header Authorization: Bearer …", true, "open nothing"},
		{"wrong password", "login: {email: ann@example.com, password: wrong}", "", false, "logging in does not work"},
		{"token endpoint out of scope", "oauth2: {grant: client_credentials, token_url: 'https://other.example.com/t', client_id: x}", "", false, "outside the scope"},
		{"grant refused", "oauth2: {grant: client_credentials, token_url: '" + srv.URL + "/token', client_id: x, client_secret: wrong-secret}", "", false, "no such grant"},
		{"step refused", "steps: {cookies: true, requests: [{path: /finish/x}]}", "", false, "should answer 2xx and answers 401"},
		{"step with another place for its value", "steps: {requests: [{method: get, path: /me, status: '401', save: [{as: t, at: /nowhere}]}], use: [{in: header, name: A, value: '${t}'}]}", "", false, "(it holds something at /"},
		{"step without its value", "steps: {requests: [{method: get, path: /start, save: [{as: t, header: X-Missing}]}], use: [{in: header, name: A, value: '${t}'}]}", "", false, "has no header X-Missing"},
		{"script that fails", "script: {command: [./bad.sh]}", "", false, "oops"},
		{"script that hangs", "script: {command: [./slow.sh], timeout: 100ms}", "", false, "script"},
		{"script that says nothing", "script: {command: [./mute.sh]}", "", false, "printed no credential"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.text
			if !strings.HasPrefix(text, "{") {
				text = "{" + text + "}"
			}
			cfg := readConfig(t, "no_register: true\naccounts: {user: "+text+"}")
			cfg.Dir = dir
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			cl, err := target.New(target.Options{Target: srv.URL})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cl.Close() })
			p := New(graph, cl, cfg)
			rep, err := p.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.problem != "" {
				if len(rep.Problems) == 0 || !strings.Contains(rep.Problems[0].What, c.problem) || rep.Problems[0].Advice == "" || strings.Contains(rep.Problems[0].What, "wrong-") {
					t.Errorf("%+v, want %q", rep.Problems, c.problem)
				}
				if (p.Get(User) != nil) != (c.how != "") {
					t.Errorf("user: %+v", p.Get(User))
				}
				return
			}
			user := p.Get(User)
			if user == nil || len(rep.Problems) > 0 {
				t.Fatalf("%+v", rep)
			}
			if got := describe(user.Session); got != c.how {
				t.Errorf("%q, want %q", got, c.how)
			}
			if err := p.Alive(t.Context(), user); err != nil {
				t.Error(err)
			}
			if user.Facts[factEmail] != "ann@example.com" {
				t.Errorf("%v", user.Facts)
			}
			old := user.Session.Snapshot()[0].Value
			err = p.Renew(t.Context(), user)
			if c.fixed {
				if err == nil {
					t.Error("fixed credentials were renewed")
				}
				return
			}
			if err != nil || user.Session.Snapshot()[0].Value == old && !strings.HasPrefix(c.name, "script") {
				t.Errorf("renewed: %v", err)
			}
			if err := p.Alive(t.Context(), user); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWFC(t *testing.T) {
	h := newHouse(t)
	ann, _ := h.add(tenant{email: "ann", pw: "p-ann"}, "ann")
	_, _ = h.add(tenant{email: "bob", pw: "p-bob"}, "bob")
	root, _ := h.add(tenant{email: "root", pw: "x"}, "root")
	rootToken := h.open(root, "fixed")
	h.me(func(r *http.Request) *tenant {
		if a := h.header("Authorization", "JWT ")(r); a != nil {
			return a
		}
		if a := h.header("X-Root", "")(r); a != nil {
			return a
		}
		return h.cookie("sid")(r)
	})
	h.on("POST /auth/in", func(w http.ResponseWriter, r *http.Request) {
		name, pw := r.FormValue("user"), r.FormValue("pass")
		if r.Header.Get("Content-Type") == "application/json" {
			m := body(r)
			name, pw = str(m, "user"), str(m, "pass")
		}
		a := h.check(name, pw)
		if a == nil {
			say(w, 401, obj{"error": "no"})
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: h.open(a, "")})
		say(w, 200, obj{"data": obj{"token": h.open(a, "")}})
	})
	h.on("POST /users", func(w http.ResponseWriter, r *http.Request) {
		m := body(r)
		if n := len(str(m, "user")); n < 10 || n > 16 || !strings.HasPrefix(str(m, "user"), "u_") {
			say(w, 400, obj{"error": "user"})
			return
		}
		_, _ = h.add(tenant{email: str(m, "user"), pw: "made"}, str(m, "user"))
		say(w, 201, obj{})
	})
	file := filepath.Join(t.TempDir(), "auth.yaml")
	text := `schemaVersion: "0.2"
authTemplate:
  loginEndpointAuth:
    endpoint: /auth/in
    verb: POST
    contentType: application/x-www-form-urlencoded
    token: {extractFrom: body, extractSelector: /data/token, sendIn: header, sendName: Authorization, sendTemplate: "JWT {token}"}
auth:
  - name: ann
    loginEndpointAuth: {payloadUserPwd: {username: ann, password: p-ann, usernameField: user, passwordField: pass}}
  - name: the-admin
    fixedHeaders: [{name: X-Root, value: "` + rootToken + `"}]
    loginEndpointAuth: null
  - name: bob
    loginEndpointAuth: {payloadRaw: "user=bob&pass=p-bob", token: null, expectCookies: true}
  - name: made
    loginEndpointAuth: {contentType: application/json, payloadRaw: '{"user": "{$u}", "pass": "made"}'}
    createUsers: {endpoint: /users, verb: POST, contentType: application/json, payloadRaw: '{"user": "{$u}"}', generators: [{placeHolder: "{$u}", prefix: u_, minLength: 10, maxLength: 16}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// One whose only account is made as the file says is good as well.
	_, begin, _ := strings.Cut(text, "  - name: made")
	head, _, _ := strings.Cut(text, "auth:\n")
	only := filepath.Join(t.TempDir(), "made.yaml")
	if err := os.WriteFile(only, []byte(head+"auth:\n  - name: made"+begin), 0o600); err != nil {
		t.Fatal(err)
	}
	q, _ := prepare(t, h, shapeOf{noRegister: true, noLogin: true}, Config{WFC: only, NoRegister: true})
	if d := q.Doctor(t.Context(), Examination{}); !d.Usable() {
		t.Errorf("not usable: %+v", d.Unusable())
	}
	p, rep := prepare(t, h, shapeOf{noRegister: true, noLogin: true}, Config{WFC: file, NoRegister: true})
	want := map[string]string{User: "header Authorization: JWT …", Admin: "header X-Root", Peer: "cookie sid", "wfc-made": "header Authorization: JWT …"}
	for name, how := range want {
		a := need(t, p, name)
		if got := describe(a.Session); got != how {
			t.Errorf("%s: %q, want %q", name, got, how)
		}
		if err := p.Alive(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	if len(rep.Problems) > 0 || p.Get(User).Facts[factID] != fmt.Sprint(ann.id) || !p.Get("wfc-made").Made {
		t.Errorf("%+v %v", rep, p.Get(User).Facts)
	}
	if d := p.Doctor(t.Context(), Examination{}); !d.Usable() {
		t.Errorf("not usable: %+v", d.Unusable())
	}
	if err := p.Renew(t.Context(), p.Get("wfc-made")); err != nil {
		t.Error(err)
	}
}

func TestWFCMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"auth: []", "auth is missing or empty"},
		{"x: [", "no authentication file"},
		{"auth: [{fixedHeaders: [{name: A, value: b}]}]", "name is missing"},
		{"auth: [{name: a}]", "neither loginEndpointAuth nor fixedHeaders"},
		{"auth: [{name: a, loginEndpointAuth: {verb: POST, endpoint: /l, externalEndpointURL: 'http://x/l', expectCookies: true}}]", "one of endpoint and externalEndpointURL"},
		{"auth: [{name: a, loginEndpointAuth: {verb: POST, endpoint: /l}}]", "leads to nothing"},
		{"auth: [{name: a, loginEndpointAuth: {verb: POST, endpoint: /l, token: {extractFrom: body, extractSelector: token, sendIn: header, sendName: A}}}]", "must be a JSON pointer"},
		{"auth: [{name: a, loginEndpointAuth: {verb: POST, endpoint: /l, token: {extractFrom: x, extractSelector: /t, sendIn: cookie, sendName: A, sendTemplate: x}}}]", "must hold {token}"},
	} {
		if _, err := parseWFC([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

// The schema that the file follows names no field that is not read.
func TestWFCSchemaIsCovered(t *testing.T) {
	dir := os.Getenv("CRENEL_TESTDATA")
	if dir == "" {
		dir = "../../../../shared/testdata"
	}
	b, err := os.ReadFile(filepath.Join(dir, "schemas", "wfc-auth.yaml"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, not counted: the schema is not there: %v", err)
	}
	var doc struct {
		Defs map[string]struct {
			Properties map[string]any `yaml:"properties"`
		} `yaml:"$defs"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		// The published file holds an escape that strict readers refuse.
		b = []byte(strings.ReplaceAll(string(b), "\\ ", ""))
		if err := yaml.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
	}
	if len(doc.Defs) < 6 {
		t.Fatalf("%d definitions", len(doc.Defs))
	}
	read := map[string]any{"AuthenticationInfo": wfcUser{}, "CreateUsers": wfcCreate{}, "Generator": wfcGenerator{}, "LoginEndpoint": wfcLogin{}, "TokenHandling": wfcToken{}, "PayloadUsernamePassword": wfcUserPwd{}, "Header": wfcHeader{}}
	for name, v := range read {
		out, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var known map[string]any
		if err := yaml.Unmarshal(out, &known); err != nil {
			t.Fatal(err)
		}
		for field := range doc.Defs[name].Properties {
			// Mocks are for testing from the inside.
			if _, ok := known[field]; !ok && field != "requireMockHandling" {
				t.Errorf("%s.%s is not read", name, field)
			}
		}
	}
}
