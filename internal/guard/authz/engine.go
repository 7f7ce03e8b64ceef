package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Source is something that gives a Part to a policy and may later give another.
type Source struct {
	// Name is unique within an engine: "files", "bundle:authz", "relation:users".
	Name string
	// MaxAge is how long the policy may decide on this source's last good part after
	// the source was last heard of; then nothing is decided. 0: for ever.
	MaxAge time.Duration
}

// Feed keeps a source's part up to date.
type Feed interface {
	Sources() []Source
	// Start begins to deliver to the engine by Update, Confirm and Fail, from its own
	// goroutines. It should return when a first part was delivered, or soon when
	// that is not to be had: the engine decides nothing before it has every part.
	Start(ctx context.Context, e *Engine) error
	// Close ends the deliveries and waits for the goroutines.
	Close() error
}

// Activation is a candidate that has compiled and passed its tests, on its way to
// become the policy that decides.
type Activation struct {
	Candidate *Policy
	Active    *Policy  // the one that decides now; nil at first
	Changed   []string // the sources whose parts are new
	// Code says that rules or data of files and bundles differ, not tables alone.
	Code bool
}

// Gate is asked before an activation; its error keeps the candidate out.
type Gate func(ctx context.Context, a *Activation) error

// Engine holds the policy that decides, and is the one place where another takes
// its place. It is safe for concurrent use.
type Engine struct {
	query   string
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[Policy]
	// goodUntil is when the first source will have been unheard for too long, in
	// nanoseconds since 1970.
	goodUntil atomic.Int64
	observers atomic.Pointer[[]func(*Decided)]

	activating sync.Mutex // one at a time; guards gates and pending
	gates      []Gate
	pending    map[string]*Part // refused so far: perhaps they go with what another source brings

	mu          sync.Mutex // guards what follows; never held while anything is compiled
	sources     map[string]*sourceState
	subscribers []*subscriber
	serial      uint64
}

type sourceState struct {
	Source
	part     *Part
	accepted *Part     // the last one that was activated
	heard    time.Time // with part
	offered  time.Time // with what is pending
	// fault is why the source cannot be heard, refused why its news were kept out.
	fault, refused error
	failures       uint64 // how often either came to be
}

// wrong is what a person should know.
func (s *sourceState) wrong() error {
	if s.refused == errPending { //nolint:errorlint // it is never wrapped
		return s.fault
	}
	return errors.Join(s.refused, s.fault)
}

type subscriber struct{ f func(old, current *Policy) }

// NewEngine makes an engine without a policy: it decides nothing until each of
// its sources has delivered.
func NewEngine(query string, list []Source, log *slog.Logger, now func() time.Time) (*Engine, error) {
	e := &Engine{query: query, log: log, now: now, sources: map[string]*sourceState{}, pending: map[string]*Part{}}
	for _, s := range list {
		if e.sources[s.Name] != nil {
			return nil, fmt.Errorf("two sources of the policy are named %s", s.Name)
		}
		e.sources[s.Name] = &sourceState{Source: s}
	}
	e.goodUntil.Store(math.MaxInt64)
	return e, nil
}

// Current returns the policy that decides at a moment, or nil with the reason
// why none may.
func (e *Engine) Current(now time.Time) (*Policy, error) {
	p := e.current.Load()
	if p == nil || now.UnixNano() > e.goodUntil.Load() {
		return nil, e.unavailable(now)
	}
	return p, nil
}

// ErrUnavailable is why nothing is decided: there is no policy, or what it is made
// of is too old.
var ErrUnavailable = errors.New("no policy may decide")

func (e *Engine) unavailable(now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var why []string
	for _, name := range slices.Sorted(maps.Keys(e.sources)) {
		s := e.sources[name]
		switch {
		case s.part == nil && s.wrong() != nil:
			why = append(why, fmt.Sprintf("%s has given nothing yet: %v", name, s.wrong()))
		case s.part == nil:
			why = append(why, name+" has given nothing yet")
		case s.MaxAge > 0 && now.Sub(s.heard) > s.MaxAge:
			why = append(why, fmt.Sprintf("%s was last heard of %s ago, more than %s: %v", name, now.Sub(s.heard).Round(time.Second), s.MaxAge, orSilence(s.wrong())))
		}
	}
	if len(why) == 0 {
		return ErrUnavailable
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, strings.Join(why, "; "))
}

func orSilence(err error) error {
	if err == nil {
		return errors.New("it is silent")
	}
	return err
}

// Update hands in new parts, by source, and activates a policy made of them and
// of the other sources' last ones: joined, compiled when anything but tables
// changed, tested, shown to the gates, swapped in and told to the subscribers.
// On an error the active policy stays, and the parts are kept: when another
// source brings what they need, all that wait are tried together.
func (e *Engine) Update(ctx context.Context, parts map[string]*Part) error {
	e.activating.Lock()
	defer e.activating.Unlock()
	e.mu.Lock()
	for name := range parts {
		if e.sources[name] == nil {
			e.mu.Unlock()
			return fmt.Errorf("%s is no source of this policy", name)
		}
	}
	e.mu.Unlock()
	if parts = e.unknown(parts); len(parts) == 0 {
		return nil
	}
	maps.Copy(e.pending, parts)
	e.offer(parts)
	tried := maps.Clone(e.pending)
	err := e.activate(ctx, tried)
	if err != nil && len(tried) > len(parts) {
		// What waited may be what is wrong.
		tried = parts
		err = e.activate(ctx, tried)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		for name := range parts {
			e.sources[name].fault, e.sources[name].refused = nil, err
			e.sources[name].failures++
		}
		return err
	}
	for name := range tried {
		s := e.sources[name]
		s.refused = nil
		if parts[name] != nil {
			s.fault = nil
		}
		delete(e.pending, name)
	}
	return nil
}

// unknown leaves out the parts that were handed in before and not refused.
func (e *Engine) unknown(parts map[string]*Part) map[string]*Part {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]*Part{}
	for name, p := range parts {
		if s := e.sources[name]; s.part != p || s.refused != nil {
			out[name] = p
		}
	}
	return out
}

// offer notes when the sources were heard of with parts that are yet to be activated.
func (e *Engine) offer(parts map[string]*Part) {
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, p := range parts {
		s := e.sources[name]
		if s.offered = p.Heard; p.Heard.IsZero() {
			s.offered = now
		}
		// Until then it is not known to be refused; Confirm goes by this.
		s.refused = errPending
	}
}

// errPending stands for the outcome while a part is on its way.
var errPending = errors.New("its news are being activated")

// activate tries one set of new parts. When a source has not delivered at all
// the parts are only kept.
func (e *Engine) activate(ctx context.Context, changes map[string]*Part) error {
	all := map[string]*Part{}
	complete, onlyTables := true, true
	e.mu.Lock()
	for name, s := range e.sources {
		part := s.part
		if c := changes[name]; c != nil {
			onlyTables = onlyTables && c.sameCode(s.part)
			part = c
		}
		complete = complete && part != nil
		all[name] = part
	}
	e.mu.Unlock()
	active := e.current.Load()
	if !complete {
		e.keep(changes)
		return nil
	}
	src, err := join(all)
	if err != nil {
		return err
	}
	a := &Activation{Active: active, Changed: slices.Sorted(maps.Keys(changes)), Code: true}
	if active != nil && onlyTables {
		if p, ok := active.withData(src); ok {
			a.Candidate, a.Code = p, false
		}
	}
	if a.Candidate == nil {
		if a.Candidate, err = src.compile(ctx, e.query); err != nil {
			return err
		}
		if err := src.passTests(ctx); err != nil {
			return err
		}
	}
	for _, g := range e.gates {
		if err := g(ctx, a); err != nil {
			return err
		}
	}
	e.keep(changes)
	e.swap(a)
	return nil
}

func (e *Engine) keep(parts map[string]*Part) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, p := range parts {
		s := e.sources[name]
		s.part, s.heard = p, s.offered
	}
	e.age()
}

// swap makes the candidate the policy that decides.
func (e *Engine) swap(a *Activation) {
	e.mu.Lock()
	e.serial++
	a.Candidate.serial = e.serial
	e.current.Store(a.Candidate)
	told := slices.Clone(e.subscribers)
	var accepted []func()
	for _, s := range e.sources {
		if s.part != s.accepted {
			s.accepted = s.part
			if s.part.Accepted != nil {
				accepted = append(accepted, s.part.Accepted)
			}
		}
	}
	e.mu.Unlock()
	e.log.Debug("policy activated", "serial", a.Candidate.serial, "changed", a.Changed, "revisions", a.Candidate.revisions)
	for _, f := range accepted {
		f()
	}
	for _, s := range told {
		s.f(a.Active, a.Candidate)
	}
}

// age finds when the first source will have been unheard for too long. It is
// called with mu held.
func (e *Engine) age() {
	until := int64(math.MaxInt64)
	for _, s := range e.sources {
		if s.MaxAge > 0 {
			until = min(until, s.heard.Add(s.MaxAge).UnixNano())
		}
	}
	e.goodUntil.Store(until)
}

// Confirm says that a source was heard of at a time and has nothing newer than
// what it handed in last. When that was refused, what decides is known to be old
// and ages on.
func (e *Engine) Confirm(source string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sources[source]
	if s == nil || s.part == nil && s.refused == nil {
		return
	}
	s.offered, s.fault = at, nil
	if s.refused == nil {
		s.heard = at
		e.age()
	}
}

// Fail says that a source could not be heard, and why. What it gave last decides
// on until it is too old.
func (e *Engine) Fail(source string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sources[source]; s != nil {
		s.fault = err
		s.failures++
	}
}

// Ready says what is wrong with any source, for readiness and alarms.
func (e *Engine) Ready() error {
	if _, err := e.Current(e.now()); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(e.sources)) {
		if err := e.sources[name].wrong(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w (the last good one decides)", name, err))
		}
	}
	return errors.Join(errs...)
}

// Gate adds a condition of later activations.
func (e *Engine) Gate(g Gate) {
	e.activating.Lock()
	defer e.activating.Unlock()
	e.gates = append(e.gates, g)
}

// Subscribe has f called after each activation with the policy that decided
// before (nil at first) and the one that does now, until stop is called. f must
// not block and must not call the engine's Update.
func (e *Engine) Subscribe(f func(old, current *Policy)) (stop func()) {
	s := &subscriber{f}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subscribers = append(e.subscribers, s)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.subscribers = slices.DeleteFunc(slices.Clone(e.subscribers), func(o *subscriber) bool { return o == s })
	}
}

// Observe has f called with every decision, before its verdict is returned. It is
// on the way of the request: what takes time belongs behind a queue.
func (e *Engine) Observe(f func(*Decided)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []func(*Decided)
	if old := e.observers.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, f)
	e.observers.Store(&list)
}
