package check

import (
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// wrapper is the pointer of the one member that all of an operation's body is in:
// "/user" of {"user": {"name": …}}, as Rails and its like have it; "" when the
// body's members are at its top.
func wrapper(op *graph.Op) string {
	first := ""
	for _, in := range op.Inputs {
		if in.In != "body" {
			continue
		}
		rest, ok := strings.CutPrefix(in.Pointer, "/")
		name, below, deeper := strings.Cut(rest, "/")
		if !ok || !deeper || below == "" || name == "*" || strings.HasPrefix(below, "*") || first != "" && first != name {
			return ""
		}
		first = name
	}
	if first == "" {
		return ""
	}
	return "/" + first
}

// memberOf is where a body takes a member of that name: beside those that it is
// described with.
func memberOf(op *graph.Op, name string) string {
	w := wrapper(op)
	if strings.HasPrefix("/"+name, w+"/") {
		return "body./" + name // it says so itself
	}
	return "body." + w + "/" + name
}
