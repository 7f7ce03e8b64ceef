package waf

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// An operation is judged by its own level and threshold, in both inspections, and all
// others as before.
func TestOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the rule set several times")
	}
	const attack = `{"text":"1' OR '1'='1' UNION SELECT password FROM users--"}` // far beyond 5 points in exact
	const odd = "q=a/*b*/c"                                                      // nothing at level 1
	for _, inspection := range []string{config.WAFTuned, config.WAFExact} {
		t.Run(inspection, func(t *testing.T) {
			g := newGuard(t, config.WAF{Inspection: inspection, Operations: []config.WAFOperation{
				{Operation: "createNote", Threshold: 900},
				{Operation: "GET /notes/*", Paranoia: 4, Threshold: 900},
				{Operation: "getNote", Threshold: 2},
				{Operation: "POST /old/*", Threshold: 900},
				{Operation: "POST /old/strict*", Threshold: 3},
			}})
			defer closed(t, g)
			for s, one := range g.operations.guards {
				if same := one.set == g.set; same != (s.paranoia == 1) {
					t.Errorf("level %d, threshold %d: shares the API's rule set: %v", s.paranoia, s.threshold, same)
				}
			}
			undocumented := func(path string) *exchange.Exchange {
				x := request(t, 0, "", attack)
				x.Operation, x.Request.Path, x.Request.RawPath = nil, path, path
				return x
			}
			for name, c := range map[string]struct {
				x       *exchange.Exchange
				refused bool
				limit   int // 0: nothing is found
			}{
				"a high threshold":             {request(t, 0, "", attack), false, 900},
				"the API's own":                {request(t, 2, "", attack), true, 5},
				"a higher level":               {request(t, 1, odd, ""), true, 2},
				"the same at the API's level":  {request(t, 2, odd, `{"a":1}`), false, 0},
				"an undocumented call":         {undocumented("/old/x"), false, 900},
				"a stricter one, listed later": {undocumented("/old/strict"), true, 3},
				"another undocumented call":    {undocumented("/new"), true, 5},
			} {
				v := g.rule(t.Context(), c.x)
				limit, _ := v.Detail["threshold"].(int)
				if refused := v.Code == "waf.attack"; refused != c.refused || limit != c.limit {
					t.Errorf("%s: %s, threshold %d (%v), want refused %v, %d", name, v.Code, limit, v.Detail, c.refused, c.limit)
				}
				if e := g.Explain(t.Context(), c.x); c.limit != 0 && e.Threshold != c.limit {
					t.Errorf("%s: explained with threshold %d", name, e.Threshold)
				}
			}
		})
	}
	for name, list := range map[string][]config.WAFOperation{
		`waf.operations[1]: "nobody" matches no operation`: {{Operation: "createNote", Threshold: 7}, {Operation: "nobody", Threshold: 7}},
		`paranoia is 1 to 4`: {{Operation: "createNote", Paranoia: 5}},
	} {
		if _, err := New(Options{API: testAPI(), Config: config.WAF{Operations: list}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}
