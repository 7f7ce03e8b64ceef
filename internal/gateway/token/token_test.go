package token_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway/token"
	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type stand struct {
	t     *testing.T
	op    *oauthtest.Server
	src   *token.Source
	ahead atomic.Int64
	log   bytes.Buffer
}

func (s *stand) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func newStand(t *testing.T, change func(c *config.UpstreamToken, client config.OAuthClient)) *stand {
	t.Helper()
	s := &stand{t: t, op: oauthtest.New(t)}
	s.op.Now = s.now
	client := config.OAuthClient{Issuer: s.op.Issuer, ClientID: s.op.Client, ClientSecret: config.NewSecret(s.op.Secret), Timeout: 500 * time.Millisecond}
	c := config.UpstreamToken{Header: "Authorization", Cache: 100, Margin: 30 * time.Second, Audience: []string{"inner"}, Scope: []string{"read", "write"}}
	change(&c, client)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	s.src, err = token.New(token.Options{Config: c, Client: &http.Client{Transport: transport}, Now: s.now, Log: slog.New(slog.NewTextHandler(&s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.src.Close)
	return s
}

func exchanges(c *config.UpstreamToken, client config.OAuthClient) {
	c.Exchange = &config.TokenExchange{
		OAuthClient: client, SubjectTokenType: "urn:ietf:params:oauth:token-type:access_token", RequestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
	}
}

func own(c *config.UpstreamToken, client config.OAuthClient) { c.Client = &client }

func (s *stand) caller(subject string) *exchange.Exchange {
	x := &exchange.Exchange{Identity: exchange.Identity{Subject: subject, Method: "jwt", Verified: true, Issuer: s.op.Issuer}}
	x.Token = s.op.AccessToken(subject, nil)
	return x
}

func (s *stand) obtain(x *exchange.Exchange) (string, exchange.Verdict) {
	return s.src.Obtain(s.t.Context(), x)
}

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

func TestExchange(t *testing.T) {
	s := newStand(t, exchanges)
	alice := s.caller("alice")
	got, v := s.obtain(alice)
	if v.Action != exchange.Allow || got == "" || got == alice.Token {
		t.Fatalf("%q, %+v", got, v)
	}
	form := s.op.Forms[len(s.op.Forms)-1]
	for name, want := range map[string]string{
		"grant_type": grantExchange, "subject_token": alice.Token, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"audience": "inner", "scope": "read write", "actor_token": "",
	} {
		if form.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, form.Get(name), want)
		}
	}
	again, _ := s.obtain(alice)
	bob, _ := s.obtain(s.caller("bob"))
	if again != got || bob == got || s.op.Count(grantExchange) != 2 {
		t.Errorf("kept: %v; another's: %v; %d exchanges", again == got, bob == got, s.op.Count(grantExchange))
	}
	h := http.Header{"Authorization": {"DPoP " + alice.Token}, "Dpop": {"proof"}}
	s.src.Put(h, got)
	if h.Get("Authorization") != "Bearer "+got || h.Get("DPoP") != "" || len(h["Authorization"]) != 1 {
		t.Errorf("the upstream gets %v", h)
	}
	if strings.Contains(s.log.String(), "eyJ") {
		t.Error("the log holds a token")
	}
}

// Kept until the margin before its end, and renewed beside a call.
func TestLife(t *testing.T) {
	for name, set := range map[string]func(*config.UpstreamToken, config.OAuthClient){grantExchange: exchanges, "client_credentials": own} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, set)
			s.op.TokenLife = 10 * time.Minute
			alice := s.caller("alice")
			first, _ := s.obtain(alice)
			s.ahead.Add(int64(8 * time.Minute))
			if again, _ := s.obtain(alice); again != first || s.op.Count(name) != 1 {
				t.Fatal("not kept")
			}
			s.ahead.Add(int64(50 * time.Second)) // the last minute before the margin
			if again, _ := s.obtain(alice); again != first {
				t.Error("a call waited for the renewal")
			}
			for range 200 {
				if s.op.Count(name) == 2 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
			if next, _ := s.obtain(alice); next == first || s.op.Count(name) != 2 {
				t.Errorf("not renewed ahead: %d grants", s.op.Count(name))
			}
			s.ahead.Add(int64(time.Hour))
			if _, v := s.obtain(alice); v.Action != exchange.Allow || s.op.Count(name) != 3 {
				t.Errorf("after its end: %+v, %d grants", v, s.op.Count(name))
			}
			s.op.Set(func(o *oauthtest.Server) { o.TokenLife = -1 }) // not said
			s.ahead.Add(int64(time.Hour))
			s.obtain(alice)
			s.obtain(alice)
			s.ahead.Add(int64(2 * time.Minute))
			s.obtain(alice)
			if n := s.op.Count(name); n != 5 {
				t.Errorf("a life that is not said: %d grants", n)
			}
			s.op.Set(func(o *oauthtest.Server) { o.TokenLife = 10 * time.Second }) // shorter than the margin
			s.ahead.Add(int64(time.Hour))
			for range 2 {
				if got, v := s.obtain(alice); got == "" || v.Action != exchange.Allow {
					t.Errorf("a short life: %+v", v)
				}
			}
			if n := s.op.Count(name); n != 7 {
				t.Errorf("a short life: %d grants", n)
			}
		})
	}
}

// The exchanged token is not used when the caller's own has ended.
func TestNotLongerThanTheCaller(t *testing.T) {
	s := newStand(t, exchanges)
	alice := s.caller("alice")
	alice.Identity.Expires = s.now().Add(time.Minute)
	s.obtain(alice)
	s.ahead.Add(int64(2 * time.Minute))
	s.obtain(alice)
	if n := s.op.Count(grantExchange); n != 2 {
		t.Errorf("%d exchanges", n)
	}
}

func TestOneGrantForAll(t *testing.T) {
	s := newStand(t, exchanges)
	alice := s.caller("alice")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, v := s.obtain(alice); got == "" {
				t.Errorf("%+v", v)
			}
		})
	}
	wg.Wait()
	if n := s.op.Count(grantExchange); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestBounded(t *testing.T) {
	s := newStand(t, func(c *config.UpstreamToken, client config.OAuthClient) { exchanges(c, client); c.Cache = 3 })
	first := s.caller("u0")
	s.obtain(first)
	for i := range 3 {
		s.obtain(s.caller(fmt.Sprint("u", i+1)))
	}
	if s.obtain(first); s.op.Count(grantExchange) != 5 {
		t.Errorf("%d exchanges: the oldest should have left", s.op.Count(grantExchange))
	}
}

func TestActor(t *testing.T) {
	s := newStand(t, func(c *config.UpstreamToken, client config.OAuthClient) {
		exchanges(c, client)
		c.Exchange.Actor = true
	})
	if _, v := s.obtain(s.caller("alice")); v.Action != exchange.Allow {
		t.Fatalf("%+v", v)
	}
	s.obtain(s.caller("bob"))
	form := s.op.Forms[len(s.op.Forms)-1]
	if form.Get("actor_token") == "" || form.Get("actor_token_type") != "urn:ietf:params:oauth:token-type:access_token" || s.op.Count("client_credentials") != 1 {
		t.Errorf("%v; %d tokens of our own", form, s.op.Count("client_credentials"))
	}
}

// Nobody gets through without the token, and no secret into what is told.
func TestFailures(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	const secret = "SECRET-IN-THE-ANSWER"
	for name, c := range map[string]struct {
		fail func(http.ResponseWriter, *http.Request) bool
		code string
	}{
		"the caller's token is not taken": {answer(400, `{"error":"invalid_grant","error_description":"`+secret+`"}`), "gateway.token_refused"},
		"not this caller":                 {answer(403, `{"error":"access_denied"}`), "gateway.token_refused"},
		"RFC 8693's own error":            {answer(400, `{"error":"invalid_request"}`), "gateway.token_refused"},
		"our client is not known":         {answer(401, `{"error":"invalid_client","error_description":"`+secret+`"}`), "gateway.token_unavailable"},
		"not this audience":               {answer(400, `{"error":"invalid_target"}`), "gateway.token_unavailable"},
		"too many":                        {answer(429, `{"error":"invalid_grant"}`), "gateway.token_unavailable"},
		"broken":                          {answer(500, `{"error":"invalid_grant"}`), "gateway.token_unavailable"},
		"an error that is markup":         {answer(400, `{"error":"<b>`+secret+`"}`), "gateway.token_unavailable"},
		"rubbish":                         {answer(200, secret), "gateway.token_unavailable"},
		"no token":                        {answer(200, `{"token_type":"Bearer"}`), "gateway.token_unavailable"},
		"another type":                    {answer(200, `{"access_token":"`+secret+`","token_type":"DPoP"}`), "gateway.token_unavailable"},
		"a line break in it":              {answer(200, `{"access_token":"a\r\nX-Admin: 1","token_type":"Bearer"}`), "gateway.token_unavailable"},
		"too large":                       {answer(200, `{"access_token":"`+strings.Repeat("a", 20<<10)+`","token_type":"Bearer"}`), "gateway.token_unavailable"},
		"a name twice":                    {answer(200, `{"access_token":"a","access_token":"b","token_type":"Bearer"}`), "gateway.token_unavailable"},
		"a negative life":                 {answer(200, `{"access_token":"a","token_type":"Bearer","expires_in":-1}`), "gateway.token_unavailable"},
		"another kind of token":           {answer(200, `{"access_token":"a","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:saml2"}`), "gateway.token_unavailable"},
		"slow":                            {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, "gateway.token_unavailable"},
		"no discovery":                    {func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }, "gateway.token_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, exchanges)
			s.op.Set(func(o *oauthtest.Server) { o.Fail = c.fail })
			alice := s.caller("alice")
			got, v := s.obtain(alice)
			if got != "" || v.Code != c.code || v.Action == exchange.Allow {
				t.Errorf("%q, %+v", got, v)
			}
			if code, known := exchange.LookupCode(v.Code); !known || code.Status < 400 {
				t.Errorf("the code %s denies nothing", v.Code)
			}
			for _, text := range []string{v.Reason, s.log.String()} {
				if strings.Contains(text, secret) || strings.Contains(text, alice.Token) || strings.Contains(text, s.op.Secret) {
					t.Errorf("%q tells a secret", text)
				}
			}
			asked := s.op.Count("/token")
			if s.obtain(alice); s.op.Count("/token") != asked {
				t.Error("a failure is not remembered")
			}
			s.op.Set(func(o *oauthtest.Server) { o.Fail = nil })
			s.ahead.Add(int64(2 * time.Second))
			if _, v := s.obtain(alice); v.Action != exchange.Allow {
				t.Errorf("when it is well again: %+v", v)
			}
		})
	}
}

// While renewing ahead fails, the token that still holds is used.
func TestRenewalFails(t *testing.T) {
	s := newStand(t, own)
	s.op.TokenLife = 10 * time.Minute
	x := &exchange.Exchange{}
	first, _ := s.obtain(x)
	s.op.Set(func(o *oauthtest.Server) {
		o.Fail = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	s.ahead.Add(int64(8*time.Minute + 45*time.Second))
	for range 3 {
		if got, v := s.obtain(x); got != first {
			t.Errorf("%+v", v)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.ahead.Add(int64(time.Minute))
	if got, v := s.obtain(x); got != "" || v.Code != "gateway.token_unavailable" {
		t.Errorf("after its end: %q %+v", got, v)
	}
}

func TestWhoHasNoToken(t *testing.T) {
	s := newStand(t, exchanges)
	if got, v := s.obtain(&exchange.Exchange{}); got != "" || v.Action != exchange.Allow {
		t.Errorf("nobody, on a public operation: %q %+v", got, v)
	}
	for _, id := range []exchange.Identity{{Subject: "k", Method: "api_key", Verified: true}, {Method: "own"}} {
		if got, v := s.obtain(&exchange.Exchange{Identity: id}); got != "" || v.Code != "gateway.token_refused" {
			t.Errorf("%s: %q %+v", id.Method, got, v)
		}
	}
	h := http.Header{"Authorization": {"Bearer theirs"}}
	s.src.Put(h, "")
	if len(h) != 0 {
		t.Errorf("the upstream gets %v", h)
	}
}
