package waf

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// wholly is what the engine says of a request that the triage has not seen.
func wholly(t *testing.T, g *Guard, x *exchange.Exchange) exchange.Verdict {
	t.Helper()
	g = g.of(x)
	c := g.collector(x)
	if !c.collect(x) {
		t.Fatal(c.over)
	}
	mute(g.exclude.of(x), c.fields)
	return g.inspect(t.Context(), x, ruling{fields: c.fields})
}

// After a request that the engine has nothing to say of, another that differs from it only
// in what some rules tell apart is judged as if the first had not been.
func TestSilenceOfOneIsNotThatOfAnother(t *testing.T) {
	const split = "x%0d%0arefresh:%20y" // 921160 looks for it in the query alone
	undocumented := func(path string) *exchange.Exchange {
		x := request(t, 1, "", "")
		x.Operation, x.Request.Method, x.Request.Path, x.Request.RawPath = nil, "PROPFIND", path, path
		return x
	}
	for _, inspection := range []string{config.WAFTuned, config.WAFExact} {
		g := newGuard(t, config.WAF{Inspection: inspection, Exclusions: []config.WAFExclusion{{Operation: "PROPFIND /x/*", Rules: []string{"911100"}}}})
		t.Cleanup(func() { closed(t, g) })
		for name, pair := range map[string][2]*exchange.Exchange{
			"an argument of the body and one of the query": {request(t, 3, "b=1", "a="+split), request(t, 3, "a="+split, "b="+strings.Repeat("1", len(split)))},
			"one of the path and one of the query":         {path(t, "x\r\nrefresh: y"), request(t, 1, "id="+split, "")},
			"one where a rule of transport is excluded":    {undocumented("/x/1"), undocumented("/y/1")},
		} {
			if v := wholly(t, g, pair[0]); v.Action != exchange.Allow || v.Detail != nil {
				t.Fatalf("%s, %s: the engine says %v of the first", inspection, name, v)
			}
			if v := wholly(t, g, pair[1]); v.Code != "waf.attack" {
				t.Fatalf("%s, %s: the engine says %v of the second", inspection, name, v)
			}
			for n, code := range []string{"", "waf.attack", "", "waf.attack"} {
				if v := g.rule(t.Context(), pair[n%2]); v.Code != code {
					t.Errorf("%s, %s: request %d is ruled %q, want %q", inspection, name, n, v.Code, code)
				}
			}
		}
	}
}

// Rules of one's own are heard whatever a chain looks at first, and however they score.
func TestCustomRulesAreHeard(t *testing.T) {
	const end = "\"id:10002,phase:2,deny,msg:'own',chain\"\n  "
	for name, rules := range map[string]string{
		"a method, then a text":        "SecRule REQUEST_METHOD \"@streq POST\" " + end + "SecRule ARGS:json.text \"@streq leaf\"",
		"a text, then a method":        "SecRule ARGS:json.text \"@streq leaf\" " + end + "SecRule REQUEST_METHOD \"@streq POST\"",
		"a count, then a text":         "SecRule &REQUEST_HEADERS:X-Pass \"@eq 0\" " + end + "SecRule ARGS \"@contains leaf\"",
		"a field's name, then a text":  "SecRule REQUEST_HEADERS_NAMES \"@streq User-Agent\" " + end + "SecRule ARGS \"@contains leaf\"",
		"no value of a field, then":    "SecRule REQUEST_HEADERS:User-Agent \"!@contains bot\" " + end + "SecRule ARGS \"@contains leaf\"",
		"a method and a negated text":  "SecRule REQUEST_METHOD \"@streq POST\" " + end + "SecRule ARGS:json.text \"!@streq fig\"",
		"a score that is set":          `SecRule ARGS "@contains leaf" "id:10002,phase:2,pass,msg:'own',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=5"`,
		"a length":                     `SecRule REQUEST_HEADERS:Content-Length "@gt 36" "id:10002,phase:2,deny,msg:'own'"`,
		"what another rule has noted":  "SecRule ARGS:json.a \"@rx .\" \"id:10001,phase:2,pass,nolog,setvar:tx.first=%{matched_var}\"\nSecRule ARGS:json.text \"@rx ^le\" " + end + "SecRule MATCHED_VAR \"@streq %{tx.first}\"",
		"a method and a field's value": "SecRule REQUEST_METHOD \"@streq POST\" " + end + "SecRule REQUEST_HEADERS:X-Note \"@streq leaf\"",
	} {
		for _, inspection := range []string{config.WAFTuned, config.WAFExact} {
			g := newGuard(t, config.WAF{Inspection: inspection, Directives: rules})
			with := func(text string) *exchange.Exchange {
				x := request(t, 0, "", `{"a":"leaf","text":"`+text+`","pad":"`+strings.Repeat("a", 8*len(text)-24)+`"}`, "X-Note", text)
				x.Request.Header.Set("Content-Length", map[string]string{"fig": "30", "leaf": "38"}[text])
				return x
			}
			if v := wholly(t, g, with("leaf")); v.Action != exchange.Deny {
				t.Fatalf("%s, %s: the engine says %v", name, inspection, v)
			}
			for _, text := range []string{"leaf", "fig", "leaf", "fig"} {
				if v, want := g.rule(t.Context(), with(text)), wholly(t, g, with(text)); v.Action != want.Action {
					t.Errorf("%s, %s, %s: %v, the engine says %v", name, inspection, text, v.Action, want.Action)
				}
			}
			closed(t, g)
		}
	}
}

// What base64 holds may be coded again, and only be seen as such once something else is
// taken away.
func TestCodedAgainBehindBase64(t *testing.T) {
	for chain, text := range map[string]string{
		"t:base64Decode,t:htmlEntityDecode":                "xx &lt;fig",
		"t:base64Decode,t:removeNulls,t:urlDecodeUni":      "xxx%\x003cfig",
		"t:base64Decode,t:removeWhitespace,t:urlDecodeUni": "xxx% 3cfig",
		"t:base64Decode,t:removeWhitespace,t:jsDecode":     "xxx\\ 74fig",
		"t:base64Decode,t:utf8toUnicode":                   "xxxé<fig",
		"t:base64Decode,t:urlDecodeUni":                    "xxx%3cfig",
	} {
		g := newGuard(t, config.WAF{Directives: `SecRule ARGS:json.text "@rx <fig" "id:10001,phase:2,deny,msg:'own',` + chain + `"`})
		x := func() *exchange.Exchange {
			return request(t, 0, "", `{"text":"`+strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(text)), "=")+`"}`)
		}
		if v := wholly(t, g, x()); v.Action != exchange.Deny {
			t.Errorf("%s: the engine says %v", chain, v.Action)
		} else if v := g.rule(t.Context(), x()); v.Action != exchange.Deny {
			t.Errorf("%s: missed", chain)
		}
		closed(t, g)
	}
}
