package graph

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Plan writes what the graph holds, for a person: resources and who makes,
// lists, reads, changes and deletes them, what operations are for and why, where
// the values come from, and which operations cannot be fed.
func (g *Graph) Plan(w io.Writer) error {
	p := &printer{w: w}
	title := g.API.Title
	if title == "" {
		title = g.API.Source
	}
	p.line("%s %s: %s", title, g.API.APIVersion, g.size())
	g.planCarriers(p)
	g.planResources(p)
	g.planPurposes(p)
	g.planUnfed(p)
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err != nil {
		return
	}
	_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *printer) table(rows [][]string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, p.err = fmt.Fprintln(t, "  "+strings.Join(r, "\t")); p.err != nil {
			return
		}
	}
	p.err = t.Flush()
}

func (g *Graph) planCarriers(p *printer) {
	secured := 0
	for _, op := range g.Ops {
		if op.Secured {
			secured++
		}
	}
	p.line("")
	p.line("Credentials: %d of %d operations ask for them", secured, len(g.Ops))
	var rows [][]string
	for _, c := range g.Carriers {
		rows = append(rows, []string{c.In, strings.TrimSpace(c.Name + ": " + c.Prefix + "…"), c.Why})
	}
	p.table(rows)
}

func (g *Graph) planResources(p *printer) {
	p.line("")
	p.line("Resources")
	for _, r := range g.Resources {
		var notes []string
		if r.IsPerson {
			notes = append(notes, "people")
		}
		if r.IsTenant {
			notes = append(notes, "tenants")
		}
		if r.Parent != nil {
			notes = append(notes, "under "+r.Parent.Name)
		}
		if len(r.IDs) > 0 {
			notes = append(notes, "known by "+strings.Join(r.IDs[:min(3, len(r.IDs))], ", "))
		}
		if len(r.Owners) > 0 {
			notes = append(notes, "owner in "+strings.Join(r.Owners[:min(3, len(r.Owners))], ", "))
		}
		p.line("")
		p.line("  %s%s", r.Name, parens(strings.Join(notes, "; ")))
		var rows [][]string
		for _, k := range []Kind{Create, List, Read, Update, Delete, Action} {
			for _, op := range r.Of(k) {
				lock := ""
				if op.Secured {
					lock = "secured"
				}
				rows = append(rows, []string{"  " + string(k), op.Method + " " + op.Path, lock, op.needs()})
			}
		}
		p.table(rows)
	}
	var rows [][]string
	for _, op := range g.Ops {
		if op.About == nil {
			rows = append(rows, []string{"  " + string(op.Kind), op.Method + " " + op.Path, op.needs()})
		}
	}
	if rows != nil {
		p.line("")
		p.line("  about no resource")
		p.table(rows)
	}
}

func parens(s string) string {
	if s == "" {
		return ""
	}
	return "  (" + s + ")"
}

// needs says where the values that an operation cannot do without come from.
func (op *Op) needs() string {
	var parts []string
	for _, in := range op.Inputs {
		if !in.Required && in.In != "path" || in.Object == nil && in.In != "path" {
			continue
		}
		from := "?"
		if len(in.Producers) > 0 {
			e := in.Producers[0]
			at := e.From.Pointer
			if e.From.Header != "" {
				at = e.From.Header
			}
			from = e.From.Op.Method + " " + e.From.Op.Path + " " + at
		}
		parts = append(parts, in.Name+" ← "+from)
	}
	return strings.Join(parts, ", ")
}

func (g *Graph) planPurposes(p *printer) {
	p.line("")
	p.line("Purposes")
	found := map[Purpose]bool{}
	for _, op := range g.Ops {
		for q := range op.Purposes {
			found[q] = found[q] || op.Has(q)
		}
	}
	for _, q := range slices.Sorted(maps.Keys(found)) {
		if !found[q] {
			continue
		}
		p.line("")
		p.line("  %s", q)
		var rows [][]string
		for _, op := range g.For(q) {
			rows = append(rows, []string{fmt.Sprintf("  %.2f", op.Purposes[q].Score), op.Method + " " + op.Path, op.Purposes[q].Why})
		}
		p.table(rows)
	}
}

// Unfed is an input that an operation cannot do without and that nothing gives.
type Unfed struct {
	Input *Input
	Why   string
}

// Unfed lists the inputs that name objects (or are tokens) and that no operation
// gives: the operations that take them work only with values from the user.
func (g *Graph) Unfed() []Unfed {
	var out []Unfed
	for _, op := range g.Ops {
		for _, in := range op.Inputs {
			if !in.Required || len(g.Producers(in)) > 0 {
				continue
			}
			if in.Schema != nil && (len(in.Schema.Enum()) > 0 || len(in.Schema.Examples()) > 0 || in.Schema.Default() != nil) {
				continue
			}
			switch {
			case in.Object != nil:
				out = append(out, Unfed{in, "no operation answers an identifier of a " + in.Object.Resource})
			case in.Meaning == MeansToken || in.Meaning == MeansOTP:
				out = append(out, Unfed{in, "no operation answers such a secret: it comes by another way (mail, telephone)"})
			}
		}
	}
	return out
}

func (g *Graph) planUnfed(p *printer) {
	list := g.Unfed()
	if len(list) == 0 {
		return
	}
	p.line("")
	p.line("Cannot be fed from answers; give values for these, or the examples must do")
	var rows [][]string
	for _, u := range list {
		rows = append(rows, []string{u.Input.Op.Method + " " + u.Input.Op.Path, u.Input.Where(), u.Why})
	}
	p.table(rows)
}

// size is how much an API has, in words.
func (g *Graph) size() string {
	several := func(n int, word string) string {
		if n != 1 {
			word += "s"
		}
		return fmt.Sprintf("%d %s", n, word)
	}
	return several(len(g.Ops), "operation") + ", " + several(len(g.Resources), "resource")
}
