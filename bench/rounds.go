package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is one measurement, or the median of several.
type result struct {
	Requests int64 `json:"requests"`
	Micros   int64 `json:"micros"`
	P50      int64 `json:"p50"` // µs
	P99      int64 `json:"p99"`
	Refused  int64 `json:"refused"` // answers that are not 2xx or 3xx
	Broken   int64 `json:"broken"`  // connections
}

func (r result) perSecond() float64 { return float64(r.Requests) / (float64(r.Micros) / 1e6) }

// results are the measurements by method and target's name, in the order of the rounds.
type results map[string]map[string][]result

var methods = []string{"GET", "POST"}

// rounds measures every target with every method, in turn, so that what sways on
// the machine sways all of them.
func rounds(ctx context.Context, o *options, wrk string, l *load, targets []target) (results, error) {
	all := results{}
	for round := range o.rounds {
		for _, m := range methods {
			for _, t := range targets {
				if round == 0 { // warm up
					if _, err := run(ctx, o, wrk, l, m, t, 2*time.Second); err != nil {
						return nil, err
					}
				}
				r, err := run(ctx, o, wrk, l, m, t, o.duration)
				if err != nil {
					return nil, err
				}
				if r.Refused > 0 || r.Broken > 0 {
					return nil, fmt.Errorf("%s %s: %d answers were refusals and %d connections broke", m, t.name, r.Refused, r.Broken)
				}
				if all[m] == nil {
					all[m] = map[string][]result{}
				}
				all[m][t.name] = append(all[m][t.name], r)
				fmt.Printf("%-4s %-20s %8.0f requests/s   p50 %6.2f ms   p99 %6.2f ms\n", m, t.name, r.perSecond(), float64(r.P50)/1e3, float64(r.P99)/1e3)
			}
		}
	}
	return all, nil
}

// median is the round in the middle.
func (rs results) median(method, name string) result {
	list := slices.SortedFunc(slices.Values(rs[method][name]), func(a, b result) int { return cmp.Compare(a.perSecond(), b.perSecond()) })
	return list[len(list)/2]
}

// ratio is the median of what one target did in a round over what the other did in the
// same one: a machine that is slower for a while is so for both.
func (rs results) ratio(method, name, base string) float64 {
	var list []float64
	for i, r := range rs[method][name] {
		list = append(list, r.perSecond()/rs[method][base][i].perSecond())
	}
	slices.Sort(list)
	return list[len(list)/2]
}

func run(ctx context.Context, o *options, wrk string, l *load, method string, t target, d time.Duration) (result, error) {
	var r result
	args := []string{"-t2", "-c" + strconv.Itoa(o.connections), "-d" + strconv.Itoa(max(1, int(d.Seconds()))) + "s", "--timeout", "30s", "--latency", "-s", l.script, t.url, "--", method, l.dir, l.post}
	if l.host != "" {
		args = append(args, l.host)
	}
	out, err := exec.CommandContext(ctx, wrk, args...).CombinedOutput() //nolint:gosec // the arguments are ours
	if err != nil {
		return r, fmt.Errorf("wrk: %w: %s", err, out)
	}
	line := out[max(0, bytes.LastIndexByte(bytes.TrimSpace(out), '\n')):]
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("reading what wrk says: %w: %s", err, out)
	}
	return r, nil
}

// render makes docs/benchmarks.md.
func render(o *options, targets []target, rs results) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nMade by `make bench`, which repeats them: a bare Caddy reverse proxy against Crenel with contract, authn, authz and limit\n" +
		"enforced and the event file written (WAF off). Plain HTTP/1.1 on loopback, 1,000 different requests, the tokens of 100 callers;\n" +
		"load generator (wrk), proxy and upstream share the machine's cores, so the ratios count and the absolute figures do not.\n\n")
	fmt.Fprintf(&b, "Machine: %s. %d connections, median of %d rounds of %s, ratios of the same round.\n\n", machine(), o.connections, o.rounds, o.duration)
	b.WriteString("| request | what | requests/s | of bare Caddy | p50 ms | p99 ms |\n|---|---|---:|---:|---:|---:|\n")
	for _, m := range methods {
		name := m
		if m == "POST" {
			name = "POST 1 KB"
		}
		for _, t := range targets {
			r := rs.median(m, t.name)
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f %% | %.2f | %.2f |\n", name, t.name, r.perSecond(), 100*rs.ratio(m, t.name, bareCaddy), float64(r.P50)/1e3, float64(r.P99)/1e3)
		}
	}
	return b.String()
}

const bareCaddy = "bare Caddy" // the target of the first section that others are measured by

// judge fails when Crenel is too far behind bare Caddy.
func judge(rs results, least float64) error {
	for _, m := range methods {
		if r := rs.ratio(m, "Crenel", bareCaddy); r < least {
			return fmt.Errorf("%s: Crenel has %.0f %% of bare Caddy's throughput, at least %.0f %% is wanted", m, 100*r, 100*least)
		}
	}
	return nil
}
