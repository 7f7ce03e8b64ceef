package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
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
	ID: "mass-assignment", Title: "A caller sets a field that is not for callers",
	OWASP: "API3:2023", CWE: "CWE-915", WSTG: "WSTG-INPV-20",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Adds to bodies the fields that answers hold and requests do not declare (roles, owners, prices, balances, states).",
	Proof: "The user reads the field back with the value that was sent; it had another before, or is made another without. Controls: the same call without the field.",
	Fix:   "Take the fields that callers may set from a list, for each operation, and refuse the others (additionalProperties: false).",
	Mode:  Default, Dirty: true,
	Run: massAssignment,
})

// plants says which values are put into a field of a meaning: JSON texts. None:
// the field is not tried.
func (p *Probe) plants(out *graph.Output, now any) []string {
	switch v := now.(type) {
	case bool:
		return []string{strconv.FormatBool(!v)}
	case json.Number:
		switch out.Meaning {
		case graph.MeansMoney, graph.MeansQuantity:
			return []string{"7", "1000007"}
		case graph.MeansOwner, graph.MeansTenant:
			return p.otherIDs(out, string(v))
		case graph.MeansID, graph.MeansDate, graph.MeansPage, graph.MeansPageSize:
			return nil
		}
		return []string{"7"}
	case string:
		switch out.Meaning {
		case graph.MeansRole:
			return p.rolesLike(v)
		case graph.MeansOwner, graph.MeansTenant:
			return p.otherIDs(out, v)
		case graph.MeansStatus:
			return otherStates(out.Values, v)
		}
	}
	return nil
}

// otherStates are states that a caller would like better than the one that is: those
// that the description lists, the last first, else the usual ones, written as that is.
func otherStates(listed []string, now string) []string {
	var out []string
	for _, v := range slices.Backward(listed) {
		if v != now && !reUndone.MatchString(v) && len(out) < 3 {
			out = append(out, jsonString(v))
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, v := range []string{"approved", "paid", "active", "completed"} {
		out = append(out, jsonString(styled(v, now)))
	}
	return out
}

// reUndone are states that nobody wants for what is theirs.
var reUndone = regexp.MustCompile(`(?i)cancel|reject|fail|delet|declin|denied|expired|void|error|draft|new|open|pending|created`)

// rePrefixed is a name of a constant whose first word is its kind: ROLE_USER, ACCOUNT_ACTIVE.
var rePrefixed = regexp.MustCompile(`^((?i:roles?|status|state|type|account|user|perm)[_:.-])(.+)$`)

// styled is a word written as another of its kind is: in its case, after its prefix.
func styled(word, like string) string {
	prefix, rest := "", like
	if m := rePrefixed.FindStringSubmatch(like); m != nil {
		prefix, rest = m[1], m[2]
	}
	switch {
	case rest == "":
	case rest == strings.ToUpper(rest) && rest != strings.ToLower(rest):
		word = strings.ToUpper(word)
	case rest[:1] == strings.ToUpper(rest[:1]) && rest[:1] != strings.ToLower(rest[:1]):
		word = strings.ToUpper(word[:1]) + word[1:]
	}
	return prefix + word
}

// otherIDs are identifiers of other people, as a field holds them.
func (p *Probe) otherIDs(out *graph.Output, now string) []string {
	var ids []string
	for _, a := range p.Attackers() {
		for _, f := range []string{"id", "tenant", "username", "email"} {
			v := a.Facts[f]
			if v == "" || v == now || (f == "tenant") != (out.Meaning == graph.MeansTenant) {
				continue
			}
			if strings.Trim(now, "0123456789") == "" && strings.Trim(v, "0123456789") == "" {
				ids = append(ids, v)
			} else if (strings.Contains(now, "@") == strings.Contains(v, "@")) && strings.Trim(now, "0123456789") != "" {
				ids = append(ids, jsonString(v))
			}
		}
	}
	return ids
}

func massAssignment(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Body == nil || op.Has(graph.Hazard) || op.Has(graph.Admin) || op.Has(graph.Login) || op.Has(graph.PasswordChange) || op.Reads() {
			return nil
		}
		switch {
		case op.Has(graph.Register):
			return nil
		case op.Kind == graph.Update || op.Method == http.MethodPatch:
			if err := p.assignsUpdate(ctx, op, user); err != nil {
				return err
			}
			if err := p.givesAway(ctx, op, user); err != nil {
				return err
			}
			return p.assignsSelf(ctx, op, user)
		case op.Kind == graph.Create:
			return p.assignsCreate(ctx, op, user)
		}
		return nil
	})
}

// field is a field of an answer that a request of an operation does not declare.
type field struct {
	out *graph.Output
	at  string // where the reading answer holds it
	now any
}

// undeclared are the fields of an answer that op's body does not take.
func (p *Probe) undeclared(op *graph.Op, reader *graph.Op, x *target.Exchange) []field {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	takes := map[string]bool{}
	for _, in := range op.Inputs {
		if in.In == "body" && !in.ReadOnly {
			takes[in.Pointer] = true
			if i := strings.LastIndexByte(in.Pointer, '/'); i > 0 {
				takes[in.Pointer[:i]] = true
			}
		}
	}
	known := map[string]*graph.Output{}
	for _, o := range reader.Outputs {
		known[o.Pointer] = o
	}
	var out []field
	scenario.Walk(body, func(at string, v any) {
		o := known[at]
		if o == nil || takes[at] || strings.Count(at, "/") > 2 || strings.Contains(at, "/0") || len(out) >= 20 {
			return
		}
		out = append(out, field{o, at, v})
	})
	return out
}

func (p *Probe) assignsUpdate(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	base, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	reader := p.readerOf(ctx, op, base, user)
	if reader == nil {
		p.Note(op, Skipped)
		return nil
	}
	before, err := p.send(ctx, reader)
	if err != nil || before.Status/100 != 2 {
		return err
	}
	fields := p.undeclared(op, reader.Op, before)
	p.Note(op, Clean)
	for _, f := range fields {
		for _, v := range p.plants(f.out, f.now) {
			if v == jsonOf(f.now) {
				continue
			}
			c := base.With("body."+f.at, v)
			if _, err := p.send(ctx, c); err != nil {
				return err
			}
			after, err := p.send(ctx, reader)
			if err != nil {
				return err
			}
			if !holdsAt(after, f.at, v) {
				continue
			}
			if _, err := p.send(ctx, base.With("body."+f.at, jsonOf(f.now))); err != nil { // what it was
				return err
			}
			if kept, err := p.keepsAnything(ctx, base, reader); err != nil || kept && !described(reader.Op, f.at) {
				return err
			}
			if done, err := p.assigned(ctx, op, base, c, reader, f, v); err != nil || done {
				return err
			}
		}
	}
	return nil
}

// keepsAnything: a field that nobody has ever heard of is kept as well and shown. A
// store of whatever callers like (settings, metadata) is no hole.
func (p *Probe) keepsAnything(ctx context.Context, base, reader *world.Call) (bool, error) {
	if _, err := p.send(ctx, base.With(memberOf(base.Op, "crenel_unheard_of"), `"crenel-kept"`)); err != nil {
		return false, err
	}
	x, err := p.send(ctx, reader)
	return err == nil && scenario.Holds(x, "crenel-kept"), err
}

// described reports whether a description of an operation's answers names a field.
func described(op *graph.Op, at string) bool {
	return declares(op, at) && !declares(op, at[:strings.LastIndexByte(at, '/')+1]+"crenel_unheard_of")
}

// readerOf is the user's read of what an update changes.
func (p *Probe) readerOf(ctx context.Context, op *graph.Op, c *world.Call, user *actor.Actor) *world.Call {
	for _, o := range c.Uses {
		if o.Resource == op.About {
			if r := p.World.Reader(o); r != nil && r.Op.Answered == "object" {
				return r
			}
		}
	}
	// The same path, or who-am-I for what is the caller's own.
	for _, other := range p.Graph.Ops {
		if other.Reads() && other.Answered == "object" && (other.Path == op.Path || strings.HasPrefix(op.Path, other.Path+"/") && len(op.PathParams) == 0) {
			if r, err := p.World.Call(ctx, other, user, nil); err == nil {
				for where, o := range c.Uses {
					if strings.HasPrefix(where, "path.") {
						r = r.On(where, c.Values[where], o)
					}
				}
				return r
			}
		}
	}
	return nil
}

func (p *Probe) assigned(ctx context.Context, op *graph.Op, base, with, reader *world.Call, f field, v string) (bool, error) {
	want := scenario.Plain(decoded(v))
	var s *subject
	for _, o := range base.Uses {
		if r, err := p.World.RecipeOf(o, "own"); err == nil && o.Resource == op.About {
			s = &subject{object: o, recipe: r}
		}
	}
	if s == nil && len(op.PathParams) == 0 && len(reader.Op.PathParams) == 0 && p.People.RegisterEntry() != nil && op.Secured {
		// Of the caller's own account, which may hold it by now for another reason: a new one is asked.
		return p.setsOwn(ctx, op, base, reader, nil, f.at, strings.TrimPrefix(f.at, "/"), v)
	}
	var l steps
	if s != nil {
		l.list = s.setup()
	}
	add := func(call *world.Call, id string, part scenario.Part, note string, e ...scenario.Expect) {
		st, err := p.step(s, call, id, part)
		st.Note, st.Expect = note, e
		l.add(st, err)
	}
	add(base, "plain", scenario.Control, "the call without the field", scenario.Expect{Status: "any"})
	if s != nil {
		add(reader, "before", scenario.Control, "the field holds something else", scenario.Expect{Status: "2xx", At: f.at, Differs: &want})
	}
	add(with, "attack", scenario.Attack, "the call with the field", scenario.Expect{Status: "any"})
	add(reader, "after", scenario.Observe, "the field holds what was sent", scenario.Expect{Status: "2xx", At: f.at, Equals: &want})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h := Hypothesis{
		Op: op, Where: "body." + f.at, Title: fmt.Sprintf("%s %s lets a user set %s", op.Method, op.Path, strings.TrimPrefix(f.at, "/")),
		Description: "The request's description does not have the field, and yet it was taken: the user reads back what was sent.",
		Scenario:    &scenario.Scenario{Name: "a field that is not for callers", Steps: l.list},
	}
	if err := p.signsOnly(ctx, &h, f.at[strings.LastIndexByte(f.at, '/')+1:], reader); err != nil {
		return false, err
	}
	return p.Prove(ctx, h)
}

func (p *Probe) assignsCreate(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	base, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	plain, err := p.send(ctx, base)
	if err != nil || plain.Status/100 != 2 {
		return err
	}
	p.Note(op, Clean)
	for _, f := range p.undeclared(op, op, plain) {
		for _, v := range p.plants(f.out, f.now) {
			if v == jsonOf(f.now) {
				continue
			}
			with := base.With("body."+f.at, v)
			x, err := p.send(ctx, with)
			if err != nil {
				return err
			}
			if x.Status/100 != 2 || !holdsAt(x, f.at, v) {
				continue
			}
			want := scenario.Plain(decoded(v))
			var l steps
			st, err := p.step(nil, base, "plain", scenario.Control)
			st.Note, st.Expect = "made without the field it holds something else", []scenario.Expect{{Status: "2xx", At: f.at, Differs: &want}}
			l.add(st, err)
			st, err = p.step(nil, with, "attack", scenario.Attack)
			st.Note, st.Expect = "made with it, it holds what was sent", []scenario.Expect{{Status: "2xx", At: f.at, Equals: &want}}
			l.add(st, err)
			if l.err != nil {
				continue
			}
			ok, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: "body." + f.at, Title: fmt.Sprintf("%s %s lets a user set %s", op.Method, op.Path, strings.TrimPrefix(f.at, "/")),
				Description: "The request's description does not have the field, and yet it was taken into the object that was made.",
				Scenario:    &scenario.Scenario{Name: "a field that is not for callers", Steps: l.list},
			})
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

func decoded(text string) any {
	v, _ := scenario.Decode([]byte(text))
	return v
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func holdsAt(x *target.Exchange, at, text string) bool {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return false
	}
	want := scenario.Plain(decoded(text))
	return slices.ContainsFunc(scenario.Find(body, at), func(v any) bool { return scenario.Plain(v) == want })
}
