package authz

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// An evaluation is ended when its time is up, and its time bounds its memory,
// except within one call of a built-in function: bits.lsh(1, 1e12) would take all
// the memory there is before anybody looks at the clock. Those functions whose
// result can be far larger than their operands are bounded here (CWE-789). In
// strict evaluation, as all of ours is, the error denies.

const (
	maxBuilt    = 16 << 20  // bytes of a text that a function makes
	maxElements = 1_000_000 // of a list that a function makes
	maxExponent = 4096      // decimal, of a number that is computed with whole
	maxShift    = 1 << 16   // bits
)

func init() {
	for _, name := range []string{"bits.lsh", "bits.rsh", "bits.and", "bits.or", "bits.xor", "bits.negate", "rem", "ceil", "floor", "round", "format_int", "numbers.range", "numbers.range_step", "concat", "sprintf", "replace", "strings.replace_n", "array.concat"} {
		bound(name)
	}
}

// bound puts checks before and after a built-in function.
func bound(name string) {
	inner := topdown.GetBuiltin(name)
	if inner == nil {
		panic("authz: OPA has no built-in function " + name)
	}
	topdown.RegisterBuiltinFunc(name, func(ctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		if err := fits(name, operands); err != nil {
			return err
		}
		return inner(ctx, operands, iter)
	})
}

func fits(name string, operands []*ast.Term) error {
	for _, t := range operands {
		if n, ok := t.Value.(ast.Number); ok && huge(string(n)) {
			return fmt.Errorf("the number %.20s… is too large to compute with", string(n))
		}
	}
	switch name {
	case "bits.lsh", "bits.rsh":
		if n, ok := integer(operands[1]); !ok || n > maxShift {
			return fmt.Errorf("a shift by more than %d bits", maxShift)
		}
	case "numbers.range", "numbers.range_step":
		a, ok1 := integer(operands[0])
		b, ok2 := integer(operands[1])
		if ok1 && ok2 && max(a-b, b-a) > maxElements && (name == "numbers.range" || !wideStep(operands[2], max(a-b, b-a))) {
			return fmt.Errorf("a range of more than %d numbers", maxElements)
		}
	case "concat":
		if built(operands[0], operands[1]) > maxBuilt {
			return errTooLong
		}
	case "sprintf":
		if textLen(operands[0])+listLen(operands[1]) > maxBuilt {
			return errTooLong
		}
	case "replace":
		if replaced(plainText(operands[0]), plainText(operands[1]), plainText(operands[2])) > maxBuilt {
			return errTooLong
		}
	case "strings.replace_n":
		if obj, ok := operands[0].Value.(ast.Object); ok {
			most := len(plainText(operands[1]))
			obj.Foreach(func(old, with *ast.Term) {
				most = max(most, replaced(plainText(operands[1]), plainText(old), plainText(with)))
			})
			if most > maxBuilt {
				return errTooLong
			}
		}
	case "array.concat":
		a, ok1 := operands[0].Value.(*ast.Array)
		b, ok2 := operands[1].Value.(*ast.Array)
		if ok1 && ok2 && a.Len()+b.Len() > maxElements {
			return fmt.Errorf("a list of more than %d elements", maxElements)
		}
	}
	return nil
}

var errTooLong = errors.New("a text of more than " + strconv.Itoa(maxBuilt>>20) + " MiB")

// huge reports whether a number has too many digits or too large an exponent to be
// written out.
func huge(n string) bool {
	if len(n) > maxExponent {
		return true
	}
	i := strings.IndexAny(n, "eE")
	if i < 0 {
		return false
	}
	exp, err := strconv.Atoi(n[i+1:])
	return err != nil || exp > maxExponent || exp < -maxExponent
}

func integer(t *ast.Term) (int, bool) {
	n, ok := t.Value.(ast.Number)
	if !ok {
		return 0, false
	}
	return n.Int()
}

func wideStep(step *ast.Term, span int) bool {
	s, ok := integer(step)
	return ok && s > 0 && span/s <= maxElements
}

func plainText(t *ast.Term) string {
	s, _ := t.Value.(ast.String)
	return string(s)
}

func textLen(t *ast.Term) int { return len(plainText(t)) }

// listLen is how long the texts of a list are together.
func listLen(t *ast.Term) int {
	n := 0
	one := func(e *ast.Term) { n += textLen(e) }
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(one)
	case ast.Set:
		v.Foreach(one)
	}
	return n
}

// built is how long the texts of a list are, joined.
func built(glue, list *ast.Term) int {
	n := 0
	switch v := list.Value.(type) {
	case *ast.Array:
		n = v.Len()
	case ast.Set:
		n = v.Len()
	}
	return listLen(list) + n*textLen(glue)
}

// replaced is how long a text becomes.
func replaced(s, old, with string) int {
	if len(with) <= len(old) {
		return len(s)
	}
	return len(s) + strings.Count(s, old)*(len(with)-len(old))
}
