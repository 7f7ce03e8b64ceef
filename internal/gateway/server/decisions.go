package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
	"github.com/crenel-project/crenel/internal/spec"
)

// decisions keeps what policies decide, shows what others would, and holds new
// ones against it. It outlives reloads.
type decisions struct {
	log  *decisionlog.Log // nil: nothing is kept
	dir  string           // "" when nothing is kept on disk
	keys *decisionlog.Keys
	say  *slog.Logger

	mu      sync.Mutex
	slots   map[string]*slot
	pending map[string]*authz.Guard // of the generation that is being made
	// accepted is until when an operator lets policies in whatever they change.
	accepted time.Time

	// guards are those that decide. A shadow asks for them while it is being closed, so
	// they are behind no lock.
	guards atomic.Pointer[map[string]*authz.Guard]
}

// guard is the one that decides for an API, nil before there is any.
func (d *decisions) guard(api string) *authz.Guard { return (*d.guards.Load())[api] }

var _ gateway.Decisions = (*decisions)(nil)

// openDecisions opens the decision log, if the config has one.
func openDecisions(cfg *config.Config, say *slog.Logger, alarm func(kind, message string)) (*decisions, error) {
	d := &decisions{say: say, slots: map[string]*slot{}, pending: map[string]*authz.Guard{}}
	d.guards.Store(&map[string]*authz.Guard{})
	c := &cfg.DecisionLog
	if !c.On() {
		return d, nil
	}
	o := decisionlog.Options{
		Queue: c.Queue, QueueBytes: int64(c.QueueSize), Refuse: c.WhenFull == "refuse", Sample: c.Sample, Denied: c.SampleDenied,
		Rotate: int64(c.Rotate), Keep: c.Keep, Most: int64(c.MaxSize), Policies: int64(c.PoliciesSize), Labels: c.Labels, Log: say, Alarm: alarm,
	}
	if len(o.Labels) == 0 {
		// OPA's labels name who decided.
		o.Labels = map[string]string{}
		if host, err := os.Hostname(); err == nil {
			o.Labels["id"] = host
		}
	}
	var err error
	if len(c.Keys) > 0 {
		if d.keys, err = DecisionKeys(c); err != nil {
			return nil, err
		}
		d.dir, o.Dir, o.Keys = c.Dir, c.Dir, d.keys
	}
	if c.Sink.URL != "" {
		mask, err := DecisionMasker(c)
		if err != nil {
			return nil, err
		}
		o.Sink = decisionlog.NewSink(decisionlog.SinkOptions{
			URL: c.Sink.URL, Token: c.Sink.Token.Reveal(), Mask: mask, Every: c.Sink.Every, Backoff: c.Sink.Backoff,
			Buffer: int64(c.Sink.Buffer), Upload: int(c.Sink.Upload), Log: say, Alarm: alarm,
		})
	}
	if d.log, err = decisionlog.Open(o); err != nil {
		if o.Sink != nil {
			err = errors.Join(err, o.Sink.Close(context.Background()))
		}
		return nil, err
	}
	return d, nil
}

// DecisionKeys are the keys of a config's decision log.
func DecisionKeys(c *config.DecisionLog) (*decisionlog.Keys, error) {
	secrets := make([]string, len(c.Keys))
	for i, k := range c.Keys {
		secrets[i] = k.Reveal()
	}
	return decisionlog.NewKeys(secrets...)
}

// DecisionMasker masks what leaves a config's decision log.
func DecisionMasker(c *config.DecisionLog) (*decisionlog.Masker, error) {
	classes := make([]spec.DataClass, len(c.MaskClasses))
	for i, name := range c.MaskClasses {
		classes[i] = spec.DataClass(name)
	}
	return decisionlog.NewMasker(c.Mask, classes)
}

// close ends the shadows and writes what waits.
func (d *decisions) close(ctx context.Context) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	for _, s := range d.slots {
		s.set(nil)
	}
	d.mu.Unlock()
	if d.log == nil {
		return nil
	}
	return d.log.Close(ctx)
}

// slot is where an API's shadow is, if it has one.
type slot struct {
	shadow atomic.Pointer[impact.Shadow]
	// ofConfig says what the config asked for, so that a reload that does not touch
	// it lets it go on.
	ofConfig *config.AuthzShadow
}

// Wants asks the shadow.
func (s *slot) Wants(id string) (allowed, denied bool) {
	if sh := s.shadow.Load(); sh != nil {
		return sh.Wants(id)
	}
	return false, false
}

// Record hands a decision to the shadow.
func (s *slot) Record(r *authz.Record) error {
	if sh := s.shadow.Load(); sh != nil {
		return sh.Record(r)
	}
	return nil
}

func (s *slot) set(next *impact.Shadow) {
	if old := s.shadow.Swap(next); old != nil {
		old.Close()
	}
}

// slot returns an API's; d.mu is held.
func (d *decisions) slot(api string) *slot {
	s := d.slots[api]
	if s == nil {
		s = &slot{}
		d.slots[api] = s
	}
	return s
}

// Recorder implements [gateway.Decisions].
func (d *decisions) Recorder(ac *config.API) authz.Recorder {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slot(ac.Name)
	if d.log == nil {
		return s
	}
	return authz.Recorders{d.log.Recorder(ac.Name), s}
}

// Gates implements [gateway.Decisions]: bundles and other sources that bring new
// rules while the gateway runs. Tables of relations change all the time, and by
// design what is decided with them.
func (d *decisions) Gates(ac *config.API) []authz.Gate {
	bounds := ac.Guards.Authz.Activation
	if !bounds.On() {
		return nil
	}
	name := ac.Name
	return []authz.Gate{func(ctx context.Context, a *authz.Activation) error {
		if !a.Code || a.Active == nil {
			return nil
		}
		g := d.guard(name)
		return d.hold(ctx, name, &bounds, impact.With{Guard: g, Policy: a.Active}, impact.With{Guard: g, Policy: a.Candidate})
	}}
}

// Admit implements [gateway.Decisions].
func (d *decisions) Admit(ctx context.Context, ac *config.API, g *authz.Guard) error {
	d.mu.Lock()
	d.pending[ac.Name] = g
	d.mu.Unlock()
	old := d.guard(ac.Name)
	bounds := ac.Guards.Authz.Activation
	if old == nil || !bounds.On() {
		return nil // at its start a gateway decides by what the operator starts it with
	}
	return d.hold(ctx, ac.Name, &bounds, withCurrent(old), withCurrent(g))
}

func withCurrent(g *authz.Guard) impact.With {
	w := impact.With{Guard: g}
	if e := g.Engine(); e != nil {
		w.Policy, _ = e.Current(time.Now()) // none: what it would decide is unavailable
	}
	return w
}

// hold makes the recent decisions of an API again and holds what changes against
// the bounds.
func (d *decisions) hold(ctx context.Context, api string, c *config.AuthzActivation, active, candidate impact.With) error {
	d.mu.Lock()
	accepted := time.Now().Before(d.accepted)
	d.mu.Unlock()
	if accepted {
		d.say.Warn("a new policy is activated without a look at its impact, as an operator said", "api", api)
		return nil
	}
	bounds, err := impact.BoundsOf(c)
	if err != nil {
		return err
	}
	cases, err := d.recent(ctx, api, bounds.Recent)
	if err != nil {
		return fmt.Errorf("activation: %w", err)
	}
	r, err := impact.Check(ctx, cases, active, candidate, bounds)
	if err != nil {
		return fmt.Errorf("activation: %w", err)
	}
	d.say.Info("the new policy was held against recorded decisions", "api", api, "decisions", r.Decisions, "compared", r.Compared, "changed", r.Changed)
	return nil
}

// recent are an API's most recent recorded decisions.
func (d *decisions) recent(ctx context.Context, api string, n int) (iter.Seq2[*impact.Case, error], error) {
	var list []*decisionlog.Event
	r, err := decisionlog.OpenFolder(d.dir, d.keys)
	if err == nil {
		list, err = r.Recent(ctx, n, func(e *decisionlog.Event) bool { return e.About().API == api })
	}
	if err != nil && !errors.Is(err, decisionlog.ErrNone) {
		return nil, fmt.Errorf("reading the recorded decisions: %w", err)
	}
	return impact.Cases(list), nil
}

// commit makes the generation that was just made the one that decides.
func (d *decisions) commit(cfg *config.Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	guards := d.pending
	d.guards.Store(&guards)
	d.pending = map[string]*authz.Guard{}
	d.accepted = time.Time{}
	for i := range cfg.APIs {
		ac := &cfg.APIs[i]
		s, want := d.slot(ac.Name), ac.Guards.Authz.Shadow
		if !want.On() {
			if s.ofConfig != nil {
				s.set(nil)
				s.ofConfig = nil
			}
			continue
		}
		// It starts anew with every config: the candidate's files may have changed.
		sh, err := d.shadow(ac.Name, &want)
		if err != nil {
			d.say.Error("the shadow policy cannot be asked", "api", ac.Name, "error", err)
			continue
		}
		s.set(sh)
		s.ofConfig = &want
	}
}

// drop forgets a generation that did not come to be.
func (d *decisions) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending = map[string]*authz.Guard{}
}

// shadow starts a candidate beside an API's active policy.
func (d *decisions) shadow(api string, c *config.AuthzShadow) (*impact.Shadow, error) {
	part, err := impact.Candidate(c.Policies, c.Data, bundles(c.Bundle))
	if err != nil {
		return nil, err
	}
	v := &variant{part: part, active: func() (*authz.Guard, *authz.Policy) {
		g := d.guard(api)
		if g == nil {
			return nil, nil
		}
		return g, withCurrent(g).Policy
	}}
	return impact.NewShadow(impact.ShadowOptions{API: api, Active: v.activeDecider, Candidate: v.candidateDecider, Sample: c.Sample, Queue: c.Queue, CPU: c.CPU}), nil
}

func bundles(one string) []string {
	if one == "" {
		return nil
	}
	return []string{one}
}

// variant is a candidate over the data that the active policy reads at the moment.
type variant struct {
	part   *authz.Part
	active func() (*authz.Guard, *authz.Policy)

	over   *authz.Policy // the active one that policy was made beside
	policy *authz.Policy
	err    error
}

func (v *variant) activeDecider() impact.Decider {
	g, p := v.active()
	return impact.With{Guard: g, Policy: p}
}

func (v *variant) candidateDecider() impact.Decider {
	g, p := v.active()
	switch {
	case p == nil:
		return failed{errors.New("there is no active policy that it could stand beside")}
	case v.over == nil || p != v.over && !(v.part.Data != nil || p.SameData(v.over)):
		v.policy, v.err = p.Variant(context.Background(), v.part)
		v.over = p
	}
	if v.err != nil {
		return failed{v.err}
	}
	return impact.With{Guard: g, Policy: v.policy}
}
