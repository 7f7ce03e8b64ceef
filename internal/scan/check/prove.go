package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Hypothesis is what a check believes, and the scenario that would prove it.
type Hypothesis struct {
	Op           *graph.Op // whose hole it is; nil: that of Method and Path, or of the API as a whole
	Method, Path string    // when Op is nil
	Where        string    // place in the request or the answer: "path.id", "body./role", "header.Authorization"; part of the fingerprint
	Title        string    // with the operation in it; "" the check's
	Description  string    // what was shown, in a few sentences; no values that change from run to run
	CWE          string    // "" the check's
	OWASP        string    // "" the check's
	CVSS         string    // "" the check's
	// Cause, when set, is what it comes from in the program as a whole (finding.Finding).
	Cause    string
	Scenario *scenario.Scenario
	// Unless, when set, is asked once all is proven: true says that something outside of
	// the scenario explains what was seen, and there is no finding.
	Unless func() bool
}

// Prove runs a hypothesis' scenario; when it is proven, reduces it, runs it
// again from scratch, and only then makes it a finding. An error is one that
// ends the run. A hole that is a finding already is not proven twice.
func (p *Probe) Prove(ctx context.Context, h Hypothesis) (bool, error) {
	p.begin()
	if h.Op != nil {
		h.Method, h.Path = h.Op.Method, h.Op.Path
		if p.Leave != nil && p.Leave(h.Op) {
			return false, nil // it is there for the sake of others
		}
	}
	mark := finding.Print(p.Check.ID, h.Method, h.Path, h.Where)
	p.mu.Lock()
	known := p.findings[mark]
	p.mu.Unlock()
	if known != nil {
		return true, nil
	}
	if err := h.Scenario.Check(); err != nil {
		return false, fmt.Errorf("%s %s: %w", h.Method, h.Path, err)
	}
	full, err := p.attempt(ctx, h.Scenario, false)
	if errors.Is(err, target.ErrRequest) || errors.Is(err, target.ErrRefused) || errors.Is(err, world.ErrUnwritable) {
		p.Log.DebugContext(ctx, "a scenario that cannot be sent", "check", p.Check.ID, "method", h.Method, "path", h.Path, "error", err)
		p.Note(h.Op, Inconclusive)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if disturbed(h.Scenario, full) {
		if full, err = p.attempt(ctx, h.Scenario, true); err != nil {
			return false, err
		}
	}
	if wait := heldBack(full); wait > 0 && p.lull(ctx, h, wait) {
		if full, err = p.attempt(ctx, h.Scenario, false); err != nil {
			return false, err
		}
	}
	if full.Verdict != scenario.Proven && p.People.Single() {
		// Another check's login may have ended a session between two steps.
		if full, err = p.attempt(ctx, h.Scenario, true); err != nil {
			return false, err
		}
	}
	if full.Verdict != scenario.Proven {
		p.refuted(ctx, h, full)
		return false, nil
	}
	reduced := scenario.Reduce(h.Scenario)
	out, err := p.attempt(ctx, reduced, compares(reduced))
	if err != nil {
		return false, err
	}
	if out.Verdict != scenario.Proven && len(reduced.Steps) < len(h.Scenario.Steps) {
		reduced = h.Scenario
		if out, err = p.attempt(ctx, reduced, compares(reduced)); err != nil {
			return false, err
		}
	}
	if disturbed(reduced, out) || out.Verdict != scenario.Proven && p.People.Single() {
		if out, err = p.attempt(ctx, reduced, true); err != nil {
			return false, err
		}
	}
	if out.Verdict != scenario.Proven || h.Unless != nil && h.Unless() {
		p.refuted(ctx, h, out)
		return false, nil
	}
	f, err := p.finding(h, mark, reduced, out)
	if err != nil {
		return false, err
	}
	p.keep(h, f, reduced)
	return true, nil
}

// keep makes a proven hypothesis one of the lab's findings, unless it is one already.
func (p *Probe) keep(h Hypothesis, f *finding.Finding, sc *scenario.Scenario) {
	p.mu.Lock()
	_, twice := p.findings[f.Fingerprint]
	if !twice {
		proof := &Proof{Finding: f, Scenario: sc}
		p.findings[f.Fingerprint], p.proofs[f.Fingerprint] = f, proof
		if p.Diary != nil {
			p.Diary.Proved(proof)
		}
	}
	p.mu.Unlock()
	p.Note(h.Op, Open)
	if !twice && p.Found != nil {
		p.Found(f)
	}
}

// open reports whether a hole of this check is a finding already.
func (p *Probe) open(op *graph.Op, where string) bool { return p.known(op.Method, op.Path, where) }

// known is open for what the description does not have.
func (p *Probe) known(method, path, where string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.findings[finding.Print(p.Check.ID, method, path, where)] != nil
}

func (p *Probe) refuted(ctx context.Context, h Hypothesis, o *scenario.Outcome) {
	state := Clean
	if o.Verdict == scenario.Inconclusive {
		state = Inconclusive
	}
	p.Note(h.Op, state)
	p.usedUp(h.Op, o)
	p.Log.DebugContext(ctx, "not proven", "check", p.Check.ID, "method", h.Method, "path", h.Path, "where", h.Where, "verdict", o.Verdict, "step", o.Step, "why", o.Why)
}

// attempt runs a scenario once. Where an actor was turned away, the session is
// looked at: a dead one is renewed, and the scenario begins again. Quiet: while
// no other check sends anything.
func (p *Probe) attempt(ctx context.Context, sc *scenario.Scenario, quiet bool) (*scenario.Outcome, error) {
	since := map[string]time.Time{}
	for _, a := range p.People.All() {
		since[a.Name] = a.Session.Since()
	}
	out, err := p.stage(ctx, sc, quiet)
	if err != nil || out.Verdict == scenario.Proven {
		return out, err
	}
	renewed := false
	for _, name := range turnedAway(out) {
		a := p.Actor(name)
		if a == nil {
			continue
		}
		if then, known := since[name]; known && !a.Session.Since().Equal(then) {
			renewed = true // it ended meanwhile, and another one was opened
			continue
		}
		if p.People.Alive(ctx, a) == nil {
			continue
		}
		if err := p.People.Renew(ctx, a); err != nil {
			p.Log.WarnContext(ctx, "an actor's session is dead and could not be renewed", "actor", name, "error", err)
			out.Verdict, out.Why = scenario.Inconclusive, "the session of "+name+" is dead"
			return out, nil
		}
		renewed = true
	}
	if !renewed {
		return out, nil
	}
	return p.stage(ctx, sc, quiet)
}

// turnedAway lists the actors whose requests were answered as a stranger's are.
func turnedAway(o *scenario.Outcome) []string {
	var out []string
	for _, r := range o.Results {
		if r.As == nil || r.Step.As == actor.Nobody || slices.Contains(out, r.Step.As) || r.Step.Send == nil || r.Step.Send.Credential != "" || len(r.Step.Send.Without) > 0 {
			continue
		}
		for _, x := range r.Exchanges {
			if x.Status == 401 || x.Status == 403 || x.Status == 302 || x.Status == 419 || x.Status == 440 {
				out = append(out, r.Step.As)
				break
			}
		}
	}
	return out
}

func (p *Probe) finding(h Hypothesis, mark string, sc *scenario.Scenario, o *scenario.Outcome) (*finding.Finding, error) {
	c := p.Check
	f := &finding.Finding{
		Fingerprint: mark, Check: c.ID, Title: h.Title, OWASP: h.OWASP, CWE: h.CWE, WSTG: c.WSTG, CVSS: h.CVSS,
		Method: h.Method, Path: h.Path, Where: h.Where, Cause: h.Cause, Description: h.Description, Fix: c.Fix,
		Evidence: o.Evidence(p.Origin),
	}
	if p.Client != nil {
		f.Evidence = scenario.Hide(f.Evidence, p.Client.Secrets().Message)
	}
	for _, d := range []struct {
		at    *string
		other string
	}{{&f.Title, c.Title}, {&f.OWASP, c.OWASP}, {&f.CWE, c.CWE}, {&f.CVSS, c.CVSS}} {
		if *d.at == "" {
			*d.at = d.other
		}
	}
	var err error
	if f.Score, f.Severity, err = finding.Rate(f.CVSS); err != nil {
		return nil, fmt.Errorf("check %s: %w", c.ID, err)
	}
	if h.Op != nil {
		f.Operation = h.Op.ID
		if pl := h.Op.Place; pl.File != "" {
			f.Place = &finding.Place{File: pl.File, Line: pl.Line, Pointer: pl.Pointer}
		}
	}
	for _, r := range o.Results {
		f.Requests += len(r.Exchanges)
	}
	f.Reproduce = sc.Curl(p.Origin, "", f.Title, func(name string) []actor.Part {
		if r := p.who(name, o); r != nil && r.Session != nil {
			return r.Session.Snapshot()
		}
		return nil
	})
	return f, nil
}

// who is the actor of a name: of the run, or one registered for the scenario.
func (p *Probe) who(name string, o *scenario.Outcome) *actor.Actor {
	if a := p.Actor(name); a != nil {
		return a
	}
	for _, r := range o.Results {
		if r.Step.As == name {
			return r.As
		}
	}
	return nil
}
