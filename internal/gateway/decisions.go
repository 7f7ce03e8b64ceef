package gateway

import (
	"context"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// keptDecisions are what an API's authz is given of Decisions.
type keptDecisions struct {
	recorder authz.Recorder
	gates    []authz.Gate
	admit    func(*authz.Guard) error
}

func decisionsOf(ctx context.Context, ac *config.API, deps Deps) keptDecisions {
	if deps.Decisions == nil {
		return keptDecisions{admit: func(*authz.Guard) error { return nil }}
	}
	return keptDecisions{
		recorder: deps.Decisions.Recorder(ac),
		gates:    deps.Decisions.Gates(ac),
		admit:    func(g *authz.Guard) error { return deps.Decisions.Admit(ctx, ac, g) },
	}
}
