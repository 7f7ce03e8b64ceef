package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/listener"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// World is what checks ask of the world. *world.World is one.
type World interface {
	Call(ctx context.Context, op *graph.Op, as *actor.Actor, over map[string]string) (*world.Call, error)
	Request(c *world.Call) (*target.Request, error)
	Send(ctx context.Context, c *world.Call) (*target.Exchange, error)
	Objects(r *graph.Resource, owner *actor.Actor) []*world.Object
	Lost(r *graph.Resource, owner *actor.Actor) bool
	Make(ctx context.Context, r *graph.Resource, as *actor.Actor) (*world.Object, error)
	Step(c *world.Call, bind map[string]string) (scenario.Step, error)
	Recipe(ctx context.Context, r *graph.Resource, as *actor.Actor, prefix string) (*world.Recipe, error)
	RecipeOf(o *world.Object, prefix string) (*world.Recipe, error)
	Reader(o *world.Object) *world.Call
	Coverage() []world.Coverage
	OpOf(r *target.Request) *graph.Op
	Scarce(r *target.Request) bool
}

// People is what checks ask of the actors. *actor.People is one.
type People interface {
	scenario.People
	All() []*actor.Actor
	// Single: each login of an account ends its session before.
	Single() bool
	Alive(ctx context.Context, a *actor.Actor) error
	Renew(ctx context.Context, a *actor.Actor) error
	Again(ctx context.Context, a *actor.Actor, x *target.Exchange, since time.Time) (bool, error)
	LoginWith(ctx context.Context, facts map[string]string) (*actor.Session, *target.Exchange, error)
	Register(ctx context.Context, extra map[string]any) (*actor.Actor, *target.Exchange, error)
	LoginEntry() *actor.Entry
	RegisterEntry() *actor.Entry
	NewFacts(name string) map[string]string
}

// Lab is where checks work: everything that the run knows and can do.
type Lab struct {
	Graph  *graph.Graph
	World  World
	People People
	Stage  *scenario.Stage // its Sender is the way to the target
	Client *target.Client  // for what goes beyond one request
	// Listener hears the target's own calls; nil: there is none.
	Listener *listener.Listener
	// Notebook is what answers held so far; nil: nothing.
	Notebook *Notebook
	// Leave, when set, says which operations are not attacked.
	Leave  func(op *graph.Op) bool
	Mode   Mode
	RunID  string
	Seed   uint64
	Origin string // of the target, for evidence: "http://127.0.0.1:9000"
	Log    *slog.Logger
	// Workers is how many requests of checks are under way at once; 0: 8.
	Workers int
	// Until is when the checks' time is over; zero: they have as long as it takes.
	// Those that change things, and those that must be alone, have their share of it.
	Until time.Time
	// Leeway is how long after its end a token's use is no matter of clocks; 0: 125 s.
	Leeway time.Duration
	// Found, when set, is called for each finding as it is proven.
	Found func(*finding.Finding)
	// Diary, when set, says what was done before, and is told what is done.
	Diary Diary

	mu                      sync.Mutex
	findings                map[string]*finding.Finding
	proofs                  map[string]*Proof
	cells                   map[cell]State
	nonce                   atomic.Int64
	slots                   *target.Queue
	once                    sync.Once
	quiet                   sync.RWMutex // held for reading by what is sent, for writing by what nothing may disturb
	privacy                 map[*graph.Resource]*Privacy
	houses                  map[*graph.Resource]together
	lately                  map[string]*graph.Op // what each check noted last, while something was sent
	cut                     map[string]bool      // checks that were not finished
	unfinishedCells, untold int                  // rows of what was not come to: told, and left out
	broken                  []string             // checks that panicked
	unsent                  []string             // checks that the way to the target keeps from telling anything, and why
	lulls                   map[string]time.Time // until when the limit of an operation was waited for
	lulled                  time.Duration        // in all
	written                 []*Check             // beside All: those that users wrote
	crack                   sync.Once
	dozens                  atomic.Bool   // objects were made by the dozen
	early                   string        // the user's credential as the run began
	secret                  string        // that signs tokens, found by guessing
	forger                  *forgery      // how tokens can be forged here; nil: no way was found
	renewed                 map[cell]bool // something that a proof needs was used up, and there is another
	stranger                *actor.Actor  // a new account, where an object is as much the attackers' as the owner's
	strangerOnce            sync.Once
	survey                  survey
	publications            publications
	mirroring               map[*graph.Op]bool      // whether a read shows the user the same each time
	steady                  map[*world.Call]*steady // what was found out of calls that things are put into
	unions                  atomic.Int64            // second statements that were tried blind
	figures                 figured
	singles                 []*single // calls that count once, for those who look what else makes them count
	funding                 struct {  // what funds gave
		done  bool
		call  *world.Call
		gauge *gauge
		has   float64
	}

	// What a login's answer gives, and where: each login may end a session, and takes
	// the target's time, so that one tells all checks.
	doorway sync.Mutex
	gives   scenario.Save
}

// figured are reads that hold numbers.
type figured struct {
	mu    sync.Mutex
	done  bool
	calls []*world.Call
}

// Proof is what re-proves a finding: its scenario, reduced.
type Proof struct {
	Finding  *finding.Finding
	Scenario *scenario.Scenario
}

func (l *Lab) begin() {
	l.once.Do(func() {
		if l.Workers <= 0 {
			l.Workers = 8
		}
		l.slots = target.NewQueue(l.Workers)
		l.findings, l.proofs, l.cells = map[string]*finding.Finding{}, map[string]*Proof{}, map[cell]State{}
		l.privacy = map[*graph.Resource]*Privacy{}
		l.mirroring, l.renewed = map[*graph.Op]bool{}, map[cell]bool{}
		l.steady = map[*world.Call]*steady{}
		l.lately, l.cut = map[string]*graph.Op{}, map[string]bool{}
		if l.World != nil {
			l.World = &quietWorld{l.World, &l.quiet}
		}
		if l.People != nil {
			l.People = &quietPeople{l.People, &l.quiet}
		}
		if l.Log == nil {
			l.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// Run runs checks: first those that disturb nobody, side by side, then those that
// change what the run made, then those that want to be alone,
// then those that destroy, then those that look back. It returns what ended it.
func (l *Lab) Run(ctx context.Context, list []*Check, progress func(c *Check, done, of int)) error {
	l.begin()
	if l.People != nil {
		l.early = firstValue(l.People.Get(actor.User))
	}
	var clean, dirty, alone, late, last []*Check
	for _, c := range list {
		switch {
		case c.Mode > l.Mode:
		case c.Last:
			last = append(last, c)
		case c.Late:
			late = append(late, c)
		case c.Alone:
			alone = append(alone, c)
		case c.Dirty:
			dirty = append(dirty, c)
		default:
			clean = append(clean, c)
		}
	}
	for _, c := range list {
		if Find(c.ID) == nil {
			l.written = append(l.written, c)
		}
	}
	for _, c := range slices.Concat(clean, dirty, alone, late, last) {
		l.cut[c.ID] = true // until it is finished
	}
	of := len(clean) + len(dirty) + len(alone) + len(late) + len(last)
	var done atomic.Int64
	one := func(ctx context.Context, c *Check) error {
		err := l.check(ctx, c)
		n := int(done.Add(1))
		if progress != nil {
			progress(c, n, of)
		}
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began, short := time.Now(), false
	for _, group := range []struct {
		list  []*Check
		share float64 // of the time, with those before it
	}{{clean, 0.6}, {dirty, 0.85}} {
		within, done := ctx, func() {}
		if !l.Until.IsZero() {
			within, done = context.WithDeadlineCause(ctx, began.Add(time.Duration(group.share*float64(l.Until.Sub(began)))), errShare)
		}
		var wg sync.WaitGroup
		for _, c := range group.list {
			wg.Go(func() {
				if err := one(within, c); err != nil && !brokeDown(err) && (ctx.Err() != nil || !errors.Is(context.Cause(within), errShare)) {
					stop(err)
				}
			})
		}
		wg.Wait()
		short = short || ctx.Err() == nil && within.Err() != nil && slices.ContainsFunc(group.list, func(c *Check) bool { return l.isCut(c) })
		done()
	}
	for _, c := range slices.Concat(alone, late, last) {
		if ctx.Err() != nil {
			break
		}
		if err := one(ctx, c); err != nil && !brokeDown(err) {
			stop(err)
		}
	}
	if ctx.Err() == nil && short {
		return fmt.Errorf("%w: %w", target.ErrTime, errShare)
	}
	return context.Cause(ctx)
}

// brokeError is a check that panicked: its own fault, not the target's.
type brokeError struct{ panic any }

func (e *brokeError) Error() string { return fmt.Sprintf("broke down: %v", e.panic) }

func brokeDown(err error) bool {
	e := (*brokeError)(nil)
	return errors.As(err, &e)
}

// Broken are the ids of the checks that ended by a fault of their own.
func (l *Lab) Broken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.broken))
}

// Unsent says of which checks the way to the target keeps anything from being told.
func (l *Lab) Unsent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.unsent))
}

// errShare ends the checks of one kind where others need what is left of the time.
var errShare = errors.New("some checks had no more than their share of it")

func (l *Lab) isCut(c *Check) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut[c.ID]
}

// check runs one check. One that panics ends itself alone, and says so.
func (l *Lab) check(ctx context.Context, c *Check) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.Log.ErrorContext(ctx, "a check broke down", "check", c.ID, "panic", fmt.Sprint(p))
			err = fmt.Errorf("check %s: %w", c.ID, &brokeError{p})
		}
		if broke := (*brokeError)(nil); errors.As(err, &broke) {
			l.mu.Lock()
			l.broken = append(l.broken, c.ID)
			l.mu.Unlock()
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := &Probe{Lab: l, Check: c}
	ctx = target.For(ctx, c.ID, c.urgency())
	if !c.Last && p.tried(Whole) {
		p.finished()
		return nil
	}
	err = c.Run(ctx, p)
	if errors.Is(err, target.ErrRefused) {
		// What the user said must never be called: the check does without.
		l.Log.DebugContext(ctx, "not sent", "check", c.ID, "error", err)
		err = nil
	}
	if errors.Is(err, world.ErrUnwritable) {
		// A value that does not fit is about one call: the check ends there, and the run goes on.
		l.Log.DebugContext(ctx, "not written", "check", c.ID, "error", err)
		p.Note(l.lastly(c), Inconclusive)
		err = nil
	}
	if errors.Is(err, target.ErrRequest) {
		// On this way to the target it cannot be sent (bytes as they are, through a proxy that
		// reads them): nothing can be told of it, and the run goes on.
		l.mu.Lock()
		l.unsent = append(l.unsent, fmt.Sprintf("%s could not tell anything: %v", c.ID, err))
		l.mu.Unlock()
		err = nil
	}
	// A check may take what is not sent any more for an answer that shows nothing:
	// whether it came to its end is not left to it.
	if err == nil {
		err = p.over(ctx)
	}
	if err != nil {
		p.unfinished(l.lastly(c)) // at which it was
		return fmt.Errorf("check %s: %w", c.ID, err)
	}
	p.finished()
	p.did(ctx, Whole)
	return nil
}

// lastly is the operation at which a check was when something was sent last.
func (l *Lab) lastly(c *Check) *graph.Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lately[c.ID]
}

// over is why nothing is sent any more, nil while something is.
func (l *Lab) over(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.Client != nil {
		return l.Client.Over()
	}
	return nil
}

func (p *Probe) finished() {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.cut, p.Check.ID)
}

// Unfinished are the ids of the checks that were not finished, or not begun, when
// the run ended.
func (l *Lab) Unfinished() []string {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(l.cut)), func(id string) bool { return slices.Contains(l.broken, id) })
}

// unfinished takes back what was noted of an operation at which the run ended,
// unless a hole was proven there.
// Findings are the findings so far, the gravest first.
func (l *Lab) Findings() []*finding.Finding {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Collect(maps.Values(l.findings))
	finding.Sort(out)
	return out
}

// Proofs are the findings' scenarios, in the findings' order.
func (l *Lab) Proofs() []*Proof {
	var out []*Proof
	for _, f := range l.Findings() {
		l.mu.Lock()
		if p := l.proofs[f.Fingerprint]; p != nil {
			out = append(out, p)
		}
		l.mu.Unlock()
	}
	return out
}

// Ops are the operations that may be attacked, in document order.
func (l *Lab) Ops() []*graph.Op {
	if l.Leave == nil {
		return l.Graph.Ops
	}
	return slices.DeleteFunc(slices.Clone(l.Graph.Ops), l.Leave)
}

// Probe is a Lab as one check has it.
type Probe struct {
	*Lab
	Check *Check
}

// Each calls try for every element, a few at a time, and returns the first error.
func Each[T any](ctx context.Context, p *Probe, list []T, try func(ctx context.Context, e T) error) error {
	p.begin()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for i, e := range list {
		name := ""
		if p.Diary != nil {
			name = part(ctx, e)
		}
		if p.tried(name) {
			continue
		}
		if p.slots.Take(ctx, p.Check.urgency()) {
			wg.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						stop(&brokeError{r})
					}
					p.slots.Give()
				}()
				if p.left(e) {
					return
				}
				op, _ := any(e).(*graph.Op)
				err := p.over(ctx)
				if err == nil {
					for n := 0; err == nil && (n == 0 || n < maxTries && op != nil && p.renewedFor(op)); n++ {
						err = try(context.WithValue(ctx, inside{}, true), e)
					}
				}
				if errors.Is(err, world.ErrUnwritable) {
					op, _ := any(e).(*graph.Op)
					p.Note(op, Inconclusive)
					err = nil
				}
				if err == nil || errors.Is(err, target.ErrRefused) {
					err = p.over(ctx) // what was not sent may have been taken for an answer
				}
				if err != nil {
					p.unfinished(op)
					stop(err)
					return
				}
				p.did(ctx, name)
			})
			continue
		}
		for _, e := range list[i:] {
			if op, ok := any(e).(*graph.Op); ok && (p.Diary == nil || !p.tried(part(ctx, op))) {
				p.unfinished(op)
			}
		}
		break
	}
	wg.Wait()
	return context.Cause(ctx)
}

// left: e is an operation that is not attacked, or not any more.
func (p *Probe) left(e any) bool {
	op, ok := e.(*graph.Op)
	return ok && p.Leave != nil && p.Leave(op)
}

// Rand is a source of randomness that depends on the seed, the check and what
// it is used for, and on nothing else.
func (p *Probe) Rand(use ...string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, b := range []byte(p.Check.ID + "\x00" + strings.Join(use, "\x00")) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(p.Seed, h)) //nolint:gosec // reproducible by intent
}

// Do sends a request as an actor (nil: nobody), its credentials put on.
func (p *Probe) Do(ctx context.Context, as *actor.Actor, r *target.Request) (*target.Exchange, error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	if as == nil {
		return p.Stage.Sender.Do(ctx, actor.Nobody, r)
	}
	for try := 0; ; try++ {
		since := as.Session.Since()
		as.Session.Apply(r)
		x, err := p.Stage.Sender.Do(ctx, as.Name, r)
		if err != nil || try > 0 || p.People == nil {
			return x, err
		}
		if again, err := p.People.Again(ctx, as, x, since); err != nil || !again {
			return x, err //nolint:wrapcheck // it says whose session it is
		}
	}
}

// Actor is an actor of the run, nil when there is none of that name.
func (p *Probe) Actor(name string) *actor.Actor { return p.People.Get(name) }

// Attackers are the actors that should not get at what the user owns: one of
// another tenant where there is one, else the peer. Empty when there is only one user.
func (p *Probe) Attackers() []*actor.Actor {
	var out []*actor.Actor
	for _, name := range []string{actor.Foreign, actor.Peer} {
		if a := p.Actor(name); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// fresh is text that no other run of a scenario has.
func (l *Lab) fresh() string {
	return l.RunID + "." + strconv.FormatUint(l.Seed, 36) + "." + strconv.FormatInt(l.nonce.Add(1), 10) + "." + strconv.FormatInt(time.Now().UnixNano()%1e9, 36)
}
