package impact

import (
	"fmt"
	"iter"
	"maps"
	"os"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

// Candidate reads a policy that does not decide yet: Rego files and folders, data,
// and OPA bundles. What it does not have, rules or data, is the active policy's.
func Candidate(policies, data, bundles []string) (*authz.Part, error) {
	out := &authz.Part{Modules: map[string]*ast.Module{}, Texts: map[string][]byte{}}
	add := func(p *authz.Part, from string) error {
		maps.Copy(out.Modules, p.Modules)
		maps.Copy(out.Texts, p.Texts)
		switch {
		case p.Data == nil:
		case out.Data == nil:
			out.Data = p.Data
		default:
			merged, ok := out.Data.Merge(p.Data)
			if !ok {
				return fmt.Errorf("%s: data that is given twice", from)
			}
			out.Data = merged
		}
		return nil
	}
	if len(policies)+len(data) > 0 {
		p, err := authz.LoadFiles(policies, data)
		if err != nil {
			return nil, err
		}
		if err := add(p, "the files"); err != nil {
			return nil, err
		}
	}
	for _, path := range bundles {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the candidate: %w", err)
		}
		p, _, err := authz.ReadArchive(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := add(p, path); err != nil {
			return nil, err
		}
	}
	if len(out.Modules) == 0 {
		out.Modules = nil
	}
	return out, nil
}

// Cases reads recorded decisions.
func Cases(list []*decisionlog.Event) iter.Seq2[*Case, error] {
	return func(yield func(*Case, error) bool) {
		for _, e := range list {
			c, err := CaseOf(e)
			if !yield(c, err) {
				return
			}
		}
	}
}
