package graph

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// step is one segment of a path template, read as a person would.
type step struct {
	text  string
	words []string
	vars  []string // names of its variables
	noun  string   // resource that a literal names: singular, words joined by "_"
	many  bool     // the noun was written as a plural
	verb  Kind     // what a literal says is done: "" nothing
	said  string   // the word that says so
	loose bool     // the noun stands beside a verb: "apply_coupon"; it may be part of what is done
	which bool     // a literal that picks among what stands before it: all, recent, me
	self  bool     // … and picks the caller's own
	area  bool     // api, v1, rest: says nothing of what the path is about
	call  bool     // the end of a remote procedure's name: the object is named in the body
}

func (s *step) isVar() bool { return len(s.vars) > 0 }

// splitPath reads a template. Variables may share a segment with text
// ("{id}.json", "Users('{key}')", "{id}:activate"). calls: the API is one of remote
// procedures, so that a last word which is no verb that is known says what is done as well.
func splitPath(path string, calls bool) []step {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	var out []step
	for text := range strings.SplitSeq(path, "/") {
		if text == "" {
			continue
		}
		open := strings.IndexByte(text, '{')
		if open < 0 {
			before, action, colon := strings.Cut(text, ":")
			if about, done, call := cutCall(text, calls); call {
				out = append(out, literal(about), done)
				continue
			}
			if colon && before != "" {
				out = append(out, literal(before))
				text = action
			}
			out = append(out, literal(text))
			continue
		}
		if before := strings.TrimRight(text[:open], "('.:-_=@~"); before != "" && len(spec.Words(before)) > 0 {
			out = append(out, literal(before))
		}
		v := step{text: text}
		rest := text[open:]
		for {
			i := strings.IndexByte(rest, '{')
			j := strings.IndexByte(rest, '}')
			if i < 0 || j < i {
				break
			}
			v.vars = append(v.vars, strings.Trim(rest[i+1:j], "+*"))
			rest = rest[j+1:]
		}
		if len(v.vars) == 0 {
			out = append(out, literal(text))
			continue
		}
		out = append(out, v)
		if after := strings.TrimLeft(rest, "').,;"); strings.HasPrefix(after, ":") && len(after) > 1 {
			out = append(out, literal(after[1:]))
		}
	}
	// A word that may be a noun or a verb is a noun where an object of it follows;
	// so is one that mostly says where ("/apps/{app_id}", "/services").
	for i := range out {
		s := &out[i]
		if s.area && !s.isVar() && len(s.words) > 0 && softAreas[strings.Join(s.words, "_")] &&
			(i+1 == len(out) && len(out) > 1 || i+1 < len(out) && out[i+1].isVar()) {
			last := s.words[len(s.words)-1]
			s.area, s.noun, s.many = false, spec.ResourceName(s.text), spec.Singular(last) != last
		}
		if s.verb == "" || s.noun != "" || plainVerbs[s.said] || i+1 >= len(out) || !out[i+1].isVar() {
			continue
		}
		name := out[i+1].vars[0]
		noun, isID := idNoun(name, true)
		if isID && (noun == "" || noun == s.said) || spec.ResourceName(name) == s.said {
			s.noun, s.verb = spec.ResourceName(s.text), ""
			s.many = true
		}
	}
	return out
}

// fewCalls: so many, and most of an API's operations, make it one of remote procedures.
const fewCalls = 4

// cutCall splits the name of a remote procedure, "invoice.get" or "desk.bookings.list",
// into what it is about and what is done, as if a slash stood between them.
func cutCall(text string, calls bool) (about string, done step, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i <= 0 || i+1 == len(text) || fileEnds[strings.ToLower(text[i+1:])] || isDigits(text[i+1:]) || len(spec.Words(text[:i])) == 0 {
		return "", step{}, false
	}
	done = literal(text[i+1:])
	if k, said := callVerbs[strings.Join(done.words, "_")]; said && done.verb == "" {
		done.verb, done.said, done.noun, done.many = k, done.words[0], "", false
	}
	if calls && done.verb == "" && !done.which && len(done.words) > 0 {
		done.verb, done.said, done.noun, done.many = Action, done.words[0], "", false
	}
	if done.verb == "" && !done.which {
		return "", step{}, false // "com.example", "sitemap.old"
	}
	done.call = true
	return text[:i], done, true
}

// calls reports whether the path is the name of a remote procedure.
func (r *route) calls() bool {
	return slices.ContainsFunc(r.steps, func(s step) bool { return s.call })
}

// literal reads a segment without variables.
func literal(text string) step {
	bare := text
	if i := strings.LastIndexByte(text, '.'); i > 0 && fileEnds[strings.ToLower(text[i+1:])] {
		bare = text[:i]
	}
	s := step{text: text, words: spec.Words(bare)}
	w := s.words
	if len(w) == 0 {
		s.area = true
		return s
	}
	joined := strings.Join(w, "_")
	switch {
	case isVersion(w) || areas[joined]:
		s.area = true
		return s
	case selves[joined]:
		s.which, s.self = true, true
		return s
	case qualifiers[joined]:
		s.which = true
		return s
	}
	if k, ok := verbKinds[joined]; ok {
		s.verb, s.said = k, joined
		return s
	}
	if k, ok := verbKinds[strings.Join(w, "")]; ok && len(w) > 1 { // sign-up, log_in
		s.verb, s.said = k, strings.Join(w, "")
		return s
	}
	if len(w) > 1 {
		plural := spec.Singular(w[len(w)-1]) != w[len(w)-1] // "login-attempts", "import-jobs": things
		if k, ok := verbKinds[w[0]]; ok && (plainVerbs[w[0]] || k == Action && !plural) && !nounFirst[w[0]] {
			s.verb, s.said = k, w[0]
			w = trimSmall(w[1:])
		} else if k, ok := verbKinds[w[len(w)-1]]; ok && (plainVerbs[w[len(w)-1]]) {
			s.verb, s.said = k, w[len(w)-1]
			w = w[:len(w)-1]
		}
		if len(w) > 0 && (qualifiers[strings.Join(w, "_")] || selves[strings.Join(w, "_")]) {
			s.which, s.self = true, selves[strings.Join(w, "_")]
			return s
		}
	}
	if len(w) > 1 && (w[0] == "all" || w[0] == "my" || w[0] == "own") {
		s.which, s.self = true, w[0] != "all"
		w = w[1:]
	}
	if len(w) > 0 {
		last := w[len(w)-1]
		s.many = spec.Singular(last) != last
		s.noun = spec.ResourceName(strings.Join(w, "_"))
		s.loose = s.verb == Action || s.verb == Update
	}
	if s.verb == Read && s.many && len(s.words) > 1 { // getUsers
		s.verb = List
	}
	return s
}

// trimSmall drops the words that join a verb and its object: "get all users",
// "find by status", "apply for a coupon".
func trimSmall(w []string) []string {
	for i, x := range w {
		if (x == "by" || x == "for" || x == "with" || x == "from" || x == "of") && (i > 0 || x != "for") {
			return w[:i]
		}
	}
	for len(w) > 0 && (w[0] == "all" || w[0] == "a" || w[0] == "the" || w[0] == "my" || w[0] == "to" || w[0] == "for" || w[0] == "by") {
		if w[0] == "by" {
			return nil
		}
		w = w[1:]
	}
	return w
}

func isVersion(w []string) bool {
	return (w[0] == "v" || w[0] == "ver" || w[0] == "version") && len(w) > 1 && isDigits(w[1]) || isDigits(w[0])
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// route is a path template, understood.
type route struct {
	steps   []step
	objects []*objectVar // one for each variable, from left to right; Resource "" where it names no object
	nouns   []int        // steps that hold nouns
	last    int          // step of the last object variable, -1 none
	areas   []string     // words of all literals
	shared  int          // steps at its head that most paths of the API begin with
}

// mostPaths and fewPaths: what so large a part of an API's operations begin with, and
// so many are, is the name of the API and tells none of them from the others.
const (
	mostPaths = 0.6
	fewPaths  = 10
)

// sharedHeads counts, for each path, the literals at its head that most others begin
// with as well: all of what people use may lie below "/api/admin".
func sharedHeads(paths [][]step) []int {
	count := map[string]int{}
	heads := func(steps []step, each func(head string) bool) {
		head := ""
		for i := range steps {
			if head += "/" + steps[i].text; steps[i].isVar() || !each(head) {
				return
			}
		}
	}
	for _, steps := range paths {
		heads(steps, func(head string) bool { count[head]++; return true })
	}
	out := make([]int, len(paths))
	if len(paths) < fewPaths {
		return out
	}
	for i, steps := range paths {
		heads(steps, func(head string) bool {
			if float64(count[head]) < mostPaths*float64(len(paths)) {
				return false
			}
			out[i]++
			return true
		})
	}
	return out
}

// objectVar is a variable of a path and the object that it names.
type objectVar struct {
	name string
	noun string // "" no object
	step int
}

// readRoute understands a path. known are the nouns that some path of the API
// has, so that "/vehicle/{car_id}" is about vehicles unless there are cars.
func readRoute(steps []step, known map[string]bool) *route {
	r := &route{steps: steps, last: -1}
	noun, many := "", false
	said := false
	for i := range steps {
		s := &steps[i]
		if s.loose && !known[s.noun] && (s.verb == Action || said) {
			s.noun = "" // "check-otp", "users/update_role": done to something else
		}
		said = said || s.noun != ""
	}
	for i := range steps {
		s := &steps[i]
		r.areas = append(r.areas, s.words...)
		if !s.isVar() {
			if s.noun != "" {
				noun, many = s.noun, s.many
				r.nouns = append(r.nouns, i)
			}
			continue
		}
		// Variables that follow one another share the noun before them.
		run := 0
		for j := i; j < len(steps) && steps[j].isVar(); j++ {
			run += len(steps[j].vars)
		}
		for _, v := range s.vars {
			o := &objectVar{name: v, step: i, noun: varNoun(v, noun, many, run > 1, known)}
			r.objects = append(r.objects, o)
			if o.noun != "" {
				r.last = i
				if o.noun == noun {
					noun, many = "", false
				}
			}
		}
		if i+1 < len(steps) && !steps[i+1].isVar() {
			noun, many = "", false
		}
	}
	return r
}

// varNoun is the resource whose object a variable names, "" for none.
func varNoun(name, before string, many, shared bool, known map[string]bool) string {
	own, isID := idNoun(name, true)
	bare := strings.Join(spec.Words(name), "_")
	if m, _ := meaningOf(name, "", "string"); (m == MeansToken || m == MeansOTP) && !many {
		return "" // "/reset/{token}": a proof, no object
	}
	switch {
	case !isID && formVars[bare]:
		return ""
	case isID && own == "" && before != "":
		return before
	case before != "" && (own == before || spec.ResourceName(name) == before):
		return before
	case isID && own != "" && known[own] && own != before:
		return own
	case !isID && known[spec.ResourceName(name)]:
		return spec.ResourceName(name)
	case shared && before != "":
		// "/repos/{owner}/{repo}": only one of them can be a repo.
		if isID && own != "" {
			return own
		}
		return spec.ResourceName(name)
	case before != "" && (many || isID):
		return before
	case isID && own != "":
		return own
	}
	return ""
}

// idNoun splits an identifier's name: "customerId" names a customer, "id" an
// object of what holds it (noun ""). weak takes the ends that identify only
// where an identifier is expected: number, slug, name, code ….
func idNoun(name string, weak bool) (noun string, ok bool) {
	w := spec.Words(name)
	if len(w) == 0 {
		return "", false
	}
	last := w[len(w)-1]
	if !idEnds[last] && !(weak && weakIDEnds[last]) {
		if len(w) == 1 && len(last) > 4 { // orderid, useruuid
			for _, end := range []string{"uuid", "guid", "ids", "id"} {
				if head, cut := strings.CutSuffix(last, end); cut && len(head) > 2 && idHeads[spec.Singular(head)] {
					return spec.Singular(head), true
				}
			}
		}
		return "", false
	}
	w = slices.Clone(w[:len(w)-1])
	if len(w) > 0 && (w[len(w)-1] == "object" || w[len(w)-1] == "unique") && len(w) > 1 {
		w = w[:len(w)-1]
	}
	for len(w) > 1 && idPrefixes[w[0]] { // new_owner_id, parent_comment_id, target_user_id
		w = w[1:]
	}
	if len(w) > 0 {
		w[len(w)-1] = spec.Singular(w[len(w)-1])
	}
	return strings.Join(w, "_"), true
}
