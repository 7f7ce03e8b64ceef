package waf

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

func costing(t testing.TB, c config.WAF) *Guard {
	t.Helper()
	g, err := New(Options{API: testAPI(), Config: c})
	if err != nil {
		t.Fatal(err)
	}
	g.Warm()
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// innocent prose, and the same with a few words that rules take for an attack.
var (
	innocent = strings.Repeat("the parcel was left with the neighbour on the second floor. ", 3000)
	suspect  = sqlProse + " " + innocent
)

// What would cost more than the budget is refused before the engine is asked. The
// 128 KB value takes the engine 0.43 s and more, the 10 KB body 50 ms.
func TestCostIsBoundedBeforeItIsSpent(t *testing.T) {
	g := costing(t, config.WAF{Value: 1 << 20})
	leaves := func(n int, last string) string {
		return `{"items":[` + strings.Repeat(`{"name":"a plain parcel","note":"`+innocent[:60]+`"},`, n) + `{"note":"` + last + `"}]}`
	}
	for name, c := range map[string]struct {
		body, code, at string
	}{
		"128 KB of plain text":                 {`{"text":"` + innocent[:128<<10] + `"}`, "", ""},
		"128 KB with an attack":                {`{"text":"` + suspect[:128<<10] + `"}`, "waf.too_many", "/text"},
		"10 KB of JSON":                        {leaves(95, "nothing"), "", ""},
		"10 KB of JSON with an attack in it":   {leaves(95, union), "waf.attack", "/items/95/note"},
		"800 KB of JSON":                       {leaves(8000, "nothing"), "waf.too_many", "/items/498/note"},
		"many values that all look suspicious": {`["` + strings.Repeat(`Please update the order table by Friday; drop it.","`, 600) + `x"]`, "waf.too_many", "/0"},
	} {
		t.Run(name, func(t *testing.T) {
			x := request(t, 0, "", c.body)
			began := spent()
			v := g.rule(t.Context(), x)
			if took := spent() - began; took > 250*time.Millisecond {
				t.Errorf("it took %s of a processor", took)
			}
			if v.Code != c.code || v.At != c.at {
				t.Errorf("%q at %q (%s), want %q at %q", v.Code, v.At, v.Reason, c.code, c.at)
			}
			if c.code == "waf.too_many" && c.at != "/items/498/note" && !strings.Contains(v.Reason, "the budget is 20ms") {
				t.Errorf("the reason does not say what the budget is: %s", v.Reason)
			}
		})
	}
}

// spent is what the process has used of processors.
func spent() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// In sample, what looks worst is inspected first, and the record says how much was.
func TestSample(t *testing.T) {
	g := costing(t, config.WAF{Over: config.OverSample, Value: 4 << 10})
	hidden := func(at int) string { return innocent[:at] + sqlProse + innocent[at:128<<10] }
	for name, c := range map[string]struct {
		body    string
		code    string
		sampled bool
	}{
		"plain":                        {innocent[:128<<10], "", false},
		"an attack in front":           {suspect[:128<<10], "waf.attack", true},
		"an attack in the middle":      {hidden(60 << 10), "waf.attack", true},
		"an attack at the end":         {hidden(127 << 10), "waf.attack", true},
		"an attack over two windows":   {hidden(windowSize - 20), "waf.attack", true},
		"short, with an attack":        {sqlProse, "waf.attack", false},
		"as long as allowed":           {suspect[:4<<10], "waf.attack", false},
		"one more than allowed, plain": {innocent[:4<<10+1], "", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := g.rule(t.Context(), request(t, 0, "", `{"text":"`+c.body+`"}`))
			s, told := v.Detail["sampled"].(share)
			if v.Code != c.code || told != c.sampled {
				t.Errorf("%q, sampled %v: %v; want %q %v", v.Code, told, v.Detail, c.code, c.sampled)
			}
			if told && (s.Bytes == 0 || s.Bytes >= s.Of || s.Of != len(c.body)) {
				t.Errorf("the share is %+v of %d bytes", s, len(c.body))
			}
		})
	}
	many := `["` + strings.Repeat(`Please update the order table by Friday; drop it.","`, 3000) + `x"]`
	if v := g.rule(t.Context(), request(t, 0, "", many)); v.Code != "waf.attack" || v.Detail["sampled"] == nil {
		t.Errorf("many values: %+v", v)
	}
	// What was inspected in part is not remembered as silent.
	g = costing(t, config.WAF{Over: config.OverSample, Threshold: 1000, Budget: 5 * time.Millisecond})
	for range 2 {
		if v := g.rule(t.Context(), request(t, 0, "", `{"text":"`+hidden(3000)[:60<<10]+`"}`)); v.Action != exchange.Allow || v.Detail["sampled"] == nil {
			t.Errorf("a sample below the threshold: %+v", v)
		}
	}
	// A budget for which nothing can be inspected refuses.
	g = costing(t, config.WAF{Over: config.OverSample, Budget: time.Millisecond})
	if v := g.rule(t.Context(), request(t, 0, "", `{"text":"`+suspect[:2000]+`"}`)); v.Code != "waf.too_many" {
		t.Errorf("nothing was inspected, and it passed: %+v", v)
	}
}

// Windows hold all of a value, and end between characters.
func TestWindowsHoldAll(t *testing.T) {
	for _, letter := range []string{"a", "ß", "語", "\x80\x80\x80\x80\x80\x80"} {
		var b strings.Builder
		for i := range 1500 {
			fmt.Fprintf(&b, "%d%s", 1000+i, letter) // no two places read the same
		}
		text, covered := b.String(), 0
		for i, w := range windowsOf(field{text: text}) {
			at := strings.Index(text, w.text)
			if at < 0 || at > covered || len(w.text) > windowSize || i > 0 && at < covered-windowOver {
				t.Fatalf("%q: window %d is out of place: %d bytes at %d, %d are covered", letter, i, len(w.text), at, covered)
			}
			if utf8.ValidString(text) != utf8.ValidString(w.text) {
				t.Errorf("%q: window %d cuts a character", letter, i)
			}
			covered = at + len(w.text)
		}
		if covered != len(text) {
			t.Errorf("%q: %d of %d bytes are in a window", letter, covered, len(text))
		}
	}
}

func TestAnInspectionThatTakesTooLongIsRefused(t *testing.T) {
	g := costing(t, config.WAF{Timeout: 100 * time.Millisecond})
	var now time.Time
	g.now = func() time.Time { now = now.Add(time.Second); return now }
	if v := g.rule(t.Context(), request(t, 0, "", `{"text":"hi"}`)); v.Action != exchange.Unable || v.Code != "waf.unavailable" {
		t.Errorf("it let pass: %+v", v)
	}
}

// Costly inspections wait for one another, cheap ones do not.
func TestCostlyInspectionsShareSlots(t *testing.T) {
	g := costing(t, config.WAF{Budget: time.Minute, Timeout: 400 * time.Millisecond, Threshold: 1000})
	for range cap(g.heavy) {
		g.heavy <- struct{}{}
	}
	costly := `{"text":"` + suspect[:20_000] + `"}`
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if v := g.rule(ctx, request(t, 0, "", costly)); v.Action != exchange.Unable || v.Code != "waf.unavailable" {
		t.Errorf("a costly inspection did not wait: %+v", v)
	}
	if v := g.rule(t.Context(), request(t, 0, "", `{"text":"hi"}`)); v.Action != exchange.Allow {
		t.Errorf("a cheap inspection waited: %+v", v)
	}
	<-g.heavy
	before := len(g.heavy)
	g.cfg.Timeout = time.Minute
	if v := g.rule(t.Context(), request(t, 0, "", costly)); v.Action != exchange.Allow || len(g.heavy) != before {
		t.Errorf("with a slot free: %+v, %d slots taken, want %d", v, len(g.heavy), before)
	}
}

// BenchmarkEstimate shows what the estimate is made of: for each content, what the
// engine takes of a processor, and how many times that is estimated.
func BenchmarkEstimate(b *testing.B) {
	g := at(b, 1)
	x := request(b, 0, "", "")
	all := ruling{fields: []field{{src: fromBody, name: "json.text", at: "/text"}}}
	for name, text := range map[string]string{
		"prose": innocent[:8000], "letters": strings.Repeat("a", 8000), "sql": strings.Repeat("select a from b where c = 'd' or 1=1 -- ", 200),
		"signs": strings.Repeat("<;'\"(){}[]|&$%#@!*/-", 400), "html": strings.Repeat("<a href=x onclick=1>&lt;b&gt;</a>", 240),
	} {
		for _, few := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/few=%v", name, few), func(b *testing.B) {
				r := ruling{fields: []field{all.fields[0]}}
				r.fields[0].text = text
				if few {
					r.alone, r.rules = true, []int{932235, 942350}
				}
				from := spent()
				for b.Loop() {
					g.inspect(b.Context(), x, r)
				}
				took := (spent() - from) / time.Duration(b.N)
				b.ReportMetric(float64(took.Microseconds()), "cpu-µs/op")
				b.ReportMetric(float64(g.load(x, &r).cost())/float64(took), "estimated/taken")
			})
		}
	}
}
