package actor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Send puts an actor's credentials on a copy of r and sends it. Credentials that
// change with each answer are followed, and a session that has ended is renewed
// once. r is not changed; Exchange.Request is what was sent.
func (p *People) Send(ctx context.Context, a *Actor, r *target.Request) (*target.Exchange, error) {
	if a == nil {
		return p.c.Do(ctx, Nobody, r)
	}
	since := a.Session.Since()
	ex, err := p.send(ctx, a, r)
	if err != nil || ex.Err != nil || a.Session == nil {
		return ex, err
	}
	if denied(ex) && reCSRF.Match([]byte(strings.ToLower(string(ex.Body[:min(len(ex.Body), 4096)])))) {
		if done, err := p.fetchCSRF(ctx, a); err != nil {
			return ex, err
		} else if done {
			return p.send(ctx, a, r)
		}
	}
	if again, err := p.Again(ctx, a, ex, since); err != nil || !again {
		return ex, err
	}
	return p.send(ctx, a, r)
}

// turnedAway: the answer may be that to a session that has ended.
func (a *Actor) turnedAway(ex *target.Exchange) bool {
	if denied(ex) {
		return ex.Status != 403
	}
	if a.witness != nil && ex.Status >= 500 && a.witness.nobody != nil && a.witness.nobody.Status == ex.Status && shape(ex) == a.witness.shape {
		return true // and some fail where a credential is missing
	}
	// Some APIs answer 200 whatever happens.
	return a.witness != nil && calledOK(ex) && saysNo(tree(ex)) && calledOK(a.witness.nobody) && firstComplaint(ex) == firstComplaint(a.witness.nobody)
}

// calledOK: the answer was sent as a success, whatever it says in its body.
func calledOK(ex *target.Exchange) bool { return cmp.Or(ex.Wire, ex.Status)/100 == 2 }

// due limits how often a refusal makes us look whether the session lives.
func (p *People) due(a *Actor) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.by == nil || a.by.fixed || a.witness == nil || time.Since(a.asked) < max(a.patience, leastPatience) && !p.Single() {
		return false
	}
	a.asked = time.Now()
	return true
}

// How long after a look whether a session lives none is taken again: longer each
// time that it lives, for then it is what was asked that is refused.
const (
	leastPatience = 500 * time.Millisecond
	mostPatience  = 4 * time.Second
)

// lives notes that a session lives though something was refused.
func (p *People) lives(a *Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.patience = min(2*max(a.patience, leastPatience/2), mostPatience)
}

func (p *People) send(ctx context.Context, a *Actor, r *target.Request) (*target.Exchange, error) {
	if a.Session.rotating() {
		// Each answer brings the credential of the next request.
		a.turn.Lock()
		defer a.turn.Unlock()
	}
	q := r.Clone()
	a.Session.Apply(q)
	return p.c.Do(ctx, a.Name, q)
}

// fetchCSRF gets a token against cross-site requests for an actor that has none, or a stale one.
func (p *People) fetchCSRF(ctx context.Context, a *Actor) (bool, error) {
	a.renew.Lock()
	defer a.renew.Unlock()
	var j *jar
	var err error
	if w := a.witness; w != nil {
		j, err = p.preflight(ctx, a.Name, a.Session, w.r.Path)
	} else {
		j, err = p.preflight(ctx, a.Name, a.Session)
	}
	if err != nil {
		return false, err
	}
	parts := j.parts(p.g)
	if len(j.csrfParts(p.g)) == 0 {
		return false, nil
	}
	a.Session.mu.Lock()
	defer a.Session.mu.Unlock()
	now := slices.Clone(a.Session.Parts)
	for _, n := range parts {
		i := slices.IndexFunc(now, func(o Part) bool { return o.In == n.In && strings.EqualFold(o.Name, n.Name) })
		switch {
		case i < 0:
			now = append(now, n)
		case n.CSRF:
			now[i] = n
		}
	}
	a.Session.Parts = now
	return true, nil
}

// follow keeps sessions up to date: a credential that an answer replaces is
// replaced, where the request carried the old one. It is a hook of the Client.
func (p *People) follow(ex *target.Exchange) {
	if ex.Err == nil && ex.Request != nil {
		p.adopt(ex)
	}
	if ex.As == Nobody || ex.Err != nil {
		return
	}
	a := p.Get(ex.As)
	if a == nil || a.Session == nil {
		return
	}
	from := ""
	if a.by != nil {
		from, _ = strings.CutPrefix(a.by.way.secret.from, "header ")
	}
	p.keepUp(a.Session, ex, from)
}

// keepUp takes over the credentials with which ex replaces those that it was
// sent with. from is the header that brought the first one, where that is not
// the one that it goes in.
func (p *People) keepUp(s *Session, ex *target.Exchange, from string) {
	if s == nil || ex.Err != nil || len(ex.Header) == 0 {
		return
	}
	set, _ := cookiesOf(ex)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := slices.Clone(s.Parts)
	changed := false
	replace := func(i int, v string) {
		if now[i].Value == v || v == "" || !carries(ex.Request, s.Parts[i]) {
			return
		}
		old := now[i].Value
		now[i].Value, changed = v, true
		s.rotates = s.rotates || !now[i].CSRF
		for k := range now { // double submit: the same value stands elsewhere, too
			if now[k].CSRF && now[k].Value == old {
				now[k].Value = v
			}
		}
		p.c.Secrets().Add(v)
	}
	for _, c := range set {
		for i := range now {
			if now[i].In == "cookie" && now[i].Name == c.Name {
				replace(i, c.Value)
			}
		}
	}
	for i, part := range now {
		if part.In != "header" {
			continue
		}
		name := part.Name
		if i == 0 && from != "" && !strings.HasPrefix(from, "body ") && !strings.HasPrefix(from, "pair ") {
			name = from
		}
		v := ex.Header.Get(name)
		if part.Prefix != "" {
			if rest, ok := strings.CutPrefix(v, part.Prefix); ok {
				v = rest
			}
		}
		if v != "" && !strings.ContainsAny(v, " \t") {
			replace(i, v)
		}
	}
	if changed {
		s.Parts = now
	}
}

// carries: the request was sent with this very part.
func carries(r *target.Request, part Part) bool {
	switch part.In {
	case "header":
		return r.Get(part.Name) == part.Prefix+part.Value
	case "cookie":
		for _, f := range r.Header {
			if !strings.EqualFold(f.Name, "Cookie") {
				continue
			}
			for _, c := range strings.Split(f.Value, ";") {
				if strings.TrimSpace(c) == part.Name+"="+part.Prefix+part.Value {
					return true
				}
			}
		}
	}
	return false
}
