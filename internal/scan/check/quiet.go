package check

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Checks run side by side, and what one of them makes is in the lists that
// another compares. So that neither a hole is missed nor one imagined, what is
// decided by comparing two answers can be run while no other check sends
// anything: everything that checks send holds the quiet for reading, such a
// scenario holds it for writing.
//
// The holders never nest: a scenario sends by its Stage, not by the Probe.

// quietWorld is the world as checks see it: what it sends waits for the quiet.
type quietWorld struct {
	World
	quiet *sync.RWMutex
}

func (w *quietWorld) Send(ctx context.Context, c *world.Call) (*target.Exchange, error) {
	w.quiet.RLock()
	defer w.quiet.RUnlock()
	return w.World.Send(ctx, c) //nolint:wrapcheck // nothing is added
}

func (w *quietWorld) Make(ctx context.Context, r *graph.Resource, as *actor.Actor) (*world.Object, error) {
	w.quiet.RLock()
	defer w.quiet.RUnlock()
	return w.World.Make(ctx, r, as) //nolint:wrapcheck // nothing is added
}

func (w *quietWorld) Recipe(ctx context.Context, r *graph.Resource, as *actor.Actor, prefix string) (*world.Recipe, error) {
	w.quiet.RLock()
	defer w.quiet.RUnlock()
	return w.World.Recipe(ctx, r, as, prefix) //nolint:wrapcheck // nothing is added
}

// quietPeople are the people as checks see them: new accounts wait for the quiet.
type quietPeople struct {
	People
	quiet *sync.RWMutex
}

func (p *quietPeople) Register(ctx context.Context, extra map[string]any) (*actor.Actor, *target.Exchange, error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	return p.People.Register(ctx, extra) //nolint:wrapcheck // nothing is added
}

func (p *quietPeople) Fresh(ctx context.Context) (*actor.Actor, error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	return p.People.Fresh(ctx) //nolint:wrapcheck // nothing is added
}

// stage runs a scenario once: quiet while nothing else is sent, else beside others.
func (p *Probe) stage(ctx context.Context, sc *scenario.Scenario, quiet bool) (*scenario.Outcome, error) {
	if quiet {
		p.quiet.Lock()
		defer p.quiet.Unlock()
	} else {
		p.quiet.RLock()
		defer p.quiet.RUnlock()
	}
	return p.Stage.Run(ctx, sc, p.fresh()) //nolint:wrapcheck // the scenario's name is in it
}

// disturbed reports whether what others did meanwhile may be why an outcome is
// not a proof: the step that decided compares with the answer of another, or with its time.
func disturbed(sc *scenario.Scenario, o *scenario.Outcome) bool {
	if o.Verdict == scenario.Proven {
		return false
	}
	if stumbled(o) {
		return true
	}
	i := slices.IndexFunc(sc.Steps, func(st scenario.Step) bool { return st.ID == o.Step })
	return i >= 0 && slices.ContainsFunc(sc.Steps[i].Expect, func(e scenario.Expect) bool { return e.Like != "" || e.Slower != "" })
}

// stumbled reports whether a scenario did not come to its attack because what prepares it
// failed on the target's side: a busy database, a worker too few.
func stumbled(o *scenario.Outcome) bool {
	if o.Verdict == scenario.Inconclusive && o.Unmade {
		return true
	}
	for i := range o.Results {
		r := &o.Results[i]
		if r.Step.Part != scenario.Setup && r.Step.Part != scenario.Control || r.Step.ID != o.Step {
			continue
		}
		if x := r.Last(); x != nil && x.Status >= 500 && r.Step.Send != nil && r.Step.Send.Credential == "" && len(r.Step.Send.Without) == 0 && r.As != nil {
			return true
		}
	}
	return false
}

// usedUp notes that a scenario did not come to its attack because the target would not
// make again what it had made before: what that takes may be used up. Where the world knows
// of another, the operation is tried again.
func (p *Probe) usedUp(op *graph.Op, o *scenario.Outcome) {
	for i := range o.Results {
		r := &o.Results[i]
		x := r.Last()
		if r.Step.ID != o.Step || r.Step.Part != scenario.Setup || x == nil || x.Status/100 != 4 || x.Status == http.StatusUnauthorized || x.Status == http.StatusTooManyRequests {
			continue
		}
		if op != nil && p.World.Scarce(x.Request) {
			p.mu.Lock()
			p.renewed[cell{p.Check.ID, op}] = true
			p.mu.Unlock()
		}
	}
}

// maxTries: so often is an operation tried by one check where what proofs need is used up.
const maxTries = 4

// renewedFor reports whether usedUp has noted something of an operation since it was asked last.
func (p *Probe) renewedFor(op *graph.Op) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := cell{p.Check.ID, op}
	defer delete(p.renewed, key)
	return p.renewed[key]
}

// compares reports whether a scenario takes a difference between answers for
// an effect: what others do meanwhile could be one.
func compares(sc *scenario.Scenario) bool {
	return slices.ContainsFunc(sc.Steps, func(st scenario.Step) bool {
		return st.Part == scenario.Observe && slices.ContainsFunc(st.Expect, func(e scenario.Expect) bool { return e.Unlike != "" || e.Differs != nil })
	})
}
