package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

const (
	flowLife = 10 * time.Minute
	maxFlows = 6 // logins under way in one browser; the oldest leave
	maxHint  = 256
)

// flow is a login that is under way: what the callback must fit.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // PKCE
	Return   string `json:"r"`
	At       int64  `json:"t"`
	// MaxAge and ACR are what was demanded of the authentication; MaxAge -1: nothing.
	MaxAge int64    `json:"m"`
	ACR    []string `json:"a,omitempty"`
}

// name is where a flow is kept: a cookie of its own, so that logins in several
// tabs do not undo each other.
func (l *Login) flowCookie(state string) string {
	sum := sha256.Sum256([]byte(state))
	return l.jar.flow + hex.EncodeToString(sum[:4])
}

// serveLogin sends the browser to the issuer.
func (l *Login) serveLogin(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		l.fail(w, r, exchange.Refuse("login.request", "query", "the query is not well formed"))
		return
	}
	f := &flow{
		State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(),
		Return: l.returnTo(q.Get("return_to"), l.afterIn), At: l.now().Unix(), MaxAge: -1, ACR: l.cfg.ACRValues,
	}
	form, v := l.authorization(f, q)
	if v.Action != exchange.Allow {
		l.fail(w, r, v)
		return
	}
	to, err := l.destination(r.Context(), form)
	if err != nil {
		l.log.Warn("a login could not begin", "api", l.api, "error", err)
		l.fail(w, r, exchange.Undecided("login.unavailable", "asking the issuer: "+err.Error()))
		return
	}
	b, err := json.Marshal(f)
	if err != nil {
		l.fail(w, r, exchange.Refuse("gateway.internal", "", "encoding the flow: "+err.Error()))
		return
	}
	addCookies(w, l.dropFlows(r.Header))
	// Lax whatever the session's: the issuer's redirect is another site's.
	w.Header().Add("Set-Cookie", l.flowCookie(f.State)+"="+l.ring.sealText(kindFlow, b)+
		"; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age="+strconv.Itoa(int(flowLife.Seconds())))
	redirect(w, to)
}

// authorization makes the authorization request (OpenID Connect Core section
// 3.1.2.1, RFC 7636, RFC 9700 section 2.1). Of what the browser asks for only
// what makes it stronger or more convenient is taken.
func (l *Login) authorization(f *flow, q url.Values) (url.Values, exchange.Verdict) {
	challenge := sha256.Sum256([]byte(f.Verifier))
	form := url.Values{
		"response_type": {"code"}, "scope": {l.scopes}, "redirect_uri": {l.redirectURI()}, "state": {f.State}, "nonce": {f.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for _, res := range l.cfg.Resource {
		form.Add("resource", res)
	}
	for name, value := range l.cfg.Params {
		form.Set(name, value)
	}
	if l.cfg.MaxAge > 0 {
		f.MaxAge = int64(l.cfg.MaxAge.Seconds())
	}
	if s := q.Get("max_age"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return nil, exchange.Refuse("login.request", "query:max_age", "max_age is not a number of seconds")
		}
		if f.MaxAge < 0 || int64(n) < f.MaxAge {
			f.MaxAge = int64(n)
		}
	}
	if s := q.Get("acr_values"); s != "" {
		asked := strings.Fields(s)
		if len(l.cfg.ACRValues) > 0 {
			// What every login must give is not for the browser to ask away.
			asked = slices.DeleteFunc(asked, func(acr string) bool { return !slices.Contains(l.cfg.ACRValues, acr) })
			if len(asked) == 0 {
				return nil, exchange.Refuse("login.request", "query:acr_values", "it names none of the acr_values that this login must give")
			}
		}
		f.ACR = asked
	}
	for _, name := range []string{"acr_values", "login_hint", "ui_locales"} {
		if s := q.Get(name); !printable(s) {
			return nil, exchange.Refuse("login.request", "query:"+name, "it is too long or holds characters that are not printable ASCII")
		}
	}
	if len(f.ACR) > 0 {
		form.Set("acr_values", strings.Join(f.ACR, " "))
	}
	if f.MaxAge >= 0 {
		form.Set("max_age", strconv.FormatInt(f.MaxAge, 10))
	}
	if p := q.Get("prompt"); p != "" {
		if !slices.Contains([]string{"login", "consent", "select_account", "create"}, p) {
			return nil, exchange.Refuse("login.request", "query:prompt", "prompt is not one of login, consent, select_account and create")
		}
		form.Set("prompt", p)
	}
	for _, name := range []string{"login_hint", "ui_locales"} {
		if s := q.Get(name); s != "" {
			form.Set(name, s)
		}
	}
	return form, exchange.Verdict{}
}

func printable(s string) bool {
	if len(s) > maxHint {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func (l *Login) redirectURI() string { return l.origin + l.path + "/callback" }

// destination is where the browser goes: the issuer's authorization endpoint,
// with the request in its query, or behind a reference where it was pushed.
func (l *Login) destination(ctx context.Context, form url.Values) (string, error) {
	m, err := l.client.Metadata(ctx)
	if err != nil {
		return "", err
	}
	if m.Authorization == "" {
		return "", errNoAuthorization
	}
	if l.cfg.PAR == "require" || m.RequiresPAR || l.cfg.PAR != "off" && m.PushedRequest != "" {
		uri, err := l.client.Push(ctx, form)
		if err != nil {
			return "", err
		}
		form = url.Values{"request_uri": {uri}}
	}
	form.Set("client_id", l.client.ID())
	return withQuery(m.Authorization, form), nil
}

func withQuery(to string, q url.Values) string {
	if strings.Contains(to, "?") {
		return to + "&" + q.Encode()
	}
	return to + "?" + q.Encode()
}

// dropFlows removes the oldest logins that are under way, and those that are
// none, when there are many: cookies that pile up end with a request too large.
func (l *Login) dropFlows(h http.Header) []string {
	type kept struct {
		name string
		at   int64
	}
	var list []kept
	each(h, func(name, value string) {
		if !strings.HasPrefix(name, l.jar.flow) {
			return
		}
		k := kept{name: name}
		if f, err := l.openFlow(value); err == nil {
			k.at = f.At
		}
		list = append(list, k)
	})
	if len(list) < maxFlows {
		return nil
	}
	slices.SortFunc(list, func(a, b kept) int { return int(a.at - b.at) })
	var out []string
	for _, k := range list[:len(list)-maxFlows+1] {
		out = append(out, remove(k.name, "; SameSite=Lax"))
	}
	return out
}

func (l *Login) openFlow(value string) (*flow, error) {
	b, err := l.ring.openText(kindFlow, value)
	if err != nil {
		return nil, err
	}
	f := new(flow)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, errSeal
	}
	return f, nil
}

// takeFlow finds the flow that a callback's state belongs to, in the browser that
// began it.
func (l *Login) takeFlow(h http.Header, state string) (*flow, string) {
	if len(state) < 16 || len(state) > 128 {
		return nil, "the callback has no state of a login"
	}
	name := l.flowCookie(state)
	var f *flow
	count := 0
	each(h, func(n, value string) {
		if n == name {
			count++
			f, _ = l.openFlow(value)
		}
	})
	age := int64(0)
	if f != nil {
		age = l.now().Unix() - f.At
	}
	switch {
	case count == 0:
		return nil, "no login of this state is under way in this browser"
	case count > 1 || f == nil:
		return nil, "the login's cookie was not made here, or has been changed"
	case !same(f.State, state):
		return nil, "the state is another login's"
	case age > int64(flowLife.Seconds()) || age < -int64(maxAhead.Seconds()):
		return nil, "the login took too long"
	}
	return f, ""
}

var errNoAuthorization = errors.New("the issuer names no authorization endpoint")
