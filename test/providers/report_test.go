package providers_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/report"
	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// scanPage is the page of a scan: of a real one, with more findings, of every
// severity, some with many further places.
func scanPage(t *testing.T) (file string, findings []*finding.Finding) {
	t.Helper()
	dir := t.TempDir()
	spec := filepath.Join(dir, "openapi.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(&scantest.Notes{Open: true})
	defer api.Close()
	res, err := scan.Run(t.Context(), &scan.Options{Spec: spec, Target: api.URL, Seed: 1}, scan.Events{})
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(res.Report.Findings, func(f *finding.Finding) bool { return f.Check == "bola-read" && len(f.Evidence) > 0 })
	if first < 0 {
		t.Fatal("the scan has found nothing that could be shown")
	}
	hole := res.Report.Findings[first]
	for i, s := range []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info} {
		for j := range 3 {
			f := *hole
			f.Severity, f.Fingerprint = s, fmt.Sprintf("%032x", 100*i+j)
			f.Title = fmt.Sprintf("%s <i>in</i> a place with-a-name-that-does-not-end-%s", f.Title, strings.Repeat("nor-break-", 12))
			for n := range 40 * j {
				f.Places = append(f.Places, finding.At{Fingerprint: fmt.Sprintf("%032x", 1000+n), Check: f.Check, Title: f.Title, Method: "GET", Path: fmt.Sprintf("/notes/{id}/parts/%d", n), Where: "path.id"})
			}
			res.Report.Findings = append(res.Report.Findings, &f)
		}
	}
	finding.Sort(res.Report.Findings)
	file = filepath.Join(dir, "report.html")
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := report.HTML(w, res.Report, res.Graph); err != nil {
		t.Fatal(err)
	}
	return file, res.Report.Findings
}

// TestScanPage: a browser shows a scan's page without asking the network for anything
// and without a complaint; its filter, its rows and its links do what they say.
func TestScanPage(t *testing.T) {
	c := newChromium(t)
	file, findings := scanPage(t)
	c.do("Network.enable", nil)
	c.open("file://" + file)
	c.until(`document.querySelectorAll(".finding").length > 0`)
	c.picture("scan-page")

	if n := c.eval(`document.querySelectorAll(".finding").length`); n != float64(len(findings)) {
		t.Errorf("%v findings are shown, want %d", n, len(findings))
	}
	if wide := c.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide != 0.0 {
		t.Errorf("the page is %v pixels wider than the window", wide)
	}
	if img := c.eval(`[...document.images].every(i => i.complete && i.naturalWidth > 0)`); img != true {
		t.Error("a picture is not shown")
	}
	const shown = `[...document.querySelectorAll(".finding")].filter(f => f.offsetParent !== null)`
	for _, s := range []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info} {
		want := 0
		for _, f := range findings {
			if f.Severity == s {
				want++
			}
		}
		c.eval(fmt.Sprintf(`document.querySelector("label[for=f-%s]").click()`, s))
		if n := c.eval(shown + `.length`); n != float64(want) {
			t.Errorf("filter %s: %v findings, want %d", s, n, want)
		}
		if other := c.eval(fmt.Sprintf(`%s.some(f => !f.classList.contains(%q))`, shown, s)); other != false {
			t.Errorf("filter %s shows another severity", s)
		}
	}
	c.eval(`document.querySelector("label[for=f-all]").click()`)
	if n := c.eval(shown + `.length`); n != float64(len(findings)) {
		t.Errorf("filter all: %v findings, want %d", n, len(findings))
	}

	// A row opens, and in it a step of the proof.
	c.eval(`document.querySelector(".finding.critical > summary").click()`)
	if open := c.eval(`document.querySelector(".finding.critical .body").offsetParent !== null && document.querySelector(".finding.critical .step .io").checkVisibility() === false`); open != true {
		t.Error("a row does not open, or its steps are open at once")
	}
	c.eval(`document.querySelector(".finding.critical .step > summary").click()`)
	if open := c.eval(`document.querySelector(".finding.critical .step pre").checkVisibility() && document.querySelector(".finding.critical .step pre").innerText.includes("HTTP") || document.querySelector(".finding.critical .step pre").innerText.length > 10`); open != true {
		t.Error("a step of the proof does not open")
	}
	c.picture("scan-page-open")
	if wide := c.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide != 0.0 {
		t.Errorf("with a row open the page is %v pixels wider than the window", wide)
	}
	// A cell of the table leads to its finding.
	if at := c.eval(`(() => { const a = document.querySelector("a.cell.open"); a.click(); return document.querySelector(a.getAttribute("href")).classList.contains("finding") && location.hash === a.getAttribute("href") })()`); at != true {
		t.Error("a cell of the table does not lead to its finding")
	}
	c.eval(`document.querySelector(".matrix").scrollIntoView()`)
	c.picture("scan-page-table")

	// The same on a telephone.
	c.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true})
	if wide := c.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide != 0.0 {
		t.Errorf("on a telephone the page is %v pixels wider than the window", wide)
	}
	c.eval(`scrollTo(0, 0)`)
	c.picture("scan-page-telephone")

	if said := c.said(); said != "" {
		t.Errorf("the console says %s", said)
	}
	for _, at := range c.asked() {
		if at != "file://"+file && !strings.HasPrefix(at, "data:") {
			t.Errorf("the page asks for %s", at)
		}
	}
	if len(c.asked()) == 0 {
		t.Error("the browser's requests were not seen")
	}
}
