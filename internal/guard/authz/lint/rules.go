package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
)

// decides are names under which rules allow.
var decides = map[string]bool{"decision": true, "allow": true, "allowed": true, "authorized": true, "permit": true, "filter": true, "include": true}

// denies are beginnings of names under which rules refuse.
var denies = []string{"deny", "denied", "block", "refus", "forbid", "violation"}

// name is the last name of a rule: decision of data.crenel.authz.decision.
func name(r *ast.Rule) string {
	ref := r.Head.Ref()
	for i := len(ref) - 1; i >= 0; i-- {
		switch v := ref[i].Value.(type) {
		case ast.String:
			return string(v)
		case ast.Var:
			return string(v)
		}
	}
	return ""
}

// allows reports whether a rule says yes when it holds, and is a plain yes.
func allows(r *ast.Rule) bool {
	if r.Head.Value == nil || r.Head.Key != nil {
		return false
	}
	switch v := r.Head.Value.Value.(type) {
	case ast.Boolean:
		return bool(v)
	case ast.Object:
		t := v.Get(ast.StringTerm("allow"))
		return t != nil && t.Value.Compare(ast.Boolean(true)) == 0
	}
	return false
}

// unconditional reports a body that a person did not write, or that says only true.
func unconditional(b ast.Body) bool {
	for _, e := range b {
		t, ok := e.Terms.(*ast.Term)
		if !ok || e.Negated || t.Value.Compare(ast.Boolean(true)) != 0 {
			return false
		}
	}
	return true
}

// rules looks at what rules say and what they lean on.
func (l *linter) rules() {
	query := l.o.Config.Query
	if query == "" {
		query = "data.crenel.authz.decision"
	}
	deciding := l.deciding(query)
	if len(deciding) == 0 && query == "data.crenel.authz.decision" {
		deciding = l.deciding("data.crenel.authz.allow")
	}
	asked := append([]*ast.Rule{}, deciding...)
	for i := range l.o.Config.Filters {
		f := &l.o.Config.Filters[i]
		for _, rule := range []string{f.Rule, f.Masks} {
			if rule != "" {
				asked = append(asked, l.deciding(rule)...)
			}
		}
	}
	reached := authz.Reached(l.compiler, asked...)
	hasDefault, conditions := false, 0
	for _, r := range deciding {
		hasDefault = hasDefault || r.Default
		if !r.Default && allows(r) && !unconditional(r.Body) {
			conditions++
		}
		if r.Default || r.Else != nil {
			continue
		}
		// decision := {…} if … with a value for every call needs no default.
		if unconditional(l.written(r).Body) {
			hasDefault = true
		}
	}
	for _, r := range deciding {
		if !r.Default && allows(r) && unconditional(r.Body) && l.inUser(r) {
			l.add("policy.always_allows", r.Location, "%s is true without a condition", name(r))
		}
	}
	if len(deciding) > 0 && !hasDefault && l.inUser(deciding[0]) {
		l.add("policy.no_default", deciding[0].Location, "%s has no default", name(deciding[0]))
	}
	l.contradictions()
	for _, m := range l.compiler.Modules {
		for _, r := range m.Rules {
			if !l.inUser(r) {
				continue
			}
			l.rule(r)
			if !reached[r] && len(asked) > 0 {
				l.unreached(r)
			}
		}
	}
}

// written is a rule as it stands in its file: the compiler moves what a head says
// into the body.
func (l *linter) written(r *ast.Rule) *ast.Rule {
	for _, m := range l.modules {
		for _, w := range m.Rules {
			if r.Location != nil && w.Location != nil && w.Location.File == r.Location.File && w.Location.Row == r.Location.Row && w.Location.Col == r.Location.Col {
				return w
			}
		}
	}
	return r
}

func (l *linter) deciding(query string) []*ast.Rule {
	ref, err := ast.ParseRef(query)
	if err != nil {
		return nil
	}
	return l.compiler.GetRulesWithPrefix(ref)
}

func (l *linter) unreached(r *ast.Rule) {
	if r.Default {
		return
	}
	for _, d := range denies {
		if strings.HasPrefix(name(r), d) {
			l.add("policy.deny_ignored", r.Location, "%s is never asked", name(r))
			return
		}
	}
	l.add("policy.unreachable", r.Location, "%s is never asked", name(r))
}

// rule looks at one rule.
func (l *linter) rule(r *ast.Rule) {
	if r.Default {
		if decides[name(r)] && allows(r) {
			l.add("policy.default_allow", r.Location, "%s is true by default", name(r))
		}
		return
	}
	if !decides[name(r)] || !allows(r) || unconditional(r.Body) {
		return
	}
	negated := true
	for _, e := range r.Body {
		if t, ok := e.Terms.(*ast.Term); ok && !e.Negated && t.IsGround() && t.Value.Compare(ast.Boolean(true)) == 0 {
			continue
		}
		negated = negated && e.Negated
	}
	if negated {
		l.add("policy.only_negated", r.Location, "%s holds whenever something does not", name(r))
	}
	if field := l.claimed(r); field != "" {
		l.add("policy.unverified", r.Location, "%s leans on input.identity.%s, and nothing asks whether it was verified", name(r), field)
	}
}

// claimed names a field of the identity that a rule leans on though nothing that it
// comes to looks whether the proof was verified.
func (l *linter) claimed(r *ast.Rule) string {
	field, verified := "", false
	for on := range authz.Reached(l.compiler, r) {
		ast.WalkRefs(on, func(ref ast.Ref) bool {
			if len(ref) < 2 || !ref[0].Equal(ast.InputRootDocument) || ref[1].Value.Compare(ast.String("identity")) != 0 {
				return false
			}
			if len(ref) == 2 {
				verified = true // handed on whole: who knows
				return false
			}
			switch s, _ := ref[2].Value.(ast.String); s {
			case "verified", "anonymous":
				verified = true
			case "subject", "roles", "scopes", "tenant", "claims", "client_id":
				if field == "" || string(s) < field {
					field = string(s)
				}
			}
			return false
		})
	}
	if verified {
		return ""
	}
	return field
}

// random are functions of which the next result cannot be foreseen.
var random = map[string]bool{"rand.intn": true, "uuid.rfc4122": true}

var patterns = map[string]int{"regex.match": 0, "re_match": 0}

// calls looks at functions that are called, and at comparisons with the raw path.
func (l *linter) calls() {
	for _, m := range l.modules {
		see := func(at *ast.Location, terms []*ast.Term) {
			fn := terms[0].Value.String()
			if random[fn] {
				l.add("policy.nondeterministic", at, "%s gives another result each time", fn)
			}
			if i, ok := patterns[fn]; ok && len(terms) > i+1 {
				if s, ok := terms[i+1].Value.(ast.String); ok && !anchored(string(s)) {
					l.add("policy.unanchored", at, "the pattern %q is not anchored", string(s))
				}
			}
		}
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			if terms, ok := e.Terms.([]*ast.Term); ok {
				see(e.Location, terms)
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if c, ok := t.Value.(ast.Call); ok {
				see(t.Location, c)
			}
			return false
		})
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if r.HasPrefix(rawPath) {
				l.add("policy.raw_path", r[0].Location, "input.context.path decides")
			}
			return false
		})
	}
}

var rawPath = ast.MustParseRef("input.context.path")

func anchored(pattern string) bool {
	begin := strings.HasPrefix(pattern, "^") || strings.HasPrefix(pattern, `\A`)
	return begin && (strings.HasSuffix(pattern, "$") || strings.HasSuffix(pattern, `\z`))
}

// contradictions finds two rules of one name and different values of which the
// one holds wherever the other does: its conditions are among the other's.
func (l *linter) contradictions() {
	byName := map[string][]*ast.Rule{}
	for _, file := range slices.Sorted(maps.Keys(l.modules)) {
		for _, r := range l.modules[file].Rules {
			h := r.Head
			if !r.Default && h.RuleKind() == ast.SingleValue && len(h.Args) == 0 && h.Ref().IsGround() && plainValue(h.Value) {
				of := l.modules[file].Package.Path.String() + "." + h.Ref().String()
				byName[of] = append(byName[of], r)
			}
		}
	}
	for _, of := range slices.Sorted(maps.Keys(byName)) {
		rules := byName[of]
		for i, a := range rules {
			for _, b := range rules[i+1:] {
				if a.Head.Value.Value.Compare(b.Head.Value.Value) == 0 {
					continue
				}
				wide, narrow := a, b
				if !within(wide.Body, narrow.Body) {
					wide, narrow = b, a
				}
				if within(wide.Body, narrow.Body) {
					l.add("policy.contradicts", narrow.Location, "%s is %s here and, wherever that holds, %s at %s:%d too",
						a.Head.Ref(), narrow.Head.Value, wide.Head.Value, wide.Location.File, wide.Location.Row)
				}
			}
		}
	}
}

// plainValue: a value that is written down, not computed.
func plainValue(t *ast.Term) bool {
	if t == nil {
		return false
	}
	switch t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return true
	}
	return false
}

// within reports whether all conditions of one body are among another's.
func within(few, many ast.Body) bool {
	for _, e := range few {
		if t, ok := e.Terms.(*ast.Term); ok && !e.Negated && t.Value.Compare(ast.Boolean(true)) == 0 {
			continue
		}
		if !slices.ContainsFunc(many, func(o *ast.Expr) bool { return o.String() == e.String() }) {
			return false
		}
	}
	return true
}
