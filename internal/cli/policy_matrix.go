package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/bundle"
	"github.com/crenel-project/crenel/internal/guard/authz/matrix"
	"github.com/crenel-project/crenel/internal/guard/authz/relation/source"
	"github.com/crenel-project/crenel/internal/spec"
)

// matrixFile is where the matrix lies, beside the config.
const matrixFile = "policy-matrix.yaml"

func newPolicyMatrix() *cobra.Command {
	var file, api, out string
	var write, check, asJSON bool
	c := &cobra.Command{
		Use:   "matrix",
		Short: "Show who may do what, and keep it from changing unseen",
		Long: `Derive from the document and the policies who may do what: every operation, for
every role and scope that document, config and policies name, with an object that
is the caller's own, another's of the caller's tenant, another tenant's, or nobody's.

--write puts the table into ` + matrixFile + ` beside the config, for a person to read and
to commit. --check compares with it and exits with 1 on any change, with the cells
that changed and the rules that decide now. No call is made.`,
		Args:    none,
		Example: examples("crenel policy matrix", "crenel policy matrix --write && git add "+matrixFile, "crenel policy matrix --check"),
		RunE: func(c *cobra.Command, _ []string) error {
			if write && check {
				return usagef("--write and --check cannot both be")
			}
			d, ac, err := newDeriver(c.Context(), file, api)
			if err != nil {
				return err
			}
			defer d.Close()
			m, err := d.Matrix(c.Context())
			if err != nil {
				return err
			}
			if out == "" {
				out = matrixPath(file, ac.Name, api)
			}
			p := newPrinter(c.OutOrStdout())
			switch {
			case write:
				return writeMatrix(p, m, out)
			case check:
				return checkMatrix(c, p, d, m, out, asJSON)
			case asJSON:
				return printJSON(c, m)
			}
			printMatrix(p, m)
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().StringVar(&out, "file", "", "the matrix's `file` (default "+matrixFile+" beside the config; with --api NAME, policy-matrix-NAME.yaml)")
	c.Flags().BoolVar(&write, "write", false, "write the file")
	c.Flags().BoolVar(&check, "check", false, "compare with the file; exit with 1 on any change")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func matrixPath(file, name, chosen string) string {
	base := matrixFile
	if chosen != "" {
		base = "policy-matrix-" + name + ".yaml"
	}
	return filepath.Join(filepath.Dir(file), base)
}

// newDeriver reads a config's API with its document and policies.
func newDeriver(ctx context.Context, file, api string) (*matrix.Deriver, *config.API, error) {
	o, ac, err := matrixOptions(ctx, file, api)
	if err != nil {
		return nil, nil, err
	}
	d, err := matrix.New(ctx, o)
	return d, ac, err
}

func matrixOptions(ctx context.Context, file, api string) (matrix.Options, *config.API, error) {
	ac, err := policyAPI(file, api, func(ac *config.API) bool { return len(ac.Guards.Authz.Bundles) > 0 })
	if err != nil {
		return matrix.Options{}, nil, err
	}
	if ac.Spec == "" {
		return matrix.Options{}, nil, fmt.Errorf("api %s has no document to derive calls from: set spec", ac.Name)
	}
	o := matrix.Options{Name: ac.Name, Config: ac.Guards.Authz, Overrides: ac.Operations, Authenticates: len(ac.Guards.Authn.Methods) > 0}
	if o.API, err = spec.Load(ctx, ac.Spec, spec.LoadOptions{AllowRemote: ac.RemoteRefs, BasePaths: []string{""}}); err != nil {
		return o, nil, err
	}
	o.Part, err = policyPart(ctx, ac)
	return o, ac, err
}

// policyPart loads an API's policies and data of files and bundles. Data that are
// kept up to date from elsewhere are left out.
func policyPart(ctx context.Context, ac *config.API) (*authz.Part, error) {
	a := &ac.Guards.Authz
	switch {
	case len(a.Bundles) > 0:
		bundles := *ac
		bundles.Guards.Authz.Sources = nil
		feeds, err := gateway.PolicyFeeds(&bundles, gateway.Deps{Bundles: bundle.NewPool("", nil, time.Now), Relations: source.NewPool(nil, time.Now)})
		if err != nil {
			return nil, err
		}
		if len(a.Policies)+len(a.Data) > 0 {
			part, err := authz.LoadFiles(a.Policies, a.Data)
			if err != nil {
				return nil, err
			}
			feeds = append(feeds, authz.Fixed("files", part))
		}
		return authz.Collect(ctx, feeds, a.Query, time.Now)
	case len(a.Policies) > 0:
		return authz.LoadFiles(a.Policies, a.Data)
	}
	return nil, nil
}

// fromHere writes the place of a policy's rule as a person would: OPA's loader
// leaves out the slash of absolute paths.
func fromHere(place string) string {
	here, err := os.Getwd()
	if err != nil {
		return place
	}
	abs := "/" + strings.TrimPrefix(place, "/")
	if !strings.HasPrefix(abs, here+"/") {
		return place
	}
	return strings.TrimPrefix(abs, here+"/")
}

func writeMatrix(p *printer, m *matrix.Matrix, out string) error {
	if err := os.WriteFile(out, m.Bytes(), 0o644); err != nil { //nolint:gosec // it is for git, and holds no secret
		return fmt.Errorf("writing the matrix: %w", err)
	}
	p.linef("%s: %s, %s. Read it, and commit it.", out, count(len(m.Operations), "operation"), count(len(m.Actors), "actor"))
	return nil
}

func checkMatrix(c *cobra.Command, p *printer, d *matrix.Deriver, m *matrix.Matrix, out string, asJSON bool) error {
	raw, err := os.ReadFile(out)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: make it with crenel policy matrix --write, read it and commit it", out)
	}
	if err != nil {
		return fmt.Errorf("reading the matrix: %w", err)
	}
	f, err := matrix.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	changes := m.Compare(f)
	for i := range changes {
		if ch := &changes[i]; ch.Is != "" {
			ch.Rules = d.Rules(c.Context(), ch.Operation, ch.Actor, ch.Relation)
			for n := range ch.Rules {
				ch.Rules[n] = fromHere(ch.Rules[n])
			}
		}
	}
	if asJSON {
		if err := printJSON(c, changes); err != nil {
			return err
		}
	} else {
		printChanges(p, changes)
	}
	if len(changes) > 0 {
		return errReported
	}
	return nil
}

func printChanges(p *printer, changes []matrix.Change) {
	if len(changes) == 0 {
		p.linef("nothing has changed")
		return
	}
	wider := 0
	for i := range changes {
		ch := &changes[i]
		where := ch.Actor
		if ch.Relation != "" {
			where += ", " + ch.Relation
		}
		mark := p.yellow("~")
		if ch.Wider() {
			wider++
			mark = p.red("!")
		}
		p.linef("%s %s  %s: %s -> %s", mark, p.bold(plain(ch.Operation)), plain(where), orNone(ch.Was), orNone(ch.Is))
		if len(ch.Rules) > 0 {
			p.linef("    %s", p.dim("by "+plain(strings.Join(ch.Rules, ", "))))
		}
	}
	p.linef("%s not as the file says, %d of them wider (!). When it is meant: crenel policy matrix --write, and commit.", count(len(changes), "cell"), wider)
}

func orNone(s string) string {
	if s == "" {
		return "(no such cell)"
	}
	return plain(s)
}

// wideMatrix is from how many characters on a table is no longer one to read.
const wideMatrix = 120

// printMatrix prints a table, an operation a line and an actor a column; where it
// would be too wide, the actors of an operation by what they may. What does not
// fit into a word stands below.
func printMatrix(p *printer, m *matrix.Matrix) {
	var notes []string
	words := make([][]string, len(m.Operations))
	for i := range m.Operations {
		for _, a := range m.Actors {
			word, more := cellWord(m.Operations[i].Cells[a.Name])
			for _, n := range more {
				at := slices.Index(notes, n)
				if at < 0 {
					at = len(notes)
					notes = append(notes, n)
				}
				word += fmt.Sprintf("[%d]", at+1)
			}
			words[i] = append(words[i], word)
		}
	}
	first := 0
	for i := range m.Operations {
		first = max(first, len(m.Operations[i].ID))
	}
	widths := make([]int, len(m.Actors))
	total := first
	for n, a := range m.Actors {
		widths[n] = len(a.Name)
		for i := range words {
			widths[n] = max(widths[n], len(words[i][n]))
		}
		total += widths[n] + 2
	}
	if total <= wideMatrix {
		line := fmt.Sprintf("%-*s", first, "")
		for n, a := range m.Actors {
			line += fmt.Sprintf("  %-*s", widths[n], a.Name)
		}
		p.linef("%s", p.bold(plain(strings.TrimRight(line, " "))))
	}
	for i := range m.Operations {
		line := p.bold(fmt.Sprintf("%-*s", first, plain(m.Operations[i].ID)))
		if total > wideMatrix {
			p.linef("%s  %s", line, grouped(p, m.Actors, words[i]))
			continue
		}
		for n, w := range words[i] {
			line += "  " + paintCell(p, plain(w))
			if n < len(words[i])-1 {
				line += strings.Repeat(" ", widths[n]-len(w))
			}
		}
		p.linef("%s", line)
	}
	p.linef("")
	p.linef("all: whoever the object belongs to; own, tenant, other, none: where it is the caller's, another's of the")
	p.linef("caller's tenant, another tenant's, nobody's; -: denied; ?: depends on more than the table has")
	for i, n := range notes {
		p.linef("[%d] %s", i+1, plain(n))
	}
}

// grouped names the actors behind what they may; who may nothing is left out.
func grouped(p *printer, actors []matrix.Actor, words []string) string {
	var order []string
	by := map[string][]string{}
	for n, w := range words {
		if w == "-" {
			continue
		}
		if by[w] == nil {
			order = append(order, w)
		}
		by[w] = append(by[w], plain(actors[n].Name))
	}
	if len(order) == 0 {
		return p.dim("- everybody")
	}
	if len(by[order[0]]) == len(actors) {
		return paintCell(p, plain(order[0])) + " everybody"
	}
	parts := make([]string, len(order))
	for i, w := range order {
		parts[i] = paintCell(p, plain(w)) + " " + strings.Join(by[w], ", ")
	}
	return strings.Join(parts, "; ")
}

func paintCell(p *printer, word string) string {
	switch {
	case word == "-":
		return p.dim(word)
	case word == "all":
		return p.green(word)
	}
	return p.yellow(word)
}

// cellWord is a cell in short, and what it leaves out.
func cellWord(c map[string]matrix.Outcome) (word string, notes []string) {
	var allowed []string
	unclear := false
	for _, r := range matrix.Relations {
		o := c[r]
		switch {
		case o.Allows():
			allowed = append(allowed, r)
		case o.Says == "deny" || o.Says == "deny scope" || o.Says == "deny by the answer":
			continue
		default:
			unclear = true
		}
		if o.Says != "allow" && !slices.Contains(notes, o.Says) {
			notes = append(notes, o.Says)
		}
	}
	switch {
	case unclear && len(allowed) == 0:
		word = "?"
	case unclear:
		word = strings.Join(allowed, "+") + "+?"
	case len(allowed) == len(matrix.Relations):
		word = "all"
	case len(allowed) == 0:
		word = "-"
	default:
		word = strings.Join(allowed, "+")
	}
	return word, notes
}
