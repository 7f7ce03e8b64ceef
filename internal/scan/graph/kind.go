package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// kind decides what an operation does to its resource.
func (b *builder) kind(op *Op) {
	r := op.route
	verb, said, at := Kind(""), "", -1
	for i, s := range r.steps {
		if s.verb != "" {
			verb, said, at = s.verb, s.said, i
		}
	}
	lastNoun := -1
	if len(r.nouns) > 0 {
		lastNoun = r.nouns[len(r.nouns)-1]
	}
	end := len(r.steps) - 1
	for end >= 0 && r.steps[end].area {
		end--
	}
	if verb != "" && at < max(lastNoun, r.last) && r.steps[at].noun == "" && !(plainVerbs[said] && r.last == end && r.last > lastNoun) {
		verb = "" // "/search/users": said of where, not of what is done … but "/delete/{id}" is
		if said == "search" || said == "find" || said == "query" {
			verb = Action
		}
	}
	switch {
	case verb == Read || verb == List:
		if op.Method == http.MethodGet || op.Method == http.MethodPost || op.Method == http.MethodHead {
			op.Kind = b.reads(op, end)
			if verb == Read && r.calls() && op.Answered != "list" {
				op.Kind = Read // the object is named in the body
			}
			if verb == List && !op.OnObject {
				op.Kind = List
			}
			return
		}
	case (said == "find" || said == "filter" || said == "lookup") && op.Method == http.MethodGet && op.About != nil && op.Answered == "list":
		op.Kind = List // "/pets/findByStatus"
		return
	case verb != "":
		op.Kind = verb
		return
	}
	endsInVar := end >= 0 && r.steps[end].isVar() && r.last == end
	acts := op.OnObject && !endsInVar && lastNoun > r.last // "/orders/{id}/payment"
	switch op.Method {
	case http.MethodGet, http.MethodHead:
		op.Kind = b.reads(op, end)
	case http.MethodPost:
		switch {
		case acts:
			op.Kind = Action
		case endsInVar:
			op.Kind = Update
			if b.namesNew(op) {
				op.Kind = Create
			}
		case end >= 0 && r.steps[end].self && op.Body == nil:
			op.Kind = Read // "/account/whoami", of an API in which every call is a POST
		case len(r.nouns) == 0 && !op.OnObject:
			op.Kind = Action
		default:
			op.Kind = b.posts(op, lastNoun)
		}
	case http.MethodPut:
		op.Kind = Update
		if acts {
			op.Kind = Action
		} else if b.namesNew(op) {
			op.Kind = Create
		}
	case http.MethodPatch:
		op.Kind = Update
	case http.MethodDelete:
		op.Kind = Delete
	default:
		op.Kind = Action
	}
}

// reads tells a Read from a List.
func (b *builder) reads(op *Op, end int) Kind {
	r := op.route
	lastNoun := -1
	if len(r.nouns) > 0 {
		lastNoun = r.nouns[len(r.nouns)-1]
	}
	if lastNoun < 0 && !op.OnObject && op.About == nil {
		if end >= 0 && r.steps[end].self {
			return Read
		}
		if op.Answered == "list" {
			return List
		}
		if op.said["list"] {
			return List
		}
		return Read
	}
	if op.OnObject && r.last > lastNoun {
		// "/users/{id}" or "/posts/by-user/{id}"; a list answered below one object is of what it holds.
		if op.Answered == "list" && op.ListAt == "" {
			return List
		}
		return Read
	}
	if end >= 0 && r.steps[end].self {
		if op.Answered == "list" && op.ListAt == "" {
			return List
		}
		return Read
	}
	switch op.Answered {
	case "list":
		return List
	case "object":
		if lastNoun >= 0 && r.steps[lastNoun].many && b.hasObjects(op.About) && op.leaves != nil && len(op.leaves.list) < 4 {
			return List
		}
		return Read
	}
	if lastNoun >= 0 && (r.steps[lastNoun].many || b.hasObjects(op.About)) {
		return List
	}
	return Read
}

// hasObjects reports whether some path addresses one object of a resource.
func (b *builder) hasObjects(r *Resource) bool { return r.named() }

// posts tells a Create from an Action at the end of a path.
func (b *builder) posts(op *Op, lastNoun int) Kind {
	if lastNoun < 0 || op.OnObject {
		return Action
	}
	return Create
}

// namesNew reports whether an operation on one object makes it: the caller
// chooses its name, and no other operation makes such objects.
func (b *builder) namesNew(op *Op) bool {
	created := slices.ContainsFunc(op.Responses, func(r *spec.Response) bool { return r.Status == "201" })
	if !created {
		return false
	}
	return !slices.ContainsFunc(op.About.opsOf(), func(o *Op) bool {
		return o != op && o.Method == http.MethodPost && !o.OnObject && len(o.route.nouns) > 0 && strings.Count(o.Path, "{") < strings.Count(op.Path, "{")
	})
}

func (r *Resource) opsOf() []*Op {
	if r == nil {
		return nil
	}
	return r.Ops
}
