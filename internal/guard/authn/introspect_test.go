package authn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

const askURL = issuerURL + "/introspect"

// server is an authorization server behind a RoundTripper: its issuer's documents
// and an introspection endpoint.
type server struct {
	issuer
	about  func(token string) any // the answer: an object, or a text as it is to stand there
	reply  func(r *http.Request) (*http.Response, error)
	asked  atomic.Int64
	wait   time.Duration
	last   sync.Mutex
	form   url.Values
	header http.Header
	most   atomic.Int64 // at once
	now    atomic.Int64
}

func newServer() *server {
	s := &server{}
	i := newIssuer(rsaKey())
	s.keys, s.name, s.jwksURI = i.keys, i.name, i.jwksURI
	s.about = func(token string) any {
		if token == "good" {
			return object{"active": true, "sub": "alice", "scope": "read write", "client_id": "app", "iss": issuerURL, "aud": audience, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "jti": "t1", "token_type": "Bearer", "roles": []string{"staff"}}
		}
		return object{"active": false}
	}
	return s
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() == issuerURL+"/.well-known/openid-configuration" {
		return reply(200, must(jsonText(object{"issuer": s.name, "jwks_uri": s.jwksURI, "introspection_endpoint": askURL}))), nil
	}
	if r.URL.String() != askURL {
		return s.issuer.RoundTrip(r)
	}
	s.asked.Add(1)
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.now.Add(-1)
	body := must(io.ReadAll(r.Body))
	form := must(url.ParseQuery(string(body)))
	s.last.Lock()
	s.form, s.header = form, r.Header.Clone()
	about, broken, wait := s.about, s.reply, s.wait
	s.last.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if broken != nil {
		return broken(r)
	}
	answer := about(form.Get("token"))
	text, ok := answer.(string)
	if !ok {
		text = must(jsonText(answer))
	}
	res := reply(200, text)
	res.Header.Set("Content-Type", "application/json; charset=utf-8")
	return res, nil
}

func (s *server) change(f func(s *server)) {
	s.last.Lock()
	defer s.last.Unlock()
	f(s)
}

func askConfig(change func(c *config.Introspection)) config.Authn {
	c := &config.Introspection{URL: askURL, Issuer: issuerURL, Audience: []string{audience}, Auth: config.ClientAuth{ClientID: "crenel", ClientSecret: config.NewSecret("s&cret")}}
	if change != nil {
		change(c)
	}
	return config.Authn{Methods: []config.AuthnMethod{{Introspection: c}}}
}

// asking runs a test with a clock of its own and a guard that asks the server.
func asking(t *testing.T, s *server, conf config.Authn, test func(t *testing.T, g *authn.Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, err := authn.New(authn.Options{API: petAPI(), Config: conf, Client: &http.Client{Transport: s}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		test(t, g)
	})
}

func TestIntrospection(t *testing.T) {
	s := newServer()
	asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
		op := operation(petAPI(), "token")
		for range 3 {
			x, v := call(t, g, op, bearer("good"), "")
			want(t, v, exchange.Allow, "")
			got := x.Identity
			if got.Credential == "" || strings.Contains(got.Credential, "good") || got.Claims["active"] != true || !got.Expires.Equal(time.Now().Add(time.Hour)) || len(got.Revocable) != 4 {
				t.Errorf("identity %+v", got)
			}
			got.Credential, got.Claims, got.Memo, got.Expires, got.Issued, got.Revocable = "", nil, nil, time.Time{}, time.Time{}, nil
			if d := cmp.Diff(exchange.Identity{Subject: "alice", Issuer: issuerURL, Method: "introspection", Verified: true, ClientID: "app", Scopes: []string{"read", "write"},
				Roles: []string{"staff"}, Schemes: []string{"oauth"}, Session: "t1"}, got); d != "" {
				t.Errorf("identity (-want +got):\n%s", d)
			}
			if len(x.Request.Credentials) != 1 || x.Request.Credentials[0].Rejected {
				t.Errorf("credentials %+v", x.Request.Credentials)
			}
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("asked %d times about one token", n)
		}
		if got := s.header.Get("Authorization"); got != "Basic Y3JlbmVsOnMlMjZjcmV0" || s.form.Get("token") != "good" || s.form.Get("token_type_hint") != "access_token" {
			t.Errorf("sent %q with %q", s.form, got)
		}
		for range 3 {
			x, v := call(t, g, op, bearer("bad"), "")
			want(t, v, exchange.Deny, "authn.inactive")
			if strings.Contains(fmt.Sprintf("%+v", v), "bad") || !x.Identity.Anonymous() {
				t.Errorf("%+v, %+v", v, x.Identity)
			}
		}
		if n := s.asked.Load(); n != 2 {
			t.Errorf("asked %d times about two tokens", n)
		}
		time.Sleep(11 * time.Second) // refusals are forgotten first
		_, _ = call(t, g, op, bearer("bad"), "")
		_, _ = call(t, g, op, bearer("good"), "")
		if n := s.asked.Load(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		time.Sleep(50 * time.Second)
		s.change(func(s *server) { s.about = func(string) any { return object{"active": false} } })
		_, v := call(t, g, op, bearer("good"), "")
		want(t, v, exchange.Deny, "authn.inactive")
	})
}

// Whatever the server answers: nothing but a plain yes for this API lets anyone in.
func TestIntrospectionAnswers(t *testing.T) {
	good := func(change object) object {
		o := object{"active": true, "sub": "alice", "aud": audience, "iss": issuerURL}
		for k, v := range change {
			if v == nil {
				delete(o, k)
			} else {
				o[k] = v
			}
		}
		return o
	}
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() // when a bubble's clock starts
	for name, c := range map[string]struct {
		answer any
		code   string
	}{
		"yes":                      {good(nil), ""},
		"aud a list":               {good(object{"aud": []string{"x", audience}}), ""},
		"no issuer":                {good(object{"iss": nil}), ""},
		"issuer with a slash":      {good(object{"iss": issuerURL + "/"}), ""},
		"a client of its own":      {good(object{"sub": nil, "client_id": "app"}), ""},
		"no":                       {object{"active": false}, "authn.inactive"},
		"no, with claims":          {good(object{"active": false}), "authn.inactive"},
		"active missing":           {good(object{"active": nil}), "authn.unavailable"},
		"active a text":            {good(object{"active": "true"}), "authn.unavailable"},
		"active a number":          {good(object{"active": 1}), "authn.unavailable"},
		"active null":              {`{"active":null,"sub":"alice"}`, "authn.unavailable"},
		"active twice":             {`{"active":false,"active":true,"sub":"alice"}`, "authn.unavailable"},
		"a list":                   {`[{"active":true}]`, "authn.unavailable"},
		"data behind":              {`{"active":true,"sub":"alice"} {}`, "authn.unavailable"},
		"not UTF-8":                {"{\"active\":true,\"sub\":\"\xff\"}", "authn.unavailable"},
		"empty":                    {"", "authn.unavailable"},
		"a page":                   {"<html>", "authn.unavailable"},
		"huge":                     {`{"active":true,"sub":"alice","x":"` + strings.Repeat("x", 70<<10) + `"}`, "authn.unavailable"},
		"deep":                     {`{"active":true,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "authn.unavailable"},
		"for another API":          {good(object{"aud": "https://other.test"}), "authn.audience"},
		"for nobody":               {good(object{"aud": nil}), "authn.audience"},
		"aud a number":             {good(object{"aud": 1}), "authn.malformed"},
		"another issuer":           {good(object{"iss": "https://evil.test"}), "authn.issuer"},
		"issuer a number":          {good(object{"iss": 1}), "authn.issuer"},
		"expired":                  {good(object{"exp": epoch - 100}), "authn.expired"},
		"exp a text":               {good(object{"exp": "tomorrow"}), "authn.malformed"},
		"not yet":                  {good(object{"nbf": epoch + 1000}), "authn.not_yet_valid"},
		"nobody":                   {good(object{"sub": nil}), "authn.invalid"},
		"sub a list":               {good(object{"sub": []string{"alice"}}), "authn.malformed"},
		"sub with a line break":    {good(object{"sub": "alice\r\nX: y"}), "authn.malformed"},
		"a refresh token":          {good(object{"token_type": "refresh_token"}), "authn.token_type"},
		"a refresh token (Hydra)":  {good(object{"token_use": "refresh_token"}), "authn.token_type"},
		"a refresh token (typ)":    {good(object{"typ": "Refresh"}), "authn.token_type"},
		"an ID token (typ)":        {good(object{"typ": "ID"}), "authn.token_type"},
		"bound to something else":  {good(object{"cnf": object{"kid": "x"}}), "authn.binding"},
		"bound to a key, no proof": {good(object{"cnf": object{"jkt": strings.Repeat("a", 43)}, "token_type": "DPoP"}), "authn.binding"},
		"bound to a certificate":   {good(object{"cnf": object{"x5t#S256": strings.Repeat("a", 43)}}), "authn.binding"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.about = func(string) any { return c.answer }
			asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
				v := ruled(t, g, "opaque")
				if v.Code != c.code {
					t.Errorf("%s %q (%s), want %q", v.Action, v.Code, v.Reason, c.code)
				}
				if strings.Contains(v.Reason, "opaque") {
					t.Errorf("the reason quotes the token: %s", v.Reason)
				}
			})
		})
	}
}

// Tokens that are no tokens are not sent anywhere.
func TestIntrospectionMalformed(t *testing.T) {
	s := newServer()
	asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
		for tok, code := range map[string]string{
			"": "authn.malformed", "a b": "authn.malformed", "a\x00": "authn.malformed", "a\xff": "authn.malformed", "a,b": "authn.malformed",
			`a"b`: "authn.malformed", strings.Repeat("a", 16<<10+1): "authn.too_large",
		} {
			want(t, ruled(t, g, tok), exchange.Deny, code)
		}
		if n := s.asked.Load(); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
}

// The server is away, slow, or refuses the gateway itself: what it said lately is
// believed for max_age and not beyond exp, then nobody is let in, and nobody hangs.
func TestIntrospectionAway(t *testing.T) {
	status := func(code int) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(code, `{"active":true,"sub":"x"}`), nil }
	}
	for name, c := range map[string]struct {
		breaks func(s *server)
		says   string
	}{
		"down": {func(s *server) {
			s.reply = func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
		}, "connection refused"},
		"slow":                    {func(s *server) { s.wait = time.Hour }, "deadline exceeded"},
		"500":                     {func(s *server) { s.reply = status(500) }, "status 500"},
		"429":                     {func(s *server) { s.reply = status(429) }, "status 429"},
		"401 (its own)":           {func(s *server) { s.reply = status(401) }, "see auth"},
		"200 of another type":     {func(s *server) { s.reply = status(200) }, "type"},
		"redirected":              {func(s *server) { s.reply = redirect }, "redirected"},
		"an answer without sense": {func(s *server) { s.about = func(string) any { return "{}" } }, "active"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
				want(t, ruled(t, g, "good"), exchange.Allow, "")
				if err := g.Ready(); err != nil {
					t.Errorf("ready says %v", err)
				}
				s.change(c.breaks)
				begin := time.Now()
				want(t, ruled(t, g, "good"), exchange.Allow, "") // within ttl
				v := ruled(t, g, "other")
				want(t, v, exchange.Unable, "authn.unavailable")
				if v.Header["Retry-After"] == "" || v.Header["WWW-Authenticate"] != "" {
					t.Errorf("header %v", v.Header)
				}
				if took := time.Since(begin); took > 5*time.Second {
					t.Errorf("the caller waited %s", took)
				}
				if g.Ready() == nil {
					// What one unknown token is answered with may be its own doing, for a while.
					time.Sleep(10 * time.Second)
					want(t, ruled(t, g, "another"), exchange.Unable, "authn.unavailable")
				}
				if err := g.Ready(); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "introspection") {
					t.Errorf("ready says %v, want %q", err, c.says)
				}
				time.Sleep(2 * time.Minute)
				want(t, ruled(t, g, "good"), exchange.Allow, "") // beyond ttl, within max_age
				// Many at once do not each wait for a server that is away.
				for i := range 5 {
					_ = ruled(t, g, fmt.Sprint("other", i))
				}
				begin = time.Now()
				for i := range 200 {
					want(t, ruled(t, g, fmt.Sprint("many", i)), exchange.Unable, "authn.unavailable")
				}
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("200 calls took %s", took)
				}
				time.Sleep(4 * time.Minute)
				want(t, ruled(t, g, "good"), exchange.Unable, "authn.unavailable")
				fresh := newServer()
				s.change(func(s *server) { s.reply, s.wait, s.about = nil, 0, fresh.about })
				time.Sleep(2 * time.Second)
				want(t, ruled(t, g, "good"), exchange.Allow, "")
				if err := g.Ready(); err != nil {
					t.Errorf("ready says %v when all is well", err)
				}
			})
		})
	}
}

func redirect(*http.Request) (*http.Response, error) {
	r := reply(307, "")
	r.Header.Set("Location", "https://evil.test/")
	return r, nil
}

// An answer is not believed beyond the token's own end, server away or not.
func TestIntrospectionExpires(t *testing.T) {
	s := newServer()
	s.about = func(string) any {
		return object{"active": true, "sub": "alice", "aud": audience, "exp": time.Now().Add(20 * time.Second).Unix()}
	}
	asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, "short"), exchange.Allow, "")
		s.change(func(s *server) {
			s.reply = func(*http.Request) (*http.Response, error) { return nil, errors.New("down") }
		})
		time.Sleep(19 * time.Second)
		want(t, ruled(t, g, "short"), exchange.Allow, "")
		time.Sleep(32 * time.Second) // exp and skew; ttl has not passed
		want(t, ruled(t, g, "short"), exchange.Unable, "authn.unavailable")
	})
}

// A herd that asks about one token costs one question; one that asks about many
// costs so many at once and no more.
func TestIntrospectionHerd(t *testing.T) {
	s := newServer()
	s.wait = time.Second
	asking(t, s, askConfig(func(c *config.Introspection) { c.Concurrent = 4 }), func(t *testing.T, g *authn.Guard) {
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { want(t, ruled(t, g, "good"), exchange.Allow, "") })
		}
		wg.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("500 calls with one token asked %d times", n)
		}
		var refused, unable atomic.Int64
		for i := range 100 {
			wg.Go(func() {
				switch v := ruled(t, g, fmt.Sprint("bad", i)); v.Code {
				case "authn.inactive":
					refused.Add(1)
				case "authn.unavailable":
					unable.Add(1)
				default:
					t.Errorf("%+v", v)
				}
			})
		}
		wg.Wait()
		if n := s.most.Load(); n > 4 {
			t.Errorf("%d questions at once, at most 4 are allowed", n)
		}
		// Five seconds for a second each, three at a time: one place is kept for tokens that are known.
		if refused.Load() < 12 || unable.Load() == 0 {
			t.Errorf("%d refused, %d unable", refused.Load(), unable.Load())
		}
	})
}

// Who leaves while the server thinks takes nobody along.
func TestIntrospectionCallerLeaves(t *testing.T) {
	s := newServer()
	s.wait = time.Second
	asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
		op := operation(petAPI(), "token")
		x := &exchange.Exchange{Operation: op, Request: exchange.Request{Method: "GET", Header: bearer("good")}}
		ctx, cancel := contextWithCancel(t)
		var wg sync.WaitGroup
		wg.Go(func() { want(t, g.Step().Rule(ctx, x), exchange.Unable, "authn.unavailable") })
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() { want(t, ruled(t, g, "good"), exchange.Allow, "") })
		time.Sleep(100 * time.Millisecond)
		cancel()
		wg.Wait()
	})
}

// What is remembered is bounded, and strangers push nobody out.
func TestIntrospectionBounded(t *testing.T) {
	s := newServer()
	asking(t, s, askConfig(func(c *config.Introspection) { c.Remember = 10 }), func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, "good"), exchange.Allow, "")
		for i := range 1000 {
			want(t, ruled(t, g, fmt.Sprint("bad", i)), exchange.Deny, "authn.inactive")
		}
		n := s.asked.Load()
		want(t, ruled(t, g, "good"), exchange.Allow, "")
		if s.asked.Load() != n {
			t.Error("a thousand strangers pushed a caller out")
		}
	})
}

// Opaque tokens and JWTs on the same header are told apart.
func TestIntrospectionBesideJWT(t *testing.T) {
	k := rsaKey()
	for name, tokens := range map[string]string{"any": "any", "opaque": "opaque"} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			conf := askConfig(func(c *config.Introspection) { c.Tokens = tokens })
			conf.Methods = append(conf.Methods, config.AuthnMethod{JWT: &config.JWTMethod{Issuer: issuerURL, Audience: []string{audience}}})
			asking(t, s, conf, func(t *testing.T, g *authn.Guard) {
				token := func(change object) string { return k.token("RS256", k.header("RS256"), claims(time.Now(), change)) }
				try := func(tok, method, code string, asked int64) {
					t.Helper()
					before := s.asked.Load()
					x, v := call(t, g, operation(petAPI(), "token"), bearer(tok), "")
					if x.Identity.Method != method || v.Code != code || s.asked.Load()-before != asked {
						t.Errorf("%.20s: by %q, %q (%s), asked %d times; want by %q, %q, %d", tok, x.Identity.Method, v.Code, v.Reason, s.asked.Load()-before, method, code, asked)
					}
				}
				try("good", "introspection", "", 1)
				try("bad.with.dots", "", "authn.inactive", 1)
				try("five.parts.as.of.JWE", "", "authn.inactive", 1)
				try(token(nil), "jwt", "", 0)
				try(rsaOther().token("RS256", k.header("RS256"), claims(time.Now(), nil)), "", "authn.signature", 0)
				try(token(object{"exp": time.Now().Add(-time.Hour).Unix(), "iat": nil}), "", "authn.expired", 0)
				try(k.token("RS256", `{"alg":"RS256","alg":"none"}`, claims(time.Now(), nil)), "", map[string]string{"any": "authn.inactive", "opaque": "authn.inactive"}[tokens], 1)
				if tokens == "any" {
					s.change(func(s *server) {
						s.about = func(string) any { return object{"active": true, "sub": "bob", "aud": audience} }
					})
					try(token(object{"iss": "https://other.test"}), "introspection", "", 1)
				} else {
					try(token(object{"iss": "https://other.test"}), "", "authn.issuer", 0)
				}
			})
		})
	}
}

func TestIntrospectionRevoked(t *testing.T) {
	s := newServer()
	synctest.Test(t, func(t *testing.T) {
		store := state.NewMemory(nil)
		defer store.Close()
		g, err := authn.New(authn.Options{API: petAPI(), Config: askConfig(nil), Client: &http.Client{Transport: s}, State: store})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, key := range []string{revocation.ForToken("good"), revocation.ForID(issuerURL, "t1"), revocation.ForSubject(issuerURL, "alice")} {
			want(t, ruled(t, g, "good"), exchange.Allow, "")
			if err := revocation.Put(t.Context(), store, key, revocation.Entry{}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			want(t, ruled(t, g, "good"), exchange.Deny, "authn.revoked")
			if err := store.Drop(t.Context(), revocation.Set, key); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// Errors that a server answers made-up tokens with say nothing of the server, which
// has just answered others well: nobody has the gateway taken out of service, or
// other tokens refused unasked, with them.
func TestIntrospectionErrorsOfStrangers(t *testing.T) {
	s := newServer()
	asking(t, s, askConfig(nil), func(t *testing.T, g *authn.Guard) {
		op := operation(petAPI(), "token")
		_, v := call(t, g, op, bearer("good"), "")
		want(t, v, exchange.Allow, "")
		s.change(func(s *server) {
			s.reply = func(r *http.Request) (*http.Response, error) { return reply(400, `{"error":"invalid_request"}`), nil }
		})
		for i := range 10 {
			_, v = call(t, g, op, bearer(fmt.Sprint("made-up", i)), "")
			want(t, v, exchange.Unable, "authn.unavailable")
		}
		if err := g.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		if n := s.asked.Load(); n != 11 {
			t.Errorf("asked %d times: the others were refused unasked", n)
		}
		// A token that the server has vouched for, or a server that has not answered
		// well for a while, is another matter.
		time.Sleep(61 * time.Second)
		_, v = call(t, g, op, bearer("good"), "")
		want(t, v, exchange.Allow, "")
		if g.Ready() == nil {
			t.Error("ready, with a server that answers with errors alone")
		}
	})
}

// Whoever makes tokens up does not keep those that are known from being asked about.
func TestIntrospectionKeepsRoomForTheKnown(t *testing.T) {
	s := newServer()
	asking(t, s, askConfig(func(c *config.Introspection) { c.Concurrent, c.MaxAge = 4, time.Minute }), func(t *testing.T, g *authn.Guard) {
		op := operation(petAPI(), "token")
		_, v := call(t, g, op, bearer("good"), "")
		want(t, v, exchange.Allow, "")
		time.Sleep(2 * time.Minute)
		s.change(func(s *server) { s.wait = 3 * time.Second })
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { call(t, g, op, bearer(fmt.Sprint("made-up", i)), "") })
		}
		synctest.Wait()
		begin := time.Now()
		_, v = call(t, g, op, bearer("good"), "")
		want(t, v, exchange.Allow, "")
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("a known token waited %s", took)
		}
		wg.Wait()
	})
}
