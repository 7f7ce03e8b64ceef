package check

import (
	"context"
	"encoding/json"
	"fmt"
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
		ID: "login-unlimited", Title: "Passwords can be tried without limit",
		OWASP: "API2:2023", CWE: "CWE-307", WSTG: "WSTG-ATHN-03",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N", // the password must be one that can be guessed
		About: "Registers an account, logs in to it with thirty wrong passwords one after the other, and then with the right one.",
		Proof: "No try was slowed down or turned away, and the right password still opens the account. Controls: a wrong password opens nothing.",
		Fix:   "Count tries by account and by address, delay growing from the fifth on, and answer 429 with Retry-After; let no attacker lock others out.",
		Mode:  Aggressive,
		Run:   loginUnlimited,
	})
	_ = register(&Check{
		ID: "login-enumeration", Title: "Login tells which accounts exist",
		OWASP: "API2:2023", CWE: "CWE-204", WSTG: "WSTG-IDNT-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Logs in with a wrong password, to an account that exists and to one that does not.",
		Proof: "The two are answered differently, each time in the same way. Controls: two accounts that do not exist are answered alike, and so are two tries at the one that does.",
		Fix:   "Answer both alike: same status, same words, same time (hash a password in both cases).",
		Mode:  Default,
		Run:   loginEnumeration,
	})
	_ = register(&Check{
		ID: "default-credentials", Title: "An account with a factory password is there",
		OWASP: "API2:2023", CWE: "CWE-1392", WSTG: "WSTG-ATHN-02",
		CVSS:  vectorTakeover,
		About: "Logs in with a few names and passwords that products are delivered with; at most four tries for each name.",
		Proof: "The login gives a credential, and it opens what nobody can open. Controls: a made-up name gives none.",
		Fix:   "Deliver no account with a known password; make the first one when the product is set up, with a random one.",
		Mode:  Default,
		Run:   defaultCredentials,
	})
	_ = register(&Check{
		ID: "reset-token-leak", Title: "Whoever asks for a password reset is handed the token",
		OWASP: "API2:2023", CWE: "CWE-640", WSTG: "WSTG-ATHN-09",
		CVSS:  vectorTakeover,
		About: "Registers an account, asks for a reset of its password without being logged in, and sets a new one with what the answer holds; if bursts are allowed and it is a short code, after thirty wrong ones as well.",
		Proof: "The account opens with the new password. Controls: it did not before, and opened with the old one. That codes are not counted is proven by the right one working after the wrong ones, none of which was slowed down or turned away.",
		Fix:   "Send the token to the account's address only, and answer alike whether the account exists or not.",
		Mode:  Default,
		Run:   resetLeak,
	})
	_ = register(&Check{
		ID: "weak-password", Title: "A password of the commonest is taken",
		OWASP: "API2:2023", CWE: "CWE-521", WSTG: "WSTG-ATHN-07",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: `Registers an account with the password "123456" or "password".`,
		Proof: "The account is made, and opens with that password. Controls: another password does not open it.",
		Fix:   "Ask for at least 8 characters (15 without a second factor) and refuse those of a list of known ones (NIST SP 800-63B-4, section 3.1.1).",
		Mode:  Default,
		Run:   weakPassword,
	})
)

// door is the login operation as a scenario uses it.
type door struct {
	call   *world.Call
	fields map[string]string // fact → Input.Where
	save   scenario.Save     // where its answer holds the credential; zero: unknown
}

// door is how people log in here; nil when that is not known.
func (p *Probe) door(ctx context.Context) *door {
	e := p.People.LoginEntry()
	if e == nil || e.Fields["password"] == "" {
		return nil
	}
	c, err := p.World.Call(ctx, e.Op, nil, nil)
	if err != nil {
		return nil
	}
	d := &door{call: c, fields: e.Fields}
	user := p.Actor(actor.User)
	if user != nil && user.Facts["password"] != "" {
		if s, x, err := p.People.LoginWith(ctx, user.Facts); err == nil && s != nil && x != nil {
			for _, part := range s.Parts {
				if !part.CSRF {
					d.save, _ = entrance(x, part.Value)
					break
				}
			}
		}
	}
	return d
}

// step is a login with the given facts (texts with placeholders).
func (d *door) step(p *Probe, id string, part scenario.Part, note string, facts map[string]string, e ...scenario.Expect) (scenario.Step, error) {
	bind := map[string]string{}
	for fact, where := range d.fields {
		if v, ok := facts[fact]; ok {
			bind[where] = `"` + v + `"`
		}
	}
	st, err := p.World.Step(d.call, bind)
	st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, e
	return st, err
}

// in says that a login's answer lets one in.
func (d *door) in() scenario.Expect {
	return scenario.Expect{Status: "2xx|302|303", At: d.save.At, Header: d.save.Header, Matches: d.matches()}
}

func (d *door) matches() string {
	if d.save.At != "" || d.save.Header != "" {
		return "."
	}
	return ""
}

// entered says that an answer holds the credential that a login gives.
func (d *door) entered() scenario.Expect {
	switch e := d.in(); {
	case d.save.Cookie != "":
		return scenario.Expect{Status: e.Status, Header: "Set-Cookie", Matches: "^" + regexp.QuoteMeta(d.save.Cookie) + `="?[^;"]{8,}`}
	case d.save.At != "" || d.save.Header != "":
		e.Matches = ".{8,}"
		return e
	default:
		return e
	}
}

// softly: a wrong password is answered with a success, and no credential.
func (p *Probe) softly(ctx context.Context, d *door) bool {
	if d.save.Cookie == "" && d.save.At == "" && d.save.Header == "" {
		return false
	}
	s, x, err := p.People.LoginWith(ctx, p.People.NewFacts("stranger"))
	return err == nil && s == nil && x != nil && x.Status/100 == 2 || err != nil && x != nil && x.Status/100 == 2
}

// fresh is what identifies a scenario's own account, as placeholders: "${fresh1.email}".
func (d *door) fresh(password string) map[string]string {
	out := map[string]string{"password": password}
	for fact := range d.fields {
		if fact != "password" && fact != "confirm" {
			out[fact] = "${fresh1." + fact + "}"
		}
	}
	return out
}

// made up: an account of nobody, of the form that accounts have.
func (d *door) unknown(name string) map[string]string {
	out := map[string]string{"password": wrongPassword}
	for fact := range d.fields {
		switch fact {
		case "email":
			out[fact] = "${canary." + name + "}@example.com"
		case "password", "confirm":
		case "phone":
			out[fact] = "+1${number." + name + "}"
		default:
			out[fact] = "${canary." + name + "}"
		}
	}
	return out
}

// growingDelay is by how much tries become slower where somebody counts them: a
// second after the fifth, and more after each, is a limit like any other.
const growingDelay = 400 * time.Millisecond

const wrongPassword = "wrong-${canary.pw}-A1!" //nolint:gosec // nobody's: it is there to be wrong

// steps collects steps and the first error.
type steps struct {
	list []scenario.Step
	err  error
}

func (s *steps) add(st scenario.Step, err error) {
	if err != nil && s.err == nil {
		s.err = err
	}
	s.list = append(s.list, st)
}

func loginUnlimited(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	zero := 0
	in, opens := d.in(), scenario.Expect{Status: "any"}
	wrong := []scenario.Expect{{Steady: growingDelay}, {Status: "429|423|403|503|420", AtMost: &zero}, {Status: "2xx", AtMost: &zero}}
	soft := p.softly(ctx, d)
	if soft {
		// A refusal is a success by its status: what it gives and what it says must tell.
		in, opens = d.entered(), scenario.Expect{Unlike: "wrong"}
		wrong[2] = scenario.Expect{Like: "wrong"}
	}
	var s steps
	s.add(d.step(p, "first", scenario.Control, "the account opens with its password", d.fresh("${fresh1.password}"), in))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	if soft {
		s.add(d.step(p, "wrong", scenario.Control, "and is told otherwise of a wrong one", d.fresh(wrongPassword), scenario.Expect{Unlike: "first"}))
	}
	st, err := d.step(p, "tries", scenario.Attack, "thirty wrong passwords, one after the other", d.fresh("wrong-${turn}-${canary.pw}-A1!"), wrong...)
	st.Times = 30
	s.add(st, err)
	s.add(d.step(p, "open", scenario.Observe, "and it opens with the right one at once", d.fresh("${fresh1.password}"), in, opens))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	ok, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s takes any number of wrong passwords", d.call.Op.Method, d.call.Op.Path),
		Description: "Thirty wrong passwords in a row were answered one like the other, and the right one after them opened the account.",
		Scenario:    &scenario.Scenario{Name: "thirty wrong passwords", Steps: s.list},
	})
	if err != nil || ok {
		return err
	}
	return p.loginByAddress(ctx, d)
}

// addressHeaders are those in which proxies tell whom they speak for.
var addressHeaders = []string{"X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"}

// loginByAddress: there is a limit, and it goes by an address that the caller names.
func (p *Probe) loginByAddress(ctx context.Context, d *door) error {
	zero := 0
	refused := scenario.Expect{Status: "429|423|403|503|420"}
	from := func(st scenario.Step, err error, address string) (scenario.Step, error) {
		if err == nil {
			for _, name := range addressHeaders {
				st.Send.Header = append(slices.Clip(st.Send.Header), scenario.Pair{Name: name, Value: address})
			}
		}
		return st, err
	}
	var s steps
	s.add(d.step(p, "first", scenario.Control, "the account opens with its password", d.fresh("${fresh1.password}"), d.in()))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	limit := refused
	limit.AtLeast = 1
	st, err := d.step(p, "limited", scenario.Control, "after some wrong passwords no more are taken", d.fresh("wrong-${turn}-${canary.pw}-A1!"), scenario.Expect{Steady: growingDelay}, limit)
	st.Times = 20
	s.add(st, err)
	s.add(d.step(p, "shut", scenario.Control, "nor is the right one", d.fresh("${fresh1.password}"), refused))
	limit = refused
	limit.AtMost = &zero
	st, err = d.step(p, "tries", scenario.Attack, "twenty more, each as if from another address, are all looked at", d.fresh("wrong2-${turn}-${canary.pw}-A1!"), scenario.Expect{Steady: growingDelay}, limit, scenario.Expect{Status: "2xx", AtMost: &zero})
	st.Times = 20
	s.add(from(st, err, "198.51.100.${turn}"))
	st, err = d.step(p, "open", scenario.Observe, "and the right one opens the account", d.fresh("${fresh1.password}"), d.in())
	s.add(from(st, err, "203.0.113.77"))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: "header.X-Forwarded-For", Title: fmt.Sprintf("%s %s counts wrong passwords by an address that the caller names", d.call.Op.Method, d.call.Op.Path),
		Description: "Wrong passwords are limited, but whoever names another address in a header with each try is not: passwords can be tried without end.",
		Scenario:    &scenario.Scenario{Name: "wrong passwords as if from many addresses", Steps: s.list},
	})
	return err
}

func loginEnumeration(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	refused := scenario.Expect{Status: "4xx"}
	if p.softly(ctx, d) {
		refused = scenario.Expect{Status: "2xx|4xx", Unlike: "first"}
	}
	var s steps
	s.add(d.step(p, "first", scenario.Setup, "an account that is there", d.fresh("${fresh1.password}"), d.in()))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	s.add(d.step(p, "known", scenario.Control, "a wrong password for it", d.fresh(wrongPassword), refused))
	s.add(d.step(p, "unknown", scenario.Control, "the same for one that is not", d.unknown("a"), scenario.Expect{Status: "!429"}))
	s.add(d.step(p, "unknown2", scenario.Control, "and for another", d.unknown("b"), scenario.Expect{Like: "unknown"}))
	s.add(d.step(p, "again", scenario.Attack, "the first again: answered as before, and not as the others", d.fresh(wrongPassword), scenario.Expect{Like: "known", Unlike: "unknown"}))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: "answer", Title: fmt.Sprintf("%s %s tells which accounts exist", d.call.Op.Method, d.call.Op.Path),
		Description: "A wrong password is answered otherwise when the account exists than when it does not.",
		Scenario:    &scenario.Scenario{Name: "accounts that exist and accounts that do not", Steps: s.list},
	})
	return err
}

// factory are names and passwords that products come with.
var factory = []struct {
	name      string
	passwords []string
}{
	{"admin", []string{"admin", "password", "admin123", "changeme"}},
	{"administrator", []string{"administrator", "password", "admin"}},
	{"root", []string{"root", "toor", "password"}},
	{"user", []string{"user", "password"}},
	{"test", []string{"test", "test123"}},
	{"guest", []string{"guest"}},
	{"demo", []string{"demo"}},
	{"support", []string{"support"}},
	{"manager", []string{"manager"}},
}

func defaultCredentials(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	user := p.Actor(actor.User)
	if d == nil || user == nil || d.save.At == "" && d.save.Header == "" && d.save.Cookie == "" {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	id := ""
	for _, f := range []string{"email", "username"} {
		if d.fields[f] != "" {
			id = f
			break
		}
	}
	if id == "" {
		return nil
	}
	tries := 0
	for _, f := range factory {
		for _, name := range p.factoryNames(id, f.name) {
			for _, pw := range f.passwords {
				if tries++; tries > 60 {
					return nil
				}
				facts := map[string]string{id: name, "password": pw}
				c := d.call
				for fact, text := range facts {
					c = c.With(d.fields[fact], jsonString(text))
				}
				x, err := p.send(ctx, c)
				if err != nil {
					return err
				}
				p.Log.DebugContext(ctx, "a factory account was tried", "name", name, "status", x.Status)
				if x.Status/100 >= 4 || x.Status == 0 {
					continue
				}
				if ok, err := p.factoryOpens(ctx, d, w, facts); err != nil || ok {
					return err
				}
			}
		}
	}
	p.Note(d.call.Op, Clean)
	return nil
}

// factoryNames are a factory account's names as the login takes them: e-mail
// addresses are in the houses that answers and the description speak of.
func (p *Probe) factoryNames(kind, name string) []string {
	if kind != "email" {
		return []string{name}
	}
	count := map[string]int{}
	for _, e := range p.Notebook.Emails() {
		_, domain, _ := strings.Cut(e, "@")
		count[strings.ToLower(domain)]++
	}
	for _, a := range p.People.All() {
		if _, domain, ok := strings.Cut(a.Facts["email"], "@"); ok && !a.Made {
			count[strings.ToLower(domain)] += 5
		}
	}
	var domains []string
	for dom := range count {
		domains = append(domains, dom)
	}
	slices.SortFunc(domains, func(a, b string) int { return count[b]*1000 - count[a]*1000 + strings.Compare(a, b) })
	domains = append(domains[:min(4, len(domains))], "example.com")
	var out []string
	for _, dom := range domains {
		out = append(out, name+"@"+dom)
		if name != "admin" {
			break // the rarer names in the likeliest house only
		}
	}
	return out
}

func (p *Probe) factoryOpens(ctx context.Context, d *door, w *witness, facts map[string]string) (bool, error) {
	var s steps
	s.add(d.step(p, "stranger", scenario.Control, "a made-up account gets nothing", d.unknown("a"), scenario.Expect{Status: "!2xx"}))
	in, err := d.step(p, "login", scenario.Attack, "the factory's account logs in", facts, d.in())
	save := d.save
	save.As = "credential"
	in.Save = []scenario.Save{save}
	s.add(in, err)
	s.add(p.look(w, "nobody", scenario.Control, actor.Nobody, "nobody gets an answer", scenario.Expect{Status: "!2xx"}))
	open, err := p.look(w, "open", scenario.Observe, actor.User, "the factory's account does", scenario.Expect{Status: "2xx"})
	if err == nil {
		open.Send.Credential = "${credential}"
	}
	s.add(open, err)
	if s.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s lets a factory account in", d.call.Op.Method, d.call.Op.Path),
		Description: "A name and a password that products are delivered with open an account.",
		Scenario:    &scenario.Scenario{Name: "a factory account", Steps: s.list},
	})
}

func resetLeak(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	if d == nil {
		return nil
	}
	for _, forgot := range p.Ops() {
		if !forgot.Has(graph.PasswordForgot) {
			continue
		}
		for _, reset := range p.Ops() {
			if !reset.Has(graph.PasswordReset) || reset == forgot {
				continue
			}
			if done, err := p.resetBy(ctx, d, forgot, reset); err != nil || done {
				return err
			}
		}
	}
	return nil
}

func (p *Probe) resetBy(ctx context.Context, d *door, forgot, reset *graph.Op) (bool, error) {
	ask, err := p.World.Call(ctx, forgot, nil, nil)
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	set, err := p.World.Call(ctx, reset, nil, nil)
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	fresh, err := p.People.Fresh(ctx)
	if err != nil {
		p.Note(forgot, Skipped)
		return false, nil //nolint:nilerr // without an account of its own nothing is tried
	}
	bind, over := map[string]string{}, map[string]string{}
	for _, in := range forgot.Inputs {
		if fact := factOf(in); fact != "" && fresh.Facts[fact] != "" {
			bind[in.Where()] = `"${fresh1.` + fact + `}"`
			over[in.Where()] = jsonString(fresh.Facts[fact])
		}
	}
	probe := ask
	for where, text := range over {
		probe = probe.With(where, text)
	}
	x, err := p.send(ctx, probe)
	if err != nil {
		return false, err
	}
	save, ok := resetToken(x)
	if !ok || len(over) == 0 {
		p.Note(forgot, Clean)
		return false, nil
	}
	save.As = "reset"
	const newPassword = "Changed-${canary.new}-9!"
	to := map[string]string{}
	for _, in := range reset.Inputs {
		switch in.Meaning {
		case graph.MeansPassword:
			to[in.Where()] = `"` + newPassword + `"`
		case graph.MeansToken, graph.MeansOTP:
			to[in.Where()] = `"${reset}"`
		default:
			if fact := factOf(in); fact != "" && fresh.Facts[fact] != "" {
				to[in.Where()] = `"${fresh1.` + fact + `}"`
			}
		}
	}
	var s steps
	s.add(d.step(p, "old", scenario.Setup, "an account opens with its password", d.fresh("${fresh1.password}"), d.in()))
	s.list[0].As = "fresh1"
	s.list[0].Send.Without = []string{"*"}
	s.add(d.step(p, "before", scenario.Control, "and not with another", d.fresh(newPassword), scenario.Expect{Status: "!2xx"}))
	st, err := p.World.Step(ask, bind)
	st.ID, st.Part, st.As, st.Note, st.Save = "forgot", scenario.Attack, actor.Nobody, "a stranger asks for a reset, and the answer holds the token", []scenario.Save{save}
	s.add(st, err)
	st, err = p.World.Step(set, to)
	st.ID, st.Part, st.As, st.Note = "reset", scenario.Attack, actor.Nobody, "the stranger sets a new password with it"
	s.add(st, err)
	s.add(d.step(p, "after", scenario.Observe, "and the account opens with that", d.fresh(newPassword), d.in()))
	if s.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	done, err := p.Prove(ctx, Hypothesis{
		Op: forgot, Where: "answer." + save.At, Title: fmt.Sprintf("%s %s hands the reset token to whoever asks", forgot.Method, forgot.Path),
		Description: "The answer to a request for a password reset holds what is needed to set a new password, and setting it worked.",
		Scenario:    &scenario.Scenario{Name: "a reset token in an answer", Steps: s.list},
	})
	if err != nil || !done {
		return done, err
	}
	if err := p.resetsAgain(ctx, d, reset, to, s.list); err != nil || p.Mode < Aggressive {
		return true, err
	}
	return true, p.triesResets(ctx, reset, to, s.list, codeAt(x, save.At))
}

// resetToken is where an answer to a forgotten password holds a token or a code.
func resetToken(x *target.Exchange) (scenario.Save, bool) {
	if x.Status/100 != 2 {
		return scenario.Save{}, false
	}
	if save, ok := newCredential(x); ok {
		return save, true
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return scenario.Save{}, false
	}
	var save scenario.Save
	found := false
	scenario.Walk(body, func(at string, s any) {
		text := fmt.Sprint(s)
		name := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
		if !found && len(text) >= 4 && reCodeName.MatchString(name) && reCode.MatchString(text) {
			save, found = scenario.Save{At: at}, true
		}
	})
	return save, found
}

var (
	reCodeName = regexp.MustCompile(`token|code|otp|pin|key|secret|link|url`)
	reCode     = regexp.MustCompile(`^[A-Za-z0-9._~-]{4,}$`)
)

func factOf(in *graph.Input) string {
	switch in.Meaning {
	case graph.MeansEmail:
		return "email"
	case graph.MeansUsername:
		return "username"
	case graph.MeansPhone:
		return "phone"
	}
	return ""
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

func weakPassword(ctx context.Context, p *Probe) error {
	e := p.People.RegisterEntry()
	d := p.door(ctx)
	if e == nil || d == nil || e.Fields["password"] == "" {
		return nil
	}
	for _, pw := range []string{"123456", "12345678", "password", "Password1"} {
		c, err := p.World.Call(ctx, e.Op, nil, nil)
		if err != nil {
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		bind := c.Renew("account")
		who := map[string]string{}
		facts := p.People.NewFacts("weak" + pw)
		for fact, where := range e.Fields {
			switch fact {
			case "password", "confirm":
				bind[where] = `"` + pw + `"`
			case "email":
				bind[where], who[fact] = `"${canary.account}@`+domainOf(facts["email"])+`"`, "${canary.account}@"+domainOf(facts["email"])
			case "username":
				bind[where], who[fact] = `"${canary.account}"`, "${canary.account}"
			case "phone":
				bind[where], who[fact] = `"+1${number.account}"`, "+1${number.account}"
			}
		}
		login := map[string]string{"password": pw}
		for fact := range d.fields {
			if v := who[fact]; v != "" {
				login[fact] = v
			}
		}
		if len(login) < 2 {
			return nil
		}
		wrong := map[string]string{}
		for k, v := range login {
			wrong[k] = v
		}
		wrong["password"] = wrongPassword
		var s steps
		st, err := p.World.Step(c, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = "register", scenario.Attack, actor.Nobody, "an account with the password "+pw, []scenario.Expect{{Status: "2xx"}}
		s.add(st, err)
		s.add(d.step(p, "wrong", scenario.Control, "it does not open with another", wrong, scenario.Expect{Status: "!2xx"}))
		s.add(d.step(p, "open", scenario.Observe, "it opens with it", login, d.in()))
		if s.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Op: e.Op, Where: e.Fields["password"], Title: fmt.Sprintf("%s %s takes the password %q", e.Op.Method, e.Op.Path, pw),
			Description: "An account can be made with one of the commonest passwords of all.",
			Scenario:    &scenario.Scenario{Name: "a common password", Steps: s.list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}

func domainOf(email string) string {
	if _, d, ok := strings.Cut(email, "@"); ok {
		return d
	}
	return "example.com"
}
