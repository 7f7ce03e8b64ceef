package access_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestDemand(t *testing.T) {
	yes, no := true, false
	bearer := spec.Requirement{{Scheme: &spec.SecurityScheme{Name: "bearer", Type: "http", Scheme: "bearer"}}}
	get := func(security []spec.Requirement, public, declared bool) *spec.Operation {
		return &spec.Operation{ID: "get", Method: "GET", Path: "/x", Security: security, Public: public, SecurityDeclared: declared}
	}
	override := func(o ...config.OperationOverride) []config.OperationOverride {
		for i := range o {
			o[i].Operation = "get"
		}
		return o
	}
	for name, c := range map[string]struct {
		op        *spec.Operation
		overrides []config.OperationOverride
		methods   bool
		public    bool
		roles     [][]string
		alts      int
	}{
		"silent document, no methods":    {get(nil, true, false), nil, false, true, nil, 0},
		"silent document, methods":       {get(nil, true, false), nil, true, false, nil, 0},
		"silent document, opened":        {get(nil, true, false), override(config.OperationOverride{Public: &yes}), true, true, nil, 0},
		"declared public":                {get([]spec.Requirement{{}}, true, true), nil, true, true, nil, 0},
		"optional":                       {get([]spec.Requirement{{}, bearer}, true, true), nil, true, true, nil, 1},
		"optional, closed":               {get([]spec.Requirement{{}, bearer}, true, true), override(config.OperationOverride{Public: &no}), true, false, nil, 1},
		"protected":                      {get([]spec.Requirement{bearer}, false, true), nil, true, false, nil, 1},
		"protected, no methods":          {get([]spec.Requirement{bearer}, false, true), nil, false, false, nil, 1},
		"protected, opened":              {get([]spec.Requirement{bearer}, false, true), override(config.OperationOverride{Public: &yes}), true, true, nil, 1},
		"opened and closed stays closed": {get([]spec.Requirement{bearer}, false, true), override(config.OperationOverride{Public: &yes}, config.OperationOverride{Public: &no}), true, false, nil, 1},
		"roles close":                    {get([]spec.Requirement{{}}, true, true), override(config.OperationOverride{Roles: []string{"a"}}, config.OperationOverride{Roles: []string{"b", "c"}}), true, false, [][]string{{"a"}, {"b", "c"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tab, err := access.New(&spec.API{Operations: []*spec.Operation{c.op}}, c.overrides, c.methods)
			if err != nil {
				t.Fatal(err)
			}
			d := tab.For(c.op)
			if d.Public != c.public || len(d.Alternatives) != c.alts {
				t.Errorf("public %v with %d alternatives, want %v with %d", d.Public, len(d.Alternatives), c.public, c.alts)
			}
			if diff := cmp.Diff(c.roles, d.Roles); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownOperation(t *testing.T) {
	for _, methods := range []bool{true, false} {
		tab, err := access.New(nil, nil, methods)
		if err != nil {
			t.Fatal(err)
		}
		if tab.For(nil).Public == methods {
			t.Errorf("methods %v: public %v", methods, !methods)
		}
	}
}

func TestOverridesThatCannotBeMeant(t *testing.T) {
	yes := true
	api := &spec.API{Operations: []*spec.Operation{{ID: "get", Method: "GET", Path: "/x"}}}
	_, err := access.New(api, []config.OperationOverride{
		{Operation: "gett", Roles: []string{"admin"}},
		{Operation: "get", Roles: []string{"admin"}, Public: &yes},
	}, true)
	if err == nil || !strings.Contains(err.Error(), `"gett"`) || !strings.Contains(err.Error(), "get is public and demands roles") {
		t.Fatalf("want both mistakes, got %v", err)
	}
}
