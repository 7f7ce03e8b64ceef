package matrix

import (
	"context"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/policies"
)

// Rules are the places of the policy's rules that held for a call, the deciding
// one last: "policies/authz.rego:12". The library's own are left out.
func (d *Deriver) Rules(ctx context.Context, operation, actor, relation string) []string {
	m := d.models[operation]
	i := slices.IndexFunc(d.actors, func(a Actor) bool { return a.Name == actor })
	if m == nil || i < 0 {
		return nil
	}
	if relation == "" {
		relation = Own
	}
	t := &exits{}
	_, byDocument := d.guard.Probe(ctx, d.call(m, &d.actors[i], relation), t)
	if byDocument {
		return []string{"the document"}
	}
	if len(t.places) > 0 {
		return t.places
	}
	if e := d.guard.Engine(); e != nil {
		if p, err := e.Current(noon); err == nil {
			return defaultOf(p.Compiler(), p.Rule())
		}
	}
	return nil
}

// defaultOf is what decides where no rule holds.
func defaultOf(c *ast.Compiler, rule string) []string {
	ref, err := ast.ParseRef(rule)
	if err != nil {
		return nil
	}
	for _, r := range c.GetRulesExact(ref) {
		if r.Default && r.Location != nil {
			return []string{fmt.Sprintf("%s:%d (default)", r.Location.File, r.Location.Row)}
		}
	}
	return []string{"no rule holds"}
}

// exits remembers the rules that held.
type exits struct{ places []string }

var _ topdown.QueryTracer = (*exits)(nil)

// Enabled implements topdown.QueryTracer.
func (*exits) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (*exits) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer.
func (t *exits) TraceEvent(e topdown.Event) {
	if e.Op != topdown.ExitOp {
		return
	}
	r, ok := e.Node.(*ast.Rule)
	if !ok || r.Location == nil || policies.Shipped(r.Location.File) {
		return
	}
	place := fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row)
	if r.Default {
		place += " (default)"
	}
	if i := slices.Index(t.places, place); i >= 0 {
		t.places = slices.Delete(t.places, i, i+1)
	}
	t.places = append(t.places, place)
}
