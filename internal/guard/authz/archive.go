package authz

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/policies"
)

// source is a policy's rules as they were handed in.
type source struct {
	modules map[string]*ast.Module
	texts   map[string][]byte
}

// text is a module as it was written, or as opa fmt would write it.
func (s *source) text(file string) ([]byte, error) {
	if b := s.texts[file]; len(b) > 0 {
		return b, nil
	}
	return format.Ast(s.modules[file])
}

// Digests returns a digest of the policy's rules and one of its data: what two
// policies with the same digests decide is the same. Tables count by the
// revisions of their sources. It reads all data, which takes a while when they
// are large.
func (p *Policy) Digests() (rules, data string) {
	h := sha256.New()
	part(h, p.rule)
	for _, file := range slices.Sorted(maps.Keys(p.source.modules)) {
		text, err := p.source.text(file)
		if err != nil {
			text = []byte(p.source.modules[file].String())
		}
		part(h, file)
		part(h, string(text))
	}
	// The library comes with the gateway, and another version may decide otherwise.
	if lib, err := policies.Lib(); err == nil {
		for _, file := range slices.Sorted(maps.Keys(lib)) {
			part(h, lib[file])
		}
	}
	d := sha256.New()
	digest(d, p.data.tree)
	for i := range p.data.tables {
		part(d, p.data.tables[i].path.String())
	}
	if len(p.data.tables) > 0 {
		for _, source := range slices.Sorted(maps.Keys(p.revisions)) {
			part(d, source+"="+p.revisions[source])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), hex.EncodeToString(d.Sum(nil)[:12])
}

// part adds a text in a way that no two lists of texts share.
func part(h io.Writer, s string) { _, _ = fmt.Fprintf(h, "%d:%s", len(s), s) }

func digest(h io.Writer, v ast.Value) {
	switch v := v.(type) {
	case ast.Object:
		_, _ = fmt.Fprintf(h, "{%d", v.Len())
		keys := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(k, _ *ast.Term) { keys = append(keys, k) })
		slices.SortFunc(keys, func(a, b *ast.Term) int { return a.Value.Compare(b.Value) })
		for _, k := range keys {
			digest(h, k.Value)
			digest(h, v.Get(k).Value)
		}
	case *ast.Array:
		_, _ = fmt.Fprintf(h, "[%d", v.Len())
		v.Foreach(func(t *ast.Term) { digest(h, t.Value) })
	case ast.String:
		part(h, string(v))
	default:
		part(h, "\x00"+v.String())
	}
}

// archiveQuery is where the manifest of a kept policy names the rule that decides.
const archiveQuery = "crenel_query"

// archiveTables is where it names the paths of tables. Their rows are not kept, but
// rules are compiled otherwise where there are none.
const archiveTables = "crenel_tables"

// noRows is a table whose rows are not known.
type noRows struct{}

// Read finds nothing.
func (noRows) Read(path storage.Path) (ast.Value, error) { return nil, NotFound(path) }

// Archive returns the policy's rules and data, but for tables, as an OPA bundle.
func (p *Policy) Archive() ([]byte, error) {
	data, err := ast.JSON(p.data.tree)
	if err != nil {
		return nil, fmt.Errorf("writing the policy's data: %w", err)
	}
	rules, revision := p.Digests()
	tables := make([]any, len(p.data.tables))
	for i := range tables {
		tables[i] = strings.Join(p.data.tables[i].path, "/")
	}
	b := bundle.Bundle{
		Manifest: bundle.Manifest{Revision: rules + "-" + revision, Metadata: map[string]any{archiveQuery: p.rule, archiveTables: tables}},
		Data:     data.(map[string]any),
	}
	b.Manifest.Init()
	for _, file := range slices.Sorted(maps.Keys(p.source.modules)) {
		text, err := p.source.text(file)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", file, err)
		}
		name := "/" + strings.TrimLeft(file, "./")
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: name, Path: name, RelativePath: name, Raw: text, Parsed: p.source.modules[file]})
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).UseModulePath(true).DisableFormat(true).Write(b); err != nil {
		return nil, fmt.Errorf("writing the policy as a bundle: %w", err)
	}
	return out.Bytes(), nil
}

// ReadArchive reads an OPA bundle from memory, without a look at signatures: one
// that the operator named, or that a decision log kept. query is the rule that
// decided, "" where the bundle does not say.
func ReadArchive(b []byte) (p *Part, query string, err error) {
	read, err := bundle.NewCustomReader(bundle.NewTarballLoaderWithBaseURL(bytes.NewReader(b), "")).
		WithRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).WithSkipBundleVerification(true).Read()
	if err != nil {
		return nil, "", fmt.Errorf("reading the bundle: %w", err)
	}
	if len(read.WasmModules)+len(read.PlanModules) > 0 {
		return nil, "", errors.New("reading the bundle: it holds compiled policies; Rego is needed")
	}
	p = &Part{Revision: read.Manifest.Revision, Modules: map[string]*ast.Module{}, Texts: map[string][]byte{}}
	for i := range read.Modules {
		m := &read.Modules[i]
		name := strings.TrimPrefix(m.Path, "/")
		p.Modules[name], p.Texts[name] = m.Parsed, m.Raw
	}
	if len(read.Data) > 0 {
		if p.Data, err = Object(read.Data); err != nil {
			return nil, "", fmt.Errorf("reading the bundle's data: %w", err)
		}
	}
	query, _ = read.Manifest.Metadata[archiveQuery].(string)
	tables, _ := read.Manifest.Metadata[archiveTables].([]any)
	for _, at := range tables {
		if path, ok := at.(string); ok {
			if p.Tables == nil {
				p.Tables = map[string]Table{}
			}
			p.Tables[path] = noRows{}
		}
	}
	return p, query, nil
}

// Compile makes a policy of parts without activating it. Tests are not run.
func Compile(ctx context.Context, query string, parts map[string]*Part) (*Policy, error) {
	src, err := join(parts)
	if err != nil {
		return nil, err
	}
	return src.compile(ctx, query)
}

// LogRules are the policy's own rules on its decision log, data.system.log; nil
// when it has none.
func (p *Policy) LogRules() *LogRules {
	r := &LogRules{p: p}
	for name, at := range map[string]*evaluator{"drop": &r.drop, "mask": &r.mask} {
		ref := ast.MustParseRef("data.system.log." + name)
		if len(p.asWritten.compiler.GetRulesExact(ref)) == 0 {
			continue
		}
		e, err := newEvaluator(p.asWritten.compiler, ref)
		if err != nil {
			r.err = fmt.Errorf("data.system.log.%s: %w", name, err)
			continue
		}
		*at = e
	}
	if r.drop.compiler == nil && r.mask.compiler == nil && r.err == nil {
		return nil
	}
	return r
}

// LogRules are data.system.log.drop and .mask, which see an event of the decision
// log as input.
type LogRules struct {
	p          *Policy
	drop, mask evaluator
	err        error
}

// Drop reports whether the event is not to be kept.
func (r *LogRules) Drop(ctx context.Context, event ast.Value) (bool, error) {
	v, err := r.ask(ctx, &r.drop, event)
	b, _ := v.(ast.Boolean)
	return bool(b), err
}

// Mask returns OPA's mask rules for the event; nil for none.
func (r *LogRules) Mask(ctx context.Context, event ast.Value) (ast.Value, error) {
	return r.ask(ctx, &r.mask, event)
}

func (r *LogRules) ask(ctx context.Context, e *evaluator, event ast.Value) (ast.Value, error) {
	if r.err != nil {
		return nil, r.err
	}
	if e.compiler == nil {
		return nil, nil //nolint:nilnil // there is no such rule
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	var out ast.Value
	err := topdown.NewQuery(e.query).WithQueryCompiler(e.queries).WithCompiler(e.compiler).WithStore(r.p.data).WithTransaction(moment{}).
		WithInput(ast.NewTerm(event)).WithCancel(cancel).WithStrictBuiltinErrors(true).
		Iter(ctx, func(q topdown.QueryResult) error {
			out = q[resultVar].Value
			return nil
		})
	return out, err
}

// Variant is a policy with other rules than p's, or other data, or both, that
// decides by the same rule. What part does not have is p's.
func (p *Policy) Variant(ctx context.Context, o *Part) (*Policy, error) {
	rules := &Part{Modules: p.source.modules, Texts: p.source.texts}
	if len(o.Modules) > 0 {
		rules.Modules, rules.Texts = o.Modules, o.Texts
	}
	src, err := join(map[string]*Part{"candidate": rules})
	if err != nil {
		return nil, err
	}
	src.data, src.revisions = p.data, p.revisions
	if o.Data != nil {
		src.data = &documents{tree: o.Data, tables: p.data.tables}
	}
	return src.compile(ctx, p.rule)
}

// SameData reports whether two policies read the very same data.
func (p *Policy) SameData(o *Policy) bool { return p == o || p != nil && o != nil && p.data == o.data }
