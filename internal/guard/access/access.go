package access

import (
	"errors"
	"fmt"
	"slices"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
)

// Demand is what one operation demands of its caller.
type Demand struct {
	// Public: it may be called without credentials.
	Public bool
	// Alternatives are the sets of schemes of which one must be satisfied whole.
	// Empty and not Public: any accepted credential will do.
	Alternatives []spec.Requirement
	// Roles are sets of which the caller must hold one role each.
	Roles [][]string
	// StepUp are demands on how the caller signed in; all of them hold.
	StepUp []config.StepUp
}

// Table holds the Demands of one API.
type Table struct {
	unknown *Demand
	known   []Demand // by Operation.Index
}

// New compiles the demands. api may be nil. methods says whether any method of
// authentication is configured: then an operation on whose security the document
// is silent demands one. The error names every override that cannot be meant.
func New(api *spec.API, overrides []config.OperationOverride, methods bool) (*Table, error) {
	t := &Table{unknown: &Demand{Public: !methods}}
	var errs []error
	used := make([]bool, len(overrides))
	if api != nil {
		t.known = make([]Demand, len(api.Operations))
		for i, op := range api.Operations {
			d, err := demand(op, overrides, used, methods)
			if err != nil {
				errs = append(errs, err)
			}
			t.known[i] = d
		}
	}
	for i := range overrides {
		o := &overrides[i]
		if !used[i] && (len(o.Roles) > 0 || o.Public != nil || o.StepUp != nil || o.Ends != "") {
			errs = append(errs, fmt.Errorf("operations: %q sets roles, public, step_up or ends but matches no operation of the document: what it is to protect would be open", o.Operation))
		}
	}
	return t, errors.Join(errs...)
}

func demand(op *spec.Operation, overrides []config.OperationOverride, used []bool, methods bool) (Demand, error) {
	d := Demand{Public: op.Public}
	if !op.SecurityDeclared {
		d.Public = !methods
	}
	for _, r := range op.Security {
		if len(r) > 0 {
			d.Alternatives = append(d.Alternatives, r)
		}
	}
	var opened, closed bool
	for i := range overrides {
		o := &overrides[i]
		if !o.Matches(op.ID, op.Method, op.Path) {
			continue
		}
		used[i] = true
		if len(o.Roles) > 0 {
			d.Roles = append(d.Roles, o.Roles)
		}
		if o.StepUp != nil {
			d.StepUp = append(d.StepUp, *o.StepUp)
		}
		if o.Public != nil {
			opened = opened || *o.Public
			closed = closed || !*o.Public
		}
	}
	switch {
	case closed || len(d.Roles) > 0 || len(d.StepUp) > 0:
		d.Public = false
	case opened:
		d.Public = true
	}
	if opened && len(d.Roles) > 0 {
		return d, fmt.Errorf("operations: %s is public and demands roles; drop one of the two", op.ID)
	}
	if opened && len(d.StepUp) > 0 {
		return d, fmt.Errorf("operations: %s is public and demands a step-up; drop one of the two", op.ID)
	}
	return d, nil
}

// For returns the demand of an operation; op is nil for a call whose operation
// is not known.
func (t *Table) For(op *spec.Operation) *Demand {
	if op != nil && op.Index < len(t.known) {
		return &t.known[op.Index]
	}
	return t.unknown
}

// Granted reports whether a credential has the scopes that an alternative names for
// its scheme. What only the API can check is the API's to check.
func Granted(use *spec.SchemeUse, id *exchange.Identity) bool { return Missing(use, id) == 0 }

// Missing counts those scopes that it lacks. OpenAPI 3.1 lets schemes that have no
// scopes name roles instead.
func Missing(use *spec.SchemeUse, id *exchange.Identity) int {
	if !id.Verified {
		return 0
	}
	scoped := use.Scheme.Type == "oauth2" || use.Scheme.Type == "openIdConnect"
	n := 0
	for _, s := range use.Scopes {
		if !slices.Contains(id.Scopes, s) && (scoped || !slices.Contains(id.Roles, s)) {
			n++
		}
	}
	return n
}
