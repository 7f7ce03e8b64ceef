package decisionlog

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Policy is one generation of a policy, as the log needs it.
type Policy struct {
	// Revision is a digest of the policy's text; Data one of its data.
	Revision string
	Data     string
	// Bundles are the revisions of the bundles that it came in, by name.
	Bundles map[string]string
	// Rules are the policy's own rules on the log; nil when it has none.
	Rules Rules
	// Archive returns the policy and its data as an OPA bundle, so that a decision
	// can be made again when the gateway has moved on. Called once for each pair of
	// revisions, by the log's own goroutine. Nil: it is not kept.
	Archive func() ([]byte, error)
}

// Rules are what a policy says about the log: data.system.log, as OPA reads it.
// Nil stands for a rule that is not there or undefined.
type Rules interface {
	// Drop reports whether the event is not to be kept.
	Drop(ctx context.Context, event ast.Value) (bool, error)
	// Mask returns mask rules in OPA's form: paths, or objects {op, path, value}.
	Mask(ctx context.Context, event ast.Value) (ast.Value, error)
}
