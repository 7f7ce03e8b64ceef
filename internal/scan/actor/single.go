package actor

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Single reports whether the target keeps one session of an account: each login ends
// the one before it. Whoever logs in as one of the run's people then ends what the
// others go on with, so that an account of its own is better taken for it.
func (p *People) Single() bool { return p.single.Load() }

// Since is when the session was opened: another time than before says that it is another one.
func (s *Session) Since() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.opened()
}

// adopt gives a session that somebody opened with an actor's own name and password to
// that actor, whose one before it has just ended. Accounts of proofs are left alone: what
// a proof does with two sessions must not become one with one.
func (p *People) adopt(ex *target.Exchange) {
	door := p.theDoor()
	if !p.Single() || door == nil || door.form == nil || ex.Request.Method != door.form.op.Method || ex.Request.Path != door.form.op.Path || !letIn(ex) {
		return
	}
	p.mu.Lock()
	var whose *Actor
	for name, a := range p.actors {
		if !strings.HasPrefix(name, "fresh") && a.by != nil && !a.by.fixed && a.Session != nil && a.apart.Load() == 0 && names(ex.Request, a.Facts) {
			whose = a
		}
	}
	p.mu.Unlock()
	if whose == nil {
		return
	}
	j := &jar{}
	j.take(ex)
	if s, ok := p.session(whose.by.way, ex, j, whose.Facts); ok {
		whose.Session.become(s)
	}
}

// names: the request holds an account's name and its password, as they are. Something
// that was added to either may open another's account.
func names(r *target.Request, facts map[string]string) bool {
	holds := func(v string) bool {
		return v != "" && (bytes.Contains(r.Body, []byte(`"`+v+`"`)) || bytes.Contains(append(append([]byte("&"), r.Body...), '&'), []byte("="+url.QueryEscape(v)+"&")))
	}
	return holds(facts[factPassword]) && (holds(facts[factEmail]) || holds(facts[factUsername]) || holds(facts[factPhone]))
}

// Again reports whether a request of an actor, which was turned away as ex says, is worth
// being sent again: its session had ended, and there is another one now. since is when the
// session was opened that it was sent with.
func (p *People) Again(ctx context.Context, a *Actor, ex *target.Exchange, since time.Time) (bool, error) {
	if a == nil || a.Session == nil || ex == nil || ex.Err != nil || !a.turnedAway(ex) {
		return false, nil //nolint:nilerr // it is noted, and the answer stands
	}
	if !a.Session.opened().Equal(since) {
		return true, nil // somebody has renewed it meanwhile
	}
	if !p.due(a) {
		return false, nil
	}
	if err := p.Alive(ctx, a); !errors.Is(err, ErrSessionEnded) {
		p.lives(a)
		return false, nil
	}
	p.mu.Lock()
	a.patience = 0
	p.mu.Unlock()
	if err := p.Renew(ctx, a); err != nil {
		if stops(err) {
			return false, err
		}
		p.note(err.Error())
		return false, nil
	}
	return true, nil
}
