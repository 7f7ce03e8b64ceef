package check

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "mass-assignment-register", Title: "Whoever registers sets a field that is not for callers",
	OWASP: "API3:2023", CWE: "CWE-915", WSTG: "WSTG-IDNT-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Registers accounts with the fields that accounts have and registrations do not declare: role, rights, balance, plan.",
	Proof: "The new account logs in, and what it is told of itself holds the value that was sent. Controls: an account registered without the field holds another.",
	Fix:   "Take the fields that callers may set from a list, and refuse the others (additionalProperties: false).",
	Mode:  Default, Dirty: true,
	Run: massRegister,
})

var (
	reRight = regexp.MustCompile(`(?i)^((user|account)?_?roles?|((user|account)_?)?(type|kind)|is_?(admin|staff|superuser|root|moderator|verified|premium)|admin|superuser|permissions?|scopes?|plan|tier|membership|level|verified|access_?level)$`)
	reMerit = regexp.MustCompile(`(?i)^(total_?|high_?)?(scores?|coins|karma|reputation|rank|xp|stars)$`) // what is earned
	reFunds = regexp.MustCompile(`(?i)(balance|credits?|points|funds|quota|wallet|available)(_?(cents|amount|usd|eur))?$`)
)

// usualRoles are roles that rule over others, as APIs call them.
var usualRoles = []string{"admin", "administrator", "manager", "staff", "employee", "premium"}

// rights are what a field of an account is set to: JSON texts, all of them other
// than what an account has that was registered plainly. None: it is not tried.
func (p *Probe) rights(name string, now any) []string {
	switch v := now.(type) {
	case bool:
		if !v && reRight.MatchString(name) {
			return []string{"true"}
		}
	case json.Number:
		switch {
		case reFunds.MatchString(name), reMerit.MatchString(name):
			return []string{"1000007"}
		case reRight.MatchString(name):
			return []string{"1", "0", "9"}
		}
	case string:
		if !reRight.MatchString(name) {
			return nil
		}
		var out []string
		for _, a := range p.entitled() {
			if r := roleOf(a); r != "" && r != v && !slices.Contains(out, jsonString(r)) {
				out = append(out, jsonString(r))
			}
		}
		for _, r := range append(p.rolesSaid(), usualRoles...) {
			if r = styled(r, v); len(out) < 6 && !strings.EqualFold(r, v) && !slices.Contains(out, jsonString(r)) {
				out = append(out, jsonString(r))
			}
		}
		return out
	}
	return nil
}

func massRegister(ctx context.Context, p *Probe) error {
	e, d, user := p.People.RegisterEntry(), p.door(ctx), p.Actor(actor.User)
	if e == nil || d == nil || user == nil || user.Session == nil || d.save == (scenario.Save{}) || e.Fields["password"] == "" {
		return nil
	}
	who := p.selfRead(ctx, user)
	if who == nil {
		return p.registersAmong(ctx, e, d, user)
	}
	x, err := p.send(ctx, who)
	if err != nil || x.Status/100 != 2 {
		return err
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	takes := map[string]bool{}
	for _, in := range e.Op.Inputs {
		takes[in.Name] = true
	}
	type field struct {
		at, name string
		now      any
		listed   bool
	}
	var fields []field
	scenario.Walk(body, func(at string, v any) {
		at, name, listed := fieldAt(at)
		if !takes[name] && strings.Count(at, "/") <= 2 && len(p.rights(name, v)) > 0 && len(fields) < 6 {
			fields = append(fields, field{at, name, v, listed})
		}
	})
	p.Note(e.Op, Clean)
	for _, f := range fields {
		for _, v := range p.rights(f.name, f.now) {
			if f.listed {
				v = "[" + v + "]"
			}
			ok, err := p.registersWith(ctx, e, d, who, f.at, f.name, v)
			if err != nil {
				return err
			}
			if ok {
				break
			}
		}
	}
	return nil
}

// fieldAt is the field that a value of an answer is of, and its name: of the first
// of a list, as roles often are, the list.
func fieldAt(at string) (field, name string, listed bool) {
	field, listed = strings.CutSuffix(at, "/0")
	return field, field[strings.LastIndexByte(field, '/')+1:], listed
}

// selfRead is the user's read of what the account is; nil when there is none.
func (p *Probe) selfRead(ctx context.Context, user *actor.Actor) *world.Call {
	for _, op := range p.Graph.Ops {
		if op.Reads() && op.Has(graph.WhoAmI) && len(op.PathParams) == 0 {
			if c, err := p.World.Call(ctx, op, user, nil); err == nil {
				return c
			}
		}
	}
	return nil
}

// newcomer is a registration as a step, and what logs that account in.
func (p *Probe) newcomer(ctx context.Context, e *actor.Entry, d *door, id, where, text string) (st scenario.Step, login map[string]string, err error) {
	c, err := p.World.Call(ctx, e.Op, nil, nil)
	if err != nil {
		return st, nil, fmt.Errorf("registering: %w", err)
	}
	if where != "" {
		c = c.With(where, text)
	}
	bind := c.Renew(id)
	facts := p.People.NewFacts(id)
	known := map[string]string{"password": facts["password"]}
	for fact, at := range e.Fields {
		switch fact {
		case "password", "confirm":
			bind[at] = jsonString(facts["password"])
		case "email":
			known[fact] = "${canary." + id + "}@" + domainOf(facts["email"])
			bind[at] = `"` + known[fact] + `"`
		case "username":
			known[fact] = "${canary." + id + "}"
			bind[at] = `"` + known[fact] + `"`
		case "phone":
			known[fact] = "+1${number." + id + "}"
			bind[at] = `"` + known[fact] + `"`
		}
	}
	login = map[string]string{}
	for fact := range d.fields {
		if v := known[fact]; v != "" {
			login[fact] = v
		}
	}
	st, err = p.World.Step(c, bind)
	st.ID, st.As = "register_"+id, actor.Nobody
	return st, login, err //nolint:wrapcheck // said where it is used
}

func (p *Probe) registersWith(ctx context.Context, e *actor.Entry, d *door, who *world.Call, at, name, v string) (bool, error) {
	want, where := scenario.Plain(decoded(v)), memberOf(e.Op, name)
	var l steps
	for _, of := range []struct {
		id, where string
		part      scenario.Part
		note      string
		told      scenario.Expect
	}{
		{"with", where, scenario.Attack, "an account is registered with " + name, scenario.Expect{Status: "2xx", At: at, Equals: &want}},
		{"plain", "", scenario.Control, "one that is registered without it holds something else", scenario.Expect{Status: "2xx", At: at, Differs: &want}},
	} {
		text := ""
		if of.where != "" {
			text = v
		}
		st, login, err := p.newcomer(ctx, e, d, of.id, of.where, text)
		if err != nil || len(login) < 2 {
			return false, nil //nolint:nilerr // what cannot be written cannot be sent
		}
		st.Part, st.Note, st.Expect = of.part, of.note, []scenario.Expect{{Status: "2xx"}}
		l.add(st, nil)
		in, err := d.step(p, "login_"+of.id, of.part, "it logs in", login, d.in())
		save := d.save
		save.As = "token_" + of.id
		in.Save = []scenario.Save{save}
		l.add(in, err)
		told, err := p.step(nil, who, "told_"+of.id, scenario.Observe)
		if err == nil {
			told.Send.Credential = "${token_" + of.id + "}"
		}
		told.Note, told.Expect = "what it is told of itself", []scenario.Expect{of.told}
		l.add(told, err)
	}
	if l.err != nil {
		p.Note(e.Op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: e.Op, Where: where, Title: fmt.Sprintf("%s %s lets whoever registers set %s", e.Op.Method, e.Op.Path, name),
		Description: "The registration does not declare the field, and yet takes it: the new account is told that it has what was sent.",
		Scenario:    &scenario.Scenario{Name: "a registration with a field that is not for callers", Steps: l.list},
	})
}
