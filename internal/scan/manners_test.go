package scan

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/race"
	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// A target that points elsewhere wherever it can: what is there is never asked
// for anything, whatever a description, a redirect or a link says.
func TestNothingLeavesTheScope(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("a scan of everything, aggressively: it runs without the race detector")
	}
	var strays atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strays.Add(1)
		t.Errorf("the trap was asked for %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(trap.Close)
	notes := &scantest.Notes{Open: true}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, trap.URL+"/welcome", http.StatusFound)
			return
		case "/moved":
			w.Header().Set("Location", trap.URL+"/notes/7")
			w.Header().Set("Link", "<"+trap.URL+"/notes?page=2>; rel=\"next\"")
			w.Header().Set("Refresh", "0; url="+trap.URL)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"next": %q, "_links": {"self": {"href": %q}}, "url": %q}`, trap.URL+"/n", trap.URL+"/s", trap.URL+"/u")
			return
		}
		notes.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	spec := strings.Replace(scantest.Spec, "paths:\n", "servers: [{url: '"+trap.URL+"/v1'}]\npaths:\n  /away: {servers: [{url: '"+trap.URL+"'}], get: {operationId: away, responses: {'302': {description: away}}}}\n"+
		"  /moved: {post: {operationId: moved, requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {'201': {description: made}}}}\n", 1)
	for _, from := range []string{"file", "address"} {
		t.Run(from, func(t *testing.T) {
			o := &Options{Target: api.URL, Seed: 1, Mode: "aggressive"}
			if from == "file" {
				o.Spec = filepath.Join(t.TempDir(), "api.yaml")
				if err := os.WriteFile(o.Spec, []byte(spec), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				// The description itself is said to be elsewhere.
				mux := http.NewServeMux()
				mux.Handle("/openapi.json", http.RedirectHandler(trap.URL+"/openapi.json", http.StatusMovedPermanently))
				mux.HandleFunc("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(spec)) })
				mux.Handle("/", api.Config.Handler)
				both := httptest.NewServer(mux)
				t.Cleanup(both.Close)
				o.Target = both.URL
			}
			r := scanned(t, o).Report
			if find(r, "bola-read") == nil {
				t.Error("the hole was not found: the scan was none")
			}
		})
	}
	if n := strays.Load(); n != 0 {
		t.Errorf("%d requests left the scope", n)
	}
}

// What bounds a run holds, as the target counts it.
func TestBounds(t *testing.T) {
	t.Parallel()
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		limits Limits
		ended  string
		most   func(sent int, took time.Duration) error
	}{
		{"requests", Limits{MaxRequests: 60}, "budget of requests is used up (60)", func(sent int, _ time.Duration) error {
			if sent > 60 {
				return fmt.Errorf("%d requests", sent)
			}
			return nil
		}},
		{"time", Limits{MaxTime: 400 * time.Millisecond, Rate: 150}, "time for the run is over", func(_ int, took time.Duration) error {
			if took > 3*time.Second {
				return fmt.Errorf("it took %s", took)
			}
			return nil
		}},
		{"rate", Limits{Rate: 100, MaxRequests: 150}, "budget", func(sent int, took time.Duration) error {
			if rate := float64(sent) / took.Seconds(); rate > 125 || rate < 40 {
				return fmt.Errorf("%.0f requests a second", rate)
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			sent := 0
			notes := &scantest.Notes{Open: true}
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				sent++
				mu.Unlock()
				notes.ServeHTTP(w, r)
			}))
			t.Cleanup(api.Close)
			began := time.Now()
			res, err := Run(t.Context(), &Options{Spec: spec, Target: api.URL, Seed: 1, Limits: c.limits}, Events{})
			// Where nothing was attacked yet, the run says so: it is not clean.
			if early := res != nil && res.Report.Stats.Checks == 0; err != nil && !(early && errors.Is(err, ErrTarget)) || err == nil && early {
				t.Fatal(err)
			}
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%d requests in %s: %s", sent, took, res.Report.Ended)
			if !strings.Contains(res.Report.Ended, c.ended) {
				t.Errorf("ended %q, want %q", res.Report.Ended, c.ended)
			}
			if err := c.most(sent, took); err != nil {
				t.Error(err)
			}
		})
	}
}

// A target that limits how much it is asked at all slows the run down; the report
// says so, and what to do about it.
func TestEasedIsTold(t *testing.T) {
	t.Parallel()
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := &scantest.Notes{Open: true}
	var mu sync.Mutex
	since, n := time.Now(), 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if time.Since(since) > 500*time.Millisecond {
			since, n = time.Now(), 0
		}
		n++
		over := n > 60
		mu.Unlock()
		if over {
			http.Error(w, "not so fast", http.StatusTooManyRequests)
			return
		}
		notes.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	r := scanned(t, &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"bola-read", "undocumented-method", "cors-any-origin", "sqli"}}).Report
	e := r.Stats.Eased
	if e == nil || e.Holds == 0 || e.Seconds <= 0 {
		t.Fatalf("the figures say %+v of it", e)
	}
	for _, p := range r.Problems {
		if strings.Contains(p.What, "asked too much") && strings.Contains(p.Advice, "--rate") {
			return
		}
	}
	t.Errorf("no problem tells of it: %+v", r.Problems)
}
