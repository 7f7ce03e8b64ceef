package check

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

var _ = register(&Check{
	ID: "jwt-endless", Title: "Tokens name no end",
	OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-07", CVSS: vectorLow,
	About: "Reads the token that a login gave. Nothing is forged.",
	Proof: "It opens what a user may see, and has no claim that says until when. Controls: no token and one with a wrong signature open nothing. Nothing is said where the login's answer names an end beside the token, or where logging out ends it: then the server keeps the sessions, and may end them by itself.",
	Fix:   "Give every token an exp of minutes or hours, refuse those without one, and renew by a refresh token that can be revoked (RFC 8725, section 3.8; RFC 9700, section 2.2).",
	Mode:  Default, Last: true, // whether a logout ends it is known by then
	Run: jwtEndless,
})

// reEnd is a member of a login's answer that says until when its token is good.
var reEnd = regexp.MustCompile(`(?i)^(exp|ttl|max_?age)$|expir|valid_?(until|for|to)|life_?time`)

func jwtEndless(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || !isJWT(credential(user)) {
		return nil
	}
	for _, op := range p.Ops() {
		if op.Has(graph.Logout) && !p.endsNothing(op) {
			return nil
		}
		if (op.Has(graph.Login) || op.Has(graph.Register)) && slices.ContainsFunc(op.Outputs, func(o *graph.Output) bool { return reEnd.MatchString(o.Name) }) {
			return nil
		}
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	f := forgery{do: "jwt.endless", note: "as it was given, without an end"}
	x, err := p.present(ctx, w, user, f)
	if err != nil || x == nil || x.Status/100 != 2 {
		return err
	}
	h, err := p.forgeHypothesis(w, f)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h.Description = fmt.Sprintf("The token that opens %s %s has no exp and nothing like it: whoever comes by it once, from a log or an old device, has the account for good.", w.call.Op.Method, w.call.Op.Path)
	_, err = p.Prove(ctx, h)
	return err
}

// endsNothing: that a logout leaves its session as it was is a finding of this run.
func (p *Probe) endsNothing(op *graph.Op) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.findings[finding.Print("session-logout", op.Method, op.Path, "credential")] != nil
}
