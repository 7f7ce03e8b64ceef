package check

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "token-lifetime", Title: "A token goes on working after its own end",
	OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-07", CVSS: vectorForger,
	About: "Where a user's token ends within a minute, or within the run, presents the first one of the run again when the run is over. Nothing is forged.",
	Proof: "Two minutes and more after the end that the token names, which no difference of clocks explains, it opens what it opened; so does another one, of a new account, that nobody has used meanwhile. Controls: no token and a token of no form open nothing. Where it is refused when it has just ended, nothing is waited for; nor where tokens can be signed with a guessed secret, for then one whose end is past tells (jwt-expiry).",
	Fix:   "Refuse tokens whose exp has passed, with a clock skew of a minute at most (RFC 8725, section 3.8; RFC 7519, section 4.1.4).",
	Mode:  Default, Last: true,
	Run: tokenLifetime,
})

const (
	shortLife   = time.Minute       // of a token whose end is waited for
	usualLeeway = 125 * time.Second // beyond what clocks may differ by
)

// endOf is when a JSON Web Token ends, by its own word, and how long it lives.
func endOf(token string) (end time.Time, life time.Duration, ok bool) {
	_, claims, err := scenario.ParseJWT(token)
	if err != nil {
		return end, 0, false
	}
	number := func(name string) (int64, bool) {
		switch v := claims[name].(type) {
		case float64:
			return int64(v), true
		case json.Number:
			n, err := v.Float64()
			return int64(n), err == nil
		}
		return 0, false
	}
	exp, is := number("exp")
	iat, has := number("iat")
	if !is || !has || exp <= iat {
		return end, 0, false
	}
	return time.Unix(exp, 0), time.Duration(exp-iat) * time.Second, true
}

func tokenLifetime(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	d := p.door(ctx)
	end, life, ok := endOf(p.early)
	if user == nil || !ok || d == nil || d.save == (scenario.Save{}) || p.People.RegisterEntry() == nil {
		return nil
	}
	if f := p.forgedBy(); f != nil && f.do == "jwt.hmac" {
		return nil // a token signed anew, its end in the past, has told without any wait (jwt-expiry)
	}
	wait := time.Until(end.Add(3 * time.Second))
	if wait > shortLife || life > 10*shortLife || !p.hasTime(ctx, wait) {
		return nil // it has not ended, and will not soon
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	works := func() (bool, error) {
		r, err := p.World.Request(w.call.By(nil))
		if err != nil {
			return false, nil //nolint:nilerr // what cannot be written cannot be sent
		}
		part := firstPart(user)
		if part == nil {
			return false, nil
		}
		s := actor.Session{Parts: []actor.Part{*part}}
		s.Parts[0].Value = p.early
		s.Apply(r)
		x, err := p.Do(ctx, nil, r)
		return err == nil && x.Status/100 == 2 && scenario.Form(x.Body) == scenario.Form(w.last.Body), err
	}
	p.Note(w.call.Op, Clean)
	if ok, err := works(); err != nil || !ok {
		return err
	}
	leeway := p.Leeway
	if leeway == 0 {
		leeway = usualLeeway
	}
	if !p.hasTime(ctx, life+leeway+10*time.Second) {
		p.Note(w.call.Op, Inconclusive)
		return nil
	}
	save := d.save
	save.As = "token"
	var l steps
	st, err := d.step(p, "login", scenario.Setup, "a new account logs in", d.fresh("${fresh1.password}"), d.in())
	if err == nil {
		st.As, st.Send.Without, st.Save = "fresh1", []string{"*"}, []scenario.Save{save}
	}
	l.add(st, err)
	look := func(id string, part scenario.Part, as, note, credential string, e scenario.Expect) *scenario.Step {
		st, err := p.look(w, id, part, as, note, e)
		if err == nil {
			st.Send.Credential = credential
		}
		l.add(st, err)
		return &l.list[len(l.list)-1]
	}
	look("own", scenario.Control, "fresh1", "its token opens it", "${token}", scenario.Expect{Status: "2xx"})
	look("nobody", scenario.Control, actor.Nobody, "no token does not", "", scenario.Expect{Unlike: "own"})
	look("void", scenario.Control, "fresh1", "nor does something that is no token", "not-a-token", scenario.Expect{Unlike: "own"})
	look("attack", scenario.Attack, "fresh1", fmt.Sprintf("two minutes after its end, it does (it lives for %v)", life), "${token}", scenario.Expect{Status: "2xx", Like: "own"}).Wait = life + leeway
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h := Hypothesis{
		Where: "credential", Title: p.Check.Title,
		Description: fmt.Sprintf("Two minutes and more after the end that it names itself, a user's token opens %s %s.", w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a token after its end", Steps: slices.Clip(l.list)},
	}
	return p.outlives(ctx, h, works)
}

// outlives proves it once from the beginning, and then once more with the first token
// of the run, which was seen to work after its end before. Nothing is held up meanwhile:
// what the scenario waits for is time.
func (p *Probe) outlives(ctx context.Context, h Hypothesis, works func() (bool, error)) error {
	p.begin()
	out, err := p.Stage.Run(ctx, h.Scenario, p.fresh())
	if err != nil {
		return fmt.Errorf("a token after its end: %w", err)
	}
	if out.Verdict != scenario.Proven {
		p.refuted(ctx, h, out)
		return nil
	}
	if ok, err := works(); err != nil || !ok {
		return err
	}
	f, err := p.finding(h, finding.Print(p.Check.ID, h.Method, h.Path, h.Where), h.Scenario, out)
	if err != nil {
		return err
	}
	p.keep(h, f, h.Scenario)
	return nil
}

// hasTime reports whether the run may go on for so long.
func (p *Probe) hasTime(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	return p.Until.IsZero() || time.Until(p.Until) > d
}

// sleep waits, or until the run is over.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// firstValue is the value of an actor's first credential, "" when it has none.
func firstValue(a *actor.Actor) string {
	if part := firstPart(a); part != nil {
		return part.Value
	}
	return ""
}
