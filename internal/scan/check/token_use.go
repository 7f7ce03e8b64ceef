package check

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var (
	_ = register(&Check{
		ID: "auth-garbage", Title: "Any credential will do",
		OWASP: "API2:2023", CWE: "CWE-287", WSTG: "WSTG-ATHN-04", CVSS: vectorTakeover,
		About: "Presents made-up and empty credentials where users present theirs, at every read that the description secures.",
		Proof: "They open what the user's opens. Controls: the user's own does; without any credential there is something else.",
		Fix:   "Verify the credential itself; that there is one says nothing.",
		Mode:  Safe,
		Run:   authGarbage,
	})
	_ = register(&Check{
		ID: "token-in-url", Title: "Credentials are taken from the address",
		OWASP: "API2:2023", CWE: "CWE-598", WSTG: "WSTG-SESS-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Presents a user's token in the query, under the names that tokens have there, and looks whether logging in takes the password there.",
		Proof: "It opens what it opens in its own place. Controls: no token, and a made-up one in the query, do not. That the description itself puts tokens into the query is not reported.",
		Fix:   "Take credentials from a header or a cookie alone: addresses are kept in logs, histories and Referer headers (RFC 9700, section 4.3.2).",
		Mode:  Safe,
		Run:   tokenInURL,
	})
	_ = register(&Check{
		ID: "token-rewritten", Title: "A credential can be rewritten into another user's",
		OWASP: "API2:2023", CWE: "CWE-565", WSTG: "WSTG-SESS-01", CVSS: vectorForger,
		About: "Where a credential (plain, in Base64, in hexadecimal digits) holds what identifies its user, puts another user's in its place.",
		Proof: "The rewritten credential gets what the other user gets. Controls: the two users get different answers; a credential of nobody gets neither.",
		Fix:   "Give out random session identifiers of at least 128 bits, or tokens with a signature that is verified.",
		Mode:  Safe,
		Run:   tokenRewritten,
	})
)

// firstPart is the name of the part that an actor's credential is in.
func firstPart(a *actor.Actor) *actor.Part {
	if a != nil && a.Session != nil {
		for _, part := range a.Session.Snapshot() {
			if !part.CSRF {
				return &part
			}
		}
	}
	return nil
}

func authGarbage(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	part := firstPart(user)
	if part == nil {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil {
		return err
	}
	values := []struct{ text, note string }{{"${canary.token}", "a made-up credential"}, {"", "an empty credential"}}
	if isJWT(part.Value) {
		values = values[:1] // whose signature is made up is another check's
	}
	if w != nil {
		for _, v := range values {
			if ok, err := p.garbage(ctx, w, nil, part, v.text, v.note); err != nil || ok {
				return err
			}
		}
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !op.Secured || op.Public || !p.onlyReads(op) || w != nil && op == w.call.Op {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		r, err := p.World.Request(c.By(nil))
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		fake := actor.Session{Parts: []actor.Part{*part}}
		fake.Parts[0].Value = "crenel" + p.RunID + "garbage"
		fake.Apply(r)
		x, err := p.Do(ctx, nil, r)
		if err != nil {
			return err
		}
		p.Note(op, Clean)
		if x.Status/100 != 2 || !telling(x) {
			return nil
		}
		_, err = p.garbage(ctx, &witness{c, x}, op, part, values[0].text, values[0].note)
		return err
	})
}

// garbage proves that a made-up credential opens what the user's opens: at one
// operation, or everywhere (nil).
func (p *Probe) garbage(ctx context.Context, w *witness, op *graph.Op, part *actor.Part, text, note string) (bool, error) {
	if text == "" && part.In != "header" {
		return false, nil
	}
	s := p.afresh(w.call)
	l := steps{list: s.setup}
	add := func(id string, role scenario.Part, as, note string, e scenario.Expect, change func(*scenario.Send)) {
		st, err := s.step(p, w.call, id, role)
		if err == nil {
			st.As, st.Note, st.Expect = as, note, []scenario.Expect{e}
			change(st.Send)
		}
		l.add(st, err)
	}
	plain := func(*scenario.Send) {}
	add("own", scenario.Control, actor.User, "the user's own credential opens it", scenario.Expect{Status: "2xx"}, plain)
	add("nobody", scenario.Control, actor.User, "without it there is something else", scenario.Expect{Unlike: "own"}, func(q *scenario.Send) { q.Without = []string{part.Name} })
	add("attack", scenario.Attack, actor.User, note+" opens it as well", scenario.Expect{Status: "2xx", Like: "own"}, func(q *scenario.Send) {
		if q.Credential = text; text == "" {
			q.Without = []string{part.Name}
			q.Header = append(q.Header, scenario.Pair{Name: part.Name, Value: strings.TrimSpace(part.Prefix)})
		}
	})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	title, vector := p.Check.Title, p.Check.CVSS
	if op != nil {
		title, vector = fmt.Sprintf("%s %s takes any credential", op.Method, op.Path), Find("auth-missing").CVSS
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "credential", Title: title, CVSS: vector,
		Description: fmt.Sprintf("%s %s is closed without a credential, and %s opens it.", w.call.Op.Method, w.call.Op.Path, note),
		Scenario:    &scenario.Scenario{Name: "a credential of nobody", Steps: l.list},
	})
}

// queryNames are the names under which tokens stand in queries.
var queryNames = []string{"access_token", "token", "api_key", "auth_token", "jwt", "apikey", "auth", "key", "session", "sid", "sessionid", "authorization"}

func tokenInURL(ctx context.Context, p *Probe) error {
	if err := p.passwordInURL(ctx); err != nil {
		return err
	}
	user := p.Actor(actor.User)
	part := firstPart(user)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil || part == nil || part.In == "query" || part.Computed() {
		return err
	}
	names := slices.Clone(queryNames)
	if !slices.Contains(names, strings.ToLower(part.Name)) {
		names = append(names, part.Name)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(p.Graph.Carriers, func(c graph.Carrier) bool { return c.In == "query" && strings.EqualFold(c.Name, n) })
	})
	plain, err := p.World.Request(w.call.By(nil))
	if err != nil {
		return nil //nolint:nilerr // what cannot be written cannot be sent
	}
	ask := func(names ...string) (bool, error) {
		q := plain.Clone()
		s := actor.Session{}
		for _, n := range names {
			s.Parts = append(s.Parts, actor.Part{In: "query", Name: n, Value: part.Value})
		}
		s.Apply(q)
		x, err := p.Do(ctx, nil, q)
		return err == nil && scenario.Alike(w.last, x), err
	}
	// All at once; where that is too much for a strict API, the usual ones alone.
	if ok, err := ask(names...); err != nil {
		return err
	} else if !ok {
		names = names[:min(3, len(names))]
	}
	p.Note(w.call.Op, Clean)
	for _, n := range names {
		ok, err := ask(n)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if done, err := p.opensByURL(ctx, w, n); err != nil || done {
			return err
		}
	}
	return nil
}

func (p *Probe) opensByURL(ctx context.Context, w *witness, name string) (bool, error) {
	var l steps
	add := func(id string, part scenario.Part, note, value string, e scenario.Expect) {
		as := actor.Nobody
		if id == "own" {
			as = actor.User
		}
		st, err := p.look(w, id, part, as, note, e)
		if err == nil && value != "" {
			st.Send.Query = append(st.Send.Query, scenario.Pair{Name: name, Value: value})
		}
		l.add(st, err)
	}
	add("own", scenario.Control, "the user's token opens it, in its own place", "", scenario.Expect{Status: "2xx"})
	add("nobody", scenario.Control, "no token does not", "", scenario.Expect{Unlike: "own"})
	add("fake", scenario.Control, "a made-up one in the query does not", "${canary.token}", scenario.Expect{Unlike: "own"})
	add("attack", scenario.Attack, "the user's token in the query does", "${user.token}", scenario.Expect{Status: "2xx", Like: "own"})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Where: "query." + name, Title: fmt.Sprintf("Tokens are taken from the query (%s)", name),
		Description: fmt.Sprintf("A user's token in the query, as %s, opens %s %s, though the description does not put it there.", name, w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a token in the address", Steps: l.list},
	})
}

// passwordInURL: logging in takes the password in the query.
func (p *Probe) passwordInURL(ctx context.Context) error {
	d := p.door(ctx)
	if d == nil || !strings.HasPrefix(d.fields["password"], "query.") {
		return nil
	}
	var s steps
	s.add(d.step(p, "wrong", scenario.Control, "a wrong password opens nothing", d.unknown("a"), scenario.Expect{Status: "!2xx"}))
	s.add(d.step(p, "open", scenario.Attack, "the right one, in the address, does", d.fresh("${fresh1.password}"), d.in()))
	if s.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	s.list[1].As, s.list[1].Send.Without = "fresh1", []string{"*"}
	_, err := p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s takes the password in the address", d.call.Op.Method, d.call.Op.Path),
		Description: "The password stands in the query, and so in every log on the way.",
		Scenario:    &scenario.Scenario{Name: "a password in the address", Steps: s.list},
	})
	return err
}

func tokenRewritten(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	part := firstPart(user)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil || part == nil || isJWT(part.Value) || len(part.Value) > 4096 {
		return err
	}
	for _, other := range p.Attackers() {
		theirs, err := p.send(ctx, w.call.By(other))
		if err != nil {
			return err
		}
		if theirs.Status/100 != 2 || scenario.Alike(w.last, theirs) {
			continue
		}
		for _, coding := range scenario.Codings {
			text, ok := scenario.Decoded(part.Value, coding)
			if !ok {
				continue
			}
			for _, fact := range []string{"id", "username", "email"} {
				mine, its := user.Facts[fact], other.Facts[fact]
				if mine == "" || its == "" || mine == its || !reWhole(mine).MatchString(text) {
					continue
				}
				if done, err := p.rewritten(ctx, w, other, coding, fact); err != nil || done {
					return err
				}
			}
		}
	}
	p.Note(w.call.Op, Clean)
	return nil
}

// reWhole is a text that stands alone, not within a longer word.
func reWhole(text string) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^A-Za-z0-9])` + regexp.QuoteMeta(text) + `($|[^A-Za-z0-9])`)
}

func (p *Probe) rewritten(ctx context.Context, w *witness, other *actor.Actor, coding, fact string) (bool, error) {
	own, err := p.look(w, "own", scenario.Control, actor.User, "the user's credential opens the user's own", scenario.Expect{Status: "2xx"})
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	its, _ := p.look(w, "theirs", scenario.Control, other.Name, "the other's credential opens the other's own", scenario.Expect{Status: "2xx", Unlike: "own"})
	rewrite := func(set, to string) []scenario.Compute {
		return []scenario.Compute{{Set: set, Do: "text.rewrite", Args: map[string]string{"text": "${user.token}", "coding": coding, "from": "${user." + fact + "}", "to": to}}}
	}
	void, _ := p.look(w, "void", scenario.Control, actor.User, "a credential of nobody opens neither", scenario.Expect{Unlike: "theirs"}, scenario.Expect{Unlike: "own"})
	void.Compute, void.Send.Credential = rewrite("void", map[bool]string{true: "999999937", false: "${canary.void}"}[strings.Trim(other.Facts[fact], "0123456789") == ""]), "${void}"
	attack, _ := p.look(w, "attack", scenario.Attack, actor.User, "the user's credential, with the other's "+fact+" in it, opens the other's", scenario.Expect{Status: "2xx", Like: "theirs"})
	attack.Compute, attack.Send.Credential = rewrite("forged", "${"+other.Name+"."+fact+"}"), "${forged}"
	return p.Prove(ctx, Hypothesis{
		Where: "credential", Title: p.Check.Title,
		Description: fmt.Sprintf("A user's credential is that user's %s (%s). With another's in its place it is the other's: %s %s answers as to them.", fact, coding, w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a credential rewritten", Steps: []scenario.Step{own, its, void, attack}},
	})
}
