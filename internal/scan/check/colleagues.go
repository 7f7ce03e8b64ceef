package check

import (
	"context"
	"net/http"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// together is whether the accounts of one tenant work on the same objects of a resource.
type together int8

const (
	unknown  together = iota
	common            // a list shows the peer what the user made, and not the foreign account
	separate          // each is shown objects of their own, or turned away from the other's
)

// shared reports whether a resource's objects are as much other's as the user's, because
// both work for one tenant: a practice's patients are there for everybody who works at
// it, however private they are to the outside. It is known only where the run has an
// account of another tenant beside the peer, and lists, as they are without anybody
// reaching for anything, show the user's objects to the one and not to the other. What
// no list shows goes by what it lies under, and then by the others: where everything
// that lists show is the whole house's, so is a job or a file in it.
func (p *Probe) shared(ctx context.Context, r *graph.Resource, other *actor.Actor) (bool, error) {
	if r == nil || other == nil || other.Name != actor.Peer || p.Actor(actor.Foreign) == nil {
		return false, nil
	}
	for at, n := r, 0; at != nil && n < 4; at, n = at.Parent, n+1 {
		t, err := p.together(ctx, at)
		if err != nil || t != unknown {
			return t == common, err
		}
	}
	shows := false
	for _, each := range p.Graph.Resources {
		t, err := p.together(ctx, each)
		if err != nil || t == separate {
			return false, err
		}
		shows = shows || t == common
	}
	return shows, nil
}

// together judges one resource by its own lists and reads, once in a run.
func (p *Probe) together(ctx context.Context, r *graph.Resource) (together, error) {
	p.mu.Lock()
	t, done := p.houses[r]
	p.mu.Unlock()
	if done {
		return t, nil
	}
	user := p.Actor(actor.User)
	var o *world.Object
	for _, made := range p.World.Objects(r, user) {
		if made.Made && !made.Deleted() && made.ID != "" {
			o = made
			break
		}
	}
	if o == nil || r.IsPerson || r.IsTenant {
		return unknown, nil // another check may make one yet
	}
	for _, op := range r.Ops {
		if op.Has(graph.Admin) || op.Has(graph.Hazard) || !op.Reads() || op.Kind != graph.List && op.Kind != graph.Read {
			continue
		}
		one, err := p.seenTogether(ctx, r, op, o)
		if err != nil {
			return unknown, err
		}
		if one != unknown {
			t = one
		}
		if t == separate {
			break
		}
	}
	p.mu.Lock()
	if p.houses == nil {
		p.houses = map[*graph.Resource]together{}
	}
	p.houses[r] = t
	p.mu.Unlock()
	return t, nil
}

// seenTogether is what one list or one read says of it.
func (p *Probe) seenTogether(ctx context.Context, r *graph.Resource, op *graph.Op, o *world.Object) (together, error) {
	over := p.widest(op)
	switch in := p.naming(op, r); {
	case op.Kind == graph.Read && in != nil:
		over[in.Where()] = idFor(in, o)
	case op.Kind == graph.Read, slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "path" }):
		return unknown, nil // what lies under one thing is as that is
	}
	var seen [3]bool
	for i, name := range []string{actor.User, actor.Peer, actor.Foreign} {
		x, err := p.tryAlive(ctx, op, p.Actor(name), over)
		if err != nil {
			return unknown, err
		}
		if x == nil || x.Status >= 500 || x.Status == http.StatusTooManyRequests || x.Status == http.StatusUnauthorized {
			return unknown, nil
		}
		seen[i] = x.Status/100 == 2 && p.shows(x, o)
	}
	switch {
	case !seen[0]:
		return unknown, nil
	case !seen[1]:
		return separate, nil
	case op.Kind == graph.List && !seen[2]:
		return common, nil
	}
	return unknown, nil // a read by identifier is what a hole is in: it only tells when it is refused
}
