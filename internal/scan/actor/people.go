package actor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// People are the actors of a run. All methods are safe for use by many goroutines.
type People struct {
	g   *graph.Graph
	c   *target.Client
	cfg Config

	mu       sync.Mutex // guards what follows, and Actor.asked
	actors   map[string]*Actor
	order    []string
	fresh    int
	lent     map[string]time.Time // accounts of proofs: when they were given out last
	named    string               // the base path that the user gave
	report   *Report
	prepared bool

	single   atomic.Bool // each login ends the session before it
	entering sync.Mutex  // one logs in at a time then

	making sync.Mutex // one account is made at a time: what one teaches helps the next

	door *entrance     // guarded by mu
	reg  *registration // guarded by mu
	csrf *jar          // guarded by mu, never changed once it is there

	// Written while Prepare runs, read afterwards.
	witnesses []*witness
	refusing  int             // how many of them refuse nobody
	given     map[string]bool // accounts that the configuration has, and whether it says how they are made
}

func (p *People) theDoor() *entrance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.door
}

func (p *People) setDoor(d *entrance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.door = d
}

func (p *People) theReg() *registration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reg
}

func (p *People) setReg(r *registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reg = r
}

func (p *People) theCSRF() *jar {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.csrf
}

// refreshCSRF gets a token against cross-site requests for those who are not logged in yet.
func (p *People) refreshCSRF(ctx context.Context, as, path string) error {
	j, err := p.preflight(ctx, as, nil, path)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.csrf = j
	return nil
}

// New makes the people of a run. Nothing is sent until Prepare.
func New(g *graph.Graph, c *target.Client, cfg Config) *People {
	if cfg.Run == "" {
		cfg.Run = "0"
	}
	p := &People{g: g, c: c, cfg: cfg, named: c.Base(), actors: map[string]*Actor{}, lent: map[string]time.Time{}, report: &Report{}}
	c.OnExchange(p.follow)
	return p
}

// Report is what became of everyone.
type Report struct {
	Actors   []ActorReport `json:"actors"`
	Problems []Problem     `json:"problems,omitempty"`
	Notes    []string      `json:"notes,omitempty"` // what was learnt on the way
	Register string        `json:"register,omitempty"`
	Login    string        `json:"login,omitempty"`
	Base     string        `json:"base"` // the base path in use
}

// ActorReport is what is known of one actor. It holds no secret.
type ActorReport struct {
	Name    string    `json:"name"`
	Role    string    `json:"role,omitempty"`
	Made    bool      `json:"made"`
	How     string    `json:"how"`              // where its session is: "Authorization: Bearer …"
	Proven  string    `json:"proven,omitempty"` // the call that answers it otherwise than nobody
	Tenant  string    `json:"tenant,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Problem is something that keeps somebody out, and what to do about it.
type Problem struct {
	Who    string `json:"who,omitempty"`
	What   string `json:"what"`
	Advice string `json:"advice"`
}

// Prepare makes and logs in everyone that can be had. It fails only where the
// run cannot go on (the target is down, a budget is used up); who could not be
// had is in the report.
func (p *People) Prepare(ctx context.Context) (*Report, error) {
	if err := p.orient(ctx); err != nil {
		return p.report, err
	}
	if err := p.gather(ctx); err != nil {
		return p.report, err
	}
	if err := p.configured(ctx); err != nil {
		return p.report, err
	}
	if err := p.selfMade(ctx); err != nil {
		return p.report, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	p.prepared = true
	return p.report, nil
}

// selfMade registers whoever is still missing.
func (p *People) selfMade(ctx context.Context) error {
	if p.cfg.NoRegister {
		return nil
	}
	user := p.Get(User)
	if user != nil && p.Get(Peer) != nil {
		return nil
	}
	var want []string
	for _, n := range []string{User, Peer, Foreign} {
		if p.Get(n) == nil {
			want = append(want, n)
		}
	}
	for _, name := range want {
		if name == Foreign && !p.tenants() {
			continue
		}
		a, err := p.make(ctx, name, nil)
		if err != nil {
			if stops(err) {
				return err
			}
			if name == User {
				if p.known(ctx) {
					continue
				}
			}
			if name == User && p.asksNobody() {
				p.note("nobody need log in here, as far as the description and the answers tell: everything is tested as nobody. If there are accounts all the same, give them: actors.accounts.user and actors.accounts.peer")
				return nil
			}
			p.problem(name, err.Error(), p.adviceFor(err))
			if name == User {
				return nil
			}
			continue
		}
		p.add(a)
	}
	if u, q := p.Get(User), p.Get(Peer); u != nil && q != nil && u.Facts[factTenant] != "" && q.Facts[factTenant] != "" && u.Facts[factTenant] != q.Facts[factTenant] {
		p.note("each registration gets a tenant of its own: peer is in another tenant than user")
	}
	return nil
}

// asksNobody reports whether an API knows no accounts: nothing refuses nobody, and
// the description has neither credentials nor a way to get some.
func (p *People) asksNobody() bool {
	return len(p.witnesses) > 0 && p.refusing == 0 && len(p.given) == 0 && len(p.registrars()) == 0 && len(p.candidates(graph.Login, 0.3)) == 0 &&
		!slices.ContainsFunc(p.g.Ops, func(op *graph.Op) bool { return op.Secured })
}

// tenants: the API keeps callers apart in houses.
func (p *People) tenants() bool {
	for _, r := range p.g.Resources {
		if r.IsTenant {
			return true
		}
	}
	if p.theReg() != nil {
		for _, in := range p.theReg().form.op.Inputs {
			if factOf(in) == factTenant {
				return true
			}
		}
	}
	u := p.Get(User)
	return u != nil && u.Facts[factTenant] != ""
}

// Get gives an actor by name, nil when it is not there.
func (p *People) Get(name string) *Actor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.actors[name]
}

// All lists the actors that have a session, in the order in which they came.
func (p *People) All() []*Actor {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*Actor, 0, len(p.order))
	for _, n := range p.order {
		if a := p.actors[n]; a.Session != nil {
			out = append(out, a)
		}
	}
	return out
}

func (p *People) add(a *Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.actors[a.Name] == nil {
		p.order = append(p.order, a.Name)
	}
	p.actors[a.Name] = a
}

func (p *People) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.report.Notes, text) {
		p.report.Notes = append(p.report.Notes, text)
	}
}

func (p *People) problem(who, what, advice string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Problems = append(p.report.Problems, Problem{who, p.c.Secrets().Text(what), advice})
}

// finish writes the report's table. p.mu is held.
func (p *People) finish() {
	p.report.Base = p.c.Base()
	p.report.Actors = nil
	for _, n := range p.order {
		a := p.actors[n]
		r := ActorReport{Name: n, Role: a.Role, Made: a.Made, Proven: a.Proven, Tenant: a.Facts[factTenant]}
		if a.Session != nil {
			r.How, r.Expires = describe(a.Session), a.Session.Expires
		}
		p.report.Actors = append(p.report.Actors, r)
	}
	if p.reg != nil {
		p.report.Register = p.reg.form.op.Method + " " + p.reg.form.op.Path
	}
	if p.door != nil && p.door.form != nil {
		p.report.Login = p.door.form.op.Method + " " + p.door.form.op.Path
	}
}

// describe says where a session's credentials go, without them.
func describe(s *Session) string {
	var out []string
	for _, part := range s.Snapshot() {
		what := part.In + " " + part.Name
		if part.Prefix != "" {
			what += ": " + strings.TrimSpace(part.Prefix) + " …"
		}
		out = append(out, what)
	}
	return strings.Join(out, ", ")
}

// Fresh registers another account of the user's role and logs it in. It is
// called "fresh1", "fresh2" ….
func (p *People) Fresh(ctx context.Context) (*Actor, error) {
	p.mu.Lock()
	p.fresh++
	name := fmt.Sprintf("fresh%d", p.fresh)
	p.mu.Unlock()
	a, err := p.make(ctx, name, nil)
	if err != nil {
		if again := p.lend(ctx, name, err); again != nil {
			return again, nil
		}
		return nil, err
	}
	p.add(a)
	p.mu.Lock()
	p.lent[name] = time.Now()
	p.mu.Unlock()
	return a, nil
}

// lend gives out an account that an earlier proof registered for itself, where the API lets
// nobody register any more for a while: the one that was given out longest ago, so that
// nobody is two people of one proof, nor of two at once. It still logs in: nothing that
// matters to the next proof was taken from it. nil when there is none.
func (p *People) lend(ctx context.Context, name string, why error) *Actor {
	if !errors.Is(why, errTooMany) {
		return nil
	}
	for range maxLent {
		now := time.Now()
		p.mu.Lock()
		var old *Actor
		for _, n := range p.order {
			a := p.actors[n]
			if strings.HasPrefix(n, "fresh") && a.Made && a.by != nil && !a.by.fixed && (old == nil || p.lent[n].Before(p.lent[old.Name])) {
				old = a
			}
		}
		wait := time.Duration(0)
		if old != nil {
			wait = p.lent[old.Name].Add(rested).Sub(now)
			if wait <= rested {
				p.lent[old.Name] = now.Add(max(wait, 0)) // nobody else waits for it
			}
		}
		p.mu.Unlock()
		if old == nil || wait > rested || wait > 0 && pause(ctx, wait) != nil {
			return nil
		}
		if s, _, err := p.enter(ctx, old); err == nil && s != nil {
			p.note("No more accounts could be registered for a while: proofs used again those that earlier ones had made.")
			return &Actor{Name: name, Role: old.Role, Facts: maps.Clone(old.Facts), Session: s, Made: true, Proven: old.Proven, by: old.by, witness: old.witness, who: old.who}
		}
		p.mu.Lock()
		p.lent[old.Name] = now.Add(24 * time.Hour) // it does not log in any more
		p.mu.Unlock()
	}
	return nil
}

const rested = 20 * time.Second // since an account was given out: what used it is over

const maxLent = 4 // accounts that are tried

// make registers an account and logs it in.
func (p *People) make(ctx context.Context, name string, extra map[string]any) (*Actor, error) {
	p.making.Lock()
	defer p.making.Unlock()
	if p.cfg.NoRegister {
		return nil, fmt.Errorf("%w: the configuration says not to", ErrCannotRegister)
	}
	who := newPersona(p.cfg.Run, name, p.cfg.Seed)
	if name == Foreign {
		who.facts[factTenant] = "Crenel " + p.cfg.Run + " Foreign"
	}
	if u := p.Get(User); u != nil && name != Foreign && u.Facts[factTenant] != "" {
		who.facts["user.tenant"] = u.Facts[factTenant]
	}
	a, _, err := p.register(ctx, name, who, extra)
	return a, err
}

// Alive says whether an actor's session is still what it was: nil when it is,
// ErrSessionEnded when it is answered as nobody is, ErrNoWitness when nothing
// can tell.
func (p *People) Alive(ctx context.Context, a *Actor) error {
	if a == nil || a.Session == nil {
		return ErrSessionEnded
	}
	return p.alive(ctx, a, a.Session)
}

func (p *People) alive(ctx context.Context, a *Actor, s *Session) error {
	w := a.witness
	if w == nil {
		return fmt.Errorf("%s: %w", a.Name, ErrNoWitness)
	}
	for try := 0; ; try++ {
		ex, err := p.ask(ctx, a.Name, w, s)
		if err != nil {
			return fmt.Errorf("asking whether %s is logged in: %w", a.Name, err)
		}
		switch {
		case ex.Err != nil:
			err = fmt.Errorf("asking whether %s is logged in: %w", a.Name, ex.Err)
		case w.nobody != nil && w.nobody.Status >= 500 && ex.Status == w.nobody.Status && shape(ex) == w.shape:
			return fmt.Errorf("%s: %w (%s %s answers %d, as it answers nobody)", a.Name, ErrSessionEnded, w.r.Method, w.r.Path, ex.Status)
		case ex.Status >= 500 || ex.Status == 429:
			err = fmt.Errorf("asking whether %s is logged in: %s %s answers %d", a.Name, w.r.Method, w.r.Path, ex.Status)
		case w.judge(ex, a.Facts) >= maybe:
			return nil
		default:
			return fmt.Errorf("%s: %w (%s %s answers %d)", a.Name, ErrSessionEnded, w.r.Method, w.r.Path, ex.Status)
		}
		if try == 2 {
			return err
		}
		if err := pause(ctx, time.Duration(try+1)*300*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Login opens a second session of the same account, independent of the first.
func (p *People) Login(ctx context.Context, a *Actor) (*Session, error) {
	if a == nil || a.by == nil {
		return nil, fmt.Errorf("%w: no way to log in is known", ErrCannotLogin)
	}
	if a.by.fixed {
		return nil, fmt.Errorf("%w: %s has fixed credentials, of which there is only one session", ErrCannotLogin, a.Name)
	}
	a.apart.Add(1)
	defer a.apart.Add(-1)
	s, _, err := p.enter(ctx, a)
	return s, err
}

// Renew logs an actor in again, and puts the new session in place of the old.
func (p *People) Renew(ctx context.Context, a *Actor) error {
	if a == nil || a.Session == nil || a.by == nil {
		return ErrCannotRenew
	}
	seen := a.Session.opened()
	if p.Single() {
		p.entering.Lock()
		defer p.entering.Unlock()
	}
	a.renew.Lock()
	defer a.renew.Unlock()
	if !a.Session.opened().Equal(seen) {
		return nil // another goroutine has done it meanwhile
	}
	if a.by.fixed {
		return fmt.Errorf("%s: %w: its credentials are fixed", a.Name, ErrCannotRenew)
	}
	s, _, err := p.enter(ctx, a)
	if err != nil && a.Made && p.theReg() != nil && !stops(err) {
		// A target that was restarted may have forgotten the account.
		p.making.Lock()
		again, ex, rerr := p.again(ctx, a)
		p.making.Unlock()
		if rerr == nil {
			s, err = again, nil
			p.note(fmt.Sprintf("the account of %s was gone and was registered again", a.Name))
			_ = ex
		}
	}
	if err != nil {
		return fmt.Errorf("renewing the session of %s: %w", a.Name, err)
	}
	a.Session.become(s)
	return nil
}

func (s *Session) rotating() bool {
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rotates
}

func (s *Session) opened() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Opened
}

// again registers an actor's account with the same facts as before.
func (p *People) again(ctx context.Context, a *Actor) (*Session, *target.Exchange, error) {
	r, err := p.theReg().form.request(maps.Clone(a.Facts), a.who.rng)
	if err != nil {
		return nil, nil, err
	}
	p.theReg().dress(p, r)
	ex, err := p.c.Do(ctx, Nobody, r)
	if err != nil {
		return nil, nil, err
	}
	if !worked(ex) {
		return nil, ex, &blocked{err: ErrCannotRegister, why: "the account could not be made again", last: ex}
	}
	return p.enter(ctx, a)
}
