package waf

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// inUse counts the rule sets that are held, and those of them that nobody uses.
func inUse() (held, idle int) {
	ruleSets.Lock()
	defer ruleSets.Unlock()
	for _, s := range ruleSets.known {
		if s.idle != nil {
			idle++
		}
	}
	return len(ruleSets.known), idle
}

func newGuard(t *testing.T, c config.WAF) *Guard {
	t.Helper()
	g, err := New(Options{API: testAPI(), Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRuleSetsAreShared(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the rule set many times")
	}
	own := `SecRule ARGS "@contains forbidden" "id:10001,phase:2,deny,severity:CRITICAL"`
	words := filepath.Join(t.TempDir(), "words.data")
	if err := os.WriteFile(words, []byte("forbidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := `SecRule ARGS "@pmFromFile ` + words + `" "id:10001,phase:2,deny,severity:CRITICAL"`
	base := config.WAF{Values: 77}
	first := newGuard(t, base)
	defer closed(t, first)
	for name, c := range map[string]struct {
		cfg  config.WAF
		same bool
	}{
		"the same":                  {config.WAF{Values: 77}, true},
		"defaults named":            {config.WAF{Values: 77, Paranoia: 1, Threshold: 5, Inspection: config.WAFTuned}, true},
		"other limits":              {config.WAF{Values: 77, Value: 10, Timeout: time.Minute, Budget: time.Second}, true},
		"exclusions":                {config.WAF{Values: 77, Exclusions: []config.WAFExclusion{{Rules: []string{"942100"}}}}, true},
		"other paranoia":            {config.WAF{Values: 77, Paranoia: 2}, false},
		"other threshold":           {config.WAF{Values: 77, Threshold: 6}, false},
		"other values":              {config.WAF{Values: 78}, false},
		"exact":                     {config.WAF{Values: 77, Inspection: config.WAFExact}, false},
		"own rules":                 {config.WAF{Values: 77, Directives: own}, false},
		"own rules that read files": {config.WAF{Values: 77, Directives: list}, false},
	} {
		g := newGuard(t, c.cfg)
		if got := g.set == first.set; got != c.same {
			t.Errorf("%s: shared %v, want %v", name, got, c.same)
		}
		closed(t, g)
	}
	a, b := newGuard(t, config.WAF{Values: 77, Directives: own}), newGuard(t, config.WAF{Values: 77, Directives: own})
	if a.set != b.set {
		t.Error("the same own rules are compiled twice")
	}
	closed(t, a)
	if v := b.rule(t.Context(), request(t, 0, "", `{"text":"it is forbidden"}`)); v.Action == exchange.Allow {
		t.Error("a rule set that another guard has let go does not judge any more:", v)
	}
	closed(t, b)
	c, d := newGuard(t, config.WAF{Values: 77, Directives: list}), newGuard(t, config.WAF{Values: 77, Directives: list})
	if c.set == d.set {
		t.Error("rules that read files are shared, though the files may have changed")
	}
	closed(t, c)
	closed(t, d)
}

// A rule set that nobody uses is kept for who comes next, one at most, and not for long.
func TestUnusedRuleSetsAreClosed(t *testing.T) {
	before, _ := inUse()
	one := newGuard(t, config.WAF{Values: 81})
	set := one.set
	closed(t, one)
	closed(t, one) // twice is once
	again := newGuard(t, config.WAF{Values: 81})
	if again.set != set {
		t.Error("a rule set is compiled anew for the next generation")
	}
	closed(t, again)
	other := newGuard(t, config.WAF{Values: 82})
	closed(t, other)
	if _, idle := inUse(); idle > 1 {
		t.Errorf("%d unused rule sets are kept", idle)
	}
	other.set.expire()
	if held, _ := inUse(); held > before {
		t.Errorf("%d rule sets are held, %d were before", held, before)
	}
	other.set.expire() // late: it is closed already
	if _, err := New(Options{API: testAPI(), Config: config.WAF{Values: 81, Directives: "SecRule nonsense"}}); err == nil {
		t.Error("nonsense is taken for a rule")
	}
	if held, _ := inUse(); held > before {
		t.Errorf("a rule set that cannot be compiled is kept")
	}
}

// Guards come and go at once, and each judges until its own end.
func TestRuleSetsConcurrently(t *testing.T) {
	before, _ := inUse()
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for range 4 {
				g, err := New(Options{API: testAPI(), Config: config.WAF{Values: 91 + rng.IntN(2), Timeout: time.Minute, Budget: time.Minute}})
				if err != nil {
					t.Error(err)
					return
				}
				if v := g.rule(t.Context(), request(t, 0, "", `{"text":"<script>alert(1)</script>"}`)); v.Action == exchange.Allow {
					t.Error("an attack passes:", v)
				}
				if rng.IntN(4) == 0 {
					g.set.expire() // at any time
				}
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if held, idle := inUse(); held > before+1 || idle > 1 {
		t.Errorf("%d rule sets are held, %d of them idle; %d were before", held, idle, before)
	}
}
