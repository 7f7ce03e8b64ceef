package check

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "password-exposed", Title: "An answer holds a password in clear",
	OWASP: "API2:2023", CWE: "CWE-256", WSTG: "WSTG-CRYP-04", CVSS: vectorTakeover,
	About: "Looks for the passwords of the run's accounts in the answers of all reads and of the login.",
	Proof: "The answer holds the password of an account, which the request does not. The accounts are made with new passwords for each proof where the API registers them.",
	Fix:   "Keep passwords as hashes only (NIST SP 800-63B-4, section 3.1.1.2), and answer with types that have no field for them.",
	Mode:  Safe,
	Run:   passwordExposed,
})

func passwordExposed(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	var known []*actor.Actor
	for _, a := range append([]*actor.Actor{user}, p.Attackers()...) {
		if isNoWord(a.Facts["password"]) {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return nil
	}
	if d := p.door(ctx); d != nil && user.Facts["password"] != "" {
		_, x, err := p.People.LoginWith(ctx, user.Facts)
		if err == nil && x != nil && x.Status/100 == 2 && scenario.Holds(x, user.Facts["password"]) {
			var s steps
			s.add(d.step(p, "attack", scenario.Attack, "the login's answer holds the password", d.fresh("${fresh1.password}"), scenario.Expect{Status: "2xx", Contains: []string{"${fresh1.password}"}}))
			if s.err == nil {
				s.list[0].As, s.list[0].Send.Without = "fresh1", []string{"*"}
				if _, err := p.passwordIn(ctx, d.call.Op, user, s.list); err != nil {
					return err
				}
			}
		}
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.onlyReads(op) || op.Has(graph.Hazard) {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		return p.passwordsOf(ctx, c, known)
	})
}

func (p *Probe) passwordsOf(ctx context.Context, c *world.Call, known []*actor.Actor) error {
	x, err := p.send(ctx, c)
	if err != nil {
		return err
	}
	if x.Status/100 != 2 {
		p.Note(c.Op, Skipped)
		return nil
	}
	p.Note(c.Op, Clean)
	for i := len(known) - 1; i >= 0; i-- { // another's is worse than one's own
		a := known[i]
		pw := a.Facts["password"]
		if !scenario.Holds(x, pw) || strings.Contains(x.Request.Path+"?"+x.Request.Query+string(x.Request.Body), pw) {
			continue
		}
		s := p.afresh(c)
		st, err := s.step(p, c, "attack", scenario.Attack)
		if err != nil {
			continue
		}
		st.Note, st.Expect = "the answer holds the password of "+a.Name, []scenario.Expect{{Status: "2xx", Contains: []string{"${" + a.Name + ".password}"}}}
		if ok, err := p.passwordIn(ctx, c.Op, a, append(s.setup, st)); err != nil || ok {
			return err
		}
	}
	return nil
}

func (p *Probe) passwordIn(ctx context.Context, op *graph.Op, of *actor.Actor, list []scenario.Step) (bool, error) {
	whose := "another user's password"
	if of.Name == actor.User {
		whose = "the caller's password"
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "answer", Title: fmt.Sprintf("%s %s holds %s in clear", op.Method, op.Path, whose),
		Description: fmt.Sprintf("The answer holds %s as it was set: it is kept in clear, and sent to whoever reads this.", whose),
		Scenario:    &scenario.Scenario{Name: "a password in an answer", Steps: list},
	})
}

// isNoWord: a password that stands in no answer by chance. One that is a word, such
// as "password", may be the name of a field or of a way to sign in.
func isNoWord(password string) bool {
	letters := strings.ContainsFunc(password, unicode.IsLetter)
	others := strings.ContainsFunc(password, func(r rune) bool { return !unicode.IsLetter(r) })
	return len(password) >= 8 && letters && others
}
