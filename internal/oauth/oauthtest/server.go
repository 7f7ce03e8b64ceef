package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// Server is a running provider.
type Server struct {
	Issuer string
	Client string
	Secret string

	mu sync.Mutex
	// What follows may be set under Set.

	User      string         // who logs in, without being asked
	Session   string         // sid
	Claims    map[string]any // further claims of ID tokens
	TokenLife time.Duration  // of access tokens; default 1 hour, 0 is not said when negative
	Rotate    bool           // refresh tokens are good once, and all end when one is used twice
	NoRefresh bool
	// IgnorePKCE has codes taken whoever began the login.
	IgnorePKCE bool
	PAR        bool
	Iss        bool // RFC 9207
	// Tamper changes what is signed: kind is "id_token", "logout_token", "access_token".
	Tamper func(kind string, claims, header map[string]any)
	// Answer changes the redirect back to the client.
	Answer func(q url.Values)
	// Fail answers a request in place of the server, when it returns true.
	Fail func(w http.ResponseWriter, r *http.Request) bool
	// Metadata changes the discovery document.
	Metadata func(doc map[string]any)
	Now      func() time.Time

	key     *ecdsa.PrivateKey
	codes   map[string]*grant
	refresh map[string]*grant
	ended   map[string]bool // families of refresh tokens
	pushed  map[string]url.Values
	access  map[string]string // access token → subject
	Counts  map[string]int    // requests by path, and by grant type
	Forms   []url.Values      // of the token endpoint
	Revoked []string
}

type grant struct {
	query   url.Values
	subject string
	session string
	family  string
	used    bool
}

// New starts a provider that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Client: "front", Secret: "the secret of the test's client: +%&", User: "alice", Session: "sid-1", TokenLife: time.Hour, Iss: true, Now: time.Now,
		key: key, codes: map[string]*grant{}, refresh: map[string]*grant{}, ended: map[string]bool{}, pushed: map[string]url.Values{},
		access: map[string]string{}, Counts: map[string]int{},
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.Issuer = srv.URL
	return s
}

// Set changes the provider while it runs.
func (s *Server) Set(f func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// Count is how often a path or grant type was asked for.
func (s *Server) Count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Counts[what]
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.Counts[r.URL.Path]++
	fail := s.Fail
	s.mu.Unlock()
	if fail != nil && fail(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		s.discovery(w)
	case "/jwks":
		s.keys(w)
	case "/authorize":
		s.authorize(w, r)
	case "/par":
		s.push(w, r)
	case "/token":
		s.token(w, r)
	case "/userinfo":
		s.userinfo(w, r)
	case "/revoke":
		if !s.authenticated(w, r) {
			return
		}
		s.Set(func(s *Server) { s.Revoked = append(s.Revoked, r.PostForm.Get("token")) })
	case "/logout":
		fmt.Fprint(w, "logged out at the issuer")
	default:
		http.NotFound(w, r)
	}
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) discovery(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := map[string]any{
		"issuer": s.Issuer, "authorization_endpoint": s.Issuer + "/authorize", "token_endpoint": s.Issuer + "/token", "jwks_uri": s.Issuer + "/jwks",
		"userinfo_endpoint": s.Issuer + "/userinfo", "revocation_endpoint": s.Issuer + "/revoke", "end_session_endpoint": s.Issuer + "/logout",
		"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": s.Iss,
	}
	if s.PAR {
		doc["pushed_authorization_request_endpoint"] = s.Issuer + "/par"
	}
	if s.Metadata != nil {
		s.Metadata(doc)
	}
	write(w, 200, doc)
}

func (s *Server) keys(w http.ResponseWriter) {
	k, err := jwk.Import(s.key.Public())
	if err != nil {
		panic(err)
	}
	_ = k.Set(jwk.KeyIDKey, "k1")
	write(w, 200, map[string]any{"keys": []any{k}})
}

// Sign makes a JWT of the provider's.
func (s *Server) Sign(kind string, claims map[string]any) string {
	s.mu.Lock()
	tamper := s.Tamper
	s.mu.Unlock()
	header := map[string]any{"kid": "k1"}
	switch kind {
	case "logout_token":
		header["typ"] = "logout+jwt"
	case "access_token":
		header["typ"] = "at+jwt"
	}
	claims = maps.Clone(claims)
	if tamper != nil {
		tamper(kind, claims, header)
	}
	for name, v := range claims {
		if v == nil {
			delete(claims, name)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	key := any(s.key)
	if header["alg"] == "none" {
		head, _ := json.Marshal(header)
		return base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	if header["forged"] == true {
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		delete(header, "forged")
	}
	head := jws.NewHeaders()
	for name, v := range header {
		if err := head.Set(name, v); err != nil {
			panic(err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), key, jws.WithProtectedHeaders(head)))
	if err != nil {
		panic(err)
	}
	return string(signed)
}

// LogoutToken makes a logout token (Back-Channel Logout section 2.4); claims of nil are left out.
func (s *Server) LogoutToken(claims map[string]any) string {
	all := map[string]any{
		"iss": s.Issuer, "aud": s.Client, "iat": s.Now().Unix(), "exp": s.Now().Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	maps.Copy(all, claims)
	return s.Sign("logout_token", all)
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	if uri := q.Get("request_uri"); uri != "" {
		pushed, ok := s.pushed[uri]
		delete(s.pushed, uri)
		if !ok || pushed.Get("client_id") != q.Get("client_id") {
			s.mu.Unlock()
			http.Error(w, "request_uri is not known", http.StatusBadRequest)
			return
		}
		q = pushed
	}
	g := &grant{query: q, subject: s.User, session: s.Session, family: rand.Text()}
	answer, iss := s.Answer, s.Iss
	code := rand.Text()
	s.codes[code] = g
	s.mu.Unlock()
	if q.Get("response_type") != "code" || q.Get("client_id") != s.Client || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		http.Error(w, "the request is not as it must be: "+q.Encode(), http.StatusBadRequest)
		return
	}
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if iss {
		back.Set("iss", s.Issuer)
	}
	if answer != nil {
		answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound) //nolint:gosec // a test's
}

func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	if !s.authenticated(w, r) {
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	form := maps.Clone(r.PostForm)
	if form.Get("client_id") != s.Client {
		write(w, 400, map[string]any{"error": "invalid_request"})
		return
	}
	s.Set(func(s *Server) { s.pushed[uri] = form })
	write(w, 201, map[string]any{"request_uri": uri, "expires_in": 60})
}

func (s *Server) authenticated(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		write(w, 400, map[string]any{"error": "invalid_request"})
		return false
	}
	id, secret, ok := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if !ok {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != s.Client || secret != s.Secret {
		write(w, 401, map[string]any{"error": "invalid_client", "error_description": "the secret " + secret + " is wrong"})
		return false
	}
	return true
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if !s.authenticated(w, r) {
		return
	}
	f := r.PostForm
	s.Set(func(s *Server) { s.Counts[f.Get("grant_type")]++; s.Forms = append(s.Forms, f) })
	var g *grant
	switch f.Get("grant_type") {
	case "authorization_code":
		s.mu.Lock()
		g = s.codes[f.Get("code")]
		delete(s.codes, f.Get("code"))
		ignore := s.IgnorePKCE
		s.mu.Unlock()
		sum := sha256.Sum256([]byte(f.Get("code_verifier")))
		if g == nil || g.query.Get("redirect_uri") != f.Get("redirect_uri") || !ignore && g.query.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			write(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
	case "refresh_token":
		if g = s.rotated(f.Get("refresh_token")); g == nil {
			write(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
	case "client_credentials":
		write(w, 200, s.accessOnly(s.Client, f))
		return
	case "urn:ietf:params:oauth:grant-type:token-exchange":
		s.mu.Lock()
		sub, ok := s.access[f.Get("subject_token")]
		s.mu.Unlock()
		if !ok {
			write(w, 400, map[string]any{"error": "invalid_request"})
			return
		}
		answer := s.accessOnly(sub, f)
		answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
		write(w, 200, answer)
		return
	default:
		write(w, 400, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	write(w, 200, s.tokens(g))
}

// rotated takes a refresh token. One that is used twice ends its family.
func (s *Server) rotated(token string) *grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.refresh[token]
	if g == nil || s.ended[g.family] {
		return nil
	}
	if s.Rotate {
		if g.used {
			s.ended[g.family] = true
			return nil
		}
		g.used = true
	}
	return g
}

// End has all refresh tokens of a user refused.
func (s *Server) End() {
	s.Set(func(s *Server) {
		for _, g := range s.refresh {
			s.ended[g.family] = true
		}
	})
}

// AccessToken makes an access token as another client's user would have it.
func (s *Server) AccessToken(subject string, claims map[string]any) string {
	all := map[string]any{"iss": s.Issuer, "sub": subject, "aud": "api", "iat": s.Now().Unix(), "exp": s.Now().Add(time.Hour).Unix(), "jti": rand.Text()}
	maps.Copy(all, claims)
	t := s.Sign("access_token", all)
	s.Set(func(s *Server) { s.access[t] = subject })
	return t
}

func (s *Server) life() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.TokenLife, 0), s.TokenLife >= 0
}

func (s *Server) accessOnly(subject string, f url.Values) map[string]any {
	aud := f.Get("audience")
	if aud == "" {
		aud = f.Get("resource")
	}
	life, said := s.life()
	out := map[string]any{"access_token": s.AccessToken(subject, map[string]any{"aud": aud, "scope": f.Get("scope")}), "token_type": "Bearer"}
	if said {
		out["expires_in"] = int(life.Seconds())
	}
	return out
}

func (s *Server) tokens(g *grant) map[string]any {
	now := s.Now()
	life, said := s.life()
	access := s.AccessToken(g.subject, map[string]any{"exp": now.Add(max(life, time.Minute)).Unix(), "scope": g.query.Get("scope"), "roles": []string{"customer"}})
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": s.Issuer, "sub": g.subject, "aud": s.Client, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": g.query.Get("nonce"), "sid": g.session,
		"auth_time": now.Unix(), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "name": "Alice Example", "roles": []string{"customer"},
	}
	s.mu.Lock()
	maps.Copy(claims, s.Claims)
	noRefresh := s.NoRefresh
	s.mu.Unlock()
	out := map[string]any{"access_token": access, "token_type": "Bearer", "id_token": s.Sign("id_token", claims), "scope": g.query.Get("scope")}
	if said {
		out["expires_in"] = int(life.Seconds())
	}
	if !noRefresh {
		refresh := rand.Text()
		next := *g
		next.used = false
		s.Set(func(s *Server) { s.refresh[refresh] = &next })
		out["refresh_token"] = refresh
	}
	return out
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	sub, ok := s.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	s.mu.Unlock()
	if !ok {
		write(w, 401, map[string]any{"error": "invalid_token"})
		return
	}
	write(w, 200, map[string]any{"sub": sub, "email": sub + "@example.com", "roles": []string{"admin"}})
}
