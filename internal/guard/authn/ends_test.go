package authn_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// ending is a guard in which the operation "token" ends something.
func ending(t *testing.T, api *spec.API, what string, store state.Store) *authn.Guard {
	t.Helper()
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods, config.AuthnMethod{Own: &config.OwnMethod{Cookie: "sid"}})
	g, err := authn.New(authn.Options{API: api, Config: conf, Now: func() time.Time { return noon }, Client: client(newIssuer(rsaKey())), State: store,
		Overrides: []config.OperationOverride{{Operation: "token", Ends: what}, {Operation: "cookie", Ends: what}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// answered rules on the answer of a call that was let in.
func answered(t *testing.T, g *authn.Guard, x *exchange.Exchange, status int) exchange.Verdict {
	t.Helper()
	x.Response.Status = status
	for _, s := range g.AnswerSteps() {
		if s.Applies(x.Operation) {
			if v := s.Rule(t.Context(), x); v.Action != exchange.Allow {
				return v
			}
		}
	}
	return exchange.Verdict{}
}

// What an operation ends is refused from its success on, and only that.
func TestOperationEnds(t *testing.T) {
	k := rsaKey()
	sign := func(more object) http.Header { return bearer(k.token("RS256", k.header("RS256"), claims(noon, more))) }
	hers := sign(object{"jti": "a", "sid": "s1"})
	sameSession := sign(object{"jti": "b", "sid": "s1"})
	otherSession := sign(object{"jti": "c", "sid": "s2"})
	later := sign(object{"jti": "d", "sid": "s3", "iat": noon.Add(2 * time.Second).Unix()})
	bobs := sign(object{"jti": "e", "sid": "s9", "sub": "bob"})
	cookie := http.Header{"Cookie": {"sid=abc"}}
	for name, c := range map[string]struct {
		what   string
		status int
		op     string
		by     http.Header
		ended  []http.Header
		left   []http.Header
	}{
		"the credential":                   {"credential", 204, "token", hers, []http.Header{hers}, []http.Header{sameSession, otherSession, later, bobs}},
		"the session":                      {"session", 200, "token", hers, []http.Header{hers, sameSession}, []http.Header{otherSession, later, bobs}},
		"the subject":                      {"subject", 200, "token", hers, []http.Header{hers, sameSession, otherSession}, []http.Header{later, bobs}},
		"the API failed":                   {"subject", 500, "token", hers, nil, []http.Header{hers, sameSession}},
		"the API refused":                  {"credential", 401, "token", hers, nil, []http.Header{hers}},
		"a redirect is no success":         {"credential", 302, "token", hers, nil, []http.Header{hers}},
		"another operation":                {"credential", 200, "public", hers, nil, []http.Header{hers}},
		"no session: the cookie itself":    {"session", 200, "cookie", cookie, []http.Header{cookie}, nil},
		"nobody's subject: itself as well": {"subject", 200, "cookie", cookie, []http.Header{cookie}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			api := petAPI()
			store := state.NewMemory(func() time.Time { return noon })
			t.Cleanup(func() { _ = store.Close() })
			g := ending(t, api, c.what, store)
			opOf := func(h http.Header) *spec.Operation {
				if h.Get("Cookie") != "" {
					return operation(api, "cookie")
				}
				return operation(api, "token")
			}
			x, v := call(t, g, operation(api, c.op), c.by.Clone(), "")
			want(t, v, exchange.Allow, "")
			if v := answered(t, g, x, c.status); v.Action != exchange.Allow {
				t.Fatalf("the answer was kept back: %+v", v)
			}
			view, err := store.View(t.Context(), revocation.Set)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{revocation.ForSession(revocation.AnyIssuer, "s1"), revocation.ForSubject(revocation.AnyIssuer, "alice")} {
				if _, ok := view.Get(key); ok {
					t.Errorf("%s: what another issuer gave is taken back too", key)
				}
			}
			for i, h := range c.ended {
				_, v := call(t, g, opOf(h), h.Clone(), "")
				want(t, v, exchange.Deny, "authn.revoked")
				if !strings.Contains(v.Reason, "ended by "+c.op) {
					t.Errorf("%d: reason %q", i, v.Reason)
				}
			}
			for i, h := range c.left {
				if _, v := call(t, g, opOf(h), h.Clone(), ""); v.Action != exchange.Allow {
					t.Errorf("%d of what is left was refused: %+v", i, v)
				}
			}
		})
	}
}

// readOnly is a shared state that takes no entries.
type readOnly struct{ state.Store }

func (readOnly) PutIf(context.Context, string, string, []byte, []byte, time.Time) (bool, error) {
	return false, errors.New("disk full")
}

// The client is not told that it is logged out when it is not.
func TestOperationEndsNothing(t *testing.T) {
	api := petAPI()
	store := state.NewMemory(func() time.Time { return noon })
	t.Cleanup(func() { _ = store.Close() })
	g := ending(t, api, "credential", readOnly{store})
	k := rsaKey()
	x, v := call(t, g, operation(api, "token"), bearer(k.token("RS256", k.header("RS256"), claims(noon, nil))), "")
	want(t, v, exchange.Allow, "")
	v = answered(t, g, x, http.StatusNoContent)
	want(t, v, exchange.Unable, "authn.unavailable")
	if !strings.Contains(v.Reason, "disk full") {
		t.Errorf("reason %q", v.Reason)
	}
}

// A logout that ends nothing because its name is mistyped is a mistake.
func TestOperationThatIsNotThere(t *testing.T) {
	_, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(nil), Client: client(newIssuer(rsaKey())),
		Overrides: []config.OperationOverride{{Operation: "logOut", Ends: "session"}}})
	if err == nil || !strings.Contains(err.Error(), `"logOut"`) {
		t.Errorf("%v", err)
	}
}
