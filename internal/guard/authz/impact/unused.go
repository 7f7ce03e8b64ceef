package impact

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
)

// Grants says which scopes and roles were needed, in a period.
type Grants struct {
	Decisions int            `json:"decisions"` // allowed, and made again
	From      time.Time      `json:"from"`
	To        time.Time      `json:"to"`
	Skipped   map[string]int `json:"skipped,omitempty"`
	Grants    []Grant        `json:"grants"`
	// Together are callers none of whose unused grants was needed by itself, but who
	// need one of them: two roles that allow the same.
	Together []Together `json:"together,omitempty"`
	// Rules are those that would hold for nobody without a grant that they needed.
	Rules []Leaning `json:"rules,omitempty"`
}

// Grant is a scope or role, and who had and who needed it.
type Grant struct {
	Kind    string   `json:"kind"` // "role" or "scope"
	Name    string   `json:"name"`
	Callers int      `json:"callers"`           // that had it
	Unused  []string `json:"unused,omitempty"`  // callers that had it and never needed it
	Used    int      `json:"used"`              // callers that needed it at least once
	Example string   `json:"example,omitempty"` // a request that needed it
}

// Together is a caller that needs one of several grants.
type Together struct {
	Caller  string   `json:"caller"`
	Grants  []string `json:"grants"`
	Example string   `json:"example"`
}

// Leaning is what a rule would lose without a grant.
type Leaning struct {
	Rule       string   `json:"rule"`
	Place      string   `json:"place,omitempty"`
	Grant      string   `json:"grant"` // "role admin"
	Decisions  int      `json:"decisions"`
	Operations []string `json:"operations,omitempty"`
}

type grantKey struct{ caller, kind, name string }

func (k grantKey) grant() string { return k.kind + " " + k.name }

// maxLeanings bounds how many decisions are looked at for one rule and grant.
const maxLeanings = 200

// Unused makes every allowed decision again without each scope and each role of
// its caller. cases is walked twice.
func Unused(ctx context.Context, cases iter.Seq2[*Case, error], by Decider) (*Grants, error) {
	u := &unused{g: Grants{Skipped: map[string]int{}}, had: map[grantKey]string{}, leaning: map[string]*Leaning{}, looked: map[grantKey]int{}}
	for c, err := range cases {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = u.alone(ctx, c, by)
		}
		if err != nil {
			return nil, err
		}
	}
	idle := map[string][]grantKey{}
	for key, example := range u.had {
		if example == "" {
			idle[key.caller] = append(idle[key.caller], key)
		}
	}
	done := map[string]bool{}
	for c, err := range cases {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = u.together(ctx, c, by, idle, done)
		}
		if err != nil {
			return nil, err
		}
	}
	return u.grants(), nil
}

type unused struct {
	g       Grants
	had     map[grantKey]string // the request that needed it; "" while none did
	leaning map[string]*Leaning
	looked  map[grantKey]int
}

// usable makes the case's decision again as it was; nil when it is not one to go by.
func (u *unused) usable(ctx context.Context, c *Case, by Decider, count bool) (*authz.Outcome, error) {
	if !c.Before.Allowed {
		return nil, nil //nolint:nilnil // nothing to lose
	}
	skip := func(why string) {
		if count {
			u.g.Skipped[why]++
		}
	}
	if c.Inexact || c.On == nil {
		skip(skipInexact)
		return nil, nil //nolint:nilnil // counted
	}
	o, err := by.Decide(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	if o == nil {
		skip(skipPolicy)
		return nil, nil //nolint:nilnil // counted
	}
	if differ(c.Before, AnswerOf(o)) != "" {
		skip("the policy that decided does not make them again")
		return nil, nil //nolint:nilnil // counted
	}
	return o, nil
}

func (u *unused) alone(ctx context.Context, c *Case, by Decider) error {
	o, err := u.usable(ctx, c, by, true)
	if o == nil {
		return err
	}
	u.g.Decisions++
	if u.g.From.IsZero() || c.Time.Before(u.g.From) {
		u.g.From = c.Time
	}
	if c.Time.After(u.g.To) {
		u.g.To = c.Time
	}
	caller := c.Caller()
	for _, kind := range []string{"role", "scope"} {
		for _, name := range granted(c.On.Input, kind+"s") {
			key := grantKey{caller, kind, name}
			example, known := u.had[key]
			if !known {
				u.had[key] = ""
			}
			all := grantKey{"", kind, name}
			if example != "" && u.looked[all] >= maxLeanings {
				continue // it is needed, and enough is known of what for
			}
			less := c.without(key)
			after, err := by.Decide(ctx, less, nil)
			if err != nil {
				return err
			}
			if after == nil || differ(c.Before, AnswerOf(after)) == "" {
				continue
			}
			if example == "" {
				u.had[key] = c.ID
			}
			u.looked[all]++
			if err := u.leans(ctx, c, less, by, key, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// leans notes which rule no longer holds without the grant.
func (u *unused) leans(ctx context.Context, c, less *Case, by Decider, key grantKey, o *authz.Outcome) error {
	rule := trace.Held{Rule: "the document's scopes and roles"}
	if o.Rule != "" {
		with, without := trace.NewRules(), trace.NewRules()
		if _, err := by.Decide(ctx, c, with); err != nil {
			return err
		}
		if _, err := by.Decide(ctx, less, without); err != nil {
			return err
		}
		if lost := with.Without(without, o.Rule); len(lost) > 0 && without.Len() > 0 {
			rule = lost[0]
		} else if after, err := by.Decide(ctx, less, nil); err != nil {
			return err
		} else if after.Rule != "" {
			rule = trace.Held{Rule: o.Rule}
			if len(lost) > 0 {
				rule = lost[0]
			}
		}
	}
	id := rule.String() + "\n" + key.grant()
	l := u.leaning[id]
	if l == nil {
		l = &Leaning{Rule: rule.Rule, Place: rule.Place, Grant: key.grant()}
		u.leaning[id] = l
	}
	l.Decisions++
	if c.Operation != "" && !slices.Contains(l.Operations, c.Operation) && len(l.Operations) < 20 {
		l.Operations = append(l.Operations, c.Operation)
	}
	return nil
}

// together takes all of a caller's idle grants away at once.
func (u *unused) together(ctx context.Context, c *Case, by Decider, idle map[string][]grantKey, done map[string]bool) error {
	caller := c.Caller()
	keys := idle[caller]
	if len(keys) < 2 || done[caller] {
		return nil
	}
	if o, err := u.usable(ctx, c, by, false); o == nil {
		return err
	}
	after, err := by.Decide(ctx, c.without(keys...), nil)
	if err != nil || after == nil || differ(c.Before, AnswerOf(after)) == "" {
		return err
	}
	done[caller] = true
	t := Together{Caller: caller, Example: c.ID}
	for _, k := range keys {
		if slices.Contains(granted(c.On.Input, k.kind+"s"), k.name) {
			t.Grants = append(t.Grants, k.grant())
		}
	}
	slices.Sort(t.Grants)
	u.g.Together = append(u.g.Together, t)
	return nil
}

func (u *unused) grants() *Grants {
	by := map[[2]string]*Grant{}
	for key, example := range u.had {
		id := [2]string{key.kind, key.name}
		g := by[id]
		if g == nil {
			g = &Grant{Kind: key.kind, Name: key.name}
			by[id] = g
		}
		g.Callers++
		if example == "" {
			g.Unused = append(g.Unused, key.caller)
		} else {
			g.Used++
			g.Example = max(g.Example, example)
		}
	}
	for _, g := range by {
		slices.Sort(g.Unused)
		u.g.Grants = append(u.g.Grants, *g)
	}
	slices.SortFunc(u.g.Grants, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(min(a.Used, 1), min(b.Used, 1)), cmp.Compare(len(b.Unused), len(a.Unused)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(u.g.Together, func(a, b Together) int { return cmp.Compare(a.Caller, b.Caller) })
	for _, l := range u.leaning {
		slices.Sort(l.Operations)
		u.g.Rules = append(u.g.Rules, *l)
	}
	slices.SortFunc(u.g.Rules, func(a, b Leaning) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Grant, b.Grant))
	})
	return &u.g
}

// granted lists the roles or scopes of the caller and of further credentials.
func granted(input ast.Value, member string) []string {
	var out []string
	var of func(identity ast.Value)
	of = func(identity ast.Value) {
		o, ok := identity.(ast.Object)
		if !ok {
			return
		}
		if t := o.Get(ast.StringTerm(member)); t != nil {
			if list, ok := t.Value.(*ast.Array); ok {
				list.Foreach(func(t *ast.Term) {
					if s, ok := t.Value.(ast.String); ok && !slices.Contains(out, string(s)) {
						out = append(out, string(s))
					}
				})
			}
		}
		if t := o.Get(ast.StringTerm("also")); t != nil {
			if list, ok := t.Value.(*ast.Array); ok {
				list.Foreach(func(t *ast.Term) { of(t.Value) })
			}
		}
	}
	if in, ok := input.(ast.Object); ok {
		if t := in.Get(ast.StringTerm("identity")); t != nil {
			of(t.Value)
		}
	}
	return out
}

// without is the case as it would have been had its caller not had the grants: in
// the lists that were read from the token, and in its claims as they are.
func (c *Case) without(keys ...grantKey) *Case {
	less := *c
	on := *c.On
	less.On = &on
	in, ok := on.Input.(ast.Object)
	if !ok {
		return &less
	}
	out := ast.NewObject()
	in.Foreach(func(k, t *ast.Term) {
		if k.Value.Compare(ast.String("identity")) == 0 {
			t = ast.NewTerm(stripped(t.Value, keys, ""))
		}
		out.Insert(k, t)
	})
	on.Input = out
	return &less
}

// stripped takes names out of lists, and words out of the texts of scope claims.
func stripped(v ast.Value, keys []grantKey, member string) ast.Value {
	switch v := v.(type) {
	case ast.Object:
		out := ast.NewObject()
		v.Foreach(func(k, t *ast.Term) {
			name, _ := k.Value.(ast.String)
			out.Insert(k, ast.NewTerm(stripped(t.Value, keys, string(name))))
		})
		return out
	case *ast.Array:
		var left []*ast.Term
		v.Foreach(func(t *ast.Term) {
			if s, ok := t.Value.(ast.String); ok && takes(keys, string(s), member) {
				return
			}
			left = append(left, ast.NewTerm(stripped(t.Value, keys, member)))
		})
		return ast.NewArray(left...)
	case ast.String:
		if member != "scope" && member != "scp" {
			return v
		}
		words := slices.DeleteFunc(strings.Fields(string(v)), func(w string) bool { return takes(keys, w, "scopes") })
		return ast.String(strings.Join(words, " "))
	}
	return v
}

// takes reports whether a name in a list is one of the grants. Roles and scopes of
// one name are told apart where the list's own name does.
func takes(keys []grantKey, name, member string) bool {
	for _, k := range keys {
		if k.name != name {
			continue
		}
		switch member {
		case "roles":
			return k.kind == "role"
		case "scopes", "scope", "scp":
			return k.kind == "scope"
		case "schemes", "aud", "amr":
			return false
		}
		return true
	}
	return false
}
