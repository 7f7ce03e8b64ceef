package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// An answer for one caller is kept by no cache that serves others.
func TestKeepFromOthers(t *testing.T) {
	by := func(in, name string) exchange.Exchange {
		return exchange.Exchange{Identity: exchange.Identity{Subject: "alice", Method: "jwt", Verified: true},
			Request: exchange.Request{Credentials: []exchange.CredentialPlace{{In: in, Name: name}}}}
	}
	bearer, cookie, nobody := by("header", "Authorization"), by("cookie", "sid"), exchange.Exchange{}
	filtered, filteredNobody := bearer, nobody
	filtered.Obligations.Query = map[string]string{"owner": "alice"}
	filteredNobody.Obligations.Strip = []string{"/cost"}
	certificate := exchange.Exchange{Identity: exchange.Identity{Subject: "device", Method: "mtls", Verified: true}}
	for name, c := range map[string]struct {
		x          exchange.Exchange
		method     string
		says, want string
	}{
		"by Authorization":                {bearer, "GET", "max-age=60", "max-age=60"},
		"by Authorization, public":        {bearer, "GET", "public, max-age=60", "public, max-age=60"},
		"by a cookie":                     {cookie, "GET", "max-age=60", "max-age=60, private"},
		"by a cookie, HEAD":               {cookie, "HEAD", "", "private"},
		"by a cookie, a write":            {cookie, "POST", "", ""},
		"by a cookie, public":             {cookie, "GET", "Public, max-age=60", "Public, max-age=60"},
		"by a cookie, for shared caches":  {cookie, "GET", "s-maxage=60", "s-maxage=60"},
		"by a cookie, private":            {cookie, "GET", "private, max-age=60", "private, max-age=60"},
		"by a cookie, private for fields": {cookie, "GET", `private="set-cookie", max-age=60`, `private="set-cookie", max-age=60, private`},
		"by a cookie, not to be kept":     {cookie, "GET", "no-store", "no-store"},
		"by a certificate":                {certificate, "GET", "", "private"},
		"by nobody":                       {nobody, "GET", "max-age=60", "max-age=60"},
		"by nobody, nothing said":         {nobody, "GET", "", ""},
		"changed by a policy":             {filtered, "GET", "public, max-age=60, s-maxage=600, stale-if-error=5", "max-age=60, stale-if-error=5, private"},
		"changed by a policy, no-store":   {filtered, "GET", "no-store", "no-store"},
		"changed by a policy for nobody":  {filteredNobody, "GET", "public", "private"},
	} {
		s := &session{x: c.x}
		s.x.Request.Method = c.method
		h := http.Header{}
		if c.says != "" {
			h.Set("Cache-Control", c.says)
		}
		if !s.x.Obligations.Empty() {
			h.Set("CDN-Cache-Control", "max-age=600")
		}
		s.keepFromOthers(h)
		if got := h.Get("Cache-Control"); got != c.want || h.Get("CDN-Cache-Control") != "" {
			t.Errorf("%s: %q becomes %q, want %q; CDN-Cache-Control %q", name, c.says, got, c.want, h.Get("CDN-Cache-Control"))
		}
	}
}

// Through the whole chain: the policy's filter is not in a cache's hands.
func TestFilteredAnswersArePrivate(t *testing.T) {
	g := newTestGateway(t, "  guards: {waf: {mode: \"off\"}, limit: {rates: [{rate: 100000/s}]}, authz: {policies: [\""+policyFile(t, `decision := {"allow": true, "obligations": {"strip": ["/b"]}}`)+"\"]}}\n", "")
	w, _ := g.do(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, err := w.Write([]byte(`{"a": 1, "b": "secret"}`))
		return err
	}, httptest.NewRequest(http.MethodGet, "/items", nil))
	if got := w.Header().Get("Cache-Control"); w.Code != 200 || got != "max-age=60, private" {
		t.Errorf("%d, Cache-Control %q: %s", w.Code, got, w.Body)
	}
}

// A HEAD tells no more than the GET whose answer is filtered.
func TestHeadTellsNothingOfWhatIsFiltered(t *testing.T) {
	for name, rules := range map[string]string{
		"stripped":   `decision := {"allow": true, "obligations": {"strip": ["/b"]}}`,
		"kept back":  `decision := {"allow": true, "obligations": {"answer": [{"at": "/a", "in": ["7"]}]}}`,
		"left alone": `decision := {"allow": true}`,
	} {
		g := newTestGateway(t, "  guards: {waf: {mode: \"off\"}, limit: {rates: [{rate: 100000/s}]}, authz: {policies: [\""+policyFile(t, rules)+"\"]}}\n", "")
		w, _ := g.do(func(w http.ResponseWriter, _ *http.Request) error {
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Content-Length", "4711")
			h.Set("ETag", `"v1"`)
			w.WriteHeader(http.StatusOK)
			return nil
		}, httptest.NewRequest(http.MethodHead, "/items", nil))
		told := w.Header().Get("Content-Length") + w.Header().Get("ETag")
		if w.Code != http.StatusOK || (told != "") != (name == "left alone") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}
