package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// node is one node of UCAST, as OPA's compile API writes it
// (https://www.openpolicyagent.org/docs/filtering).
type node struct {
	Type     string `json:"type"` // "field" or "compound"
	Operator string `json:"operator"`
	Field    string `json:"field,omitempty"`
	Value    any    `json:"value"`
}

// MarshalJSON writes the condition as UCAST; {} is one that always holds.
func (c *Cond) MarshalJSON() ([]byte, error) {
	if c.Op == True {
		return []byte("{}"), nil
	}
	n, err := c.ucast()
	if err != nil {
		return nil, err
	}
	return json.Marshal(n)
}

func (c *Cond) ucast() (*node, error) {
	name, ok := names[c.Op]
	if !ok {
		return nil, errors.New("a condition that never holds has no UCAST")
	}
	if c.Op == And || c.Op == Or || c.Op == Not {
		kids := make([]*node, len(c.Kids))
		for i := range c.Kids {
			var err error
			if kids[i], err = c.Kids[i].ucast(); err != nil {
				return nil, err
			}
		}
		return &node{Type: "compound", Operator: name, Value: kids}, nil
	}
	n := &node{Type: "field", Operator: name, Field: c.Field.String(), Value: c.Value.ToAny()}
	if c.Other != nil {
		n.Value = map[string]any{"field": c.Other.String()}
	}
	return n, nil
}

// maxDepth bounds the nesting of a condition that a policy writes.
const maxDepth = 64

// ParseUCAST reads a condition written as UCAST. A field is a path of names
// joined by dots, or a JSON pointer.
func ParseUCAST(v *value.Value) (Cond, error) { return parseNode(v, 0) }

func parseNode(v *value.Value, depth int) (Cond, error) {
	if depth > maxDepth {
		return Cond{}, fmt.Errorf("the condition is nested more than %d deep", maxDepth)
	}
	if v == nil || v.Kind != value.Object {
		return Cond{}, errors.New("a condition is an object {type, operator, field, value}")
	}
	if len(v.Kids) == 0 {
		return always, nil
	}
	for i := range v.Kids {
		if n := v.Kids[i].Name; !slices.Contains([]string{"type", "operator", "field", "value"}, n) {
			return Cond{}, fmt.Errorf("a condition has a member %q; known are type, operator, field and value", n)
		}
	}
	operator, operand := v.Get("operator").Str(), v.Get("value")
	op, err := operation(operator)
	if err != nil {
		return Cond{}, err
	}
	compound := op == And || op == Or || op == Not
	if t := v.Get("type").Str(); t != "" && (t == "compound") != compound {
		return Cond{}, fmt.Errorf("%s is of type %q", operator, t)
	}
	if compound {
		return parseCompound(op, operator, operand, depth)
	}
	c := Cond{Op: op}
	if c.Field, err = parseField(v.Get("field").Str()); err != nil {
		return Cond{}, err
	}
	if op == Exists || op == Truthy {
		return c, nil
	}
	if operand == nil {
		return Cond{}, fmt.Errorf("%s of %s: value is missing", operator, c.Field)
	}
	switch {
	case op == In && operand.Kind != value.Array, op != In && operand.Kind == value.Array:
		return Cond{}, fmt.Errorf("%s of %s: the value must be a list for in, and for nothing else", operator, c.Field)
	case op != In && operand.Kind == value.Object:
		if c.Other, err = parseField(operand.Get("field").Str()); err != nil {
			return Cond{}, fmt.Errorf("%s of %s: %w", operator, c.Field, err)
		}
		if op > Ge {
			return Cond{}, fmt.Errorf("%s of %s: only comparisons take another field", operator, c.Field)
		}
	case (op == StartsWith || op == EndsWith || op == Contains || op == Type) && operand.Kind != value.String:
		return Cond{}, fmt.Errorf("%s of %s: the value must be a string", operator, c.Field)
	}
	if c.Other == nil {
		c.Value = *operand
	}
	if op == In && len(operand.Kids) == 0 {
		c = never
	}
	if operator == "nin" {
		c = not(c)
	}
	return c, nil
}

func parseCompound(op Op, operator string, operand *value.Value, depth int) (Cond, error) {
	if operand == nil || operand.Kind != value.Array || op == Not && len(operand.Kids) != 1 {
		return Cond{}, fmt.Errorf("%s: the value must be a list of conditions; of one for not", operator)
	}
	kids := make([]Cond, len(operand.Kids))
	for i := range operand.Kids {
		var err error
		if kids[i], err = parseNode(&operand.Kids[i], depth+1); err != nil {
			return Cond{}, err
		}
	}
	switch op {
	case And:
		return and(kids...), nil
	case Or:
		return or(kids...), nil
	default:
		return not(kids[0]), nil
	}
}

func operation(name string) (Op, error) {
	switch name {
	case "ge":
		return Ge, nil
	case "le":
		return Le, nil
	case "nin":
		return In, nil
	}
	known := make([]string, 0, len(names))
	for op, n := range names {
		if n == name {
			return op, nil
		}
		known = append(known, n)
	}
	slices.Sort(known)
	return False, fmt.Errorf("the operator %q is not known; known are %s", name, strings.Join(known, ", "))
}

func parseField(s string) (Field, error) {
	if s == "" || s == "/" {
		return nil, errors.New("a condition does not say of which field")
	}
	var f Field
	if s[0] == '/' {
		for token := range strings.SplitSeq(s[1:], "/") {
			f = append(f, value.UnescapeToken(token))
		}
		return f, nil
	}
	return strings.Split(s, "."), nil
}
