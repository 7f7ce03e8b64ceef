package actor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

const maxTries = 10 // at one registration

// registration is how accounts are made, once it has been found out.
type registration struct {
	form *form
	who  passwordRules
	// domain and phone that were taken, as in persona
	domain, phone int
	by            *Session // of whoever may register others; nil: nobody need be logged in
}

// dress puts on a request what the registration needs beside the form.
func (g *registration) dress(p *People, r *target.Request) {
	g.by.Apply(r)
	p.theCSRF().guard(p, r)
}

func lower(s string) string { return strings.ToLower(s) }

// registrars lists the operations that may make accounts.
func (p *People) registrars() []*graph.Op {
	out := p.candidates(graph.Register, 0.3)
	for _, op := range p.g.Ops {
		if slices.Contains(out, op) || op.Method != http.MethodPost && op.Method != http.MethodPut || op.About == nil || !op.About.IsPerson || op.Kind != graph.Create {
			continue
		}
		if takesPassword(op) {
			out = append(out, op)
		}
	}
	if len(out) > 0 {
		return out
	}
	// Whatever takes a password from nobody and is nothing else that does.
	for _, op := range p.g.Ops {
		other := op.Has(graph.Login) || op.Has(graph.PasswordReset) || op.Has(graph.PasswordForgot) || op.Has(graph.PasswordChange) || op.Has(graph.Refresh) || op.Has(graph.SecondFactor) || op.Has(graph.Hazard)
		if op.Method == http.MethodPost && !op.Secured && !other && takesPassword(op) {
			out = append(out, op)
		}
	}
	return out
}

func takesPassword(op *graph.Op) bool {
	return slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return factOf(in) == factPassword })
}

// register makes an account and logs it in. Where it is not known yet how, it finds out.
func (p *People) register(ctx context.Context, name string, who *persona, extra map[string]any) (*Actor, *target.Exchange, error) {
	if p.theReg() != nil {
		return p.registerBy(ctx, p.theReg().form.clone(), name, who, extra)
	}
	ops := p.registrars()
	if len(ops) == 0 {
		return nil, nil, fmt.Errorf("%w: the description has no operation that looks like a registration", ErrCannotRegister)
	}
	var first error
	var last *target.Exchange
	for i, op := range ops {
		if i == 4 {
			break
		}
		breadths := []int{0, 1}
		if !newForm(op).required() {
			breadths = []int{1, 0}
		}
		for _, b := range breadths {
			f := newForm(op)
			f.breadth = b
			a, ex, err := p.registerBy(ctx, f, name, who, extra)
			if err == nil {
				return a, ex, nil
			}
			if ex != nil {
				last = ex
			}
			if stops(err) {
				return nil, ex, err
			}
			if first == nil {
				first = err
			}
			if bl, ok := asBlocked(err); ok && bl.stop != obstacleNone || ok && worked(bl.last) {
				break
			}
			who.identity()
		}
	}
	return nil, last, first
}

// registerBy makes an account by one form, obeying what the answers say.
func (p *People) registerBy(ctx context.Context, f *form, name string, who *persona, extra map[string]any) (*Actor, *target.Exchange, error) {
	if p.theReg() != nil {
		who.pass, who.domain, who.phone = p.theReg().who, p.theReg().domain, p.theReg().phone
		who.identity()
		who.password()
	}
	maps.Copy(f.extra, extra)
	p.tenantInput(ctx, f, who, name)
	guide := &adviser{f: f, who: who}
	var by *Session
	if p.theReg() != nil {
		by = p.theReg().by
	}
	seen := map[string]bool{}
	var ex *target.Exchange
	stop := obstacleNone
	op := f.op
	hiccups := 0
	for try := 0; try < maxTries; try++ {
		r, err := f.request(who.facts, who.rng)
		if err != nil {
			return nil, ex, fmt.Errorf("%w: %w", ErrCannotRegister, err)
		}
		key := r.Path + r.Query + r.Get("Content-Type") + string(r.Body)
		if seen[key] {
			break
		}
		seen[key] = true
		p.c.Secrets().Add(who.facts[factPassword])
		by.Apply(r)
		p.theCSRF().guard(p, r)
		if ex, err = p.c.Do(ctx, Nobody, r); err != nil {
			return nil, ex, fmt.Errorf("registering by %s %s: %w", op.Method, op.Path, err)
		}
		if ex.Err != nil {
			return nil, ex, fmt.Errorf("%w: %s %s: %w", ErrCannotRegister, op.Method, op.Path, ex.Err)
		}
		if worked(ex) || redirectedIn(ex) {
			return p.registered(ctx, f, guide, name, who, by, ex)
		}
		switch {
		case p.theCSRF() == nil && wantsCSRF(ex):
			if err = p.refreshCSRF(ctx, Nobody, op.Path); err != nil {
				return nil, ex, err
			}
			delete(seen, key)
			continue
		case ex.Status == http.StatusTooManyRequests:
			if err := p.wait(ctx, ex, ErrCannotRegister); err != nil {
				return nil, ex, err
			}
			delete(seen, key)
			continue
		case ex.Status >= 500 && p.theReg() != nil && hiccups < 2:
			// It has worked before: the target was too busy with others, or has stumbled.
			hiccups++
			if err := pause(ctx, time.Duration(hiccups)*150*time.Millisecond); err != nil {
				return nil, ex, err
			}
			who.identity()
			who.password()
			delete(seen, key)
			continue
		case denied(ex) && by == nil && p.Get(Admin) != nil:
			by = p.Get(Admin).Session
			p.note("accounts are made by the admin: registration is not open")
			delete(seen, key)
			continue
		}
		var changed bool
		if changed, stop = guide.obey(ex); changed {
			continue
		}
		if stop == obstacleNone && denied(ex) {
			stop = obstacleLogin
		}
		if stop != obstacleNone || !f.another(try) {
			break
		}
	}
	return nil, ex, &blocked{err: ErrCannotRegister, stop: stop, why: firstComplaint(ex), last: ex}
}

// another changes what no answer gave a hint to.
func (f *form) another(int) bool {
	all := mediaOf(f.op)
	if len(declaredMedia(f.op)) == 0 {
		for i, m := range all {
			if m == f.media && i+1 < len(all) {
				f.media = all[i+1]
				return true
			}
		}
	}
	return false
}

// redirectedIn: a form that answers by leading elsewhere than back to itself.
func redirectedIn(ex *target.Exchange) bool {
	if ex.Status < 300 || ex.Status > 399 {
		return false
	}
	l := lower(ex.Header.Get("Location"))
	return l != "" && !strings.Contains(l, "error") && !strings.HasSuffix(strings.TrimRight(l, "/"), strings.TrimRight(lower(ex.Request.Path), "/"))
}

// registered logs in an account whose registration was answered well: only then is it one.
func (p *People) registered(ctx context.Context, f *form, guide *adviser, name string, who *persona, by *Session, ex *target.Exchange) (*Actor, *target.Exchange, error) {
	j := &jar{}
	j.take(ex)
	a := &Actor{Name: name, Role: p.roleOf(User), Made: true, Granted: by != nil && f.sends(factRole), Facts: maps.Clone(who.facts), who: who}
	for _, fact := range []string{factUsername, factEmail, factPhone} {
		if !f.sends(fact) { // the account has none, or one that the API chose
			delete(a.Facts, fact)
			delete(who.facts, fact)
		}
	}
	learnFacts(a, ex)
	maps.Copy(who.facts, onlyNew(a.Facts, who.facts))
	var open opening
	if p.theDoor() != nil {
		s, lex, err := p.through(ctx, p.theDoor(), name, a.Facts, who)
		if err != nil && p.theDoor().fixed || p.theDoor().fixed {
			var ok bool
			if s, ok = p.session(p.theDoor().way, ex, j, a.Facts); ok {
				err = nil
				first := s
				open.by = &entrance{way: p.theDoor().way, fixed: true, fetch: func(context.Context, *Actor) (*Session, *target.Exchange, error) {
					return &Session{Parts: first.Snapshot(), Opened: first.Opened, Expires: first.Expires}, ex, nil
				}}
			}
		}
		if err != nil {
			if stops(err) {
				return nil, ex, err
			}
			return nil, ex, p.waitingFor(ctx, err, ex)
		}
		if open.by == nil {
			open.by = p.theDoor()
		}
		open.s, open.ex = s, lex
		if open.v, err = p.examine(ctx, name, s, a.Facts, maxWitnesses); err != nil {
			return nil, ex, err
		}
	} else {
		var err error
		if open, err = p.discover(ctx, name, who, &attempt{ex, j}); err != nil {
			if stops(err) {
				return nil, ex, err
			}
			return nil, ex, p.waitingFor(ctx, err, ex)
		}
	}
	a.Session, a.by, a.witness, a.Proven = open.s, open.by, open.v.witness, open.v.proven()
	if p.theDoor() == nil {
		p.setDoor(open.by)
	}
	if p.theReg() == nil {
		f.extra = maps.Clone(f.extra)
		p.setReg(&registration{form: f, who: who.pass, domain: who.domain, phone: who.phone, by: by})
	}
	p.keep(guide)
	if open.ex != nil {
		learnFacts(a, open.ex)
	}
	p.whoAmI(ctx, a)
	delete(a.Facts, "user.tenant")
	if a.Facts[factTenant] == who.facts[factTenant] && !f.sends(factTenant) {
		delete(a.Facts, factTenant) // only meant for forms that ask for one
	}
	return a, ex, nil
}

// sends: the form gives this fact.
func (f *form) sends(fact string) bool {
	return slices.ContainsFunc(f.op.Inputs, func(in *graph.Input) bool { return f.wants(in) && f.fact(in) == fact })
}

// waitingFor says what a registration that was accepted and opens nothing is waiting for.
func (p *People) waitingFor(_ context.Context, err error, ex *target.Exchange) error {
	if bl, ok := asBlocked(err); ok && bl.stop != obstacleNone {
		return &blocked{err: fmt.Errorf("%w: it was accepted, but %w", ErrCannotRegister, bl.err), stop: bl.stop, last: bl.last}
	}
	if reVerify.MatchString(lower(string(ex.Body[:min(len(ex.Body), 4096)]))) {
		return &blocked{err: ErrCannotRegister, stop: obstacleVerify, last: ex}
	}
	return fmt.Errorf("%w: it was accepted (%d), but then %w", ErrCannotRegister, ex.Status, err)
}

// tenantInput fills in whose house an account belongs to, where that is an
// identifier: the user's own for its peers, else one of those that anybody can list.
func (p *People) tenantInput(ctx context.Context, f *form, who *persona, name string) {
	for _, in := range f.op.Inputs {
		if factOf(in) != factTenant && in.Meaning != graph.MeansTenant || !byID(in) {
			continue
		}
		if t := who.facts["user.tenant"]; t != "" && name != Foreign {
			f.over[in.Where()] = typed(in, t)
			continue
		}
		ids := p.listed(ctx, in)
		if name == Foreign && len(ids) > 1 {
			if u := p.Get(User); u != nil {
				ids = slices.DeleteFunc(ids, func(id string) bool { return id == u.Facts[factTenant] })
			}
			ids = ids[len(ids)-1:]
		}
		if len(ids) > 0 {
			f.over[in.Where()] = typed(in, ids[0])
		}
	}
}

// listed asks, as nobody, the operations that list what an input names.
func (p *People) listed(ctx context.Context, in *graph.Input) []string {
	for _, e := range in.Producers {
		op := e.From.Op
		if !op.Reads() || strings.Contains(op.Path, "{") {
			continue
		}
		r, err := p.plainCall(op)
		if err != nil {
			continue
		}
		ex, err := p.c.Do(ctx, Nobody, r)
		if err != nil {
			return nil
		}
		if !worked(ex) {
			continue
		}
		var out []string
		for _, s := range scalars(tree(ex)) {
			if s.name == e.From.Name && s.v.Text != "" && !slices.Contains(out, s.v.Text) {
				out = append(out, s.v.Text)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func (p *People) roleOf(name string) string {
	if a := p.Get(name); a != nil {
		return a.Role
	}
	return ""
}

func firstComplaint(ex *target.Exchange) string {
	if ex == nil {
		return "nothing was answered"
	}
	if ex.Err != nil {
		return ex.Err.Error()
	}
	list := complaintsIn(ex)
	if len(list) == 0 {
		return "the answer does not say why"
	}
	first := list[0]
	for _, c := range list {
		if strings.Contains(c.text, " ") { // a sentence says more than a code
			first = c
			break
		}
	}
	text := first.text
	if first.field != "" && !strings.Contains(lower(text), lower(first.field)) {
		text = first.field + ": " + text
	}
	return strconv.Quote(clip(text, 200))
}

func wantsCSRF(ex *target.Exchange) bool {
	return (ex.Status == 403 || ex.Status == 400 || ex.Status == 419 || ex.Status == 401) && reCSRF.MatchString(lower(string(ex.Body[:min(len(ex.Body), 8192)])))
}

// wait obeys Retry-After, within reason.
func (p *People) wait(ctx context.Context, ex *target.Exchange, doing error) error {
	d := 2 * time.Second
	if asked := ex.RetryAfter(); asked > 0 {
		d = asked
	}
	if d > 20*time.Second {
		return fmt.Errorf("%w: %w: the API asks to wait %s", doing, errTooMany, d)
	}
	return pause(ctx, d)
}
