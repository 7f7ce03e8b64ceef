package check

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "scope-ignored", Title: "A token does what its scopes do not allow",
	OWASP: "API5:2023", CWE: "CWE-863", WSTG: "WSTG-ATHZ-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Reads, with tokens that say which scopes they were given (those of the actors, and those that the API itself issues for the scopes asked), what the description asks another scope for.",
	Proof: "The operation answers the token that lacks its scope. Controls: no credential and a made-up one are refused, so it is the token that opens it.",
	Fix:   "Compare the token's scopes with what the operation asks for, in one place that every route passes (RFC 6750, section 3.1: insufficient_scope).",
	Mode:  Safe,
	Run: func(ctx context.Context, p *Probe) error {
		if err := p.scopesOfActors(ctx); err != nil {
			return err
		}
		return p.scopesAsked(ctx)
	},
})

// scopeClaims are the claims by which tokens say their scopes (RFC 8693, section
// 4.2; Entra ID, Auth0, Okta).
var scopeClaims = []string{"scope", "scp", "scopes", "permissions"}

// granted are the scopes that a token says it has; ok is false where it says nothing.
func granted(token string) (scopes []string, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, false
	}
	var claims map[string]any
	if json.Unmarshal(raw, &claims) != nil {
		return nil, false
	}
	for _, name := range scopeClaims {
		switch v := claims[name].(type) {
		case string:
			return strings.Fields(v), true
		case []any:
			for _, s := range v {
				if t, isText := s.(string); isText {
					scopes = append(scopes, t)
				}
			}
			return scopes, true
		}
	}
	return nil, false
}

// asks are the scopes that every way into an operation demands at least one of;
// nil where a way demands none.
func asks(op *graph.Op) [][]string {
	if op.Public || len(op.Security) == 0 {
		return nil
	}
	var out [][]string
	for _, alternative := range op.Security {
		var all []string
		for _, use := range alternative {
			all = append(all, use.Scopes...)
		}
		if len(all) == 0 {
			return nil
		}
		out = append(out, all)
	}
	return out
}

// lacks: the scopes meet none of the ways in. Scopes that imply others by their
// form ("admin", "orders:*", "orders" for "orders:read") are taken to.
func lacks(has []string, ways [][]string) bool {
	for _, way := range ways {
		if !slices.ContainsFunc(way, func(want string) bool {
			return !slices.ContainsFunc(has, func(h string) bool { return implies(h, want) })
		}) {
			return false
		}
	}
	return len(ways) > 0
}

var reBroad = regexp.MustCompile(`(?i)(^|[:./_-])(admin|all|full|root|super|owner|manage|\*)([:./_-]|$)`)

func implies(has, want string) bool {
	if strings.EqualFold(has, want) || reBroad.MatchString(has) {
		return true
	}
	word := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(":./_-", r) })
	}
	h, w := word(has), word(want)
	if len(h) < len(w) && slices.Equal(h, w[:len(h)]) {
		return true
	}
	// Writing implies reading the same.
	return len(h) == len(w) && len(h) > 1 && slices.Equal(h[:len(h)-1], w[:len(w)-1]) && slices.Contains([]string{"write", "edit", "update", "manage"}, h[len(h)-1]) && slices.Contains([]string{"read", "view", "list"}, w[len(w)-1])
}

// scopesOfActors tries the actors whose own tokens say their scopes.
func (p *Probe) scopesOfActors(ctx context.Context) error {
	for _, a := range p.People.All() {
		has, ok := granted(credential(a))
		if !ok {
			continue
		}
		for _, op := range p.Ops() {
			if op.Method != http.MethodGet || op.Has(graph.Hazard) || op.Has(graph.Logout) || !lacks(has, asks(op)) || p.open(op, "scope") {
				continue
			}
			c, err := p.World.Call(ctx, op, a, nil)
			if err != nil {
				continue
			}
			x, err := p.send(ctx, c)
			if err != nil {
				return err
			}
			if x.Status/100 != 2 {
				p.Note(op, Clean)
				continue
			}
			if err := p.scopeHypothesis(ctx, op, c, nil, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// scopeHypothesis: the call is answered although its token lacks the scope.
// before gets the token, where the run asks for one: in the variable "token".
func (p *Probe) scopeHypothesis(ctx context.Context, op *graph.Op, c *world.Call, before []scenario.Step, as string) error {
	l := steps{list: slices.Clone(before)}
	add := func(id string, part scenario.Part, note string, change func(st *scenario.Step), e ...scenario.Expect) {
		st, err := p.step(nil, c, id, part)
		if err == nil {
			if as != "" {
				st.As = as
			}
			st.Note, st.Expect = note, e
			change(&st)
		}
		l.add(st, err)
	}
	add("nobody", scenario.Control, "without credentials it is refused", func(st *scenario.Step) { st.As = actor.Nobody }, scenario.Expect{Status: "!2xx"})
	present := func(value string) func(st *scenario.Step) {
		return func(st *scenario.Step) {
			if k := keyOf(op); before != nil && k != "" {
				st.As = actor.Nobody
				st.Send.Header = append(st.Send.Header, scenario.Pair{Name: k, Value: value})
				return
			}
			st.Send.Credential = value
		}
	}
	attack := present("${token}")
	if before == nil {
		attack = func(*scenario.Step) {}
	}
	add("madeup", scenario.Control, "with a made-up credential as well", present("${canary.credential}"), scenario.Expect{Status: "!2xx"})
	add("attack", scenario.Attack, "a token without the scope that the description asks for is answered", attack, scenario.Expect{Status: "2xx"})
	if l.err != nil {
		p.Note(op, Inconclusive)
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err := p.Prove(ctx, Hypothesis{
		Op: op, Where: "scope", Title: fmt.Sprintf("%s %s answers tokens without its scope", op.Method, op.Path),
		Description: fmt.Sprintf("The description asks for %s; a token that says it has other scopes is answered.", strings.Join(asks(op)[0], " and ")),
		Scenario:    &scenario.Scenario{Name: "a token without the scope", Steps: l.list},
	})
	return err
}

// keyOf is the header that an operation takes a key in, "" where it takes a token as others do.
func keyOf(op *graph.Op) string {
	for _, way := range op.Security {
		for _, use := range way {
			if use.Scheme != nil && use.Scheme.Type == "apiKey" && use.Scheme.In == "header" && len(use.Scopes) > 0 {
				return use.Scheme.Key
			}
		}
	}
	return ""
}

var reScopeName = regexp.MustCompile(`(?i)^(scopes?|permissions?|access|grants?|abilities)$`)

// scopesAsked asks operations that issue tokens or keys for one scope alone.
func (p *Probe) scopesAsked(ctx context.Context) error {
	if p.Mode < Default {
		return nil
	}
	for _, issue := range p.Ops() {
		in, at := issues(issue)
		if in == nil {
			continue
		}
		call, base, err := p.working(ctx, issue)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 {
			continue
		}
		for _, op := range p.Ops() {
			ways := asks(op)
			if op.Method != http.MethodGet || len(ways) == 0 || op.Has(graph.Hazard) || p.open(op, "scope") {
				continue
			}
			narrow := p.otherScope(ways)
			if narrow == "" {
				continue
			}
			if err := p.askNarrow(ctx, call, in, at, op, narrow); err != nil {
				return err
			}
		}
	}
	return nil
}

// issues is the input that takes scopes of an operation that answers with a
// token, and where the token is.
func issues(op *graph.Op) (*graph.Input, string) {
	if op.Method != http.MethodPost || op.Has(graph.PasswordReset) {
		return nil, ""
	}
	at := ""
	for _, out := range op.Outputs {
		name := strings.ToLower(out.Name)
		if out.Pointer != "" && !strings.Contains(out.Pointer, "*") && (out.Type == "string" || out.Type == "") && (out.Meaning == graph.MeansToken && !strings.Contains(name, "refresh") || name == "key" || name == "api_key" || name == "apikey" || name == "secret") {
			at = out.Pointer
			break
		}
	}
	if at == "" {
		return nil, ""
	}
	for _, in := range op.Inputs {
		if in.In == "body" && reScopeName.MatchString(strings.TrimSuffix(in.Name, "[]")) || in.In == "body" && in.Listed && reScopeName.MatchString(lastName(in.Pointer)) {
			return in, at
		}
	}
	return nil, ""
}

// lastName is the last name of a pointer that is no list's element.
func lastName(pointer string) string {
	parts := strings.Split(pointer, "/")
	for _, name := range slices.Backward(parts) {
		if name != "*" && name != "" {
			return name
		}
	}
	return ""
}

// otherScope is a scope of the description that opens none of the ways.
func (p *Probe) otherScope(ways [][]string) string {
	var all []string
	for _, op := range p.Graph.Ops {
		for _, way := range asks(op) {
			all = append(all, way...)
		}
	}
	slices.Sort(all)
	for _, s := range slices.Compact(all) {
		if lacks([]string{s}, ways) {
			return s
		}
	}
	return ""
}

func (p *Probe) askNarrow(ctx context.Context, call *world.Call, in *graph.Input, at string, op *graph.Op, narrow string) error {
	user, name := p.Actor(actor.User), actor.Nobody
	if user != nil {
		name = user.Name
	} else if keyOf(op) == "" {
		return nil // there is no credential whose place the token could take
	}
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	text := jsonString(narrow)
	if in.Type == "array" {
		text = "[" + text + "]"
	}
	d := call.With(in.Where(), text)
	x, err := p.send(ctx, d)
	if err != nil {
		return err
	}
	if x.Status/100 != 2 || !saysNarrow(x.Body, at, narrow, asks(op)) {
		return nil // it does not say that it issues less: what the token opens is what the user may
	}
	bind := call.Renew("issue")
	bind[in.Where()] = text
	st, err := p.World.Step(call, bind)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	st.ID, st.Part, st.Note = "issue", scenario.Setup, "a token for the scope "+narrow+" alone"
	st.Expect = []scenario.Expect{{Status: "2xx"}}
	st.Save = []scenario.Save{{As: "token", At: at}}
	return p.scopeHypothesis(ctx, op, c, []scenario.Step{st}, name)
}

// saysNarrow: the answer says, in the token or beside it, that the token has the
// scope that was asked for and none that opens the ways.
func saysNarrow(body []byte, at, narrow string, ways [][]string) bool {
	v, ok := scenario.Decode(body)
	if !ok {
		return false
	}
	for _, token := range scenario.Find(v, at) {
		if has, ok := granted(scenario.Plain(token)); ok {
			return slices.Contains(has, narrow) && lacks(has, ways)
		}
	}
	var has []string
	scenario.Walk(v, func(pointer string, s any) {
		if text, isText := s.(string); isText && reScopeName.MatchString(lastName(strings.TrimRight(pointer, "0123456789"))) {
			has = append(has, strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })...)
		}
	})
	return slices.Contains(has, narrow) && lacks(has, ways)
}
