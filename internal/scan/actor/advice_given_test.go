package actor

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// What to do about an account that does not get in goes by the way in which it was given,
// and what a script says is told without the secrets that it was given.
func TestAdviceForGivenAccounts(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "ferry-key" {
			say(w, 401, obj{"error": "who?"})
			return
		}
		say(w, 200, obj{"id": 7})
	})
	for _, code := range []string{"invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope", "no-code"} {
		mux.HandleFunc("POST /"+code, func(w http.ResponseWriter, _ *http.Request) { say(w, 400, obj{"error": code}) })
	}
	mux.HandleFunc("POST /door", func(w http.ResponseWriter, _ *http.Request) { say(w, 403, obj{"error": "shut"}) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	dead := httptest.NewServer(nil)
	dead.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"fail.sh": "echo login with $PW failed >&2; exit 4", "slow.sh": "exec sleep 20"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	grant := func(grant, at string) string {
		return "oauth2: {grant: " + grant + ", token_url: '" + at + "', client_id: c, client_secret: d, username: u, password: p, refresh_token: r}"
	}
	for _, c := range []struct{ name, account, what, advice string }{
		{"wrong client", grant("client_credentials", srv.URL+"/invalid_client"), "", "Correct oauth2.client_id and client_secret"},
		{"wrong password", grant("password", srv.URL+"/invalid_grant"), "", "Correct oauth2.username and password"},
		{"used refresh token", grant("refresh_token", srv.URL+"/invalid_grant"), "", "Give another oauth2.refresh_token"},
		{"grant not allowed", grant("password", srv.URL+"/unauthorized_client"), "", "Allow this client the grant password"},
		{"unknown scope", grant("password", srv.URL+"/invalid_scope"), "", "Correct oauth2.scopes"},
		{"no token endpoint", grant("password", srv.URL+"/me2"), "", "the token endpoint"},
		{"a dead provider", grant("password", dead.URL+"/t"), "refused", "whether the authorization server runs"},
		{"script that fails", "script: {command: [./fail.sh], env: {PW: very-secret-text}}", "exit status 4 (it said: login with [redacted] failed)", "Run the command by hand"},
		{"script that hangs", "script: {command: [./slow.sh], timeout: 300ms}", "ended after 300ms, which script.timeout sets", "Run the command by hand"},
		{"a step that is refused", "steps: {requests: [{path: /door, body: '{}'}], cookies: true}", "answers 403", "what that step sends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := readConfig(t, "no_register: true\naccounts: {peer: {"+c.account+"}, user: {headers: {X-Key: ferry-key}}}")
			cfg.Dir = dir
			cl, err := target.New(target.Options{Target: srv.URL, Also: []string{dead.URL}, DownFor: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cl.Close() }()
			p := New(graphOf(t, "openapi: 3.0.3\ninfo: {title: Ferry, version: '1'}\npaths: {/me: {get: {responses: {'200': {description: me}}}}}\n"), cl, cfg)
			rep, err := p.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Problems) != 1 || !strings.Contains(rep.Problems[0].What, c.what) || !strings.Contains(rep.Problems[0].Advice, c.advice) {
				t.Errorf("%+v", rep.Problems)
			}
			if got := p.Outside(); !slices.Equal(got, []string{Peer}) {
				t.Errorf("outside: %q", got)
			}
		})
	}
}

// A password that is written into the body of a login's step stays out of the record.
func TestStepsHideWhatTheySend(t *testing.T) {
	for typ, body := range map[string]string{
		"application/x-www-form-urlencoded": "name=ann&userPassword=open-sesame",
		"application/json":                  `{"who": {"name": "ann", "pass_word": "x", "password": "open-sesame"}}`,
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /in", func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "s-1234567"})
		})
		srv := httptest.NewServer(mux)
		var record bytes.Buffer
		cl, err := target.New(target.Options{Target: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		h := target.NewHAR(cl, &record, false)
		cl.OnExchange(h.Add)
		cfg := Config{NoRegister: true, Run: "x", Accounts: map[string]Account{User: {Steps: &Steps{Cookies: true, Requests: []LoginStep{{Path: "/in", Type: typ, Body: body}}}}}}
		p := New(graphOf(t, "openapi: 3.0.3\ninfo: {title: Cave, version: '1'}\npaths: {/me: {get: {responses: {'200': {description: me}}}}}\n"), cl, cfg)
		if _, err := p.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if text := record.String(); !strings.Contains(text, "/in") || strings.Contains(text, "open-sesame") {
			t.Errorf("%s: %s", typ, text)
		}
		_ = cl.Close()
		srv.Close()
	}
}
