package scan

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// repeated are APIs with their holes open, made anew.
var repeated = []struct {
	name, spec string
	open       func() http.Handler
}{
	{"notes", scantest.Spec, func() http.Handler { return &scantest.Notes{Open: true} }},
	{"ledger", ledgerSpec, func() http.Handler { return newLedger(true) }},
	{"memos", memosSpec, func() http.Handler {
		holes := map[string]bool{}
		for _, h := range []string{"bola-read", "bola-list", "bola-write", "bola-delete", "session-logout", "ssrf", "template-injection", "open-redirect"} {
			holes[h] = true
		}
		return (&memos{open: holes, users: map[string]string{}, sessions: map[string]string{}}).handler()
	}},
}

// The same seed finds the same: in a target that is new, and in one that still
// has what an earlier run made and learnt nothing of it.
func TestSameFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED in short mode: nine whole scans")
	}
	for _, api := range repeated {
		t.Run(api.name, func(t *testing.T) {
			t.Parallel()
			spec := filepath.Join(t.TempDir(), "api.yaml")
			if err := os.WriteFile(spec, []byte(api.spec), 0o600); err != nil {
				t.Fatal(err)
			}
			first := httptest.NewServer(api.open())
			t.Cleanup(first.Close)
			second := httptest.NewServer(api.open())
			t.Cleanup(second.Close)
			run := func(target string) *Report {
				res, err := Run(t.Context(), &Options{Spec: spec, Target: target, Seed: 42}, Events{})
				if err != nil {
					t.Fatal(err)
				}
				return res.Report
			}
			all := []*Report{run(first.URL), run(second.URL), run(first.URL)}
			want := fingerprints(all[0])
			if len(want) == 0 {
				t.Fatal("nothing was found")
			}
			for i, name := range []string{"in another target that is new", "in the same target again"} {
				if got := fingerprints(all[i+1]); !slices.Equal(got, want) {
					t.Errorf("%s:\n%s\nat first:\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if a, b := all[i+1].Stats.Reached, all[0].Stats.Reached; a != b {
					t.Errorf("%s %d operations were reached, at first %d", name, a, b)
				}
				if all[i+1].Run == all[0].Run {
					t.Error("two runs have one id")
				}
			}
		})
	}
}

func fingerprints(r *Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Fingerprint+" "+f.Check+" "+f.Method+" "+f.Path+" "+f.Where)
	}
	slices.Sort(out)
	return out
}
