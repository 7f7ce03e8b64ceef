package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

type options struct {
	bytes    int64
	duration time.Duration
	rounds   int
	out      string
	most     float64
	child    string
	file     string
}

func main() {
	var o options
	flag.Int64Var(&o.bytes, "bytes", 100_000_000, "of JSON")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured, the stores in turn; the median counts")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the page whose section is written; empty: none")
	flag.Float64Var(&o.most, "most", 0.2, "fail when Crenel's heap is more than this of OPA's")
	flag.StringVar(&o.child, "child", "", "used by the command itself")
	flag.StringVar(&o.file, "file", "", "used by the command itself")
	flag.Parse()
	err := run(&o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-data:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	if o.child != "" {
		return child(o)
	}
	dir, err := os.MkdirTemp("", "crenel-bench-data")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	o.file = filepath.Join(dir, "data.json")
	f, err := os.Create(o.file)
	if err != nil {
		return err
	}
	_, n, err := generate(f, o.bytes)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Printf("%.1f MB of JSON\n", float64(n)/1e6)
	results := map[string][]result{}
	for round := range o.rounds {
		for _, s := range stores {
			r, err := measure(o, s.name)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			results[s.name] = append(results[s.name], *r)
			fmt.Printf("round %d  %-12s heap %6.1f MB  peak %6.1f MB  load %5.1f s  %v decisions/s\n", round+1, s.name, r.Heap/1e6, r.Peak/1e6, r.Load, r.Rates)
		}
	}
	return report(o, n, results)
}

// result is what one process measured.
type result struct {
	Heap  float64            // bytes, after loading and collection, without those before
	Peak  float64            // bytes of the process's memory at most while loading
	Load  float64            // seconds of a core
	Rates map[string]float64 // decisions a second of a core, by package
	Every map[string]string  // the decisions on the first calls, to be compared
}

func measure(o *options, store string) (*result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(context.Background(), self, "-child", store, "-file", o.file, "-bytes", strconv.FormatInt(o.bytes, 10), "-duration", o.duration.String()) //nolint:gosec // it calls itself
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, err
	}
	r := &result{}
	return r, json.Unmarshal(out, r)
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// callCount is how many different calls are made, over and over.
const callCount = 50_000

func child(o *options) error {
	i := slices.IndexFunc(stores, func(s store) bool { return s.name == o.child })
	if i < 0 {
		return fmt.Errorf("no store %s", o.child)
	}
	worlds, _, err := generate(io.Discard, o.bytes)
	if err != nil {
		return err
	}
	before := heap()
	begin := worked()
	makeDecider, err := stores[i].load(o.file)
	if err != nil {
		return err
	}
	r := &result{Load: (worked() - begin).Seconds(), Rates: map[string]float64{}, Every: map[string]string{}}
	r.Heap = heap() - before
	if r.Peak, err = peak(); err != nil {
		return err
	}
	packages := map[string]string{"together": together}
	for _, s := range shapes {
		packages[s.name] = s.rego
	}
	for name, module := range packages {
		d, err := makeDecider(module, name)
		if err != nil {
			return err
		}
		if r.Rates[name], r.Every[name], err = rate(d, calls(name, worlds, callCount), o.duration); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	runtime.KeepAlive(makeDecider)
	return json.NewEncoder(os.Stdout).Encode(r)
}

// rate decides for a while.
func rate(d decider, inputs []map[string]any, limit time.Duration) (float64, string, error) {
	ctx := context.Background()
	values := make([]ast.Value, len(inputs))
	for i, in := range inputs {
		values[i] = ast.MustInterfaceToValue(in)
	}
	var said strings.Builder
	for _, v := range values[:2000] {
		allow, err := d(ctx, v)
		if err != nil {
			return 0, "", err
		}
		if allow {
			said.WriteByte('1')
		} else {
			said.WriteByte('0')
		}
	}
	runtime.GC()
	n := 0
	begin := worked()
	for worked()-begin < limit {
		for range 100 {
			if _, err := d(ctx, values[n%len(values)]); err != nil {
				return 0, "", err
			}
			n++
		}
	}
	return float64(n) / (worked() - begin).Seconds(), said.String(), nil
}

// peak is the most memory that the process has had, where the system says so.
func peak() (float64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb float64
	_, err = fmt.Sscan(rest, &kb)
	return kb * 1024, err
}
