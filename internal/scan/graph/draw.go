package graph

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// picture is what is drawn of a graph: resources as cards, and arrows from a
// resource to those whose operations need one of its objects.
type picture struct {
	title  string
	note   string
	cards  []*card
	arrows []*arrow
}

type card struct {
	resource *Resource // nil: operations that are about none
	name     string
	marks    []string // people, tenants
	ops      []*Op
	hidden   int // operations beyond those shown
	column   int
	x, y     float64
	w, h     float64
	fixed    float64 // where its neighbours would like it to be
}

type arrow struct {
	from, to *card
	nested   bool     // to lies under from in paths
	needs    []string // what needs what, for the tooltip
	back     bool     // against the order of columns
}

// Bounds of a drawing that people can look at.
const (
	maxCards    = 90
	maxCardOps  = 9
	maxPathText = 46
)

// picture chooses what to draw.
func (g *Graph) picture() *picture {
	p := &picture{title: g.API.Title}
	if p.title == "" {
		p.title = g.API.Source
	}
	byResource := map[*Resource]*card{}
	resources := slices.Clone(g.Resources)
	slices.SortStableFunc(resources, func(a, b *Resource) int { return len(b.Ops) - len(a.Ops) })
	shown := map[*Resource]bool{}
	for _, r := range resources[:min(len(resources), maxCards)] {
		shown[r] = true
	}
	for _, r := range g.Resources {
		if !shown[r] {
			continue
		}
		c := &card{resource: r, name: r.Name}
		if r.IsPerson {
			c.marks = append(c.marks, "people")
		}
		if r.IsTenant {
			c.marks = append(c.marks, "tenants")
		}
		c.show(r.Ops)
		byResource[r] = c
		p.cards = append(p.cards, c)
	}
	other := &card{name: "about no resource"}
	var loose []*Op
	for _, op := range g.Ops {
		if op.About == nil {
			loose = append(loose, op)
		}
	}
	if other.show(loose); len(loose) > 0 {
		p.cards = append(p.cards, other)
	}
	p.note = g.size()
	if n := len(resources) - len(shown); n > 0 {
		p.note += fmt.Sprintf("; the %d with fewest operations are not drawn", n)
	}
	between := map[[2]*card]*arrow{}
	link := func(from, to *card) *arrow {
		if from == nil || to == nil || from == to {
			return nil
		}
		a := between[[2]*card{from, to}]
		if a == nil {
			a = &arrow{from: from, to: to}
			between[[2]*card{from, to}] = a
			p.arrows = append(p.arrows, a)
		}
		return a
	}
	for _, r := range g.Resources {
		if r.Parent != nil {
			if a := link(byResource[r.Parent], byResource[r]); a != nil {
				a.nested = true
			}
		}
	}
	for _, op := range g.Ops {
		to := other
		if op.About != nil {
			to = byResource[op.About]
		}
		for _, in := range op.Inputs {
			if in.Object == nil || in.In == "query" && !in.Required {
				continue
			}
			from := byResource[g.byName[in.Object.Resource]]
			if from != nil && from.resource.IsPerson && in.In == "body" {
				continue // owners named in bodies: true of nearly everything
			}
			if a := link(from, to); a != nil && len(a.needs) < 12 {
				a.needs = append(a.needs, op.Method+" "+op.Path+": "+in.Where())
			}
		}
	}
	return p
}

func (c *card) show(ops []*Op) {
	rank := map[Kind]int{Create: 0, List: 1, Read: 2, Update: 3, Delete: 4, Action: 5}
	all := slices.Clone(ops)
	slices.SortStableFunc(all, func(a, b *Op) int { return cmp.Compare(rank[a.Kind], rank[b.Kind]) })
	c.ops = all[:min(len(all), maxCardOps)]
	c.hidden = len(all) - len(c.ops)
}

// purposeMarks are the purposes of an operation worth a mark, the likeliest first.
func (op *Op) purposeMarks() []string {
	var out []Purpose
	for p := range op.Purposes {
		if op.Has(p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Purpose) int {
		return cmp.Or(cmp.Compare(op.Purposes[b].Score, op.Purposes[a].Score), strings.Compare(string(a), string(b)))
	})
	var marks []string
	for _, p := range out[:min(2, len(out))] {
		marks = append(marks, string(p))
	}
	return marks
}

// DOT writes the graph for Graphviz.
func (g *Graph) DOT(w io.Writer) error {
	p := g.picture()
	out := &printer{w: w}
	out.line("digraph api {")
	out.line("  rankdir=LR; node [shape=plain fontname=\"Helvetica\" fontsize=10]; edge [color=\"#8a94a6\" arrowsize=0.7];")
	out.line("  label=%s; labelloc=t; fontname=\"Helvetica\";", dotText(p.title+" — "+p.note))
	id := map[*card]string{}
	for i, c := range p.cards {
		id[c] = fmt.Sprintf("n%d", i)
		var b strings.Builder
		fmt.Fprintf(&b, `<table border="1" cellborder="0" cellspacing="0" cellpadding="3" color="#8a94a6"><tr><td colspan="2" bgcolor="#e8ecf3" align="left"><b>%s</b></td></tr>`, escape(strings.Join(append([]string{c.name}, c.marks...), ", ")))
		for _, op := range c.ops {
			fmt.Fprintf(&b, `<tr><td align="left">%s</td><td align="left">%s</td></tr>`, op.Method, escape(op.Path))
		}
		if c.hidden > 0 {
			fmt.Fprintf(&b, `<tr><td colspan="2" align="left">and %d more</td></tr>`, c.hidden)
		}
		b.WriteString("</table>")
		out.line("  %s [label=<%s>];", id[c], b.String())
	}
	for _, a := range p.arrows {
		style := ""
		if a.nested {
			style = " penwidth=1.8"
		}
		out.line("  %s -> %s [tooltip=%s%s];", id[a.from], id[a.to], dotText(strings.Join(a.needs, "\n")), style)
	}
	out.line("}")
	return out.err
}

func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// escape writes a text for XML.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;").Replace(strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff || r == 0xfffd || r >= 0xd800 && r < 0xe000 {
			return ' '
		}
		return r
	}, s))
}

// shorten cuts the middle out of a long text.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	tail := most * 2 / 3
	return string(r[:most-tail-1]) + "…" + string(r[len(r)-tail:])
}
