package scan

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// fragile is the notes' API, and what a call of its operation /broken does to its process.
func fragile(t *testing.T, again time.Duration, broken func(p *scantest.Process, w http.ResponseWriter, r *http.Request)) (*scantest.Process, *Options) {
	t.Helper()
	p := &scantest.Process{Again: again, New: func(p *scantest.Process) http.Handler {
		notes := &scantest.Notes{}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/broken" && r.Header.Get("Authorization") != "" {
				broken(p, w, r)
				return
			}
			notes.ServeHTTP(w, r)
		})
	}}
	address, err := p.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, &Options{Spec: spec, Target: address, Seed: 1, Checks: []string{"bola-read", "outage"}, Limits: Limits{Timeout: time.Second, DownFor: 20 * time.Second}}
}

func find(r *Report, check string) *finding.Finding {
	i := slices.IndexFunc(r.Findings, func(f *finding.Finding) bool { return f.Check == check })
	if i < 0 {
		return nil
	}
	return r.Findings[i]
}

func told(r *Report, text string) bool {
	for _, p := range r.Problems {
		if strings.Contains(p.What, text) {
			return true
		}
	}
	return false
}

// A target that dies of one request is waited for, its accounts are made again
// where it forgot them, and the request is a finding: it has done it twice.
func TestTargetDiesOfOneRequest(t *testing.T) {
	t.Parallel()
	// It is away for longer than a busy machine may keep the scanner from looking,
	// and slow answers are none of this test's.
	p, o := fragile(t, 700*time.Millisecond, func(p *scantest.Process, _ http.ResponseWriter, _ *http.Request) {
		p.Die()
		panic(http.ErrAbortHandler)
	})
	o.Limits.Timeout = 10 * time.Second
	r := scanned(t, o).Report
	f := find(r, "outage")
	if f == nil || f.Method != "GET" || f.Path != "/broken" || len(f.Evidence) < 2 {
		t.Fatalf("finding: %+v", f)
	}
	for _, g := range r.Findings {
		if g.Check == "outage" && g != f {
			t.Errorf("another request is accused: %s", g.Title)
		}
	}
	if !told(r, "went away (nothing listened)") {
		t.Errorf("problems: %+v", r.Problems)
	}
	if r.Ended != "" || r.Stats.Reached < 4 || !slices.ContainsFunc(r.Checks, func(c check.Cell) bool { return c.Check == "bola-read" && c.State == check.Clean }) {
		t.Errorf("the run did not go on: %q, %d reached", r.Ended, r.Stats.Reached)
	}
	if n := p.Deaths(); n > 12 { // seven, where nothing else is under way with it
		t.Errorf("the target died %d times of a run that knows why", n)
	}
}

// One that hangs is noticed as well.
func TestTargetHangsFromOneRequest(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED in short mode: the target hangs three times, eight seconds each")
	}
	_, o := fragile(t, 0, func(p *scantest.Process, w http.ResponseWriter, _ *http.Request) {
		p.Hang(8 * time.Second)
		time.Sleep(1200 * time.Millisecond)
		w.WriteHeader(http.StatusInternalServerError)
	})
	r := scanned(t, o).Report
	f := find(r, "outage")
	if f == nil || f.Path != "/broken" {
		t.Fatalf("finding: %+v, problems %+v", f, r.Problems)
	}
	if !told(r, "the target hung ") {
		t.Errorf("problems: %+v", r.Problems)
	}
}

// One that does not come back ends the run: the target is unusable, and what it was answering is told.
func TestTargetDiesForGood(t *testing.T) {
	// Not beside others: on a busy machine another request may be the first to find it gone.
	_, o := fragile(t, 0, func(p *scantest.Process, _ http.ResponseWriter, _ *http.Request) {
		p.Die()
		panic(http.ErrAbortHandler)
	})
	o.Limits.DownFor = time.Second
	res, err := Run(t.Context(), o, Events{})
	if !errors.Is(err, ErrTarget) || res == nil {
		t.Fatalf("%v", err)
	}
	if !told(res.Report, "did not come back; under way then: ") || !told(res.Report, "GET /broken") {
		t.Errorf("problems: %+v", res.Report.Problems)
	}
}

// One that is restarted by somebody else accuses nobody.
func TestTargetIsRestartedByItself(t *testing.T) {
	var p *scantest.Process
	var calls atomic.Int32
	p, o := fragile(t, 200*time.Millisecond, func(p *scantest.Process, w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			p.Die()
		}
		w.WriteHeader(http.StatusNotFound)
	})
	r := scanned(t, o).Report
	if f := find(r, "outage"); f != nil {
		t.Errorf("accused: %s", f.Title)
	}
	if p.Deaths() != 1 || !told(r, "went away") {
		t.Errorf("%d deaths, problems: %+v", p.Deaths(), r.Problems)
	}
}
