package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/policies"
)

// Held is a rule that held in a decision.
type Held struct {
	Rule  string `json:"rule"`  // "data.crenel.authz.decision"
	Place string `json:"place"` // "policies/pets.rego:12"
	text  string // as it was written: the same rule at another place
}

func (h Held) String() string { return h.Rule + " at " + h.Place }

// Rules collects the rules that hold in an evaluation, whose tracer it is.
type Rules struct{ held map[string]Held }

var _ topdown.QueryTracer = (*Rules)(nil)

// NewRules is of an evaluation that is to come.
func NewRules() *Rules { return &Rules{held: map[string]Held{}} }

// Enabled implements [topdown.QueryTracer].
func (*Rules) Enabled() bool { return true }

// Config implements [topdown.QueryTracer].
func (*Rules) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements [topdown.QueryTracer].
func (h *Rules) TraceEvent(e topdown.Event) {
	if e.Op != topdown.ExitOp {
		return
	}
	r, ok := e.Node.(*ast.Rule)
	if !ok || r.Location == nil || r.Module == nil {
		return
	}
	one := Held{Rule: r.Ref().String(), Place: fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row), text: strings.Join(strings.Fields(string(r.Location.Text)), " ")}
	h.held[one.Rule+"\n"+one.text] = one
}

// Len is how many rules hold.
func (h *Rules) Len() int { return len(h.held) }

// Without are the rules that do not hold in other, the ones that decide first,
// the library's last.
func (h *Rules) Without(other *Rules, decides string) []Held {
	var out []Held
	for key, r := range h.held {
		if _, both := other.held[key]; !both {
			out = append(out, r)
		}
	}
	rank := func(r Held) int {
		switch {
		case r.Rule == decides:
			return 0
		case strings.HasPrefix(r.Rule, policies.LibPackage):
			return 2
		}
		return 1
	}
	slices.SortFunc(out, func(a, b Held) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Place, b.Place))
	})
	return out
}
