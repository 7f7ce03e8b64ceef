package matrix

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/spec"
)

// records are where sources put rows that are objects of columns. What is in them
// is not asked for: the table must not change with the data of a day.
func records(sources []config.Source) []storage.Path {
	var out []storage.Path
	for i := range sources {
		s := &sources[i]
		var rows config.Rows
		switch {
		case s.SQL != nil:
			rows = s.SQL.Rows
		case s.HTTP != nil:
			rows = s.HTTP.Rows
		case s.File != nil:
			rows = s.File.Rows
		default:
			continue // directories give attributes, most of them in lists
		}
		if len(rows.Key) > 0 && rows.Value == "" && !rows.Many {
			out = append(out, strings.Split(s.At, "/"))
		}
	}
	return out
}

// owners are the names of members by which policies ask of something whose it is:
// customer_id in order.customer_id.
func owners(modules map[string]*ast.Module) []string {
	var out []string
	for _, m := range modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			head, ok := r[0].Value.(ast.Var)
			if len(r) < 2 || !ok || head == ast.InputRootDocument.Value || head == ast.DefaultRootDocument.Value {
				return false
			}
			name, ok := r[1].Value.(ast.String)
			if _, names := spec.NamesOwner(withoutID(string(name))); ok && names && !slices.Contains(out, string(name)) {
				out = append(out, string(name))
			}
			return false
		})
	}
	slices.Sort(out)
	return out
}
