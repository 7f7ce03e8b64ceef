package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Vectors of what is no hole by itself, or hurts little: misconfiguration that
// another hole has to come to.
const (
	vectorInfo    = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N"
	vectorLow     = "CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:P/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"
	vectorCrash   = "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N/E:U"
	vectorBrowser = "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:A/VC:L/VI:L/VA:N/SC:L/SI:L/SA:N"
)

// survey is what checks learned of operations by calling them once, so that
// those that look at the same do not all call again.
type survey struct {
	mu    sync.Mutex
	calls map[*graph.Op]*surveyed
	slots map[*graph.Op]*surveyed // those that something is put into
}

type surveyed struct {
	mu   sync.Mutex
	done bool
	call *world.Call
	base *target.Exchange
}

// working is a call of an operation that is answered as it should be, as the
// actor that gets furthest, and its answer at some time of this run; nil where
// none is. Nothing is sent for what ends sessions, resets or destroys.
func (p *Probe) working(ctx context.Context, op *graph.Op) (*world.Call, *target.Exchange, error) {
	for _, not := range []graph.Purpose{graph.Hazard, graph.Logout, graph.PasswordChange, graph.PasswordReset, graph.Refresh} {
		if op.Has(not) {
			return nil, nil, nil
		}
	}
	if op.Kind == graph.Delete || p.Mode == Safe && op.Method != http.MethodGet {
		return nil, nil, nil
	}
	return p.survey.once(&p.survey.calls, op, func() (*world.Call, *target.Exchange, error) {
		if call, base, err := p.opened(ctx, op); err != nil || base != nil && base.Status/100 == 2 {
			return call, base, err
		}
		return p.furthest(ctx, op, append(p.People.All(), nil))
	})
}

// once looks at an operation, once for all who ask while what the call names is there.
func (v *survey) once(all *map[*graph.Op]*surveyed, op *graph.Op, look func() (*world.Call, *target.Exchange, error)) (*world.Call, *target.Exchange, error) {
	v.mu.Lock()
	if *all == nil {
		*all = map[*graph.Op]*surveyed{}
	}
	s := (*all)[op]
	if s == nil {
		s = &surveyed{}
		(*all)[op] = s
	}
	v.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done && !s.stale() {
		return s.call, s.base, nil
	}
	// What could not be sent, because the time of who asked was over, is not what
	// the next are told.
	call, base, err := look()
	if err != nil {
		return nil, nil, err
	}
	// A refusal to one who puts something in may have been of the moment.
	s.call, s.base, s.done = call, base, all == &v.calls || base != nil && base.Status/100 == 2
	return call, base, nil
}

// stale: something that the call names was deleted since.
func (s *surveyed) stale() bool {
	if s.call == nil {
		return false
	}
	for _, o := range s.call.Uses {
		if o.Deleted() {
			return true
		}
	}
	return false
}

// furthest is a call of an operation as the first of the actors (nil: nobody) who gets a
// success, else as the first who gets any answer, and that answer.
func (p *Probe) furthest(ctx context.Context, op *graph.Op, actors []*actor.Actor) (*world.Call, *target.Exchange, error) {
	var call *world.Call
	var base *target.Exchange
	for _, a := range actors[:min(len(actors), 6)] {
		c, err := p.renewing(ctx, op, a)
		if err != nil {
			continue
		}
		if c = p.sparing(op, c); c == nil || p.everybodys(op, a) {
			continue
		}
		x, err := p.send(ctx, c)
		if err != nil {
			return nil, nil, err
		}
		if op.Method != http.MethodGet && a != nil && !a.Made && p.ofGiven(x) {
			continue
		}
		if base == nil || x.Status/100 == 2 && base.Status/100 != 2 {
			call, base = c, x
		}
		if x.Status/100 == 2 {
			break
		}
	}
	return call, base, nil
}

// renewing is a call of an operation as an actor. What it names and other proofs have
// ended since the run made it, is made anew.
func (p *Probe) renewing(ctx context.Context, op *graph.Op, a *actor.Actor) (*world.Call, error) {
	c, err := p.World.Call(ctx, op, a, nil)
	if err == nil || a == nil {
		return c, err //nolint:wrapcheck // it says which call and why
	}
	made := false
	for _, in := range op.Inputs {
		if r := p.resourceOf(in); in.In == "path" && r != nil && !r.IsPerson && !r.IsTenant && p.World.Lost(r, a) {
			_, failed := p.World.Make(ctx, r, a)
			made = made || failed == nil
		}
	}
	if !made {
		return nil, err //nolint:wrapcheck // as above
	}
	return p.World.Call(ctx, op, a, nil) //nolint:wrapcheck // as above
}

// slotOf is one input of a call as a place to put something into.
func slotOf(op *graph.Op, in *graph.Input, call *world.Call, base *target.Exchange) *slot {
	s := &slot{op: op, in: in, call: call, base: base}
	var v any
	if text, ok := call.Values[in.Where()]; ok && json.Unmarshal([]byte(text), &v) == nil && v != nil {
		s.value = fmt.Sprint(v)
	}
	return s
}
