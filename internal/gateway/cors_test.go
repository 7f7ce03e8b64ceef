package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// The upstream may let every origin in with credentials; the gateway takes that
// away, and the records must say so: the browser does not.
func TestForeignOriginIsNoted(t *testing.T) {
	const allowed = "https://app.test"
	for name, c := range map[string]struct {
		settings, origin string
		passes, noted    bool
	}{
		"foreign":           {"", "https://evil.test", false, true},
		"allowed":           {"  allowed_origins: [\"" + allowed + "\"]\n", allowed, true, false},
		"the API's own":     {"", "http://a.test", true, false},
		"no browser":        {"", "", true, false},
		"cors, foreign":     {"  cors: {origins: [\"" + allowed + "\"]}\n", "https://evil.test", false, true},
		"cors, listed":      {"  cors: {origins: [\"" + allowed + "\"]}\n", allowed, true, false},
		"cors, the own one": {"  cors: {origins: [\"" + allowed + "\"]}\n", "http://a.test", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, c.settings, "")
			r := httptest.NewRequest(http.MethodGet, "http://a.test/items", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w, _ := g.do(Upstream(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.Header().Set("Access-Control-Allow-Credentials", "true")
				w.Header().Set("Content-Type", "application/json")
				_, err := w.Write([]byte(`{"a":1}`))
				return err
			}), r)
			if got := w.Header().Get("Access-Control-Allow-Origin") != ""; got != c.passes {
				t.Errorf("headers %v", w.Header())
			}
			d, _ := g.trail.only(t)
			noted := slices.ContainsFunc(d.Rulings, func(r exchange.RecordedRuling) bool { return r.Guard == originGuard && r.Reason != "" })
			if noted != c.noted || d.Action != "allow" {
				t.Errorf("decision %s, noted %v: %+v", d.Action, noted, d.Rulings)
			}
		})
	}
}
