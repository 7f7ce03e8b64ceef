package actor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Where each refresh token serves once, the account gets in again after a second session
// was made of it and left: the last token counts, whichever session brought it.
func TestRefreshTokensThatServeOnce(t *testing.T) {
	var mu sync.Mutex
	n, good := 0, "first-of-all"
	access := ""
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.FormValue("refresh_token") != good {
			good = "" // RFC 9700, section 4.14.2: one that was used is a thief's
			say(w, 400, obj{"error": "invalid_grant"})
			return
		}
		n++
		good, access = fmt.Sprintf("refresh-%d", n), fmt.Sprintf("access-%d", n)
		say(w, 200, obj{"access_token": access, "refresh_token": good, "expires_in": 60})
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if len(r.Header.Get("Authorization")) < len("Bearer access-1") {
			say(w, 401, obj{"error": "who?"})
			return
		}
		say(w, 200, obj{"id": 7})
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	cl, err := target.New(target.Options{Target: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	cfg := readConfig(t, "no_register: true\naccounts: {user: {oauth2: {grant: refresh_token, token_url: '"+srv.URL+"/token', client_id: c, refresh_token: first-of-all}}}")
	p := New(graphOf(t, "openapi: 3.0.3\ninfo: {title: Ferry, version: '1'}\npaths: {/me: {get: {responses: {'200': {description: me}}}}}\n"), cl, cfg)
	if d := p.Doctor(t.Context(), Examination{}); !d.Usable() {
		t.Fatalf("%+v", d.Points)
	}
	before := n
	if err := p.Renew(t.Context(), p.Get(User)); err != nil || n != before+1 || n < 3 {
		t.Errorf("%v after %d tokens", err, n)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := p.Login(t.Context(), p.Get(User)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
