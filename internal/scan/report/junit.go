package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/check"
)

type (
	junitSuites struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Skipped  int           `xml:"skipped,attr"`
		Time     string        `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string     `xml:"name,attr"`
		Class   string     `xml:"classname,attr"`
		File    string     `xml:"file,attr,omitempty"`
		Line    int        `xml:"line,attr,omitempty"`
		Failure *junitText `xml:"failure,omitempty"`
		Error   *junitText `xml:"error,omitempty"`
		Skipped *junitText `xml:"skipped,omitempty"`
		Out     string     `xml:"system-out,omitempty"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a report as JUnit XML: a suite for each check, a case for each
// operation on which it was tried, and a suite for what kept the run from
// looking. Findings that counted does not hold are told without failing.
func JUnit(w io.Writer, r *scan.Report, counted []*finding.Finding) error {
	all := &junitSuites{Name: "crenel scan " + clean(r.Target), Time: fmt.Sprintf("%.3f", r.Stats.Seconds)}
	fails := map[*finding.Finding]bool{}
	for _, f := range counted {
		fails[f] = true
	}
	byName := map[string]*junitSuite{}
	suite := func(name string) *junitSuite {
		if byName[name] == nil {
			byName[name] = &junitSuite{Name: name, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05")}
			all.Suites = append(all.Suites, byName[name])
		}
		return byName[name]
	}
	told := map[[3]string]bool{}
	for _, f := range r.Findings {
		told[[3]string{f.Check, f.Method, f.Path}] = true
		for _, a := range f.Places {
			told[[3]string{a.Check, a.Method, a.Path}] = true
		}
		suite(f.Check).Cases = append(suite(f.Check).Cases, junitFinding(f, fails[f]))
	}
	for _, c := range r.Checks {
		if told[[3]string{c.Check, c.Method, c.Path}] {
			continue
		}
		k := junitCase{Name: operation(c.Method, c.Path), Class: c.Check}
		switch c.State {
		case check.Skipped:
			k.Skipped = &junitText{Message: "it does not apply, or there was nothing to try it with"}
		case check.Unfinished:
			k.Skipped = &junitText{Message: clean("not finished: " + cmp.Or(r.Ended, "the run ended"))}
		case check.Inconclusive:
			k.Skipped = &junitText{Message: "tried, and could not be told"}
		case check.Clean, check.Open:
		}
		suite(c.Check).Cases = append(suite(c.Check).Cases, k)
	}
	coverage := suite("coverage")
	for _, c := range r.Coverage {
		k := junitCase{Name: operation(c.Method, c.Path), Class: "coverage"}
		if !c.Reached {
			k.Skipped = &junitText{Message: "not reached: " + clean(cmp.Or(c.Reason, "it was not called"))}
		}
		coverage.Cases = append(coverage.Cases, k)
	}
	for _, p := range r.Problems {
		coverage.Cases = append(coverage.Cases, junitCase{Name: clean("account " + cmp.Or(p.Who, "of anybody")), Class: "coverage", Skipped: &junitText{Message: clean(p.What + " " + p.Advice)}})
	}
	whole := junitCase{Name: "the run came to its end", Class: "coverage"}
	if r.Ended != "" {
		whole.Error = &junitText{Message: clean(r.Ended), Type: "ended"}
	}
	coverage.Cases = append(coverage.Cases, whole)
	for _, s := range all.Suites {
		for _, k := range s.Cases {
			s.Tests++
			switch {
			case k.Failure != nil:
				s.Failures++
			case k.Error != nil:
				s.Errors++
			case k.Skipped != nil:
				s.Skipped++
			}
		}
		all.Tests, all.Failures, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Skipped+s.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitFinding(f *finding.Finding, fails bool) junitCase {
	k := junitCase{Name: operation(f.Method, f.Path), Class: f.Check}
	if f.Where != "" {
		k.Name += " at " + clean(f.Where)
	}
	if f.Place != nil {
		k.File, k.Line = f.Place.File, f.Place.Line
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s, %s, CVSS %.1f, fingerprint %s\n", clean(f.Description), f.OWASP, f.CWE, f.Score, f.Fingerprint)
	for _, place := range also(f) {
		b.WriteString("Also: " + place + "\n")
	}
	for _, e := range f.Evidence {
		b.WriteString("  " + told(e) + "\n")
	}
	b.WriteString("Fix: " + clean(f.Fix) + "\n")
	switch {
	case f.Suppressed != nil:
		k.Skipped = &junitText{Message: clean(fmt.Sprintf("suppressed until %s: %s", f.Suppressed.Expires, f.Suppressed.Reason))}
	case fails:
		k.Failure = &junitText{Message: clean(f.Title), Type: string(f.Severity), Text: b.String()}
	default:
		k.Out = fmt.Sprintf("%s: %s\n%s", f.Severity, clean(f.Title), b.String())
	}
	return k
}
