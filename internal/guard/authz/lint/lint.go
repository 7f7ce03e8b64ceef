package lint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/matrix"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/policies"
)

// Problem is one finding.
type Problem struct {
	Code string `json:"code"` // stable: "policy.default_allow"
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
}

// Options are what is looked at.
type Options struct {
	Part      *authz.Part
	API       *spec.API // nil: what the document names is not known
	Config    config.Authz
	Overrides []config.OperationOverride
}

// kinds are the codes, with why each matters and what would be right.
var kinds = map[string]struct{ why, fix string }{
	"policy.compile":          {"a policy that does not compile is never activated", "correct it"},
	"policy.unused":           {"what is not used is often what was meant to be: a variable misspelt elsewhere, a check left out", "use it or remove it"},
	"policy.unknown_field":    {"a field that the input does not have is undefined: a rule with it never holds, and under not it always does", "write the field as in docs/policies.md"},
	"policy.default_allow":    {"what no rule thinks of is allowed (CWE-276)", "write default … := false and say what is allowed"},
	"policy.always_allows":    {"the rule has no condition, so that all others decide nothing", "give it conditions, or remove the others"},
	"policy.no_default":       {"where no rule holds the decision is undefined: that denies, and the record does not say why", "write default decision := false"},
	"policy.unverified":       {"credentials that only the API checks are passed on unverified; anybody can claim such a name (CWE-290)", "use the library (lib.has_role, lib.is_subject), or ask for input.identity.verified"},
	"policy.only_negated":     {"what is not known is not denied either: a field that is missing lets the call through (CWE-636)", "say what must hold, not only what must not"},
	"policy.contradicts":      {"where both hold the rule has two values: that is an error, and the call is denied whoever makes it", "let one exclude the other (not …), or write them as one rule with else"},
	"policy.deny_ignored":     {"the rule says no, and nobody asks it", "let the decision depend on it: decision if { allow; not deny }"},
	"policy.unreachable":      {"nothing that decides comes to this rule", "use it or remove it"},
	"policy.unknown_scope":    {"no scheme of the document has this scope, so that no token is likely to", "write it as the document does, or declare it there"},
	"policy.unknown_role":     {"neither the document nor the config names this role, though they name others", "write it as they do"},
	"policy.no_data":          {"the data are given by no file, bundle or source: every rule that reads them is undefined", "name their file in guards.authz.data, or a source in guards.authz.sources"},
	"policy.nondeterministic": {"the same call is decided in two ways, and a recorded decision cannot be replayed", "decide on the input alone"},
	"policy.unanchored":       {"a pattern without ^ and $ matches anywhere in the text (CWE-777)", "anchor it at both ends"},
	"policy.raw_path":         {"the path as sent can be written in several ways, and a prefix of it names no operation", "compare input.operation.id or input.operation.path"},
	"policy.untested":         {"a policy without tests is activated whatever it says", "write tests beside it, in a file named …_test.rego; crenel policy mutate shows what they miss"},
}

// Codes are the codes with why they matter, sorted.
func Codes() [][2]string {
	var out [][2]string
	for _, code := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, [2]string{code, kinds[code].why})
	}
	return out
}

type linter struct {
	o        Options
	modules  map[string]*ast.Module // the user's, without tests
	compiler *ast.Compiler
	out      []Problem
}

func (l *linter) add(code string, at *ast.Location, format string, args ...any) {
	p := Problem{Code: code, What: fmt.Sprintf(format, args...), Why: kinds[code].why, Fix: kinds[code].fix}
	if at != nil {
		p.File, p.Line = at.File, at.Row
	}
	if !slices.ContainsFunc(l.out, func(o Problem) bool {
		return o.Code == p.Code && o.File == p.File && o.Line == p.Line && o.What == p.What
	}) {
		l.out = append(l.out, p)
	}
}

// Run looks at the policies. An error is one of reading them; what is wrong with
// them is among the problems.
func Run(ctx context.Context, o Options) ([]Problem, error) {
	l := &linter{o: o, modules: map[string]*ast.Module{}}
	tests := false
	for name, m := range o.Part.Modules {
		if strings.HasSuffix(name, "_test.rego") {
			tests = true
			continue
		}
		l.modules[name] = m
	}
	if err := l.compile(ctx); err != nil {
		return nil, err
	}
	if l.compiler != nil {
		l.rules()
		l.named()
		l.data()
		l.calls()
	}
	if !tests {
		if m := l.first(); m != nil {
			l.add("policy.untested", m.Package.Location, "no tests lie beside package %s", strings.TrimPrefix(m.Package.Path.String(), "data."))
		}
	}
	slices.SortFunc(l.out, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Code, b.Code), strings.Compare(a.What, b.What))
	})
	return l.out, nil
}

func (l *linter) first() *ast.Module {
	for _, name := range slices.Sorted(maps.Keys(l.modules)) {
		return l.modules[name]
	}
	return nil
}

// compile has OPA's checker look: strictly, then with the schema of the input.
func (l *linter) compile(ctx context.Context) error {
	for _, schema := range []bool{false, true} {
		c, err := authz.NewLinter(ctx, l.o.Part, !schema, schema)
		if err != nil {
			return err
		}
		for _, e := range c.Errors {
			l.compileError(e)
		}
		if schema && !c.Failed() {
			l.compiler = c
		}
	}
	if l.compiler != nil {
		return nil
	}
	// What the schema alone finds wrong is no reason to stop looking.
	c, err := authz.NewLinter(ctx, l.o.Part, false, false)
	if err != nil {
		return err
	}
	if !c.Failed() {
		l.compiler = c
	}
	return nil
}

func (l *linter) compileError(e *ast.Error) {
	code := "policy.compile"
	switch {
	case strings.Contains(e.Message, "unused") || strings.Contains(e.Message, "must not shadow") || strings.Contains(e.Message, "unreferenced"):
		code = "policy.unused"
	case e.Code == ast.TypeErr && strings.Contains(e.Message, "undefined ref: input"):
		code = "policy.unknown_field"
	}
	what := e.Message
	if inner, ok := e.Details.(*ast.RefErrInvalidDetail); ok && len(inner.OneOf) > 0 {
		var have []string
		for _, v := range inner.OneOf {
			if s, ok := v.(ast.String); ok {
				have = append(have, string(s))
			}
		}
		what += "; there are " + strings.Join(have, ", ")
	}
	l.add(code, e.Location, "%s", what)
}

// inUser reports whether a rule is one of the user's.
func (l *linter) inUser(r *ast.Rule) bool {
	return r.Location != nil && !policies.Shipped(r.Location.File)
}

// named compares the scopes and roles of the policies with those of document and config.
func (l *linter) named() {
	if l.o.API == nil {
		return
	}
	roles, scopes := matrix.Named(l.o.API, l.o.Overrides)
	for _, w := range matrix.NamedIn(l.modules) {
		switch {
		case w.Kind == "scope" && len(scopes) > 0 && !slices.Contains(scopes, w.Text):
			l.add("policy.unknown_scope", w.At, "the scope %q", w.Text)
		case w.Kind == "role" && len(roles) > 0 && !slices.Contains(roles, w.Text):
			l.add("policy.unknown_role", w.At, "the role %q", w.Text)
		}
	}
}

// data finds references to data that nobody gives.
func (l *linter) data() {
	given := map[string]bool{"crenel": true}
	if l.o.Part.Data != nil {
		l.o.Part.Data.Foreach(func(k, _ *ast.Term) {
			if s, ok := k.Value.(ast.String); ok {
				given[string(s)] = true
			}
		})
	}
	for at := range l.o.Part.Tables {
		first, _, _ := strings.Cut(strings.Trim(at, "/"), "/")
		given[first] = true
	}
	for _, s := range l.o.Config.Sources {
		first, _, _ := strings.Cut(strings.Trim(s.At, "/"), "/")
		given[first] = true
	}
	for _, m := range l.o.Part.Modules {
		if len(m.Package.Path) > 1 {
			if s, ok := m.Package.Path[1].Value.(ast.String); ok {
				given[string(s)] = true
			}
		}
	}
	for _, m := range l.modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if len(r) < 2 || !r[0].Equal(ast.DefaultRootDocument) {
				return false
			}
			if s, ok := r[1].Value.(ast.String); ok && !given[string(s)] {
				l.add("policy.no_data", r[0].Location, "data.%s", string(s))
			}
			return false
		})
	}
}
