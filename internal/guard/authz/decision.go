package authz

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"golang.org/x/net/http/httpguts"

	"github.com/crenel-project/crenel/internal/exchange"
)

// decision is what a policy said.
type decision struct {
	allow       bool
	reason      string
	detail      map[string]any
	obligations exchange.Obligations
	stepUp      *stepUp
}

// stepUp demands a fresher or stronger authentication (RFC 9470).
type stepUp struct {
	acr    []string // any one of these authentication contexts
	maxAge string   // seconds since the caller last proved who they are; "" when it does not matter
}

// maxReason bounds what a policy writes into the record.
const maxReason = 1024

// readDecision reads a boolean, or an object {allow, reason, obligations,
// detail}. Anything that it does not know is an error and not ignored: a
// misspelt obligation would else be one that nobody meets.
func readDecision(v ast.Value) (*decision, error) {
	d := &decision{}
	if b, ok := v.(ast.Boolean); ok {
		d.allow = bool(b)
		return d, nil
	}
	obj, ok := v.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("the decision is neither a boolean nor an object but %s", ast.ValueName(v))
	}
	stated := false
	err := obj.Iter(func(k, t *ast.Term) error {
		key, _ := k.Value.(ast.String)
		switch key {
		case "allow":
			b, ok := t.Value.(ast.Boolean)
			if !ok {
				return errors.New("allow is not a boolean")
			}
			d.allow, stated = bool(b), true
		case "reason":
			s, ok := t.Value.(ast.String)
			if !ok {
				return errors.New("reason is not a string")
			}
			d.reason = string(s[:min(len(s), maxReason)])
		case "detail":
			j, err := ast.JSON(t.Value)
			if err != nil {
				return fmt.Errorf("detail: %w", err)
			}
			m, ok := j.(map[string]any)
			if !ok {
				return errors.New("detail is not an object")
			}
			d.detail = m
		case "obligations":
			return d.readObligations(t.Value)
		default:
			return fmt.Errorf("the decision has a member %s; known are allow, reason, obligations and detail", k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !stated {
		return nil, errors.New("the decision does not say allow")
	}
	return d, nil
}

func (d *decision) readObligations(v ast.Value) error {
	obj, ok := v.(ast.Object)
	if !ok {
		return errors.New("obligations is not an object")
	}
	return obj.Iter(func(k, t *ast.Term) error {
		key, _ := k.Value.(ast.String)
		var err error
		switch key {
		case "strip":
			var strip []string
			strip, err = pointers(t.Value)
			d.obligations.Strip = append(d.obligations.Strip, strip...)
		case "mask":
			d.obligations.Mask, err = pointers(t.Value)
		case "masks":
			var strip []string
			d.obligations.Masks, strip, err = readMasks(t.Value)
			d.obligations.Strip = append(d.obligations.Strip, strip...)
		case "keep":
			d.obligations.Keep, err = readKeep(t.Value)
		case "headers":
			d.obligations.Headers, err = fields(t.Value, validHeader)
		case "query":
			d.obligations.Query, err = fields(t.Value, validQuery)
		case "answer":
			d.obligations.Answer, err = readAnswerRules(t.Value)
		case "step_up":
			d.stepUp, err = readStepUp(t.Value)
		default:
			err = errors.New("is not known; known are strip, mask, masks, headers, query, answer, keep and step_up")
		}
		if err != nil {
			return fmt.Errorf("obligation %s: %w", k, err)
		}
		return nil
	})
}

// list reads an array or a set of strings.
func list(v ast.Value) ([]string, error) {
	var out []string
	err := iterate(v, "strings", func(t *ast.Term) error {
		s, ok := t.Value.(ast.String)
		if !ok {
			return errors.New("is not a list of strings")
		}
		out = append(out, string(s))
		return nil
	})
	return out, err
}

func pointers(v ast.Value) ([]string, error) {
	out, err := list(v)
	if err != nil {
		return nil, err
	}
	for _, p := range out {
		if !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("%q is not a JSON pointer: it must begin with a slash", p)
		}
	}
	return out, nil
}

// fields reads an object of strings, numbers and booleans.
func fields(v ast.Value, valid func(name, value string) error) (map[string]string, error) {
	obj, ok := v.(ast.Object)
	if !ok {
		return nil, errors.New("is not an object")
	}
	out := make(map[string]string, obj.Len())
	err := obj.Iter(func(k, t *ast.Term) error {
		key, ok := k.Value.(ast.String)
		if !ok {
			return errors.New("has a name that is not a string")
		}
		var text string
		switch t := t.Value.(type) {
		case ast.String:
			text = string(t)
		case ast.Number:
			text = string(t)
		case ast.Boolean:
			text = strconv.FormatBool(bool(t))
		default:
			return fmt.Errorf("%s is not a string, number or boolean", k)
		}
		if err := valid(string(key), text); err != nil {
			return err
		}
		out[string(key)] = text
		return nil
	})
	return out, err
}

// framing are header fields that say how a message is framed or routed; a
// policy must not touch them.
var framing = map[string]bool{
	"connection": true, "content-length": true, "transfer-encoding": true, "host": true, "te": true, "trailer": true,
	"upgrade": true, "keep-alive": true, "proxy-connection": true, "proxy-authorization": true, "expect": true,
	"content-encoding": true, "content-type": true,
}

func validHeader(name, value string) error {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is not a header's name", name)
	case framing[strings.ToLower(name)]:
		return fmt.Errorf("header %s is not the policy's to set", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("the value of header %s holds control characters", name)
	case strings.TrimSpace(value) != value:
		// Who reads the field takes it off: "north " would be north.
		return fmt.Errorf("the value of header %s begins or ends with white space", name)
	}
	return nil
}

func validQuery(name, _ string) error {
	if name == "" {
		return errors.New("has an empty name")
	}
	return nil
}

// readStepUp reads {acr_values, max_age}; false and null demand nothing.
func readStepUp(v ast.Value) (*stepUp, error) {
	switch v := v.(type) {
	case ast.Null:
		return nil, nil
	case ast.Boolean:
		if v {
			return &stepUp{}, nil
		}
		return nil, nil
	}
	obj, ok := v.(ast.Object)
	if !ok {
		return nil, errors.New("is not an object")
	}
	s := &stepUp{}
	err := obj.Iter(func(k, t *ast.Term) error {
		key, _ := k.Value.(ast.String)
		switch key {
		case "acr_values":
			if one, ok := t.Value.(ast.String); ok {
				s.acr = strings.Fields(string(one))
			} else {
				var err error
				if s.acr, err = list(t.Value); err != nil {
					return fmt.Errorf("acr_values %w", err)
				}
			}
			for _, a := range s.acr {
				if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
					return fmt.Errorf("acr_values holds %q, which a challenge cannot say", a)
				}
			}
		case "max_age":
			n, ok := t.Value.(ast.Number)
			if i, isInt := n.Int(); !ok || !isInt || i < 0 {
				return errors.New("max_age is not a whole number of seconds")
			}
			s.maxAge = string(n)
		default:
			return fmt.Errorf("%s is not known; known are acr_values and max_age", k)
		}
		return nil
	})
	return s, err
}

// challenge is RFC 9470's answer.
func (s *stepUp) challenge(realm string) string {
	c := `Bearer realm="` + realm + `", error="insufficient_user_authentication", error_description="A different authentication level is required"`
	if len(s.acr) > 0 {
		c += `, acr_values="` + strings.Join(s.acr, " ") + `"`
	}
	if s.maxAge != "" {
		c += `, max_age="` + s.maxAge + `"`
	}
	return c
}
