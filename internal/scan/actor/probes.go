package actor

import (
	"context"
	"fmt"
	"maps"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Entry is an operation by which people come in, with what it takes, so that
// checks can send it changed.
type Entry struct {
	Op *graph.Op
	// Fields say which input takes which fact ("email", "username", "password",
	// "confirm", …): fact → Input.Where, "" and missing when it takes none. What says
	// nothing of a person is not among them: a kind of grant, terms that are agreed to.
	Fields map[string]string

	p    *People
	form *form
}

// LoginEntry is the operation to log in by, nil when none was found.
func (p *People) LoginEntry() *Entry {
	if p.theDoor() == nil || p.theDoor().form == nil {
		return nil
	}
	return p.entry(p.theDoor().form)
}

// RegisterEntry is the operation to register by, nil when none was found.
func (p *People) RegisterEntry() *Entry {
	if p.theReg() == nil {
		return nil
	}
	return p.entry(p.theReg().form)
}

func (p *People) entry(f *form) *Entry {
	e := &Entry{Op: f.op, Fields: map[string]string{}, p: p, form: f}
	for _, in := range f.op.Inputs {
		if fact := f.fact(in); fact != "" && fact != factGrant && fact != factTerms && f.wants(in) {
			if _, there := e.Fields[fact]; !there {
				e.Fields[fact] = in.Where()
			}
		}
	}
	return e
}

// Request writes the operation's request with these facts. over replaces inputs
// by Input.Where (any JSON value); extra are further members of the body, by JSON pointer.
func (e *Entry) Request(facts map[string]string, over, extra map[string]any) (*target.Request, error) {
	f := e.form.clone()
	maps.Copy(f.over, over)
	maps.Copy(f.extra, extra)
	who := newPersona(e.p.cfg.Run, "probe", e.p.cfg.Seed)
	return f.request(maps.Clone(facts), who.rng)
}

// NewFacts draws an account's facts that nobody has yet: email, username,
// password, phone, as the registration wants them.
func (p *People) NewFacts(name string) map[string]string {
	who := newPersona(p.cfg.Run, "n"+name, p.cfg.Seed)
	if p.theReg() != nil {
		who.pass, who.domain, who.phone = p.theReg().who, p.theReg().domain, p.theReg().phone
		who.identity()
		who.password()
	}
	p.c.Secrets().Add(who.facts[factPassword])
	return who.facts
}

// LoginWith sends the login with these facts, whatever comes of it: a session
// when the answer holds a credential where logins give one. The exchange is
// there whenever something was sent.
func (p *People) LoginWith(ctx context.Context, facts map[string]string) (*Session, *target.Exchange, error) {
	if p.theDoor() == nil || p.theDoor().form == nil {
		return nil, nil, fmt.Errorf("%w: no operation to log in by is known", ErrCannotLogin)
	}
	if p.Single() { // the session of the last login is the one that is good
		p.entering.Lock()
		defer p.entering.Unlock()
	}
	s, ex, err := p.through(ctx, p.theDoor(), Nobody, maps.Clone(facts), newPersona(p.cfg.Run, "probe", p.cfg.Seed))
	return s, ex, err
}

// Register makes another account, with extra members in the body (by JSON
// pointer: "/role"), and logs it in. The exchange is the registration's. The
// account is nobody's actor: it is not among All.
func (p *People) Register(ctx context.Context, extra map[string]any) (*Actor, *target.Exchange, error) {
	if p.theReg() == nil {
		return nil, nil, fmt.Errorf("%w: no operation to register by is known", ErrCannotRegister)
	}
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	p.fresh++
	name := fmt.Sprintf("fresh%d", p.fresh)
	p.mu.Unlock()
	return p.register(ctx, name, newPersona(p.cfg.Run, name, p.cfg.Seed), extra)
}
