package waf

import (
	"slices"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// An explanation lists every value of a request, inspected or not, and comes to the
// guard's own verdict.
func TestExplain(t *testing.T) {
	g := costing(t, config.WAF{
		Skip:       []string{"createNote /free"},
		Exclusions: []config.WAFExclusion{{Operation: "createNote", At: "/list/*", Rules: []string{"942350"}}},
	})
	x := request(t, 0, "q=plain", `{"text":"`+union+`","free":"`+union+`","list":["`+sqlProse+`"],"n":7,"ok":true,"none":null}`, "X-Note", "hello", "Cookie", "a=b; sid=secret")
	x.Identity = exchange.Identity{Method: "own", Verified: true}
	x.Request.Credentials = []exchange.CredentialPlace{{In: "cookie", Name: "sid"}}
	e := g.Explain(t.Context(), x)
	if e.Verdict.Code != "waf.attack" || e.Verdict.At != "/text" || e.Score < 5 || e.Threshold != 5 || e.Silent || e.TriedRules == 0 || e.Estimated <= 0 || e.Estimated > e.Budget {
		t.Errorf("%+v", e)
	}
	got := map[string]ExplainedValue{}
	for _, v := range e.Values {
		got[v.At] = v
	}
	for at, why := range map[string]string{
		"/text": "", "/list/0": "", "query:q": "", "header:x-note": "", "cookie:a": "", "path": "",
		"/free": "in guards.waf.skip", "/n": "", "/ok": "", "/none": "", // their names, which no contract fixes
		"cookie:sid": "a credential that was verified", "header:content-length": "says how the message travels",
	} {
		if v, ok := got[at]; !ok || v.Skipped != why {
			t.Errorf("%s: %v %q, want %q", at, ok, v.Skipped, why)
		}
	}
	if v := got["/text"]; v.Points != e.Score || len(v.Suspects) == 0 || v.Text != union {
		t.Errorf("/text: %+v", v)
	}
	if v := got["/list/0"]; v.Points != 0 || !slices.Equal(v.Suspects, []int{942350}) || !slices.Equal(v.Muted, []int{942350}) {
		t.Errorf("/list/0: %+v", v)
	}
	if len(e.Rules) == 0 || e.Rules[0].Message == "" || e.Rules[0].Severity != "critical" || len(e.Rules[0].Places) == 0 || !slices.Contains(e.Rules[0].Tags, "attack-sqli") {
		t.Errorf("rules %+v", e.Rules)
	}
	if e := g.Explain(t.Context(), request(t, 0, "", `{"text":"hello"}`)); e.Verdict.Action != exchange.Allow || !e.Silent || e.Score != 0 || len(e.Rules) != 0 {
		t.Errorf("a plain request: %+v", e)
	}
}
