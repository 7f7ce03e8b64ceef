package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "message-flood", Title: "Messages that cost money can be had without limit",
	OWASP: "API4:2023", CWE: "CWE-799", WSTG: "WSTG-BUSL-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:L",
	About: "Asks, from a new account, thirty times in a row for the code or the mail that an operation sends to the account's own phone or address.",
	Proof: "Each of thirty requests is taken, the last one as the first was, and none says to wait. Controls: nobody without credentials is served. Operations that anybody may call (a forgotten password) are left out: they answer alike whether they send or not. Whether each message left the house is not seen from outside.",
	Fix:   "Bound codes by account, by receiver and by address of the caller (a few an hour), let a new one wait for a minute, and answer 429 with Retry-After.",
	Mode:  Aggressive, Dirty: true,
	Run: messageFlood,
})

var (
	reSendsCode = regexp.MustCompile(`(?i)(re)?(send|sends|request|issue|generate)[\s_/-]*(me[\s_/-]*)?((a|an|the|new|another|verification|confirmation|phone|email|mobile|sms|text)[\s_/-]*)*(code|otp|sms|text message|pin|passcode|verification|confirmation|e-?mail|mail|link)\b|(otp|sms|code|verification|phone|e-?mail|mobile|2fa|mfa)[\s_/-]*(re)?(send|request)\b`)
	reWait      = regexp.MustCompile(`(?i)already|\bwait|retry|try again|recent|limit|too (many|often|soon)|throttl|cool.?down|next_?(try|send|request|at)|not before`)
)

const floodOf = 30 // requests in a row

// sendsCode: by its words the operation sends something to the caller, and it
// takes nothing of what was sent before.
func sendsCode(op *graph.Op) bool {
	if op.Method != http.MethodPost || !op.Secured || codeOf(op) != nil {
		return false
	}
	for _, not := range []graph.Purpose{graph.Hazard, graph.Admin, graph.Login, graph.Register, graph.Payment, graph.Transfer, graph.PasswordForgot, graph.PasswordReset, graph.PasswordChange} {
		if op.Has(not) {
			return false
		}
	}
	return slices.ContainsFunc([]string{reCamel.ReplaceAllString(op.Path, "$1 $2"), reCamel.ReplaceAllString(op.ID, "$1 $2"), op.Summary}, reSendsCode.MatchString)
}

func messageFlood(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if !sendsCode(op) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		if err := p.floods(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (p *Probe) floods(ctx context.Context, c *world.Call) error {
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	x, err := p.send(ctx, c.By(a))
	if err != nil {
		return err
	}
	var phone *world.Call
	if x.Status/100 == 4 && x.Status != 429 {
		// It may be that the account has nothing yet to which it could be sent.
		if phone, x, err = p.reachable(ctx, c, a); err != nil {
			return err
		}
	}
	p.Note(c.Op, Clean)
	for range 2 {
		if x == nil || x.Status/100 != 2 || reWait.Match(x.Body) {
			return nil
		}
		if x, err = p.send(ctx, c.By(a)); err != nil {
			return err
		}
	}
	var l steps
	add := func(call *world.Call, as, id string, part scenario.Part, note string, e ...scenario.Expect) *scenario.Step {
		st, err := p.step(nil, call, id, part)
		st.As, st.Note, st.Expect = as, note, e
		l.add(st, err)
		return &l.list[len(l.list)-1]
	}
	zero := 0
	if phone != nil {
		add(phone, "fresh1", "phone", scenario.Setup, "a new account says where it can be reached", scenario.Expect{Status: "2xx"})
	}
	add(c, actor.Nobody, "nobody", scenario.Control, "nobody without credentials is served", scenario.Expect{Status: "!2xx"})
	add(c, "fresh1", "first", scenario.Control, "a new account asks once", scenario.Expect{Status: "2xx"})
	add(c, "fresh1", "attack", scenario.Attack, fmt.Sprintf("and %d times more", floodOf-2), scenario.Expect{Status: "2xx", AtLeast: floodOf - 2}, scenario.Expect{Status: "429", AtMost: &zero}).Times = floodOf - 2
	add(c, "fresh1", "last", scenario.Observe, "the last is answered as the first was", scenario.Expect{Status: "2xx", Like: "first"})
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: "frequency", Title: fmt.Sprintf("%s %s sends messages without limit", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("%d requests for a message, one after the other, were all taken: each costs the operator money, and its receiver peace.", floodOf),
		Scenario:    &scenario.Scenario{Name: "a flood of messages", Steps: l.list},
	})
	return err
}

// reachable gives an account a phone or an address by which it can be reached,
// and asks again; nil where that does not help.
func (p *Probe) reachable(ctx context.Context, c *world.Call, a *actor.Actor) (*world.Call, *target.Exchange, error) {
	tried := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodPatch && op.Method != http.MethodPut && op.Method != http.MethodPost || !usable(op) || len(op.PathParams) > 0 || op == c.Op || codeOf(op) != nil || tried >= 4 {
			continue
		}
		i := slices.IndexFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "body" && in.Meaning == graph.MeansPhone })
		if i < 0 {
			continue
		}
		where := op.Inputs[i].Where()
		set, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
		if err != nil {
			continue
		}
		tried++
		for _, number := range []string{set.Values[where], `"+15550100123"`, `"+46701234567"`} {
			if number == "" {
				continue
			}
			call := set.With(where, number)
			x, err := p.send(ctx, call.By(a))
			if err != nil {
				return nil, nil, err
			}
			if x.Status/100 != 2 {
				continue
			}
			if x, err = p.send(ctx, c.By(a)); err != nil {
				return nil, nil, err
			}
			if x.Status/100 == 2 {
				return call, x, nil
			}
		}
	}
	return nil, nil, nil
}
