package guard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
)

// Mode is what becomes of a guard's denials.
type Mode uint8

// Off: the guard is not run. Monitor: it is run and recorded, and its denials
// let pass. Enforce: its denials end the exchange.
const (
	Off Mode = iota
	Monitor
	Enforce
)

func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case Monitor:
		return "monitor"
	case Enforce:
		return "enforce"
	}
	return "invalid"
}

// Step is one guard's work in one phase. A guard that must look twice (limit
// before and after identity, contract at head and at body) has two steps.
type Step struct {
	Guard string // whose rules, mode and metrics: "contract", "authn", …
	Phase exchange.Phase
	Needs exchange.Need
	// Applies, when set, says at load whether the step is needed for an operation
	// (nil for a call whose operation is unknown). A step that does not apply costs nothing.
	Applies func(op *spec.Operation) bool
	Rule    func(ctx context.Context, x *exchange.Exchange) exchange.Verdict
	// Again, when set, rules once more on an exchange that has been let in and is under
	// way, such as an open WebSocket. x is a copy, of which only what was known at
	// the time is set; its operation is of the document that is in force now.
	Again func(ctx context.Context, x *exchange.Exchange) exchange.Verdict
}

// Setting is how one guard is run for one operation.
type Setting struct {
	Mode     Mode
	FailOpen bool // a guard that cannot decide lets pass instead of denying
}

// Settings gives the Setting of a guard for an operation; op is nil before the
// operation is known and for shadow calls.
type Settings func(guard string, op *spec.Operation) Setting

// Chain is the compiled list of steps of one API. It is immutable and safe for
// concurrent use.
type Chain struct {
	log     *slog.Logger
	unknown plan   // while the operation is not known
	known   []plan // by Operation.Index
}

// plan is what is run for one operation, by phase.
type plan struct {
	phases [exchange.Phases][]planned
	needs  [exchange.Phases]exchange.Need // of any step
	must   [exchange.Phases]exchange.Need // of the enforced steps
}

type planned struct {
	step *Step
	at   int // place in the list of all steps: where to go on when the operation becomes known
	mode Mode
	open bool
}

// NewChain compiles steps, in the order of the walk, for each operation of the
// API (nil when it has no document).
func NewChain(api *spec.API, steps []Step, settings Settings, log *slog.Logger) *Chain {
	c := &Chain{log: log, unknown: newPlan(steps, settings, nil)}
	if api != nil {
		c.known = make([]plan, len(api.Operations))
		for i, op := range api.Operations {
			c.known[i] = newPlan(steps, settings, op)
		}
	}
	return c
}

func newPlan(steps []Step, settings Settings, op *spec.Operation) plan {
	var p plan
	for i := range steps {
		s := &steps[i]
		set := settings(s.Guard, op)
		if set.Mode == Off || s.Applies != nil && !s.Applies(op) {
			continue
		}
		p.phases[s.Phase] = append(p.phases[s.Phase], planned{s, i, set.Mode, set.FailOpen})
		p.needs[s.Phase] = greater(p.needs[s.Phase], s.Needs)
		if set.Mode == Enforce {
			p.must[s.Phase] = greater(p.must[s.Phase], s.Needs)
		}
	}
	return p
}

func (c *Chain) plan(op *spec.Operation) *plan {
	if op != nil && op.Index < len(c.known) {
		return &c.known[op.Index]
	}
	return &c.unknown
}

// greater returns the need that satisfies both: Buffered above Streamed above None.
func greater(a, b exchange.Need) exchange.Need {
	if a == exchange.Buffered || b == exchange.Buffered {
		return exchange.Buffered
	}
	return max(a, b)
}

// Needs says how much of the body the phase's steps need for the exchange's
// operation, as far as it is known: all for every step, must for the enforced ones.
func (c *Chain) Needs(x *exchange.Exchange, phase exchange.Phase) (all, must exchange.Need) {
	p := c.plan(x.Operation)
	return p.needs[phase], p.must[phase]
}

// Mode returns the mode in which a guard runs for the exchange's operation in any phase.
func (c *Chain) Mode(x *exchange.Exchange, guard string) Mode {
	p := c.plan(x.Operation)
	for i := range p.phases {
		for j := range p.phases[i] {
			if p.phases[i][j].step.Guard == guard {
				return p.phases[i][j].mode
			}
		}
	}
	return Off
}

// Run runs the steps of one phase in order and returns the first enforced
// denial, or a Verdict that allows. Every ruling is appended to x.Rulings. When
// a step makes the operation known, the steps behind it are those of that operation.
func (c *Chain) Run(ctx context.Context, x *exchange.Exchange, phase exchange.Phase) exchange.Verdict {
	op := x.Operation
	list := c.plan(op).phases[phase]
	for i := 0; i < len(list); i++ {
		p := list[i]
		begin := time.Now()
		v := c.rule(ctx, p.step, x, p.step.Rule)
		r := exchange.Ruling{Guard: p.step.Guard, Phase: phase, Mode: p.mode.String(), Duration: time.Since(begin), Verdict: v}
		denies := v.Action == exchange.Deny || v.Action == exchange.Unable && !p.open
		r.Enforced = denies && p.mode == Enforce
		x.Rulings = append(x.Rulings, r)
		if r.Enforced {
			return v
		}
		if x.Operation != op {
			op = x.Operation
			list, i = after(c.plan(op).phases[phase], p.at)
		}
	}
	return exchange.Verdict{}
}

// Again asks the steps that rule on exchanges under way, of all guards or of the
// one named, and returns the first denial that is enforced. A guard that only
// watches is not asked. Nothing is appended to x.Rulings.
func (c *Chain) Again(ctx context.Context, x *exchange.Exchange, only string) exchange.Verdict {
	p := c.plan(x.Operation)
	for i := range p.phases {
		for j := range p.phases[i] {
			s := &p.phases[i][j]
			if s.step.Again == nil || s.mode != Enforce || only != "" && s.step.Guard != only {
				continue
			}
			v := c.rule(ctx, s.step, x, s.step.Again)
			if v.Action == exchange.Deny || v.Action == exchange.Unable && !s.open {
				return v
			}
		}
	}
	return exchange.Verdict{}
}

// after returns list and the index just before its first step behind place at.
func after(list []planned, at int) ([]planned, int) {
	for i := range list {
		if list[i].at > at {
			return list, i - 1
		}
	}
	return list, len(list)
}

// rule runs one step; a panic becomes a denial and one log line.
func (c *Chain) rule(ctx context.Context, s *Step, x *exchange.Exchange, rule func(context.Context, *exchange.Exchange) exchange.Verdict) (v exchange.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("guard panicked", "guard", s.Guard, "phase", s.Phase.String(), "request_id", x.ID,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			v = exchange.Refuse("gateway.internal", "", "guard "+s.Guard+" panicked")
		}
	}()
	return rule(ctx, x)
}
