package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// The section's beginning and end in the page.
const (
	sectionBegin = "<!-- bench-data: made by make bench-data -->"
	sectionEnd   = "<!-- end of bench-data -->"
)

func median(list []result, of func(*result) float64) float64 {
	v := make([]float64, len(list))
	for i := range list {
		v[i] = of(&list[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// report writes the section, and says whether Crenel keeps to its bounds.
func report(o *options, size int64, results map[string][]result) error {
	var b strings.Builder
	heapOf := func(s string) float64 { return median(results[s], func(r *result) float64 { return r.Heap }) }
	better := min(heapOf(opaMaps), heapOf(opaValues))
	fmt.Fprintf(&b, "%s\n\n## Policies on much data\n\n", sectionBegin)
	fmt.Fprintf(&b, "Made by `make bench-data`: %.0f MB of JSON (object → owner, user → roles → permissions, tenant → members → roles) read by OPA as a\n", float64(size)/1e6)
	b.WriteString("library, with either of its stores in memory, and by Crenel, each in a process of its own, one after the other in each round.\n")
	b.WriteString("The same Rego decides on the same 50,000 random calls; every store must decide the same.\n")
	b.WriteString("Heap is what is left after loading and collection; peak is the process's memory while it loads from a file.\n\n")
	fmt.Fprintf(&b, "%d cores, %s/%s, %s; one goroutine; seconds are of a core's work, the collector's too; median of %d rounds.\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), o.rounds)
	b.WriteString("| store | heap MB | of the JSON | of OPA's better | peak MB | load s |")
	names := []string{}
	for _, s := range shapes {
		names = append(names, s.name)
	}
	names = append(names, "together")
	for _, n := range names {
		fmt.Fprintf(&b, " %s/s |", n)
	}
	b.WriteString("\n|---|---:|---:|---:|---:|---:|" + strings.Repeat("---:|", len(names)) + "\n")
	for _, s := range stores {
		l := results[s.name]
		h := heapOf(s.name)
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.3f | %.0f | %.1f |", s.what, h/1e6, h/float64(size), h/better,
			median(l, func(r *result) float64 { return r.Peak })/1e6, median(l, func(r *result) float64 { return r.Load }))
		for _, n := range names {
			fmt.Fprintf(&b, " %.0f |", median(l, func(r *result) float64 { return r.Rates[n] }))
		}
		b.WriteString("\n")
	}
	b.WriteString("\nAllowed of the calls:")
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %d %%", n, allowed(results[opaMaps][0].Every[n]))
	}
	fmt.Fprintf(&b, ".\n\n%s\n", sectionEnd)
	fmt.Print("\n" + b.String())
	var errs []error
	if h := heapOf(tablesOf); h > o.most*better {
		errs = append(errs, fmt.Errorf("the heap is %.3f of OPA's: at most %.3f was asked for", h/better, o.most))
	}
	for _, n := range names {
		of := func(s string) float64 { return median(results[s], func(r *result) float64 { return r.Rates[n] }) }
		if mine, theirs := of(tablesOf), max(of(opaMaps), of(opaValues)); mine < theirs {
			errs = append(errs, fmt.Errorf("%s: %.0f decisions/s, OPA makes %.0f", n, mine, theirs))
		}
		want := results[opaMaps][0].Every[n]
		for s, l := range results {
			for i := range l {
				if l[i].Every[n] != want {
					errs = append(errs, fmt.Errorf("%s: %s does not decide as OPA does", n, s))
				}
			}
		}
		if p := allowed(want); p < 5 || p > 95 {
			errs = append(errs, fmt.Errorf("%s: %d %% of the calls are allowed: the figures say little", n, p))
		}
	}
	if len(errs) == 0 && o.out != "" {
		errs = append(errs, writeSection(o.out, b.String()))
	}
	return errors.Join(errs...)
}

// allowed is the share of ones, in percent.
func allowed(said string) int { return strings.Count(said, "1") * 100 / max(1, len(said)) }

// writeSection puts the section in the place of the last one, or at the end.
func writeSection(path, section string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(page), sectionBegin)
	after := ""
	if found {
		_, after, _ = strings.Cut(rest, sectionEnd)
	}
	text := strings.TrimRight(before, "\n") + "\n\n" + section + strings.TrimLeft(after, "\n")
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a page of the documentation
}
