package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "bfla-variant", Title: "A function that is refused is open by another door",
	OWASP: "API5:2023", CWE: "CWE-285", WSTG: "WSTG-ATHZ-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Calls what an ordinary user is refused under another method, with headers that name another method or another path, and with other spellings of its path.",
	Proof: "The plain call is refused, and by the other door the user gets what the one it is for gets, or changes what is read afterwards. Controls: without credentials the door is closed, and the plain call changes nothing.",
	Fix:   "Decide by the route that is really run, after every rewriting; serve only the methods that are described; ignore override headers.",
	Mode:  Default, Dirty: true,
	Run: bflaVariant,
})

// otherDoor is another way to send a request.
type otherDoor struct {
	where string // place in the request, for the finding
	cwe   string
	what  string // in words
	// method on the wire; "" the operation's own. open: one that the description
	// has for the path and that users may call.
	method string
	header scenario.Pair
	query  scenario.Pair
	path   func(string) string
}

// doors are the other ways to an operation: open is a method of the same path
// that users may call, "" when there is none.
func doors(op *graph.Op, described map[string]bool, open string) []otherDoor {
	var out []otherDoor
	for _, m := range swaps[op.Method] {
		if !described[m] {
			out = append(out, otherDoor{where: "method", cwe: "CWE-285", what: m + " in place of " + op.Method, method: m})
		}
	}
	wire := []string{open}
	if open != "POST" && op.Method != http.MethodPost {
		wire = append(wire, "POST")
	}
	for _, m := range wire {
		if m == "" || m == op.Method {
			continue
		}
		for _, h := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
			out = append(out, otherDoor{where: "header." + h, cwe: "CWE-436", what: m + " with " + h, method: m, header: scenario.Pair{Name: h, Value: op.Method}})
		}
		out = append(out, otherDoor{where: "query._method", cwe: "CWE-436", what: m + " with _method", method: m, query: scenario.Pair{Name: "_method", Value: op.Method}})
	}
	for _, spell := range []struct {
		what string
		path func(string) string
	}{
		{"a slash at the end", func(p string) string { return p + "/" }},
		{"two slashes", func(p string) string { return "/" + p }},
		{"capitals", capitals},
		{"a capital in each word", titled},
		{"a dot segment", func(p string) string { return "/." + p }},
		{"an encoded letter", encoded},
		{"a path parameter", func(p string) string { return p + ";x" }},
		{"steps back after a parameter", func(p string) string { return "/x/..;" + p }},
		{"a suffix", func(p string) string { return p + ".json" }},
	} {
		out = append(out, otherDoor{where: "path", cwe: "CWE-436", what: spell.what, path: spell.path})
	}
	return out
}

var swaps = map[string][]string{"PATCH": {"PUT", "POST"}, "PUT": {"PATCH", "POST"}, "POST": {"PUT", "PATCH", "GET"}, "GET": {"POST"}, "DELETE": {"POST"}}

// capitals writes the last word of a path in capitals.
func capitals(p string) string {
	i := strings.LastIndexFunc(p, func(r rune) bool { return r >= 'a' && r <= 'z' })
	if i < 0 {
		return p
	}
	j := strings.LastIndexByte(p[:i], '/')
	return p[:j+1] + strings.ToUpper(p[j+1:i+1]) + p[i+1:]
}

// titled begins each word of a path with a capital.
func titled(p string) string {
	b := []byte(p)
	for i := 1; i < len(b); i++ {
		if b[i-1] == '/' && b[i] >= 'a' && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

// encoded escapes the first letter of a path's second word, or of its first.
func encoded(p string) string {
	i := 1
	if j := strings.IndexByte(p[1:], '/'); j >= 0 && j+2 < len(p) {
		i = j + 2
	}
	if i >= len(p) || p[i] == '%' {
		return p
	}
	return p[:i] + fmt.Sprintf("%%%02X", p[i]) + p[i+1:]
}

// request is a request by this door.
func (d *otherDoor) request(r *target.Request) *target.Request {
	q := *r
	q.Header = slices.Clone(r.Header)
	if d.method != "" {
		q.Method = d.method
	}
	if d.header.Name != "" {
		q.Header = append(q.Header, target.Field{Name: d.header.Name, Value: d.header.Value})
	}
	if d.query.Name != "" {
		if q.Query != "" {
			q.Query += "&"
		}
		q.Query += d.query.Name + "=" + d.query.Value
	}
	if d.path != nil {
		q.Path = d.path(r.Path)
	}
	return &q
}

// step makes a step go by this door.
func (d *otherDoor) step(st scenario.Step) scenario.Step {
	s := *st.Send
	s.Header, s.Query = slices.Clone(s.Header), slices.Clone(s.Query)
	if d.method != "" {
		s.Method = d.method
	}
	if d.header.Name != "" {
		s.Header = append(s.Header, d.header)
	}
	if d.query.Name != "" {
		s.Query = append(s.Query, d.query)
	}
	if d.path != nil {
		s.Path = d.path(s.Path)
	}
	st.Send = &s
	return st
}

func bflaVariant(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	methods := map[string]map[string]bool{}
	for _, op := range p.Graph.Ops {
		if methods[op.Path] == nil {
			methods[op.Path] = map[string]bool{}
		}
		methods[op.Path][op.Method] = true
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !op.Secured || op.Has(graph.Hazard) || op.Has(graph.Login) || op.Has(graph.Logout) || op.Kind == graph.Delete || p.restricted(op, user) == "" {
			return nil
		}
		if op.Method == http.MethodGet {
			return p.doorsToRead(ctx, op, user, methods[op.Path])
		}
		if p.Mode == Safe {
			return nil
		}
		return p.doorsToWrite(ctx, op, user, methods[op.Path])
	})
}

func refused(x *target.Exchange) bool {
	return x.Status == 401 || x.Status == 403 || x.Status == 404 || x.Status == 405
}

func (p *Probe) doorsToRead(ctx context.Context, op *graph.Op, user *actor.Actor, described map[string]bool) error {
	c, theirs, who, err := p.callFor(ctx, op, user)
	if err != nil || c == nil {
		return err
	}
	if who == nil {
		return p.spellings(ctx, op, c.By(user), described)
	}
	if !telling(theirs) {
		return nil
	}
	mine, err := p.send(ctx, c.By(user))
	if err != nil || !refused(mine) {
		return err
	}
	p.Note(op, Clean)
	plain, err := p.World.Request(c.By(user))
	if err != nil {
		return nil //nolint:nilerr // what cannot be written cannot be sent
	}
	for _, d := range doors(op, described, "") {
		x, err := p.Do(ctx, user, d.request(plain))
		if err != nil {
			return err
		}
		if x.Status/100 != 2 || scenario.Form(x.Body) == "" || scenario.Form(x.Body) != scenario.Form(theirs.Body) || scenario.Likeness(string(x.Body), string(theirs.Body)) < 0.5 {
			continue
		}
		var l steps
		add := func(call *world.Call, by *otherDoor, id string, part scenario.Part, note string, e scenario.Expect) {
			st, err := p.step(nil, call, id, part)
			if err == nil && by != nil {
				st = by.step(st)
			}
			st.Note, st.Expect = note, []scenario.Expect{e}
			l.add(st, err)
		}
		add(c, nil, "entitled", scenario.Control, "the one it is for gets it", scenario.Expect{Status: "2xx"})
		add(c.By(user), nil, "refused", scenario.Control, "an ordinary user is refused", scenario.Expect{Status: "401|403|404|405"})
		add(c.By(nil), &d, "nobody", scenario.Control, "nobody without credentials gets it by the other door", scenario.Expect{Unlike: "entitled"})
		add(c.By(user), &d, "attack", scenario.Attack, "the user gets it: "+d.what, scenario.Expect{Status: "2xx", Like: "entitled"})
		if ok, err := p.byDoor(ctx, op, &d, &l, "reads"); err != nil || ok {
			return err
		}
	}
	return nil
}

func (p *Probe) byDoor(ctx context.Context, op *graph.Op, d *otherDoor, l *steps, what string) (bool, error) {
	if l.err != nil {
		p.Note(op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	method := d.method
	if method == "" {
		method = op.Method
	}
	h := Hypothesis{
		Method: method, Path: op.Path, Where: d.where, CWE: d.cwe,
		Title:       fmt.Sprintf("%s %s: a user who is refused %s it by another door (%s)", op.Method, op.Path, what, d.what),
		Description: fmt.Sprintf("%s %s refuses an ordinary user. By another door (%s) the same is done for the same user.", op.Method, op.Path, d.what),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s by another door", op.Method, op.Path), Steps: l.list},
	}
	if method == op.Method {
		h.Op = op
	}
	ok, err := p.Prove(ctx, h)
	if ok {
		p.Note(op, Open)
	}
	return ok, err
}

// turn is a change of one field that can be seen and taken back.
type turn struct {
	where, at   string
	there, back string // JSON texts: another value, and that of before
}

// turns are changes of what both the request of op and an answer hold.
func turns(op *graph.Op, x *target.Exchange) []turn {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	var out []turn
	for _, in := range op.Inputs {
		if in.In != "body" || in.ReadOnly || strings.Contains(in.Pointer, "*") {
			continue
		}
		found := scenario.Find(body, in.Pointer)
		if len(found) != 1 {
			continue
		}
		t := turn{where: in.Where(), at: in.Pointer, back: jsonOf(found[0])}
		switch v := found[0].(type) {
		case json.Number:
			n, err := strconv.ParseInt(string(v), 10, 64)
			if err != nil || in.Meaning == graph.MeansID {
				continue
			}
			t.there = strconv.FormatInt(n+1, 10)
			if in.Schema != nil {
				if most := in.Schema.Rules().Bounds.Maximum; most == string(v) {
					t.there = strconv.FormatInt(n-1, 10)
				}
			}
		case bool:
			t.there = strconv.FormatBool(!v)
		case string:
			if in.Schema != nil && len(in.Schema.Rules().Enum) > 0 || in.Format != "" || in.Meaning != graph.MeansText && in.Meaning != graph.MeansName && in.Meaning != graph.MeansUndefined {
				continue
			}
			t.there = jsonString(v + "x")
		default:
			continue
		}
		out = append(out, t)
	}
	return out
}

// doorsToWrite tries to change what users may read and not change; the same door
// is used to take it back.
func (p *Probe) doorsToWrite(ctx context.Context, op *graph.Op, user *actor.Actor, described map[string]bool) error {
	if !described["GET"] || op.Body == nil || p.Mode < Aggressive {
		return nil // what others share is only changed where the run may hurt
	}
	c, _, _, err := p.callFor(ctx, op, user)
	if err != nil || c == nil {
		return err
	}
	c = c.By(user)
	var reader *world.Call
	for _, other := range p.Graph.At(op.Path) {
		if other.Method == http.MethodGet {
			if reader, err = p.World.Call(ctx, other, user, nil); err != nil {
				return nil //nolint:nilerr // what cannot be read cannot be compared
			}
		}
	}
	for _, in := range op.Inputs {
		if in.In != "path" {
			continue
		}
		c = c.With(in.Where(), reader.Values[in.Where()])
	}
	before, err := p.send(ctx, reader)
	if err != nil || before.Status/100 != 2 {
		return err
	}
	for _, t := range turns(op, before) {
		there := c.With(t.where, t.there)
		for _, in := range op.Inputs { // nothing but this
			if in.In == "body" && in.Where() != t.where && !in.Required {
				there = there.With(in.Where(), "")
			}
		}
		x, err := p.send(ctx, there)
		if err != nil {
			return err
		}
		if !refused(x) {
			return nil // that is another check's
		}
		p.Note(op, Clean)
		plain, err := p.World.Request(there)
		if err != nil {
			return nil //nolint:nilerr // what cannot be written cannot be sent
		}
		found := map[string]bool{} // one of a kind is enough: one spelling is as good as another
		for _, d := range doors(op, described, "GET") {
			if found[d.where] && d.where != "method" {
				continue
			}
			if _, err := p.Do(ctx, user, d.request(plain)); err != nil {
				return err
			}
			after, err := p.send(ctx, reader)
			if err != nil {
				return err
			}
			if !holdsAt(after, t.at, t.there) {
				continue
			}
			if err := p.takenBack(ctx, user, there.With(t.where, t.back), &d); err != nil {
				return err
			}
			ok, err := p.writesByDoor(ctx, op, there, reader, t, &d)
			if err != nil {
				return err
			}
			found[d.where] = found[d.where] || ok
		}
		return nil
	}
	return nil
}

func (p *Probe) takenBack(ctx context.Context, user *actor.Actor, c *world.Call, d *otherDoor) error {
	r, err := p.World.Request(c)
	if err != nil {
		return nil //nolint:nilerr // it was written before
	}
	_, err = p.Do(ctx, user, d.request(r))
	return err
}

func (p *Probe) writesByDoor(ctx context.Context, op *graph.Op, there, reader *world.Call, t turn, d *otherDoor) (bool, error) {
	want, was := scenario.Plain(decoded(t.there)), scenario.Plain(decoded(t.back))
	var l steps
	add := func(call *world.Call, by *otherDoor, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		if err == nil && by != nil {
			st = by.step(st)
		}
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	add(reader, nil, "before", scenario.Control, "what is there", scenario.Expect{Status: "2xx", At: t.at, Equals: &was})
	add(there, nil, "refused", scenario.Control, "an ordinary user is refused to change it", scenario.Expect{Status: "401|403|404|405"})
	add(there.By(nil), d, "nobody", scenario.Control, "nobody without credentials tries the other door", scenario.Expect{Status: "any"})
	add(reader, nil, "still", scenario.Control, "nothing has changed", scenario.Expect{Status: "2xx", At: t.at, Equals: &was})
	add(there, d, "attack", scenario.Attack, "the user changes it: "+d.what, scenario.Expect{Status: "any"})
	add(reader, nil, "after", scenario.Observe, "it has changed", scenario.Expect{Status: "2xx", At: t.at, Equals: &want})
	add(there.With(t.where, t.back), d, "back", scenario.Cleanup, "and is made what it was")
	return p.byDoor(ctx, op, d, &l, "changes")
}
