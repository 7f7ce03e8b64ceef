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
		ID: "cookie-flags", Title: "The session's cookie is open to scripts or to plain HTTP",
		OWASP: "API8:2023", CWE: "CWE-1004", WSTG: "WSTG-SESS-02", CVSS: vectorLow,
		About: "Logs in, and reads how the session's cookie is set.",
		Proof: "The cookie that opens the session is set without HttpOnly, or over TLS without Secure. It weighs more where it has no SameSite either, or where nothing keeps browsers to TLS.",
		Fix:   "Set session cookies with HttpOnly, Secure and SameSite, with the __Host- prefix (RFC 6265bis).",
		Mode:  Default,
		Run:   cookieFlags,
	})
	_ = register(&Check{
		ID: "cross-site-request", Title: "Another site's form acts as its visitor",
		OWASP: "API8:2023", CWE: "CWE-352", WSTG: "WSTG-SESS-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Where a cookie alone opens the session and is not kept to the site (SameSite), makes an object as another site's form would: JSON sent as text/plain, or the same as a form, from another origin.",
		Proof: "The object is made, with the text of the request. Controls: without the cookie it is not; the cookie is set without SameSite=Lax or Strict.",
		Fix:   "Set SameSite on the cookie, take JSON as application/json only, and compare Origin or Sec-Fetch-Site, or ask for a token (OWASP CSRF Prevention Cheat Sheet).",
		Mode:  Default, Dirty: true,
		Run: crossSiteRequest,
	})
)

// What a session's cookie is worth to a script, or to who listens on the way.
const (
	vectorCookie = "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:A/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N"
	vectorPlain  = "CVSS:4.0/AV:A/AC:L/AT:P/PR:N/UI:P/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N"
)

// sessionCookie is the cookie that opens an actor's session; "" where it is something else.
func sessionCookie(a *actor.Actor) string {
	if a == nil || a.Session == nil {
		return ""
	}
	for _, part := range a.Session.Snapshot() {
		if !part.CSRF {
			if part.In == "cookie" {
				return part.Name
			}
			return ""
		}
	}
	return ""
}

// cookieWithout is a regular expression for the Set-Cookie of a cookie that has none of
// some attributes.
func cookieWithout(name string, not ...string) string {
	var has []string
	for _, a := range []string{"path", "expires", "max-age", "domain", "samesite", "secure", "httponly", "priority", "partitioned", "version", "comment"} {
		without := false
		for _, n := range not {
			without = without || strings.EqualFold(a, n)
		}
		if !without {
			has = append(has, a)
		}
	}
	return `(?i)^` + regexp.QuoteMeta(name) + `=[^;]+(;\s*(` + strings.Join(has, "|") + `)(=[^;]*)?)*;?\s*$`
}

func cookieFlags(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	name := sessionCookie(user)
	if name == "" {
		return nil
	}
	d := p.door(ctx)
	if d == nil || d.save.Cookie == "" {
		return nil
	}
	p.Note(d.call.Op, Clean)
	_, x, err := p.People.LoginWith(ctx, user.Facts)
	if err != nil || x == nil {
		return nil //nolint:nilerr // a login that fails tells nothing here
	}
	for _, flag := range []struct{ name, cwe, why, graver, vector string }{
		{"HttpOnly", "CWE-1004", "A script that gets onto a page of this origin reads the session's cookie.", "SameSite", vectorCookie},
		{"Secure", "CWE-614", "The session's cookie is sent over plain HTTP as well, where anybody on the way reads it.", "", vectorPlain},
	} {
		if flag.name == "Secure" && !strings.HasPrefix(p.Origin, "https://") {
			continue
		}
		without := func(names ...string) (string, bool) {
			re := cookieWithout(d.save.Cookie, names...)
			return re, slices.ContainsFunc(x.Header.Values("Set-Cookie"), regexp.MustCompile(re).MatchString)
		}
		re, found := without(flag.name)
		if !found {
			continue
		}
		h := Hypothesis{
			Where: "cookie." + flag.name, CWE: flag.cwe, Title: fmt.Sprintf("The session's cookie %s is set without %s", d.save.Cookie, flag.name), Description: flag.why,
		}
		// What opens the session weighs more where nothing else keeps it in: no
		// SameSite beside a missing HttpOnly, no Strict-Transport-Security beside a missing Secure.
		bare, open := without(flag.name, flag.graver)
		switch {
		case flag.graver != "" && open:
			re, h.CVSS = bare, flag.vector
			h.Title += ", nor with " + flag.graver
			h.Description += " Nor does it stay with its own site: browsers that do not think of it themselves send it along with other sites' requests."
		case flag.graver == "" && x.Header.Get("Strict-Transport-Security") == "":
			h.CVSS = flag.vector
		}
		var l steps
		facts := d.fresh("${fresh1.password}")
		st, err := d.step(p, "login", scenario.Attack, "the session's cookie is set without "+flag.name, facts, scenario.Expect{Status: "2xx|302|303", Header: "Set-Cookie", Matches: re})
		st.As, st.Send.Without = "fresh1", []string{"*"}
		l.add(st, err)
		if l.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		h.Scenario = &scenario.Scenario{Name: "how the session's cookie is set", Steps: l.list}
		if _, err := p.Prove(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func crossSiteRequest(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	name := sessionCookie(user)
	if name == "" {
		return nil
	}
	for _, part := range user.Session.Snapshot() {
		if part.CSRF || part.In != "cookie" {
			return nil // another site cannot send it
		}
	}
	_, in, err := p.People.LoginWith(ctx, user.Facts)
	if err != nil || in == nil {
		return nil //nolint:nilerr // a login that fails tells nothing here
	}
	vector, sent := crossVector(in, name, p.Check.CVSS)
	if !sent {
		return nil
	}
	for _, op := range p.Ops() {
		if op.Method != http.MethodPost || op.Kind != graph.Create || op.Has(graph.Register) || op.Has(graph.Login) || !op.Secured && op.About == nil {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil || !strings.Contains(c.Media, "json") {
			continue
		}
		in := freeText(op, c)
		if in == nil {
			continue
		}
		as, err := p.takesForm(ctx, c, in)
		if err != nil {
			return err
		}
		if as == nil {
			continue
		}
		list, err := p.formSteps(c, in, as)
		if err != nil {
			continue
		}
		ok, err := p.Prove(ctx, Hypothesis{
			Where: "cookie", Title: "Another site's form acts as its visitor, by the session's cookie", CVSS: vector,
			Description: fmt.Sprintf("%s %s takes what is described as JSON from another origin as %s, which a plain form can send; the cookie %s is not kept to its own site.", op.Method, op.Path, as.name, name),
			Scenario:    &scenario.Scenario{Name: "another site's form", Steps: list},
		})
		if err != nil || ok {
			return err
		}
	}
	return nil
}

// crossVector says how much it counts that a login's cookie goes along with what other
// sites send; false: it does not.
func crossVector(in *target.Exchange, name, declared string) (string, bool) {
	// Without SameSite it is the browser's default that decides (RFC 6265bis: Lax
	// in some, None in others), so it counts less.
	vector := vectorLow
	re := regexp.MustCompile(`(?i)^` + regexp.QuoteMeta(name) + `=.*;\s*samesite=(lax|strict|none)`)
	for _, v := range in.Header.Values("Set-Cookie") {
		if m := re.FindStringSubmatch(v); m != nil && !strings.EqualFold(m[1], "none") {
			return "", false
		} else if m != nil {
			vector = declared
		}
	}
	return vector, true
}

// takesForm finds the type of a plain form that an operation takes its JSON in; nil: none.
func (p *Probe) takesForm(ctx context.Context, c *world.Call, in *graph.Input) (*otherType, error) {
	const mark = "crenel cross site"
	r, err := p.World.Request(c.With(in.Where(), jsonString(mark)))
	if err != nil {
		return nil, nil //nolint:nilerr // a call that cannot be written takes no form
	}
	for i := range otherTypes[:2] { // those that a plain form can have
		t := &otherTypes[i]
		text, ok := t.of(string(r.Body))
		if !ok {
			continue
		}
		q := r.Clone()
		q.Body = []byte(text)
		q.Set("Content-Type", t.media)
		q.Header = append(q.Header, crossSite("https://crenel-scan.example")...)
		x, err := p.Do(ctx, c.As, q)
		if err != nil {
			return nil, err
		}
		p.Note(c.Op, Clean)
		if x.Status/100 == 2 && strings.Contains(string(x.Body), mark) {
			return t, nil
		}
	}
	return nil, nil
}

// formSteps writes the call as another site's form sends it, without the cookie and with it.
func (p *Probe) formSteps(c *world.Call, in *graph.Input, as *otherType) ([]scenario.Step, error) {
	var l steps
	add := func(id string, part scenario.Part, who, note string, e scenario.Expect) {
		bind := c.Renew(id)
		bind[in.Where()] = jsonString("${canary." + id + "}")
		st, err := p.World.Step(c, bind)
		if err == nil {
			err = as.rewrite(&st)
			for _, f := range crossSite("https://${canary.site}.example") {
				st.Send.Header = append(st.Send.Header, scenario.Pair{Name: f.Name, Value: f.Value})
			}
		}
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, who, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("nobody", scenario.Control, actor.Nobody, "without the cookie nothing is made", scenario.Expect{Status: "!2xx"})
	add("form", scenario.Attack, actor.User, "another site's form makes an object in its visitor's name", scenario.Expect{Status: "2xx", Contains: []string{"${canary.form}"}})
	return l.list, l.err
}

// crossSite are the headers that a browser adds to another site's request.
func crossSite(origin string) []target.Field {
	return []target.Field{{Name: "Origin", Value: origin}, {Name: "Sec-Fetch-Site", Value: "cross-site"}, {Name: "Sec-Fetch-Mode", Value: "no-cors"}}
}

// freeText is an input of a call in which any text may stand, nil without one.
func freeText(op *graph.Op, c *world.Call) *graph.Input {
	for _, in := range op.Inputs {
		if _, there := c.Values[in.Where()]; there && in.In == "body" && takesText(in) && in.Format == "" && !identifies(op, in) && in.Object == nil && (in.Schema == nil || in.Schema.Rules().Pattern == "") {
			return in
		}
	}
	return nil
}
