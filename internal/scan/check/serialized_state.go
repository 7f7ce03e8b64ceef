package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "serialized-state", Title: "Clients carry serialised objects",
	OWASP: "API8:2023", CWE: "CWE-502", WSTG: "WSTG-INPV-11", CVSS: vectorInfo,
	About: "Reads the cookies that logins and reads set, and the state that pages give back (__VIEWSTATE), for objects as Java, PHP, Python, Ruby and .NET serialise them.",
	Proof: "What a client sends back begins as such an object does, twice. It is information: that objects are made of it where somebody changed it, is the check deserialization's to show.",
	Fix:   "Keep state at the server, or hand it out as data alone (JSON), signed and encrypted; for pages of ASP.NET, leave ViewStateMac and encryption on (ViewStateEncryptionMode=\"Always\").",
	Mode:  Safe,
	Run:   serializedState,
})

// serialHead are the beginnings of serialised objects, as expressions for a cookie's
// value: as they are, escaped for an address, or in base64. Each takes as much of what the
// form says of itself that no identifier is likely to begin so.
var serialHead = []struct{ what, head string }{
	{"Java", `rO0AB[A-Za-z0-9+/_-]`},                                         // AC ED 00 05 (Java Object Serialization Specification, 6.4)
	{".NET (BinaryFormatter)", `AAEAAAD/{4}|AAEAAAD_{4}|AAEAAAD(%2[Ff]){4}`}, // [MS-NRBF], 2.6.1
	{"PHP", `[aO]:\d+:("[A-Za-z_\\]|\{)|[aO]%3[Aa]\d+%3[Aa](%22[A-Za-z_]|%7[Bb])|Tzo[w-z0-5](OiJ|[A-Za-z0-9]{2}oi)|YTo[w-z0-5](Ont|[A-Za-z0-9]{2}p7)`},
	// 80 and the protocol's number, then a frame (from 4 on), or a dict, a list, a text or a class.
	{"Python (pickle)", `gA[SW]V[A-Za-z0-9+/]{2,5}AAAA|gA[JN]([9d]cQ|Y[A-Za-z0-9+/]{2}AAA|j[X-Za-e])`},
	{"Ruby (Marshal)", `BAh([7b][A-D]|JI|vO)[A-Za-z0-9+/_-]{2}`}, // 04 08, then a hash, an array, a text or an object
	{"Node (node-serialize)", `.{0,40}_\$\$ND_FUNC\$\$_`},
}

// reViewState is a page's state that is not encrypted: it begins with FF 01 (LosFormatter).
const reViewState = `(?i)name="__VIEWSTATE"[^>]*value="/wE[A-Za-z0-9+/=]`

const maxStateReads = 40 // operations whose answers are looked at

func serializedState(ctx context.Context, p *Probe) error {
	if done, err := p.loginState(ctx); err != nil || done {
		return err
	}
	looked := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet || looked >= maxStateReads {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 {
			continue
		}
		looked++
		p.Note(op, Clean)
		w := &witness{call, base}
		if name, what, re := stateCookie(base); name != "" {
			return p.ofWhole(ctx, w, stateOf("cookie."+name, "The cookie "+name, what), "the cookie holds an object", scenario.Expect{Header: "Set-Cookie", Matches: re})
		}
		if regexp.MustCompile(reViewState).Match(base.Body) {
			return p.ofWhole(ctx, w, stateOf("page.__VIEWSTATE", "A page's __VIEWSTATE", ".NET (LosFormatter)"), "the page's state is there to be read", scenario.Expect{Matches: reViewState})
		}
	}
	return nil
}

// loginState looks at the cookies that a login sets.
func (p *Probe) loginState(ctx context.Context) (bool, error) {
	user, d := p.Actor(actor.User), p.door(ctx)
	if user == nil || d == nil || d.save.Cookie == "" {
		return false, nil
	}
	_, x, err := p.People.LoginWith(ctx, user.Facts)
	if err != nil || x == nil {
		return false, nil //nolint:nilerr // a login that fails tells nothing here
	}
	p.Note(d.call.Op, Clean)
	name, what, re := stateCookie(x)
	if name == "" {
		return false, nil
	}
	var l steps
	st, err := d.step(p, "login", scenario.Attack, "the cookie holds an object", d.fresh("${fresh1.password}"), scenario.Expect{Status: "2xx|302|303", Header: "Set-Cookie", Matches: re})
	st.As = "fresh1"
	if err == nil {
		st.Send.Without = []string{"*"}
	}
	l.add(st, err)
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h := stateOf("cookie."+name, "The cookie "+name, what)
	h.Scenario = &scenario.Scenario{Name: p.Check.ID, Steps: l.list}
	return p.Prove(ctx, h)
}

func stateOf(where, holder, what string) Hypothesis {
	return Hypothesis{
		Where: where, Title: fmt.Sprintf("%s holds a serialised object of %s", holder, what),
		Description: "Clients send it back, and can send another: where nothing signs it, the server makes objects of what a caller says.",
	}
}

// stateCookie is the first cookie of an answer that holds a serialised object, of
// which language, and an expression for its Set-Cookie.
func stateCookie(x *target.Exchange) (name, what, re string) {
	for _, set := range x.Header.Values("Set-Cookie") {
		name, _, _ := strings.Cut(set, "=")
		for _, s := range serialHead {
			re := `^` + regexp.QuoteMeta(name) + `="?(` + s.head + `)`
			if name != "" && regexp.MustCompile(re).MatchString(set) {
				return name, s.what, re
			}
		}
	}
	return "", "", ""
}
