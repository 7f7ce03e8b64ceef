package cli

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
	"github.com/crenel-project/crenel/internal/spec"
)

// shownProblems is how many of a document's problems config check prints: real
// documents have thousands, and the first ones tell the kind.
const shownProblems = 10

// checkDeep checks what a config names: that documents load, that overrides are
// for operations that exist, and at last that a gateway can be made of it all.
func checkDeep(ctx context.Context, cfg *config.Config) (wrong, odd []config.Mistake) {
	d := &deep{cfg: cfg}
	bases := make([][]string, len(cfg.APIs))
	for i := range cfg.APIs {
		if cfg.APIs[i].Spec != "" {
			bases[i] = d.api(ctx, i)
		}
	}
	d.collisions(bases)
	if len(d.wrong) == 0 {
		d.compile(ctx)
	}
	return d.wrong, d.odd
}

type deep struct {
	cfg        *config.Config
	wrong, odd []config.Mistake
}

func (d *deep) add(path, what, fix string) {
	d.wrong = append(d.wrong, d.cfg.Mistake(path, what, fix))
}

// loadSpec loads an API's document as the gateway does.
func loadSpec(ctx context.Context, a *config.API) (*spec.API, error) {
	o := spec.LoadOptions{AllowRemote: a.RemoteRefs}
	if a.BasePath != nil {
		o.BasePaths = []string{*a.BasePath}
	}
	return spec.Load(ctx, a.Spec, o)
}

// api checks one API and returns the base paths that it answers under.
func (d *deep) api(ctx context.Context, i int) []string {
	a, path := &d.cfg.APIs[i], fmt.Sprintf("apis[%d]", i)
	doc, err := loadSpec(ctx, a)
	if err != nil {
		d.add(path+".spec", err.Error(), "")
		return nil
	}
	if len(doc.Operations) == 0 {
		d.add(path+".spec", "the document has no operation", "every call would be refused")
		return nil
	}
	d.problems(path, doc)
	d.overrides(a, path, doc)
	d.methods(a, path, doc)
	if a.BasePath != nil {
		return []string{*a.BasePath}
	}
	var bases []string
	for _, s := range doc.Servers {
		if !slices.Contains(bases, s.BasePath) {
			bases = append(bases, s.BasePath)
		}
	}
	if len(bases) == 0 {
		bases = []string{""}
	}
	return bases
}

// problems passes on what was left out of the document or loosened.
func (d *deep) problems(path string, doc *spec.API) {
	shown, more := 0, 0
	for _, p := range doc.Problems {
		if p.Severity == spec.Warning {
			continue
		}
		if shown == shownProblems {
			more++
			continue
		}
		shown++
		d.odd = append(d.odd, config.Mistake{File: p.Place.File, Line: p.Place.Line, Path: p.Place.Pointer, What: p.Message})
	}
	if more > 0 {
		d.odd = append(d.odd, d.cfg.Mistake(path+".spec", "the document has "+count(more, "more problem")+" of this kind", ""))
	}
}

func (d *deep) overrides(a *config.API, path string, doc *spec.API) {
	for j := range a.Operations {
		o := &a.Operations[j]
		if !slices.ContainsFunc(doc.Operations, func(op *spec.Operation) bool { return o.Matches(op.ID, op.Method, op.Path) }) {
			d.add(fmt.Sprintf("%s.operations[%d].operation", path, j), fmt.Sprintf("%q is no operation of the document", o.Operation), nearestOperation(o.Operation, doc))
		}
	}
	for j, s := range a.Guards.WAF.Skip {
		name := s[:strings.LastIndexByte(s, ' ')]
		o := config.OperationOverride{Operation: name}
		if !slices.ContainsFunc(doc.Operations, func(op *spec.Operation) bool { return o.Matches(op.ID, op.Method, op.Path) }) {
			d.add(fmt.Sprintf("%s.guards.waf.skip[%d]", path, j), fmt.Sprintf("%q is no operation of the document", name), nearestOperation(name, doc))
		}
	}
}

// nearestOperation suggests an operation that differs in case or by a part only.
func nearestOperation(name string, doc *spec.API) string {
	for _, op := range doc.Operations {
		if full := op.Method + " " + op.Path; strings.EqualFold(op.ID, name) || strings.EqualFold(full, name) {
			if strings.EqualFold(op.ID, name) {
				full = op.ID
			}
			return "did you mean " + full + "?"
		}
	}
	return `write an operationId of the document, or "METHOD /path" without the base path, * for any run of characters`
}

func (d *deep) methods(a *config.API, path string, doc *spec.API) {
	path += ".guards.authn"
	protected := 0
	for _, op := range doc.Operations {
		if !op.Public {
			protected++
		}
	}
	if len(a.Guards.Authn.Methods) == 0 && protected > 0 && a.Guards.Authn.Mode == "enforce" {
		d.odd = append(d.odd, d.cfg.Mistake(path+".methods", "no method takes credentials, so all calls of "+count(protected, "protected operation")+" are refused", "add a method: jwt, api_key or own"))
	}
	for j := range a.Guards.Authn.Methods {
		if keys := a.Guards.Authn.Methods[j].APIKey; keys != nil {
			if _, err := apikey.Load(keys.File); err != nil {
				d.add(fmt.Sprintf("%s.methods[%d].api_key.file", path, j), err.Error(), "crenel keys create makes such a file")
			}
		}
		for k, name := range a.Guards.Authn.Methods[j].Schemes {
			if doc.SecuritySchemes[name] == nil {
				d.add(fmt.Sprintf("%s.methods[%d].schemes[%d]", path, j, k), fmt.Sprintf("%q is no security scheme of the document", name), schemesOf(doc))
			}
		}
	}
}

func schemesOf(doc *spec.API) string {
	if len(doc.SecuritySchemes) == 0 {
		return "it has none"
	}
	names := make([]string, 0, len(doc.SecuritySchemes))
	for n := range doc.SecuritySchemes {
		names = append(names, n)
	}
	slices.Sort(names)
	return "it has " + strings.Join(names, ", ")
}

// collisions finds APIs that answer under the same host and base path, now that
// the documents have said what base paths they have.
func (d *deep) collisions(bases [][]string) {
	for i := range d.cfg.APIs {
		for j := range i {
			a, b := &d.cfg.APIs[i], &d.cfg.APIs[j]
			if a.BasePath != nil && b.BasePath != nil || !shareHost(a.Hosts, b.Hosts) {
				continue // config has looked at these
			}
			for _, base := range bases[i] {
				if slices.Contains(bases[j], base) {
					d.add(fmt.Sprintf("apis[%d]", i), fmt.Sprintf("apis[%d] answers under the base path %q as well", j, base), "give them different hosts, or set base_path")
				}
			}
		}
	}
}

func shareHost(a, b []string) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(h string) bool { return slices.Contains(b, h) })
}

// compile makes a gateway of the config and throws it away: policies, rules, key
// files and all else that only their own guards can judge.
func (d *deep) compile(ctx context.Context) {
	g, err := gateway.New(ctx, d.cfg, gateway.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		d.placed(err.Error())
		return
	}
	if err := g.Close(); err != nil {
		d.add("", err.Error(), "")
	}
}

// placeIn finds a place in a file within a message of a compiler: of policies, of
// their tests and data.
var placeIn = regexp.MustCompile(`(?:^|\s)(\S+\.(?:rego|json|ya?ml)):(\d+): (.+)$`)

// placed adds the mistakes of a message of many lines, each at the place that it
// names. Headlines and the source that a compiler quotes are left out then.
func (d *deep) placed(message string) {
	var bare []string
	found := false
	for line := range strings.Lines(message) {
		line = strings.TrimRight(line, "\n")
		m := placeIn.FindStringSubmatch(line)
		if m == nil {
			if quoted := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " "); strings.TrimSpace(line) != "" && !(quoted && found) {
				bare = append(bare, strings.TrimSpace(line))
			}
			continue
		}
		found = true
		n, _ := strconv.Atoi(m[2])
		d.wrong = append(d.wrong, config.Mistake{File: fromHere(m[1]), Line: n, What: m[3]})
	}
	for _, line := range bare {
		if !found || !strings.HasSuffix(line, "occurred:") && !strings.HasSuffix(line, "loading:") {
			d.add("", line, "")
		}
	}
}
