package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/check"
)

// The parts of SARIF 2.1.0 (OASIS, 2020) that a scan fills; sections in brackets.
type (
	sarifLog struct { // 3.13
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct { // 3.14
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
		Properties  map[string]any    `json:"properties"`
	}
	sarifTool struct { // 3.18
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct { // 3.19
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct { // 3.49
		ID         string         `json:"id"`
		Name       string         `json:"name"`
		Short      sarifText      `json:"shortDescription"`
		Full       sarifText      `json:"fullDescription"`
		Help       sarifText      `json:"help"`
		Properties map[string]any `json:"properties"`
	}
	sarifText struct { // 3.11, 3.12
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct { // 3.20
		Successful    bool                `json:"executionSuccessful"`
		Start         string              `json:"startTimeUtc"`
		Notifications []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct { // 3.58
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct { // 3.27
		RuleID       string             `json:"ruleId"`
		RuleIndex    *int               `json:"ruleIndex,omitempty"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Prints       map[string]string  `json:"partialFingerprints"`
		Baseline     string             `json:"baselineState,omitempty"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Flows        []sarifFlow        `json:"codeFlows,omitempty"`
		Properties   map[string]any     `json:"properties,omitempty"`
	}
	sarifSuppression struct { // 3.35
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	sarifLocation struct { // 3.28
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
		Message  *sarifText     `json:"message,omitempty"`
	}
	sarifPhysical struct { // 3.29
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct { // 3.4
		URI string `json:"uri"`
	}
	sarifRegion struct { // 3.30
		StartLine int `json:"startLine"`
	}
	sarifLogical struct { // 3.33
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifFlow struct { // 3.36
		Threads []sarifThread `json:"threadFlows"`
	}
	sarifThread struct { // 3.37
		Steps []sarifStep `json:"locations"`
	}
	sarifStep struct { // 3.38
		Location sarifLocation `json:"location"`
	}
)

// SARIF writes a report as SARIF 2.1.0: a rule for each check that found
// something, a result for each hole, placed where the description speaks of the
// operation. Files are written relative to root; "" leaves them as they are.
func SARIF(w io.Writer, r *scan.Report, root string) error {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: r.Tool.Name, Version: r.Tool.Version, InformationURI: "https://github.com/crenel-project/crenel", Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{invocation(r)}, Results: []sarifResult{}, ColumnKind: "unicodeCodePoints",
		Properties: map[string]any{"target": r.Target, "seed": r.Seed, "mode": r.Mode, "operations": r.Stats.Operations, "operationsReached": r.Stats.Reached, "requests": r.Stats.Requests},
	}
	rules := map[string]int{}
	for _, f := range r.Findings {
		if _, ok := rules[f.Check]; !ok {
			rules[f.Check] = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule(f))
		}
		res := result(f, r, root)
		at := rules[f.Check]
		res.RuleIndex = &at
		run.Results = append(run.Results, res)
	}
	for _, g := range r.Gone {
		run.Results = append(run.Results, sarifResult{
			RuleID: cmp.Or(g.Check, "unknown"), Level: level(g.Severity), Message: sarifText{Text: cmp.Or(clean(g.Title), "A finding of the baseline")}, Baseline: "absent",
			Prints: map[string]string{"crenelFinding/v1": g.Fingerprint}, Locations: []sarifLocation{location(nil, g.Method, g.Path, r, root)},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

// level is a severity as SARIF has it (3.27.10).
func level(s finding.Severity) string {
	switch s {
	case finding.Critical, finding.High:
		return "error"
	case finding.Medium:
		return "warning"
	}
	return "note"
}

func rule(f *finding.Finding) sarifRule {
	short, about, proof, score := f.Title, f.Description, "", f.Score
	if c := check.Find(f.Check); c != nil {
		short, about, proof = c.Title, c.About, c.Proof
		if rated, _, err := finding.Rate(c.CVSS); err == nil {
			score = rated
		}
	}
	about = cmp.Or(about, short)
	help := sarifText{Text: about + "\n\nFix: " + f.Fix, Markdown: about + "\n\n**Fix:** " + f.Fix}
	if proof != "" {
		help.Text += "\n\nProof: " + proof
		help.Markdown += "\n\n**Proof:** " + proof
	}
	return sarifRule{
		ID: f.Check, Name: camel(f.Check), Short: sarifText{Text: short}, Full: sarifText{Text: about}, Help: help,
		Properties: map[string]any{
			// GitHub's code scanning ranks rules by this property, which must be a text.
			"security-severity": fmt.Sprintf("%.1f", score), "precision": "very-high",
			"tags": []string{"security", "external/cwe/" + strings.ToLower(f.CWE), f.OWASP, f.WSTG},
		},
	}
}

// camel is a check's id as SARIF names rules: bola-read, BolaRead.
func camel(id string) string {
	var b strings.Builder
	for _, w := range strings.Split(id, "-") {
		b.WriteString(title(w))
	}
	return b.String()
}

func result(f *finding.Finding, r *scan.Report, root string) sarifResult {
	text := strings.TrimSuffix(clean(f.Title), ".") + "."
	for _, more := range []string{f.Description, f.Fix} {
		if more != "" {
			text += " " + clean(more)
		}
	}
	res := sarifResult{
		RuleID: f.Check, Level: level(f.Severity), Message: sarifText{Text: text},
		Prints: map[string]string{"crenelFinding/v1": f.Fingerprint}, Locations: []sarifLocation{location(f.Place, f.Method, f.Path, r, root)},
		Properties: map[string]any{"severity": f.Severity, "score": f.Score, "cvss": f.CVSS, "where": f.Where, "fix": f.Fix, "reproduce": f.Reproduce},
	}
	for _, a := range f.Also() {
		res.Locations = append(res.Locations, location(a.Place, a.Method, a.Path, r, root))
	}
	if f.New != nil {
		res.Baseline = "unchanged"
		if *f.New {
			res.Baseline = "new"
		}
	}
	if s := f.Suppressed; s != nil {
		res.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: fmt.Sprintf("%s (until %s)", s.Reason, s.Expires)}}
	}
	if len(f.Evidence) > 0 {
		thread := sarifThread{}
		for _, e := range f.Evidence {
			thread.Steps = append(thread.Steps, sarifStep{sarifLocation{Physical: res.Locations[0].Physical, Message: &sarifText{Text: told(e)}}})
		}
		res.Flows = []sarifFlow{{[]sarifThread{thread}}}
	}
	return res
}

// told is one exchange of a proof in a line.
func told(e finding.Evidence) string {
	text := fmt.Sprintf("%s as %s: %s %s → %s", e.Part, cmp.Or(e.As, "nobody"), e.Request.Method, e.Request.URL, status(e.Response.Status))
	if e.Note != "" {
		text += " (" + e.Note + ")"
	}
	return clean(text)
}

func status(n int) string {
	if n == 0 {
		return "no answer"
	}
	return strconv.Itoa(n)
}

// location is where the description speaks of an operation, or, where nobody
// knows, the description as a whole: viewers show no result without a file.
func location(p *finding.Place, method, path string, r *scan.Report, root string) sarifLocation {
	file, row := r.Spec, 1
	if p != nil {
		file, row = p.File, max(p.Line, 1)
	}
	l := sarifLocation{Logical: []sarifLogical{{Name: operation(method, path), Kind: "resource"}}}
	if file != "" {
		l.Physical = &sarifPhysical{sarifArtifact{fileURI(file, root)}, sarifRegion{row}}
	}
	return l
}

// fileURI is a file as a relative reference below root, else as a URI (3.10).
func fileURI(file, root string) string {
	if strings.Contains(file, "://") {
		return file
	}
	if root != "" {
		if abs, err := filepath.Abs(file); err == nil {
			file = abs
			if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
				file = rel
			}
		}
	}
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return strings.TrimPrefix(u.String(), "./")
}

func invocation(r *scan.Report) sarifInvocation {
	inv := sarifInvocation{Successful: r.Ended == "", Start: r.Started.UTC().Format("2006-01-02T15:04:05.000Z"), Notifications: []sarifNotification{}}
	tell := func(level, text string) {
		inv.Notifications = append(inv.Notifications, sarifNotification{level, sarifText{Text: clean(text)}})
	}
	if r.Ended != "" {
		tell("error", "The run ended early: "+r.Ended)
	}
	for _, p := range r.Problems {
		tell("warning", strings.TrimSpace(p.Who+" "+p.What)+" "+p.Advice)
	}
	method, path, reason := unreached(r)
	for i := range path {
		tell("note", operation(method[i], path[i])+" was not reached: "+reason[i])
	}
	return inv
}
