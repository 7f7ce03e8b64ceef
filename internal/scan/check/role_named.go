package check

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// roleNamed is a role that an operation's text keeps it for, where the user has another
// one of the same list: "Removes a colleague (wardens)". What roles there are, the
// description says by the list of values of a field that is called a role; where the
// user's own is not in that list (an owner of one board, a user of the whole service),
// the word may mean something else and nothing is concluded.
func (p *Probe) roleNamed(op *graph.Op, user *actor.Actor) string {
	mine := roleOf(user)
	if mine == "" {
		return ""
	}
	texts := []string{op.Summary, op.Description}
	for _, r := range op.Responses {
		if r.Status == "403" {
			texts = append(texts, r.Description)
		}
	}
	text := strings.ToLower(strings.Join(texts, ". "))
	for _, roles := range p.Graph.RoleLists() {
		if !slices.ContainsFunc(roles, func(r string) bool { return strings.EqualFold(r, mine) }) {
			continue
		}
		for _, r := range roles {
			r = strings.ToLower(r)
			if len(r) < 3 || strings.EqualFold(r, mine) || spec.Singular(r) != r {
				continue
			}
			if !strings.Contains(text, strings.TrimSuffix(r, "y")) {
				continue
			}
			name := severalOf(r)
			who := `(?:an? |the )?['"\x60]?` + name + `['"\x60]?`
			only := regexp.MustCompile(`\((?:for |by |role:? )?` + who + `(?: role)?(?: only)?\)|\bonly (?:for |by |to )?` + who + `(?:[ .,;:)]|$)|\b` + name + `(?: role)?[ -]only\b|\bmust be ` + who + `(?:[.,;:)]|$)|\brequires? (?:the )?(?:role )?` + who + `(?: role)?(?:[.,;:)]|$)`)
			if m := only.FindString(text); m != "" && !regexp.MustCompile(`\b`+severalOf(strings.ToLower(mine))+`\b`).MatchString(text) {
				return strings.Trim(m, " ().,;:")
			}
		}
	}
	return ""
}

// severalOf is an expression for a word, of one or of several.
func severalOf(word string) string {
	if stem, ok := strings.CutSuffix(word, "y"); ok {
		return regexp.QuoteMeta(stem) + `(?:y|ies)`
	}
	return regexp.QuoteMeta(word) + `(?:e?s)?`
}

// setsRoleOfOthers reports whether an operation gives somebody a role whom its path names,
// and who may be anybody: what a trial of it does to them, nobody takes back.
func (p *Probe) setsRoleOfOthers(op *graph.Op) bool {
	if !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "body" && reRoleName.MatchString(in.Name) }) {
		return false
	}
	return slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool {
		r := p.resourceOf(in)
		return in.In == "path" && (r == nil || !r.IsPerson)
	})
}
