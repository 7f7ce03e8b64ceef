package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// Terminal is how a summary is shown.
type Terminal struct {
	Colour bool
	Width  int  // columns; 0: 100
	All    bool // also what is suppressed, and every operation that was not reached
}

// shownUnreached is how many unreached operations a summary tells without All.
const shownUnreached = 12

// shownPlaces is how many further places of a finding it tells.
const shownPlaces = 6

// Write writes a summary for a person: what was found and how to mend it, how
// far the run got and what stood in its way.
func (t Terminal) Write(w io.Writer, r *scan.Report) error {
	if t.Width <= 0 {
		t.Width = 100
	}
	t.Width = max(t.Width, 50)
	s := &screen{Terminal: t, w: w}
	s.head(r)
	s.findings(r)
	s.reach(r)
	s.troubles(r)
	s.foot(r)
	return s.err
}

type screen struct {
	Terminal
	w   io.Writer
	err error
}

func (s *screen) line(format string, args ...any) {
	if s.err != nil {
		return
	}
	if _, err := fmt.Fprintf(s.w, format+"\n", args...); err != nil {
		s.err = fmt.Errorf("writing the summary: %w", err)
	}
}

// block writes text below a label, indented and wrapped.
func (s *screen) block(indent int, label, text string) {
	pad := strings.Repeat(" ", indent)
	hang := strings.Repeat(" ", len([]rune(label)))
	for i, l := range wrap(text, s.Width-indent-len([]rune(label))) {
		if i == 0 {
			s.line("%s%s%s", pad, s.dim(label), l)
		} else {
			s.line("%s%s%s", pad, hang, l)
		}
	}
}

func (s *screen) paint(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) bold(t string) string { return s.paint("1", t) }
func (s *screen) dim(t string) string  { return s.paint("2", t) }

// badge is a severity as a word of one width.
func (s *screen) badge(v finding.Severity) string {
	text := " " + strings.ToUpper(string(v)) + strings.Repeat(" ", max(0, 9-len(v)))
	return s.paint(map[finding.Severity]string{
		finding.Critical: "1;97;41", finding.High: "1;30;101", finding.Medium: "30;43", finding.Low: "30;46", finding.Info: "30;47",
	}[v], text)
}

func (s *screen) head(r *scan.Report) {
	s.line("")
	name := clean(cmp.Or(r.API, r.Spec, "scan"))
	s.line("%s  %s", s.bold(line(name, 60)), s.dim(clean(r.Target)))
	if r.Ended != "" {
		s.block(0, s.paint("1;33", "Ended early: "), r.Ended)
	}
	s.line("")
}

func (s *screen) findings(r *scan.Report) {
	for _, f := range r.Findings {
		if f.Suppressed == nil || s.All {
			s.finding(f)
		}
	}
	switch {
	case len(r.Findings) > 0:
	case r.Stats.Reached == 0:
		s.line("%s", s.paint("1;33", "Nothing was reached, so nothing can be said of it."))
		s.line("")
	default:
		s.line("%s", s.paint("32", "Nothing was found in what was reached."))
		s.line("")
	}
}

func (s *screen) finding(f *finding.Finding) {
	const indent = 11
	mark := ""
	switch {
	case f.Suppressed != nil:
		mark = s.dim("  suppressed until " + f.Suppressed.Expires)
	case f.New != nil && *f.New:
		mark = s.paint("1;35", "  new")
	}
	for i, l := range wrap(f.Title, s.Width-indent-len("  new")) {
		if i == 0 {
			s.line("%s %s%s", s.badge(f.Severity), s.bold(l), mark)
		} else {
			s.line("%s%s", strings.Repeat(" ", indent), s.bold(l))
		}
	}
	pad := strings.Repeat(" ", indent)
	where := clean(operation(f.Method, f.Path))
	if f.Where != "" {
		where += s.dim("  at ") + clean(f.Where)
	}
	if f.Place != nil && f.Place.Line > 0 {
		where += s.dim(fmt.Sprintf("  %s:%d", clean(f.Place.File), f.Place.Line))
	}
	s.line("%s%s", pad, where)
	if places := also(f); len(places) > 0 {
		more := ""
		if n := len(places); n > shownPlaces && !s.All {
			places, more = places[:shownPlaces], fmt.Sprintf("; and %d more", n-shownPlaces)
		}
		s.block(indent, "Also: ", strings.Join(places, "; ")+more)
	}
	s.block(indent, "", f.Description)
	s.block(indent, "Fix: ", f.Fix)
	refs := fmt.Sprintf("%s · %s · %s · CVSS %.1f · %s", f.Check, f.OWASP, f.CWE, f.Score, f.Fingerprint)
	if f.Regression != "" {
		refs += " · " + f.Regression
	}
	s.line("%s%s", pad, s.dim(clean(refs)))
	if f.Suppressed != nil {
		s.block(indent, "Suppressed: ", f.Suppressed.Reason)
	}
	s.line("")
}

func (s *screen) reach(r *scan.Report) {
	method, path, reason := unreached(r)
	reached := fmt.Sprintf("%d of %d operations answered with a success", r.Stats.Reached, r.Stats.Operations)
	if len(path) == 0 {
		s.line("%s%s", s.bold("Reached   "), reached)
		return
	}
	s.line("%s%s; not these, so nothing is said of them:", s.bold("Reached   "), reached)
	for i := range path {
		if i == shownUnreached && !s.All {
			s.line("%s", s.dim(fmt.Sprintf("            and %d more: the report has them all", len(path)-i)))
			break
		}
		s.line("            %s", clean(operation(method[i], path[i])))
		s.block(14, "", cmp.Or(reason[i], "it was not called"))
	}
}

func (s *screen) troubles(r *scan.Report) {
	for _, a := range r.Actors {
		how := a.How
		if a.Made {
			how = "registered by the run; " + how
		}
		s.block(0, s.label("Account"), a.Name+": "+how)
	}
	for _, p := range r.Problems {
		s.line("%s%s", s.paint("1;33", "Problem   "), clean(strings.TrimSpace(p.Who+" "+p.What)))
		s.block(10, "→ ", p.Advice)
	}
	for _, g := range r.Gone {
		s.line("%s%s", s.bold("Gone      "), clean(fmt.Sprintf("%s (%s, %s)", g.Title, operation(g.Method, g.Path), g.Check)))
	}
	for _, i := range r.Idle {
		why := "names nothing that was found"
		if until, err := time.Parse(time.DateOnly, i.Expires); err == nil && !r.Started.Before(until) {
			why = "is expired: what it names counts again"
		}
		s.line("%s%s", s.bold("Idle      "), clean(fmt.Sprintf("the suppression of %s (%s, until %s) %s", i.Fingerprint, i.Reason, i.Expires, why)))
	}
	s.left(r)
	if n := len(r.Repairs); n > 0 {
		s.line("%s%s", s.bold("Spec      "), count(n, "thing")+" of the description had to be mended: the report tells them, and so does crenel scan --plan")
	}
}

// left tells what the run could not take away: a line for each kind and reason.
func (s *screen) left(r *scan.Report) {
	type kind struct{ resource, why string }
	ids := map[kind][]string{}
	var order []kind
	for _, l := range r.Left {
		k := kind{l.Resource, l.Why}
		if ids[k] == nil {
			order = append(order, k)
		}
		ids[k] = append(ids[k], l.ID)
	}
	for _, k := range order {
		list := ids[k]
		more := ""
		if len(list) > 3 && !s.All {
			list, more = list[:3], fmt.Sprintf(" and %d more", len(list)-3)
		}
		s.block(0, s.label("Left"), fmt.Sprintf("%s %s%s: %s", k.resource, strings.Join(list, ", "), more, k.why))
	}
}

func (s *screen) label(t string) string { return fmt.Sprintf("%-10s", t) }

func (s *screen) foot(r *scan.Report) {
	by, suppressed, fresh := tally(r.Findings)
	var parts []string
	for _, v := range severities {
		if by[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[v], v))
		}
	}
	found := cmp.Or(strings.Join(parts, ", "), "none")
	if fresh > 0 {
		found += fmt.Sprintf(" (%d new)", fresh)
	}
	if suppressed > 0 {
		found += fmt.Sprintf("; %d suppressed", suppressed)
	}
	s.line("%s%s", s.bold("Findings  "), s.bold(found))
	s.line("%s%s in %.1f s, %s, mode %s, seed %d", s.bold("Sent      "), count(int(r.Stats.Requests), "request"), r.Stats.Seconds, count(r.Stats.Checks, "check"), r.Mode, r.Seed)
}
