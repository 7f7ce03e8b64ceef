package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// flow is a business flow that programs must not run through (OWASP API6:2023):
// its steps come in order, each no sooner after the one before than a person makes
// it; the last may cost work.
type flow struct {
	name      string
	challenge string // "off", "anonymous", "always"
	steps     account
	timed     bool // the steps before the last are looked at
	last      int
}

// flowStep is what an operation is in a flow.
type flowStep struct {
	flow *flow
	step int64
}

// newFlows finds the flows' operations. The rates of a flow are those of its last.
func (g *Guard) newFlows(o *Options) ([][]flowStep, error) {
	if len(o.Config.Flows) == 0 {
		return nil, nil
	}
	if o.API == nil {
		return nil, errors.New("guards.limit.flows: there is no document whose operations they could name")
	}
	out := make([][]flowStep, len(o.API.Operations))
	for i := range o.Config.Flows {
		c := &o.Config.Flows[i]
		f := &flow{name: c.Name, challenge: c.Challenge, last: len(c.Steps) - 1, timed: len(c.Steps) > 1}
		keep := c.Within
		if keep == 0 {
			keep = time.Hour
		}
		f.steps = g.newAccount("flow "+c.Name, "step", state.Law{Kind: state.Sequence, Unit: int64(c.HumanTime), Keep: int64(keep)})
		for n, id := range c.Steps {
			found := false
			for _, op := range o.API.Operations {
				if (&config.OperationOverride{Operation: id}).Matches(op.ID, op.Method, op.Path) {
					out[op.Index] = append(out[op.Index], flowStep{f, int64(n)})
					found = true
				}
			}
			if !found {
				return nil, fmt.Errorf("guards.limit.flows[%d].steps[%d]: %q matches no operation of the document", i, n, id)
			}
		}
	}
	return out, nil
}

// rule lets a step be made in its turn.
func (f *flowStep) rule(ctx context.Context, g *Guard, x *exchange.Exchange) exchange.Verdict {
	if f.flow.timed && f.step > 0 {
		key, ok := g.visitor(x)
		if !ok {
			return exchange.Refuse("limit.flow", "", "flow "+f.flow.name+": a caller without the cookie of the step before")
		}
		d := f.flow.steps.debit(key, 0)
		d.step = f.step
		var out [1]state.Balance
		if !g.charge(ctx, []debit{d}, out[:], false) {
			if out[0].Wait > 0 {
				return refuseFor("limit.too_fast", "flow "+f.flow.name+": sooner after the step before than a person makes it", time.Duration(out[0].Wait))
			}
			return exchange.Refuse("limit.flow", "", "flow "+f.flow.name+": the step before was not made")
		}
	}
	if int(f.step) == f.flow.last && (f.flow.challenge == "always" || f.flow.challenge == "anonymous" && x.Identity.Anonymous()) {
		if v, worked := g.signer.worked(ctx, x, "flow "+f.flow.name); !worked {
			return v
		}
	}
	return exchange.Verdict{}
}

// answered gives an anonymous caller the cookie by which his next step is known.
func (f *flowStep) answered(g *Guard, x *exchange.Exchange) {
	if !f.flow.timed || x.Response.Status >= 400 || x.Response.Status < 200 {
		return
	}
	key, ok := g.visitor(x)
	if !ok {
		text := g.signer.token("visitor", 24*time.Hour)
		x.Response.Header.Add("Set-Cookie", setCookie(x, visitorCookie, text, 24*time.Hour))
		number, _ := g.signer.read(text, "visitor")
		key = appendParts(nil, "visitor", number)
	}
	d := f.flow.steps.debit(key, 1)
	d.step = f.step
	var out [1]state.Balance
	g.charge(context.Background(), []debit{d}, out[:], true)
}

// visitor names who goes through a flow: whoever is identified, or the holder of
// a cookie. Addresses will not do: an office shares one.
func (g *Guard) visitor(x *exchange.Exchange) ([]byte, bool) {
	if x.Identity.Verified && x.Identity.Subject != "" {
		return appendParts(nil, "subject", x.Identity.Issuer, x.Identity.Subject), true
	}
	number, ok := g.signer.read(cookie(x, visitorCookie), "visitor")
	return appendParts(nil, "visitor", number), ok
}
