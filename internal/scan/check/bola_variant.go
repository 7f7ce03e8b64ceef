package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "bola-variant", Title: "Another user's object is open by another way of naming it",
		OWASP: "API1:2023", CWE: "CWE-639", WSTG: "WSTG-INPV-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Where another user is refused an object, names it twice (beside an own one), as a list or within an object, in another place of the request, in another spelling, in another media type, and with another method.",
		Proof: "The answer holds a text that the owner put into the object a moment before. Controls: the owner gets it; the plain call of the other user does not bring it; nobody without credentials, and an identifier of nothing named in the same way, do not.",
		Fix:   "Read each parameter once, in one place, as the type that is described; refuse what comes twice or in another type; let the query that reads the object ask whose it is.",
		Mode:  Default,
		Run:   bolaVariant,
	})
	_ = register(&Check{
		ID: "identity-header", Title: "Who is calling is taken from a header of the caller's",
		OWASP: "API1:2023", CWE: "CWE-290", WSTG: "WSTG-ATHZ-02", CVSS: vectorTakeover,
		About: "Sends another user's identifier, name and address in headers with which proxies tell servers who is calling.",
		Proof: "The answer is the other user's own. Controls: without the header it is the caller's (or none), and the header with an identifier of nobody does not bring it.",
		Fix:   "Take who is calling from the verified credential alone, and drop such headers where requests come in.",
		Mode:  Safe,
		Run:   identityHeader,
	})
)

// naming of one object: the texts that stand for it, as JSON (quoted or not).
type names struct {
	victim, own, absent string // own "": the attacker has none
}

// bare is a JSON text as it stands in a path or a query.
func bare(text string) string { return strings.Trim(text, `"`) }

// alias is another way of naming an object: it changes a step that is the
// attacker's plain call on what n.victim says.
type alias struct {
	what string
	do   func(st *scenario.Send, in *graph.Input, n names) bool // false: does not apply
	// posts: it goes by POST, and so only where that is nothing of its own.
	posts bool
}

// inPath puts another text in place of an object's in the path.
func inPath(s *scenario.Send, from, to string) bool {
	before := s.Path
	parts := strings.Split(s.Path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == bare(from) {
			parts[i] = to
			s.Path = strings.Join(parts, "/")
			break
		}
	}
	return s.Path != before
}

// inQuery puts others in place of a query's pair.
func inQuery(s *scenario.Send, in *graph.Input, pairs ...scenario.Pair) bool {
	i := slices.IndexFunc(s.Query, func(p scenario.Pair) bool { return p.Name == in.Name })
	if in.In != "query" || i < 0 {
		return false
	}
	s.Query = slices.Replace(slices.Clone(s.Query), i, i+1, pairs...)
	return true
}

// inBody puts another text in place of a member's value.
func inBody(s *scenario.Send, in *graph.Input, from, to string) bool {
	key := jsonString(in.Name) + ":"
	for _, form := range []string{key + from, key + " " + from} {
		if in.In == "body" && strings.Count(s.Body, form) == 1 {
			s.Body = strings.Replace(s.Body, form, to, 1)
			return true
		}
	}
	return false
}

func kv(name, value string) scenario.Pair { return scenario.Pair{Name: name, Value: value} }

// ways are those that are tried, for an input of a path, a query or a body.
var ways = []alias{
	{"twice in the query, an own one first", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inQuery(s, in, kv(in.Name, bare(n.own)), kv(in.Name, bare(n.victim)))
	}, false},
	{"twice in the query, an own one last", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inQuery(s, in, kv(in.Name, bare(n.victim)), kv(in.Name, bare(n.own)))
	}, false},
	{"as a list in the query", func(s *scenario.Send, in *graph.Input, n names) bool {
		return inQuery(s, in, kv(in.Name+"[]", bare(n.victim)))
	}, false},
	{"after an own one and a comma", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inQuery(s, in, kv(in.Name, bare(n.own)+","+bare(n.victim)))
	}, false},
	{"in the query, an own one in the path", func(s *scenario.Send, in *graph.Input, n names) bool {
		if in.In != "path" || n.own == "" || !inPath(s, n.victim, bare(n.own)) {
			return false
		}
		s.Query = append(slices.Clone(s.Query), kv(in.Name, bare(n.victim)))
		if in.Name != "id" {
			s.Query = append(s.Query, kv("id", bare(n.victim)))
		}
		return true
	}, false},
	{"in the body, an own one in the path", func(s *scenario.Send, in *graph.Input, n names) bool {
		if in.In != "path" || n.own == "" || s.Body != "" || s.Base64 != "" || !inPath(s, n.victim, bare(n.own)) {
			return false
		}
		s.Body = "{" + jsonString(in.Name) + ":" + n.victim
		if in.Name != "id" {
			s.Body += `,"id":` + n.victim
		}
		s.Body, s.Type = s.Body+"}", "application/json"
		return true
	}, false},
	{"with a suffix", func(s *scenario.Send, in *graph.Input, n names) bool {
		return in.In == "path" && inPath(s, n.victim, bare(n.victim)+".json")
	}, false},
	{"with a slash at the end", func(s *scenario.Send, in *graph.Input, n names) bool {
		if in.In != "path" || strings.HasSuffix(s.Path, "/") {
			return false
		}
		s.Path += "/"
		return true
	}, false},
	{"with a zero before it", func(s *scenario.Send, in *graph.Input, n names) bool {
		return in.In == "path" && !strings.HasPrefix(n.victim, `"`) && inPath(s, n.victim, "0"+n.victim)
	}, false},
	{"with a space behind it", func(s *scenario.Send, in *graph.Input, n names) bool {
		return in.In == "path" && inPath(s, n.victim, bare(n.victim)+"%20")
	}, false},
	{"by POST", func(s *scenario.Send, in *graph.Input, _ names) bool {
		if s.Method != http.MethodGet || in.In != "path" {
			return false
		}
		s.Method = http.MethodPost
		return true
	}, true},
	{"twice in the body, an own one first", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inBody(s, in, n.victim, jsonString(in.Name)+":"+n.own+","+jsonString(in.Name)+":"+n.victim)
	}, false},
	{"twice in the body, an own one last", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inBody(s, in, n.victim, jsonString(in.Name)+":"+n.victim+","+jsonString(in.Name)+":"+n.own)
	}, false},
	{"as a list in the body", func(s *scenario.Send, in *graph.Input, n names) bool {
		return inBody(s, in, n.victim, jsonString(in.Name)+":["+n.victim+"]")
	}, false},
	{"behind an own one in a list", func(s *scenario.Send, in *graph.Input, n names) bool {
		return n.own != "" && inBody(s, in, n.victim, jsonString(in.Name)+":["+n.own+","+n.victim+"]")
	}, false},
	{"within an object in the body", func(s *scenario.Send, in *graph.Input, n names) bool {
		return inBody(s, in, n.victim, jsonString(in.Name)+`:{"id":`+n.victim+","+jsonString(in.Name)+":"+n.victim+"}")
	}, false},
	{"as a text in place of a number", func(s *scenario.Send, in *graph.Input, n names) bool {
		return !strings.HasPrefix(n.victim, `"`) && inBody(s, in, n.victim, jsonString(in.Name)+`:"`+n.victim+`"`)
	}, false},
	{"in the query, an own one in the body", func(s *scenario.Send, in *graph.Input, n names) bool {
		if n.own == "" || !inBody(s, in, n.victim, jsonString(in.Name)+":"+n.own) {
			return false
		}
		s.Query = append(slices.Clone(s.Query), kv(in.Name, bare(n.victim)))
		return true
	}, false},
	{"as a form in place of JSON", func(s *scenario.Send, in *graph.Input, _ names) bool {
		v, ok := scenario.Decode([]byte(s.Body))
		m, flat := v.(map[string]any)
		if in.In != "body" || !ok || !flat || !strings.Contains(s.Type, "json") {
			return false
		}
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			switch m[k].(type) {
			case map[string]any, []any, nil:
				continue
			}
			text := scenario.Plain(m[k])
			if !strings.Contains(text, "${") {
				text = url.QueryEscape(text)
			}
			pairs = append(pairs, url.QueryEscape(k)+"="+text)
		}
		s.Body, s.Type = strings.Join(pairs, "&"), "application/x-www-form-urlencoded"
		return true
	}, false},
}

const variantBudget = 700 // requests of bola-variant's probes

func bolaVariant(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	var left atomic.Int64
	left.Store(variantBudget)
	if err := p.writeVariants(ctx, &left); err != nil {
		return err
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.reads(op) {
			return nil
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || in.Listed || in.In != "path" && in.In != "query" && in.In != "body" {
				continue
			}
			for _, s := range p.subjects(r, user, 1) {
				if s.recipe == nil || len(s.marks) == 0 || left.Load() <= 0 {
					continue
				}
				if err := p.variants(ctx, op, in, s, p.Attackers()[0], &left); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// variants tries the ways of naming a subject in one input of an operation.
func (p *Probe) variants(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, other *actor.Actor, left *atomic.Int64) error {
	own, err := p.on(ctx, op, p.Actor(actor.User), in, s.object)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	mine, err := p.send(ctx, own)
	if err != nil || mine.Status/100 != 2 || !p.anyHeld(mine, s) {
		return err
	}
	foreign := own.By(other)
	theirs, err := p.send(ctx, foreign)
	if err != nil || p.anyHeld(theirs, s) {
		return err // what is open plainly is another check's
	}
	v, err := p.Private(ctx, p.subjectOf(op, s))
	if err != nil || !v.Private() {
		return err
	}
	n := names{victim: own.Values[in.Where()], absent: jsonID(in, absent(s.object.ID))}
	beside := p.owned(ctx, s.object.Resource, other)
	if beside != nil {
		n.own = idFor(in, beside)
	}
	plain, err := p.step(nil, foreign, "probe", scenario.Attack)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	p.Note(op, Clean)
	for i := range ways {
		w := &ways[i]
		if w.posts && p.described(http.MethodPost, op.Path) {
			continue
		}
		st, ok := w.change(plain, in, n)
		if !ok || left.Add(-1) < 0 {
			continue
		}
		out, err := p.attempt(ctx, &scenario.Scenario{Name: "a way to name an object", Steps: []scenario.Step{st}}, false)
		if err != nil {
			return err
		}
		r := out.Of("probe")
		if r == nil || r.Last() == nil || r.Last().Status/100 != 2 || !p.anyHeld(r.Last(), s) {
			continue
		}
		if done, err := p.variantHypothesis(ctx, op, in, s, own, foreign, mine, beside, w); err != nil || done {
			return err
		}
	}
	return nil
}

// described reports whether the description has an operation.
func (p *Probe) described(method, path string) bool {
	return slices.ContainsFunc(p.Graph.At(path), func(op *graph.Op) bool { return op.Method == method })
}

// change is a step changed by a way.
func (w *alias) change(st scenario.Step, in *graph.Input, n names) (scenario.Step, bool) {
	send := *st.Send
	send.Query, send.Header = slices.Clone(send.Query), slices.Clone(send.Header)
	if send.RawQ != "" || !w.do(&send, in, n) {
		return st, false
	}
	st.Send = &send
	return st, true
}

func (p *Probe) variantHypothesis(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, own, foreign *world.Call, mine *target.Exchange, beside *world.Object, w *alias) (bool, error) {
	l := steps{list: s.setup()}
	n := names{victim: s.recipe.Text(s.object, own.Values[in.Where()]), absent: jsonID(in, absent(s.object.ID))}
	if n.victim == "" {
		return false, nil
	}
	if beside != nil {
		n.own = idFor(in, beside)
		if r, err := p.World.RecipeOf(beside, "beside"); err == nil {
			if text := r.Text(beside, n.own); text != "" {
				l.list, n.own = append(l.list, r.Steps...), text
			}
		}
	}
	marks := p.shown(mine, s)
	add := func(call *world.Call, id string, part scenario.Part, note string, by *names, e scenario.Expect) {
		st, err := p.step(s, call, id, part)
		if err == nil && by != nil {
			if by.absent != "" { // what nothing is called by, in the same way
				st, err = p.step(nil, call.With(in.Where(), by.absent), id, part)
				by = &names{victim: by.absent, own: by.own}
			}
			var ok bool
			if st, ok = w.change(st, in, *by); !ok {
				err = fmt.Errorf("%s %s: the way does not fit", op.Method, op.Path)
			}
		}
		st.Note, st.Expect = note, []scenario.Expect{e}
		l.add(st, err)
	}
	named := names{victim: n.victim, own: n.own}
	add(own, "own", scenario.Control, "the owner reads it", nil, scenario.Expect{Status: "2xx", Contains: marks})
	add(foreign, "plain", scenario.Control, foreign.As.Name+", another user, does not", nil, scenario.Expect{Lacks: marks})
	add(foreign.By(nil), "nobody", scenario.Control, "nobody without credentials does, "+w.what, &named, scenario.Expect{Lacks: marks})
	add(foreign, "absent", scenario.Control, "an identifier of nothing, "+w.what, &n, scenario.Expect{Lacks: marks})
	add(foreign, "attack", scenario.Attack, foreign.As.Name+" reads it: it is named "+w.what, &named, scenario.Expect{Status: "2xx", Contains: marks})
	if l.err != nil || len(marks) == 0 {
		p.Note(op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	what := strings.ReplaceAll(s.object.Resource.Name, "_", " ")
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: in.Where(),
		Title:       fmt.Sprintf("%s %s shows another user's %s when it is named %s", op.Method, op.Path, what, w.what),
		Description: fmt.Sprintf("A user who does not own the %s is refused it, and gets it when it is named %s (%s).", what, w.what, in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s by another way of naming", op.Method, op.Path), Steps: l.list},
	})
}

// identityHeaders are what proxies and gateways tell servers in, by fact.
var identityHeaders = map[string][]string{
	"id":       {"X-User-Id", "X-UserId", "X-User", "X-Account-Id", "X-Customer-Id", "X-Member-Id", "X-Auth-User-Id", "X-Authenticated-Userid", "X-Consumer-Custom-Id"},
	"username": {"X-User", "X-Username", "X-User-Name", "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Authenticated-User", "X-Auth-User", "X-WEBAUTH-USER"},
	"email":    {"X-User-Email", "X-Email", "X-Forwarded-Email", "X-Auth-Request-Email", "X-Goog-Authenticated-User-Email", "Cf-Access-Authenticated-User-Email"},
}

func identityHeader(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	callers := append(slices.Clone(p.Attackers()), nil)
	for _, caller := range callers {
		plain, err := p.World.Request(w.call.By(caller))
		if err != nil {
			return nil //nolint:nilerr // what cannot be written cannot be sent
		}
		without, err := p.Do(ctx, caller, plain.Clone())
		if err != nil {
			return err
		}
		if scenario.Alike(w.last, without) {
			continue // all get the same: nothing would show
		}
		for _, fact := range []string{"id", "username", "email"} {
			value := user.Facts[fact]
			if value == "" || strings.ContainsAny(value, "\r\n") {
				continue
			}
			q := plain.Clone()
			for _, h := range identityHeaders[fact] {
				q.Set(h, value)
			}
			x, err := p.Do(ctx, caller, q)
			if err != nil {
				return err
			}
			p.Note(w.call.Op, Clean)
			if !scenario.Alike(w.last, x) {
				continue
			}
			for _, h := range identityHeaders[fact] {
				if done, err := p.headerHypothesis(ctx, w, caller, h, fact, value); err != nil || done {
					return err
				}
			}
		}
	}
	return nil
}

func (p *Probe) headerHypothesis(ctx context.Context, w *witness, caller *actor.Actor, header, fact, value string) (bool, error) {
	name, who := actor.Nobody, "somebody without credentials"
	if caller != nil {
		name, who = caller.Name, caller.Name+", another user,"
	}
	var l steps
	add := func(id string, part scenario.Part, as, note, value string, e scenario.Expect) {
		st, err := p.look(w, id, part, as, note, e)
		if err == nil && value != "" {
			st.Send.Header = append(st.Send.Header, kv(header, value))
		}
		l.add(st, err)
	}
	void := "${canary.void}"
	if strings.Trim(value, "0123456789") == "" {
		void = absent(value)
	}
	add("own", scenario.Control, actor.User, "the user gets the user's own", "", scenario.Expect{Status: "2xx"})
	add("plain", scenario.Control, name, who+" does not", "", scenario.Expect{Unlike: "own"})
	add("void", scenario.Control, name, "nor does the header with an identifier of nobody bring it", void, scenario.Expect{Unlike: "own"})
	add("attack", scenario.Attack, name, who+" gets it with the user's "+fact+" in "+header, "${user."+fact+"}", scenario.Expect{Status: "2xx", Like: "own"})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Where: "header." + header, Title: fmt.Sprintf("Who is calling is taken from %s", header),
		Description: fmt.Sprintf("With the %s of a user in %s, %s is answered %s %s as that user.", fact, header, strings.TrimSuffix(who, ","), w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "another user by a header", Steps: l.list},
	})
}
