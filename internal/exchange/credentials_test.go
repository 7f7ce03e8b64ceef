package exchange_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/exchange"
)

func TestStripCredentials(t *testing.T) {
	places := []exchange.CredentialPlace{
		{In: "header", Name: "Authorization"},
		{In: "cookie", Name: "sid", Rejected: true},
		{In: "query", Name: "api_key", Rejected: true},
	}
	for name, c := range map[string]struct {
		all     bool
		header  http.Header
		query   string
		want    http.Header
		rewrote string
	}{
		"all of them": {true,
			http.Header{"Authorization": {"Bearer x"}, "Cookie": {"a=1; sid=s; b=2"}, "X": {"y"}}, "a=1&api_key=k&b=2",
			http.Header{"Cookie": {"a=1; b=2"}, "X": {"y"}}, "a=1&b=2"},
		"the rejected only": {false,
			http.Header{"Authorization": {"Bearer x"}, "Cookie": {"sid=s"}}, "api_key=k",
			http.Header{"Authorization": {"Bearer x"}}, ""},
		"every repetition": {true,
			http.Header{"Authorization": {"Bearer x", "Bearer y"}, "Cookie": {"sid=1;sid=2", "sid =3; c=4"}}, "api_key=1&api_key=2",
			http.Header{"Cookie": {"c=4"}}, ""},
		"an escaped name": {true, http.Header{}, "api%5Fkey=k&x=%zz", http.Header{}, "x=%zz"},
		"a longer name":   {true, http.Header{"Cookie": {"sid2=a; xsid=b"}}, "api_key2=1", http.Header{"Cookie": {"sid2=a; xsid=b"}}, "api_key2=1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := exchange.Request{Header: c.header, Query: c.query, Credentials: places}
			changed := r.StripCredentials(c.all)
			if changed != (c.query != c.rewrote) {
				t.Errorf("reports %v", changed)
			}
			if d := cmp.Diff(c.want, r.Header); d != "" {
				t.Errorf("header (-want +got):\n%s", d)
			}
			if r.Query != c.rewrote {
				t.Errorf("query %q, want %q", r.Query, c.rewrote)
			}
		})
	}
}

func TestIdentityFind(t *testing.T) {
	id := exchange.Identity{Subject: "alice", Schemes: []string{"oauth"}, Also: []exchange.Identity{{Subject: "app", Schemes: []string{"key"}}}}
	for scheme, want := range map[string]string{"oauth": "alice", "key": "app"} {
		if got := id.Find(scheme); got == nil || got.Subject != want {
			t.Errorf("%s: %+v, want %s", scheme, got, want)
		}
	}
	if got := id.Find("other"); got != nil {
		t.Errorf("other: %+v", got)
	}
}
