package authz

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/crenel-project/crenel/policies"
)

// Part is what one source gives to a policy: folders of files, a bundle, tables
// of relations. It is immutable once it was handed to an Engine.
type Part struct {
	// Revision says which version this is; records carry it. Not a secret.
	Revision string
	// Modules are Rego by file name. Those whose name ends in _test.rego are the
	// tests that must pass before any of it decides.
	Modules map[string]*ast.Module
	// Texts are the modules as they were written, by file name, as far as they are
	// known: for the copy that a decision log keeps.
	Texts map[string][]byte
	// Data is the part's share of data.
	Data ast.Object
	// Roots are the paths ("app/users") that are this part's alone, packages and data;
	// nil: it owns nothing, and holds what no other part owns.
	Roots []string
	// Tables are data at a path ("relations/users") held in a source's own way.
	Tables map[string]Table
	// Heard is when the source was heard of with this part; zero: when it is handed
	// in. A part that was restored from disk says when it was last confirmed.
	Heard time.Time
	// Accepted, when set, is called once after a policy with this part was activated.
	// It must not block and must not call the engine.
	Accepted func()
}

// sameCode reports whether two parts have the very same modules and data tree:
// then only tables differ, for which nothing needs to be compiled or tested.
func (p *Part) sameCode(o *Part) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.Data == o.Data && maps.Equal(p.Modules, o.Modules) && slices.Equal(p.Roots, o.Roots)
}

// LoadFiles reads policies (Rego files and directories) and data (JSON and YAML
// files and directories, a directory's name becoming a key, as OPA does it).
func LoadFiles(policyPaths, dataPaths []string) (*Part, error) {
	p := &Part{Modules: map[string]*ast.Module{}, Texts: map[string][]byte{}}
	if len(policyPaths) > 0 {
		rego, err := loader.NewFileLoader().WithRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).Filtered(policyPaths,
			func(_ string, info fs.FileInfo, _ int) bool {
				return !info.IsDir() && !strings.HasSuffix(info.Name(), ".rego")
			})
		if err != nil {
			return nil, fmt.Errorf("loading policies: %w", err)
		}
		tests := 0
		for name, f := range rego.Modules {
			p.Modules[name], p.Texts[name] = f.Parsed, f.Raw
			if isTest(name) {
				tests++
			}
		}
		if len(p.Modules) == tests {
			return nil, fmt.Errorf("loading policies: no Rego file in %s", strings.Join(policyPaths, ", "))
		}
	}
	if len(dataPaths) > 0 {
		data, err := loader.NewFileLoader().Filtered(dataPaths,
			func(_ string, info fs.FileInfo, _ int) bool {
				n := info.Name()
				return !info.IsDir() && !strings.HasSuffix(n, ".json") && !strings.HasSuffix(n, ".yaml") && !strings.HasSuffix(n, ".yml")
			})
		if err != nil {
			return nil, fmt.Errorf("loading data: %w", err)
		}
		if p.Data, err = Object(data.Documents); err != nil {
			return nil, fmt.Errorf("loading data: %w", err)
		}
	}
	return p, nil
}

// Object turns decoded JSON into OPA's values.
func Object(m map[string]any) (ast.Object, error) {
	v, err := ast.InterfaceToValue(m)
	if err != nil {
		return nil, err
	}
	settle(v)
	return v.(ast.Object), nil
}

func isTest(file string) bool { return strings.HasSuffix(file, testFileSuffix) }

// sources are the parts of a policy put together, not compiled.
type sources struct {
	modules map[string]*ast.Module // the user's, without tests
	tests   map[string]*ast.Module
	library map[string]*ast.Module
	texts   map[string][]byte
	data    *documents
	// revisions of the parts, by source.
	revisions map[string]string
}

// join puts parts together, by source. The error names every overlap.
func join(parts map[string]*Part) (*sources, error) {
	s := &sources{modules: map[string]*ast.Module{}, tests: map[string]*ast.Module{}, texts: map[string][]byte{}, revisions: map[string]string{}}
	var errs []error
	tree, tables := ast.NewObject(), map[string]Table{}
	names := slices.Sorted(maps.Keys(parts))
	errs = append(errs, ownedOnce(names, parts)...)
	for _, name := range names {
		p := parts[name]
		s.revisions[name] = p.Revision
		maps.Copy(s.texts, p.Texts)
		for file, m := range p.Modules {
			switch {
			case s.modules[file] != nil || s.tests[file] != nil:
				errs = append(errs, fmt.Errorf("%s: file %s is in another source too", name, file))
			case strings.HasPrefix(m.Package.Path.String()+".", policies.LibPackage+"."):
				errs = append(errs, fmt.Errorf("loading policies: %s: package %s is Crenel's own; use another name", file, m.Package.Path))
			case isTest(file):
				s.tests[file] = m
			default:
				s.modules[file] = m
			}
		}
		if p.Data != nil {
			merged, ok := tree.Merge(p.Data)
			if !ok {
				errs = append(errs, fmt.Errorf("%s: data that another source gives too", name))
			} else {
				tree = merged
			}
		}
		for at, t := range p.Tables {
			if tables[at] != nil {
				errs = append(errs, fmt.Errorf("%s: data at %s is given by another source too", name, at))
			}
			tables[at] = t
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var err error
	if s.data, err = newDocuments(tree, tables); err != nil {
		return nil, err
	}
	s.library, err = library()
	return s, err
}

// ownedOnce finds what two parts claim: roots that overlap, and modules or data
// of one under a root of another.
func ownedOnce(names []string, parts map[string]*Part) []error {
	type owned struct {
		by   string
		path storage.Path
	}
	var roots []owned
	var errs []error
	for _, name := range names {
		for _, r := range parts[name].Roots {
			path, err := parseRoot(r)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: root %w", name, err))
				continue
			}
			for _, o := range roots {
				if o.by != name && (o.path.HasPrefix(path) || path.HasPrefix(o.path)) {
					errs = append(errs, fmt.Errorf("%s: root %q overlaps root %q of %s", name, path.PolicyID(), o.path.PolicyID(), o.by))
				}
			}
			roots = append(roots, owned{name, path})
		}
	}
	for _, name := range names {
		for _, o := range roots {
			if o.by == name || parts[name].Roots != nil {
				continue // within its roots a part was held already
			}
			if what := within(parts[name], o.path); what != "" {
				errs = append(errs, fmt.Errorf("%s: %s lies under root %q, which is %s's alone", name, what, o.path.PolicyID(), o.by))
			}
		}
	}
	return errs
}

// within names something of a part that lies at or below a path.
func within(p *Part, root storage.Path) string {
	for file, m := range p.Modules {
		if path := packagePath(m); path.HasPrefix(root) && !isTest(file) {
			return "file " + file
		}
	}
	for at := range p.Tables {
		if path, err := parseRoot(at); err == nil && (path.HasPrefix(root) || root.HasPrefix(path)) {
			return "table " + at
		}
	}
	if p.Data != nil && p.Data.Len() > 0 && taken(p.Data, root) {
		return "data"
	}
	return ""
}

func packagePath(m *ast.Module) storage.Path {
	path, err := storage.NewPathForRef(m.Package.Path)
	if err != nil {
		return storage.Path{}
	}
	return path
}

// library is the one that ships, without its tests.
func library() (map[string]*ast.Module, error) {
	lib, err := policies.Lib()
	if err != nil {
		return nil, fmt.Errorf("loading the library: %w", err)
	}
	out := map[string]*ast.Module{}
	for name, text := range lib {
		if isTest(name) {
			continue
		}
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, fmt.Errorf("loading the library: %w", err)
		}
		out[name] = m
	}
	return out, nil
}
