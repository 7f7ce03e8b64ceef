package login_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

func (b *browser) copyOf() *browser {
	c := b.browser()
	for name, value := range b.cookies() {
		c.set(name, value)
	}
	return c
}

// However many calls on however many gateways carry one refresh token, it is used
// once: an issuer that rotates would end the session otherwise.
func TestOneRefreshForAll(t *testing.T) {
	for store, session := range stores {
		t.Run(store, func(t *testing.T) {
			s := newStand(t, setup{session: session})
			s.op.Set(func(o *oauthServer) { o.Rotate, o.TokenLife = true, 10*time.Minute })
			b := s.browser()
			b.logIn()
			handlers := []http.Handler{s.handlerOf(s.gateway()), s.handlerOf(s.gateway()), s.handlerOf(s.gateway())}
			for round := 1; round <= 3; round++ {
				s.clock.forward(11 * time.Minute)
				var wg sync.WaitGroup
				var bad atomic.Int32
				cookie := sessionCookie + "=" + b.cookies()[sessionCookie]
				for i := range 30 {
					wg.Go(func() {
						r := httptest.NewRequest(http.MethodGet, s.origin+"/things", nil)
						r.Header.Set("Cookie", cookie)
						w := httptest.NewRecorder()
						handlers[i%3].ServeHTTP(w, r)
						if w.Code != 200 {
							bad.Add(1)
							t.Errorf("round %d: %d %s", round, w.Code, w.Body)
						}
					})
				}
				wg.Wait()
				if n := s.op.Count("refresh_token"); n != round {
					t.Fatalf("%d refreshes after %d rounds", n, round)
				}
				// The browser did not get any of those answers; its next call brings it up to date.
				if r := b.call("/things"); r.status != 200 {
					t.Fatalf("the browser: %d %s", r.status, r.body)
				}
			}
		})
	}
}

// A token that ends soon is renewed beside the call, not before it.
func TestRefreshAhead(t *testing.T) {
	s := newStand(t, setup{})
	s.op.Set(func(o *oauthServer) { o.TokenLife = 10 * time.Minute })
	b := s.browser()
	b.logIn()
	s.clock.forward(9*time.Minute + 10*time.Second)
	block := make(chan struct{})
	s.op.Set(func(o *oauthServer) {
		o.Fail = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				<-block
			}
			return false
		}
	})
	begin := time.Now()
	if r := b.call("/things"); r.status != 200 || time.Since(begin) > time.Second {
		t.Errorf("a call while the issuer thinks: %d after %s", r.status, time.Since(begin))
	}
	close(block)
	for range 200 {
		if s.op.Count("refresh_token") == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.clock.forward(2 * time.Minute)
	if r := b.call("/things"); r.status != 200 || s.op.Count("refresh_token") != 1 {
		t.Errorf("%d, %d refreshes: %s", r.status, s.op.Count("refresh_token"), r.body)
	}
}

// The issuer takes the session back.
func TestRefreshRefused(t *testing.T) {
	for store, session := range stores {
		t.Run(store, func(t *testing.T) {
			s := newStand(t, setup{session: session})
			s.op.Set(func(o *oauthServer) { o.TokenLife = 10 * time.Minute })
			b := s.browser()
			b.logIn()
			before := b.copyOf()
			s.op.End()
			s.clock.forward(11 * time.Minute)
			for range 3 {
				if r := b.call("/things"); r.status != 401 || r.code(t) != "authn.expired" && r.code(t) != "authn.revoked" {
					t.Errorf("%d %s", r.status, r.body)
				}
			}
			if r := before.call("/things"); r.status != 401 {
				t.Errorf("a copy: %d", r.status)
			}
			if n := s.op.Count("refresh_token"); n != 1 {
				t.Errorf("the issuer was asked %d times", n)
			}
		})
	}
}

// The issuer cannot be asked: calls go on while the token holds, then nobody is let in.
func TestRefreshWhileTheIssuerIsDown(t *testing.T) {
	for name, fail := range map[string]func(w http.ResponseWriter){
		"an error": func(w http.ResponseWriter) { http.Error(w, "down", http.StatusServiceUnavailable) },
		"rubbish":  func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
		"no token": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"token_type":"Bearer"}`)) },
		"a bad ID": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"e30.e30."}`))
		},
		"elsewhere": func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"our fault": func(w http.ResponseWriter) { w.WriteHeader(401); _, _ = w.Write([]byte(`{"error":"invalid_client"}`)) },
		"huge":      func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat(" ", 1<<20))) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, setup{})
			s.op.Set(func(o *oauthServer) { o.TokenLife = 10 * time.Minute })
			b := s.browser()
			b.logIn()
			s.op.Set(func(o *oauthServer) {
				o.Fail = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/token" {
						return false
					}
					fail(w)
					return true
				}
			})
			s.clock.forward(9*time.Minute + 30*time.Second)
			if r := b.call("/things"); r.status != 200 {
				t.Errorf("while the token holds: %d %s", r.status, r.body)
			}
			s.clock.forward(time.Minute)
			r := b.call("/things")
			if r.status != 503 || r.code(t) != "authn.unavailable" {
				t.Errorf("after it: %d %s", r.status, r.body)
			}
			s.op.Set(func(o *oauthServer) { o.Fail = nil })
			s.clock.forward(10 * time.Second)
			if r := b.call("/things"); r.status != 200 {
				t.Errorf("when the issuer is back: %d %s\n%s", r.status, r.body, s.log)
			}
			if strings.Contains(s.log.String(), "eyJ") {
				t.Error("the log holds a token")
			}
		})
	}
}

// Another user's tokens at a refresh are refused.
func TestRefreshOfAnotherSubject(t *testing.T) {
	s := newStand(t, setup{})
	s.op.Set(func(o *oauthServer) { o.TokenLife = 10 * time.Minute })
	b := s.browser()
	b.logIn()
	s.op.Set(func(o *oauthServer) {
		o.Tamper = func(kind string, claims, _ map[string]any) {
			if kind == "id_token" {
				claims["sub"] = "bob"
			}
		}
	})
	s.clock.forward(11 * time.Minute)
	if r := b.call("/things"); r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestWithoutRefreshToken(t *testing.T) {
	s := newStand(t, setup{})
	s.op.Set(func(o *oauthServer) { o.NoRefresh, o.TokenLife = true, time.Minute })
	b := s.browser()
	b.logIn()
	s.clock.forward(20 * time.Minute)
	if r := b.call("/things"); r.status != 200 {
		t.Errorf("the session lives by its own times: %d %s", r.status, r.body)
	}
}

func TestIssuerDownAtLogin(t *testing.T) {
	s := newStand(t, setup{})
	b := s.browser()
	s.op.Set(func(o *oauthServer) {
		o.Fail = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }
	})
	if r := b.open("/auth/login"); r.status != 503 || !strings.Contains(r.body, "login.unavailable") {
		t.Errorf("at the login: %d %s", r.status, r.body)
	}
	if r := b.do("GET", "/auth/login", "", "Accept", "application/json"); r.status != 503 || r.code(t) != "login.unavailable" {
		t.Errorf("a script: %d %s", r.status, r.body)
	}
	s.op.Set(func(o *oauthServer) { o.Fail = nil })
	time.Sleep(20 * time.Millisecond)
	s.clock.forward(2 * time.Second)
	u := b.begun("")
	s.op.Set(func(o *oauthServer) {
		o.Fail = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				w.WriteHeader(502)
			}
			return r.URL.Path == "/token"
		}
	})
	if r := b.open(u.String()); r.status != 503 || !strings.Contains(r.body, "login.unavailable") || b.cookies()[sessionCookie] != "" {
		t.Errorf("at the callback: %d %s", r.status, r.body)
	}
}

// metadata of another issuer, or with endpoints in the clear, is not believed.
func TestMetadataAttacks(t *testing.T) {
	for name, change := range map[string]func(doc map[string]any){
		"another issuer":          func(d map[string]any) { d["issuer"] = "https://evil.example" },
		"a slash more":            func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" },
		"token endpoint in clear": func(d map[string]any) { d["token_endpoint"] = "http://id.example.com/token" },
		"authorization: script":   func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no token endpoint":       func(d map[string]any) { d["token_endpoint"] = nil },
		"no authorization":        func(d map[string]any) { d["authorization_endpoint"] = nil },
		"with a password":         func(d map[string]any) { d["token_endpoint"] = "https://a:b@id.example.com/token" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, setup{})
			s.op.Set(func(o *oauthServer) { o.Metadata = change })
			if r := s.browser().open("/auth/login"); r.status != 503 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
}

// brokenStore is a shared state that can go away.
type brokenStore struct {
	state.Store
	away atomic.Bool
}

var errAway = errors.New("the state is away")

func (b *brokenStore) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if b.away.Load() {
		return false, errAway
	}
	return b.Store.First(ctx, key, ttl)
}

func (b *brokenStore) Put(ctx context.Context, set, key string, value []byte, expires time.Time) error {
	if b.away.Load() {
		return errAway
	}
	return b.Store.Put(ctx, set, key, value, expires)
}

func (b *brokenStore) PutIf(ctx context.Context, set, key string, was, value []byte, expires time.Time) (bool, error) {
	if b.away.Load() {
		return false, errAway
	}
	return b.Store.PutIf(ctx, set, key, was, value, expires)
}

func (b *brokenStore) View(ctx context.Context, set string) (state.View, error) {
	v, err := b.Store.View(ctx, set)
	return &brokenView{v, b}, err
}

type brokenView struct {
	state.View
	store *brokenStore
}

func (v *brokenView) Stale() time.Duration {
	if v.store.away.Load() {
		return time.Hour
	}
	return 0
}

// What cannot be known to hold does not; a logout that cannot be kept is none.
func TestStateAway(t *testing.T) {
	for store, session := range stores {
		t.Run(store, func(t *testing.T) {
			c := &clock{}
			m := state.NewMemory(c.Now)
			t.Cleanup(func() { _ = m.Close() })
			broken := &brokenStore{Store: m}
			s := newStand(t, setup{session: session, store: broken, clock: c})
			b := s.browser()
			b.logIn()
			u := s.browser()
			callback := u.begun("")
			token := s.op.LogoutToken(map[string]any{"sid": "sid-1"})
			broken.away.Store(true)
			if r := b.call("/things"); r.status != 503 || r.code(t) != "authn.unavailable" {
				t.Errorf("a call: %d %s", r.status, r.body)
			}
			if r := b.open("/things"); r.status != 503 {
				t.Errorf("a page: %d", r.status)
			}
			if r := u.open(callback.String()); r.status != 503 || u.cookies()[sessionCookie] != "" {
				t.Errorf("a callback: %d %s", r.status, r.body)
			}
			if r := b.do("POST", "/auth/logout", "", "Origin", s.origin, "X-CSRF-Token", b.cookies()[csrfCookie]); r.status != 503 {
				t.Errorf("a logout: %d %s", r.status, r.body)
			}
			if r := b.logoutToken(token); r.status != 503 || r.header.Get("Retry-After") == "" {
				t.Errorf("a back-channel logout: %d %s", r.status, r.body)
			}
			broken.away.Store(false)
			if r := b.logoutToken(token); r.status != 200 {
				t.Errorf("the same token, when the state is back: %d %s", r.status, r.body)
			}
		})
	}
}
