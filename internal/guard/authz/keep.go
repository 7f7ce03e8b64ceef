package authz

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/filter"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// each calls f with every element of an array or a set.
func each(v ast.Value, what string, f func(ast.Object) error) error {
	return iterate(v, what, func(t *ast.Term) error {
		obj, ok := t.Value.(ast.Object)
		if !ok {
			return errors.New("holds something that is not an object " + what)
		}
		return f(obj)
	})
}

// iterate calls f with every element of an array or a set, of whatever kind.
func iterate(v ast.Value, what string, f func(*ast.Term) error) error {
	switch v := v.(type) {
	case *ast.Array:
		return v.Iter(f)
	case ast.Set:
		return v.Iter(f)
	}
	return errors.New("is not a list of " + what)
}

// readKeep reads a list of {at, where}.
func readKeep(v ast.Value) (out []exchange.Keep, err error) {
	err = each(v, "{at, where}", func(obj ast.Object) error {
		var k exchange.Keep
		stated := false
		err := obj.Iter(func(key, t *ast.Term) error {
			name, _ := key.Value.(ast.String)
			switch name {
			case "at":
				s, ok := t.Value.(ast.String)
				if !ok || s != "" && s[0] != '/' {
					return errors.New(`at is not a JSON pointer: it must begin with a slash, or be "" for the answer itself`)
				}
				k.At, stated = string(s), true
			case "where":
				j, err := ast.JSON(t.Value)
				if err != nil {
					return fmt.Errorf("where: %w", err)
				}
				written := value.FromAny(j)
				c, err := filter.ParseUCAST(&written)
				if err != nil {
					return fmt.Errorf("where: %w", err)
				}
				k.Where = &c
			case "optional":
				b, ok := t.Value.(ast.Boolean)
				if !ok {
					return errors.New("optional is not a boolean")
				}
				k.Optional = bool(b)
			default:
				return fmt.Errorf("%s is not known; known are at, where and optional", key)
			}
			return nil
		})
		if err == nil && (!stated || k.Where == nil) {
			err = errors.New("does not say both at and where")
		}
		out = append(out, k)
		return err
	})
	return out, err
}

// readMasks reads a list of {at, kind, value}. Those of the kind drop are
// pointers to strip.
func readMasks(v ast.Value) (out []exchange.Mask, strip []string, err error) {
	err = each(v, "{at, kind}", func(obj ast.Object) error {
		at, ok := textOf(obj, "at")
		if !ok || !strings.HasPrefix(at, "/") {
			return errors.New("at is not a JSON pointer that begins with a slash")
		}
		m, drop, err := readMask(ast.NewTerm(obj), at, true)
		switch {
		case err != nil:
			return err
		case drop:
			strip = append(strip, at)
		default:
			out = append(out, m)
		}
		return nil
	})
	return out, strip, err
}

func textOf(obj ast.Object, key string) (string, bool) {
	t := obj.Get(ast.StringTerm(key))
	if t == nil {
		return "", false
	}
	s, ok := t.Value.(ast.String)
	return string(s), ok
}

// readMask reads how a value is masked: a kind, {kind, value}, or
// {replace: {value}} as OPA's data filters write it. drop says to remove it.
func readMask(t *ast.Term, at string, named bool) (m exchange.Mask, drop bool, err error) {
	m.At = at
	var fixed *ast.Term
	switch v := t.Value.(type) {
	case ast.String:
		m.Kind = string(v)
	case ast.Object:
		if r := v.Get(ast.StringTerm("replace")); r != nil && !named {
			inner, ok := r.Value.(ast.Object)
			if !ok || v.Len() != 1 || inner.Len() != 1 || inner.Get(ast.StringTerm("value")) == nil {
				return m, false, errors.New("replace is not {value: …}")
			}
			m.Kind, fixed = exchange.MaskFixed, inner.Get(ast.StringTerm("value"))
			break
		}
		err := v.Iter(func(key, t *ast.Term) error {
			switch name, _ := key.Value.(ast.String); {
			case name == "kind":
				s, _ := t.Value.(ast.String)
				m.Kind = string(s)
			case name == "value":
				fixed = t
			case name == "at" && named:
			default:
				return fmt.Errorf("%s is not known; known are kind and value", key)
			}
			return nil
		})
		if err != nil {
			return m, false, err
		}
	default:
		return m, false, errors.New("is neither a kind of mask nor an object {kind}")
	}
	switch m.Kind {
	case "drop":
		drop = true
	case exchange.MaskNull, exchange.MaskLast4, exchange.MaskHash:
	case exchange.MaskFixed:
		if fixed == nil || !ast.IsScalar(fixed.Value) {
			return m, false, errors.New("fixed needs a value that is a string, number, boolean or null")
		}
		m.Text = scalarJSON(fixed.Value)
		return m, false, nil
	default:
		return m, false, fmt.Errorf("kind %q is not known; known are drop, null, fixed, last4 and hash", m.Kind)
	}
	if fixed != nil {
		return m, false, fmt.Errorf("kind %s takes no value", m.Kind)
	}
	return m, drop, nil
}

func scalarJSON(v ast.Value) string {
	if s, ok := v.(ast.String); ok {
		return string(value.AppendString(nil, string(s)))
	}
	return v.String()
}

// elements is a rewrite.Filter that drops elements of lists by their place.
type elements struct {
	kids map[string]*elements
	drop map[string]bool
}

var _ rewrite.Filter = (*elements)(nil)

func (e *elements) kid(name string) *elements {
	if e.kids == nil {
		e.kids = map[string]*elements{}
	}
	if e.kids[name] == nil {
		e.kids[name] = &elements{}
	}
	return e.kids[name]
}

// Root implements rewrite.Filter.
func (e *elements) Root() rewrite.State { return rewrite.State{Ref: e} }

// Member implements rewrite.Filter.
func (e *elements) Member(s rewrite.State, name string) (rewrite.State, rewrite.Action) {
	at, _ := s.Ref.(*elements)
	switch {
	case at == nil:
		return rewrite.State{}, rewrite.Pass
	case at.drop[name]:
		return rewrite.State{}, rewrite.Drop
	case at.kids[name] == nil:
		return rewrite.State{}, rewrite.Pass
	}
	return rewrite.State{Ref: at.kids[name]}, rewrite.Keep
}

// Item implements rewrite.Filter.
func (e *elements) Item(s rewrite.State, i int) (rewrite.State, rewrite.Action) {
	return e.Member(s, strconv.Itoa(i))
}

// Scalar implements rewrite.Filter.
func (e *elements) Scalar(rewrite.State, value.Kind, string) ([]byte, rewrite.Action) {
	return nil, rewrite.Keep
}

// keepOnly marks what of an answer does not fulfil a rule. ok is false, with the
// place, when there is no list where the rule says: then nobody knows what the
// answer holds. A list that is optional may be missing, and must be a list.
func (e *elements) keepOnly(v *value.Value, tokens []string, k *exchange.Keep, at string) (place string, ok bool) {
	if len(tokens) == 0 {
		switch v.Kind {
		case value.Null:
			return "", true
		case value.Array, value.Object:
		default:
			return at, false
		}
		for i := range v.Kids {
			if k.Where.Holds(&v.Kids[i]) {
				continue
			}
			if e.drop == nil {
				e.drop = map[string]bool{}
			}
			e.drop[nameOf(v, i)] = true
		}
		return "", true
	}
	if tokens[0] == "*" {
		if v.Kind != value.Array && v.Kind != value.Object {
			return at, v.Kind == value.Null
		}
		rest := tokens[1:]
		for i := range v.Kids {
			name := nameOf(v, i)
			if place, ok := e.kid(name).keepOnly(&v.Kids[i], rest, k, at+"/"+value.EscapeToken(name)); !ok {
				return place, false
			}
		}
		return "", true
	}
	at += "/" + tokens[0]
	next := v.At("/" + tokens[0])
	if next == nil {
		return at, k.Optional && v.Kind == value.Object || v.Kind == value.Null
	}
	return e.kid(value.UnescapeToken(tokens[0])).keepOnly(next, tokens[1:], k, at)
}

func nameOf(v *value.Value, i int) string {
	if v.Kind == value.Array {
		return strconv.Itoa(i)
	}
	return v.Kids[i].Name
}

func tokensOf(pointer string) []string {
	if pointer == "" {
		return nil
	}
	return strings.Split(pointer[1:], "/")
}
