package authn

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn/whoami"
	"github.com/crenel-project/crenel/internal/spec"
)

// ownCredential is who a credential of the API's own proves: whom the API names
// when it is asked, else only that one is there.
func (g *Guard) ownCredential(ctx context.Context, x *exchange.Exchange, m *method, credential string) (*exchange.Identity, *failure) {
	if strings.ContainsFunc(credential, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, fail("authn.malformed", "the credential holds control characters")
	}
	at := m.place
	sum := g.digest.sum(at.index, credential)
	if m.asker == nil {
		return &exchange.Identity{Method: "own", Schemes: m.schemes, Credential: sum.String(), Revocable: byText(credential)}, nil
	}
	// An API that serves several hosts may know other callers at each.
	key := sum.String() + " " + x.Request.Host
	known, err := m.asker.Who(ctx, key, func() *http.Request { return question(at, m.asker.Path(), credential, x) })
	switch {
	case err == nil:
		id := *known
		id.Schemes, id.Credential = m.schemes, sum.String()
		id.Revocable = revocable(&id, byText(credential), "", id.Session)
		return &id, nil
	case errors.Is(err, whoami.ErrUnavailable):
		return nil, unavailable(err.Error())
	}
	return nil, fail("authn.invalid", err.Error())
}

// question is the request that asks the API who the caller is: the credential
// where the caller had it, and nothing else of the caller's.
func question(at *place, path, credential string, x *exchange.Exchange) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Host: x.Request.Host, URL: &url.URL{Path: path},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
		Header: http.Header{"Accept": {"application/json"}},
	}
	switch at.in {
	case "header":
		v := credential
		if at.prefix != "" {
			v = at.prefix + " " + credential
			if !letter(at.prefix[len(at.prefix)-1]) {
				v = at.prefix + credential
			}
		}
		r.Header[at.name] = []string{v}
	case "cookie":
		r.Header["Cookie"] = []string{at.name + "=" + credential}
	case "query":
		r.URL.RawQuery = url.Values{at.name: {credential}}.Encode()
	}
	return r
}

// AnswerSteps are the guard's place behind the upstream: a credential of the API's
// own that the API refuses is not believed for the rest of its time, and what an
// operation has ended is taken back.
func (g *Guard) AnswerSteps() []guard.Step {
	var steps []guard.Step
	if g.ends != nil && g.state != nil {
		steps = append(steps, g.endStep())
	}
	if len(g.askers) == 0 {
		return steps
	}
	return append(steps, guard.Step{
		Guard: Name, Phase: exchange.ResponseHead, Needs: exchange.None,
		Applies: func(op *spec.Operation) bool { return true },
		Rule: func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
			if x.Response.Status == http.StatusUnauthorized {
				for _, id := range append([]exchange.Identity{x.Identity}, x.Identity.Also...) {
					if id.Method == "own" && id.Credential != "" {
						for _, a := range g.askers {
							a.Forget(id.Credential + " " + x.Request.Host)
						}
					}
				}
			}
			return exchange.Verdict{}
		},
	})
}
