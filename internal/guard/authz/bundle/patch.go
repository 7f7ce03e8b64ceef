package bundle

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// apply returns data with one operation of a delta applied: upsert (makes the
// objects on the way), replace and remove (both of what is there). The data given
// are not changed: evaluations may be reading them.
func apply(data ast.Object, op *bundle.PatchOperation) (ast.Object, error) {
	path, err := patchPath(op.Path)
	if err != nil {
		return nil, err
	}
	var value *ast.Term
	if op.Op != "remove" {
		v, err := ast.InterfaceToValue(op.Value)
		if err != nil {
			return nil, fmt.Errorf("its value: %w", err)
		}
		value = ast.NewTerm(v)
	}
	switch op.Op {
	case "upsert", "replace", "remove":
	default:
		return nil, errors.New("is not an operation; known are upsert, replace and remove")
	}
	if len(path) == 0 {
		obj, ok := ast.Object(nil), false
		if value != nil {
			obj, ok = value.Value.(ast.Object)
		}
		if !ok {
			return nil, errors.New("all data can only be replaced by an object")
		}
		return obj, nil
	}
	out, err := set(data, path, op.Op, value)
	if err != nil {
		return nil, err
	}
	return out.(ast.Object), nil
}

// patchPath reads a JSON pointer whose steps may be percent-encoded, as OPA does.
func patchPath(s string) ([]string, error) {
	s = strings.Trim(s, "/")
	if s == "" {
		return nil, nil
	}
	steps := strings.Split(s, "/")
	for i, step := range steps {
		plain, err := url.PathUnescape(step)
		if err != nil {
			return nil, fmt.Errorf("the path is not well encoded: %w", err)
		}
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(plain)
	}
	return steps, nil
}

var errNothing = errors.New("nothing is there")

// set returns v with the value at a path, which is not empty, set or removed.
func set(v ast.Value, path []string, op string, value *ast.Term) (ast.Value, error) {
	switch v := v.(type) {
	case ast.Object:
		return setMember(v, path, op, value)
	case *ast.Array:
		return setElement(v, path, op, value)
	}
	return nil, errors.New("the path leads through a value that is neither an object nor an array")
}

func setMember(obj ast.Object, path []string, op string, value *ast.Term) (ast.Value, error) {
	key := ast.StringTerm(path[0])
	there := obj.Get(key)
	switch {
	case len(path) > 1 && there == nil && op == "upsert":
		there = ast.NewTerm(ast.NewObject())
		fallthrough
	case len(path) > 1 && there != nil:
		below, err := set(there.Value, path[1:], op, value)
		if err != nil {
			return nil, err
		}
		value = ast.NewTerm(below)
	case there == nil && op != "upsert":
		return nil, errNothing
	}
	members := make([][2]*ast.Term, 0, obj.Len()+1)
	obj.Foreach(func(k, v *ast.Term) {
		if !k.Equal(key) {
			members = append(members, [2]*ast.Term{k, v})
		}
	})
	if value != nil {
		members = append(members, [2]*ast.Term{key, value})
	}
	return ast.NewObject(members...), nil
}

func setElement(arr *ast.Array, path []string, op string, value *ast.Term) (ast.Value, error) {
	at := arr.Len()
	if path[0] != "-" {
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || strconv.Itoa(i) != path[0] {
			return nil, fmt.Errorf("%q is not the index of an element", path[0])
		}
		at = i
	}
	last := len(path) == 1
	if at > arr.Len() || at == arr.Len() && (!last || op != "upsert") {
		return nil, errNothing
	}
	if !last {
		below, err := set(arr.Elem(at).Value, path[1:], op, value)
		if err != nil {
			return nil, err
		}
		value = ast.NewTerm(below)
	}
	terms := make([]*ast.Term, 0, arr.Len()+1)
	for i := range arr.Len() {
		if i == at {
			if value != nil {
				terms = append(terms, value)
			}
			if last && op == "upsert" {
				terms = append(terms, arr.Elem(i)) // JSON Patch's add puts it before what is there
			}
			continue
		}
		terms = append(terms, arr.Elem(i))
	}
	if at == arr.Len() {
		terms = append(terms, value)
	}
	return ast.NewArray(terms...), nil
}
