package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "second-factor-skipped", Title: "The second factor can be left out",
		OWASP: "API2:2023", CWE: "CWE-308", WSTG: "WSTG-ATHN-11",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Turns the second factor on for a new account, logs in with the password alone, and goes on to the next step with what that gives.",
		Proof: "The login says that a code is asked for, and what it gives opens what only the account can open, without any code. Controls: a made-up credential does not.",
		Fix:   "Give out nothing that opens anything but the next step before the second factor is verified, and check in one place that a session has both.",
		Mode:  Default,
		Run:   func(ctx context.Context, p *Probe) error { return p.secondFactor(ctx, false) },
	})
	_ = register(&Check{
		ID: "second-factor-unlimited", Title: "Codes of the second factor can be tried without limit",
		OWASP: "API2:2023", CWE: "CWE-307", WSTG: "WSTG-ATHN-11",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Turns the second factor on for a new account, logs in, tries thirty wrong codes one after the other, and then the right one.",
		Proof: "No try was slowed down or turned away, and the right code still works after them. Controls: wrong codes open nothing.",
		Fix:   "Count wrong codes by account, and begin the login anew after five (NIST SP 800-63B-4, section 3.2.2).",
		Mode:  Aggressive,
		Run:   func(ctx context.Context, p *Probe) error { return p.secondFactor(ctx, true) },
	})
)

var (
	reSecondFactor = regexp.MustCompile(`(?i)2fa|mfa|t?otp|two.?factor|second.?factor|authenticator`)
	// An answer that asks for a code.
	reAsksCode = regexp.MustCompile(`(?i)(mfa|2fa|two.?factor|t?otp|second.?factor)[\w-]*(required|needed|pending|challenge|token)"?\s*:\s*("[^"]+"|true)|"(status|next|step|state|result|message|detail|error|challenge\w*|type)"\s*:\s*"[^"]*(mfa|2fa|two.?factor|otp|second.?factor|one.?time)[^"]*"`)
	reCodeIn   = regexp.MustCompile(`(?i)^(code|otp|totp|pin|passcode|(otp|totp|mfa|2fa|verification|two_?factor)_?code)$`)
)

// enrolment is how the second factor is turned on here.
type enrolment struct {
	enrol   *world.Call
	secret  scenario.Save
	confirm *world.Call // nil: none is asked for
}

func (p *Probe) factorOps() []*graph.Op {
	var out []*graph.Op
	for _, op := range p.Ops() {
		if len(op.PathParams) == 0 && !op.Has(graph.Hazard) && op.Method != http.MethodDelete && (op.Has(graph.SecondFactor) || reSecondFactor.MatchString(op.Path)) && !reTurnsOff.MatchString(op.Path+" "+op.ID) {
			out = append(out, op)
		}
	}
	return out
}

var reTurnsOff = regexp.MustCompile(`(?i)disable|turn.?off|remove|deactivate|reset`)

// codeOf is the input that takes a code; nil when there is none.
func codeOf(op *graph.Op) *graph.Input {
	for _, fits := range []func(*graph.Input) bool{
		func(in *graph.Input) bool { return in.Meaning == graph.MeansOTP && !reHalf.MatchString(in.Name) },
		func(in *graph.Input) bool { return reCodeIn.MatchString(in.Name) },
		func(in *graph.Input) bool { return in.Meaning == graph.MeansOTP },
	} {
		for _, in := range op.Inputs {
			if in.In != "path" && fits(in) {
				return in
			}
		}
	}
	return nil
}

// halfOf reports whether an input takes what a login gave before the second factor.
func halfOf(in *graph.Input) bool {
	return in != codeOf(in.Op) && (in.Meaning == graph.MeansToken || in.Meaning == graph.MeansOTP && reHalf.MatchString(in.Name))
}

var reHalf = regexp.MustCompile(`(?i)(token|session|challenge|ticket|transaction|state)(_?id)?$`)

// coded is a call with what it takes of an account's: texts with placeholders or plain ones.
func coded(c *world.Call, password, code, token string) map[string]string {
	bind := map[string]string{}
	otp := codeOf(c.Op)
	for _, in := range c.Op.Inputs {
		switch {
		case in == otp && code != "":
			bind[in.Where()] = `"` + code + `"`
		case in.Meaning == graph.MeansPassword && password != "":
			bind[in.Where()] = `"` + password + `"`
		case halfOf(in) && token != "":
			bind[in.Where()] = `"` + token + `"`
		}
	}
	return bind
}

func with(c *world.Call, texts map[string]string) *world.Call {
	for where, text := range texts {
		c = c.With(where, text)
	}
	return c
}

// enrols turns the second factor on for an account; nil when there is no way.
func (p *Probe) enrols(ctx context.Context, a *actor.Actor) (*enrolment, error) {
	ops := p.factorOps()
	for _, op := range ops {
		if !op.Secured {
			continue
		}
		c, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
		if err != nil {
			continue
		}
		x, err := p.send(ctx, with(c, coded(c, a.Facts["password"], "", "")).By(a))
		if err != nil {
			return nil, err
		}
		save, secret := totpIn(x)
		if secret == "" {
			if sent := p.sentCodes(ctx, c, a); sent != nil {
				return sent, nil
			}
			continue
		}
		e := &enrolment{enrol: c, secret: save}
		for _, other := range ops {
			if !other.Secured || other == op || codeOf(other) == nil {
				continue
			}
			k, err := p.World.Call(ctx, other, p.Actor(actor.User), nil)
			if err != nil {
				continue
			}
			code, err := scenario.TOTP(secret, time.Now())
			if err != nil {
				return nil, nil //nolint:nilerr // it was one before
			}
			x, err := p.send(ctx, with(k, coded(k, a.Facts["password"], code, "")).By(a))
			if err != nil {
				return nil, err
			}
			if x.Status/100 == 2 {
				e.confirm = k
				break
			}
		}
		return e, nil
	}
	return nil, nil
}

// sentCodes turns a second factor on whose codes are sent (by mail, to a phone): a
// switch and no secret. nil when the next login asks for no code.
func (p *Probe) sentCodes(ctx context.Context, c *world.Call, a *actor.Actor) *enrolment {
	if codeOf(c.Op) != nil || c.Op.Method == http.MethodGet {
		return nil
	}
	on := with(c, coded(c, a.Facts["password"], "", ""))
	for _, in := range c.Op.Inputs {
		if in.In == "body" && in.Type == "boolean" {
			on = on.With(in.Where(), "true")
		}
	}
	if x, err := p.send(ctx, on.By(a)); err != nil || x.Status/100 != 2 {
		return nil
	}
	if _, x, err := p.People.LoginWith(ctx, a.Facts); x == nil && err != nil || x == nil || !reAsksCode.Match(x.Body) {
		return nil
	}
	return &enrolment{enrol: on}
}

// totpIn is where an answer holds the secret of an authenticator.
func totpIn(x *target.Exchange) (save scenario.Save, secret string) {
	body, ok := scenario.Decode(x.Body)
	if x.Status/100 != 2 || !ok {
		return save, ""
	}
	scenario.Walk(body, func(at string, v any) {
		text, _ := v.(string)
		name := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
		if secret != "" || !strings.HasPrefix(text, "otpauth:") && !(len(text) >= 16 && (strings.Contains(name, "secret") || strings.Contains(name, "key") || strings.Contains(name, "totp"))) {
			return
		}
		if _, err := scenario.TOTP(text, time.Now()); err == nil {
			save, secret = scenario.Save{As: "secret", At: at}, text
		}
	})
	return save, secret
}

func (p *Probe) secondFactor(ctx context.Context, unlimited bool) error {
	d := p.door(ctx)
	user := p.Actor(actor.User)
	if d == nil || p.People.RegisterEntry() == nil || len(p.factorOps()) == 0 {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	e, err := p.enrols(ctx, a)
	if err != nil || e == nil {
		return err
	}
	_, x, err := p.People.LoginWith(ctx, a.Facts)
	if err != nil && x == nil {
		return nil
	}
	p.Note(d.call.Op, Clean)
	if x == nil || !reAsksCode.Match(x.Body) {
		return nil
	}
	half, ok := newCredential(x)
	if part := firstPart(user); !ok && part != nil && part.In == "cookie" {
		half, ok = scenario.Save{Cookie: part.Name}, true
	}
	if !ok {
		return nil
	}
	half.As = "half"
	l := p.halfway(d, e, half)
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	if unlimited {
		if e.secret == (scenario.Save{}) {
			return nil // the right code is told to the account's owner alone
		}
		return p.triesCodes(ctx, e, l)
	}
	for _, s := range []struct {
		id, credential, note string
		part                 scenario.Part
		e                    scenario.Expect
	}{
		{"fake", "${canary.fake}", "a made-up credential opens nothing", scenario.Control, scenario.Expect{Status: "!2xx"}},
		{"attack", "${half}", "what the password alone gave opens the account", scenario.Attack, scenario.Expect{Status: "2xx"}},
	} {
		st, err := p.look(w, s.id, s.part, "fresh1", s.note, s.e)
		if err == nil {
			st.Send.Credential = s.credential
		}
		l.add(st, err)
	}
	if l.err != nil {
		return nil //nolint:nilerr // as above
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: "second-factor", Title: fmt.Sprintf("%s %s: what it gives before the second factor opens the account", d.call.Op.Method, d.call.Op.Path),
		Description: fmt.Sprintf("The login asks for a code, and what it has given by then opens %s %s without one.", w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a second factor left out", Steps: l.list},
	})
	return err
}

// halfway is a new account with the second factor on, logged in by its password alone.
func (p *Probe) halfway(d *door, e *enrolment, half scenario.Save) *steps {
	l := &steps{}
	add := func(c *world.Call, id, note, code string) *scenario.Step {
		st, err := p.World.Step(c, coded(c, "${fresh1.password}", code, ""))
		st.ID, st.Part, st.As, st.Note, st.Expect = id, scenario.Setup, "fresh1", note, []scenario.Expect{{Status: "2xx"}}
		l.add(st, err)
		return &l.list[len(l.list)-1]
	}
	enrol := add(e.enrol, "enrol", "a new account turns the second factor on", "")
	if e.secret != (scenario.Save{}) {
		enrol.Save = []scenario.Save{e.secret}
	}
	if e.confirm != nil {
		add(e.confirm, "confirm", "and confirms it with a code", "${code}").Compute = theCode()
	}
	st, err := d.step(p, "login", scenario.Setup, "it logs in with its password: a code is asked for", d.fresh("${fresh1.password}"), scenario.Expect{Matches: reAsksCode.String()})
	if err == nil {
		st.As, st.Send.Without = "fresh1", []string{"*"}
	}
	st.Save = []scenario.Save{half}
	l.add(st, err)
	return l
}

func theCode() []scenario.Compute {
	return []scenario.Compute{{Set: "code", Do: "otp.totp", Args: map[string]string{"secret": "${secret}"}}}
}

// triesCodes tries wrong codes at the operations that may take the right one.
func (p *Probe) triesCodes(ctx context.Context, e *enrolment, l *steps) error {
	zero := 0
	for _, op := range p.factorOps() {
		if codeOf(op) == nil || op.Method == http.MethodGet || op == e.enrol.Op || e.confirm != nil && op == e.confirm.Op {
			continue
		}
		over := map[string]string{}
		for _, in := range op.Inputs { // nobody knows them beforehand
			if in == codeOf(op) || halfOf(in) {
				over[in.Where()] = `"123456"`
			}
		}
		c, err := p.World.Call(ctx, op, p.Actor(actor.User), over)
		if err != nil {
			continue
		}
		list := slices.Clone(l.list)
		var failed error
		add := func(id string, part scenario.Part, note, code string, e ...scenario.Expect) *scenario.Step {
			st, err := p.World.Step(c, coded(c, "${fresh1.password}", code, "${half}"))
			if err != nil {
				failed = err
				st.Send = &scenario.Send{}
			}
			st.ID, st.Part, st.As, st.Note, st.Expect = id, part, "fresh1", note, e
			st.Send.Credential = "${half}"
			list = append(list, st)
			return &list[len(list)-1]
		}
		right := add("right", scenario.Observe, "the right one works", "${code}", scenario.Expect{Status: "2xx"})
		right.Compute = theCode()
		if failed != nil {
			continue
		}
		out, err := p.attempt(ctx, &scenario.Scenario{Name: "a code", Steps: slices.Clone(list)}, false)
		if err != nil {
			return err
		}
		if r := out.Of("right"); out.Verdict != scenario.Proven || r == nil || r.Last() == nil || !opens(r.Last()) {
			continue // not what completes a login
		}
		list = slices.Clone(l.list)
		for i, prefix := range []string{"91740", "91741", "91742"} {
			add(fmt.Sprintf("tries%d", i+1), scenario.Attack, "ten wrong codes, one after the other", prefix+"${turn}",
				scenario.Expect{Steady: growingDelay}, scenario.Expect{Status: "429|423|403|503|420", AtMost: &zero}, scenario.Expect{Status: "2xx", AtMost: &zero}).Times = 10
		}
		last := add("open", scenario.Observe, "and the right one works at once", "${code}", scenario.Expect{Status: "2xx"})
		last.Compute = theCode()
		if _, err := p.Prove(ctx, Hypothesis{
			Op: op, Where: codeOf(op).Where(), Title: fmt.Sprintf("%s %s takes any number of wrong codes", op.Method, op.Path),
			Description: "Thirty wrong codes in a row were answered one like the other, and the right one after them completed the login.",
			Scenario:    &scenario.Scenario{Name: "thirty wrong codes", Steps: list},
		}); err != nil {
			return err
		}
	}
	return nil
}

// opens reports whether an answer gives a credential.
func opens(x *target.Exchange) bool {
	_, ok := newCredential(x)
	return ok || x.Header.Get("Set-Cookie") != ""
}
