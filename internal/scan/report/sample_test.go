package report

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/scantest"
)

var sample = struct {
	once sync.Once
	res  *scan.Result
	err  error
	dir  string
}{}

// scanned is a real run against the notes, once for all tests.
func scanned(t *testing.T) *scan.Result {
	t.Helper()
	sample.once.Do(func() {
		sample.dir, sample.err = os.MkdirTemp("", "crenel-report-*")
		if sample.err != nil {
			return
		}
		srv := httptest.NewServer(&scantest.Notes{Open: true})
		defer srv.Close()
		spec := filepath.Join(sample.dir, "api.yaml")
		if sample.err = os.WriteFile(spec, []byte(scantest.Spec), 0o600); sample.err != nil {
			return
		}
		sample.res, sample.err = scan.Run(t.Context(), &scan.Options{
			Spec: spec, Target: srv.URL, Seed: 1, Version: "1.2.3", Checks: []string{"bola-read", "bola-write", "auth-missing", "cors-any-origin"},
		}, scan.Events{})
	})
	if sample.err != nil {
		t.Fatal(sample.err)
	}
	// Each test has findings of its own to change.
	copied := *sample.res.Report
	copied.Findings = nil
	for _, f := range sample.res.Report.Findings {
		c := *f
		copied.Findings = append(copied.Findings, &c)
	}
	if len(copied.Findings) == 0 {
		t.Fatal("the sample's hole was not found, so there is nothing to write about")
	}
	return &scan.Result{Report: &copied, Graph: sample.res.Graph, Proofs: sample.res.Proofs}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if sample.dir != "" {
		_ = os.RemoveAll(sample.dir)
	}
	os.Exit(code)
}

// hostile is a report each text of which tries to be obeyed by what shows it.
func hostile(t *testing.T) *scan.Report {
	t.Helper()
	r := *scanned(t).Report
	const evil = "</script><script>alert(1)</script>\x1b[2J\u202e](javascript:alert(1)) | `x` @everyone <img src=x onerror=alert(1)> ]]> https://evil.example/x"
	f := *r.Findings[0]
	f.Title, f.Description, f.Fix, f.Where, f.Path, f.Reproduce = evil, evil, evil, evil, "/"+evil, "```\n"+evil
	f.Evidence = []finding.Evidence{{Step: "x", Part: "attack", Note: evil, As: evil,
		Request:  finding.Message{Method: "GET", URL: "http://x/" + evil, Header: [][2]string{{"X", evil}}, Body: evil},
		Response: finding.Message{Status: 200, Header: [][2]string{{"Location", evil}}, Body: evil}}}
	r.Findings = []*finding.Finding{&f}
	r.API, r.Ended, r.Target = evil, evil, evil
	r.Gone = []finding.Known{{Fingerprint: f.Fingerprint, Title: evil, Severity: finding.High, Path: evil}}
	return &r
}
