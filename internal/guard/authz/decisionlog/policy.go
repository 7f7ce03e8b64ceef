package decisionlog

import (
	"context"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Policy is one generation of a policy, as the log needs it.
type Policy struct {
	// Identify returns a digest of the policy's text and one of its data. It is
	// called once, by the log's own goroutine: digests of much data take a while.
	Identify func() (policy, data string)
	// Bundles are the revisions of the bundles that it came in, by name.
	Bundles map[string]string
	// Rules are the policy's own rules on the log; nil when it has none.
	Rules Rules
	// Archive returns the policy and its data as an OPA bundle, so that a decision
	// can be made again when the gateway has moved on. Called once for each pair of
	// revisions, by the log's own goroutine. Nil: it is not kept.
	Archive func() ([]byte, error)

	once     sync.Once
	revision string
	data     string
}

// identity asks for the digests once.
func (p *Policy) identity() (policy, data string) {
	p.once.Do(func() {
		if p.Identify != nil {
			p.revision, p.data = p.Identify()
		}
	})
	return p.revision, p.data
}

// Rules are what a policy says about the log: data.system.log, as OPA reads it.
// Nil stands for a rule that is not there or undefined.
type Rules interface {
	// Drop reports whether the event is not to be kept.
	Drop(ctx context.Context, event ast.Value) (bool, error)
	// Mask returns mask rules in OPA's form: paths, or objects {op, path, value}.
	Mask(ctx context.Context, event ast.Value) (ast.Value, error)
}
