package report

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// marker stands at the beginning of a comment, so that the next run finds it
// and replaces it.
const marker = "<!-- crenel-scan -->"

// maxMarkdown bounds a comment: GitHub takes 65,536 characters, GitLab more.
const maxMarkdown = 60_000

// Markdown writes a report as a comment on a pull request. counted are the
// findings that make the run fail.
func Markdown(w io.Writer, r *scan.Report, counted []*finding.Finding) error {
	var b strings.Builder
	b.WriteString(marker + "\n")
	switch {
	case len(counted) > 0:
		fmt.Fprintf(&b, "### ❌ Crenel: %s to mend\n\n", count(len(counted), "finding"))
	case r.Ended != "":
		b.WriteString("### ⚠️ Crenel: the scan ended early\n\n")
	default:
		b.WriteString("### ✅ Crenel: nothing that fails this run\n\n")
	}
	if r.Ended != "" {
		fmt.Fprintf(&b, "> The scan ended early: %s\n\n", md(r.Ended))
	}
	by, suppressed, fresh := tally(r.Findings)
	var parts []string
	for _, v := range severities {
		if by[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[v], v))
		}
	}
	fmt.Fprintf(&b, "**%s**", cmp.Or(strings.Join(parts, ", "), "no findings"))
	if fresh > 0 {
		fmt.Fprintf(&b, ", %d new", fresh)
	}
	if suppressed > 0 {
		fmt.Fprintf(&b, ", %d suppressed", suppressed)
	}
	if len(r.Gone) > 0 {
		fmt.Fprintf(&b, ", %d of the baseline gone", len(r.Gone))
	}
	fmt.Fprintf(&b, " · %d of %d operations reached · %d requests in %.0f s\n", r.Stats.Reached, r.Stats.Operations, r.Stats.Requests, r.Stats.Seconds)
	mdFindings(&b, r)
	mdReach(&b, r)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing Markdown: %w", err)
	}
	return nil
}

func mdFindings(b *strings.Builder, r *scan.Report) {
	rows := 0
	for _, f := range r.Findings {
		if f.Suppressed != nil {
			continue
		}
		if rows == 0 {
			b.WriteString("\n| severity | finding | where |\n|---|---|---|\n")
		}
		if b.Len() > maxMarkdown/2 {
			b.WriteString("| | … and more: the report has them all | |\n")
			break
		}
		rows++
		mark := ""
		if f.New != nil && *f.New {
			mark = " 🆕"
		}
		where := mdCode(operation(f.Method, f.Path))
		if f.Where != "" {
			where += " at " + mdCode(f.Where)
		}
		if n := len(f.Also()); n > 0 {
			where += fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(b, "| **%s**%s | %s | %s |\n", f.Severity, mark, md(line(f.Title, 160)), where)
	}
	for _, f := range r.Findings {
		if f.Suppressed != nil {
			continue
		}
		var d strings.Builder
		fmt.Fprintf(&d, "\n<details><summary><b>%s</b>: %s</summary>\n\n", f.Severity, md(line(f.Title, 160)))
		if f.Description != "" {
			fmt.Fprintf(&d, "%s\n\n", md(line(f.Description, 1200)))
		}
		for i, place := range also(f) {
			if i == 30 {
				fmt.Fprintf(&d, "- and %d more\n", len(f.Also())-i)
				break
			}
			fmt.Fprintf(&d, "- also %s\n", md(line(place, 200)))
		}
		if len(f.Also()) > 0 {
			d.WriteString("\n")
		}
		fmt.Fprintf(&d, "**Fix.** %s\n\n", md(line(f.Fix, 1200)))
		if f.Place != nil && f.Place.Line > 0 {
			fmt.Fprintf(&d, "In %s. ", mdCode(fmt.Sprintf("%s:%d", f.Place.File, f.Place.Line)))
		}
		fmt.Fprintf(&d, "%s · %s · %s · CVSS %.1f · `%s`\n", md(f.OWASP), md(f.CWE), mdCode(f.Check), f.Score, f.Fingerprint)
		for _, e := range f.Evidence {
			fmt.Fprintf(&d, "\n- %s", md(line(told(e), 300)))
		}
		if f.Reproduce != "" && len(f.Reproduce) < 4000 {
			fmt.Fprintf(&d, "\n\n%s\n", mdBlock("sh", f.Reproduce))
		}
		d.WriteString("\n</details>\n")
		if b.Len()+d.Len() > maxMarkdown-8000 {
			b.WriteString("\nThe details of the others are in the report.\n")
			return
		}
		b.WriteString(d.String())
	}
}

func mdReach(b *strings.Builder, r *scan.Report) {
	for _, p := range r.Problems {
		fmt.Fprintf(b, "\n> ⚠️ %s %s\n", md(line(p.Who+" "+p.What, 300)), md(line(p.Advice, 300)))
	}
	if len(r.Gone) > 0 {
		b.WriteString("\n<details><summary>Gone since the baseline</summary>\n")
		for i, g := range r.Gone {
			if i == 30 {
				fmt.Fprintf(b, "\n- and %d more", len(r.Gone)-i)
				break
			}
			fmt.Fprintf(b, "\n- %s (%s)", md(line(g.Title, 160)), mdCode(operation(g.Method, g.Path)))
		}
		b.WriteString("\n\n</details>\n")
	}
	method, path, reason := unreached(r)
	if len(path) == 0 {
		return
	}
	fmt.Fprintf(b, "\n<details><summary>%s not reached: nothing is said of them</summary>\n", count(len(path), "operation"))
	for i := range path {
		if i == 30 {
			fmt.Fprintf(b, "\n- and %d more", len(path)-i)
			break
		}
		fmt.Fprintf(b, "\n- %s: %s", mdCode(operation(method[i], path[i])), md(line(reason[i], 200)))
	}
	b.WriteString("\n\n</details>\n")
}

// md is text that a Markdown renderer shows and does not obey: no HTML, no
// link, no image, no mention.
func md(s string) string {
	var b strings.Builder
	for _, r := range clean(strings.Join(strings.Fields(s), " ")) {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '@': // would tell somebody of that name
			b.WriteString("@\u200b")
		case '\\', '`', '*', '_', '[', ']', '#', '|', '~', '!':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return reWWW.ReplaceAllString(strings.ReplaceAll(b.String(), "://", ":\u200b//"), "$1\u200b.")
}

// reWWW begins what renderers make a link of without a scheme (GitHub Flavored Markdown, section 6.9).
var reWWW = regexp.MustCompile(`(?i)\b(www)\.`)

// mdCode is text as code in a line, also within a table.
func mdCode(s string) string {
	s = strings.ReplaceAll(line(s, 200), "|", `\|`)
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if fence == "`" {
		return fence + s + fence
	}
	return fence + " " + s + " " + fence
}

// mdBlock is text as a block of code that nothing within it ends.
func mdBlock(language, s string) string {
	fence := "```"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = clean(strings.ReplaceAll(lines[i], "\t", "  "))
	}
	return fence + language + "\n" + strings.Join(lines, "\n") + "\n" + fence
}
