package failclosed

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
)

const (
	loginLines = `  login: {issuer: "{ISSUER}", client_id: front, client_secret: "${ISSUER_SECRET}", origin: "https://example.com", timeout: 500ms, session: {keys: ["${FAIL_SECRET}"]}}` + "\n"
	byLogin    = "    authn: {methods: [{session: {}}, {jwt: {issuer: \"https://issuer.test\", secret: \"${FAIL_SECRET}\", audience: [t]}}]}\n"
	exchanging = `, token: {exchange: {issuer: "{ISSUER}", client_id: front, client_secret: "${ISSUER_SECRET}", timeout: 500ms}, audience: [inner]}`
)

// visitor keeps the cookies of one browser between the calls of a row.
type visitor struct {
	s       *stand
	cookies map[string]string
}

func (v *visitor) request(method, at string) *http.Request {
	r := httptest.NewRequest(method, at, nil)
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func (v *visitor) get(at string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	v.s.serve(w, v.request(http.MethodGet, at))
	for _, c := range w.Result().Cookies() {
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	return w
}

// callback is where the issuer sends a browser back to that began to log in.
func (s *stand) callback() (*visitor, string) {
	v := &visitor{s, map[string]string{}}
	w := v.get("https://example.com/auth/login")
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther {
		s.t.Fatalf("the login began with %d: %s", w.Code, w.Body)
	}
	to := httptest.NewRecorder()
	s.issuer.ServeHTTP(to, httptest.NewRequest(http.MethodGet, u.String(), nil))
	return v, to.Header().Get("Location")
}

func (s *stand) loggedIn() *visitor {
	v, back := s.callback()
	if w := v.get(back); w.Code != http.StatusSeeOther {
		s.t.Fatalf("the login ended with %d: %s", w.Code, w.Body)
	}
	return v
}

func (s *stand) issuerDown() {
	s.issuer.Set(func(o *oauthtest.Server) {
		o.Fail = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				w.WriteHeader(http.StatusBadGateway)
			}
			return r.URL.Path == "/token"
		}
	})
}

func (s *stand) issuerRefuses() {
	s.issuer.Set(func(o *oauthtest.Server) {
		o.Fail = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return true
		}
	})
}

// expiring is a session whose access token has ended.
func expiring(s *stand, then func()) *http.Request {
	s.issuer.Set(func(o *oauthtest.Server) { o.TokenLife = time.Second })
	v := s.loggedIn()
	then()
	time.Sleep(1100 * time.Millisecond)
	return v.request(http.MethodGet, "https://example.com/things")
}

var logins = []*row{
	{what: "the issuer cannot be asked when someone logs in", setting: "login.issuer", api: strings.ReplaceAll(loginLines, "{ISSUER}", "http://127.0.0.1:1"), guards: byLogin, issuer: true,
		request: func(*stand) *http.Request {
			return httptest.NewRequest(http.MethodGet, "https://example.com/auth/login", nil)
		}, status: 503, code: "login.unavailable"},
	{what: "the issuer cannot be asked when someone comes back from it", setting: "login.issuer", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			v, back := s.callback()
			s.issuerDown()
			return v.request(http.MethodGet, back)
		}, status: 503, code: "login.unavailable"},
	{what: "a callback that no login of this browser waits for", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			_, back := s.callback()
			return httptest.NewRequest(http.MethodGet, back, nil)
		}, status: 400, code: "login.state"},
	{what: "the issuer cannot be asked when a session's access token has ended", setting: "login.issuer", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request { return expiring(s, s.issuerDown) }, status: 503, code: "authn.unavailable"},
	{what: "the issuer refuses to refresh a session", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request { return expiring(s, s.issuerRefuses) }, status: 401, code: "authn.expired"},
	{what: "a session's cookie that was not made here", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			v := s.loggedIn()
			for name, value := range v.cookies {
				v.cookies[name] = value[:len(value)/2] + "AAAA" + value[len(value)/2+4:]
			}
			return v.request(http.MethodGet, "https://example.com/things")
		}, status: 401, code: "authn.invalid"},
	{what: "a write with a session that another site may have caused", setting: "login.csrf", api: loginLines, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			return s.loggedIn().request(http.MethodPost, "https://example.com/things")
		}, status: 403, code: "authn.csrf"},
	{what: "the server that exchanges tokens cannot be asked", setting: "upstream.token.exchange", api: loginLines, up: exchanging, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			v := s.loggedIn()
			s.issuerDown()
			return v.request(http.MethodGet, "https://example.com/things")
		}, status: 503, code: "gateway.token_unavailable"},
	{what: "the server does not exchange this caller's token", setting: "upstream.token.exchange", api: loginLines, up: exchanging, guards: byLogin, issuer: true,
		request: func(s *stand) *http.Request {
			v := s.loggedIn()
			s.issuerRefuses()
			return v.request(http.MethodGet, "https://example.com/things")
		}, status: 403, code: "gateway.token_refused"},
}
