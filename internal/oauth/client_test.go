package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/oauth/oauthtest"
)

// client makes a client of the provider's.
func client(t testing.TB, s *oauthtest.Server, change func(*config.OAuthClient)) *oauth.Client {
	t.Helper()
	c := config.OAuthClient{Issuer: s.Issuer, ClientID: s.Client, ClientSecret: config.NewSecret(s.Secret)}
	if change != nil {
		change(&c)
	}
	o, err := oauth.New(oauth.Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

var credentials = url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}

func TestClientAuthentication(t *testing.T) {
	for name, c := range map[string]struct {
		method   string
		metadata []string // token_endpoint_auth_methods_supported
		basic    bool
	}{
		"as config says nothing":        {"", nil, true},
		"basic":                         {"basic", nil, true},
		"post":                          {"post", nil, false},
		"basic, where there is none":    {"basic", []string{"client_secret_post"}, false},
		"basic, where there are others": {"basic", []string{"client_secret_basic", "client_secret_post"}, true},
		"post, whatever the server has": {"post", []string{"client_secret_basic"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(t) // whose secret has what form-encoding changes
			var basic atomic.Bool
			s.Set(func(s *oauthtest.Server) {
				s.Metadata = func(doc map[string]any) {
					if c.metadata != nil {
						doc["token_endpoint_auth_methods_supported"] = c.metadata
					}
				}
				s.Fail = func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/token" {
						_, _, ok := r.BasicAuth()
						basic.Store(ok)
					}
					return false
				}
			})
			token, err := client(t, s, func(o *config.OAuthClient) { o.ClientAuth = c.method }).Grant(t.Context(), credentials)
			if err != nil || token.Access == "" || token.Life != time.Hour || !token.Bearer() {
				t.Fatalf("%+v %v", token, err)
			}
			if basic.Load() != c.basic {
				t.Errorf("by HTTP Basic: %v", basic.Load())
			}
		})
	}
}

// Client assertions are signed as RFC 7523 says, with an algorithm that the key and the server have.
func TestClientAssertion(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key      crypto.Signer
		takes    []string
		alg      jwa.SignatureAlgorithm
		audience string
		fails    bool
	}{
		"RSA":                       {key: rsaKey, alg: jwa.RS256()},
		"RSA, PS256 taken":          {key: rsaKey, takes: []string{"ES256", "PS256"}, alg: jwa.PS256()},
		"RSA, only EC taken":        {key: rsaKey, takes: []string{"ES256"}, fails: true},
		"P-256":                     {key: p256, alg: jwa.ES256()},
		"P-521":                     {key: p521, alg: jwa.ES512()},
		"P-256, only RSA taken":     {key: p256, takes: []string{"RS256"}, fails: true},
		"Ed25519":                   {key: ed, alg: jwa.EdDSA()},
		"for the token endpoint":    {key: p256, alg: jwa.ES256(), audience: "token_endpoint"},
		"an algorithm of no key's":  {key: p256, takes: []string{"none"}, fails: true},
		"Ed25519, others taken too": {key: ed, takes: []string{"RS256", "EdDSA"}, alg: jwa.EdDSA()},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.MarshalPKCS8PrivateKey(c.key)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			s := oauthtest.New(t)
			forms := make(chan url.Values, 2)
			s.Set(func(s *oauthtest.Server) {
				s.Metadata = func(doc map[string]any) {
					if c.takes != nil {
						doc["token_endpoint_auth_signing_alg_values_supported"] = c.takes
					}
				}
				s.Fail = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/token" {
						return false
					}
					_ = r.ParseForm()
					forms <- r.PostForm
					_, _ = io.WriteString(w, `{"access_token":"x","token_type":"Bearer"}`)
					return true
				}
			})
			o := client(t, s, func(o *config.OAuthClient) {
				o.ClientSecret, o.ClientKey, o.AssertionAudience = config.Secret{}, file, c.audience
			})
			_, err = o.Grant(t.Context(), url.Values{"grant_type": {"client_credentials"}})
			if c.fails {
				if err == nil {
					t.Fatal("an assertion was sent that the server does not take")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			form := <-forms
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != s.Client || form.Get("client_secret") != "" {
				t.Errorf("form %v", form)
			}
			audience := s.Issuer
			if c.audience != "" {
				audience += "/token"
			}
			token, err := jwt.Parse([]byte(form.Get("client_assertion")), jwt.WithKey(c.alg, c.key.Public()), jwt.WithIssuer(s.Client), jwt.WithSubject(s.Client), jwt.WithAudience(audience))
			if err != nil {
				t.Fatal(err)
			}
			exp, _ := token.Expiration()
			if id, ok := token.JwtID(); !ok || id == "" || time.Until(exp) > time.Minute {
				t.Errorf("jti %q, expires in %s", id, time.Until(exp))
			}
			// Each is used once: the next one has another id.
			if _, err := o.Grant(t.Context(), url.Values{"grant_type": {"client_credentials"}}); err != nil {
				t.Fatal(err)
			}
			if again := <-forms; again.Get("client_assertion") == form.Get("client_assertion") {
				t.Error("an assertion is used twice")
			}
		})
	}
}

func TestWrongClients(t *testing.T) {
	dir := t.TempDir()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no weak keys:", err)
	}
	files := map[string][]byte{
		"weak.pem":   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)}),
		"rubbish":    []byte("rubbish"),
		"public.jwk": []byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`),
		"secret.jwk": []byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`),
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := config.OAuthClient{Issuer: "https://id.test", ClientID: "c", ClientSecret: config.NewSecret("s")}
	for name, change := range map[string]func(*config.OAuthClient){
		"no https":              func(c *config.OAuthClient) { c.Issuer = "http://id.test" },
		"no URL":                func(c *config.OAuthClient) { c.Issuer = "%" },
		"credentials":           func(c *config.OAuthClient) { c.Issuer = "https://u:p@id.test" },
		"no id":                 func(c *config.OAuthClient) { c.ClientID = "" },
		"no secret for basic":   func(c *config.OAuthClient) { c.ClientAuth, c.ClientSecret = "basic", config.Secret{} },
		"no secret for post":    func(c *config.OAuthClient) { c.ClientAuth, c.ClientSecret = "post", config.Secret{} },
		"no certificate":        func(c *config.OAuthClient) { c.ClientAuth = "tls" },
		"no key":                func(c *config.OAuthClient) { c.ClientAuth = "private_key_jwt" },
		"a key that is missing": func(c *config.OAuthClient) { c.ClientKey = filepath.Join(dir, "none") },
		"a weak key":            func(c *config.OAuthClient) { c.ClientKey = filepath.Join(dir, "weak.pem") },
		"no key at all":         func(c *config.OAuthClient) { c.ClientKey = filepath.Join(dir, "rubbish") },
		"a public key":          func(c *config.OAuthClient) { c.ClientKey = filepath.Join(dir, "public.jwk") },
		"a symmetric key":       func(c *config.OAuthClient) { c.ClientKey = filepath.Join(dir, "secret.jwk") },
		"a CA that is missing":  func(c *config.OAuthClient) { c.CA = filepath.Join(dir, "none") },
		"a CA that is none":     func(c *config.OAuthClient) { c.CA = filepath.Join(dir, "rubbish") },
		"half a certificate": func(c *config.OAuthClient) {
			c.ClientCert, c.ClientKey = filepath.Join(dir, "rubbish"), filepath.Join(dir, "weak.pem")
		},
	} {
		c := good
		change(&c)
		if o, err := oauth.New(oauth.Options{Config: c}); err == nil {
			o.Close()
			t.Errorf("%s: it was taken", name)
		}
	}
	o, err := oauth.New(oauth.Options{Config: good})
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
}

// Whatever a server answers: a token that can be used, or an error that holds
// nothing of what it wrote but its code.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		life   time.Duration
		code   string // of the error
		refuse bool   // Refused
		fails  bool
	}{
		"a token":                   {200, `{"access_token":"x","token_type":"bearer","expires_in":60}`, time.Minute, "", false, false},
		"seconds as text":           {200, `{"access_token":"x","expires_in":"90"}`, 90 * time.Second, "", false, false},
		"no life":                   {200, `{"access_token":"x"}`, 0, "", false, false},
		"half a second":             {200, `{"access_token":"x","expires_in":0.5}`, 500 * time.Millisecond, "", false, false},
		"negative":                  {200, `{"access_token":"x","expires_in":-1}`, 0, "", false, true},
		"not a number":              {200, `{"access_token":"x","expires_in":"NaN"}`, 0, "", false, true},
		"infinite":                  {200, `{"access_token":"x","expires_in":"Inf"}`, 0, "", false, true},
		"a century":                 {200, `{"access_token":"x","expires_in":3153600000}`, 0, "", false, true},
		"a life that is no number":  {200, `{"access_token":"x","expires_in":true}`, 0, "", false, true},
		"no token":                  {200, `{"token_type":"bearer"}`, 0, "", false, true},
		"a token with a line break": {200, `{"access_token":"x\r\ny"}`, 0, "", false, true},
		"a token with a space":      {200, `{"access_token":"x y"}`, 0, "", false, true},
		"a token that is too long":  {200, `{"access_token":"` + strings.Repeat("x", 17<<10) + `"}`, 0, "", false, true},
		"a refresh token with NUL":  {200, `{"access_token":"x","refresh_token":"a\u0000"}`, 0, "", false, true},
		"a name twice":              {200, `{"access_token":"x","access_token":"y"}`, 0, "", false, true},
		"a list":                    {200, `[]`, 0, "", false, true},
		"no JSON":                   {200, `access_token=x`, 0, "", false, true},
		"nothing":                   {200, ``, 0, "", false, true},
		"endless":                   {200, `{"access_token":"` + strings.Repeat("x", 300<<10), 0, "", false, true},
		"a redirect":                {302, ``, 0, "", false, true},
		"an invalid grant":          {400, `{"error":"invalid_grant","error_description":"hunter2"}`, 0, "invalid_grant", true, true},
		"denied":                    {403, `{"error":"access_denied"}`, 0, "access_denied", true, true},
		"an unknown client":         {401, `{"error":"invalid_client","error_description":"hunter2"}`, 0, "invalid_client", false, true},
		"too many":                  {429, `{"error":"invalid_grant"}`, 0, "", false, true},
		"down":                      {503, `{"error":"invalid_grant"}`, 0, "", false, true},
		"a code that is a text":     {400, `{"error":"hunter2 is your password"}`, 0, "", false, true},
		"a code that is long":       {400, `{"error":"` + strings.Repeat("hunter2", 20) + `"}`, 0, "", false, true},
		"a page":                    {400, `<html>hunter2</html>`, 0, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(t)
			s.Set(func(s *oauthtest.Server) {
				s.Fail = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/token" {
						return false
					}
					w.Header().Set("Location", s.Issuer+"/elsewhere")
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
					return true
				}
			})
			token, err := client(t, s, nil).Grant(t.Context(), credentials)
			if !c.fails {
				if err != nil || token.Life != c.life {
					t.Fatalf("%+v %v", token, err)
				}
				return
			}
			var e *oauth.Error
			if !errors.As(err, &e) || e.Op != "token" || e.Code != c.code {
				t.Fatalf("%+v %v", token, err)
			}
			if oauth.Refused(err) != c.refuse {
				t.Errorf("Refused says %v of %v", !c.refuse, err)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), s.Secret) {
				t.Errorf("the error holds what the server wrote, or the secret: %v", err)
			}
			if s.Count("/elsewhere") > 0 {
				t.Error("a redirect of the token endpoint was followed")
			}
		})
	}
}

// The metadata is whose it says, and sends nobody elsewhere than to https or this machine.
func TestMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		change func(doc map[string]any)
		says   string
	}{
		"as it is":                {func(map[string]any) {}, ""},
		"another issuer":          {func(doc map[string]any) { doc["issuer"] = "https://evil.test" }, "another issuer"},
		"with a slash":            {func(doc map[string]any) { doc["issuer"] = doc["issuer"].(string) + "/" }, "another issuer"},
		"no issuer":               {func(doc map[string]any) { delete(doc, "issuer") }, "another issuer"},
		"no token endpoint":       {func(doc map[string]any) { delete(doc, "token_endpoint") }, "no token endpoint"},
		"tokens in the clear":     {func(doc map[string]any) { doc["token_endpoint"] = "http://id.test/token" }, "token_endpoint is neither https"},
		"a login in the clear":    {func(doc map[string]any) { doc["authorization_endpoint"] = "http://id.test/a" }, "authorization_endpoint is neither https"},
		"a script":                {func(doc map[string]any) { doc["end_session_endpoint"] = "javascript:alert(1)" }, "end_session_endpoint is neither https"},
		"a fragment":              {func(doc map[string]any) { doc["userinfo_endpoint"] = "https://id.test/#x" }, "userinfo_endpoint is neither https"},
		"credentials":             {func(doc map[string]any) { doc["revocation_endpoint"] = "https://u:p@id.test/" }, "revocation_endpoint is neither https"},
		"endpoint of a file":      {func(doc map[string]any) { doc["pushed_authorization_request_endpoint"] = "file:///x" }, "pushed_authorization_request_endpoint is neither https"},
		"a number for an address": {func(doc map[string]any) { doc["token_endpoint"] = 7 }, "no token endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(t)
			s.Set(func(s *oauthtest.Server) { s.Metadata = c.change })
			o := client(t, s, nil)
			m, err := o.Metadata(t.Context())
			if c.says == "" {
				if err != nil || m.Token != s.Issuer+"/token" || o.Ready() != nil {
					t.Fatalf("%+v %v", m, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%+v %v", m, err)
			}
			if o.Ready() == nil {
				t.Error("ready")
			}
			if _, err := o.Grant(t.Context(), credentials); err == nil || s.Count("/token") > 0 {
				t.Errorf("the token endpoint was asked: %v", err)
			}
		})
	}
}

// provider answers in memory, so that time can be the test's own.
type provider struct {
	mu      sync.Mutex
	down    bool
	broken  string
	delay   time.Duration
	asked   int
	missing bool // there is no OpenID document
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	delay := p.delay
	if delay > 0 {
		p.mu.Unlock()
		time.Sleep(delay)
		p.mu.Lock()
	}
	w := httptest.NewRecorder()
	switch {
	case p.down:
		return nil, errors.New("connection refused")
	case p.broken != "":
		_, _ = io.WriteString(w, p.broken)
	case p.missing && !strings.HasPrefix(r.URL.Path, "/.well-known/oauth-authorization-server"):
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": "https://id.test/tenant", "token_endpoint": "https://id.test/token/" + r.URL.Path})
	}
	return w.Result(), nil
}

func (p *provider) set(f func(p *provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func inMemory(t *testing.T, p *provider) *oauth.Client {
	t.Helper()
	o, err := oauth.New(oauth.Options{Config: config.OAuthClient{Issuer: "https://id.test/tenant", ClientID: "c"}, Client: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// The last good metadata is believed for a day; what is older than ten minutes is
// asked for beside the call that finds it old, and one fetch serves all who wait.
func TestMetadataIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{delay: time.Second}
		o := inMemory(t, p)
		defer o.Close()
		var herd sync.WaitGroup
		for range 100 {
			herd.Go(func() {
				if _, err := o.Metadata(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		herd.Wait()
		if n := p.count(); n != 1 {
			t.Errorf("%d fetches for a herd", n)
		}
		time.Sleep(9 * time.Minute)
		if _, err := o.Metadata(context.Background()); err != nil || p.count() != 1 {
			t.Errorf("%v, %d fetches while it is fresh", err, p.count())
		}
		p.set(func(p *provider) { p.down, p.delay = true, 0 })
		time.Sleep(2 * time.Hour)
		began := time.Now()
		if _, err := o.Metadata(context.Background()); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.Sleep(2 * time.Second)
		if o.Ready() != nil {
			t.Errorf("not ready while the last metadata is believed: %v", o.Ready())
		}
		time.Sleep(23 * time.Hour)
		if _, err := o.Metadata(context.Background()); err == nil {
			t.Error("metadata of yesterday is believed")
		}
		if o.Ready() == nil {
			t.Error("ready")
		}
		before := p.count()
		for range 50 { // a failed one is not repeated at once
			_, _ = o.Metadata(context.Background())
		}
		if n := p.count() - before; n > 1 {
			t.Errorf("%d fetches at once while the issuer is down", n)
		}
		p.set(func(p *provider) { p.down = false })
		time.Sleep(2 * time.Second)
		if _, err := o.Metadata(context.Background()); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// A caller that gives up does not end the fetch for the others.
func TestMetadataWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(t, &provider{delay: 2 * time.Second})
		defer o.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if _, err := o.Metadata(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := o.Metadata(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Servers that have only RFC 8414's document are found by it, at its place between host and path.
func TestMetadataOfRFC8414(t *testing.T) {
	p := &provider{missing: true}
	o := inMemory(t, p)
	defer o.Close()
	m, err := o.Metadata(t.Context())
	if err != nil || m.Token != "https://id.test/token//.well-known/oauth-authorization-server/tenant" {
		t.Errorf("%+v %v", m, err)
	}
	for name, broken := range map[string]string{"rubbish": "<html>", "a name twice": `{"issuer":"https://id.test/tenant","issuer":"x"}`, "a list": "[]", "large": `{"x":"` + strings.Repeat("x", 2<<20) + `"}`} {
		o := inMemory(t, &provider{broken: broken})
		if m, err := o.Metadata(t.Context()); err == nil {
			t.Errorf("%s was taken: %+v", name, m)
		}
		o.Close()
	}
}

func TestFurtherEndpoints(t *testing.T) {
	s := oauthtest.New(t)
	o := client(t, s, nil)
	if _, err := o.Push(t.Context(), url.Values{}); err == nil || !strings.Contains(err.Error(), "no pushed authorization request endpoint") {
		t.Errorf("a request is pushed to nowhere: %v", err)
	}
	if err := o.Revoke(t.Context(), "the-token", "refresh_token"); err != nil {
		t.Error(err)
	}
	s.Set(func(s *oauthtest.Server) {
		if fmt.Sprint(s.Revoked) != "[the-token]" {
			t.Errorf("revoked %q", s.Revoked)
		}
	})
	claims, err := o.Userinfo(t.Context(), s.AccessToken("alice", nil))
	if err != nil || !strings.Contains(string(claims), `"alice@example.com"`) {
		t.Errorf("%s %v", claims, err)
	}
	var e *oauth.Error
	if _, err := o.Userinfo(t.Context(), "hunter2"); !errors.As(err, &e) || e.Status != http.StatusUnauthorized || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}

	par := oauthtest.New(t)
	par.Set(func(s *oauthtest.Server) { s.PAR = true })
	uri, err := client(t, par, nil).Push(t.Context(), url.Values{"scope": {"openid"}})
	if err != nil || !strings.HasPrefix(uri, "urn:") {
		t.Errorf("%q %v", uri, err)
	}

	bare := oauthtest.New(t)
	bare.Set(func(s *oauthtest.Server) {
		s.Metadata = func(doc map[string]any) { delete(doc, "revocation_endpoint"); delete(doc, "userinfo_endpoint") }
	})
	o = client(t, bare, nil)
	if err := o.Revoke(t.Context(), "t", "access_token"); err != nil {
		t.Errorf("a server without revocation: %v", err)
	}
	if _, err := o.Userinfo(t.Context(), "t"); err == nil {
		t.Error("claims from nowhere")
	}
}

// A server that hangs costs no more than the time-out.
func TestSlowServer(t *testing.T) {
	s := oauthtest.New(t)
	over := make(chan struct{})
	defer close(over)
	s.Set(func(s *oauthtest.Server) {
		s.Fail = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				<-over
			}
			return false
		}
	})
	o := client(t, s, func(c *config.OAuthClient) { c.Timeout = 200 * time.Millisecond })
	if _, err := o.Metadata(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := o.Grant(t.Context(), credentials)
	if err == nil || oauth.Refused(err) || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// A client that is closed begins nothing: neither a fetch that Close would not
// wait for, nor an endless wait.
func TestClosedClient(t *testing.T) {
	s := oauthtest.New(t)
	o := client(t, s, nil)
	o.Close()
	if _, err := o.Metadata(t.Context()); err == nil || oauth.Refused(err) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("metadata of a closed client: %v", err)
	}
}
