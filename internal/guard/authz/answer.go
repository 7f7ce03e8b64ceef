package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// readAnswerRules reads a list of {at, in}.
func readAnswerRules(v ast.Value) ([]exchange.AnswerRule, error) {
	var out []exchange.AnswerRule
	err := each(v, "{at, in}", func(obj ast.Object) error {
		var r exchange.AnswerRule
		err := obj.Iter(func(k, t *ast.Term) error {
			key, _ := k.Value.(ast.String)
			var err error
			switch key {
			case "at":
				s, ok := t.Value.(ast.String)
				if !ok || !strings.HasPrefix(string(s), "/") {
					return errors.New("at is not a JSON pointer that begins with a slash")
				}
				r.At = string(s)
			case "in":
				if r.In, err = list(t.Value); err != nil {
					return fmt.Errorf("in %w", err)
				}
			default:
				return fmt.Errorf("%s is not known; known are at and in", k)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if r.At == "" {
			return errors.New("a rule does not say at")
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// checkAnswer holds a successful answer against the policy's rules for it.
func checkAnswer(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	if !x.Obligations.Holds() || x.Response.Status >= 300 {
		return exchange.Verdict{}
	}
	b := x.Response.Body
	if b == nil || len(b.Bytes) == 0 {
		return exchange.Verdict{} // nothing of an object is in it
	}
	if b.Root == nil {
		return exchange.Refuse("authz.not_owner", "", "the policy has rules for the answer, which cannot be read")
	}
	for i := range x.Obligations.Answer {
		r := &x.Obligations.Answer[i]
		if at, ok := obeys(b.Root, strings.Split(r.At[1:], "/"), r.In, ""); !ok {
			return exchange.Refuse("authz.not_owner", "", "the answer's "+at+" is not one of those that the policy allows")
		}
	}
	if len(x.Obligations.Keep) == 0 {
		return exchange.Verdict{}
	}
	gone := &elements{}
	for i := range x.Obligations.Keep {
		k := &x.Obligations.Keep[i]
		if at, ok := gone.keepOnly(b.Root, tokensOf(k.At), k, ""); !ok {
			return exchange.Refuse("authz.not_owner", "", "the answer has no list at "+strconv.Quote(at)+", where the policy says which elements may pass")
		}
	}
	if len(gone.kids) > 0 || len(gone.drop) > 0 {
		x.Response.Filters = append(x.Response.Filters, gone)
	}
	return exchange.Verdict{}
}

// obeys reports whether every value at a pointer pattern is one of a list, and
// where one is not. A value that is not there is none of them, but a list
// without elements has nothing that could be wrong.
func obeys(v *value.Value, tokens, in []string, at string) (string, bool) {
	if len(tokens) == 0 {
		scalar := v.Kind == value.String || v.Kind == value.Number || v.Kind == value.Bool
		return at, scalar && slices.Contains(in, v.Text)
	}
	if tokens[0] == "*" {
		if v.Kind != value.Array && v.Kind != value.Object {
			return at + "/*", false
		}
		for i := range v.Kids {
			name := v.Kids[i].Name
			if v.Kind == value.Array {
				name = strconv.Itoa(i)
			}
			if where, ok := obeys(&v.Kids[i], tokens[1:], in, at+"/"+value.EscapeToken(name)); !ok {
				return where, false
			}
		}
		return at, true
	}
	next := v.At("/" + tokens[0])
	at += "/" + tokens[0]
	if next == nil {
		return at, false
	}
	return obeys(next, tokens[1:], in, at)
}
