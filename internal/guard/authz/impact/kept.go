package impact

import (
	"context"
	"errors"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

// Archive is where the policies that decided are kept.
type Archive interface {
	Policy(rules, data string) ([]byte, error)
}

// Kept decides each case by the policy that decided it then, from an archive.
// With Rules it decides by those, over the data of then.
type Kept struct {
	Guard *authz.Guard
	From  Archive
	// Rules take the place of the kept policy's; Data of its data. Nil: those of then.
	Rules *authz.Part
	Data  ast.Object
	Query string // "" is the kept policy's

	policies map[[2]string]*authz.Policy // nil: it is not kept
}

// Decide implements [Decider].
func (k *Kept) Decide(ctx context.Context, c *Case, tracer topdown.QueryTracer) (*authz.Outcome, error) {
	p, err := k.Policy(ctx, c)
	if errors.Is(err, decisionlog.ErrNotKept) {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, err
	}
	on := c.On
	if k.Data != nil {
		// Its own data take the place of what was read of tables.
		own := *on
		own.Reads = nil
		on = &own
	}
	return k.Guard.Again(ctx, p, on, tracer)
}

// Policy returns the policy for a case; the error is ErrNotKept when it is gone.
func (k *Kept) Policy(ctx context.Context, c *Case) (*authz.Policy, error) {
	key := [2]string{c.Policy, c.Data}
	if k.Rules != nil && k.Data != nil {
		key = [2]string{} // nothing of then is used
	} else if c.Policy == "" && k.Rules == nil {
		return nil, nil //nolint:nilnil // no policy decided, and none does
	}
	if p, known := k.policies[key]; known {
		if p == nil {
			return nil, decisionlog.ErrNotKept
		}
		return p, nil
	}
	p, err := k.load(ctx, c)
	if err != nil && !errors.Is(err, decisionlog.ErrNotKept) {
		return nil, err
	}
	if k.policies == nil {
		k.policies = map[[2]string]*authz.Policy{}
	}
	// A few generations at a time: data may be large.
	if len(k.policies) >= 4 {
		clear(k.policies)
	}
	k.policies[key] = p
	return p, err
}

func (k *Kept) load(ctx context.Context, c *Case) (*authz.Policy, error) {
	part := &authz.Part{}
	query := k.Query
	if (k.Rules == nil || k.Data == nil) && c.Policy != "" {
		b, err := k.From.Policy(c.Policy, c.Data)
		if err != nil {
			return nil, err
		}
		then, q, err := authz.ReadArchive(b)
		if err != nil {
			return nil, err
		}
		if query == "" {
			query = q
		}
		*part = *then
	}
	if k.Rules != nil {
		part.Modules, part.Texts = maps.Clone(k.Rules.Modules), k.Rules.Texts
	}
	if k.Data != nil {
		part.Data, part.Tables = k.Data, nil
	}
	return authz.Compile(ctx, query, map[string]*authz.Part{"kept": part})
}

// UsesBody reports whether the policy for a case looks at bodies.
func (k *Kept) UsesBody(c *Case) bool {
	p := k.policies[[2]string{c.Policy, c.Data}]
	if k.Rules != nil && k.Data != nil {
		p = k.policies[[2]string{}]
	}
	return p != nil && p.UsesBody()
}
