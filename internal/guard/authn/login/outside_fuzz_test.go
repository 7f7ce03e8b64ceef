package login

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

// nearIssuer is an issuer in this process, which takes one code.
type nearIssuer struct {
	key *ecdsa.PrivateKey
	now func() time.Time
}

const (
	nearURL   = "https://id.test"
	goodCode  = "the-code"
	goodState = "the-state-of-the-one-login"
	goodNonce = "the-nonce"
)

func (i *nearIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": nearURL, "authorization_endpoint": nearURL + "/authorize", "token_endpoint": nearURL + "/token", "jwks_uri": nearURL + "/jwks",
			"authorization_response_iss_parameter_supported": true,
		})
	case "/jwks":
		k, err := jwk.Import(i.key.Public())
		if err != nil {
			return nil, err
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{k}})
	case "/token":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("code") != goodCode {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			break
		}
		now := i.now().Unix()
		id := i.sign("JWT", []byte(`{"iss":"`+nearURL+`","aud":"front","sub":"alice","nonce":"`+goodNonce+`","exp":`+itoa(now+600)+`,"iat":`+itoa(now)+`}`))
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": id})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

func itoa(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func (i *nearIssuer) sign(typ string, payload []byte) string {
	h := jws.NewHeaders()
	if err := h.Set("typ", typ); err != nil {
		panic(err) // no word of type "string"
	}
	out, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), i.key, jws.WithProtectedHeaders(h)))
	if err != nil {
		panic(err)
	}
	return string(out)
}

// afresh is a state in which nothing was used yet, whatever was before.
type afresh struct{ state.Store }

func (afresh) First(context.Context, string, time.Duration) (bool, error) { return true, nil }

func nearLogin(t testing.TB) (*Login, *nearIssuer, state.Store) {
	t.Helper()
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &nearIssuer{key: key, now: now}
	client, quiet := &http.Client{Transport: i}, slog.New(slog.DiscardHandler)
	store := state.NewMemory(now)
	t.Cleanup(func() { _ = store.Close() })
	l, err := New(Options{
		API: "shop", State: afresh{store}, Now: now, Log: quiet, Client: client, Keys: authn.NewKeyStore(client, quiet, now),
		Config: config.Login{
			OAuthClient: config.OAuthClient{Issuer: nearURL, ClientID: "front"}, Origin: "https://app.example.com", Path: "/auth", Identity: "id_token",
			Session: config.LoginSession{Keys: []config.Secret{config.NewSecret("a key that is long enough for a test")}, Idle: time.Hour, Absolute: 12 * time.Hour}, AfterLogin: "/",
		},
		Problem: func(w http.ResponseWriter, _ *http.Request, v exchange.Verdict) {
			c, _ := exchange.LookupCode(v.Code)
			w.WriteHeader(c.Status)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, i, store
}

// flowCookies are what the browser holds while the one login is under way.
func flowCookies(t testing.TB, l *Login) string {
	t.Helper()
	b, err := json.Marshal(&flow{State: goodState, Nonce: goodNonce, Verifier: "v", Return: "/cart", At: l.now().Unix(), MaxAge: -1})
	if err != nil {
		t.Fatal(err)
	}
	return l.flowCookie(goodState) + "=" + l.ring.sealText(kindFlow, b)
}

// Whatever an issuer's redirect, or somebody who forges one, puts into the callback: a
// session begins by the state, the code and the issuer of the login that is under
// way in this browser alone; else none does, and nothing of the query is in the page.
func FuzzCallback(f *testing.F) {
	l, _, _ := nearLogin(f)
	cookies := flowCookies(f, l)
	right := url.Values{"state": {goodState}, "code": {goodCode}, "iss": {nearURL}}.Encode()
	for _, query := range []string{
		right, right + "&x=y", right + "&code=" + goodCode, right + "&state=other", "state=" + goodState + "&code=" + goodCode,
		"state=" + goodState + "&code=" + goodCode + "&iss=https%3A%2F%2Fevil.test", "error=access_denied&state=" + goodState + "&iss=" + url.QueryEscape(nearURL),
		"error=<script>alert(1)</script>&state=" + goodState + "&iss=" + url.QueryEscape(nearURL), right + "&error=", "code=%zz", "", "state=&code=&iss=", right + ";a=b",
		"state=" + goodState + "%00&code=" + goodCode + "&iss=" + url.QueryEscape(nearURL), strings.ToUpper(right), right + "#fragment", "?" + right, right + "&=", "%73tate=" + goodState + "&c%6fde=" + goodCode + "&is%73=" + url.QueryEscape(nearURL),
	} {
		f.Add(query, "")
		f.Add(query, "a=b")
	}
	f.Add(right, cookies)
	f.Add(right, l.flowCookie(goodState)+"=x")
	f.Fuzz(func(t *testing.T, query, more string) {
		r := httptest.NewRequest(http.MethodGet, "/auth/callback", nil)
		r.URL.RawQuery = query
		r.Header["Cookie"] = []string{cookies + "; " + more}
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		l.serveCallback(w, r)

		q, err := url.ParseQuery(query)
		one := func(name, value string) bool { return len(q[name]) == 1 && q[name][0] == value }
		twice := false
		for _, values := range q {
			twice = twice || len(values) > 1
		}
		again := 0
		for pair := range strings.SplitSeq(cookies+"; "+more, ";") {
			if name, _, _ := strings.Cut(strings.Trim(pair, " \t"), "="); strings.TrimRight(name, " \t") == l.flowCookie(goodState) {
				again++
			}
		}
		may := err == nil && !twice && again == 1 && one("state", goodState) && one("code", goodCode) && one("iss", nearURL) && q.Get("error") == ""

		began := false
		for _, line := range w.Header()["Set-Cookie"] {
			pair, _, _ := strings.Cut(line, ";")
			name, value, _ := strings.Cut(pair, "=")
			began = began || strings.HasPrefix(name, l.jar.session) && value != ""
			if strings.ContainsAny(line, "\r\n") {
				t.Fatalf("a line break in %q", line)
			}
		}
		if began != may {
			t.Fatalf("%q with %q: a session began: %v, should: %v (%d %v)", query, more, began, may, w.Code, w.Header())
		}
		if began && (w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://app.example.com/cart") {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		if !began && (w.Code < 400 || w.Header().Get("Location") != "") {
			t.Fatalf("%q: %d %v", query, w.Code, w.Header())
		}
		if strings.Contains(strings.ToLower(w.Body.String()), "<script") {
			t.Fatalf("%q is in the page: %s", query, w.Body)
		}
	})
}

// Whatever claims a logout token of the issuer's own key has: it ends sessions when it
// is one as Back-Channel Logout 1.0 section 2.6 wants it, and changes nothing else.
func FuzzLogoutToken(f *testing.F) {
	l, i, store := nearLogin(f)
	now := l.now().Unix()
	const event = `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
	base := `"iss":"` + nearURL + `","aud":"front","iat":` + itoa(now) + `,"exp":` + itoa(now+60) + `,"jti":"j"`
	for _, claims := range []string{
		`{` + base + `,"sub":"alice",` + event + `}`, `{` + base + `,"sid":"s1",` + event + `}`, `{` + base + `,"sub":"alice","sid":"s1",` + event + `}`,
		`{` + base + `,` + event + `}`, `{` + base + `,"sub":"alice"}`, `{` + base + `,"sub":"alice","nonce":"n",` + event + `}`, `{` + base + `,"sub":"","sid":"",` + event + `}`,
		`{` + base + `,"sub":7,` + event + `}`, `{` + base + `,"sub":"alice","events":{"http://schemas.openid.net/event/backchannel-logout":true}}`, `{` + base + `,"sub":"alice","events":[]}`,
		`{"iss":"https://evil.test","aud":"front","iat":1,"exp":99999999999,"jti":"j","sub":"alice",` + event + `}`, `{"sub":"alice",` + event + `}`, `[]`, `{`, `"x"`, `{` + base + `,"sub":"a\u0000|b",` + event + `}`,
		`{` + base + `,"sub":"alice","sub":"bob",` + event + `}`, `{"iss":"` + nearURL + `","aud":["front","other"],"iat":` + itoa(now) + `,"exp":` + itoa(now+60) + `,"jti":"j","sid":"s",` + event + `}`,
	} {
		f.Add([]byte(claims), "logout+jwt")
		f.Add([]byte(claims), "JWT")
	}
	f.Fuzz(func(t *testing.T, claims []byte, typ string) {
		if len(claims) > 8<<10 || strings.ContainsFunc(typ, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			return
		}
		body := url.Values{"logout_token": {i.sign(typ, claims)}}.Encode()
		r := httptest.NewRequest(http.MethodPost, "/auth/backchannel-logout", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		l.serveBackChannel(w, r)

		view, err := store.View(t.Context(), revocation.Set)
		if err != nil {
			t.Fatal(err)
		}
		ended := view.Len()
		var c map[string]any
		readable := json.Unmarshal(claims, &c) == nil
		text := func(name string) string { s, _ := c[name].(string); return s }
		number := func(name string) float64 { n, _ := c[name].(float64); return n }
		events, _ := c["events"].(map[string]any)
		_, one := events[backChannelEvent].(map[string]any)
		switch {
		case w.Code == http.StatusOK:
			_, nonce := c["nonce"]
			if !readable || text("iss") != nearURL || !one || nonce || text("sub") == "" && text("sid") == "" || text("jti") == "" || number("exp") < float64(now)-float64(skew/time.Second) || number("exp") > float64(now)+3600 || c["iat"] == nil {
				t.Fatalf("taken: %s (%s)", claims, typ)
			}
			if aud, _ := json.Marshal(c["aud"]); !bytes.Contains(aud, []byte(`"front"`)) {
				t.Fatalf("taken for another client: %s", claims)
			}
			key := revocation.ForSubject(nearURL, text("sub"))
			if text("sid") != "" {
				key = revocation.ForSession(nearURL, text("sid"))
			}
			if _, ok := view.Get(key); !ok || ended != 1 {
				t.Fatalf("%s ended %d things, %s among them: %v", claims, ended, key, ok)
			}
			if err := store.Drop(t.Context(), revocation.Set, key); err != nil {
				t.Fatal(err)
			}
			if err := store.Drop(t.Context(), l.logouts.name, l.ring.name("jti "+text("jti"))); err != nil {
				t.Fatal(err)
			}
		case w.Code != http.StatusBadRequest || ended != 0 || strings.TrimSpace(w.Body.String()) != `{"error":"invalid_request"}`:
			t.Fatalf("%s: %d %s, %d ended", claims, w.Code, w.Body, ended)
		}
		if sub := text("sub"); len(sub) > 20 && strings.Contains(w.Body.String(), sub) {
			t.Fatalf("the answer holds what the token says: %s", w.Body)
		}
	})
}

// Whatever a body holds that is no token of the issuer's: nothing ends.
func FuzzLogoutBody(f *testing.F) {
	l, i, store := nearLogin(f)
	good := i.sign("logout+jwt", []byte(`{"iss":"`+nearURL+`","aud":"other","exp":`+itoa(l.now().Unix()+60)+`,"sub":"alice"}`))
	for _, body := range []string{"logout_token=" + good, "logout_token=" + good + "&logout_token=x", "logout_token=", "a=b", "%zz", "logout_token=eyJhbGciOiJub25lIn0.e30.", strings.Repeat("logout_token=x&", 100)} {
		f.Add(body, "application/x-www-form-urlencoded", "")
		f.Add(body, "multipart/form-data; boundary=x", "logout_token="+good)
	}
	f.Fuzz(func(t *testing.T, body, mediaType, query string) {
		r := httptest.NewRequest(http.MethodPost, "/auth/backchannel-logout", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header["Content-Type"] = []string{mediaType}
		w := httptest.NewRecorder()
		l.serveBackChannel(w, r)
		view, err := store.View(t.Context(), revocation.Set)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusBadRequest || view.Len() != 0 {
			t.Fatalf("%q as %q: %d, %d ended", body, mediaType, w.Code, view.Len())
		}
	})
}

// What every login must give is not for the browser to ask away, nor for whoever
// sends a browser to the login.
func TestDemandedACRStays(t *testing.T) {
	l, _, _ := nearLogin(t)
	for name, c := range map[string]struct {
		config []string
		asked  string
		want   string // acr_values of the request; "-" for a refusal
	}{
		"nothing asked":              {[]string{"gold", "silver"}, "", "gold silver"},
		"a stronger one of the list": {[]string{"gold", "silver"}, "gold", "gold"},
		"a weaker one":               {[]string{"gold", "silver"}, "password", "-"},
		"one of the list and weaker": {[]string{"gold", "silver"}, "password silver", "silver"},
		"nothing is demanded":        {nil, "password", "password"},
		"spaces":                     {[]string{"gold"}, "  ", "-"},
	} {
		l.cfg.ACRValues = c.config
		f := &flow{MaxAge: -1, ACR: c.config}
		form, v := l.authorization(f, url.Values{"acr_values": {c.asked}})
		got := form.Get("acr_values")
		if v.Action != exchange.Allow {
			got = "-"
		}
		if got != c.want || got != "-" && strings.Join(f.ACR, " ") != c.want {
			t.Errorf("%s: asks for %q and holds to %q, want %q", name, got, f.ACR, c.want)
		}
	}
}
