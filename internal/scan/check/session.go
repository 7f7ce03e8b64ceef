package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "session-logout", Title: "Logging out ends nothing",
		OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Opens another session of a user, logs it out, and goes on using it.",
		Proof: "After the logout was answered with success, the session opens what it opened before. Controls: it did before; no credentials do not.",
		Fix:   "End the session where it is checked: delete it, or keep the token's id in a list of revoked ones until it expires.",
		Mode:  Default, Late: true,
		Run: sessionLogout,
	})
	_ = register(&Check{
		ID: "session-renewal", Title: "What a session was renewed with can be used again",
		OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-06",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Opens another session of a user, renews it, and presents what it was renewed with again.",
		Proof: "The same credential renews a second time after the first renewal gave a new one. Controls: no credentials renew nothing.",
		Fix:   "Make what a renewal takes good for one use, and end the whole session when it comes a second time (RFC 9700, section 4.14).",
		Mode:  Default, Late: true,
		Run: sessionRenewal,
	})
)

func sessionLogout(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.Logout) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		const as = "again-" + actor.User
		own, err := p.look(w, "own", scenario.Control, as, "another session of the user opens it", scenario.Expect{Status: "2xx"})
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		nobody, _ := p.look(w, "nobody", scenario.Control, actor.Nobody, "no session does not", scenario.Expect{Unlike: "own"})
		out, err := p.step(nil, c, "logout", scenario.Setup)
		if err != nil {
			continue
		}
		out.As, out.Note, out.Expect = as, "it is logged out", []scenario.Expect{{Status: "2xx|302|303"}}
		after, _ := p.look(w, "after", scenario.Attack, as, "and opens it all the same", scenario.Expect{Status: "2xx", Like: "own"})
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: "credential", Title: fmt.Sprintf("%s %s ends nothing: the session goes on", op.Method, op.Path),
			Description: "After logging out, the session's credential opens what it opened before.",
			Scenario:    &scenario.Scenario{Name: "a session that has logged out", Steps: []scenario.Step{own, nobody, out, after}},
		}); err != nil {
			return err
		}
	}
	return nil
}

func sessionRenewal(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if !op.Has(graph.Refresh) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		if ok, err := p.renewsByToken(ctx, c, user); err != nil {
			return err
		} else if ok {
			continue
		}
		if err := p.renewsBySession(ctx, c, user); err != nil {
			return err
		}
	}
	return nil
}

// renewal is what a session is renewed with: where the login's answer holds it,
// and how it goes into the request.
type renewal struct {
	value string
	save  scenario.Save
	in    *graph.Input // nil: a cookie, of the name of save.Cookie
}

// renewalOf finds what a login gave to renew its session with; nil when there is
// nothing beside the session's own credential.
func renewalOf(op *graph.Op, s *actor.Session, login *target.Exchange) *renewal {
	takes := false
	for _, in := range op.Inputs {
		if in.In == "header" || in.In == "cookie" || in.Meaning != graph.MeansToken && !reRenewal.MatchString(in.Name) {
			continue
		}
		takes = true
		if save, ok := entrance(login, s.Refresh); ok && s.Refresh != "" {
			return &renewal{s.Refresh, save, in}
		}
	}
	if takes {
		return nil
	}
	set := (&http.Response{Header: login.Header}).Cookies()
	set = slices.DeleteFunc(set, func(c *http.Cookie) bool {
		return len(c.Value) < 12 || !reRenewal.MatchString(c.Name) && !strings.Contains(op.Path, strings.TrimSuffix(c.Path, "/")+"/") || c.Path == "" && !reRenewal.MatchString(c.Name)
	})
	slices.SortStableFunc(set, func(a, b *http.Cookie) int { return rankOf(b) - rankOf(a) })
	for _, c := range set {
		if rankOf(c) > 0 || !slices.ContainsFunc(s.Snapshot(), func(part actor.Part) bool { return part.Value == c.Value }) {
			return &renewal{c.Value, scenario.Save{Cookie: c.Name}, nil}
		}
	}
	return nil
}

func rankOf(c *http.Cookie) int {
	if reRenewal.MatchString(c.Name) {
		return 1
	}
	return 0
}

var reRenewal = regexp.MustCompile(`(?i)refresh|renew|^rt$|rtok`)

// renewsByToken: a token that is there to renew sessions does so twice. False where
// the login gives none, or none that this operation takes.
func (p *Probe) renewsByToken(ctx context.Context, c *world.Call, user *actor.Actor) (bool, error) {
	d := p.door(ctx)
	if d == nil || user.Facts["password"] == "" || p.People.RegisterEntry() == nil {
		return false, nil
	}
	s, login, err := p.People.LoginWith(ctx, user.Facts)
	if err != nil || s == nil || login == nil {
		return false, nil //nolint:nilerr // a session that is not to be had is no renewed one
	}
	with := renewalOf(c.Op, s, login)
	if with == nil {
		return false, nil
	}
	call := c.By(nil)
	if with.in != nil {
		call = call.With(with.in.Where(), jsonString(with.value))
	}
	r, err := p.World.Request(call)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be written cannot be sent
	}
	if with.in == nil {
		r.Header = append(r.Header, target.Field{Name: "Cookie", Value: with.save.Cookie + "=" + with.value})
	}
	x, err := p.Do(ctx, nil, r)
	if err != nil {
		return false, err
	}
	fresh, ok := newCredential(x)
	e := scenario.Expect{Status: "2xx", At: fresh.At, Header: fresh.Header, Matches: "."}
	if part := firstPart(user); !ok && part != nil && part.In == "cookie" && strings.Contains(strings.Join(x.Header.Values("Set-Cookie"), "\n"), part.Name+"=") {
		ok, e = true, scenario.Expect{Status: "2xx", Header: "Set-Cookie", Matches: regexp.QuoteMeta(part.Name) + "=[^;]{8}"}
	}
	if x.Status/100 != 2 || !ok {
		return false, nil
	}
	p.Note(c.Op, Clean)
	var l steps
	st, err := d.step(p, "login", scenario.Setup, "a new account logs in", d.fresh("${fresh1.password}"), d.in())
	if err == nil {
		with.save.As = "renewal"
		st.As, st.Send.Without, st.Save = "fresh1", []string{"*"}, []scenario.Save{with.save}
	}
	l.add(st, err)
	add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		bind := call.Renew(id)
		if with.in != nil {
			bind[with.in.Where()] = jsonString(text)
		}
		st, err := p.World.Step(call, bind)
		if err == nil && with.in == nil {
			st.Send.Header = append(slices.Clone(st.Send.Header), scenario.Pair{Name: "Cookie", Value: with.save.Cookie + "=" + text})
		}
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("made-up", scenario.Control, "a made-up token renews nothing", "${canary.a}${canary.b}${canary.c}", scenario.Expect{Status: "!2xx"})
	add("first", scenario.Control, "the token of the login renews the session", "${renewal}", e)
	add("second", scenario.Attack, "and once more", "${renewal}", e)
	if l.err != nil {
		return true, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, renewsTwice(c.Op, l.list))
	return true, err
}

func renewsTwice(op *graph.Op, list []scenario.Step) Hypothesis {
	return Hypothesis{
		Op: op, Where: "credential", Title: fmt.Sprintf("%s %s renews again and again with the same credential", op.Method, op.Path),
		Description: "The credential that a session was renewed with goes on working after the renewal: whoever has copied it can renew as well.",
		Scenario:    &scenario.Scenario{Name: "a credential that was renewed", Steps: list},
	}
}

// renewsBySession: the session's own credential is what renews it.
func (p *Probe) renewsBySession(ctx context.Context, c *world.Call, user *actor.Actor) error {
	// Which answer's value is the new credential is seen on a session of its own.
	session, err := p.People.Login(ctx, user)
	if err != nil {
		p.Note(c.Op, Skipped)
		return nil //nolint:nilerr // without a session of its own nothing is tried
	}
	r, err := p.World.Request(c)
	if err != nil {
		return nil //nolint:nilerr // what cannot be written cannot be sent
	}
	session.Apply(r)
	x, err := p.Stage.Sender.Do(ctx, actor.User, r)
	if err != nil {
		return fmt.Errorf("renewing a session: %w", err)
	}
	save, ok := newCredential(x)
	if x.Status/100 != 2 || !ok {
		p.Note(c.Op, Skipped)
		return nil
	}
	const as = "again-" + actor.User
	var list []scenario.Step
	for _, s := range []struct {
		id   string
		part scenario.Part
		as   string
		note string
		e    scenario.Expect
	}{
		{"nobody", scenario.Control, actor.Nobody, "no credential renews nothing", scenario.Expect{Status: "!2xx"}},
		{"first", scenario.Control, as, "the session is renewed", scenario.Expect{Status: "2xx"}},
		{"second", scenario.Attack, as, "and once more, with the same credential", scenario.Expect{Status: "2xx", At: save.At, Header: save.Header, Matches: "."}},
	} {
		st, err := p.step(nil, c, s.id, s.part)
		if err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		st.As, st.Note, st.Expect = s.as, s.note, []scenario.Expect{s.e}
		if s.id == "first" {
			save.As = "renewed"
			st.Save = []scenario.Save{save}
		}
		list = append(list, st)
	}
	_, err = p.Prove(ctx, renewsTwice(c.Op, list))
	return err
}
