package check

import (
	"context"
	"fmt"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "ldap-login", Title: "A login is pasted into an LDAP filter",
	OWASP: "API8:2023", CWE: "CWE-90", WSTG: "WSTG-INPV-06",
	CVSS:  vectorTakeover,
	About: "Logs in with a filter's wildcard in place of the password, and with a name of which one letter is spelt as a filter's escape (RFC 4515: \\61 is a).",
	Proof: "The wildcard gets a credential, where a wrong password and a wildcard that can match nothing get none; or the escape is taken for the letter at both ends of the name, where another letter's escape gets none. Controls: a wrong password gets none, the right one does.",
	Fix:   "Escape names for filters (RFC 4515, section 3) with the library's own function, and check passwords by a bind, never by a filter.",
	Mode:  Default,
	Run:   ldapLogin,
})

func ldapLogin(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	user := p.Actor(actor.User)
	if d == nil || user == nil || user.Facts["password"] == "" || d.save.At == "" && d.save.Header == "" && d.save.Cookie == "" {
		return nil
	}
	name := ""
	for _, fact := range []string{"username", "email"} {
		if len(user.Facts[fact]) > 2 && d.fields[fact] != "" && name == "" {
			name = fact
		}
	}
	p.Note(d.call.Op, Clean)
	tried := func(facts map[string]string) (*target.Exchange, error) {
		c := d.call
		for fact, where := range d.fields {
			if v := user.Facts[fact]; v != "" {
				c = c.With(where, jsonString(v))
			}
		}
		for fact, v := range facts {
			c = c.With(d.fields[fact], jsonString(v))
		}
		return p.send(ctx, c)
	}
	x, err := tried(map[string]string{"password": "*"})
	if err != nil || x.Status == 429 {
		return err
	}
	if x.Status/100 == 2 || x.Status/100 == 3 {
		if done, err := p.ldapWildcard(ctx, d); err != nil || done {
			return err
		}
	}
	if name == "" {
		return nil
	}
	escaped, err := scenario.Call("ldap.escape", map[string]string{"text": user.Facts[name], "at": "first"})
	if err != nil {
		return nil //nolint:nilerr // a name that cannot be spelt so is not tried
	}
	if x, err = tried(map[string]string{name: scenario.Plain(escaped)}); err != nil || x.Status/100 != 2 && x.Status/100 != 3 {
		return err
	}
	return p.ldapName(ctx, d, name)
}

// ldapStep is a login of the user with other facts in place of its own.
func (p *Probe) ldapStep(d *door, id string, part scenario.Part, note string, facts map[string]string, e scenario.Expect) (scenario.Step, error) {
	all := map[string]string{}
	for fact := range d.fields {
		if fact != "confirm" {
			all[fact] = "${user." + fact + "}"
		}
	}
	for fact, v := range facts {
		all[fact] = v
	}
	return d.step(p, id, part, note, all, e)
}

// ldapWildcard proves that a wildcard stands for any password.
func (p *Probe) ldapWildcard(ctx context.Context, d *door) (bool, error) {
	no := scenario.Expect{Status: "!2xx"}
	var l steps
	l.add(p.ldapStep(d, "wrong", scenario.Control, "a wrong password gets nothing", map[string]string{"password": wrongPassword}, no))
	l.add(p.ldapStep(d, "nothing", scenario.Control, "a wildcard that can match nothing neither", map[string]string{"password": "${canary.none}*"}, no)) //nolint:gosec // a wildcard is no password
	l.add(p.ldapStep(d, "wildcard", scenario.Attack, "one that matches any password logs in", map[string]string{"password": "*"}, d.in()))
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s: a wildcard in place of the password logs in", d.call.Op.Method, d.call.Op.Path),
		Description: "The password is part of an LDAP filter as it is: a wildcard matches any, and the account opens.",
		Scenario:    &scenario.Scenario{Name: "a filter's wildcard in place of a password", Steps: l.list},
	})
}

// ldapName proves that an escape in the name is worked out.
func (p *Probe) ldapName(ctx context.Context, d *door, name string) error {
	no := scenario.Expect{Status: "!2xx"}
	var l steps
	l.add(p.ldapStep(d, "right", scenario.Control, "the account opens with its name and password", nil, d.in()))
	l.add(p.ldapStep(d, "wrong", scenario.Control, "with a wrong password it does not", map[string]string{"password": wrongPassword}, no))
	for _, at := range []string{"first", "last"} {
		for _, other := range []string{"", "1"} {
			part, note, e := scenario.Attack, "its "+at+" letter as a filter's escape is the letter", d.in()
			if other != "" {
				note, e = "another letter's escape is not", no
			}
			st, err := p.ldapStep(d, at+other, part, note, map[string]string{name: "${escaped}"}, e)
			st.Compute = []scenario.Compute{{Set: "escaped", Do: "ldap.escape", Args: map[string]string{"text": "${user." + name + "}", "at": at, "other": other}}}
			l.add(st, err)
		}
	}
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields[name], Title: fmt.Sprintf("%s %s: the name is part of an LDAP filter", d.call.Op.Method, d.call.Op.Path),
		CVSS:        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		Description: "Escapes of LDAP filters in the name are worked out: the name is part of a filter as it is, which can be widened, or asked of what it finds.",
		Scenario:    &scenario.Scenario{Name: "a filter's escape in a name", Steps: l.list},
	})
	return err
}
