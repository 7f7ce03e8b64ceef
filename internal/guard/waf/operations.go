package waf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// operations are guards of operations that are judged by another level or threshold
// than the rest of the API. Those of one level share a rule set.
type operations struct {
	base        *Guard
	list        []config.WAFOperation
	byOperation []*Guard // by Operation.Index; nil: the API's own
	guards      map[strictness]*Guard
}

type strictness struct{ paranoia, threshold int }

// newOperations makes the guards of a config's entries. Each entry must match an
// operation: one that does nothing is a mistake.
func newOperations(g *Guard, o Options) (*operations, error) {
	if len(g.cfg.Operations) == 0 {
		return nil, nil
	}
	out := &operations{base: g, list: g.cfg.Operations, guards: map[strictness]*Guard{}}
	var errs []error
	matched := make([]bool, len(out.list))
	if o.API != nil {
		out.byOperation = make([]*Guard, len(o.API.Operations))
		for _, op := range o.API.Operations {
			for i := range out.list {
				matched[i] = matched[i] || out.covers(i, op.ID, op.Method, op.Path)
			}
			var err error
			if out.byOperation[op.Index], err = out.guard(o, out.strictness(op.ID, op.Method, op.Path)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for i := range out.list {
		c := &out.list[i]
		// "METHOD /path" may be of a call that the document lacks and the contract lets in:
		// its guard is any that the entries can come to, of which there are few.
		if !matched[i] && !strings.Contains(c.Operation, " /") {
			errs = append(errs, fmt.Errorf("waf.operations[%d]: %q matches no operation of the document", i, c.Operation))
		}
	}
	for _, s := range out.combinations() {
		if _, err := out.guard(o, s); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, out.close())
	}
	return out, nil
}

func (o *operations) covers(i int, id, method, path string) bool {
	match := config.OperationOverride{Operation: o.list[i].Operation}
	return match.Matches(id, method, path)
}

// strictness is that of an operation: what a later entry sets counts.
func (o *operations) strictness(id, method, path string) strictness {
	s := strictness{o.base.cfg.Paranoia, o.base.cfg.Threshold}
	for i := range o.list {
		if o.covers(i, id, method, path) {
			s = s.with(&o.list[i])
		}
	}
	return s
}

func (s strictness) with(c *config.WAFOperation) strictness {
	if c.Paranoia != 0 {
		s.paranoia = c.Paranoia
	}
	if c.Threshold != 0 {
		s.threshold = c.Threshold
	}
	return s
}

// combinations are all that entries for undocumented calls can come to.
func (o *operations) combinations() []strictness {
	out := []strictness{{o.base.cfg.Paranoia, o.base.cfg.Threshold}}
	known := map[strictness]bool{out[0]: true}
	for i := range o.list {
		if !strings.Contains(o.list[i].Operation, " /") {
			continue
		}
		for _, s := range out {
			if s = s.with(&o.list[i]); !known[s] {
				known[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// guard returns the guard of a level and a threshold, nil for the API's own.
func (o *operations) guard(opts Options, s strictness) (*Guard, error) {
	if s == (strictness{o.base.cfg.Paranoia, o.base.cfg.Threshold}) {
		return nil, nil
	}
	if g := o.guards[s]; g != nil {
		return g, nil
	}
	c := o.base.cfg
	c.Operations = nil
	c.Paranoia = s.paranoia
	opts.Config = c
	g, err := New(opts) // with the API's threshold, so that all of one level share the engine
	if err != nil {
		return nil, err
	}
	g.cfg.Threshold, g.heavy = s.threshold, o.base.heavy
	o.guards[s] = g
	return g, nil
}

// of is the guard that judges a request.
func (g *Guard) of(x *exchange.Exchange) *Guard {
	o := g.operations
	if o == nil {
		return g
	}
	var found *Guard
	switch op := x.Operation; {
	case op == nil:
		found = o.guards[o.strictness("", x.Request.Method, x.Request.Path)]
	case op.Index < len(o.byOperation):
		found = o.byOperation[op.Index]
	}
	if found == nil {
		return g
	}
	return found
}

func (o *operations) warm() {
	if o == nil {
		return
	}
	for _, g := range o.guards {
		g.Warm()
	}
}

func (o *operations) close() error {
	if o == nil {
		return nil
	}
	var errs []error
	for _, g := range o.guards {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}
