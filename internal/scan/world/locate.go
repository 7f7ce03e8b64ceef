package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// objectIn finds the object of a resource in an answer: the answer itself, or a member.
func objectIn(v *value.Value, r *graph.Resource) (*value.Value, string) {
	return objectWithin(v, r, "", 0)
}

func objectWithin(v *value.Value, r *graph.Resource, at string, depth int) (*value.Value, string) {
	if depth > 3 {
		return nil, ""
	}
	if v.Kind == value.Array && len(v.Kids) == 1 {
		return objectWithin(&v.Kids[0], r, at+"/0", depth+1)
	}
	if v.Kind != value.Object {
		return nil, ""
	}
	try := func(k *value.Value) (*value.Value, string) {
		return objectWithin(k, r, at+"/"+value.EscapeToken(k.Name), depth+1)
	}
	named := func(k *value.Value) bool {
		return squeezed(singular(strings.ToLower(k.Name))) == squeezed(r.Name)
	}
	for i := range v.Kids {
		if k := &v.Kids[i]; k.Kind == value.Object && named(k) {
			if n, p := try(k); n != nil {
				return n, p
			}
		}
	}
	if len(idsOf(v, r)) > 0 {
		return v, at
	}
	if k, _, _ := addressIn(v, r); k != nil {
		return v, at
	}
	for i := range v.Kids {
		if k := &v.Kids[i]; (k.Kind == value.Object || k.Kind == value.Array) && slices.Contains(wrappers, strings.ToLower(k.Name)) {
			if n, p := try(k); n != nil {
				return n, p
			}
		}
	}
	var only *value.Value
	for i := range v.Kids {
		if v.Kids[i].Kind == value.Object {
			if only != nil {
				return nil, ""
			}
			only = &v.Kids[i]
		}
	}
	if only != nil {
		return try(only)
	}
	return nil, ""
}
