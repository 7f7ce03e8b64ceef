package pdp

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/value"
)

// evaluation is AuthZEN's answer to one question (Authorization API 1.0, section
// "Access Evaluation Response").
type evaluation struct {
	Decision bool           `json:"decision"`
	Context  map[string]any `json:"context,omitempty"`
}

// What of several evaluations ends the rest (section "Evaluations semantics").
const (
	executeAll    = "execute_all"
	untilDeny     = "deny_on_first_deny"
	untilPermit   = "permit_on_first_permit"
	wellKnown     = "/.well-known/authzen-configuration"
	pathOne       = "/access/v1/evaluation"
	pathSeveral   = "/access/v1/evaluations"
	pathSearch    = "/access/v1/search/"
	searchSubject = "subject"
	searchAction  = "action"
	searchThing   = "resource"
)

// tuple is who wants to do what with what, and the circumstances.
type tuple struct{ subject, action, resource, context *value.Value }

func readTuple(v *value.Value) tuple {
	return tuple{member(v, "subject"), member(v, "action"), member(v, "resource"), member(v, "context")}
}

// or fills what t lacks from others: the top level's values are the defaults of
// each evaluation.
func (t tuple) or(d tuple) tuple {
	for _, p := range []struct{ have, want **value.Value }{{&t.subject, &d.subject}, {&t.action, &d.action}, {&t.resource, &d.resource}, {&t.context, &d.context}} {
		if *p.have == nil {
			*p.have = *p.want
		}
	}
	return t
}

// text is a member that must be there and a string that says something.
func text(v *value.Value, what, name string) (string, *failure) {
	m := member(v, name)
	if m == nil || m.Kind != value.String || m.Text == "" {
		return "", fail("decision.request", "%s.%s must be a text", what, name)
	}
	return m.Text, nil
}

// check holds a tuple to the information model. without is the part that a search
// looks for, of which less is known.
func (t *tuple) check(without string) *failure {
	for _, p := range []struct {
		what  string
		v     *value.Value
		names []string
	}{{"subject", t.subject, []string{"type", "id"}}, {"resource", t.resource, []string{"type", "id"}}, {"action", t.action, []string{"name"}}} {
		names := p.names
		if p.what == without {
			if without == searchAction {
				continue
			}
			names = names[:1]
		}
		if p.v == nil || p.v.Kind != value.Object {
			return fail("decision.request", "%s must be an object", p.what)
		}
		for _, n := range names {
			if _, f := text(p.v, p.what, n); f != nil {
				return f
			}
		}
		if props := member(p.v, "properties"); props != nil && props.Kind != value.Object {
			return fail("decision.request", "%s.properties must be an object", p.what)
		}
	}
	if t.context != nil && t.context.Kind != value.Object {
		return fail("decision.request", "context must be an object")
	}
	return nil
}

// authzen answers /access/v1/….
func (q *question) authzen(ctx context.Context) (*answer, *failure) {
	if !q.client.AuthZEN {
		return nil, fail("decision.forbidden", "the key's holder may not ask for decisions here")
	}
	if q.r.Method != http.MethodPost {
		return nil, fail("decision.request", "ask with POST")
	}
	body, f := q.body()
	if f != nil {
		return nil, f
	}
	if body == nil || body.Kind != value.Object {
		return nil, fail("decision.request", "the body must be an object")
	}
	switch {
	case q.path == pathOne:
		return q.one(ctx, readTuple(body))
	case q.path == pathSeveral:
		return q.several(ctx, body)
	case q.path == pathSearch+searchSubject, q.path == pathSearch+searchThing, q.path == pathSearch+searchAction:
		return q.search(ctx, body, q.path[len(pathSearch):])
	}
	return nil, fail("decision.not_found", "there is nothing at this path")
}

func (q *question) one(ctx context.Context, t tuple) (*answer, *failure) {
	if f := t.check(""); f != nil {
		return nil, f
	}
	e, err := q.judge(ctx, t)
	if err != nil {
		return nil, q.evaluationFailed(err)
	}
	return &answer{body: e}, nil
}

// several answers evaluations, in their order. One that is not well formed or
// fails is a denial of its own; what is wrong with the question as a whole fails it.
func (q *question) several(ctx context.Context, body *value.Value) (*answer, *failure) {
	defaults := readTuple(body)
	list := member(body, "evaluations")
	if list == nil || list.Kind == value.Array && len(list.Kids) == 0 {
		return q.one(ctx, defaults) // it is then a question like any other
	}
	if list.Kind != value.Array {
		return nil, fail("decision.request", "evaluations must be an array")
	}
	if len(list.Kids) > q.h.cfg.Batch {
		return nil, fail("decision.too_large", "at most %d evaluations are answered at once", q.h.cfg.Batch)
	}
	semantic, f := readSemantic(body)
	if f != nil {
		return nil, f
	}
	out := make([]*evaluation, 0, len(list.Kids))
	for i := range list.Kids {
		one := &list.Kids[i]
		e := &evaluation{}
		if one.Kind != value.Object {
			e.Context = errorContext(http.StatusBadRequest, "an evaluation must be an object")
		} else {
			t := readTuple(one).or(defaults)
			if f := t.check(""); f != nil {
				e.Context = errorContext(http.StatusBadRequest, f.message)
			} else if e, _ = q.judge(ctx, t); e == nil {
				e = &evaluation{Context: errorContext(http.StatusInternalServerError, "the evaluation failed")}
			}
		}
		if e.Context["error"] != nil && len(q.rulings) <= i {
			q.ruled(false, "decision.request", "not well formed", 0, nil)
		}
		out = append(out, e)
		if semantic == untilDeny && !e.Decision || semantic == untilPermit && e.Decision {
			break
		}
	}
	return &answer{body: map[string]any{"evaluations": out}}, nil
}

func errorContext(status int, message string) map[string]any {
	return map[string]any{"error": map[string]any{"status": status, "message": message}}
}

func readSemantic(body *value.Value) (string, *failure) {
	options := member(body, "options")
	if options == nil {
		return executeAll, nil
	}
	if options.Kind != value.Object {
		return "", fail("decision.request", "options must be an object")
	}
	s := member(options, "evaluations_semantic")
	if s == nil {
		return executeAll, nil
	}
	switch s.Text {
	case executeAll, untilDeny, untilPermit:
		if s.Kind == value.String {
			return s.Text, nil
		}
	}
	return "", fail("decision.request", "options.evaluations_semantic is one of %s, %s and %s", executeAll, untilDeny, untilPermit)
}

// judge asks the rule that decides. Undefined is no.
func (q *question) judge(ctx context.Context, t tuple) (*evaluation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := exchange.Exchange{ID: q.x.ID, Start: q.begin, API: q.api, Endpoint: "decision_point", Identity: q.x.Identity}
	if n := len(q.rulings); n > 0 {
		x.ID = newID() // of several each is a decision of its own
	}
	j, err := q.guard.Judge(ctx, &x, q.inputOf(t))
	detail := map[string]any{"decision_id": x.ID}
	for name, p := range map[string]*value.Value{"subject": t.subject, "action": t.action, "resource": t.resource} {
		if p != nil {
			detail[name] = short(p)
		}
	}
	if err != nil {
		var took time.Duration
		if j != nil {
			took = j.Took
		}
		q.ruled(false, "decision.failed", err.Error(), took, detail)
		return nil, err
	}
	detail["revisions"] = j.Policy.Revisions()
	q.ruled(j.Allow, j.Code, j.Reason, j.Took, detail)
	e := &evaluation{Decision: j.Allow, Context: map[string]any{"id": x.ID}}
	if j.Obligations != nil && (j.Allow || j.StepUp) {
		e.Context["obligations"] = j.Obligations
	}
	if q.client.Explain && j.Reason != "" {
		e.Context["reason_admin"] = map[string]any{"en": j.Reason}
	}
	return e, nil
}

// short is what of an entity is recorded: what names it, none of its properties.
func short(v *value.Value) string {
	if n := member(v, "name"); n != nil {
		return clip(n.Text)
	}
	out := ""
	if t := member(v, "type"); t != nil {
		out = clip(t.Text)
	}
	if id := member(v, "id"); id != nil {
		out += ":" + clip(id.Text)
	}
	return out
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "") }

// inputOf is a tuple as policies see calls: docs/decision-point.md has the table.
func (q *question) inputOf(t tuple) ast.Value {
	props := func(v *value.Value) *value.Value {
		if v == nil {
			return nil
		}
		return member(v, "properties")
	}
	var in, identity, raw [][2]*ast.Term
	set := func(list *[][2]*ast.Term, name string, v ast.Value) {
		*list = append(*list, [2]*ast.Term{ast.StringTerm(name), ast.NewTerm(v)})
	}
	string_ := func(v *value.Value, name string) (ast.Value, bool) {
		if v == nil {
			return nil, false
		}
		m := member(v, name)
		if m == nil || m.Kind != value.String || m.Text == "" {
			return nil, false
		}
		return ast.String(m.Text), true
	}
	p := props(t.subject)
	set(&identity, "anonymous", ast.Boolean(t.subject == nil))
	set(&identity, "verified", ast.Boolean(t.subject != nil))
	set(&identity, "method", ast.String("authzen"))
	set(&identity, "client_id", ast.String(q.client.Subject))
	for from, to := range map[string]string{"id": "subject", "type": "type"} {
		if s, ok := string_(t.subject, from); ok {
			set(&identity, to, s)
		}
	}
	if s, ok := string_(p, "tenant"); ok {
		set(&identity, "tenant", s)
	}
	for _, name := range []string{"roles", "scopes"} {
		set(&identity, name, textsOf(p, name))
	}
	set(&identity, "schemes", ast.NewArray())
	claims := ast.Value(ast.NewObject())
	if p != nil {
		claims = authz.Input(p)
	}
	set(&identity, "claims", claims)
	set(&in, "identity", ast.NewObject(identity...))
	set(&in, "operation", q.operationOf(t.action))
	if t.resource != nil {
		var object [][2]*ast.Term
		for from, to := range map[string]string{"type": "resource", "id": "id"} {
			if s, ok := string_(t.resource, from); ok {
				set(&object, to, s)
			}
		}
		if p := props(t.resource); p != nil {
			set(&object, "properties", authz.Input(p))
		}
		set(&in, "object", ast.NewObject(object...))
		set(&in, "objects", ast.NewArray(ast.NewTerm(ast.NewObject(object...))))
	} else {
		set(&in, "objects", ast.NewArray())
	}
	empty := ast.NewTerm(ast.NewObject())
	set(&in, "params", ast.NewObject([2]*ast.Term{ast.StringTerm("path"), empty}, [2]*ast.Term{ast.StringTerm("query"), empty},
		[2]*ast.Term{ast.StringTerm("header"), empty}, [2]*ast.Term{ast.StringTerm("cookie"), empty}))
	set(&in, "context", ast.NewObject(
		[2]*ast.Term{ast.StringTerm("api"), ast.StringTerm(q.api)},
		[2]*ast.Term{ast.StringTerm("request_id"), ast.StringTerm(q.x.ID)},
		[2]*ast.Term{ast.StringTerm("time"), ast.StringTerm(q.begin.UTC().Format(time.RFC3339))},
	))
	for name, v := range map[string]*value.Value{"subject": t.subject, "action": t.action, "resource": t.resource, "context": t.context} {
		if v != nil {
			set(&raw, name, authz.Input(v))
		}
	}
	set(&in, "authzen", ast.NewObject(raw...))
	return ast.NewObject(in...)
}

// textsOf is a list of texts among properties; what is something else counts as none.
func textsOf(props *value.Value, name string) ast.Value {
	var out []*ast.Term
	if props != nil {
		if m := member(props, name); m != nil && m.Kind == value.Array {
			for i := range m.Kids {
				if m.Kids[i].Kind == value.String {
					out = append(out, ast.StringTerm(m.Kids[i].Text))
				}
			}
		}
	}
	return ast.NewArray(out...)
}

// operationOf is the operation that an action names by its id, or one of which
// only the name is known.
func (q *question) operationOf(action *value.Value) ast.Value {
	if action == nil {
		return ast.NewObject()
	}
	name := member(action, "name").Text
	if t := q.guard.OperationValue(name); t != nil {
		return t.Value
	}
	members := [][2]*ast.Term{
		{ast.StringTerm("id"), ast.StringTerm(name)},
		{ast.StringTerm("tags"), ast.NewTerm(ast.NewArray())},
		{ast.StringTerm("extensions"), ast.NewTerm(ast.NewObject())},
	}
	if p := member(action, "properties"); p != nil {
		if m := member(p, "method"); m != nil && m.Kind == value.String {
			members = append(members, [2]*ast.Term{ast.StringTerm("method"), ast.StringTerm(m.Text)})
		}
	}
	return ast.NewObject(members...)
}
