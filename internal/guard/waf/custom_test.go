package waf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// A mistake in a rule of one's own is told with its file and line.
func TestMistakesInCustomRulesHaveAPlace(t *testing.T) {
	const good = "SecRule ARGS \"@contains fig\" \"id:10001,phase:2,deny,msg:'own'\"\n"
	for name, c := range map[string]struct{ text, want string }{
		"an unknown operator":    {good + "\n# a comment\nSecRule ARGS \"@nonsense x\" \"id:10002,phase:2,deny\"\n", "own.conf:4: "},
		"a broken expression":    {good + "SecRule ARGS \"@rx (\" \\\n  \"id:10002,\\\n  phase:2,deny\"\n", "own.conf:2: "},
		"an unknown variable":    {"SecRule NONSENSE \"@rx a\" \"id:10002,phase:2,deny\"", "own.conf:1: "},
		"an unknown action":      {"SecRule ARGS \"@rx a\" \"id:10002,phase:2,nonsense\"", "own.conf:1: "},
		"no id":                  {"SecRule ARGS \"@rx a\" \"phase:2,deny\"", "own.conf:1: the rule has no id; write one below 900000"},
		"an id of CRS":           {"SecRule ARGS \"@rx a\" \"id:942999,phase:2,deny\"", "own.conf:1: the id 942999 is one of the Core Rule Set's"},
		"an id twice":            {good + good, "own.conf:2: the id 10001 is that of the rule at "},
		"the engine's switch":    {good + "SecRuleEngine Off", `own.conf:2: "SecRuleEngine" is no directive`},
		"a change of CRS":        {"SecRuleUpdateActionById 942100 \"pass\"", "own.conf:1: "},
		"a chain without an end": {good + "SecRule ARGS \"@rx a\" \"id:10002,phase:2,deny,chain\"\n", "own.conf:2: the chain has no last rule"},
		"the second of a chain":  {"SecRule ARGS \"@rx a\" \"id:10002,phase:2,deny,chain\"\n  SecRule ARGS \"@nonsense b\" \"t:none\"\n", "own.conf:1: "},
		"not a directive":        {"hello", "own.conf:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "own.conf")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{file}}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			_, err = New(Options{API: testAPI(), Config: config.WAF{Directives: c.text}})
			if want := strings.Replace(c.want, "own.conf", "guards.waf.directives", 1); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("inline: %v, want %q", err, want)
			}
		})
	}
	if _, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{"none.conf"}}}); err == nil || !strings.Contains(err.Error(), "none.conf: there is no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

// Rules of one's own judge, whether the triage can express them or not: those that it
// cannot always ask the engine.
func TestCustomRulesJudge(t *testing.T) {
	for name, c := range map[string]struct {
		rules          string
		always         bool
		refused, plain string
	}{
		"a text":           {`SecRule ARGS:json.text "@contains fig" "id:10001,phase:2,deny,msg:'own'"`, false, "a fig", "a pear"},
		"a score":          {`SecRule ARGS "@rx ^fig" "id:10001,phase:2,pass,msg:'own',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=+5"`, false, "fig", "a fig"},
		"a chain":          {"SecRule ARGS \"@contains fig\" \"id:10001,phase:2,deny,msg:'own',chain\"\n  SecRule MATCHED_VAR \"@contains leaf\" \"t:none\"", false, "a fig leaf", "a fig"},
		"a count":          {`SecRule &ARGS "@gt 2" "id:10001,phase:2,deny,msg:'own'"`, true, "", "a fig"},
		"two values":       {"SecRule ARGS:json.a \"@streq fig\" \"id:10001,phase:2,deny,msg:'own',chain\"\n  SecRule ARGS:json.text \"@streq leaf\"", false, "leaf", "fig"},
		"a note":           {"SecRule ARGS:json.a \"@streq fig\" \"id:10001,phase:2,pass,nolog,setvar:tx.seen=1\"\nSecRule ARGS:json.text \"@streq leaf\" \"id:10002,phase:2,deny,msg:'own',chain\"\n  SecRule TX:seen \"@eq 1\"", false, "leaf", "fig"},
		"an exception":     {"SecRule ARGS:json.a \"@streq fig\" \"id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=942350\"", true, "", "hi"},
		"a rule left out":  {"SecRuleRemoveById 942350", false, union, sqlProse},
		"the address":      {`SecRule REMOTE_ADDR "@ipMatch 203.0.113.0/24" "id:10001,phase:2,pass,msg:'own',chain"` + "\n  SecRule ARGS \"@streq fig\" \"setvar:tx.inbound_anomaly_score_pl1=+5\"", false, "fig", "a fig"},
		"bytes of the key": {"SecRule ARGS_NAMES \"@rx ^json.a$\" \"id:10001,phase:2,deny,msg:'own',chain\"\n  SecRule ARGS:json.text \"@streq leaf\"", false, "leaf", "fig"},
	} {
		t.Run(name, func(t *testing.T) {
			g := costing(t, config.WAF{Directives: c.rules})
			if always := len(g.silence.triage.Always()) > 0; always != c.always {
				t.Errorf("always asked: %v, want %v: %v", always, c.always, g.silence.triage.Always())
			}
			body := func(text string) *exchange.Exchange {
				return request(t, 0, "", `{"a":"fig","b":"ok","text":"`+text+`"}`)
			}
			for range 2 { // what was found silent must not be taken for what is not
				for text, refused := range map[string]bool{c.refused: true, c.plain: false} {
					if text == "" {
						continue
					}
					if name == "a count" || name == "a text" || name == "a score" || name == "a chain" || name == "the address" {
						if v := g.rule(t.Context(), request(t, 0, "", `{"text":"`+text+`"}`)); (v.Action != exchange.Allow) != refused {
							t.Errorf("%q: %+v", text, v)
						}
						continue
					}
					if v := g.rule(t.Context(), body(text)); (v.Action != exchange.Allow) != refused {
						t.Errorf("%q: %+v", text, v)
					}
				}
			}
			if name == "a count" {
				if v := g.rule(t.Context(), body("x")); v.Action == exchange.Allow {
					t.Error("three arguments passed")
				}
			}
		})
	}
}

// A rule that silences another on the sight of one text does so for its own request only.
func TestAnExceptionOfOneRequestIsNotRemembered(t *testing.T) {
	g := costing(t, config.WAF{Directives: `SecRule ARGS:json.a "@streq fig" "id:10001,phase:1,pass,nolog,ctl:ruleRemoveById=942350"` + "\n" +
		`SecRule ARGS:json.a "@streq fig" "id:10002,phase:2,pass,nolog,ctl:ruleRemoveById=942350"`})
	for range 2 {
		for a, code := range map[string]string{"fig": "", "pear": "waf.attack"} {
			if v := g.rule(t.Context(), request(t, 0, "", `{"a":"`+a+`","text":"`+sqlProse+`"}`)); v.Code != code {
				t.Errorf("%s: %q, want %q: %v", a, v.Code, code, v.Detail)
			}
		}
	}
}
