package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// writable says which roles may write a field (API3:2023, CWE-915).
type writable struct {
	pointer string
	tokens  []string // "*" is any element or member
	roles   []string
}

// addWritable compiles the config's writable_by.
func (g *Guard) addWritable(api *spec.API, overrides []config.OperationOverride) error {
	for i := range overrides {
		o := &overrides[i]
		for pointer, roles := range o.WritableBy {
			if !strings.HasPrefix(pointer, "/") {
				return fmt.Errorf("operations[%d].writable_by: %q is no JSON pointer; it starts with a slash, such as /role", i, pointer)
			}
			tokens := strings.Split(pointer[1:], "/")
			for j := range tokens {
				tokens[j] = value.UnescapeToken(tokens[j])
			}
			for _, op := range api.Operations {
				if o.Matches(op.ID, op.Method, op.Path) {
					g.ops[op.Index].writable = append(g.ops[op.Index].writable, writable{pointer, tokens, roles})
				}
			}
		}
	}
	return nil
}

// checkWritable refuses fields that the config lets other roles write.
func (g *Guard) checkWritable(x *exchange.Exchange, root *value.Value) exchange.Verdict {
	for i := range g.ops[x.Operation.Index].writable {
		w := &g.ops[x.Operation.Index].writable[i]
		if slices.ContainsFunc(w.roles, func(r string) bool { return slices.Contains(x.Identity.Roles, r) }) {
			continue
		}
		if at, found := present(root, w.tokens, ""); found {
			return unvalidated(x, exchange.Refuse("contract.not_writable", at, "only "+strings.Join(w.roles, ", ")+" may write this field"))
		}
	}
	return exchange.Verdict{}
}

// present looks for a value at a pointer pattern and returns where it stands.
func present(v *value.Value, tokens []string, at string) (string, bool) {
	if len(tokens) == 0 {
		return at, true
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		name := k.Name
		if v.Kind == value.Array {
			name = strconv.Itoa(i)
		}
		if tokens[0] == "*" || tokens[0] == name {
			if where, ok := present(k, tokens[1:], at+"/"+value.EscapeToken(name)); ok {
				return where, true
			}
		}
	}
	return "", false
}
