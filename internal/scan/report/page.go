package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clean": clean, "also": also, "operation": operation, "lower": strings.ToLower, "count": count, "text": shownText, "who": func(s string) string { return clean(cmp.Or(s, "nobody")) },
	"status": status, "stylesheet": func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // our own
	"deref":       func(b *bool) bool { return b != nil && *b },
	"requestLine": func(m finding.Message) string { return m.Method + " " + m.URL },
	"statusClass": func(n int) string { return fmt.Sprintf("s%d", n/100) },
}).Parse(pageText))

// HTML writes a report as one page that needs nothing else: no script, no
// network, no font of its own. g draws what the run understood of the API; nil
// leaves it out.
func HTML(w io.Writer, r *scan.Report, g *graph.Graph) error {
	p := page{Report: r}
	by, suppressed, fresh := tally(r.Findings)
	for _, v := range severities {
		p.Tally = append(p.Tally, pageCount{string(v), by[v]})
	}
	p.Suppressed, p.Fresh = suppressed, fresh
	for i, f := range r.Findings {
		k := pageFinding{Finding: f, N: i + 1}
		if f.Place != nil && f.Place.Line > 0 {
			k.At = fmt.Sprintf("%s:%d", f.Place.File, f.Place.Line)
		}
		if c := check.Find(f.Check); c != nil {
			k.About, k.Proof = c.About, c.Proof
		}
		p.Findings = append(p.Findings, k)
	}
	if r.Stats.Operations > 0 {
		p.Reach = 100 * r.Stats.Reached / r.Stats.Operations
	}
	p.table(r)
	if g != nil {
		var svg bytes.Buffer
		if err := g.SVG(&svg); err != nil {
			return fmt.Errorf("drawing the graph: %w", err)
		}
		// As an image the drawing can neither style the page nor run anything.
		p.Graph = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg.Bytes())) //nolint:gosec // base64
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

type page struct {
	Report     *scan.Report
	Tally      []pageCount
	Suppressed int
	Reach      int // percent of the operations
	Fresh      int
	Findings   []pageFinding
	Columns    []string
	Rows       []pageRow
	Graph      template.URL
}

type pageCount struct {
	Name string
	N    int
}

type pageFinding struct {
	*finding.Finding
	N            int
	At           string
	About, Proof string
}

// pageRow is an operation: how it was reached, and what became of each check.
type pageRow struct {
	Method, Path, Reason string
	Reached              bool
	Requests             int
	Cells                []pageCell
}

type pageCell struct {
	State string // "", or check.State
	Title string
	Link  string // of the finding, when it is open
}

// table lays out operations × checks; checks that met no operation have no column.
func (p *page) table(r *scan.Report) {
	type key struct{ check, method, path string }
	states := map[key]check.State{}
	seen := map[string]bool{}
	for _, c := range r.Checks {
		states[key{c.Check, c.Method, c.Path}] = c.State
		if c.State != check.Skipped && !seen[c.Check] {
			seen[c.Check] = true
			p.Columns = append(p.Columns, c.Check)
		}
	}
	links := map[key]string{}
	for i, f := range r.Findings {
		links[key{f.Check, f.Method, f.Path}] = fmt.Sprintf("#finding-%d", i+1)
		for _, a := range f.Places {
			links[key{a.Check, a.Method, a.Path}] = fmt.Sprintf("#finding-%d", i+1)
		}
	}
	for _, c := range r.Coverage {
		row := pageRow{Method: c.Method, Path: c.Path, Reason: c.Reason, Reached: c.Reached, Requests: c.Requests}
		for _, name := range p.Columns {
			k := key{name, c.Method, c.Path}
			cell := pageCell{State: string(states[k]), Link: links[k]}
			if cell.Link != "" {
				cell.State = string(check.Open)
			}
			cell.Title = fmt.Sprintf("%s on %s %s: %s", name, c.Method, c.Path, cmp.Or(cell.State, "not tried"))
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
}

// shownText is a body or a script for a <pre>: lines kept, the rest made visible.
func shownText(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = clean(strings.ReplaceAll(lines[i], "\t", "  "))
	}
	return strings.Join(lines, "\n")
}
