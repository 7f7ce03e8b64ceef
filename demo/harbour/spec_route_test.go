package harbour

import (
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestSpecIsTheRouteTable: the document and the server name the same
// operations, for the same roles and scopes; the holes' own are in neither
// document nor fixed server.
func TestSpecIsTheRouteTable(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Roles    []string              `yaml:"x-roles"`
			Security []map[string][]string `yaml:"security"`
			Params   []struct {
				Ref  string `yaml:"$ref"`
				In   string `yaml:"in"`
				Name string `yaml:"name"`
			} `yaml:"parameters"`
		} `yaml:"paths"`
		Components struct {
			Parameters map[string]struct {
				In   string `yaml:"in"`
				Name string `yaml:"name"`
			} `yaml:"parameters"`
		} `yaml:"components"`
	}
	err := yaml.Unmarshal(Spec(), &doc)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{}
	served := map[string]route{}
	for _, rt := range s.table() {
		served[rt.method+" "+rt.path] = rt
	}
	documented := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			documented++
			name := strings.ToUpper(method) + " " + path
			rt, ok := served[name]
			if !ok {
				t.Errorf("%s is documented and not served", name)
				continue
			}
			delete(served, name)
			if !slices.Equal(rt.roles, op.Roles) {
				t.Errorf("%s: documented for %v, served for %v", name, op.Roles, rt.roles)
			}
			var query []string
			for _, p := range op.Params {
				if p.Ref != "" {
					shared := doc.Components.Parameters[p.Ref[strings.LastIndexByte(p.Ref, '/')+1:]]
					p.In, p.Name = shared.In, shared.Name
				}
				if p.In == "query" {
					query = append(query, p.Name)
				}
			}
			if !slices.Equal(rt.query, query) {
				t.Errorf("%s: documented with the parameters %v, served with %v", name, query, rt.query)
			}
			scope := ""
			if len(op.Security) == 1 && len(op.Security[0]["partner"]) == 1 {
				scope = op.Security[0]["partner"][0]
			}
			if scope != rt.scope {
				t.Errorf("%s: documented with the scope %q, served with %q", name, scope, rt.scope)
			}
		}
	}
	for name := range served {
		t.Errorf("%s is served and not documented", name)
	}
	if documented < 35 {
		t.Errorf("%d operations, 35 are promised", documented)
	}
}
