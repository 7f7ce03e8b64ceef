package authz_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// Whatever a policy does, a decision ends near its time, denies, and takes no
// more memory than that time allows.
func TestHostileEvaluations(t *testing.T) {
	doubling := "x0 := input.body.s\n"
	lists := "y0 := [1, 2, 3, 4, 5, 6, 7, 8]\n"
	for i := range 40 {
		doubling += fmt.Sprintf("x%d := concat(\"\", [x%d, x%d])\n", i+1, i, i)
		lists += fmt.Sprintf("y%d := array.concat(y%d, y%d)\n", i+1, i, i)
	}
	deep := "f0(x) := x\n"
	for i := range 12 {
		deep += fmt.Sprintf("f%d(x) := f%d(x) + f%d(x + 1)\n", i+1, i, i)
	}
	api := parcelAPI()
	text := strings.Repeat("a", 1<<20)
	for name, c := range map[string]struct{ rules, code string }{ // code "": whichever is first
		"a comprehension without end":  {"decision if count([[i, j, k] | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000); some k in numbers.range(1, 1000)]) == 0", "authz.timeout"},
		"a set without end":            {"decision if count({sprintf(\"%d-%d\", [i, j]) | some i in numbers.range(1, 9999); some j in numbers.range(1, 9999)}) == 0", "authz.timeout"},
		"an object without end":        {"decision if count({i: j | some i in numbers.range(1, 999999); j := numbers.range(1, i)}) == 0", "authz.timeout"},
		"partial rules without end":    {"p contains [i, j] if { some i in numbers.range(1, 99999); some j in numbers.range(1, 99999) }\ndecision if count(p) == 0", "authz.timeout"},
		"calls that double":            {deep + "decision if { some i in numbers.range(1, 100000); f12(i) == -1 }", "authz.timeout"},
		"a long range":                 {"decision if count(numbers.range(1, 1000000000)) == 0", "authz.error"},
		"a long range of steps":        {"decision if count(numbers.range_step(1, 1000000000, 2)) == 0", "authz.error"},
		"every address":                {`decision if count(net.cidr_expand("10.0.0.0/4")) == 0`, "authz.timeout"},
		"every address of six":         {`decision if count(net.cidr_expand("::/0")) == 0`, "authz.timeout"},
		"a shift":                      {"decision if bits.lsh(1, 100000000000) == 0", "authz.error"},
		"a number of a billion digits": {`decision if floor(to_number("1e999999999")) == 0`, "authz.error"},
		"its remainder":                {`decision if to_number("1e999999999") % 7 == 0`, "authz.error"},
		"written out":                  {`decision if format_int(to_number("1e999999999"), 10) == ""`, "authz.error"},
		"a replacement that explodes":  {`decision if count(replace(input.body.s, "a", input.body.s)) == 0`, "authz.error"},
		"many that explode":            {`decision if count(strings.replace_n({"a": input.body.s}, input.body.s)) == 0`, "authz.error"},
		"texts that double":            {doubling + "decision if count(x40) == 0", ""},
		"lists that double":            {lists + "decision if count(y40) == 0", "authz.error"},
		"a pattern that backtracks":    {`decision if regex.match("(a+)+$", concat("", [input.body.s, "!"]))`, "authz.undefined"},
		"an error under not":           {`decision if not to_number("x") == 1`, "authz.error"},
		"walking in circles":           {"decision if count([1 | walk(input, _); walk(input, _); walk(input, _); some i in numbers.range(1, 99999)]) == 0", "authz.timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{"p.rego": "package crenel.authz\n" + c.rules + "\n"})
			o := options(api)
			o.Config.Policies, o.Config.Timeout = []string{dir}, 100*time.Millisecond
			g := start(t, o)
			x := call(api, "putParcel", func(x *exchange.Exchange) {
				x.Request.Body = &exchange.Body{Root: &value.Value{Kind: value.Object, Kids: []value.Value{{Kind: value.String, Name: "s", Text: text}}}}
			})
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			v := decide(t, g, x)
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			if v.Action == exchange.Allow || c.code != "" && v.Code != c.code {
				t.Errorf("%v %s (%.200s), want %s", v.Action, v.Code, v.Reason, c.code)
			}
			// The machine may be busy: what counts is that it is not without end.
			if took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1024 {
				t.Errorf("it took %d MiB", grown)
			}
		})
	}
}

// BenchmarkDecideUnderLoad decides by role and ownership from more goroutines
// than there are processors, and reports what the slowest of a hundred and of a
// thousand decisions take.
func BenchmarkDecideUnderLoad(b *testing.B) {
	api := parcelAPI()
	owners := make([]string, 10_000)
	for i := range owners {
		owners[i] = fmt.Sprintf("%q: %q", fmt.Sprint("q", i), "bob")
	}
	dir := files(b, map[string]string{"d.json": `{"owners": {"p1": "alice", ` + strings.Join(owners, ",") + `}}`, "p.rego": `package crenel.authz
default decision := false
decision if "admin" in input.identity.roles
decision if {
	input.identity.verified
	"user" in input.identity.roles
	data.owners[input.object.id] == input.identity.subject
}
`})
	o := options(api)
	o.Config.Policies, o.Config.Data = []string{dir + "/p.rego"}, []string{dir + "/d.json"}
	rule := start(b, o).Steps()[0].Rule
	id := alice()
	var mu sync.Mutex
	var all []time.Duration
	b.SetParallelism(4)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		x := call(api, "getParcel", func(x *exchange.Exchange) { x.Identity = id })
		mine := make([]time.Duration, 0, 1<<16)
		for pb.Next() {
			begin := time.Now()
			if v := rule(b.Context(), x); v.Action != exchange.Allow {
				b.Error(v)
				return
			}
			mine = append(mine, time.Since(begin))
		}
		mu.Lock()
		all = append(all, mine...)
		mu.Unlock()
	})
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Nanoseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-µs")
	b.ReportMetric(at(0.99), "p99-µs")
	b.ReportMetric(at(0.999), "p999-µs")
}
