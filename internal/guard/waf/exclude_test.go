package waf

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

const (
	sqlProse = "Please update the order table by Friday; drop the rest at the depot." // 942350
	union    = "x' UNION SELECT password FROM users--"
)

func excluding(t *testing.T, c ...config.WAFExclusion) *Guard {
	t.Helper()
	g, err := New(Options{API: testAPI(), Config: config.WAF{Exclusions: c}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, g) })
	return g
}

func TestExclusions(t *testing.T) {
	g := excluding(t,
		config.WAFExclusion{Operation: "createNote", At: "/text", Rules: []string{"942350"}},
		config.WAFExclusion{Operation: "createNote", At: "/items/*/sql", Classes: []string{"sqli"}},
		config.WAFExclusion{Operation: "GET /notes/*", At: "query:q", Tags: []string{"attack-sqli", "attack-xss"}},
		config.WAFExclusion{Operation: "getNote", At: "header:x-note", Rules: []string{"941100-941999"}},
		config.WAFExclusion{Operation: "getNote", At: "path:id", Rules: []string{"930100-930999", "932000-932999"}},
		config.WAFExclusion{Operation: "getNote", At: "path", Rules: []string{"930100-930999", "932000-932999"}},
	)
	traversal := path(t, "../../etc/passwd")
	traversal.Request.RawPath, traversal.Request.Path = "/notes/..%2F..%2Fetc%2Fpasswd", "/notes/../../etc/passwd"
	injected := path(t, "7' OR '1'='1")
	for name, c := range map[string]struct {
		x    *exchange.Exchange
		pass bool
		at   string
	}{
		"the rule at the field":             {request(t, 0, "", `{"text":"`+sqlProse+`"}`), true, ""},
		"the same once more":                {request(t, 0, "", `{"text":"`+sqlProse+`"}`), true, ""},
		"another field":                     {request(t, 0, "", `{"title":"`+sqlProse+`"}`), false, "/title"},
		"both fields":                       {request(t, 0, "", `{"text":"`+sqlProse+`","title":"`+sqlProse+`"}`), false, "/title"},
		"another operation":                 {request(t, 2, "", `{"text":"`+sqlProse+`"}`), false, "/text"},
		"another rule at the field":         {request(t, 0, "", `{"text":"`+union+`"}`), false, "/text"},
		"both rules at the field":           {request(t, 0, "", `{"text":"`+sqlProse+" "+union+`"}`), false, "/text"},
		"a field whose name reads the same": {request(t, 0, "", `{"items":{"0":{"sql":"ok"}},"items.0.sql":"`+union+`"}`), false, "/items.0.sql"},
		"a class at any index":              {request(t, 0, "", `{"items":[{"sql":"SELECT a FROM b WHERE 1=1"},{"sql":"`+union+`"}]}`), true, ""},
		"another class there":               {request(t, 0, "", `{"items":[{"sql":"<script>alert(1)</script>"}]}`), false, "/items/0/sql"},
		"beside it":                         {request(t, 0, "", `{"items":[{"sql":"`+union+`","x":"`+union+`"}]}`), false, "/items/0/x"},
		"tags, by a pattern":                {request(t, 1, "q=x%27+UNION+SELECT+a+FROM+b--+%3Cscript%3Ealert(1)%3C/script%3E", ""), true, ""},
		"tags, another parameter":           {request(t, 1, "p=x%27+UNION+SELECT+a+FROM+b--", ""), false, "query:p"},
		"a header":                          {request(t, 1, "", "", "X-Note", "<script>alert(1)</script>"), true, ""},
		"another header":                    {request(t, 1, "", "", "X-Other", "<script>alert(1)</script>"), false, "header:x-other"},
		"the path":                          {traversal, true, ""},
		"another attack in the path":        {injected, false, "path:id"},
	} {
		t.Run(name, func(t *testing.T) {
			v := g.rule(t.Context(), c.x)
			if (v.Action == exchange.Allow) != c.pass || v.At != c.at {
				t.Errorf("%s at %q, want pass %v at %q: %v", v.Action, v.At, c.pass, c.at, v.Detail)
			}
		})
	}
	// What is known to be silent where a rule is muted is not known elsewhere.
	for range 2 {
		if v := g.rule(t.Context(), request(t, 2, "", `{"text":"`+sqlProse+`"}`)); v.Code != "waf.attack" {
			t.Errorf("the exclusion of one operation is remembered for another: %+v", v)
		}
	}
}

// Two portions reach the threshold together as they would in one.
// In the exact inspection a request scores what all of its portions score.
func TestScoresOfPortionsAddUp(t *testing.T) {
	g, err := New(Options{API: testAPI(), Config: config.WAF{Inspection: config.WAFExact, Threshold: 10, Exclusions: []config.WAFExclusion{{At: "/a", Rules: []string{"941100"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, g)
	one, two := request(t, 0, "", `{"a":"`+sqlProse+`"}`), request(t, 0, "", `{"a":"`+sqlProse+`","b":"`+sqlProse+`"}`)
	if v := g.rule(t.Context(), one); v.Action != exchange.Allow || v.Detail["score"] != 5 {
		t.Errorf("one: %+v", v)
	}
	if v := g.rule(t.Context(), two); v.Code != "waf.attack" || v.Detail["score"] != 10 {
		t.Errorf("two: %+v", v)
	}
}

// What travels with a message counts once, however many portions there are.
func TestTransportCountsOnce(t *testing.T) {
	plain, parted := at(t, 1), excluding(t, config.WAFExclusion{At: "/text", Rules: []string{"942350"}})
	for _, header := range [][]string{{"Content-Range", "x"}, {"User-Agent", "sqlmap/1.7"}, {"Content-Type", "text/evil; charset=evil"}} {
		a := plain.rule(t.Context(), request(t, 0, "", `{"text":"`+union+`"}`, header...))
		b := parted.rule(t.Context(), request(t, 0, "", `{"text":"`+union+`"}`, header...))
		if a.Detail["score"] != b.Detail["score"] || a.Code != b.Code {
			t.Errorf("%v: %v, in portions %v", header, a.Detail, b.Detail)
		}
	}
}

// The rules that jump over higher paranoia levels are never silenced.
func TestARangeLeavesSteeringRulesAlone(t *testing.T) {
	g := excluding(t, config.WAFExclusion{Operation: "createNote", Rules: []string{"900000-999999"}})
	for _, e := range g.exclude.list {
		for _, id := range e.muted.ids {
			if !judges(id) {
				t.Errorf("rule %d is silenced", id)
			}
		}
	}
	if v := g.rule(t.Context(), request(t, 0, "", `{"text":"C:\\Users -- | # ' <"}`)); v.Detail != nil {
		t.Errorf("with every rule silenced: %+v", v)
	}
}

func TestExclusionsThatDoNothingAreMistakes(t *testing.T) {
	for want, e := range map[string]config.WAFExclusion{
		"no operation":         {Operation: "nowhere", Rules: []string{"942350"}},
		"has the id 942999":    {Rules: []string{"942999"}},
		"has the id 942011":    {Rules: []string{"942011"}}, // it steers
		"has the tag x":        {Tags: []string{"x"}},
		"is no class":          {Classes: []string{"x"}},
		"names no rule":        {At: "/text"},
		"nor a range of them":  {Rules: []string{"sqli"}},
		"has the id 1-2":       {Rules: []string{"942350", "1-2"}},
		"has the tag attack-x": {Rules: []string{"942350"}, Tags: []string{"attack-x"}},
	} {
		_, err := New(Options{API: testAPI(), Config: config.WAF{Exclusions: []config.WAFExclusion{e}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "waf.exclusions[0]") {
			t.Errorf("%+v: %v, want %q", e, err, want)
		}
	}
}

// Calls that the document lacks are named by their method and path.
func TestExclusionsOfCallsThatNoDocumentHas(t *testing.T) {
	g := excluding(t, config.WAFExclusion{Operation: "POST /old/notes", At: "/text", Rules: []string{"942350"}})
	for path, pass := range map[string]bool{"/old/notes": true, "/old/other": false} {
		x := request(t, 0, "", `{"text":"`+sqlProse+`"}`)
		x.Operation, x.Request.Path, x.Request.RawPath = nil, path, path
		if v := g.rule(t.Context(), x); (v.Action == exchange.Allow) != pass {
			t.Errorf("%s: %+v", path, v)
		}
	}
}
