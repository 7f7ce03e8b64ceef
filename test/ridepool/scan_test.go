package ridepool

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// scanned scans the API with nothing but its description and its address.
func scanned(t *testing.T, holes string) *scan.Report {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED in short mode: a whole scan of the sample API")
	}
	o := &scan.Options{Spec: "openapi.yaml", Target: start(t, holes), Mode: "aggressive", Seed: 1, Limits: scan.Limits{MaxTime: 10 * time.Minute}}
	res, err := scan.Run(t.Context(), o, scan.Events{})
	if err != nil {
		t.Fatal(err)
	}
	r := res.Report
	t.Logf("%d findings, %d of %d operations reached, %d requests in %.1f s", len(r.Findings), r.Stats.Reached, r.Stats.Operations, r.Stats.Requests, r.Stats.Seconds)
	for _, c := range r.Coverage {
		if !c.Reached {
			t.Logf("  not reached: %s %s: %s", c.Method, c.Path, c.Reason)
		}
	}
	if r.Ended != "" {
		t.Errorf("it ended before it was done: %s", r.Ended)
	}
	if dir := os.Getenv("CRENEL_SCAN_REPORTS"); dir != "" {
		text, err := json.MarshalIndent(r, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".json"), text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	return r
}

// shows says whether a finding shows a hole: at one of its operations, and a weakness
// that it may be called.
func shows(f *finding.Finding, h Hole) bool {
	return slices.Contains(h.CWE, f.CWE) && slices.ContainsFunc(h.Operations, func(op string) bool {
		if op == "*" {
			return true
		}
		method, path, _ := strings.Cut(op, " ")
		return samePath(path, f.Path) && (f.Method == "" || f.Method == method)
	})
}

// samePath compares templates: what they call their variables does not count, nor
// whether a variable has been filled in.
func samePath(want, got string) bool {
	got, _, _ = strings.Cut(got, "?")
	a, b := strings.Split(want, "/"), strings.Split(got, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !strings.HasPrefix(a[i], "{") && !strings.EqualFold(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestScanOpen: at least four of five holes, and nothing of medium or graver that is
// none of them.
func TestScanOpen(t *testing.T) {
	holes := documented(t)
	found := map[string]bool{}
	for _, f := range scanned(t, "all").Findings {
		var of []string
		for _, h := range holes {
			if shows(f, h) {
				found[h.ID] = true
				of = append(of, h.ID)
			}
		}
		switch {
		case of != nil:
			t.Logf("  %-8s %-20s %s: %s", f.Severity, f.Check, f.Title, strings.Join(of, ", "))
		case f.Severity.AtLeast(finding.Medium):
			t.Errorf("no documented hole: %s %s %s [%s]: %s", f.Severity, f.Check, f.Title, f.Where, f.Description)
		default:
			t.Logf("no documented hole: %s %s %s [%s]", f.Severity, f.Check, f.Title, f.Where)
		}
	}
	var missed []string
	for _, h := range holes {
		if !found[h.ID] {
			missed = append(missed, h.ID)
		}
	}
	slices.SortFunc(missed, cmp.Compare[string])
	t.Logf("%d of %d holes found; missed: %s", len(found), len(holes), strings.Join(missed, " "))
	if 5*len(found) < 4*len(holes) {
		t.Errorf("%d of %d holes found, want at least four of five", len(found), len(holes))
	}
}

// TestScanClosed: with no hole open, nothing of medium or graver.
func TestScanClosed(t *testing.T) {
	for _, f := range scanned(t, "none").Findings {
		if f.Severity.AtLeast(finding.Medium) {
			t.Errorf("a false alarm: %s %s %s [%s]: %s", f.Severity, f.Check, f.Title, f.Where, f.Description)
		} else {
			t.Logf("  %-8s %-20s %s", f.Severity, f.Check, f.Title)
		}
	}
}
